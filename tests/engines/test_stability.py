"""Verdicts on fields: what needs no second look, and what a look begins with."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from crosstalk.engines import dual_grid, scf, stability
from crosstalk.engines import pyscf as engine

from .test_pyscf import settings_of

LEVEL = {"functional": "b3lyp", "basis": "6-31g", "dispersion": None}


@pytest.fixture
def looks(monkeypatch):
    """(grid, whether it began with a guess) of each look for the lowest mode."""
    seen, whole = [], stability.lowest_mode

    def look(mf, triplet=False, grid=stability.COARSE_GRID, guess=None):
        seen.append((grid, guess is not None))
        return whole(mf, triplet, grid, guess)

    monkeypatch.setattr(stability, "lowest_mode", look)
    return seen


def problem_of(folder, atoms, **settings):
    return engine.Problem.of(settings_of(LEVEL, **settings), atoms, folder)


def test_an_open_shell_that_is_clearly_stable_is_looked_at_once(tmp_path, looks, monkeypatch):
    """On the coarse grid, where it starts; on the fine one it is the same state."""
    problem = problem_of(tmp_path, molecule("NH2"), multiplicity=2)
    solution = scf.solve(problem.mean_field(), problem.level, tmp_path)
    assert solution.gates[-1].name == "stable" and solution.gates[-1].passed
    assert looks == [(stability.COARSE_GRID, False)]
    assert stability.lowest_mode(solution.field)[0] > stability.CLEARLY_STABLE, "and it is so"
    looks.clear()
    monkeypatch.setattr(stability, "CLEARLY_STABLE", 10.0)
    again = tmp_path / "again"  # a killed run's checkpoint would be no cold start
    again.mkdir()
    other = problem_of(again, molecule("NH2"), multiplicity=2)
    assert scf.solve(other.mean_field(), other.level, again).gates[-1].passed
    assert looks == [(stability.COARSE_GRID, False), (stability.COARSE_GRID, True)], "doubtful: with the mode known"


def test_another_state_is_looked_at_again(tmp_path):
    problem = problem_of(tmp_path, molecule("NH2"), multiplicity=2)
    mf = dual_grid.on_coarse_grid(problem.mean_field())
    mf.kernel()
    verdict = stability.diagnose(mf)
    assert verdict.settles(mf)
    excited = mf.copy()
    excited.mo_coeff = np.array(mf.mo_coeff)
    hole = int(np.flatnonzero(mf.mo_occ[1] > 0)[-1])
    excited.mo_coeff[1][:, [hole, hole + 1]] = mf.mo_coeff[1][:, [hole + 1, hole]]
    assert not verdict.settles(excited)


def test_a_mode_is_the_same_rotation_for_other_orbitals(tmp_path):
    """Occupied orbitals mixed among themselves span the same determinant."""
    problem = problem_of(tmp_path, molecule("NH2"), multiplicity=2)
    mf = dual_grid.on_coarse_grid(problem.mean_field())
    mf.kernel()
    value, mode = stability.lowest_mode(mf)
    verdict = stability.Verdict("none", mode, value, np.array(mf.mo_coeff), np.array(mf.mo_occ))
    assert np.allclose(verdict.mode_for(mf), mode, atol=1e-9)
    turned, rng = mf.copy(), np.random.default_rng(1)
    turned.mo_coeff = np.array(mf.mo_coeff)
    for c, filled in zip(turned.mo_coeff, mf.mo_occ > 0, strict=True):
        c[:, filled] = c[:, filled] @ np.linalg.qr(rng.standard_normal((filled.sum(), filled.sum())))[0]
    there = verdict.mode_for(turned)
    assert np.linalg.norm(there) == pytest.approx(np.linalg.norm(mode), rel=1e-9)
    assert not np.allclose(there, mode, atol=1e-3)
    back = stability.Verdict("none", there, value, turned.mo_coeff, np.array(mf.mo_occ)).mode_for(mf)
    assert np.allclose(back, mode, atol=1e-9)


def test_a_guess_does_not_decide(tmp_path):
    problem = problem_of(tmp_path, molecule("NH2"), multiplicity=2)
    mf = dual_grid.on_coarse_grid(problem.mean_field())
    mf.kernel()
    value, mode = stability.lowest_mode(mf)
    misleading = np.random.default_rng(2).standard_normal(mode.size)
    assert stability.lowest_mode(mf, guess=misleading)[0] == pytest.approx(value, abs=2e-3)


def test_a_clear_instability_needs_no_finer_grid(tmp_path, looks):
    problem = problem_of(tmp_path, Atoms("H2", [[0, 0, 0], [0, 0, 3.0]]))
    mf = problem.mean_field()
    mf.kernel()
    verdict = stability.diagnose(mf)
    assert verdict.kind == "unrestricted" and verdict.lowest < stability.CLEARLY_UNSTABLE
    assert stability.CONFIRMING_GRID not in [grid for grid, _ in looks]


def test_a_faint_one_is_confirmed(tmp_path, looks, monkeypatch):
    """With the mode of the coarse grid for a guess."""
    monkeypatch.setattr(stability, "CLEARLY_UNSTABLE", -np.inf)
    problem = problem_of(tmp_path, Atoms("H2", [[0, 0, 0], [0, 0, 3.0]]))
    mf = problem.mean_field()
    mf.kernel()
    assert stability.diagnose(mf).kind == "unrestricted"
    assert looks[-1] == (stability.CONFIRMING_GRID, True)
