"""Laws of the thermal corrections: known entropies, an independent code, and limits."""

import numpy as np
import pytest
from ase.build import molecule
from ase.thermochemistry import IdealGasThermo

from crosstalk.thermochemistry import adsorption_correction, corrections, volume_a3
from crosstalk.units import BOLTZMANN_EV_PER_K, KCAL_MOL_EV, KJ_MOL_EV, ROOM_TEMPERATURE_K, WAVENUMBER_EV

KT = BOLTZMANN_EV_PER_K * ROOM_TEMPERATURE_K
#: Experimental geometries and fundamentals (1/cm; NIST): what the standard entropies below belong to.
ARGON = {"frequencies_cm1": [], "inertia_amu_angstrom2": [0, 0, 0], "symmetry_number": 1, "mass_amu": 39.948}
NITROGEN = {
    "frequencies_cm1": [2330.0],
    "inertia_amu_angstrom2": [0, 8.44, 8.44],
    "symmetry_number": 2,
    "mass_amu": 28.0134,
}
WATER = {
    "frequencies_cm1": [1595.0, 3657.0, 3756.0],
    "inertia_amu_angstrom2": [0.605, 1.162, 1.816],
    "symmetry_number": 2,
    "mass_amu": 18.0153,
}  # fmt: skip


def entropy(quantities, multiplicity=1, temperature=ROOM_TEMPERATURE_K, state="1 bar"):
    """J/mol/K."""
    found = corrections(quantities, multiplicity, temperature, state)
    return (found.enthalpy - found.free_energy) / temperature / KJ_MOL_EV * 1000


def with_modes(*modes):
    return WATER | {"frequencies_cm1": list(modes)}


@pytest.mark.parametrize(
    ("quantities", "standard"), [(ARGON, 154.85), (NITROGEN, 191.61), (WATER, 188.83)], ids=["Ar", "N2", "H2O"]
)
def test_standard_entropies_of_codata(quantities, standard):
    assert entropy(quantities) == pytest.approx(standard, abs=0.5)


def test_argon_is_sackur_tetrode():
    from scipy.constants import Boltzmann, atomic_mass, h, pi

    thermal = Boltzmann * ROOM_TEMPERATURE_K
    per_volume = (2 * pi * ARGON["mass_amu"] * atomic_mass * thermal / h**2) ** 1.5
    assert entropy(ARGON) == pytest.approx(8.314462618 * (np.log(per_volume * thermal / 1e5) + 2.5), abs=1e-4)


@pytest.mark.parametrize("temperature", [200.0, ROOM_TEMPERATURE_K, 500.0])
@pytest.mark.parametrize(
    ("name", "shape", "modes", "sigma", "multiplicity"),
    [("H2O", "nonlinear", [1600.0, 3700.0, 3800.0], 2, 1), ("CO2", "linear", [900.0, 900.0, 1300.0, 2300.0], 2, 1),
     ("O2", "linear", [1580.0], 2, 3), ("CH3", "nonlinear", [1000.0, 1400.0, 1400.0, 3000.0, 3100.0, 3100.0], 6, 2)],
)  # fmt: skip
def test_stiff_molecules_as_ase_has_them(name, shape, modes, sigma, multiplicity, temperature):
    atoms = molecule(name)
    atoms.set_initial_magnetic_moments(None)
    quanta = [mode * WAVENUMBER_EV for mode in modes]
    theirs = IdealGasThermo(quanta, shape, atoms=atoms, symmetrynumber=sigma, spin=(multiplicity - 1) / 2)
    moments = atoms.get_moments_of_inertia()
    ours = corrections(
        {"frequencies_cm1": modes, "inertia_amu_angstrom2": [0 if m < 1e-6 else m for m in moments],
         "symmetry_number": sigma, "mass_amu": atoms.get_masses().sum()},
        multiplicity, temperature,
    )  # fmt: skip
    assert ours.zero_point == pytest.approx(theirs.get_ZPE_correction(), abs=1e-6)
    assert ours.enthalpy == pytest.approx(theirs.get_enthalpy(temperature, verbose=False), abs=1e-5)
    # the switch to a rotor takes (100/900)^4 of a mode's entropy at most, which is that of a stiff mode: next to none
    assert ours.free_energy == pytest.approx(theirs.get_gibbs_energy(temperature, 1e5, verbose=False), abs=5e-5)


def test_one_molar_costs_the_work_of_compression():
    gas, solute = (corrections(WATER, 1, state=state) for state in ("1 bar", "1 M"))
    assert solute.enthalpy == gas.enthalpy
    assert solute.free_energy - gas.free_energy == pytest.approx(KT * np.log(24.79), rel=1e-4)
    assert (solute.free_energy - gas.free_energy) / KCAL_MOL_EV == pytest.approx(1.90, abs=0.005)
    with pytest.raises(ValueError, match="1 bar, 1 M"):
        corrections(WATER, 1, state="1 atm")


def test_a_particle_of_an_ideal_gas_has_its_molar_volume():
    litres = volume_a3(1.0, 273.15) * 1e-27 * 6.02214076e23
    assert litres == pytest.approx(22.711, abs=1e-3)
    assert volume_a3(2.0, 300.0) == pytest.approx(volume_a3(1.0, 150.0))


def test_a_soft_mode_stays_finite_and_below_the_oscillator():
    def oscillator(mode):
        x = mode * WAVENUMBER_EV / KT
        return 8.314462618 * (x / np.expm1(x) - np.log(-np.expm1(-x)))

    stiff = entropy(with_modes(3000.0))
    found = [entropy(with_modes(mode, 3000.0)) - stiff for mode in (30.0, 1.0, 1e-2, 1e-4, 1e-6)]
    assert all(s < oscillator(mode) for s, mode in zip(found, (30.0, 1.0, 1e-2, 1e-4, 1e-6), strict=True))
    assert found == sorted(found)
    assert found[-1] == pytest.approx(found[-2], abs=1e-2)  # a free rotor of the molecule's own inertia: a plateau
    assert entropy(with_modes(1000.0, 3000.0)) - stiff == pytest.approx(oscillator(1000.0), rel=1e-2)


def test_a_free_rotor_is_no_heavier_than_the_limit():
    heavy = {"inertia_amu_angstrom2": [5e3, 6e3, 7e3], "frequencies_cm1": [1e-6]}
    heavier = heavy | {"inertia_amu_angstrom2": [5e4, 6e4, 7e4]}
    rigid = {"frequencies_cm1": []}
    rotors = [entropy(WATER | h) - entropy(WATER | h | rigid) for h in (heavy, heavier)]
    assert rotors[0] == pytest.approx(rotors[1], abs=1e-6)


def test_imaginary_modes_are_left_out():
    assert corrections(with_modes(-500.0, 1595.0, 3657.0), 1) == corrections(with_modes(1595.0, 3657.0), 1)


def test_linear_molecules_have_a_degree_less():
    bent, linear = (
        corrections(WATER | {"inertia_amu_angstrom2": i, "frequencies_cm1": []}, 1)
        for i in ([1e-9, 2.0, 2.0], [0.0, 2.0, 2.0])
    )
    assert bent.enthalpy - linear.enthalpy == pytest.approx(KT / 2)
    atom = corrections(ARGON, 1)
    assert atom.enthalpy == pytest.approx(2.5 * KT) and atom.zero_point == 0


def test_degenerate_spins_and_symmetry_are_logarithms():
    free = corrections(WATER, 1).free_energy
    assert corrections(WATER, 3).free_energy == pytest.approx(free - KT * np.log(3))
    assert corrections(WATER | {"symmetry_number": 1}, 1).free_energy == pytest.approx(free - KT * np.log(2))


@pytest.mark.parametrize("quantities", [ARGON, NITROGEN, WATER, with_modes(20.0, 1595.0, 3657.0)])
def test_entropy_grows_with_temperature_and_falls_with_pressure(quantities):
    values = [entropy(quantities, temperature=t) for t in (150.0, 300.0, 600.0)]
    assert values == sorted(values) and values[0] > 0
    assert entropy(quantities, state="1 M") < entropy(quantities)


def test_adsorption_turns_an_atoms_translation_into_three_vibrations():
    stiff = {
        "frequencies_cm1": [900.0] * 3,
        "inertia_amu_angstrom2": [0.0] * 3,
        "symmetry_number": 1,
        "mass_amu": 39.948,
    }
    quantum = 900.0 * WAVENUMBER_EV
    bound = 3 * (quantum / 2 + KT * np.log(1 - np.exp(-quantum / KT)))
    gas = 2.5 * KT - KT * 18.61  # Sackur-Tetrode: argon has 154.8 J/mol/K at 298.15 K and 1 bar
    assert adsorption_correction(stiff) == pytest.approx(bound - gas, abs=2e-3)
    soft, imaginary = ({**stiff, "frequencies_cm1": [f, 900.0, 900.0]} for f in (10.0, -3.0))
    assert adsorption_correction(soft) < adsorption_correction(stiff)
    assert adsorption_correction(imaginary) == pytest.approx(adsorption_correction(soft)), "no softer than the softest"
