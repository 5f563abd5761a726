"""Enthalpy and free energy of an ideal gas of molecules from a record's frequencies; quasi-harmonic entropies.

Rigid rotor, harmonic oscillator; the entropy of soft modes goes over into that of a free rotor with the moment of
inertia of the whole molecule at most (Grimme, Chem. Eur. J. 2012, 18, 9955, equations 3 to 8). Imaginary modes are left
out: the gate "true_minimum" says whether there are any that matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosstalk.units import (
    BOLTZMANN_EV_PER_K,
    INERTIA_AMU_A2_EV,
    MOLAR_BAR,
    ROOM_TEMPERATURE_K,
    TRANSLATION_PER_A3,
    WAVENUMBER_EV,
)

#: Below this wavenumber (1/cm) an oscillator's entropy is mostly that of a rotor, and the order of the switch.
SOFT_CM1 = 100.0
SWITCH_ORDER = 4
#: A mode on a surface is never softer than this, 1/cm.
SOFTEST_CM1 = 10.0
#: Largest effective moment of inertia of a soft mode, amu Angstrom^2 (1e-44 kg m^2, Grimme's value).
ROTOR_LIMIT_AMU_A2 = 602.214
#: Standard states: the ideal gas at 1 bar, and the solute at 1 mol/l.
STANDARD_STATES = ("1 bar", "1 M")


@dataclass(frozen=True)
class Corrections:
    """To be added to an electronic energy: zero-point energy, enthalpy, free energy; eV. `zero_point` is in both."""

    zero_point: float
    enthalpy: float
    free_energy: float


def corrections(
    quantities: Mapping[str, Any], multiplicity: int, temperature_k: float = ROOM_TEMPERATURE_K, state: str = "1 bar"
) -> Corrections:
    """Thermal corrections of a species.

    quantities: frequencies_cm1 (imaginary ones negative), inertia_amu_angstrom2 (three, zeros for an atom, one zero for
    a linear molecule), symmetry_number, mass_amu, of a record of step `hessian`. state: one of STANDARD_STATES.
    """
    kt = BOLTZMANN_EV_PER_K * temperature_k
    modes = np.array([f for f in quantities["frequencies_cm1"] if f > 0])
    quanta = WAVENUMBER_EV * modes
    zero_point = float(quanta.sum() / 2)
    inertia = np.array([i for i in quantities["inertia_amu_angstrom2"] if i > 0])
    thermal = float((quanta / np.expm1(quanta / kt)).sum()) + kt * (1.5 + len(inertia) / 2 + 1.0)
    entropy = _translation(quantities["mass_amu"], temperature_k, state) + float(np.log(multiplicity))
    entropy += _rotation(inertia, quantities["symmetry_number"], kt)
    entropy += float(_vibration(modes, inertia, kt).sum())
    enthalpy = zero_point + thermal
    return Corrections(zero_point, enthalpy, enthalpy - kt * entropy)


def adsorption_correction(quantities: Mapping[str, Any], temperature_k: float = ROOM_TEMPERATURE_K) -> float:
    """Free energy of adsorption minus its energy, eV: an ideal gas at 1 bar loses translation and rotation to six vibrations.

    quantities: of a record of step `surface_modes`. Inner vibrations are taken to cancel. Oscillators with quasi-harmonic
    entropies, as in molecules; an imaginary or very soft mode counts as one of SOFTEST_CM1.
    """
    kt = BOLTZMANN_EV_PER_K * temperature_k
    modes = np.maximum(np.abs(quantities["frequencies_cm1"]), SOFTEST_CM1)
    inertia = np.array([i for i in quantities["inertia_amu_angstrom2"] if i > 0])
    quanta = WAVENUMBER_EV * modes
    bound = float((quanta / 2 + quanta / np.expm1(quanta / kt)).sum()) - kt * float(
        _vibration(modes, inertia, kt).sum()
    )
    entropy = _translation(quantities["mass_amu"], temperature_k, "1 bar")
    entropy += _rotation(inertia, quantities["symmetry_number"], kt)
    return bound - kt * (1.5 + len(inertia) / 2 + 1.0 - entropy)


def _translation(mass_amu: float, temperature_k: float, state: str) -> float:
    """Sackur-Tetrode entropy over k."""
    kt = BOLTZMANN_EV_PER_K * temperature_k
    per_volume = TRANSLATION_PER_A3 * (mass_amu * kt) ** 1.5
    if state not in STANDARD_STATES:
        raise ValueError(f"unknown standard state '{state}'; allowed: {', '.join(STANDARD_STATES)}")
    bar = 1.0 if state == "1 bar" else MOLAR_BAR * temperature_k
    return float(np.log(per_volume * volume_a3(bar, temperature_k))) + 2.5


def volume_a3(pressure_bar: float, temperature_k: float) -> float:
    """Volume per particle of an ideal gas, Angstrom^3."""
    from crosstalk.units import BAR_EV_PER_A3

    return BOLTZMANN_EV_PER_K * temperature_k / (pressure_bar * BAR_EV_PER_A3)


def _rotation(inertia: np.ndarray, symmetry_number: int, kt: float) -> float:
    """Classical rotational entropy over k; `inertia` holds none (atom), two (linear) or three moments."""
    if len(inertia) == 0:
        return 0.0
    temperature = kt / (INERTIA_AMU_A2_EV / inertia)  # kT over the rotational quantum hbar^2/2I, twice for linear ones
    if len(inertia) == 2:
        return float(np.log(temperature[0] / symmetry_number)) + 1.0
    return float(np.log(np.sqrt(np.pi * temperature.prod()) / symmetry_number)) + 1.5


def _vibration(modes: np.ndarray, inertia: np.ndarray, kt: float) -> np.ndarray:
    """Entropy over k of each mode (1/cm): oscillator and free rotor, switched by the wavenumber."""
    x = WAVENUMBER_EV * modes / kt
    oscillator = x / np.expm1(x) - np.log(-np.expm1(-x))
    own = INERTIA_AMU_A2_EV / (WAVENUMBER_EV * modes)  # h/(8 pi^2 nu): inertia of a rotor with that quantum
    average = inertia.mean() if len(inertia) else ROTOR_LIMIT_AMU_A2
    limit = min(average, ROTOR_LIMIT_AMU_A2)
    moment = own * limit / (own + limit)
    rotor = 0.5 + np.log(np.sqrt(np.pi * kt / (INERTIA_AMU_A2_EV / moment)))
    share = 1 / (1 + (SOFT_CM1 / modes) ** SWITCH_ORDER)
    return share * oscillator + (1 - share) * rotor
