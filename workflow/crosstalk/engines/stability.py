"""Stability of converged self-consistent fields: the lowest eigenvalue of the orbital Hessian and its mode. Hartree.

The Hessian (J. Chem. Phys. 1977, 66, 3045) takes its exchange-correlation part from a coarse grid, since only a sign matters:
that moves clear instabilities by a per cent and zero modes (degenerate open shells) by up to 2e-3, so a negative one is
confirmed on a finer grid.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from crosstalk.engines import low_rank
from crosstalk.engines.dual_grid import COARSE_GRID, on_coarse_grid

CONFIRMING_GRID = 1
#: Eigenvalues of the orbital Hessian above this count as zero; five times the noise of zero modes on CONFIRMING_GRID.
UNSTABLE_BELOW = -2e-4
#: Eigenvalues above this need no second look. Those of sound molecules are 0.1 to 0.3 hartree.
CLEARLY_STABLE = 0.05
#: Of the eigenvector, loose and tight: the error of the eigenvalue is about its square over the spacing of eigenvalues.
RESIDUALS = (2e-2, 3e-3)


def diagnose(mf: Any) -> tuple[str, np.ndarray]:
    """Kind of instability of a converged `mf` ("none"; "internal": within the same kind of determinant; "unrestricted":
    a closed shell that would gain by letting its spins separate) and the mode that lowers the energy.

    A closed shell well stable towards separate spins is stable inside as well: the Coulomb term lifts a rotation of
    both spins above its triplet twin, and correlation of opposite spins alone works against that, weakly.
    """
    if mf.mol.spin == 0 and lowest_mode(mf, triplet=True)[0] > CLEARLY_STABLE:
        return "none", np.empty(0)
    for kind in ("internal",) if mf.mol.spin else ("internal", "unrestricted"):
        for grid in (COARSE_GRID, CONFIRMING_GRID):
            value, mode = lowest_mode(mf, kind == "unrestricted", grid)
            if value >= UNSTABLE_BELOW:
                break
        else:
            return kind, mode
    return "none", np.empty(0)


def lowest_mode(mf: Any, triplet: bool = False, grid: int = COARSE_GRID) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue (hartree) of the orbital Hessian and its mode: virtual-occupied rotations, spin after spin.

    triplet: rotations of a closed shell that are opposite for the two spins.
    """
    from pyscf import lib

    product, gaps = _hessian(mf, triplet, on_coarse_grid(mf, grid))
    if gaps.size == 0:
        return 0.0, gaps
    starts = [np.eye(1, gaps.size, index).ravel() for index in np.argsort(gaps, kind="stable")[:3]]
    starts.append(np.random.default_rng(0).standard_normal(gaps.size) / gaps)  # reaches every symmetry
    for residual in RESIDUALS:
        _, values, vectors = lib.davidson1(
            lambda xs: list(product(np.asarray(xs))),
            starts,
            lambda r, value, _: r / np.where(abs(gaps - value) < 1e-8, 1e-8, gaps - value),
            tol=residual / 20, tol_residual=residual, nroots=1, max_cycle=40, max_space=40, verbose=0,
        )  # fmt: skip
        if values[0] > CLEARLY_STABLE:
            break
        starts = vectors
    mode = vectors[0] * np.sign(vectors[0][np.argmax(abs(vectors[0]))])
    return float(values[0]), mode


def _hessian(mf: Any, triplet: bool, coarse: Any) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Hessian times vectors (n, size) with the response of `coarse`, and virtual minus occupied levels (hartree)."""
    spins, closed = _spins(mf), np.ndim(mf.mo_occ) == 1
    gaps = np.concatenate([(v_e[:, None] - o_e[None, :]).ravel() for _, _, o_e, v_e in spins])
    if hasattr(coarse, "with_solvent"):
        if triplet:
            coarse = coarse.undo_solvent()  # a spin density without charge polarises nothing
        else:
            coarse.with_solvent = mf.with_solvent.copy().set(equilibrium_solvation=True)
    respond = coarse.gen_response(hermi=1, **({"singlet": False if triplet else None} if closed else {}))
    occupied = low_rank.Occupied([o for o, _, _, _ in spins])
    edges = np.cumsum([v.shape[1] * o.shape[1] for o, v, _, _ in spins])[:-1]

    def product(xs: np.ndarray) -> np.ndarray:
        partners, parts = [], []
        for (o, v, _, _), x in zip(spins, np.split(xs, edges, axis=1), strict=True):
            partners.append(v @ x.reshape(len(xs), v.shape[1], o.shape[1]) * (2 if closed else 1))
        half = np.array([a @ o.T for a, (o, _, _, _) in zip(partners, spins, strict=True)])
        d = half + np.swapaxes(half, -1, -2)
        trial = low_rank.tagged(d[0] if closed else d, occupied, partners)
        for (o, v, _, _), a in zip(spins, np.reshape(respond(trial), d.shape), strict=True):
            parts.append((v.T @ a @ o).reshape(len(xs), -1))
        return gaps * xs + np.concatenate(parts, axis=1)

    return product, gaps


def _spins(mf: Any) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Per spin (one entry for a closed shell): occupied and virtual orbitals, occupied and virtual levels."""
    occupations, levels = np.atleast_2d(mf.mo_occ), np.atleast_2d(mf.mo_energy)
    orbitals = np.reshape(mf.mo_coeff, (len(levels), mf.mol.nao, -1))
    return [(c[:, f], c[:, ~f], e[f], e[~f]) for c, f, e in zip(orbitals, occupations > 0, levels, strict=True)]
