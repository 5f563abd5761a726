"""A field that goes on from another one's pairs is the same field, sooner."""

import numpy as np
import pytest
from ase.build import molecule

from crosstalk.engines import dual_grid, scf
from crosstalk.engines import pyscf as engine
from crosstalk.engines.diis import Pairs

from .test_pyscf import PCM, settings_of

LEVEL = {"functional": "b3lyp", "basis": "6-31g", "dispersion": None, "scf_tolerance_ha": 1e-9, "stability": False}
CASES = {
    "closed shell": ("CH3OH", {}),
    "open shell": ("NH2", {"multiplicity": 2}),
    "continuum": ("H2O", {"environment": PCM}),
}


def fields_of(folder, name, settings):
    """A field on the coarse grid and one with what the fine grid adds."""
    problem = engine.Problem.of(settings_of(LEVEL, **settings), molecule(name), folder)
    fine = problem.mean_field()
    coarse = dual_grid.on_coarse_grid(fine)
    extra = dual_grid.addition(fine, coarse, np.asarray(fine.get_init_guess()))
    return coarse, dual_grid.corrected(coarse, extra), extra


def cycles_of(mf, start, pairs=None):
    """Converge; the number of cycles and of potentials that were computed."""
    computed, whole = [], type(mf).get_veff
    mf.get_veff = lambda *args, **options: computed.append(1) or whole(mf, *args, **options)
    if pairs is not None:  # `teach` starts from the class's own
        del mf.get_veff
    scf.climb(mf, start, scf.Journal(), scf.RUNGS[:1], check=False, pairs=pairs)
    assert mf.converged
    return mf.cycles


@pytest.mark.parametrize("case", CASES)
def test_a_taught_field_ends_where_an_untaught_one_does_in_fewer_cycles(tmp_path, case):
    coarse, changed, extra = fields_of(tmp_path, *CASES[case])
    pairs = Pairs(12)
    cycles_of(coarse, coarse.get_init_guess(), pairs)
    start = coarse.make_rdm1()
    plain = changed.copy()
    untaught = cycles_of(plain, start)
    pairs.shift(extra.potential, extra.at(np.asarray(start)))
    taught = cycles_of(changed, start, pairs)
    assert taught < untaught
    assert changed.e_tot == pytest.approx(plain.e_tot, abs=1e-8)
    assert abs(np.asarray(changed.make_rdm1()) - np.asarray(plain.make_rdm1())).max() < 1e-4


@pytest.mark.parametrize("case", CASES)
def test_the_first_potential_is_the_last_one_changed(tmp_path, case):
    coarse, changed, extra = fields_of(tmp_path, *CASES[case])
    pairs = Pairs(12)
    scf.climb(coarse, coarse.get_init_guess(), scf.Journal(), scf.RUNGS[:1], check=False, pairs=pairs)
    start = coarse.make_rdm1()
    pairs.shift(extra.potential, extra.at(np.asarray(start)))
    computed = changed.get_veff(changed.mol, start)
    energy = changed.energy_tot(start, changed.get_hcore(), computed)
    pairs.teach(changed, start)
    known = changed.get_veff(changed.mol, start)
    assert known is pairs.potential
    assert np.allclose(known, computed, atol=1e-10)
    assert changed.energy_tot(start, changed.get_hcore(), known) == pytest.approx(energy, abs=1e-10)
    assert changed.get_veff(changed.mol, start) is not known, "once"


def test_a_field_that_begins_elsewhere_learns_nothing(tmp_path):
    coarse, changed, _ = fields_of(tmp_path, "NH2", {"multiplicity": 2})
    pairs = Pairs(12)
    scf.climb(coarse, coarse.get_init_guess(), scf.Journal(), scf.RUNGS[:1], pairs=pairs)
    pairs.teach(changed, coarse.make_rdm1())
    assert changed.diis is not True and changed.diis_start_cycle == 0
    pairs.teach(changed, coarse.make_rdm1() * 1.01)
    assert changed.diis is True and changed.diis_start_cycle == 1 and "get_veff" not in vars(changed)


def test_a_rung_that_failed_teaches_nothing(tmp_path, monkeypatch):
    """The ladder's next rung begins as if nothing was known, and what it learns is its own."""
    coarse, changed, extra = fields_of(tmp_path, "CH3OH", {})
    pairs = Pairs(12)
    scf.climb(coarse, coarse.get_init_guess(), scf.Journal(), scf.RUNGS[:1], check=False, pairs=pairs)
    pairs.shift(extra.potential, 0.0)
    first, forgotten = pairs._pairs[0][0], []
    monkeypatch.setattr(pairs, "forget", lambda: forgotten.append(1) or Pairs.forget(pairs))
    changed.max_cycle = 1
    scf.climb(changed, coarse.make_rdm1(), scf.Journal(), ["diis", "level_shift"], check=False, pairs=pairs)
    assert forgotten and not np.array_equal(pairs._pairs[0][0], first) and changed.diis is True
