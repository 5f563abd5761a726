"""A small config with surfaces and an adsorption campaign, and records made by hand for one of its rows."""

from pathlib import Path
from typing import Any

from ase import Atoms

from crosstalk.config import load
from crosstalk.observables.base import Entry, Row, observables
from crosstalk.plan import Plan, make
from crosstalk.record import Gate, Outcome, Store

from .small import merged, small

BOX = Atoms("CH", positions=[[0, 0, 5], [0, 0, 8]], cell=[5, 5, 20], pbc=(True, True, False), tags=[0, 1])
SHEET = {
    "builder": "graphite_basal",
    "lattice_angstrom": 2.467,
    "interlayer_angstrom": 3.35,
    "layers": 1,
    "repeat": [4, 4],
}
LEVELS = {
    "gfn1": {"engine": "xtb", "method": "GFN1-xTB"},
    "pw": {"engine": "gpaw", "mode": "pw", "cutoff_ev": 300},
    "beef": {"engine": "gpaw", "mode": "pw", "cutoff_ev": 300, "functional": "BEEF-vdW", "dispersion": None},
    "local": {"engine": "gpaw", "mode": "lcao", "basis": "dzp"},
}
ADSORPTION = {
    "levels": ["pw", "beef", "local"],
    "geometry": {"level": "local"},
    "decompose": ["pw", "local"],
    "charges": "hirshfeld",
}


def config(folder: Path, **changes: Any) -> Path:
    """The small config with surfaces "sheet" and "pair" and a campaign of both tables."""
    tier = {"conformers": {"level": "gfn2"}, "slabs": {"level": None}, "poses": {"level": "gfn1", "n_poses": 6, "keep": 3},
            "observables": {"adsorption": ADSORPTION, "surfaces": {"levels": ["pw"]}}}  # fmt: skip
    sections = {"adsorption": {"adsorbates": ["water"], "surfaces": ["sheets"]}, "surfaces": {"surfaces": ["sheets"]}}
    ours = {
        "surfaces": {"surfaces": {"sheet": {**SHEET, "groups": ["sheets"], "conductor": True}, "pair": {**SHEET, "layers": 2, "groups": ["sheets"]}}},
        "levels": {"levels": LEVELS, "tiers": {"films": tier}},
        "config": {"default": "films", "campaigns": {"films": {"tier": "films", "observables": sections}}},
    }  # fmt: skip
    return small(folder, **merged(ours, changes))


def plan(folder: Path, **changes: Any) -> Plan:
    return make(load(config(folder, **changes)))


def entry(plan: Plan, table: str, **subject: str) -> Entry:
    return next(e for e in plan.table(table) if all(e.subject[k] == v for k, v in subject.items()))


def outcome(status: str = "ok", reason: str = "", missed: str = "", **quantities: Any) -> Outcome:
    gates = [Gate(missed, False, 1.0, 0.1, "eV/Angstrom")] if missed else []
    return Outcome(status, reason, quantities=quantities, gates=gates, structures=[BOX])


def row(entry: Entry, folder: Path, outcomes: dict[str, Outcome]) -> Row:
    """The row of an entry whose records are these; the others hold an energy of zero."""
    store = Store(folder / "store")
    for role, spec in entry.specs.items():
        store.save(spec, outcomes.get(role, outcome(energy_ev=0.0)), {"x": "1"}, {})
    return observables()[entry.table].row(entry, store.find)
