"""Two grids give what the fine grid alone gives: closed and open shells, VV10, a continuum."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from crosstalk.engines import dual_grid, fields, scf
from crosstalk.engines import pyscf as engine
from crosstalk.units import HARTREE_EV

from .test_pyscf import LEVEL, PCM, settings_of

OPEN = {"charge": 0, "multiplicity": 2}
VV10 = {"functional": "wb97x-v", "basis": "sto-3g", "dispersion": None}
R2SCAN = {"functional": "r2scan", "basis": "6-31g", "dispersion": None}
CASES = [
    ("H2O", R2SCAN, {}),
    ("H2O", R2SCAN, {"environment": PCM}),
    ("NH2", R2SCAN, OPEN),  # not OH, whose hole turns freely round the axis
    ("O2", R2SCAN, {"multiplicity": 3}),
    ("HF", VV10, {}),
    ("NH2", VV10, OPEN),
]
IDS = ["meta-GGA", "continuum", "doublet", "triplet", "VV10", "VV10 doublet"]


def atoms_of(name):
    return Atoms("HF", [[0, 0, 0], [0, 0, 0.92]]) if name == "HF" else molecule(name)


def field(folder, name, level, settings):
    """A field that is converged beyond the tolerances that are tested."""
    wanted = {"scf_tolerance_ha": 1e-10, "stability": False, **level}
    problem = engine.Problem.of(settings_of(wanted, **settings), atoms_of(name), folder)
    return problem.mean_field(), problem.level


def homo_ev(mf):
    return max(np.asarray(mf.mo_energy)[np.asarray(mf.mo_occ) > 0]) * HARTREE_EV


@pytest.mark.parametrize(("name", "level", "settings"), CASES, ids=IDS)
def test_two_grids_arrive_where_the_fine_one_does(tmp_path, name, level, settings):
    mf, full = field(tmp_path, name, level, settings)
    scf.solve(mf, full, tmp_path)
    plain, _ = field(tmp_path, name, level, settings)
    plain.kernel(dm0=mf.make_rdm1())  # the same state; the fine grid alone has the last word
    assert plain.converged
    assert mf.e_tot == pytest.approx(plain.e_tot, abs=1e-7)
    assert homo_ev(mf) == pytest.approx(homo_ev(plain), abs=1e-4)
    assert abs(np.asarray(mf.make_rdm1()) - np.asarray(plain.make_rdm1())).max() < 1e-4
    coarse = dual_grid.on_coarse_grid(plain)
    coarse.kernel(dm0=plain.make_rdm1())
    assert abs(coarse.e_tot - plain.e_tot) > 1e-6, "the coarse grid alone would have failed the test"


def test_the_energy_is_that_of_the_fine_grid_at_the_density(tmp_path):
    mf, full = field(tmp_path, "H2O", R2SCAN, {})
    scf.solve(mf, full, tmp_path)
    assert mf.energy_tot(mf.make_rdm1()) == pytest.approx(mf.e_tot, abs=1e-8)


def test_the_addition_is_exact_at_its_density_and_its_potential_the_slope(tmp_path):
    fine, _ = field(tmp_path, "H2O", VV10, {})
    coarse = dual_grid.on_coarse_grid(fine)
    density = np.asarray(fine.get_init_guess())
    extra = dual_grid.addition(fine, coarse, density)
    assert extra.at(density) == extra.energy
    direction = np.random.default_rng(1).standard_normal(density.shape)
    direction = (direction + direction.T) / np.linalg.norm(direction)
    step = 1e-3
    ahead, behind = (dual_grid.addition(fine, coarse, density + s * step * direction).energy for s in (1, -1))
    slope = float(np.vdot(extra.potential, direction))
    assert (ahead - behind) / (2 * step) == pytest.approx(slope, abs=1e-3 * abs(extra.potential).max() + 1e-6)
    assert (extra.at(density + step * direction) - extra.energy) / step == pytest.approx(slope, rel=1e-6)


def test_a_corrected_field_has_the_energy_and_potential_of_the_fine_grid(tmp_path):
    fine, _ = field(tmp_path, "OH", VV10, OPEN)
    coarse = dual_grid.on_coarse_grid(fine)
    density = np.asarray(fine.get_init_guess())
    mixed = dual_grid.corrected(coarse, dual_grid.addition(fine, coarse, density))
    assert mixed.energy_tot(density) == pytest.approx(fine.energy_tot(density), abs=1e-9)
    assert np.allclose(mixed.get_fock(dm=density), fine.get_fock(dm=density), atol=1e-9)
    assert not np.allclose(coarse.get_fock(dm=density), fine.get_fock(dm=density), atol=1e-5)


def test_an_atom_has_two_grids_too(tmp_path):
    problem = engine.Problem.of(settings_of(R2SCAN | {"stability": False}, charge=1), Atoms("Li"), tmp_path)
    mf = problem.mean_field()
    scf.solve(mf, LEVEL | R2SCAN | {"stability": False}, tmp_path)
    plain = problem.mean_field()
    plain.kernel()
    assert mf.e_tot == pytest.approx(plain.e_tot, abs=1e-7)


def test_a_field_that_never_settles_falls_back_to_the_fine_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(dual_grid, "SAME_POTENTIAL", 0.0)  # no reference is ever good enough
    monkeypatch.setattr(dual_grid, "MAX_REFERENCES", 1)
    mf, full = field(tmp_path, "H2O", R2SCAN, {})
    solution = scf.solve(mf, full, tmp_path)
    assert mf.converged and solution.rungs == ["diis"]
    assert mf.energy_tot(mf.make_rdm1()) == pytest.approx(mf.e_tot, abs=1e-8)


def test_a_foreseen_end_needs_no_look_at_the_fine_grid(tmp_path, monkeypatch):
    """At the tolerance of relaxations; energy and forces are those of the fine grid alone."""
    seen, whole = [], dual_grid.addition
    monkeypatch.setattr(dual_grid, "addition", lambda *args, **options: seen.append(1) or whole(*args, **options))
    counts, found = {}, {}
    for foresight in (1e-1, np.inf):
        monkeypatch.setattr(dual_grid, "NEXT_POTENTIAL", foresight)
        seen.clear()
        folder = tmp_path / str(foresight)
        folder.mkdir()
        mf, full = field(folder, "H2O", R2SCAN | {"scf_tolerance_ha": 1e-8}, {})
        scf.solve(mf, full, folder)
        counts[foresight], found[foresight] = len(seen), mf
    assert counts[1e-1] == counts[np.inf] - 1
    assert found[1e-1].e_tot == pytest.approx(found[np.inf].e_tot, abs=1e-8)
    assert abs(fields.gradient(found[1e-1]) - fields.gradient(found[np.inf])).max() < 1e-5


@pytest.mark.parametrize("name", ["H2O", "OH"])
def test_an_addition_for_forces_acts_on_occupied_orbitals_as_the_whole_one(tmp_path, name):
    fine, full = field(tmp_path, name, R2SCAN, OPEN if name == "OH" else {})
    scf.solve(fine, full, tmp_path)
    density, coarse = fine.make_rdm1(), dual_grid.on_coarse_grid(fine)
    part, whole = (dual_grid.addition(fine, coarse, density, whole=w) for w in (False, True))
    assert part.energy == pytest.approx(whole.energy, abs=1e-10)
    assert dual_grid._largest(part.potential - whole.potential, density) < 1e-10
    assert abs(part.potential - whole.potential).max() > 1e-6, "among empty orbitals they differ"
    assert np.allclose(part.potential, part.potential.swapaxes(-1, -2), atol=1e-12)


@pytest.mark.parametrize(("name", "settings"), [("CH3OH", {}), ("NH2", OPEN), ("H2O", {"environment": PCM})])
def test_a_geometry_nearby_lends_its_orbitals_and_its_reference(tmp_path, monkeypatch, name, settings):
    """One look at the fine grid fewer, and the energy and forces of a cold start."""
    seen, whole = [], dual_grid.addition
    monkeypatch.setattr(dual_grid, "addition", lambda *args, **options: seen.append(1) or whole(*args, **options))
    level, counts, found = R2SCAN | {"scf_tolerance_ha": 1e-8}, [], []
    mf, full = field(tmp_path, name, level, settings)
    first = scf.solve(mf, full, tmp_path, empty_levels=False)
    moved = atoms_of(name)
    moved.positions[0, 0] += 0.02
    for nearby in (first, None):
        folder = tmp_path / str(nearby is None)
        folder.mkdir()
        seen.clear()
        problem = engine.Problem.of(settings_of({"stability": False, **level}, **settings), moved, folder)
        solution = scf.solve(problem.mean_field(), problem.level, folder, nearby, empty_levels=False, tight=True)
        counts.append(len(seen))
        found.append(solution.field)
    assert counts[0] < counts[1]
    assert found[0].e_tot == pytest.approx(found[1].e_tot, abs=1e-8)
    assert abs(fields.gradient(found[0]) - fields.gradient(found[1])).max() < 5e-6
    plain = problem.mean_field()
    plain.conv_tol = 1e-11
    plain.kernel(dm0=found[1].make_rdm1())
    assert found[0].e_tot == pytest.approx(plain.e_tot, abs=1e-8)
    assert abs(fields.gradient(found[0]) - fields.gradient(plain)).max() < 5e-6


def test_tight_fields_have_small_orbital_gradients_and_others_are_still_converged(tmp_path, monkeypatch):
    for tight, limit in ((True, scf.TIGHT), (False, np.inf)):
        mf, full = field(tmp_path, "NH2", R2SCAN | {"scf_tolerance_ha": 1e-6}, OPEN)
        scf.solve(mf, full, tmp_path, empty_levels=False, tight=tight)
        steepness = np.linalg.norm(mf.get_grad(mf.mo_coeff, mf.mo_occ))
        assert steepness < 10 * limit  # by the reference, whose potential was frozen
        (tmp_path / "scf.chk").unlink()
    assert steepness > 10 * scf.TIGHT
    monkeypatch.setattr(scf, "TIGHT", 0.0)  # never reached: the usual limits count
    mf, full = field(tmp_path, "NH2", R2SCAN | {"scf_tolerance_ha": 1e-6}, OPEN)
    assert scf.solve(mf, full, tmp_path, empty_levels=False, tight=True).rungs == ["diis"]
