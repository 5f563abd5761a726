"""Forces of the exchange-correlation energy with the response of the grid, by way of the occupied orbitals.

PySCF builds matrices over all basis functions for each component of the gradient; contracted with the occupied orbitals
at once, the same sums take a fraction of the products. With phi the basis functions, psi the occupied orbitals (each
times the root of its occupation), rho, grad rho and tau from psi, and v the derivatives of the energy density by them:

    T(i, x) = sum_g w { d_x phi_i [2 v_rho psi + 2 sum_y v_y d_y psi] + sum_y d_x d_y phi_i [2 v_y psi + v_tau d_y psi] } C_i

is what the energy gains when function i stays and the points move along x. Points move with their atoms and so do the
functions, and the weights change (`grid_weights`): dE/dR_A = sum(T of A's points) - sum(T of A's functions) + sum_g f dw_g/dR_A.
Johnson, Gill and Pople, J. Chem. Phys. 98, 5612 (1993).
"""

from typing import Any

import numpy as np

from crosstalk.engines import grid_orbitals
from crosstalk.engines.grid_weights import Partition

#: Points of a grid taken at once: ten components of a few hundred functions stay below 200 MB.
POINTS = 4000
#: Place of d_x d_y phi among the components that PySCF evaluates.
SECOND = np.array([[4, 5, 6], [5, 7, 8], [6, 8, 9]])


def xc_gradient(mf: Any) -> np.ndarray:
    """dE_xc/dR of a converged restricted or unrestricted Kohn-Sham field without VV10, hartree/bohr (n, 3)."""
    from pyscf.dft import gen_grid

    mol, numint = mf.mol, type(mf._numint)()
    kind = numint._xc_type(mf.xc)
    gradient = np.zeros((mol.natm, 3))
    if kind == "HF":
        return gradient
    orbitals = grid_orbitals.occupied(mf)
    owner = owners(mol)
    partition = Partition(mf.grids)
    for atom, (every, volumes) in enumerate(partition.shares()):
        for start in range(0, len(every), POINTS):
            points = every[start : start + POINTS]
            weights = partition.weigh(atom, points, volumes[start : start + POINTS])
            mask = gen_grid.make_mask(mol, points)
            order = 1 if kind == "LDA" else 2
            phi = numint.eval_ao(mol, points, deriv=order, non0tab=mask, cutoff=mf.grids.cutoff)
            density, pulls = _block(numint, mf.xc, kind, phi, weights.values, orbitals)
            gradient += weights.pulls(density)
            gradient[atom] += pulls.sum(axis=0)
            np.subtract.at(gradient, owner, pulls)
    return gradient


def owners(mol: Any) -> np.ndarray:
    """Atom of each function."""
    return np.repeat(np.arange(mol.natm), np.diff(mol.aoslice_by_atom()[:, 2:]).ravel())


def _block(
    numint: Any, xc: str, kind: str, phi: np.ndarray, weights: np.ndarray, orbitals: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Energy density (hartree/bohr^3) at some points, and what each function pulls at them (function, 3), hartree/bohr."""
    n_first = 1 if kind == "LDA" else 4
    psi = [np.array([component @ c for component in phi[:n_first]]) for c in orbitals]
    energy, potential = grid_orbitals.energy_and_potential(numint, xc, kind, psi)
    pulls = np.zeros((phi.shape[2], 3))
    for p, v, c in zip(psi, potential * weights, orbitals, strict=True):
        v = v[:, :, None]
        first = 2 * v[0] * p[0]
        if kind != "LDA":
            first = first + 2 * sum(v[1 + y] * p[1 + y] for y in range(3))
            second = [2 * v[1 + y] * p[0] + (v[4] * p[1 + y] if kind == "MGGA" else 0.0) for y in range(3)]
        for x in range(3):
            product = phi[1 + x].T @ first
            if kind != "LDA":
                for y in range(3):
                    product += phi[SECOND[x, y]].T @ second[y]
            pulls[:, x] += np.einsum("ik,ik->i", product, c)
    return energy, pulls
