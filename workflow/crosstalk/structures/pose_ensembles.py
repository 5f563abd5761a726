"""Poses of an adsorbate after their energies are known: which are one minimum, in which order, with which weights."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from crosstalk.ranking import LEAST_RANKED, rank_correlation
from crosstalk.record import Gate, Outcome
from crosstalk.structures import conformers, contacts, poses

if TYPE_CHECKING:
    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Poses nearer in energy (eV) and shape (Angstrom) than this are one.
SAME_ENERGY_EV = 0.02
SAME_RMSD = 0.3
#: Filter energies nearer than this (eV) tell no order: a force of 0.1 eV/Angstrom left along one of the soft motions that hold
#: an adsorbate (0.5 eV/Angstrom^2) is worth f^2/2k = 0.01 eV.
RESOLUTION_EV = 0.01


def pose_ensemble(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `pose_ensemble`: poses from the lowest up, those that became one counted once; weights at 298.15 K.

    Inputs "search 0" (the filter that found them) and "pose 1", "pose 2", ... (their energies), of which those that came
    to no number are left out. The lattice symmetry is that of the bare slab of the search.
    """
    search = inputs["search 0"]
    numbers = sorted(int(role.split()[-1]) for role in inputs if role.startswith("pose"))
    records = [inputs[f"pose {k}"] for k in numbers]
    energies = [float(source.record.quantities["energy_ev"]) for source in records]
    atoms = [source.structures[0] for source in records]
    twins = representatives(atoms, energies, search.structures[0])
    order = sorted(set(twins), key=lambda k: (energies[k], k))
    relative = [energies[k] - energies[order[0]] for k in order]
    outcome = Outcome(structures=[atoms[k] for k in order])
    outcome.gates = [Gate("energies", True, len(records), 1, "poses")]
    outcome.quantities = {
        "energy_ev": energies[order[0]],
        "relative_energies_ev": relative,
        "n_found": len(order),
        "weights": conformers.weights(relative, [1] * len(order)),
    }
    outcome.quantities |= _held_by([atoms[k] for k in order])
    known = search.record.quantities
    if "found_by" in known:
        starts = [known["found_by"][k - 1] for k in numbers]
        outcome.quantities["found_by"] = [sum(starts[i] for i, t in enumerate(twins) if t == k) for k in order]
    if "pose_energies_ev" in known and len(records) >= LEAST_RANKED:
        outcome.quantities["rank_correlation"] = rank_correlation(
            [known["pose_energies_ev"][k - 1] for k in numbers], energies
        )
    return outcome


def grouped(every: Sequence[Atoms], energies: Sequence[float]) -> list[list[int]]:
    """Indices of the poses that are one minimum, the lowest of each first; minima ascending in energy (eV).

    All poses stand on the same slab, whose symmetry is that of the first one's.
    """
    if not every:
        return []
    twins = representatives(every, energies, every[0][every[0].get_tags() == 0])
    return [
        [k, *(i for i, twin in enumerate(twins) if twin == k and i != k)]
        for k in sorted(set(twins), key=lambda k: (energies[k], k))
    ]


class Candidates:
    """The poses that a funnel takes on, while they come one by one: the `keep` lowest distinct ones within a window of the lowest.

    Energies in eV. All poses stand on one slab.
    """

    def __init__(self, keep: int, window_ev: float):
        self.keep, self.window_ev = keep, window_ev
        self.lowest: list[tuple[float, Atoms]] = []  # ascending
        self._operations: list[tuple[np.ndarray, np.ndarray]] = []

    def changed_by(self, pose: Atoms, energy: float) -> bool:
        """Take in a pose. True when it is another minimum, and one that the candidates would have missed.

        That is: it is among them now, where there was room or RESOLUTION_EV below the one that had to go.
        """
        before = self.lowest
        self._operations = self._operations or poses.plane_operations(pose[pose.get_tags() == 0])
        twins = [known for known in before if self._are_same(pose, energy, *known)]
        if any(known <= energy for known, _ in twins):
            return False
        others = [known for known in before if all(known is not twin for twin in twins)]
        ranked = sorted([*others, (energy, pose)], key=lambda entry: entry[0])
        self.lowest = [entry for entry in ranked if entry[0] - ranked[0][0] <= self.window_ev][: self.keep]
        enters = any(its is pose for _, its in self.lowest)
        return enters and not twins and (len(before) < self.keep or before[-1][0] - energy > RESOLUTION_EV)

    def _are_same(self, pose: Atoms, energy: float, known: float, other: Atoms) -> bool:
        return abs(energy - known) <= SAME_ENERGY_EV and pose_rmsd(pose, other, self._operations) <= SAME_RMSD


def representatives(every: Sequence[Atoms], energies: Sequence[float], bare: Atoms) -> list[int]:
    """For each pose the index of the one that stands for its minimum: the lowest of those equal to it.

    Two poses are equal when their energies and their adsorbates agree, after the bare slab's symmetry operations
    (lattice translations of its primitive cell among them) and exchange of atoms that the molecular graph cannot tell
    apart.
    """
    operations = poses.plane_operations(bare)
    stands: dict[int, int] = {}
    for k in sorted(range(len(every)), key=lambda k: (energies[k], k)):
        near = [i for i, twin in stands.items() if i == twin and energies[k] - energies[i] <= SAME_ENERGY_EV]
        stands[k] = next((i for i in near if pose_rmsd(every[k], every[i], operations) <= SAME_RMSD), k)
    return [stands[k] for k in range(len(every))]


def pose_rmsd(pose: Atoms, other: Atoms, operations: Sequence[tuple[np.ndarray, np.ndarray]] | None = None) -> float:
    """Smallest RMSD of two adsorbates on one slab over its symmetry and permutations of equal atoms; Angstrom."""
    from scipy.optimize import linear_sum_assignment

    from crosstalk.structures.graphs import connectivity

    if operations is None:
        operations = poses.plane_operations(pose[pose.get_tags() == 0])
    mine, theirs = pose[pose.get_tags() == 1], other[other.get_tags() == 1]
    kinds = [
        np.array(poses.graph_classes(a.numbers, [p for p in connectivity(a) if p[0] != p[1]])) for a in (mine, theirs)
    ]
    if sorted(kinds[0]) != sorted(kinds[1]):
        return math.inf
    forbidden = np.where(kinds[0][:, None] == kinds[1][None, :], 0.0, 1e6)
    cell = pose.cell.array
    fractions = mine.positions @ np.linalg.inv(cell)
    target = theirs.positions @ np.linalg.inv(cell)
    best = math.inf
    for rotation, translation in operations:
        moved = fractions @ rotation.T + translation
        delta = moved[:, None, :] - target[None, :, :]
        delta[:, :, :2] -= np.round(delta[:, :, :2])
        squares = ((delta @ cell) ** 2).sum(axis=2)
        rows, columns = linear_sum_assignment(squares + forbidden)
        best = min(best, math.sqrt(float(squares[rows, columns].mean())))
    return best


def _held_by(minima: Sequence[Atoms]) -> dict[str, list[float]]:
    """What holds each of the poses."""
    found = [contacts.between(atoms) for atoms in minima]
    return {
        "hydrogen_bonds": [each.hydrogen_bonds for each in found],
        "bonds_to_slab": [each.bonds for each in found],
        "metal_contacts": [each.metal_contacts for each in found],
        "nearest_contact_angstrom": [each.nearest for each in found],
    }
