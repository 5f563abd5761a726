"""A spec: one calculation, frozen, knowing which part of it can change a number.

A spec names its inputs by their keys, so a key covers the whole history of a number: settings, physics revision and,
through the inputs, everything upstream. A result is taken up by its key, or given a new one when all that it read is the same
(`record.Store.adopt_alike`).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

KEY_LENGTH = 20


def canonical(value: Any) -> str:
    """Sorted JSON without spaces: equal content gives equal bytes. Refuses NaN and non-JSON types."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


@dataclass(frozen=True)
class Spec:
    """One calculation.

    step      name in `steps.STEPS`
    engine    pyscf | gpaw | xtb | fake
    settings  everything that can change the number, as JSON types (energies eV, lengths Angstrom)
    inputs    role -> key of the spec whose record is needed
    revision  the step's physics revision
    label     for people: who and what; not part of the identity
    cost_s    estimated CPU seconds (all cores together); not part of the identity
    memory_mb estimated peak memory; not part of the identity
    """

    step: str
    engine: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    revision: int
    label: str = field(default="", compare=False)
    cost_s: float = field(default=1.0, compare=False)
    memory_mb: int = field(default=1000, compare=False)
    key: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(json.loads(canonical(dict(self.settings)))))
        object.__setattr__(self, "inputs", MappingProxyType(dict(sorted(self.inputs.items()))))
        digest = hashlib.sha256(canonical(self.identity()).encode()).hexdigest()
        object.__setattr__(self, "key", digest[:KEY_LENGTH])

    def __hash__(self) -> int:
        return hash(self.key)

    def identity(self) -> dict[str, Any]:
        """What the key is made of."""
        return {
            "step": self.step,
            "engine": self.engine,
            "settings": dict(self.settings),
            "inputs": dict(self.inputs),
            "revision": self.revision,
        }

    def to_json(self) -> dict[str, Any]:
        """Identity and label, for the command line of a job and for the record."""
        return self.identity() | {"label": self.label}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Spec":
        return cls(
            **{name: data[name] for name in ("step", "engine", "settings", "inputs", "revision")},
            label=data.get("label", ""),
        )
