"""Self-consistency on two grids: most cycles on a coarse grid, the answer of the fine one.

The coarse field gets, beside its own exchange-correlation energy, what the fine grid (and VV10) adds at a reference
density D0, and that addition's potential as a term linear in D - D0:

    E[D] = E_coarse[D] + d(D0) + tr v(D0) (D - D0),   d = E_fine - E_coarse,   v = V_fine - V_coarse

Its stationary point moves with D0, and where D = D0 it is exactly the fine grid's. The grids differ little, so two or
three references are enough: as many evaluations on the fine grid, where a plain field takes one for each cycle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

COARSE_GRID = 0
#: References tried before the fine grid is iterated itself.
MAX_REFERENCES = 8
#: The orbitals are as good as the change of the potential from one reference to the next, hartree: its largest element.
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


def addition(fine: Any, coarse: Any, density: np.ndarray) -> Addition:
    """Evaluate both grids at `density`; with its orbitals attached (PySCF's tags) that is several times faster."""
    fine.initialize_grids(fine.mol, density)
    energy, potential = _semilocal(fine, fine.grids, density)
    if fine.do_nlc():
        kernel = fine.xc if fine._numint.libxc.is_nlc(fine.xc) else fine.nlc
        total = density if density.ndim == 2 else density[0] + density[1]
        _, more, beyond = fine._numint.nr_nlc_vxc(fine.mol, fine.nlcgrids, kernel, total)
        energy, potential = energy + more, potential + beyond
    less, under = _semilocal(coarse, coarse.grids, density)
    return Addition(np.asarray(density), float(energy - less), np.asarray(potential - under))


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


def converge(fine: Any, density: np.ndarray, iterate: Callable[[Any, np.ndarray], None]) -> bool:
    """Converge `fine` from `density`; `iterate(field, density)` converges a field. True when it worked.

    The result (e_tot, mo_energy, mo_coeff, mo_occ, converged) is written into `fine`.
    """
    coarse = on_coarse_grid(fine)
    extra = addition(fine, coarse, density)
    error, moved = np.inf, np.inf
    for _ in range(MAX_REFERENCES):
        mf = corrected(coarse, extra)
        iterate(mf, density)
        if not mf.converged:
            return False
        density = mf.make_rdm1()
        foreseen = abs(error) * NEXT_ENERGY < fine.conv_tol and moved * NEXT_POTENTIAL < SAME_POTENTIAL
        if foreseen:
            error, moved = 0.0, 0.0
        else:
            before, extra = extra, addition(fine, coarse, density)
            error = extra.energy - before.at(density)
            moved = float(np.abs(extra.potential - before.potential).max())
        if abs(error) < fine.conv_tol and moved < SAME_POTENTIAL:
            fine.converged, fine.e_tot = True, float(mf.e_tot) + error
            fine.mo_energy, fine.mo_coeff, fine.mo_occ = mf.mo_energy, mf.mo_coeff, mf.mo_occ
            return True
    return False
