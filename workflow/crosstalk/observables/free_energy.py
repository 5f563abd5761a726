"""Free energies of species from records: electronic energy in an environment plus thermal corrections of the geometry.

Gas phase: 1 bar. In a continuum: 1 mol/l, with the vibrations of the gas phase, and the continuum's energy as the free
energy of solvation.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from crosstalk.quantities import combine
from crosstalk.record import Record
from crosstalk.thermochemistry import Corrections, corrections

if TYPE_CHECKING:
    from crosstalk.plan import Planner
    from crosstalk.spec import Spec


def thermal_spec(planner: "Planner", own: "Spec", ion: "Spec | None" = None) -> "Spec | None":
    """The calculation that the thermal corrections of a species, or of its ion, are taken from, by their geometries; None without any."""
    thermo = planner.tier.thermochemistry
    if thermo is None or own.step != "hessian":
        return None
    return ion if ion is not None and thermo.ions == "own" else own


def thermal(record: Record, multiplicity: int, temperature_k: float, solution: bool) -> Corrections:
    """Corrections of a species from a record of step `hessian`; an atom's holds for its ions, whose spin is another."""
    return corrections(record.quantities, multiplicity, temperature_k, "1 M" if solution else "1 bar")


def sums(
    terms: Sequence[tuple[float, str]], records: Mapping[str, Record], temperature_k: float, solution: bool
) -> tuple[float, float, float] | None:
    """Differences of electronic energy, enthalpy and free energy over (coefficient, role), eV.

    The records of role X and "thermal X" are needed. None when one of them is no number.
    """
    roles = [role for _, name in terms for role in (name, f"thermal {name}")]
    if any(role not in records or not records[role].usable for role in roles):
        return None
    electronic = combine("energy_ev", [(c, records[name]) for c, name in terms])
    parts = [
        (c, thermal(records[f"thermal {name}"], records[name].spec.settings["multiplicity"], temperature_k, solution))
        for c, name in terms
    ]
    enthalpy = electronic + sum(c * part.enthalpy for c, part in parts)
    return electronic, enthalpy, electronic + sum(c * part.free_energy for c, part in parts)
