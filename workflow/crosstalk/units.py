"""The one module that owns units.

Inside crosstalk: eV, Angstrom, kelvin, bar, elementary charges. Everything else is converted here, once, at the door.
Constants are CODATA's, through scipy.constants; no other module writes a conversion factor (a test looks for them).
"""

from scipy import constants as _c

HARTREE_EV: float = _c.physical_constants["Hartree energy in eV"][0]
BOHR_ANGSTROM: float = _c.physical_constants["Bohr radius"][0] / _c.angstrom
KCAL_MOL_EV: float = _c.kilo * _c.calorie / _c.N_A / _c.e
KJ_MOL_EV: float = _c.kilo / _c.N_A / _c.e
BOLTZMANN_EV_PER_K: float = _c.physical_constants["Boltzmann constant in eV/K"][0]
DEBYE_E_ANGSTROM: float = 1e-21 / _c.c / _c.e / _c.angstrom
ROOM_TEMPERATURE_K: float = 298.15

#: Units that a config file may use, with their value in the internal unit.
TO_INTERNAL: dict[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "Ha": HARTREE_EV,
    "kcal/mol": KCAL_MOL_EV,
    "kJ/mol": KJ_MOL_EV,
    "Angstrom": 1.0,
    "D": 1.0,
}


def ev_to_kcal_mol(energy_ev: float) -> float:
    """Energy per particle in eV -> kcal/mol (thermochemical calorie)."""
    return energy_ev / KCAL_MOL_EV


def kcal_mol_to_ev(energy_kcal_mol: float) -> float:
    """Energy in kcal/mol -> eV per particle."""
    return energy_kcal_mol * KCAL_MOL_EV
