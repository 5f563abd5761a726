"""The fitted Coulomb and exchange gradient is the library's, to rounding, and is used where it holds."""

import numpy as np
import pytest
from ase.build import molecule

from crosstalk.engines import fields, fitted_forces, scf

from .test_pyscf import LEVEL


def field(functional="b3lyp", charge=0, environment=None, **settings):
    from pyscf import gto

    water = molecule("H2O")
    water.positions[1] += [0.05, 0.03, -0.02]
    atoms = list(zip(water.symbols, water.positions.tolist(), strict=True))
    mol = gto.M(atom=atoms, basis="def2-svp", charge=charge, spin=charge, verbose=0)
    mf = fields.mean_field(mol, LEVEL | {"functional": functional, "grid_level": 0} | settings, environment)
    if mf.__dict__.get("with_df") is not None:
        mf.with_df.build()
    mf.kernel()
    return mf


@pytest.mark.parametrize("charge", [0, 1])
@pytest.mark.parametrize("functional", ["pbe", "b3lyp", "hf", "wb97x-d3bj", "hse06"])
def test_gradient_is_that_of_the_library(functional, charge, monkeypatch):
    mf = field(functional, charge)
    assert fitted_forces.can_do(mf)
    monkeypatch.setattr(fitted_forces, "BLOCK", 24 * mf.mol.nao**2 * 20)  # several blocks of auxiliary functions
    assert len(fitted_forces._blocks(mf.mol, mf.with_df.auxmol)) > 3
    ours = fields.gradient(mf)
    monkeypatch.setattr(fitted_forces, "can_do", lambda mf: False)
    theirs = fields.gradient(mf)
    # the library solves for the fitted density by another way; a long range is nearly singular
    assert abs(ours - theirs).max() < (5e-9 if functional == "wb97x-d3bj" else 1e-9)
    assert abs(theirs).max() > 1e-2


def test_a_part_of_the_gradient_would_show(monkeypatch):
    mf = field()
    whole = fitted_forces.jk_gradient(mf)
    assert whole.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9), "integrals do not change when all centres move"
    monkeypatch.setattr(mf._numint, "rsh_and_hybrid_coeff", lambda *_, **__: (0, 0, 0))
    assert abs(fitted_forces.jk_gradient(mf) - whole).max() > 1e-3, "exchange is a part of it"


def test_the_long_range_is_a_part_of_it():
    mf = field("wb97x-d3bj")
    whole = fitted_forces.jk_gradient(mf)
    assert whole.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-8)
    assert [part[1:3] for part in fitted_forces._parts(mf)] == [(0.0, True), (0.3, False)]
    (kept, omega, coulomb, share), *_ = fitted_forces._parts(mf)
    without = fitted_forces._part(mf.mol, mf.with_df.auxmol, kept._cderi, fitted_forces.occupied(mf), coulomb, share)
    assert omega == 0.0 and abs(whole - without).max() > 1e-3


def test_what_it_cannot_do_is_left_to_the_library():
    continuum = {"model": "ief-pcm", "epsilon": 18.5}
    assert not fitted_forces.can_do(field(environment=continuum))
    assert not fitted_forces.can_do(field(density_fit=None))


def test_a_dependent_auxiliary_basis_is_left_to_the_library(monkeypatch):
    mf = field("pbe")
    right = fields.gradient(mf)

    def fail(_):
        raise np.linalg.LinAlgError

    monkeypatch.setattr(fitted_forces, "jk_gradient", fail)
    assert abs(fields.gradient(mf) - right).max() < 1e-11


def test_integrals_stay_in_memory_in_a_process_that_has_grown(tmp_path, monkeypatch):
    """A relaxation's later fields: what the process holds by then is no reason to write integrals to disk."""
    from pyscf import lib

    mf = field("wb97x-d3bj", stability=False)
    other = fields.mean_field(mf.mol, LEVEL | {"functional": "wb97x-d3bj", "grid_level": 0, "stability": False})
    used = lib.current_memory()
    monkeypatch.setattr(lib, "current_memory", lambda: (used[0] + 10 * other.max_memory, used[1]))
    scf.solve(other, LEVEL | {"functional": "wb97x-d3bj", "grid_level": 0, "stability": False}, tmp_path)
    assert fitted_forces.can_do(other)
    assert len(other.with_df._rsh_df) == 1


def test_a_spin_without_electrons_has_no_forces():
    from pyscf import gto

    mol = gto.M(atom="H 0 0 0; H 0 0 0.9", basis="def2-svp", spin=2, verbose=0)
    mf = fields.mean_field(mol, LEVEL | {"functional": "b3lyp", "grid_level": 0})
    mf.with_df.build()
    mf.kernel()
    gradient = fitted_forces.jk_gradient(mf)
    assert gradient[0] == pytest.approx(-gradient[1], abs=1e-9) and abs(gradient).max() > 0.1


def test_fields_of_earlier_geometries_do_not_pile_up(tmp_path):
    import weakref

    level = LEVEL | {"functional": "b3lyp", "grid_level": 0, "stability": False}
    first = fields.mean_field(field(stability=False).mol, level)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    scf.solve(first, level, tmp_path / "first")
    kept, mol = weakref.ref(first.with_df), first.mol
    del first
    scf.solve(fields.mean_field(mol, level), level, tmp_path / "second")
    assert kept() is None
