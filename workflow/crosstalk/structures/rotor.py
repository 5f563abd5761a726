"""A molecule as a rigid rotor: moments of inertia, symmetry number, mass, motions without strain."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

#: A molecule is linear when its smallest moment of inertia is below this part of its largest.
LINEAR = 2e-3
#: Two structures are the same shape within this deviation of atoms, Angstrom, when a symmetry operation is looked for.
SYMMETRY_TOLERANCE = 0.05


def facts(atoms: "Atoms") -> dict[str, Any]:
    """What thermal corrections need beside energy and frequencies: quantities of a record (`crosstalk.thermochemistry`)."""
    moments = np.zeros(3) if len(atoms) == 1 else atoms.get_moments_of_inertia()
    if len(atoms) > 1 and is_linear(atoms):
        moments[0] = 0.0
    return {
        "inertia_amu_angstrom2": moments.tolist(),
        "symmetry_number": symmetry_number(atoms),
        "mass_amu": float(atoms.get_masses().sum()),
    }


def is_linear(atoms: "Atoms") -> bool:
    """True when one moment of inertia all but vanishes."""
    moments = atoms.get_moments_of_inertia()
    return bool(moments[0] < LINEAR * moments[2])


def symmetry_number(atoms: "Atoms") -> int:
    """Rotational symmetry number of a molecule."""
    if len(atoms) == 1:
        return 1
    from pymatgen.core import Molecule
    from pymatgen.symmetry.analyzer import PointGroupAnalyzer

    molecule = Molecule(list(atoms.symbols), atoms.positions)
    return int(PointGroupAnalyzer(molecule, tolerance=SYMMETRY_TOLERANCE).get_rotational_symmetry_number())


def rigid_modes(positions: np.ndarray, masses: np.ndarray | None = None) -> np.ndarray:
    """Orthonormal translations and rotations of a body of n atoms: (6, 3n); (5, 3n) when linear, (3, 3) of an atom.

    Displacements of the atoms; with masses (n,), displacements times the roots of those.
    """
    weights = np.ones(len(positions)) if masses is None else np.asarray(masses, dtype=float)
    centred = positions - weights @ positions / weights.sum()
    axes = np.eye(3)
    moves = [np.tile(axis, (len(positions), 1)) for axis in axes] + [np.cross(axis, centred) for axis in axes]
    _, sizes, modes = np.linalg.svd(
        np.array([(move * np.sqrt(weights)[:, None]).ravel() for move in moves]), full_matrices=False
    )
    return np.asarray(modes[sizes > 1e-6 * sizes[0]])
