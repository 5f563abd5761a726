"""Stability of converged self-consistent fields: the lowest eigenvalue of the orbital Hessian and its mode. Hartree.

The Hessian (J. Chem. Phys. 1977, 66, 3045) takes its exchange-correlation part from a coarse grid, since only a sign matters:
that moves clear instabilities by a per cent and zero modes (degenerate open shells) by up to 2e-3, so a negative one is
confirmed on a finer grid.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosstalk.engines import low_rank
from crosstalk.engines.dual_grid import COARSE_GRID, on_coarse_grid

CONFIRMING_GRID = 1
#: Eigenvalues of the orbital Hessian above this count as zero; five times the noise of zero modes on CONFIRMING_GRID.
UNSTABLE_BELOW = -2e-4
#: Eigenvalues above this need no second look. Those of sound molecules are 0.1 to 0.3 hartree.
CLEARLY_STABLE = 0.05
#: Below this one neither: the value of a trial mode is above the lowest eigenvalue, and the coarse grid is not off by as much.
CLEARLY_UNSTABLE = -5e-3
#: Of the eigenvector, loose and tight: the error of the eigenvalue is about its square over the spacing of eigenvalues.
RESIDUALS = (2e-2, 3e-3)
#: Two fields are in one state when the occupied orbitals of one lie within those of the other to this (least cosine).
SAME_STATE = 0.999


@dataclass(frozen=True)
class Verdict:
    """What a stability analysis found. kind: "none"; "internal": unstable within the same kind of determinant;
    "unrestricted": a closed shell that would gain by letting its spins separate. mode: the lowest one that was found, for the
    `orbitals` and `occupations` of its field; lowest: its eigenvalue, hartree."""

    kind: str
    mode: np.ndarray
    lowest: float
    orbitals: np.ndarray
    occupations: np.ndarray

    def settles(self, mf: Any) -> bool:
        """Whether it is clear enough, and `mf` near enough, to hold for `mf` too."""
        return self.kind == "none" and self.lowest > CLEARLY_STABLE and _same_state(self, mf)

    def mode_for(self, mf: Any) -> np.ndarray:
        """Its mode, for the orbitals of another field of the same basis."""
        overlap, parts, at = mf.get_ovlp(), [], 0
        for (o, v), (o_new, v_new) in zip(_subspaces(self.orbitals, self.occupations), _subspaces_of(mf), strict=True):
            size = v.shape[1] * o.shape[1]
            rotation = v @ self.mode[at : at + size].reshape(v.shape[1], o.shape[1]) @ o.T
            parts.append((v_new.T @ overlap @ rotation @ overlap @ o_new).ravel())
            at += size
        return np.concatenate(parts)


def diagnose(mf: Any, before: Verdict | None = None) -> Verdict:
    """Stability of a converged `mf`.

    A closed shell well stable towards separate spins is stable inside as well: the Coulomb term lifts a rotation of
    both spins above its triplet twin, and correlation of opposite spins alone works against that, weakly.
    before: the verdict on a field nearby, an open shell.
    """

    def verdict(kind: str, mode: np.ndarray, lowest: float) -> Verdict:
        return Verdict(kind, mode, lowest, np.asarray(mf.mo_coeff), np.asarray(mf.mo_occ))

    if before is not None and before.settles(mf):
        return verdict("none", before.mode_for(mf), before.lowest)
    if mf.mol.spin == 0:
        value, mode = lowest_mode(mf, triplet=True)
        if value > CLEARLY_STABLE:
            return verdict("none", mode, value)
    known = before.mode_for(mf) if before is not None and before.mode.size else None
    for kind in ("internal",) if mf.mol.spin else ("internal", "unrestricted"):
        opposite = kind == "unrestricted"
        value, mode = lowest_mode(mf, opposite, guess=known)
        if CLEARLY_UNSTABLE <= value < UNSTABLE_BELOW:
            value, mode = lowest_mode(mf, opposite, CONFIRMING_GRID, mode)
        if value < UNSTABLE_BELOW:
            return verdict(kind, mode, value)
        known = None
    return verdict("none", mode, value)


def lowest_mode(
    mf: Any, triplet: bool = False, grid: int = COARSE_GRID, guess: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue (hartree) of the orbital Hessian and its mode: virtual-occupied rotations, spin after spin.

    triplet: rotations of a closed shell that are opposite for the two spins. guess: about what the mode is.
    """
    from pyscf import lib

    product, gaps = _hessian(mf, triplet, on_coarse_grid(mf, grid))
    if gaps.size == 0:
        return 0.0, gaps
    lowest = np.argsort(gaps, kind="stable")[: 3 if guess is None else 1]
    starts = [] if guess is None else [guess]
    starts += [np.eye(1, gaps.size, index).ravel() for index in lowest]
    starts.append(np.random.default_rng(0).standard_normal(gaps.size) / gaps)  # reaches every symmetry
    for residual in RESIDUALS:
        _, values, vectors = lib.davidson1(
            lambda xs: list(product(np.asarray(xs))),
            starts,
            lambda r, value, _: r / np.where(abs(gaps - value) < 1e-8, 1e-8, gaps - value),
            tol=residual / 20, tol_residual=residual, nroots=1, max_cycle=40, max_space=40, verbose=0,
        )  # fmt: skip
        if values[0] > CLEARLY_STABLE or values[0] < CLEARLY_UNSTABLE:
            break
        starts = vectors
    mode = vectors[0] * np.sign(vectors[0][np.argmax(abs(vectors[0]))])
    return float(values[0]), mode


def _same_state(verdict: Verdict, mf: Any) -> bool:
    overlap = mf.get_ovlp()
    pairs = zip(_subspaces(verdict.orbitals, verdict.occupations), _subspaces_of(mf), strict=True)
    cosines = [np.linalg.svd(a.T @ overlap @ b, compute_uv=False) for (a, _), (b, _) in pairs if a.shape[1]]
    return all(c.min() > SAME_STATE for c in cosines)


def _subspaces(orbitals: np.ndarray, occupations: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Occupied and virtual orbitals of each spin (one entry for a closed shell)."""
    filled = np.atleast_2d(occupations) > 0
    every = np.reshape(orbitals, (len(filled), -1, filled.shape[1]))
    return [(c[:, f], c[:, ~f]) for c, f in zip(every, filled, strict=True)]


def _subspaces_of(mf: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    return _subspaces(np.asarray(mf.mo_coeff), np.asarray(mf.mo_occ))


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
    filled, levels = np.atleast_2d(mf.mo_occ) > 0, np.atleast_2d(mf.mo_energy)
    return [(*part, e[f], e[~f]) for part, f, e in zip(_subspaces_of(mf), filled, levels, strict=True)]
