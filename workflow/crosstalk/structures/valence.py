"""A valence force field for covalent networks: what a chosen set of bonds would like to look like.

Bond stretches and angles after Tu and Tersoff, Phys. Rev. Lett. 2000, 84, 4393 (Si, SiO2 and their interface):

    E = 1/2 sum k_b (b - b0)^2 + 1/2 sum k_t (cos t - cos t0)^2 + 1/2 k_r sum (d0 - d)^2,

the last sum over non-bonded pairs nearer than d0.

It ranks the strain of candidate structures and brings new bonds to their length before an electronic-structure method
takes over; its energies are never reported. Bonds are (i, j, k, m, n): from atom i to atom j in the cell k, m, n
(n is 0 in slabs).
"""

import math
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii, vdw_alvarez
from ase.neighborlist import natural_cutoffs, neighbor_list

from crosstalk.structures.frame import BOND_FACTOR

Bond = tuple[int, int, int, int, int]

#: Stretches of Tu and Tersoff: force constant in eV/Angstrom^2, length in Angstrom.
STRETCH = {frozenset({"Si"}): (9.08, 2.35), frozenset({"Si", "O"}): (27.0, 1.60)}
#: Other bonds: as stiff as Si-O, sum of the covalent radii long.
STIFF = 27.0
#: Angles of Tu and Tersoff at Si (tetrahedral) by neighbours of each side, eV: that of unlike neighbours is the
#: geometric mean.
AT_TETRAHEDRON = {"Si": 3.58, "O": 4.32}
#: Angle at a bridging O: eV, cosine of a straight one; at a hydroxyl's O: as stiff, 115 degrees.
AT_BRIDGE, STRAIGHT, HYDROXYL = 0.75, -1.0, math.cos(math.radians(115.0))
#: Non-bonded pairs keep this share of the sum of their van der Waals radii (Alvarez 2013), softly: eV/Angstrom^2. Ours.
CONTACT, REPULSION = 0.8, 1.0
#: How far non-bonded pairs are listed, Angstrom, and how often the list is made anew.
LISTED, ROUNDS = 5.0, 2


def bonds_of(atoms: Atoms) -> list[Bond]:
    """The bonds of a structure, each once."""
    i, j, shifts = neighbor_list("ijS", atoms, natural_cutoffs(atoms, mult=BOND_FACTOR))
    found = {(a, b, *s) for a, b, s in zip(i.tolist(), j.tolist(), shifts.tolist(), strict=True)}
    return sorted(bond for bond in found if bond <= reverse(bond))


def reverse(bond: Bond) -> Bond:
    i, j, k, m, n = bond
    return j, i, -k, -m, -n


def neighbours(n_atoms: int, bonds: Sequence[Bond]) -> list[list[Bond]]:
    """For every atom its bonds, each seen from that atom."""
    found: list[list[Bond]] = [[] for _ in range(n_atoms)]
    for bond in bonds:
        found[bond[0]].append(bond)
        found[bond[1]].append(reverse(bond))
    return found


def relaxed(atoms: Atoms, bonds: Sequence[Bond], rounds: int = ROUNDS, steps: int = 300) -> tuple[Atoms, float]:
    """`atoms` relaxed in their cell with these bonds, and the strain that is left, eV.

    At most `steps` after each listing of contacts, of which there are `rounds`.
    """
    from scipy.optimize import minimize

    moved, energy = atoms.copy(), 0.0
    for _ in range(rounds):
        field = Field(moved, bonds)
        options = {"maxiter": steps, "gtol": 1e-2}
        found = minimize(field.energy, moved.positions.ravel(), jac=True, method="L-BFGS-B", options=options)
        moved.positions, energy = found.x.reshape(-1, 3), float(found.fun)
    return moved, energy


class Links:
    """Vectors between pairs of atoms as a linear map of the positions."""

    def __init__(self, bonds: Sequence[Bond], n_atoms: int, cell: np.ndarray):
        from scipy.sparse import csr_array

        table = np.array(bonds, dtype=int).reshape(-1, 5)
        rows = np.arange(len(table))
        ones = np.ones(len(table))
        ends = csr_array((ones, (rows, table[:, 1])), shape=(len(table), n_atoms))
        starts = csr_array((ones, (rows, table[:, 0])), shape=(len(table), n_atoms))
        self.difference = (ends - starts).tocsr()
        self.transposed = self.difference.T.tocsr()
        self.offset = table[:, 2:] @ cell

    def vectors(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors (n, 3) and their lengths (n), Angstrom."""
        found = self.difference @ xyz + self.offset
        return found, np.linalg.norm(found, axis=1)


class Field:
    """Energy and gradient of a network whose bonds are given."""

    def __init__(self, atoms: Atoms, bonds: Sequence[Bond]):
        symbols, cell, n_atoms = atoms.symbols, atoms.cell.array, len(atoms)
        around = neighbours(len(atoms), bonds)
        self.bonds = Links(bonds, n_atoms, cell)
        constants = [_stretch(symbols[bond[0]], symbols[bond[1]]) for bond in bonds]
        self.stiffness, self.length = np.array(constants, float).reshape(-1, 2).T
        pairs, angles = [], []
        for own in around:
            for k, first in enumerate(own):
                for second in own[k + 1 :]:
                    pairs.append((first, second))
                    angles.append(_angle(symbols[first[0]], symbols[first[1]], symbols[second[1]], len(own)))
        self.first = Links([pair[0] for pair in pairs], n_atoms, cell)
        self.second = Links([pair[1] for pair in pairs], n_atoms, cell)
        self.bending, self.cosine = np.array(angles, float).reshape(-1, 2).T
        listed, self.contact = _contacts(atoms, bonds, pairs)
        self.contacts = Links(listed, n_atoms, cell)

    def energy(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Energy in eV and its gradient, eV/Angstrom, at positions (3n,) in Angstrom."""
        xyz = flat.reshape(-1, 3)
        vectors, lengths = self.bonds.vectors(xyz)
        off = lengths - self.length
        gradient = self.bonds.transposed @ ((self.stiffness * off / lengths)[:, None] * vectors)
        total = 0.5 * float((self.stiffness * off**2).sum())
        vectors, lengths = self.contacts.vectors(xyz)
        overlap = np.minimum(lengths - self.contact, 0.0)
        gradient += self.contacts.transposed @ ((REPULSION * overlap / lengths)[:, None] * vectors)
        total += 0.5 * REPULSION * float((overlap**2).sum())
        return total + self._bend(xyz, gradient), gradient.ravel()

    def _bend(self, xyz: np.ndarray, gradient: np.ndarray) -> float:
        """Energy of the angles, eV; their part is added to the gradient (n, 3)."""
        a, la = self.first.vectors(xyz)
        b, lb = self.second.vectors(xyz)
        ua, ub = a / la[:, None], b / lb[:, None]
        cosine = (ua * ub).sum(axis=1)
        off = cosine - self.cosine
        slope = (self.bending * off)[:, None]
        gradient += self.first.transposed @ (slope * (ub - cosine[:, None] * ua) / la[:, None])
        gradient += self.second.transposed @ (slope * (ua - cosine[:, None] * ub) / lb[:, None])
        return 0.5 * float((self.bending * off**2).sum())


def _stretch(first: str, second: str) -> tuple[float, float]:
    radii = covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]]
    return STRETCH.get(frozenset({first, second}), (STIFF, float(radii)))


def _angle(centre: str, first: str, second: str, coordination: int) -> tuple[float, float]:
    """Force constant (eV) and cosine of an angle."""
    if centre == "O":
        return AT_BRIDGE, HYDROXYL if "H" in (first, second) else STRAIGHT
    stiffness = [AT_TETRAHEDRON.get(symbol, AT_TETRAHEDRON["Si"]) for symbol in (first, second)]
    return math.sqrt(stiffness[0] * stiffness[1]), -1.0 / max(coordination - 1, 1)


def _contacts(
    atoms: Atoms, bonds: Sequence[Bond], angles: Sequence[tuple[Bond, Bond]]
) -> tuple[list[Bond], np.ndarray]:
    """Pairs that are neither bonded nor bonded to the same atom, and the distance that they keep, Angstrom."""
    near = set(bonds) | {reverse(bond) for bond in bonds}
    for (_, i, *there), (_, j, *elsewhere) in angles:
        k, m, n = (b - a for a, b in zip(there, elsewhere, strict=True))
        near |= {(i, j, k, m, n), (j, i, -k, -m, -n)}
    radii = np.where(np.isnan(vdw_alvarez.vdw_radii[atoms.numbers]), 2.0, vdw_alvarez.vdw_radii[atoms.numbers])
    first, second, shifts = neighbor_list("ijS", atoms, LISTED)
    every = np.column_stack([first, second, shifts])[first <= second].tolist()
    listed = [bond for bond in map(tuple, every) if bond <= reverse(bond) and bond not in near]
    ends = np.array(listed, dtype=int).reshape(-1, 5)
    return listed, CONTACT * (radii[ends[:, 0]] + radii[ends[:, 1]])
