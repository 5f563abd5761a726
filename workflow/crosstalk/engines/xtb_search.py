"""Searches with xTB: conformers, ion pairs, complexes. All starts are relaxed, and the distinct minima are kept.

What was relaxed stays in the work folder as JSON lines until the search is finished: a killed one goes on from there.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from crosstalk.engines.notes import Notes
from crosstalk.engines.xtb import DAMPED, calculator, downhill, relax
from crosstalk.errors import PhysicsFailure
from crosstalk.record import Gate, Outcome
from crosstalk.structures import conformers as shapes
from crosstalk.structures import graphs, molecules

if TYPE_CHECKING:
    from rdkit import Chem

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Distinct minima are relaxed further, to this part of the force limit: on a flat torsion the limit itself leaves an
#: error as large as the energy difference that tells two minima apart.
POLISH = 0.05
#: A saddle point is left by moving the atom that moves most by this much (Angstrom), at most so many times.
PUSH_ANGSTROM = 0.15
MAX_PUSHES = 3
#: A search with a patience goes on to so many times its starts while new minima come.
EXTENSION = 5
#: File of relaxed structures in the work folder.
NOTES = "relaxed.jsonl"


# -- steps --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    """What is searched for.

    symbols   chemical symbols of a structure
    build     starting structure by its number
    enough    starts that are taken at least; all of them where the settings name no patience
    limit     starts that are taken at most; with a patience EXTENSION times as many
    bonds     covalent bonds that must be kept
    lost      what else came apart in a relaxed structure, as text; empty when nothing
    mol       for comparing minima; None for a given geometry, which leads to one minimum
    """

    symbols: Sequence[str]
    build: Callable[[int], Atoms]
    enough: int
    limit: int
    bonds: frozenset[tuple[int, int]]
    lost: Callable[[Atoms], str]
    mol: "Chem.Mol | None"


def conformers(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `conformers`: distinct minima of a molecule; of a given geometry, the minimum that it leads to."""
    species, sampling = spec.settings["species"], spec.settings["sampling"]
    if "positions" in species:
        given = Atoms(species["symbols"], species["positions"])
        task = _Task(species["symbols"], lambda k: given, 1, 1, graphs.connectivity(given), lambda atoms: "", None)
        return _search(spec, task, folder)
    smiles = species["smiles"]
    molecules.refuse_open_stereo(smiles)
    free = bool(sampling.get("patience"))
    limit = sampling["max_embeddings"] if len(molecules.symbols_of(smiles)) > 1 else 1
    task = _Task(
        symbols=molecules.symbols_of(smiles),
        build=lambda k: shapes.start(smiles, sampling["seed"], k, free),
        enough=shapes.n_starts(smiles, limit),
        limit=limit,
        bonds=molecules.bonds_of(smiles),
        lost=lambda atoms: "",
        mol=molecules.whole(smiles),
    )
    return _search(spec, task, folder)


def ion_pairs(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `ion_pairs`: distinct minima of a main fragment with its monatomic cations."""
    from crosstalk.structures import ion_pairs as pairs

    sampling, smiles = spec.settings["sampling"], spec.settings["species"]["smiles"]
    molecules.refuse_open_stereo(smiles)
    mol, donors = molecules.whole(smiles), list(pairs.donors_of(smiles))
    cations = range(mol.GetNumAtoms() - len(molecules.fragments(smiles).cations), mol.GetNumAtoms())
    task = _Task(
        symbols=molecules.symbols_of(smiles),
        build=lambda k: pairs.start(smiles, sampling["seed"], k, bool(sampling.get("patience"))),
        enough=pairs.n_starts(smiles, sampling["max_embeddings"]),
        limit=sampling["max_embeddings"],
        bonds=molecules.bonds_of(smiles),
        lost=lambda atoms: graphs.lost_contacts(atoms, cations, donors),
        mol=mol,
    )
    return _search(spec, task, folder)


def complexes(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `complexes`: distinct minima of two species in contact."""
    from crosstalk.structures import complexes as pairs

    sampling, smiles = spec.settings["sampling"], spec.settings["species"]["smiles"]
    molecules.refuse_open_stereo(*smiles)
    task = _Task(
        symbols=pairs.symbols_of_complex(smiles),
        build=lambda k: pairs.start(smiles, sampling["seed"], k),
        enough=1 if sampling.get("patience") else sampling["max_embeddings"],
        limit=sampling["max_embeddings"],
        bonds=pairs.bonds_of_complex(smiles),
        lost=lambda atoms: pairs.parted(smiles, atoms),
        mol=pairs.whole_complex(smiles),
    )
    return _search(spec, task, folder)


# -- the search ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Minimum:
    """A relaxed structure. energy in eV; force: the largest, eV/Angstrom; damped: the SCF needed its remedy.

    start is the number of the start that led to it.
    """

    start: int
    atoms: Atoms
    energy: float
    force: float
    damped: bool


def _search(spec: "Spec", task: _Task, folder: Path) -> Outcome:
    """Relax starts, drop what lost its connectivity, keep the distinct minima within the window."""
    search = _Search(spec, task, Notes(folder / NOTES))
    idle = search.run()
    kept = search.polished_and_distinct()
    search.notes.close()
    if not kept:
        raise _verdict(search.failures, search.n_starts)
    return _outcome(search, kept, idle)


class _Search:
    """The state of one search: what was relaxed, what failed, and how many starts were taken."""

    def __init__(self, spec: "Spec", task: _Task, notes: Notes):
        self.spec, self.task, self.notes = spec, task, notes
        self.sampling = spec.settings["sampling"]
        self.fmax: float = self.sampling["fmax_ev_per_angstrom"]
        self.relaxed: list[_Minimum] = []
        self.failures: list[PhysicsFailure] = []
        self.n_starts = 0

    def run(self) -> int:
        """Relax starts in their order. Returns how many of the last ones found nothing new (with a patience)."""
        patience, idle = self.sampling.get("patience"), 0
        known: list[_Minimum] = []
        most = self.task.limit * (EXTENSION if self.task.limit > 1 else 1) if patience else self.task.enough
        while self.n_starts < most:
            start = self.n_starts
            self.n_starts += 1
            idle += 1
            try:
                self.relaxed.append(self._from_start(start))
            except PhysicsFailure as failure:
                self.failures.append(failure)
            else:
                if patience and self._is_new(self.relaxed[-1], known):
                    idle = 0
            if patience and self.n_starts >= self.task.enough and idle >= patience:
                break
        return idle

    def _is_new(self, minimum: _Minimum, known: list[_Minimum]) -> bool:
        """True for a minimum within the window that is none of the `known` ones; it is then added to them.

        What seems new is polished before it counts, or the slack of the force limit would go on finding "new" ones.
        """
        lowest = min(other.energy for other in [*known, minimum])
        if minimum.energy - lowest > self.sampling["energy_window_ev"] + shapes.SAME_ENERGY_EV:
            return False
        if any(self._are_same(minimum, other) for other in known):
            return False
        try:
            polished = self._polished(minimum)
        except PhysicsFailure:
            return False  # counted as a failure at the end, should it be among the lowest
        if any(self._are_same(polished, other) for other in known):
            return False
        known.append(polished)
        return True

    def _are_same(self, one: _Minimum, other: _Minimum) -> bool:
        return self.task.mol is None or shapes.same(self.task.mol, one.atoms, other.atoms, one.energy - other.energy)

    def _from_start(self, start: int) -> _Minimum:
        """Start number `start`, relaxed."""
        return self._recall(
            f"start {start}", start, lambda: _minimum(self.spec, self.task, self.task.build(start), start, self.fmax)
        )

    def _polished(self, minimum: _Minimum) -> _Minimum:
        """The same minimum relaxed to POLISH of the force limit; with a patience, pushed off a saddle point."""

        def make() -> _Minimum:
            polished = _polished(self.spec, self.task, minimum, self.fmax)
            return self._off_saddle(polished) if self.sampling.get("patience") else polished

        return self._recall(f"polished {minimum.start}", minimum.start, make)

    def _off_saddle(self, minimum: _Minimum) -> _Minimum:
        """The minimum below a saddle point. Raises PhysicsFailure when there is still one after MAX_PUSHES."""
        species = self.spec.settings["species"]
        for _ in range(MAX_PUSHES + 1):
            way = downhill(minimum.atoms, self.spec.settings["level"], species["charge"], species["multiplicity"])
            if way is None:
                return minimum
            pushed = minimum.atoms.copy()
            pushed.positions += PUSH_ANGSTROM * way
            minimum = _polished(self.spec, self.task, replace(minimum, atoms=pushed), self.fmax)
        raise PhysicsFailure("not_converged", f"still a saddle point after {MAX_PUSHES} pushes off it")

    def _recall(self, name: str, start: int, make: Callable[[], _Minimum]) -> _Minimum:
        """What is noted under `name`, or what `make` gives now. Raises PhysicsFailure as it did."""

        def noted() -> dict[str, Any]:
            try:
                found = make()
            except PhysicsFailure as failure:
                return {"status": failure.status, "reason": failure.reason}
            positions = found.atoms.positions.tolist()
            return {"positions": positions, "energy": found.energy, "force": found.force, "damped": found.damped}

        note = self.notes.recall(name, noted)
        if "status" in note:
            raise PhysicsFailure(note["status"], note["reason"])
        atoms = Atoms(self.task.symbols, note["positions"])
        return _Minimum(start, atoms, note["energy"], note["force"], note["damped"])

    def polished_and_distinct(self) -> list[tuple[_Minimum, int]]:
        """Distinct minima within the window, ascending, each with the number of the first start that led to it."""
        polished, first = [], {}
        for minimum, start in self._kept(self.relaxed, {m.start: m.start for m in self.relaxed}):
            try:
                polished.append(self._polished(minimum))
                first[minimum.start] = start
            except PhysicsFailure as failure:
                self.failures.append(failure)
        return self._kept(polished, first)

    def _kept(self, minima: Sequence[_Minimum], first: Mapping[int, int]) -> list[tuple[_Minimum, int]]:
        """Distinct minima within the energy window, ascending, each with the first start of those that are one."""
        if self.task.mol is None or not minima:
            return [(minimum, first[minimum.start]) for minimum in minima]
        groups = shapes.grouped(self.task.mol, [m.atoms for m in minima], [m.energy for m in minima])
        lowest, window = minima[groups[0][0]].energy, self.sampling["energy_window_ev"]
        return [
            (minima[group[0]], min(first[minima[k].start] for k in group))
            for group in groups
            if minima[group[0]].energy - lowest <= window
        ]


def _minimum(
    spec: "Spec", task: _Task, geometry: Atoms, start: int, fmax: float, accepted: float | None = None
) -> _Minimum:
    """One relaxation to `fmax` (good up to `accepted`). Raises PhysicsFailure: not converged, or bonds changed."""
    species, limit = spec.settings["species"], accepted or fmax
    atoms = geometry.copy()
    calc = calculator(spec.settings["level"], species["charge"], species["multiplicity"])
    max_steps = spec.settings["sampling"]["max_steps"]
    relax(atoms, calc, fmax, max_steps if len(atoms) > 1 else 0)
    force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if force > limit:
        raise PhysicsFailure(
            "not_converged", f"largest force {force:.3f} eV/Angstrom after {max_steps} steps (limit {limit})"
        )
    change = graphs.against(task.bonds, atoms)
    if change.status != "ok":
        raise PhysicsFailure(change.status, change.text)
    gone = task.lost(atoms)
    if gone:
        raise PhysicsFailure("dissociated", gone)
    damped = calc.parameters["mixer_damping"] == DAMPED["mixer_damping"]
    return _Minimum(start, Atoms(atoms.symbols, atoms.positions), float(atoms.get_potential_energy()), force, damped)


def _polished(spec: "Spec", task: _Task, minimum: _Minimum, fmax: float) -> _Minimum:
    """Relaxed to POLISH of the force limit `fmax`, which is enough where that is out of reach."""
    return _minimum(spec, task, minimum.atoms, minimum.start, POLISH * fmax, accepted=fmax)


# -- the outcome --------------------------------------------------------------------------------------------------


def _verdict(failures: Sequence[PhysicsFailure], n_starts: int) -> PhysicsFailure:
    """What to say when no start came through: the commonest end, with an example."""
    status, count = Counter(failure.status for failure in failures).most_common(1)[0]
    example = next(failure.reason for failure in failures if failure.status == status)
    return PhysicsFailure(status, f"{count} of {n_starts} starts, none came through; e.g. {example}")


def _outcome(search: _Search, kept: Sequence[tuple[_Minimum, int]], idle: int) -> Outcome:
    minima = [minimum for minimum, _ in kept]
    relative = [minimum.energy - minima[0].energy for minimum in minima]
    degeneracies = shapes.degeneracies([minimum.atoms for minimum in minima], search.task.bonds)
    force = max(minimum.force for minimum in minima)
    return Outcome(
        quantities={
            "energy_ev": minima[0].energy,
            "relative_energies_ev": relative,
            "degeneracies": degeneracies,
            "weights": shapes.weights(relative, degeneracies),
            "n_found": len(minima),
            "n_starts": search.n_starts,
            "n_rejected": len(search.failures),
            "discovery": [sum(first <= k for _, first in kept) for k in range(search.n_starts)],
            "max_force_ev_per_angstrom": round(force, 4),
        },
        gates=[
            Gate("geometry_converged", force <= search.fmax, round(force, 4), search.fmax, "eV/Angstrom"),
            Gate("connectivity", True, "ok", "ok"),
            *_saturation(search, min(idle, search.n_starts - 1 - max(first for _, first in kept))),
        ],
        rungs=["damped_mixing"] if any(minimum.damped for minimum in minima) else [],
        structures=[shapes.oriented(minimum.atoms) for minimum in minima],
    )


def _saturation(search: _Search, idle: int) -> list[Gate]:
    """Gate of a search with a patience: it ended because nothing new came, not because the starts ran out.

    `idle`: starts since the last new minimum, as it seemed during the search or as it turned out, whichever is less.
    """
    patience = search.sampling.get("patience")
    if not patience or search.task.limit == 1:
        return []
    return [Gate("search_saturated", idle >= patience, idle, patience, "starts without a new minimum")]
