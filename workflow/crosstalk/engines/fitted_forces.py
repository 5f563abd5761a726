"""Forces of density-fitted Coulomb and exchange energies, from the three-index integrals that the SCF has kept.

With (P|Q) = L L^T and B_Q = L^-1 (Q|mu nu), which is what a density-fitted field holds, the fitted density and its
orbital pairs are rho = L^-T (B D) and c_ij = L^-T (C_i B C_j), and the two-electron energy changes with the nuclei by

    dE = sum G(P, mu nu) d(P|mu nu) - 1/2 sum Z(P, Q) d(P|Q)
    G(P, mu nu) = rho_P D(mu nu) - k sum_ij C(mu, i) c_ij(P) C(nu, j)        Z(P, Q) = rho_P rho_Q - k sum_ij c_ij(P) c_ij(Q)

(i, j: occupied orbitals of one spin, summed over both; k: share of exact exchange). Since integrals do not change when all
centres move, the derivatives by mu and nu are enough: an auxiliary function's is minus their sum. PySCF computes the
integrals once more, and their derivatives by the auxiliary centres too.
"""

from typing import Any

import numpy as np

from crosstalk.engines.grid_forces import occupied, owners

#: Memory of a block of derivative integrals, bytes.
BLOCK = 2e8


def can_do(mf: Any) -> bool:
    """Whether a field is density-fitted, in memory, in the gas phase and without range separation."""
    fitted = getattr(mf, "with_df", None)
    omega = mf._numint.rsh_and_hybrid_coeff(mf.xc)[0]
    return isinstance(getattr(fitted, "_cderi", None), np.ndarray) and not omega and not hasattr(mf, "with_solvent")


def jk_gradient(mf: Any) -> np.ndarray:
    """dE_JK/dR of a converged field that `can_do` accepts, hartree/bohr (n, 3). Raises LinAlgError for an auxiliary basis that
    is linearly dependent."""
    import scipy.linalg
    from pyscf import lib

    mol, aux = mf.mol, mf.with_df.auxmol
    share = mf._numint.rsh_and_hybrid_coeff(mf.xc)[2]
    orbitals = occupied(mf)
    scale = 1.0 if np.asarray(mf.mo_occ).ndim == 2 else 0.5  # occupied() of a closed shell holds both spins
    density = sum(c @ c.T for c in orbitals)
    lower = scipy.linalg.cholesky(aux.intor("int2c2e"), lower=True)
    kept = mf.with_df._cderi
    rho = scipy.linalg.solve_triangular(lower, kept @ _packed(density), lower=True, trans="T")
    metric = np.outer(rho, rho)
    pairs = []
    if share:
        for c in orbitals:
            half = np.array([c.T @ lib.unpack_tril(row) @ c for row in kept])
            fitted = scipy.linalg.solve_triangular(lower, half.reshape(len(kept), -1), lower=True, trans="T")
            metric -= share * scale * fitted @ fitted.T
            pairs.append(fitted.reshape(half.shape))
    atoms, aux_atoms = owners(mol), owners(aux)
    gradient = np.zeros((mol.natm, 3))
    np.add.at(gradient, aux_atoms, np.einsum("pq,xpq->px", metric, aux.intor("int2c2e_ip1")))
    for first, last, part in _blocks(mol, aux):
        derivatives = _derivatives(mol, aux, first, last)
        by_function = np.array([rho[part] @ d.reshape(len(d), -1) for d in derivatives]).reshape(3, *density.shape)
        by_function = (by_function * density).sum(axis=1)
        by_fitted = np.array([d.reshape(len(d), -1) @ density.ravel() for d in derivatives]) * rho[part]
        for c, fitted in zip(orbitals, pairs, strict=False):
            weights = share * scale * (c @ fitted[part] @ c.T)
            slopes = np.einsum("xpnm,pnm->xpm", derivatives, weights)
            by_function -= slopes.sum(axis=1)
            by_fitted -= slopes.sum(axis=2)
        np.subtract.at(gradient, atoms, 2 * by_function.T)
        np.add.at(gradient, aux_atoms[part], 2 * by_fitted.T)
    return gradient


def _packed(density: np.ndarray) -> np.ndarray:
    """Lower triangle that gives, with another one, the trace of the product of two symmetric matrices."""
    from pyscf import lib

    double = lib.pack_tril(density) * 2
    n = np.arange(len(density))
    double[n * (n + 3) // 2] /= 2
    return double


def _blocks(mol: Any, aux: Any) -> list[tuple[int, int, slice]]:
    """(first shell, last shell, functions) of parts of the auxiliary basis whose derivatives fit into BLOCK."""
    loc, most = aux.ao_loc, max(BLOCK / (24 * mol.nao**2), 1)
    blocks, start = [], 0
    for shell in range(1, aux.nbas + 1):
        if shell == aux.nbas or loc[shell + 1] - loc[start] > most:
            blocks.append((start, shell, slice(loc[start], loc[shell])))
            start = shell
    return blocks


def _derivatives(mol: Any, aux: Any, first: int, last: int) -> np.ndarray:
    """(nabla mu nu|P) for auxiliary shells first to last, as (3, P, nu, mu): the order in memory."""
    from pyscf.df.grad.rhf import _int3c_wrapper

    return _int3c_wrapper(mol, aux, "int3c2e_ip1", "s1")((0, mol.nbas, 0, mol.nbas, first, last)).transpose(0, 3, 2, 1)
