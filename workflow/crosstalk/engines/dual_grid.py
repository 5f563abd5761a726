"""Self-consistency on two grids: most cycles on a coarse grid, the answer of the fine one.

The coarse field gets, beside its own exchange-correlation energy, what the fine grid (and VV10) adds at a reference
density D0, and that addition's potential as a term linear in D - D0:

    E[D] = E_coarse[D] + d(D0) + tr v(D0) (D - D0),   d = E_fine - E_coarse,   v = V_fine - V_coarse

Its stationary point moves with D0, and where D = D0 it is exactly the fine grid's. The grids differ little, so two or
three references are enough: as many evaluations on the fine grid, where a plain field takes one for each cycle.

What v does to the occupied orbitals C of D0 is all that energies and forces need, and v C takes a fraction of the products
of v. The potential made of it, with C C^T S the projector on the occupied space,

    v' = v C C^T S + S C (v C)^T - S C (C^T v C) C^T S,

acts on C as v does and lacks v among empty orbitals, so that their energies are the coarse grid's: for geometries on the way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosstalk.engines import grid_orbitals
from crosstalk.engines.diis import Pairs

COARSE_GRID = 0
#: References tried before the fine grid is iterated itself.
MAX_REFERENCES = 8
#: The orbitals are as good as the change of the potential from one reference to the next, hartree: the largest element of
#: what it does to the occupied ones. Or the limit of the orbital gradient, where one was set.
SAME_POTENTIAL = 1e-5
#: What is left of a change of the potential, and of the energy (second order in it), after one more reference: at most.
#: Measured 0.01 to 0.03, and below 1e-3. A change that will be below its limit then needs no look at the fine grid to say so.
NEXT_POTENTIAL, NEXT_ENERGY = 0.1, 0.01


def on_coarse_grid(mf: Any, grid: int = COARSE_GRID) -> Any:
    """A copy of `mf` on a coarse grid, without VV10 (which hardly moves an orbital and is slow)."""
    from pyscf import dft

    coarse = mf.copy()
    coarse.grids = dft.gen_grid.Grids(mf.mol).set(level=grid).build(with_non0tab=True)
    coarse.nlc = 0
    return coarse


@dataclass(frozen=True)
class Addition:
    """What the fine grid adds to the coarse one at `density`: energy (hartree) and potential (shape of the density)."""

    density: np.ndarray
    energy: float
    potential: np.ndarray

    def at(self, density: np.ndarray) -> float:
        """Energy added at another density, to first order."""
        return self.energy + float(np.vdot(self.potential, density - self.density))


def addition(fine: Any, coarse: Any, density: np.ndarray, whole: bool = True) -> Addition:
    """Evaluate both grids at `density`; with its orbitals attached (PySCF's tags) that is several times faster.

    whole: the potential as it is; else, of a density with orbitals and without VV10, what it does to them (v' above).
    """
    fine.initialize_grids(fine.mol, density)
    if not whole and hasattr(density, "mo_coeff") and not fine.do_nlc():
        return _on_occupied(fine, coarse, density)
    energy, potential = _semilocal(fine, fine.grids, density)
    if fine.do_nlc():
        kernel = fine.xc if fine._numint.libxc.is_nlc(fine.xc) else fine.nlc
        total = density if density.ndim == 2 else density[0] + density[1]
        _, more, beyond = fine._numint.nr_nlc_vxc(fine.mol, fine.nlcgrids, kernel, total)
        energy, potential = energy + more, potential + beyond
    less, under = _semilocal(coarse, coarse.grids, density)
    return Addition(np.asarray(density), float(energy - less), np.asarray(potential - under))


def _on_occupied(fine: Any, coarse: Any, density: np.ndarray) -> Addition:
    """`addition` with v' in place of v."""
    orbitals = grid_orbitals.occupied(density)
    overlap = fine.get_ovlp()
    energy, acted = grid_orbitals.potential_on(fine, fine.grids, orbitals)
    less, under = grid_orbitals.potential_on(coarse, coarse.grids, orbitals)
    potentials = []
    for c, vc in zip(orbitals, (a - b for a, b in zip(acted, under, strict=True)), strict=True):
        sc = overlap @ c
        dual = sc @ np.linalg.inv(c.T @ sc)
        half = vc @ dual.T - dual @ (c.T @ vc) @ dual.T / 2
        potentials.append(half + half.T)
    made = potentials[0] if density.ndim == 2 else np.array(potentials)
    return Addition(np.asarray(density), energy - less, made)


def _semilocal(mf: Any, grids: Any, density: np.ndarray) -> tuple[float, np.ndarray]:
    """Exchange-correlation energy and potential of the class's own integrator, without VV10."""
    numint = type(mf._numint)()
    integrate = numint.nr_rks if density.ndim == 2 else numint.nr_uks
    _, energy, potential = integrate(mf.mol, grids, mf.xc, density)
    return float(energy), np.asarray(potential)


def corrected(coarse: Any, extra: Addition) -> Any:
    """A copy of `coarse` whose integrator adds `extra`. Its response is the coarse grid's."""
    mf = coarse.copy()
    mf._numint = numint = coarse._numint.copy()
    own = {name: getattr(type(numint)(), name) for name in ("nr_rks", "nr_uks")}

    def integrate(name: str) -> Callable[..., tuple[Any, float, np.ndarray]]:
        def run(mol: Any, grids: Any, xc: str, density: np.ndarray, *args: Any, **options: Any) -> Any:
            count, energy, potential = own[name](mol, grids, xc, density, *args, **options)
            return count, energy + extra.at(np.asarray(density)), potential + extra.potential

        return run

    numint.nr_rks, numint.nr_uks = integrate("nr_rks"), integrate("nr_uks")
    return mf


def converge(
    fine: Any,
    density: np.ndarray,
    iterate: Callable[[Any, np.ndarray, bool, Pairs], None],
    empty_levels: bool = True,
    borrowed: Addition | None = None,
) -> Addition | None:
    """Converge `fine` from `density`; `iterate(field, density, last, pairs)` converges a field, which may be the `last` one, and
    may learn from the `pairs` of those before. The last reference
    when it worked.

    The result (e_tot, mo_energy, mo_coeff, mo_occ, converged) is written into `fine`. empty_levels: whether the energies of
    empty orbitals have to be the fine grid's too. borrowed: the last reference of a geometry nearby (`carried`), in place of
    a look at the fine grid while the orbitals are not good yet.
    """
    coarse = on_coarse_grid(fine)
    same = min(SAME_POTENTIAL, fine.conv_tol_grad or np.inf)
    extra = borrowed or addition(fine, coarse, density, whole=empty_levels)
    error, moved, pairs = np.inf, np.inf, Pairs(fine.diis_space)
    for number in range(MAX_REFERENCES):
        mf = corrected(coarse, extra)
        iterate(mf, density, number > 0, pairs)  # of the first one it is not known how far its reference is off
        if not mf.converged:
            return None
        density = mf.make_rdm1()
        own = extra is not borrowed
        if own and abs(error) * NEXT_ENERGY < fine.conv_tol and moved * NEXT_POTENTIAL < same:
            error, moved = 0.0, 0.0
        else:
            before, extra = extra, addition(fine, coarse, density, whole=empty_levels)
            # of another geometry only the potential counts: what the next reference leaves is of second order in its change
            error = extra.energy - before.at(density) if own else 0.0
            change = extra.potential - before.potential
            moved = _largest(change, density)
            pairs.shift(change, extra.energy - before.at(density))
        if own and abs(error) < fine.conv_tol and moved < same:
            fine.converged, fine.e_tot = True, float(mf.e_tot) + error
            fine.mo_energy, fine.mo_coeff, fine.mo_occ = mf.mo_energy, mf.mo_coeff, mf.mo_occ
            return extra
    return None


def carried(reference: Addition, old: np.ndarray, density: np.ndarray, overlap: np.ndarray) -> Addition:
    """A reference for orbitals of another geometry: its potential among `old` orbitals (its own geometry's; of each spin, when
    there are two) holds among those of `density` (PySCF's tags), which are orthonormal in `overlap`."""

    def turned(v: np.ndarray, c: np.ndarray, n: np.ndarray) -> np.ndarray:
        dual = overlap @ n
        return np.asarray(dual @ (c.T @ v @ c) @ dual.T)

    parts = (reference.potential, np.asarray(old), np.asarray(density.mo_coeff))  # type: ignore[attr-defined]
    potential = turned(*parts) if density.ndim == 2 else np.array([turned(*part) for part in zip(*parts, strict=True)])
    return Addition(np.asarray(density), reference.energy, potential)


def _largest(potential: np.ndarray, density: np.ndarray) -> float:
    """Largest element of what a potential does to the occupied orbitals of a density."""
    parts = potential[None] if potential.ndim == 2 else potential
    return max(float(abs(v @ c).max(initial=0.0)) for v, c in zip(parts, grid_orbitals.occupied(density), strict=True))
