"""The van der Waals envelope of a molecule: overlapping spheres, as a polarisable continuum takes them for its cavity."""

import numpy as np

#: Spheres of the van der Waals radii times this.
SCALE = 1.2


def radii(numbers: np.ndarray) -> np.ndarray:
    """Of the envelope's spheres, Angstrom, by atomic number.

    Van der Waals radii of Bondi (10.1021/j100785a001) and, for main-group elements that he left out, of Mantina et al.
    (10.1021/jp8111556); of Alvarez (10.1039/c3dt50599e) for the others.
    """
    from ase.data import vdw, vdw_alvarez

    known = np.asarray(vdw.vdw_radii)
    every = np.array(vdw_alvarez.vdw_radii)
    every[: len(known)] = np.where(np.isfinite(known), known, every[: len(known)])
    return SCALE * every[numbers]


def depth(points: np.ndarray, positions: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """How far inside the envelope points (n, d) are, Angstrom: below the sphere that is nearest; negative outside.

    With two coordinates for each point and position (d = 2) this is the envelope's shadow.
    """
    found = np.full(len(points), -np.inf)
    for radius, position in zip(radii(numbers), positions, strict=True):
        np.maximum(found, radius - np.linalg.norm(points - position, axis=1), out=found)
    return found
