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
