"""The orbitals that a plane-wave SCF of GPAW begins with: atomic ones, or those of the geometry before.

**Atomic ones** are brought to plane waves by their Fourier transforms. GPAW lays each orbital out on the grid first and transforms
that, which takes 15 s for 200 orbitals of 73 atoms, a tenth of the whole SCF. The transforms of atomic functions times their coefficients are one product of matrices, 0.2 s, and the same orbitals
but for what a grid does to them, some 1e-5 (`tests/engines/test_gpaw.py`); an SCF from either ends within 1e-10 eV.

**Those of the geometry before** are made orthonormal again where the atoms have moved. GPAW 26.7 moves their parts near the nuclei along
and computes the density from what comes of it, which has too many electrons or too few: after a step of 0.3 Angstrom the first
energy is 60 eV off, and the SCF takes longer (16 iterations) than one from nothing (12) or from orthonormal orbitals (10).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np


@cache
def install() -> Callable[..., Any]:
    """Have GPAW begin this way, in this process; returns its own way to plane waves."""
    from gpaw.new.lcao.wave_functions import LCAOWaveFunctions
    from gpaw.new.pwfd.ibzwfs import PWFDIBZWaveFunctions

    by_grid = LCAOWaveFunctions.to_pw_expansion

    def to_pw_expansion(self: Any, nbands: int, pw: Any) -> Any:
        return by_grid(self, nbands, pw) if self.ncomponents == 4 else expanded(self, nbands, pw)

    def move(self: Any, relpos_ac: np.ndarray, atomdist: Any) -> None:
        moved_along(self, relpos_ac, atomdist)
        if self.has_wave_functions():
            self.orthonormalize()

    moved_along = PWFDIBZWaveFunctions.move
    LCAOWaveFunctions.to_pw_expansion = to_pw_expansion  # type: ignore[method-assign]
    PWFDIBZWaveFunctions.move = move  # type: ignore[method-assign]
    return by_grid


def expanded(orbitals: Any, nbands: int, pw: Any) -> Any:
    """Plane-wave coefficients of orbitals that are sums of atomic functions; rows beyond theirs, up to `nbands`, are zero."""
    pw = pw.new(kpt=orbitals.kpt_c)
    functions = [setup.basis_functions_J for setup in orbitals.setups]
    atomic = pw.atom_centered_functions(functions, orbitals.relpos_ac, atomdist=orbitals.atomdist)
    found = pw.zeros(nbands, orbitals.band_comm)
    mine = len(orbitals.C_nM.data)
    coefficients = atomic.empty(mine, orbitals.band_comm)
    ends = np.cumsum([0, *(sum(2 * function.l + 1 for function in its) for its in functions)])
    for a, share in coefficients.items():
        share[:] = orbitals.C_nM.data[:, ends[a] : ends[a + 1]]
    atomic.add_to(found[:mine], coefficients)
    return found
