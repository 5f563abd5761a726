"""What a calculation is expected to cost: CPU seconds (all cores together) and memory. Never part of an identity.

Fitted to runs on two cores of a 2025 server processor; right within a factor of two for molecules of 5 to 20 atoms.
What finished calculations of a plan did cost corrects the rest (`left`), and published campaigns teach others (`teach`).
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines.continuum import CAVITY_MB
from crosstalk.engines.gpaw_sums import KEPT_MB
from crosstalk.spec import canonical

if TYPE_CHECKING:
    from crosstalk.record import Store
    from crosstalk.spec import Spec

#: Finished calculations of a step, expected to take this long in all, that are enough to learn from.
ENOUGH, ENOUGH_S = 3, 60.0
#: File of a published campaign that holds what its costs teach.
LESSONS = "experience.json"
#: Memory is asked for as this share of like calculations would have needed, times a margin, and no less than a process takes.
#: The others are tried again with half as much more.
MOST = 0.75
MEMORY_MARGIN = 1.2
LEAST_MEMORY_MB = 200


@dataclass(frozen=True)
class Experience:
    """What finished calculations cost over what was expected of them, for like ones: of their step, level, environment
    and spin; else of their step and level; else of their step."""

    time: Mapping[tuple[str, ...], float]
    memory: Mapping[tuple[str, ...], float]

    @classmethod
    def of(cls, specs: Iterable["Spec"], store: "Store") -> "Experience":
        """From the sidecars of finished calculations; of kinds without enough of them, from what published campaigns taught."""
        time, memory = {}, {}
        for lesson in [*_taught(store), *_lessons(specs, store)]:
            kind = tuple(lesson["kind"])
            if lesson.get("time"):
                time[kind] = lesson["time"]
            if lesson.get("memory"):
                memory[kind] = lesson["memory"]
        return cls(time, memory)

    def seconds(self, spec: "Spec") -> float:
        """CPU seconds that a calculation should take."""
        return spec.cost_s * next((self.time[kind] for kind in _kinds(spec) if kind in self.time), 1.0)

    def memory_mb(self, spec: "Spec") -> int:
        """Memory that it should do with."""
        factor = next((self.memory[kind] for kind in _kinds(spec) if kind in self.memory), 1.0)
        return max(LEAST_MEMORY_MB, round(spec.memory_mb * factor))


def teach(specs: Iterable["Spec"], store: "Store", folder: Path) -> None:
    """Write down what the finished ones of these calculations teach about the cost of others, for campaigns of other subjects."""
    text = json.dumps(sorted(_lessons(specs, store), key=lambda lesson: lesson["kind"]), indent=1)
    (folder / LESSONS).write_text(f"{text}\n")


def _lessons(specs: Iterable["Spec"], store: "Store") -> list[dict[str, Any]]:
    """What each kind of calculation cost over what was expected; kinds without enough finished ones are left out."""
    costs: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    peaks: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for spec in specs:
        if not (spent := store.cost(spec)):
            continue
        for kind in _kinds(spec):
            costs[kind].append((float(spent["cpu_s"]), spec.cost_s))
            if spent.get("peak_memory_mb"):
                peaks[kind].append(spent["peak_memory_mb"] / spec.memory_mb)
    lessons = []
    for kind, its in costs.items():
        lesson: dict[str, Any] = {"kind": list(kind), "n": len(its)}
        cost, hoped = map(sum, zip(*its, strict=True))
        if len(its) >= ENOUGH and hoped >= ENOUGH_S:
            lesson["time"] = round(cost / hoped, 4)
        if len(peaks[kind]) >= ENOUGH:
            lesson["memory"] = round(MEMORY_MARGIN * float(np.quantile(peaks[kind], MOST)), 4)
        if len(lesson) > 2:
            lessons.append(lesson)
    return lessons


def _taught(store: "Store") -> list[dict[str, Any]]:
    """Lessons of the campaigns published beside a store, those of the most calculations last."""
    files = sorted(store.root.glob(f"published/*/{LESSONS}"))
    lessons = [lesson for file in files for lesson in json.loads(file.read_text())]
    return sorted(lessons, key=lambda lesson: lesson["n"])


def _kinds(spec: "Spec") -> list[tuple[str, ...]]:
    """What a calculation may be likened to, the most alike first."""
    level = canonical(spec.settings.get("level"))
    surroundings = canonical(spec.settings.get("environment"))
    open_shell = str(spec.settings.get("multiplicity", 1) != 1)
    return [(spec.step, level, surroundings, open_shell), (spec.step, level), (spec.step,)]


def left(specs: Iterable["Spec"], store: "Store") -> tuple[list["Spec"], float]:
    """The calculations that are not finished, and the CPU seconds that they should take, learned from those that are."""
    every = list(specs)
    unfinished = [spec for spec in every if not store.holds(spec)]
    experience = Experience.of(every, store)
    return unfinished, sum(map(experience.seconds, unfinished))


#: Contracted functions per (hydrogen-like, first-row, second-row) atom, by the part of a basis set's name.
_FUNCTIONS = [
    ("qz", (30, 57, 67)), ("tzvppd", (17, 40, 49)), ("tzvpd", (9, 40, 49)), ("tz", (8, 31, 37)), ("311++", (7, 23, 31)), ("311", (6, 19, 27)),
    ("31++", (6, 19, 23)), ("31+", (2, 19, 23)), ("31", (3, 15, 19)), ("svpd", (8, 23, 27)), ("dz", (5, 15, 19)), ("sv", (5, 14, 18)),
    ("sto", (1, 5, 9)),
]  # fmt: skip


def n_basis(symbols: Sequence[str], basis: str) -> int:
    """Estimated number of basis functions, from the basis set's name."""
    light, first, second = next((n for part, n in _FUNCTIONS if part in basis.lower()), (5, 20, 25))
    first_row = {"Li", "Be", "B", "C", "N", "O", "F", "Ne"}
    return sum(light if s in ("H", "He") else first if s in first_row else second for s in symbols)


#: What range separation and VV10 make of the time of a hybrid.
NONLOCAL = 2.8
#: Time of a relaxation, of a Hessian with its relaxations, of a look at the lowest mode, and of a re-ranking, over that of one energy.
RELAXATION, HESSIAN, LOWEST_MODE, RERANKING = 8.0, 25.0, 10.0, 4.0


def molecule_energy_s(symbols: Sequence[str], level: Mapping[str, Any], open_shell: bool, continuum: bool) -> float:
    """CPU seconds of one molecular SCF with stability analysis."""
    n = n_basis(symbols, level["basis"])
    seconds = 0.5 + 5.0 * (n / 160) ** 1.6 * (len(symbols) / 10) ** 0.5
    seconds *= NONLOCAL if level["functional"].lower().endswith("-v") else 1.0
    return (
        seconds * (2.2 if open_shell else 1.0) * (1.3 if continuum else 1.0) * (1.3 if level.get("stability") else 1.0)
    )


#: Memory of forces in a continuum beyond that of the energy: blocks of integrals, derivatives of the cavity.
CONTINUUM_FORCES_MB = 3000
#: Points of a continuum's cavity for each atom, about.
CAVITY_POINTS = 130


def molecule_memory_mb(symbols: Sequence[str], level: Mapping[str, Any], continuum: bool = False) -> int:
    """Density-fitted three-index integrals, the grid's orbital values and the cavity's integrals, beside the libraries."""
    n = n_basis(symbols, level["basis"])
    cavity = CAVITY_POINTS * len(symbols) * n * n / 2 * 8e-6 if continuum else 0.0
    return round(900 + 3.5 * n * n / 2 * n * 8 / 1e6 + (cavity if cavity < CAVITY_MB else 0.0))


def search_s(n_atoms: int, starts: int) -> float:
    """CPU seconds of a GFN2 conformer or ion-pair search."""
    return 2.0 + starts * 0.03 * n_atoms


#: What a box adds to the slab's thickness: with an adsorbate, and without.
ADSORBATE_HEIGHT = 6.0
SLAB_VACUUM = 16.0


@dataclass(frozen=True)
class Box:
    """A periodic cell: atoms of the slab and of the adsorbate in it, area (Angstrom^2), height (Angstrom), and what its slab is."""

    n_slab: int
    n_adsorbate: int
    area: float
    height: float
    conductor: bool = False

    @property
    def n_atoms(self) -> int:
        return self.n_slab + self.n_adsorbate

    def part(self, index: int) -> "Box":
        """The box with what structure `index` of a pose search holds: the bare slab, the molecule, or both."""
        slab = 0 if index == 1 and self.n_adsorbate else self.n_slab
        return replace(self, n_slab=slab, n_adsorbate=self.n_adsorbate if index else 0)


#: Seconds of a step of the pose filter, for 45 atoms: on an insulator, and on a conductor, whose flat surface (18 searches, of them 8
#: on graphite) takes fewer iterations and steps.
POSE_STEP = {False: 0.56, True: 0.11}


def poses_s(box: Box, starts: int, steps: int, patience: int = 0) -> float:
    """CPU seconds of a periodic xTB pose filter with a frozen slab; starts take about a third of their steps.

    With a patience: as if the last of the `starts` had been the last to change a candidate.
    """
    return 3.0 + (starts + patience) * steps / 3 * POSE_STEP[box.conductor] * (box.n_atoms / 45) ** 2


#: Time of a k-point with complex orbitals over that of the Gamma point alone, whose orbitals are real: 54 and 60 atoms of silica.
COMPLEX = 1.4


def kpoints_work(box: Box, level: Mapping[str, Any]) -> float:
    """What the k-points of a square mesh cost, in units of the Gamma point alone; time reversal folds all but a few in pairs."""
    spacing = level["kpoint_spacing_per_angstrom"]
    side = math.ceil(2 * math.pi / math.sqrt(box.area) / spacing) if spacing is not None else 1
    own_image = 1 if side % 2 else 4
    return 1.0 if side == 1 else COMPLEX * (side * side + own_image) / 2


#: Time of an SCF with non-local correlation and of the terms of its ensemble over that of a GGA: 2.1 and 0.7 for 11 atoms.
NONLOCAL_SURFACE = 2.8
#: Time of such a functional on a density that is there, with the terms of its ensemble, over the SCF's; 45 atoms.
FUNCTIONAL = 0.8


#: Time and memory of two spins over those of paired electrons; a moment takes more iterations to settle.
SPINS, SPINS_MEMORY = 2.5, 1.6


def surface_energy_s(box: Box, level: Mapping[str, Any]) -> float:
    """CPU seconds of one periodic SCF."""
    work = box.area * box.height / 1800 * (12 + box.n_atoms) * kpoints_work(box, level)
    work *= NONLOCAL_SURFACE if level["functional"].endswith("vdW") else 1.0
    work *= SPINS if level.get("magnetic_moments") else 1.0
    return 10.0 + work * ((level["cutoff_ev"] / 350) ** 1.5 if level["mode"] == "pw" else 0.7)


#: Time of a guided relaxation over that of one energy: of a slab from where it is built, and in a search of poses of the bare slab
#: (which is relaxed already), of the molecule alone (0.5 to 8) and of a pose (on oxides 1.5 to 25, 27 of them; on graphite most of
#: 24 near 2).
SLAB_RELAXATION = 9.0
POSE_RELAXATION = {False: (1.0, 2.5, 10.0), True: (1.0, 2.5, 2.0)}
#: Gradients of the rigid-body motions of a pose, over one energy.
MODES = 15.0
#: Cells that a relaxation of a crystal goes through, those whose energies give the stress included.
CELL_STEPS = 25.0
#: K-points for each that symmetry leaves.
FOLDED = 10.0


def crystal_energy_s(cell: Sequence[Sequence[float]], n_atoms: int, level: Mapping[str, Any]) -> float:
    """CPU seconds of one SCF of a crystal; cell in Angstrom."""
    if level.get("mode") != "pw":
        return 1.0
    volume = abs(float(np.linalg.det(cell)))
    lengths = 2 * math.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    points = math.prod(math.ceil(length / level["kpoint_spacing_per_angstrom"]) for length in lengths) / FOLDED
    return 2.0 + 0.3 * volume / 1800 * (12 + n_atoms) * points * (level["cutoff_ev"] / 350) ** 1.5


def surface_memory_mb(box: Box, level: Mapping[str, Any]) -> int:
    """Peak memory over all ranks: orbitals and projectors, and the phases of the atoms that sums over atomic functions keep."""
    work = box.n_atoms * box.area * box.height * ((level["cutoff_ev"] or 350) / 350) ** 1.5
    orbitals = 0.012 * work * (SPINS_MEMORY if level.get("magnetic_moments") else 1.0)
    return round(700 + orbitals + min(KEPT_MB, 0.0027 * work))
