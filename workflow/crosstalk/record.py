"""A record: what one calculation came to. Byte-stable, with its cost in a sidecar.

Layout of a store (the folder `results`):
    records/<step>/<key>.json       the record
    records/<step>/<key>.cost.json  wall and CPU time, peak memory, host, date
    structures/<step>/<key>.xyz     its structures (extended XYZ, Angstrom), when it has any
    work/<key>/                     what an engine needs to go on after a kill
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosstalk.errors import MissingRecordError
from crosstalk.quantities import rounded
from crosstalk.spec import KEY_LENGTH, Spec, canonical

if TYPE_CHECKING:
    from ase import Atoms

#: Every way a calculation can end, with what it means to a reader.
STATUSES: dict[str, str] = {
    "ok": "finished and passed its gates",
    "gated": "finished, but a gate was missed: the number is shown marked",
    "not_converged": "the self-consistent field or the geometry did not converge",
    "dissociated": "the structure fell apart",
    "rearranged": "the covalent connectivity changed",
    "desorbed": "the adsorbate left the surface",
    "surface_changed": "the surface reconstructed",
    "absent": "there is no such structure (fewer distinct minima than asked for)",
    "blocked": "a calculation that this one needs came to no usable end",
    "missing": "not computed (yet)",
}
#: Statuses whose numbers may be used.
USABLE = frozenset({"ok", "gated"})


@dataclass(frozen=True)
class Gate:
    """A condition that a number must meet. `value` and `limit` in the unit named by `unit`."""

    name: str
    passed: bool
    value: float | str | bool | None = None
    limit: float | str | bool | None = None
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.name} {'passed' if self.passed else 'MISSED'} ({self.value} {self.unit}, limit {self.limit})".replace(
            " ,", ","
        )


@dataclass
class Outcome:
    """What a step function returns. The runner makes the record of it.

    status, reason  one of STATUSES; a missed gate turns "ok" into "gated" by itself
    quantities      declared names only (`quantities.QUANTITIES`)
    structures      final structures, the one that counts first
    rungs           remedies climbed, in order, e.g. ["diis", "level_shift"]; the last one worked unless status says otherwise
    files           artefacts by name, inside the work folder; hashed, and kept in the work folder
    """

    status: str = "ok"
    reason: str = ""
    quantities: dict[str, Any] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)
    rungs: list[str] = field(default_factory=list)
    structures: list["Atoms"] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    spec: Spec
    status: str
    reason: str
    quantities: Mapping[str, Any]
    gates: tuple[Gate, ...]
    rungs: tuple[str, ...]
    artefacts: Mapping[str, Mapping[str, str]]
    versions: Mapping[str, str]
    #: Not stored: faults of what this record was computed from, key -> text; tables fill it in.
    inherited: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def usable(self) -> bool:
        return self.status in USABLE

    @property
    def missed(self) -> list[Gate]:
        return [gate for gate in self.gates if not gate.passed]

    @property
    def faults(self) -> list[Gate]:
        """Missed gates that cast doubt on the numbers. Bonds of an ion that may change as they like say what it became."""
        free = self.spec.settings.get("connectivity") == "reported"
        return [gate for gate in self.missed if not (free and gate.name == "connectivity")]

    def likeness(self) -> dict[str, Any]:
        """What must agree on both sides of a minus sign."""
        settings = self.spec.settings
        versions = {k: v for k, v in self.versions.items() if k != "crosstalk"}
        return {
            "step": (self.spec.step, self.spec.revision),
            "level": settings.get("level"),
            "environment": settings.get("environment"),
            "cell": self.artefacts.get("structure", {}).get("cell"),
            "versions": versions,
        }

    def to_bytes(self) -> bytes:
        data = {
            "spec": self.spec.to_json(),
            "key": self.spec.key,
            "status": self.status,
            "reason": self.reason,
            "quantities": dict(self.quantities),
            "gates": [vars(gate) for gate in self.gates],
            "rungs": list(self.rungs),
            "artefacts": {name: dict(a) for name, a in self.artefacts.items()},
            "versions": dict(self.versions),
        }
        return (json.dumps(data, sort_keys=True, indent=1, allow_nan=False, default=_plain) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Record":
        raw = json.loads(data)
        return cls(
            spec=Spec.from_json(raw["spec"]),
            status=raw["status"],
            reason=raw["reason"],
            quantities=raw["quantities"],
            gates=tuple(Gate(**gate) for gate in raw["gates"]),
            rungs=tuple(raw["rungs"]),
            artefacts=raw["artefacts"],
            versions=raw["versions"],
        )


def _plain(value: Any) -> Any:
    """A number of numpy's as one of Python's: a gate that holds one must not cost a finished calculation its record."""
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a record cannot hold {value!r}")


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside, then rename: a killed process leaves the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)


class Store:
    """Records under a folder. `also` are read-only stores whose finished records are taken up by their key."""

    def __init__(self, root: Path | str = "results", also: tuple[Path, ...] = ()):
        self.root = Path(root)
        self.also = tuple(Path(p) for p in also)

    def path(self, spec: Spec) -> Path:
        return self.root / "records" / spec.step / f"{spec.key}.json"

    def cost_path(self, spec: Spec) -> Path:
        return self.path(spec).with_suffix(".cost.json")

    def structure_path(self, spec: Spec) -> Path:
        return self.root / "structures" / spec.step / f"{spec.key}.xyz"

    def work(self, spec: Spec) -> Path:
        return self.root / "work" / spec.key

    def holds(self, spec: Spec) -> bool:
        """Whether the record of `spec` is here or can be taken up."""
        return any(Store(root).path(spec).exists() for root in (self.root, *self.also))

    def find(self, spec: Spec) -> Record | None:
        """The record of `spec`, or None. A record of the read-only stores is copied into this one."""
        path = self.path(spec)
        if not path.exists():
            for other in self.also:
                twin = Store(other)
                if twin.path(spec).exists():
                    self._copy(twin, spec)
                    break
            else:
                return None
        return Record.from_bytes(path.read_bytes())

    def find_key(self, key: str) -> Record | None:
        """The record with that key, whatever its step."""
        for root in (self.root, *self.also):
            for path in (root / "records").glob(f"*/{key}.json"):
                return Record.from_bytes(path.read_bytes())
        return None

    def load(self, key: str) -> Record:
        record = self.find_key(key)
        if record is None:
            raise MissingRecordError(
                f"record {key} is not in {self.root}: run the calculations that it comes from first"
            )
        return record

    def cost(self, spec: Spec) -> dict[str, Any]:
        paths = (Store(root).cost_path(spec) for root in (self.root, *self.also))
        path = next((path for path in paths if path.exists()), None)
        return json.loads(path.read_text()) if path else {}

    def structures(self, record: Record) -> list["Atoms"]:
        """Structures of a record, cell and tags included (tag 1: adsorbate). Angstrom."""
        for root in (self.root, *self.also):
            path = Store(root).structure_path(record.spec)
            if path.exists():
                return read_extxyz(path.read_text())
        return []

    def save(self, spec: Spec, outcome: Outcome, versions: Mapping[str, str], cost: Mapping[str, Any]) -> Record:
        """Make the record of an outcome and write it, structures first and the record last."""
        artefacts: dict[str, dict[str, str]] = {}
        if outcome.structures:
            artefacts["structure"] = self._save_structures(spec, outcome.structures)
        for name, path in sorted(outcome.files.items()):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            artefacts[name] = {"path": path.name, "sha256": digest}
        missed = [gate for gate in outcome.gates if not gate.passed]
        status, reason = outcome.status, outcome.reason
        if status == "ok" and missed:
            status, reason = "gated", reason or "; ".join(map(str, missed))
        if status not in STATUSES:
            raise ValueError(f"unknown status '{status}'")
        quantities = {name: rounded(name, value) for name, value in outcome.quantities.items()}
        record = Record(
            spec,
            status,
            reason,
            quantities,
            tuple(outcome.gates),
            tuple(outcome.rungs),
            artefacts,
            dict(sorted(versions.items())),
        )
        if cost:
            write_atomically(self.cost_path(spec), (json.dumps(dict(cost), sort_keys=True, indent=1) + "\n").encode())
        write_atomically(self.path(spec), record.to_bytes())
        return record

    def given(self, spec: Spec) -> str | None:
        """The one structure of its input `geometry` that a spec is about, as it is stored; None when it is not there."""
        for root in (self.root, *self.also):
            for path in (root / "structures").glob(f"*/{spec.inputs['geometry']}.xyz"):
                frames = blocks(path.read_text())
                return frames[spec.settings["index"]] if spec.settings["index"] < len(frames) else None
        return None

    def adopt_alike(self, spec: Spec, versions: Mapping[str, str]) -> Record | None:
        """Give `spec` the result of a finished calculation that differs in nothing but where its structure came from.

        For steps that read one structure and nothing else (`Step.of_one`): same step, engine, revision and settings, and the same
        structure to the last byte, from another search, say, or as another rank of it; the `versions` of packages as they would be now,
        as far as both name them. None when there is none.
        """
        mine, structure = _about(spec), self.given(spec)
        if structure is None:
            return None
        for root in (self.root, *self.also):
            for path in sorted((root / "records" / spec.step).glob(f"{'?' * KEY_LENGTH}.json")):
                other = Record.from_bytes(path.read_bytes())
                finished = other.status not in ("absent", "blocked") and set(other.artefacts) <= {"structure"}
                current = all(versions.get(k, v) == v for k, v in other.versions.items() if k != "crosstalk")
                if finished and current and _about(other.spec) == mine and self.given(other.spec) == structure:
                    return self._adopted(spec, other, Store(root))
        return None

    def _adopted(self, spec: Spec, other: Record, store: "Store") -> Record:
        """The record of another spec under the key of this one, with its structures and its cost."""
        pairs = (
            (store.structure_path(other.spec), self.structure_path(spec)),
            (store.cost_path(other.spec), self.cost_path(spec)),
        )
        for source, target in pairs:
            if source.exists():
                write_atomically(target, source.read_bytes())
        own = {"path": str(self.structure_path(spec).relative_to(self.root))}
        artefacts = {name: {**artefact, **own} for name, artefact in other.artefacts.items()}
        record = replace(other, spec=spec, artefacts=artefacts)
        write_atomically(self.path(spec), record.to_bytes())
        return record

    def _save_structures(self, spec: Spec, structures: list["Atoms"]) -> dict[str, str]:
        path = self.structure_path(spec)
        data = "".join(extxyz(atoms) for atoms in structures).encode()
        write_atomically(path, data)
        cell = structures[0].cell.array.round(4).tolist() if structures[0].pbc.any() else None
        return {
            "path": str(path.relative_to(self.root)),
            "sha256": hashlib.sha256(data).hexdigest(),
            "formula": structures[0].get_chemical_formula(),
            "cell": canonical(cell),
        }

    def _copy(self, twin: "Store", spec: Spec) -> None:
        pairs = [
            (twin.structure_path(spec), self.structure_path(spec)),
            (twin.cost_path(spec), self.cost_path(spec)),
            (twin.path(spec), self.path(spec)),
        ]
        for source, target in pairs:
            if source.exists():
                write_atomically(target, source.read_bytes())


def extxyz(atoms: "Atoms") -> str:
    """One frame of extended XYZ with tags, six decimals, and nothing that varies from run to run."""
    cell = " ".join(f"{x:.6f}" for x in atoms.cell.array.ravel())
    pbc = " ".join("T" if p else "F" for p in atoms.pbc)
    lattice = f'Lattice="{cell}" ' if atoms.cell.array.any() else ""
    lines = [str(len(atoms)), f'{lattice}Properties=species:S:1:pos:R:3:tags:I:1 pbc="{pbc}"']
    for symbol, position, tag in zip(atoms.symbols, atoms.positions + 0.0, atoms.get_tags(), strict=True):
        lines.append(f"{symbol:2s} " + " ".join(f"{x:14.6f}" for x in position) + f" {tag:3d}")
    return "\n".join(lines) + "\n"


def _about(spec: Spec) -> tuple[Any, ...]:
    """What a calculation on one structure is, whatever structure that is."""
    settings = {name: value for name, value in spec.settings.items() if name != "index"}
    return spec.step, spec.engine, spec.revision, canonical(settings), sorted(spec.inputs)


def blocks(text: str) -> list[str]:
    """The frames of an extended XYZ file, each as text."""
    lines, found = text.splitlines(keepends=True), []
    while lines:
        end = 2 + int(lines[0])
        found.append("".join(lines[:end]))
        lines = lines[end:]
    return found


def read_extxyz(text: str) -> list["Atoms"]:
    """Frames that `extxyz` wrote. (ase.io reads them too, but its import costs more than a small job takes.)"""
    from ase import Atoms

    frames = []
    for block in blocks(text):
        _, header, *lines = block.splitlines()
        rows = [line.split() for line in lines]
        lattice = re.search(r'Lattice="([^"]*)"', header)
        pbc = re.search(r'pbc="([^"]*)"', header)
        numbers = [float(x) for x in lattice.group(1).split()] if lattice else [0.0] * 9
        frames.append(
            Atoms(
                [row[0] for row in rows],
                positions=[[float(x) for x in row[1:4]] for row in rows],
                tags=[int(row[4]) for row in rows],
                cell=[numbers[0:3], numbers[3:6], numbers[6:9]],
                pbc=[letter == "T" for letter in pbc.group(1).split()] if pbc else False,
            )
        )
    return frames
