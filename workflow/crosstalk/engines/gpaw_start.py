"""The orbitals that a plane-wave SCF of GPAW begins with: atomic ones, brought to plane waves by their Fourier transforms.

GPAW lays each orbital out on the grid first and transforms that, which takes 15 s for 200 orbitals of 73 atoms, a tenth of the whole
SCF. The transforms of atomic functions times their coefficients are one product of matrices, 0.2 s, and the same orbitals
but for what a grid does to them, some 1e-5 (`tests/engines/test_gpaw.py`); an SCF from either ends within 1e-10 eV.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np


@cache
def install() -> Callable[..., Any]:
    """Have GPAW begin this way, in this process; returns its own way."""
    from gpaw.new.lcao.wave_functions import LCAOWaveFunctions

    by_grid = LCAOWaveFunctions.to_pw_expansion

    def to_pw_expansion(self: Any, nbands: int, pw: Any) -> Any:
        return by_grid(self, nbands, pw) if self.ncomponents == 4 else expanded(self, nbands, pw)

    LCAOWaveFunctions.to_pw_expansion = to_pw_expansion  # type: ignore[method-assign]
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
