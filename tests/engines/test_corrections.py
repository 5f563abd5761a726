"""Dispersion and counterpoise corrections obey their laws, and are the published ones where a name promises that."""

import numpy as np
import pytest
from ase.build import molecule

from crosstalk.engines.corrections import basis_correction, dispersion, supported
from crosstalk.units import BOHR_ANGSTROM, HARTREE_EV

KINDS = [("b3lyp", "d3bj"), ("b3lyp", "d4"), ("wb97x-d3bj", "d3bj"), ("r2scan", "d4:r2scan-3c"), ("m06-2x", "d3zero")]
STEP_ANGSTROM = 1e-3


def _slope(energy, positions):
    """Central differences of `energy(positions)`, eV/Angstrom; error of second order in the step."""
    slope = np.zeros_like(positions)
    for index in np.ndindex(*positions.shape):
        shift = np.zeros_like(positions)
        shift[index] = STEP_ANGSTROM
        slope[index] = (energy(positions + shift) - energy(positions - shift)) / (2 * STEP_ANGSTROM)
    return slope


@pytest.mark.parametrize(("functional", "name"), KINDS)
def test_dispersion_binds_and_its_gradient_is_its_slope(functional, name):
    atoms = molecule("CH3OH")
    energy, gradient = dispersion(atoms.symbols, atoms.positions, 0, functional, name)
    assert energy < 0
    slope = _slope(lambda p: dispersion(atoms.symbols, p, 0, functional, name)[0], atoms.positions)
    assert np.allclose(gradient, slope, atol=1e-5)
    assert np.allclose(gradient.sum(axis=0), 0, atol=1e-8)  # no net force


def test_counterpoise_is_positive_and_its_gradient_is_its_slope():
    atoms = molecule("CH3OH")
    energy, gradient = basis_correction(atoms.symbols, atoms.positions, "r2scan3c")
    assert energy > 0
    slope = _slope(lambda p: basis_correction(atoms.symbols, p, "r2scan3c")[0], atoms.positions)
    assert np.allclose(gradient, slope, atol=1e-5)


def test_r2scan_3c_has_the_charge_scaling_and_three_body_term_of_its_paper():
    """ga 2, gc 1, s9 2 (doi 10.1063/5.0040021); the library's own values for the name are ga 3, gc 2, s9 1."""
    from dftd4.interface import DampingParam, DispersionModel

    atoms = molecule("C2H6")
    model = DispersionModel(atoms.numbers, atoms.positions / BOHR_ANGSTROM, ga=2.0, gc=1.0)
    published = model.get_dispersion(DampingParam(s8=0.0, s9=2.0, a1=0.42, a2=5.65), grad=False)["energy"]
    energy, _ = dispersion(atoms.symbols, atoms.positions, 0, "r2scan", "d4:r2scan-3c")
    assert energy == pytest.approx(published * HARTREE_EV, abs=1e-9)
    plain = DispersionModel(atoms.numbers, atoms.positions / BOHR_ANGSTROM)
    assert abs(plain.get_dispersion(DampingParam(method="r2scan-3c"), grad=False)["energy"] - published) > 5e-5


def test_counterpoise_of_r2scan_3c_has_its_published_value():
    """Two hydrogen atoms 1 Angstrom apart; value of pyscf-dispersion 1.5's own tests, made with the authors' mctc-gcp."""
    energy, _ = basis_correction("HH", [[0, 0, 0], [0, 0, 1]], "r2scan3c")
    assert energy / HARTREE_EV == pytest.approx(0.0002982079859909563, abs=1e-9)


@pytest.mark.parametrize(("functional", "name"), [("b3lyp", "d3bj"), ("b3lyp", "d4")])
def test_far_molecules_do_not_know_of_each_other(functional, name):
    one = molecule("H2O")
    far = one.copy()
    far.translate([50.0, 0, 0])
    pair = one + far
    single, _ = dispersion(one.symbols, one.positions, 0, functional, name)
    both, _ = dispersion(pair.symbols, pair.positions, 0, functional, name)
    # -C6/R^6 with C6 of about 50 hartree bohr^6 is 2e-9 eV at 50 Angstrom
    assert both == pytest.approx(2 * single, abs=1e-6)


def test_numbers_and_symbols_are_the_same_atoms():
    atoms = molecule("H2O")
    by_symbol, _ = dispersion(list(atoms.symbols), atoms.positions, 0, "pbe", "d3bj")
    by_number, _ = dispersion(atoms.numbers.tolist(), atoms.positions, 0, "pbe", "d3bj")
    assert by_symbol == by_number


def test_ghosts_are_refused():
    with pytest.raises(ValueError, match="real atoms"):
        dispersion([8, 1, 0], np.eye(3), 0, "b3lyp", "d3bj")


def test_cations_are_less_polarisable():
    atoms = molecule("H2O")
    neutral, _ = dispersion(atoms.symbols, atoms.positions, 0, "b3lyp", "d4")
    cation, _ = dispersion(atoms.symbols, atoms.positions, 1, "b3lyp", "d4")
    assert abs(cation) < abs(neutral)


@pytest.mark.parametrize(
    ("functional", "name", "word"),
    [
        ("wb97m-v", "d3bj", "twice"),
        ("wb97x", "d3bj", "wb97x-d3bj"),
        ("wb97x-d3bj", None, "made for"),
        ("wb97x-d3bj", "d4", "made for"),
        ("b3lyp", "d5", "unknown dispersion"),
        ("no-such", "d3bj", "no parameters"),
        ("b3lyp", "d4:no-such", "no parameters"),
    ],
)
def test_what_is_not_supported_says_why(functional, name, word):
    answer = supported(functional, name)
    assert isinstance(answer, str)
    assert word in answer


def test_what_is_supported():
    assert all(supported(functional, name) is True for functional, name in [*KINDS, ("b3lyp", None), ("wb97m-v", None)])
