"""Our exchange-correlation gradient is PySCF's, with the response of its grid, to rounding."""

import pytest
from ase.build import molecule

from crosstalk.engines import fields, fitted_forces, grid_forces

from .test_pyscf import LEVEL

CASES = {
    "lda": ("lda,vwn", 0),
    "gga": ("pbe", 0),
    "hybrid": ("b3lyp", 0),
    "meta-gga": ("r2scan", 0),
    "open-shell": ("r2scan", 1),
    "range-separated": ("wb97x-d3bj", 1),
    "none": ("hf", 0),
}


@pytest.mark.parametrize("case", CASES)
def test_gradient_is_that_of_the_library(case, monkeypatch):
    from pyscf import gto

    functional, charge = CASES[case]
    water = molecule("H2O")
    water.positions[1] += [0.05, 0.03, -0.02]
    atoms = list(zip(water.symbols, water.positions.tolist(), strict=True))
    mol = gto.M(atom=atoms, basis="def2-svp", charge=charge, spin=charge, verbose=0)
    mf = fields.mean_field(mol, LEVEL | {"functional": functional, "grid_level": 0})
    mf.kernel()
    theirs = mf.nuc_grad_method()
    theirs.grid_response = True
    monkeypatch.setattr(grid_forces, "POINTS", 700)  # several blocks for each atom
    if (
        case == "range-separated"
    ):  # the library's way with a long range that is nearly singular differs by more than rounding
        monkeypatch.setattr(fitted_forces, "can_do", lambda _: False)
    assert abs(fields.gradient(mf) - theirs.kernel()).max() < 1e-11
    assert abs(theirs.de).max() > 1e-2
