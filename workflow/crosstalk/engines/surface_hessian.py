"""What is known of a surface before any gradient: springs between atoms, soft motions of the adsorbate as a whole.

Springs have the force constants of Lindh's model Hessian (Chem. Phys. Lett. 1995, 241, 423), over periodic images: its
stretches between all near pairs, its bends as springs between the ends. Between adsorbate and slab the same formula gives
what hydrogen bonds need and next to nothing for the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from crosstalk.engines.xtb import LINDH_STRETCH, lindh_decay
from crosstalk.structures.graphs import connectivity, pieces
from crosstalk.structures.rotor import rigid_modes
from crosstalk.units import BOHR_ANGSTROM, HARTREE_EV

#: Lindh's force constant of a bend, hartree.
LINDH_BEND = 0.15
#: Reach of the springs, Angstrom, and the weakest that count, eV/Angstrom^2.
REACH = 4.5
WEAKEST = 0.02
#: Decay of Lindh's model above which a pair is a side of bends; the least sine of such a bend.
SIDE = 0.3
BENT = 0.3
#: Added to the diagonal in place of torsions, eV/Angstrom^2.
SOFT = 2.0
#: For the adsorbate as a rigid body, eV/Angstrom^2 (of the atoms' common displacement, root mean square).
RIGID = 0.3


@dataclass(frozen=True)
class Springs:
    """Springs between atoms first[k] and second[k] + shift[k] (Angstrom): force constant eV/Angstrom^2, length at rest.

    bends  which of them stand for a bend, between the ends of its sides
    """

    first: np.ndarray
    second: np.ndarray
    shift: np.ndarray
    strength: np.ndarray
    rest: np.ndarray
    bends: np.ndarray

    def stretches(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How much longer than at rest each spring is (k,), Angstrom, and the derivatives of that (k, 3n)."""
        across = positions[self.second] + self.shift - positions[self.first]
        length = np.linalg.norm(across, axis=1)
        slopes = np.zeros((len(length), *positions.shape))
        which = np.arange(len(length))
        slopes[which, self.second] = across / length[:, None]
        slopes[which, self.first] = -across / length[:, None]
        return length - self.rest, slopes.reshape(len(length), -1)

    def energy(self, positions: np.ndarray) -> tuple[float, np.ndarray]:
        """eV, and its gradient (3n,)."""
        stretch, slopes = self.stretches(positions)
        return 0.5 * float(self.strength @ stretch**2), (self.strength * stretch) @ slopes

    def hessian(self, positions: np.ndarray) -> np.ndarray:
        """At rest: (3n, 3n), eV/Angstrom^2."""
        _, slopes = self.stretches(positions)
        return (slopes.T * self.strength) @ slopes

    def stronger(self, least: float) -> "Springs":
        """Those of at least that force constant."""
        kept = self.strength >= least
        return Springs(*(getattr(self, field.name)[kept] for field in fields(self)))

    def kinds(self, numbers: np.ndarray) -> np.ndarray:
        """Which springs are alike (k,): of the same two elements, both stretches or both bends. Counted from 0."""
        ends = np.sort(numbers[np.stack([self.first, self.second], axis=1)], axis=1)
        labels = np.column_stack([ends, self.bends])
        return np.unique(labels, axis=0, return_inverse=True)[1].ravel()


def springs(atoms: Atoms) -> Springs:
    """The springs of a structure, at rest as it is."""
    first, second, across = neighbor_list("ijD", atoms, REACH)
    squared = (across**2).sum(axis=1) / BOHR_ANGSTROM**2
    decay = lindh_decay(atoms.numbers[first], atoms.numbers[second], squared)
    pairs = [
        (i, j, d, LINDH_STRETCH * c, False) for i, j, d, c in zip(first, second, across, decay, strict=True) if i < j
    ]
    for centre in range(len(atoms)):
        sides = np.flatnonzero((first == centre) & (decay > SIDE))
        for n, a in enumerate(sides):
            for b in sides[:n]:
                strength = _bend(across[a], across[b], min(decay[a], 1.0) * min(decay[b], 1.0))
                if strength and second[a] != second[b]:
                    pairs.append((second[a], second[b], across[b] - across[a], strength, True))
    unit = HARTREE_EV / BOHR_ANGSTROM**2
    pairs = [pair for pair in pairs if pair[3] * unit > WEAKEST]
    i, j = (np.array([pair[k] for pair in pairs], dtype=int) for k in (0, 1))
    vectors = np.array([pair[2] for pair in pairs]).reshape(-1, 3)
    strengths = unit * np.array([pair[3] for pair in pairs])
    shift = vectors - (atoms.positions[j] - atoms.positions[i])
    bends = np.array([pair[4] for pair in pairs], dtype=bool)
    return Springs(i, j, shift, strengths, np.linalg.norm(vectors, axis=1), bends)


def _bend(one: np.ndarray, other: np.ndarray, decay: float) -> float:
    """Spring between the ends of two sides that has the force constant of their bend, hartree/bohr^2; 0 for a straight one."""
    a, b, c = (float(np.linalg.norm(v)) for v in (one, other, one - other))
    sine = float(np.linalg.norm(np.cross(one, other))) / (a * b)
    if sine < BENT:
        return 0.0
    return LINDH_BEND * decay * (c / (a * b * sine)) ** 2 * BOHR_ANGSTROM**2


def model_hessian(atoms: Atoms) -> np.ndarray:
    """Springs, SOFT where they leave an atom free, RIGID for the adsorbate as a whole: (3n, 3n), eV/Angstrom^2."""
    return springs(atoms).hessian(atoms.positions) + anchors(atoms)


def anchors(atoms: Atoms) -> np.ndarray:
    """What holds the atoms where they are: (3n, 3n), eV/Angstrom^2."""
    held = SOFT * np.eye(3 * len(atoms))
    if (mine := adsorbate(atoms)).any():
        coordinates = (3 * np.flatnonzero(mine)[:, None] + np.arange(3)).ravel()
        modes = rigid_modes(atoms.positions[mine])
        held[np.ix_(coordinates, coordinates)] += (RIGID - SOFT) * modes.T @ modes
    return held


def adsorbate(atoms: Atoms) -> np.ndarray:
    """Which atoms are an adsorbate's (bool, (n,)): none of a slab, none of a molecule alone, which moves as it likes."""
    mine = atoms.get_tags() == 1
    return mine if not mine.all() else np.zeros_like(mine)


def layers(atoms: Atoms, held: Sequence[int]) -> list[list[int]]:
    """Parts of a slab that no covalent bond ties to a held atom or to each other; none of a molecule alone."""
    mine, fixed = atoms.get_tags() == 1, set(held)
    if mine.all():
        return []
    bonds = [(i, j) for i, j in connectivity(atoms) if not mine[i] and not mine[j]]
    return [part for part in pieces(len(atoms), bonds) if not mine[part[0]] and fixed.isdisjoint(part)]


def generalised_force(positions: np.ndarray, forces: np.ndarray) -> float:
    """Largest of the forces on the atoms and those along the rigid-body modes, eV/Angstrom.

    The latter are sums over the atoms: a molecule that stands where it wants to lie has small forces on every atom.
    """
    along = rigid_modes(positions) @ forces.ravel()
    return float(max(np.linalg.norm(forces, axis=1).max(), np.abs(along).max()))
