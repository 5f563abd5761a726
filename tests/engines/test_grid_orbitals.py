"""What the exchange-correlation potential does to occupied orbitals is PySCF's matrix times them."""

import numpy as np
import pytest
from ase.build import molecule

from crosstalk.engines import fields, grid_orbitals

from .test_pyscf import LEVEL

CASES = {
    "lda": ("lda,vwn", 0),
    "gga": ("pbe", 0),
    "meta-gga": ("r2scan", 0),
    "open-shell": ("r2scan", 1),
    "none": ("hf", 0),
}


@pytest.mark.parametrize("case", CASES)
def test_energy_and_potential_are_those_of_the_library(case):
    from pyscf import gto

    functional, charge = CASES[case]
    water = molecule("H2O")
    atoms = list(zip(water.symbols, water.positions.tolist(), strict=True))
    mol = gto.M(atom=atoms, basis="def2-svp", charge=charge, spin=charge, verbose=0)
    mf = fields.mean_field(mol, LEVEL | {"functional": functional, "grid_level": 0})
    mf.max_cycle = 3  # any orbitals
    mf.kernel()
    density = mf.make_rdm1()
    mf.initialize_grids(mol, density)
    energy, acted = grid_orbitals.potential_on(mf, mf.grids, grid_orbitals.occupied(density))
    integrate = mf._numint.nr_uks if charge else mf._numint.nr_rks
    _, theirs, matrix = integrate(mol, mf.grids, mf.xc, density) if functional != "hf" else (0, 0.0, 0 * density)
    assert energy == pytest.approx(theirs, abs=1e-12)
    for v, c, vc in zip(matrix if charge else matrix[None], grid_orbitals.occupied(mf), acted, strict=True):
        assert abs(v @ c - vc).max() < 1e-12
        assert vc.shape == (mol.nao, c.shape[1]) and (functional == "hf" or np.abs(vc).max() > 1e-2)
