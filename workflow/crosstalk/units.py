"""The one module that owns units.

Inside crosstalk: eV, Angstrom, kelvin, bar, elementary charges. Everything else is converted here, once, at the door.
Constants are CODATA 2022's; no other module writes a conversion factor (a test looks for them).
"""

# Written out because scipy.constants costs more to import than a small job takes; a test compares them with it.
HARTREE_EV: float = 27.211386245981
BOHR_ANGSTROM: float = 0.529177210544
KCAL_MOL_EV: float = 4184.0 / 6.02214076e23 / 1.602176634e-19
KJ_MOL_EV: float = 1000.0 / 6.02214076e23 / 1.602176634e-19
BOLTZMANN_EV_PER_K: float = 1.380649e-23 / 1.602176634e-19
DEBYE_E_ANGSTROM: float = 1e-21 / 299792458.0 / 1.602176634e-19 / 1e-10
ROOM_TEMPERATURE_K: float = 298.15
_PLANCK_J_S, _LIGHT_M_S, _CHARGE_C, _AVOGADRO = 6.62607015e-34, 299792458.0, 1.602176634e-19, 6.02214076e23
_AMU_KG = 1.66053906892e-27
#: Energy of a quantum of 1/cm.
WAVENUMBER_EV: float = _PLANCK_J_S * _LIGHT_M_S * 100.0 / _CHARGE_C
#: hbar^2 / 2I of a moment of inertia of 1 amu Angstrom^2: the rotational quantum.
INERTIA_AMU_A2_EV: float = (_PLANCK_J_S / 6.283185307179586) ** 2 / 2 / (_AMU_KG * 1e-20) / _CHARGE_C
#: Inverse volume (1/Angstrom^3) of the thermal wavelength cubed, at a mass of 1 amu and kT = 1 eV.
TRANSLATION_PER_A3: float = (6.283185307179586 * _AMU_KG * _CHARGE_C / _PLANCK_J_S**2) ** 1.5 * 1e-30
BAR_EV_PER_A3: float = 1e5 * 1e-30 / _CHARGE_C
#: Pressure in bar of an ideal gas of 1 mol/l, per kelvin.
MOLAR_BAR: float = 1000.0 * _AVOGADRO * 1.380649e-23 / 1e5
#: Wavenumber (1/cm) of a force constant of 1 eV/Angstrom^2 on a mass of 1 amu.
FORCE_CONSTANT_CM1: float = (_CHARGE_C / 1e-20 / _AMU_KG) ** 0.5 / 6.283185307179586 / (_LIGHT_M_S * 100.0)
#: A femtosecond in the time that goes with Angstrom, amu and eV: Angstrom sqrt(amu/eV).
FEMTOSECOND: float = 1e-15 / (1e-10 * (_AMU_KG / _CHARGE_C) ** 0.5)
#: Density of 1 amu/Angstrom^3, g/cm^3.
DENSITY_G_CM3: float = _AMU_KG * 1e3 / 1e-24

#: Units that a config file may use, with their value in the internal unit.
TO_INTERNAL: dict[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "Ha": HARTREE_EV,
    "kcal/mol": KCAL_MOL_EV,
    "kJ/mol": KJ_MOL_EV,
    "Angstrom": 1.0,
    "V": 1.0,
    "D": 1.0,
}


def ev_to_kcal_mol(energy_ev: float) -> float:
    """Energy per particle in eV -> kcal/mol (thermochemical calorie)."""
    return energy_ev / KCAL_MOL_EV


def kcal_mol_to_ev(energy_kcal_mol: float) -> float:
    """Energy in kcal/mol -> eV per particle."""
    return energy_kcal_mol * KCAL_MOL_EV
