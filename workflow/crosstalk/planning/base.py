"""What all planning shares: facts of config entries, and specs remembered."""

from functools import cache
from typing import Any

from crosstalk.config import models as m
from crosstalk.config.load import Config
from crosstalk.config.structures import inline
from crosstalk.spec import Spec
from crosstalk.steps import STEPS
from crosstalk.structures import molecules


class BasePlanner:
    """Makes specs from names. One instance for one campaign; asking twice gives the same spec.

    It asks nobody: every name was checked at the door (`config.checks`).
    """

    def __init__(self, config: Config, tier: m.Tier, engine: str | None = None):
        self.config = config
        self.tier = tier
        self.engine = engine  # "fake" replaces every engine: a test of the workflow
        self.specs: dict[str, Spec] = {}
        self.complexes: dict[str, tuple[str, str]] = {}  # name of a complex -> the two species it is made of
        self.symbols = cache(self._symbols)

    def beside(self, name: str, partner: str) -> str:
        """A species with another one bound to it, by a name that all other methods know."""
        full = f"{name} + {partner}"
        self.complexes[full] = (name, partner)
        return full

    def _symbols(self, name: str) -> tuple[str, ...]:
        if name in self.complexes:
            return tuple(symbol for part in self.complexes[name] for symbol in self.symbols(part))
        species = self.config.species[name]
        if species.smiles is not None:
            return tuple(molecules.symbols_of(species.smiles))
        return tuple(inline(self.config, species.geometry or "")["symbols"])

    def charge(self, name: str) -> int:
        if name in self.complexes:
            return sum(self.charge(part) for part in self.complexes[name])
        species = self.config.species[name]
        return species.charge if species.charge is not None else molecules.charge_of(species.smiles or "")

    def multiplicity(self, name: str) -> int:
        """2S+1; of a complex, that of the part with unpaired electrons."""
        if name in self.complexes:
            return max(self.multiplicity(part) for part in self.complexes[name])
        return self.config.species[name].multiplicity

    def ionised(self, name: str) -> int:
        """Multiplicity after one electron was removed or added: low spin."""
        return self.multiplicity(name) - 1 if self.multiplicity(name) > 1 else 2

    def add(
        self, step: str, level: str | None, settings: dict[str, Any], inputs: dict[str, Spec], **about: Any
    ) -> Spec:
        """The spec of a step at a level (null: no engine), remembered with all that it needs."""
        identity = self.config.levels[level].identity() if level is not None else None
        engine = identity["engine"] if identity else "none"
        if self.engine == "fake":
            engine = "fake"
        spec = Spec(
            step=step,
            engine=engine,
            settings={**settings, "level": identity},
            inputs={role: source.key for role, source in inputs.items()},
            revision=STEPS[step].revision,
            **about,
        )
        return self.specs.setdefault(spec.key, spec)
