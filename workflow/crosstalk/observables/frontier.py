"""Frontier levels: Kohn-Sham eigenvalues of the neutral, and the vertical ionisation energy beside them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from crosstalk.config.models import Model, PyscfLevel
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable
from crosstalk.quantities import combine

if TYPE_CHECKING:
    from crosstalk.plan import Planner


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels, each a row of its own")
    ionisation: list[str] | None = Field(
        None, description="those of the levels that give the ionisation energy too; null: all"
    )


class Frontier(Observable):
    name = "frontier"
    title = "Frontier levels"
    subjects = {"species": "species"}
    engines = ("pyscf",)
    section = Settings
    columns = (
        "species", "level", "homo_ev", "lumo_ev", "gap_ev", "ip_vertical_ev", "lumo_flag", "lumo_extent_angstrom", "dipole_debye",
        *CLOSING,
    )  # fmt: skip
    sign = (
        "Kohn-Sham eigenvalues of the neutral against vacuum, gas phase, lowest conformer; rows of different levels are never compared. "
        "lumo_flag: 'unbound' is a positive eigenvalue, 'diffuse' one from a basis with diffuse functions (a dipole-bound or continuum state, "
        "not the orbital that a battery reduces). ip_vertical_ev = E(cation) - E(neutral) at the neutral's geometry, positive."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        for name in subjects["species"]:
            for level in settings.levels:
                specs = {"neutral": planner.molecule_energy(name, level)}
                if settings.ionisation is None or level in settings.ionisation:
                    charge, multiplicity = planner.charge(name), planner.config.species[name].multiplicity
                    ion = 2 if multiplicity == 1 else multiplicity - 1
                    specs["cation"] = planner.molecule_energy(
                        name, level, charge=charge + 1, multiplicity=ion, note="vertical cation"
                    )
                model = planner.config.levels[level]
                diffuse = isinstance(model, PyscfLevel) and has_diffuse_functions(model.basis)
                yield Entry(self.name, {"species": name, "level": level}, specs, {"diffuse": diffuse})

    def row(self, entry: Entry, read: Read) -> Row:
        records = {role: read(spec) for role, spec in entry.specs.items()}
        row: Row = dict(entry.subject)
        if usable(records, "neutral"):
            quantities = records["neutral"].quantities
            row |= {
                c: quantities.get(c) for c in ("homo_ev", "lumo_ev", "gap_ev", "lumo_extent_angstrom", "dipole_debye")
            }
            lumo = quantities.get("lumo_ev")
            flags = ["unbound"] * (lumo is not None and lumo > 0) + ["diffuse"] * bool(entry.facts["diffuse"])
            row["lumo_flag"] = " ".join(flags)
        if "cation" in records and usable(records, "neutral", "cation"):
            row["ip_vertical_ev"] = combine("energy_ev", [(1, records["cation"]), (-1, records["neutral"])])
        return close(row, self.columns, records, "neutral")

    def problems(self, config: Any, settings: Settings, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        others = [level for level in settings.ionisation or [] if level not in settings.levels]
        return [f"ionisation: '{level}' is not among its levels: {', '.join(settings.levels)}" for level in others]


def has_diffuse_functions(basis: str) -> bool:
    """Whether a basis set's name says that it has diffuse functions: +, aug- and its calendar, ma-, ...D of def2."""
    name = basis.lower().replace(" ", "")
    calendar = ("aug", "d-aug", "jul", "jun", "may", "apr", "ma-", "maug")
    return "+" in name or name.startswith(calendar) or name.endswith(("svpd", "tzvpd", "tzvppd", "qzvpd", "qzvppd"))


OBSERVABLE = Frontier()
