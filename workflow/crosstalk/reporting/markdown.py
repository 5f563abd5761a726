"""Tables in markdown: columns named with their units, numbers with the digits that are known."""

from collections.abc import Mapping, Sequence
from typing import Any

from crosstalk.quantities import QUANTITIES
from crosstalk.reporting import tables

#: Unit -> how a column's name ends, and how a reader writes it.
_UNITS = {
    "eV": ("_ev", "eV"),
    "kcal/mol": ("_kcal_mol", "kcal/mol"),
    "Angstrom": ("_angstrom", "Å"),
    "Angstrom^2": ("_angstrom2", "Å²"),
    "Angstrom^3": ("_angstrom3", "Å³"),
    "deg": ("_deg", "°"),
    "1/nm^2": ("_per_nm2", "1/nm²"),
    "g/cm^3": ("_g_cm3", "g/cm³"),
    "D": ("_debye", "D"),
    "eV/Angstrom": ("_ev_per_angstrom", "eV/Å"),
    "eV/Angstrom^3": ("_ev_per_angstrom3", "eV/Å³"),
}
#: Digits of a number on the page, by unit; two for the rest.
_DIGITS = {"eV": 3, "eV/Angstrom^3": 4}
#: Digits of columns that are known better than others of their unit.
_FINE_DIGITS = {"lattice_a_angstrom": 3, "lattice_b_angstrom": 3, "lattice_c_angstrom": 3, "interlayer_angstrom": 3}


def markdown(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], digits: int = 3) -> list[str]:
    """A table in markdown and an empty line. Numbers to the right, None as a dash."""
    right = {c for c in columns if any(isinstance(row.get(c), int | float) for row in rows)}
    lines = [
        "| " + " | ".join(heading(c) for c in columns) + " |",
        "|" + "|".join("---:" if c in right else "---" for c in columns) + "|",
    ]
    for row in rows:
        cells = [_shown(c, row.get(c), digits) for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _shown(column: str, value: Any, digits: int) -> str:
    if value is None:
        return "–"
    most = _FINE_DIGITS.get(column, _DIGITS.get(QUANTITIES[column].unit, 2)) if column in QUANTITIES else digits
    return escape(tables.cell(column, tables.word(value) if column == "status" else value, most))


def escape(text: str) -> str:
    """Text as markdown shows it: stars (of basis sets) and bars are no markup."""
    return "".join(f"\\{c}" if c in "*|<`" else c for c in text)


def heading(column: str) -> str:
    """A column's name with its unit in brackets."""
    unit = QUANTITIES[column].unit if column in QUANTITIES else ""
    suffix, shown = _UNITS.get(unit, ("", unit))
    stem = column.removesuffix(suffix) if suffix else column
    return f"{stem} ({shown})" if shown else column.replace("_", " ")
