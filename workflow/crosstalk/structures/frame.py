"""The frame of every slab: surface cell in the xy plane, normal along z, vacuum on both sides; and what a bond is.

Bonds are pairs nearer than BOND_FACTOR times the sum of covalent radii (Cordero 2008, ase.data.covalent_radii).
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from crosstalk.errors import CrosstalkError

BOND_FACTOR = 1.15
#: Vacuum that a builder puts on each side, Angstrom: the potential of a slab is flat 4 to 5 Angstrom above it.
VACUUM = 8.0
ANGSTROM2_PER_NM2 = 100.0


def in_box(atoms: Atoms, vacuum_angstrom: float) -> Atoms:
    """A copy in the middle of a box with that much vacuum on each side, Angstrom."""
    boxed = atoms.copy()
    z = boxed.positions[:, 2]
    cell = boxed.cell.array
    cell[2] = (0, 0, z.max() - z.min() + 2 * vacuum_angstrom)
    boxed.set_cell(cell)
    boxed.pbc = (True, True, False)
    boxed.positions[:, 2] += vacuum_angstrom - z.min()
    return boxed


def area(atoms: Atoms) -> float:
    """Area of the surface cell, Angstrom^2."""
    return float(np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1])))


def finish(symbols: Sequence[str], positions: np.ndarray, plane: np.ndarray) -> Atoms:
    """A slab with its surface cell reduced and turned (first vector along x), wrapped in plane, in minimal vacuum."""
    cell = np.array([plane[0], plane[1], np.cross(plane[0], plane[1])])
    atoms = Atoms(symbols, positions, cell=cell, pbc=(True, True, False))
    atoms.wrap(eps=1e-6)
    return in_box(atoms, VACUUM)


def rattled(atoms: Atoms, deviation_angstrom: float) -> Atoms:
    """Every coordinate displaced at random with that standard deviation, always in the same way.

    Forces on the atoms of a symmetric slab leave its symmetry as it is, also where that is a saddle point.
    """
    moved = atoms.copy()
    moved.rattle(stdev=deviation_angstrom, seed=0)
    return moved


def enlarged(atoms: Atoms, surface_cell: Sequence[Sequence[int]]) -> Atoms:
    """The slab in a larger surface cell, whose two vectors are given in those of the old one: [[m, n], [k, l]].

    Raises CrosstalkError when the two vectors are parallel.
    """
    from ase.build import make_supercell

    matrix = np.eye(3, dtype=int)
    matrix[:2, :2] = surface_cell
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    if determinant == 0:
        raise CrosstalkError(f"surface_cell {[list(row) for row in surface_cell]}: its two vectors are parallel")
    if determinant < 0:
        matrix[[0, 1]] = matrix[[1, 0]]
    large = make_supercell(atoms, matrix, order="cell-major")
    return turned(large)


def turned(atoms: Atoms) -> Atoms:
    """The slab with its first cell vector along x."""
    a, b = atoms.cell.array[:2]
    x = a / np.linalg.norm(a)
    rotation = np.array([x, np.cross([0.0, 0.0, 1.0], x), [0.0, 0.0, 1.0]]).T
    return finish(list(atoms.symbols), atoms.positions @ rotation, np.array([a, b]) @ rotation)
