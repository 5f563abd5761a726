"""The lowest vibration from a few gradients: what a whole Hessian says, and minima that are minima."""

from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from crosstalk.engines import pyscf_hessian as hessians
from crosstalk.engines import pyscf_lowest_mode as lowest
from crosstalk.engines import pyscf_relax as relaxation
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.units import FORCE_CONSTANT_CM1

from .test_pyscf import relax, settings_of
from .test_pyscf_hessian import BETTER, PBE, planar_ammonia, springs

STATE = {"charge": 0, "multiplicity": 1}


def run(folder, atoms, level=PBE, **settings):
    folder.mkdir(exist_ok=True)
    full = settings_of(level, index=0, fmax_ev_per_angstrom=0.02, max_steps=40, **settings)
    spec = Spec("lowest_mode", "pyscf", full, {"geometry": "x"}, 1)
    return lowest.lowest_mode(spec, {"geometry": Input(None, [atoms])}, folder)


class Parabola:
    """A surface with a known Hessian (eV/Angstrom^2) whose gradients have noise (eV/Angstrom), in place of an engine's."""

    def __init__(self, atoms, hessian, noise=0.0):
        self.start, self.hessian, self.points = atoms, hessian, []
        self.noise, self.random = noise, np.random.default_rng(5)
        self.at(atoms.positions.copy())

    def at(self, positions):
        shift = (positions - self.start.positions).ravel()
        gradient = (self.hessian @ shift).reshape(-1, 3) + self.noise * self.random.normal(size=positions.shape)
        self.points.append(relaxation.Point(positions, 0.0, gradient))
        return self.points[-1]


@pytest.fixture
def guessed(monkeypatch):
    """A molecule, its Hessian, and a guess of it that is a fifth off; GFN2's place is taken by the guess."""
    atoms = molecule("CH3CH2OH")
    rigid = hessians.internal_space(atoms)
    true = springs(atoms, 3.0)
    random = np.random.default_rng(2).normal(size=true.shape)
    guess = true + 0.2 * (rigid @ rigid.T) @ np.diag(np.diag(true)) @ (rigid @ rigid.T) + 0.01 * (random + random.T)
    monkeypatch.setattr(relaxation, "force_constants", lambda settings, atoms: guess)
    monkeypatch.setattr(
        relaxation, "model_gradients",
        lambda settings, atoms: lambda positions: (guess @ (positions - atoms.positions).ravel()).reshape(-1, 3),
    )  # fmt: skip
    return SimpleNamespace(atoms=atoms, true=true)


def with_a_mode(atoms, hessian, wavenumber, which=3):
    """The Hessian with one of its vibrations turned into one of `wavenumber` (1/cm, imaginary negative)."""
    roots = np.repeat(np.sqrt(atoms.get_masses()), 3)
    space = hessians.internal_space(atoms)
    values, vectors = np.linalg.eigh(space.T @ (hessian / np.outer(roots, roots)) @ space)
    values[which] = np.sign(wavenumber) * (wavenumber / FORCE_CONSTANT_CM1) ** 2
    turned = space @ vectors
    return (turned * values) @ turned.T * np.outer(roots, roots)


@pytest.mark.parametrize("noise", [0.0, 3e-4])
@pytest.mark.parametrize("wavenumber", [-150.0, -60.0, 40.0, 90.0])
def test_the_lowest_mode_of_a_known_hessian(guessed, wavenumber, noise):
    hessian = with_a_mode(guessed.atoms, guessed.true, wavenumber)
    (true, *_), modes = hessians.normal_modes(guessed.atoms, hessian)
    assert true == pytest.approx(wavenumber)
    found = lowest.search(Parabola(guessed.atoms, hessian, noise), STATE)
    assert type(found.left) is type(found.wavenumber) is float, "as a record holds them"
    assert found.left <= 1 and found.products <= lowest.MAX_PRODUCTS < len(modes)
    assert found.wavenumber == pytest.approx(wavenumber, abs=15.0)
    assert abs((found.displacement * modes[0]).sum()) > 0.8
    if not noise:
        assert found.wavenumber >= wavenumber - 1e-6, "an estimate lies above the eigenvalue"


def test_without_a_guess_it_takes_more_and_finds_it(guessed, monkeypatch):
    monkeypatch.setattr(relaxation, "force_constants", lambda settings, atoms: None)
    monkeypatch.setattr(lowest, "MAX_PRODUCTS", 21)
    hessian = with_a_mode(guessed.atoms, guessed.true, -200.0)
    assert lowest.search(Parabola(guessed.atoms, hessian), STATE).wavenumber == pytest.approx(-200.0, abs=10.0)


def test_what_it_had_no_time_for_is_marked(guessed, monkeypatch, tmp_path):
    monkeypatch.setattr(lowest, "MAX_PRODUCTS", 1)
    hessian = with_a_mode(guessed.atoms, guessed.true, 90.0)
    monkeypatch.setattr(relaxation, "Surface", lambda settings, atoms, folder, **_: Empty(atoms, hessian))
    outcome = run(tmp_path, guessed.atoms)
    assert {gate.name: gate.passed for gate in outcome.gates} == {
        "true_minimum": True, "mode_converged": False, "connectivity": True,
    }  # fmt: skip


class Empty(Parabola):
    """A parabola whose first point is still to be asked for."""

    def __init__(self, atoms, hessian):
        super().__init__(atoms, hessian)
        self.points.clear()


# -- with the engine -----------------------------------------------------------------------------------------------


def test_a_minimum_stays_as_it_is_to_the_last_digit(tmp_path):
    water = relax(tmp_path / "a", molecule("H2O"), BETTER).structures[0]
    outcome = run(tmp_path / "b", water, BETTER)
    assert outcome.rungs == [] and all(gate.passed for gate in outcome.gates)
    assert outcome.structures[0] is water
    _, matrix = hessians.second_derivatives(settings_of(BETTER), water, tmp_path)
    (bend, *_), _ = hessians.normal_modes(water, matrix)
    assert outcome.quantities["lowest_mode_cm1"] == pytest.approx(bend, rel=0.02)
    assert outcome.quantities["n_products"] <= 3
    assert outcome.quantities["max_force_ev_per_angstrom"] <= 0.02
    assert not list((tmp_path / "b").glob("look-*")), "a finished look leaves nothing to go on from"


def test_a_symmetric_saddle_is_seen_and_left(tmp_path):
    outcome = run(tmp_path, planar_ammonia(), BETTER)
    final = outcome.structures[0]
    assert outcome.rungs == ["imaginary_mode_followed"] and all(gate.passed for gate in outcome.gates)
    assert outcome.quantities["lowest_mode_cm1"] > 500
    assert np.linalg.norm(final.positions[0] - final.positions[1:].mean(axis=0)) > 0.25


def test_a_killed_look_goes_on(tmp_path, monkeypatch):
    atoms = planar_ammonia()
    whole = run(tmp_path / "whole", atoms, BETTER)
    computed = []
    compute = relaxation.Surface._compute

    def until_killed(surface, positions):
        if len(computed) == 3:
            raise KeyboardInterrupt
        computed.append(positions)
        return compute(surface, positions)

    monkeypatch.setattr(relaxation.Surface, "_compute", until_killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", atoms, BETTER)
    again = []
    monkeypatch.setattr(
        relaxation.Surface,
        "_compute",
        lambda surface, positions: again.append(positions) or compute(surface, positions),
    )
    outcome = run(tmp_path / "killed", atoms, BETTER)
    assert not any(np.allclose(new, old, atol=1e-9) for new in again for old in computed)
    assert outcome.structures[0].positions == pytest.approx(whole.structures[0].positions, abs=1e-3)


def test_an_atom_has_no_mode(tmp_path):
    outcome = run(tmp_path, Atoms("Li"), charge=1)
    assert outcome.status == "ok" and "lowest_mode_cm1" not in outcome.quantities
