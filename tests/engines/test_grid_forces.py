"""Our exchange-correlation gradient is PySCF's, with the response of its grid, to rounding."""

import numpy as np
import pytest
from ase.build import molecule

from crosstalk.engines import fields, fitted_forces, grid_forces, grid_weights

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


def test_weights_and_their_pulls_are_those_of_the_library():
    from pyscf import dft, gto
    from pyscf.grad.rks import grids_response_cc

    rng = np.random.default_rng(1)
    ether = molecule("CH3OCH3")
    ether.symbols[0] = "Si"  # unlike radii
    ether.positions += rng.normal(scale=0.05, size=ether.positions.shape)
    mol = gto.M(atom=list(zip(ether.symbols, ether.positions.tolist(), strict=True)), basis="sto-3g", verbose=0)
    grids = dft.gen_grid.Grids(mol).set(level=0)
    partition = grid_weights.Partition(grids)
    theirs, ours = np.zeros((mol.natm, 3)), np.zeros((mol.natm, 3))
    for (points, weights, slopes), (atom, (same, volumes)) in zip(
        grids_response_cc(grids), enumerate(partition.shares()), strict=True
    ):
        density = rng.normal(size=len(points))
        mine = partition.weigh(atom, same, volumes)
        assert abs(mine.values - weights).max() < 1e-12
        theirs += np.einsum("g,axg->ax", density, slopes)
        ours += mine.pulls(density)
    assert abs(theirs).max() > 1
    assert abs(ours - theirs).max() < 1e-11 * abs(theirs).max()
    assert abs(ours.sum(axis=0)).max() < 1e-11 * abs(ours).max()  # a molecule that moves as a whole keeps its weights
