"""Forces of density-fitted Coulomb and exchange energies, from the three-index integrals that the SCF has kept.

With (P|Q) = L L^T and B_Q = L^-1 (Q|mu nu), which is what a density-fitted field holds, the fitted density and its
orbital pairs are rho = L^-T (B D) and c_ij = L^-T (C_i B C_j), and the two-electron energy changes with the nuclei by

    dE = sum G(P, mu nu) d(P|mu nu) - 1/2 sum Z(P, Q) d(P|Q)
    G(P, mu nu) = rho_P D(mu nu) - k sum_ij C(mu, i) c_ij(P) C(nu, j)        Z(P, Q) = rho_P rho_Q - k sum_ij c_ij(P) c_ij(Q)

(i, j: occupied orbitals of one spin, summed over both; k: share of exact exchange). Since integrals do not change when all
centres move, the derivatives by mu and nu are enough: an auxiliary function's is minus their sum. PySCF computes the
integrals once more, and their derivatives by the auxiliary centres too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from crosstalk.engines.grid_forces import owners
from crosstalk.engines.grid_orbitals import occupied

#: Memory of a block of derivative integrals, bytes.
BLOCK = 2e8
#: Shares of exchange below this are none: where PySCF takes the line.
NO_EXCHANGE = 1e-10


def can_do(mf: Any) -> bool:
    """Whether a field is density-fitted with all its integrals in memory, in the gas phase."""
    if hasattr(mf, "with_solvent") or mf.__dict__.get("with_df") is None:
        return False
    return all(isinstance(getattr(kept, "_cderi", None), np.ndarray) for kept, *_ in _parts(mf))


def jk_gradient(mf: Any) -> np.ndarray:
    """dE_JK/dR of a converged field that `can_do` accepts, hartree/bohr (n, 3). Raises LinAlgError for an auxiliary basis that
    is linearly dependent."""
    mol, aux = mf.mol, mf.with_df.auxmol
    orbitals = [c for c in occupied(mf) if c.shape[1]]  # a spin may have no electrons
    scale = 1.0 if np.asarray(mf.mo_occ).ndim == 2 else 0.5  # occupied() of a closed shell holds both spins
    gradient = np.zeros((mol.natm, 3))
    for kept, omega, coulomb, share in _parts(mf):
        with mol.with_range_coulomb(omega), aux.with_range_coulomb(omega):
            gradient += _part(mol, aux, kept._cderi, orbitals, coulomb, share * scale)
    return gradient


def _parts(mf: Any) -> list[tuple[Any, float, bool, float]]:
    """(integrals, range parameter, whether Coulomb, share of exchange) for each operator, as PySCF puts them together.

    The range parameter is positive for the long range, negative for the short one, zero for 1/r.
    """
    omega, long, short = mf._numint.rsh_and_hybrid_coeff(mf.xc)
    if not omega:
        return [(mf.with_df, 0.0, True, short)]
    if abs(short) < NO_EXCHANGE:
        whole, attenuated, rest = 0.0, omega, long
    elif abs(long) < NO_EXCHANGE:
        whole, attenuated, rest = 0.0, -omega, short
    else:
        whole, attenuated, rest = short, omega, long - short
    ranged = mf.with_df._rsh_df.get(f"{attenuated:.6f}")
    return [(mf.with_df, 0.0, True, whole), (ranged, attenuated, False, rest)]


def _part(mol: Any, aux: Any, kept: np.ndarray, orbitals: list[np.ndarray], coulomb: bool, share: float) -> np.ndarray:
    """The gradient of Coulomb's and of `share` of the exchange energy of one operator, hartree/bohr (n, 3)."""
    from pyscf import lib

    density = sum(c @ c.T for c in orbitals)
    solve = _solver(aux.intor("int2c2e", hermi=1), len(kept))
    rho = solve(kept @ _packed(density)) if coulomb else np.zeros(aux.nao)
    metric = np.outer(rho, rho)
    pairs = []
    if share:
        for c in orbitals:
            half = np.array([c.T @ lib.unpack_tril(row) @ c for row in kept])
            fitted = solve(half.reshape(len(kept), -1))
            metric -= share * fitted @ fitted.T
            pairs.append(fitted.reshape(aux.nao, *half.shape[1:]))
    atoms, aux_atoms = owners(mol), owners(aux)
    gradient = np.zeros((mol.natm, 3))
    np.add.at(gradient, aux_atoms, np.einsum("pq,xpq->px", metric, aux.intor("int2c2e_ip1")))
    for first, last, part in _blocks(mol, aux):
        derivatives = _derivatives(mol, aux, first, last)
        by_function = np.array([rho[part] @ d.reshape(len(d), -1) for d in derivatives]).reshape(3, *density.shape)
        by_function = (by_function * density).sum(axis=1)
        by_fitted = np.array([d.reshape(len(d), -1) @ density.ravel() for d in derivatives]) * rho[part]
        for c, fitted in zip(orbitals, pairs, strict=False):
            weights = share * (c @ fitted[part] @ c.T)
            slopes = np.einsum("xpnm,pnm->xpm", derivatives, weights)
            by_function -= slopes.sum(axis=1)
            by_fitted -= slopes.sum(axis=2)
        np.subtract.at(gradient, atoms, 2 * by_function.T)
        np.add.at(gradient, aux_atoms[part], 2 * by_fitted.T)
    return gradient


def _solver(metric: np.ndarray, rank: int) -> Callable[[np.ndarray], np.ndarray]:
    """What takes kept integrals of that rank to fitted coefficients: L^-T, or its part that is not singular, as PySCF kept it.

    A long-range metric always is nearly singular, and what is left out of it moves no energy.
    """
    import scipy.linalg
    from pyscf.df.incore import LINEAR_DEP_THR

    if rank == len(metric):
        lower = scipy.linalg.cholesky(metric, lower=True)
        return lambda x: scipy.linalg.solve_triangular(lower, x, lower=True, trans="T")
    values, vectors = scipy.linalg.eigh(metric)
    there = values > LINEAR_DEP_THR
    if there.sum() != rank:
        raise np.linalg.LinAlgError(f"{rank} functions were kept, {there.sum()} are independent")
    root = vectors[:, there] / np.sqrt(values[there])
    return lambda x: root @ x


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
