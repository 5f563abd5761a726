"""Frontier levels: Kohn-Sham eigenvalues of the neutral, and the vertical ionisation energy beside them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from crosstalk.config.models import Model, PyscfLevel
from crosstalk.config.select import resolve, unknown
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable
from crosstalk.quantities import combine
from crosstalk.record import Record

if TYPE_CHECKING:
    from crosstalk.plan import Planner


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels, each a row of its own")
    ionisation: list[str] | dict[str, list[str]] | None = Field(
        None,
        description="those of the levels that give the ionisation energy too; null: all. Or level -> the species or groups that it is given for",
    )
    orbitals: list[str] = Field(
        default_factory=list,
        description="those of the levels that the frontier orbitals are drawn at, as cube files and pictures",
    )
    average: int = Field(
        1,
        ge=1,
        description="conformers, from the lowest up, that Boltzmann averages are taken over; 1: the lowest alone",
    )


class Frontier(Observable):
    name = "frontier"
    title = "Frontier levels"
    subjects = {"species": "species"}
    engines = ("pyscf",)
    section = Settings
    columns = (
        "species", "level", "homo_ev", "lumo_ev", "gap_ev", "ip_vertical_ev", "lumo_flag", "lumo_extent_angstrom", "dipole_debye",
        "homo_average_ev", "lumo_average_ev", *CLOSING,
    )  # fmt: skip
    sign = (
        "Kohn-Sham eigenvalues of the neutral against vacuum, gas phase, lowest conformer (averages: over the lowest conformers, Boltzmann weights at 298.15 K); rows of different levels are never compared. "
        "lumo_flag: 'unbound' is a positive eigenvalue, 'diffuse' one from a basis with diffuse functions (a dipole-bound or continuum state, "
        "not the orbital that a battery reduces). ip_vertical_ev = E(cation) - E(neutral) at the neutral's geometry, positive."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        species = planner.config.species
        ionised = {
            level: list(species) if names is None else resolve(species, names) for level, names in _ionised(settings)
        }
        for name in subjects["species"]:
            for level in settings.levels:
                specs = {"neutral": planner.molecule_energy(name, level)}
                if name in ionised.get(level, []):
                    ion: Any = {"charge": planner.charge(name) + 1, "multiplicity": planner.ionised(name)}
                    specs["cation"] = planner.molecule_energy(name, level, **ion, note="vertically oxidised")
                if level in settings.orbitals and planner.geometry(name).step != "given":
                    specs["orbitals"] = planner.molecule_energy(name, level, step="orbitals")
                if settings.average > 1 and planner.geometry(name).step != "given" and len(planner.symbols(name)) > 1:
                    specs["ensemble"] = planner.ensemble(name)
                    for k in range(1, settings.average):
                        note = f"conformer {k + 1}"
                        specs[note] = planner.molecule_energy(name, level, index=k, note=note)
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
        others = {role: record for role, record in records.items() if role in ("neutral", "cation")}
        return close(row | _averages(records), self.columns, others, "neutral")

    def problems(self, config: Any, settings: Settings, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        wanted = [("ionisation", list(settings.ionisation or [])), ("orbitals", settings.orbitals)]
        others = [(key, level) for key, levels in wanted for level in levels if level not in settings.levels]
        found = [f"{key}: '{level}' is not among its levels: {', '.join(settings.levels)}" for key, level in others]
        named = {f"ionisation.{level}": names or [] for level, names in _ionised(settings)}
        return found + unknown(config.species, named)


def _ionised(settings: Settings) -> list[tuple[str, list[str] | None]]:
    """Levels that give ionisation energies, with the species or groups that they are given for (None: all)."""
    levels = settings.levels if settings.ionisation is None else settings.ionisation
    return list(levels.items()) if isinstance(levels, dict) else [(level, None) for level in levels]


def _averages(records: Mapping[str, Record]) -> Row:
    """Boltzmann averages over the conformers that there are; none where one of them failed."""
    weights = records["ensemble"].quantities.get("weights") if "ensemble" in records else None
    roles = ["neutral", *(role for role in records if role.startswith("conformer"))]
    there = [role for role in roles if records[role].status != "absent"]
    if weights is None or not usable(records, *there):
        return {}
    shares = [(records[role].quantities, w) for role, w in zip(there, weights, strict=False)]
    total = sum(w for _, w in shares)
    mean = {
        name: sum(w * q[name] for q, w in shares) / total for name in ("homo_ev", "lumo_ev") if name in shares[0][0]
    }
    return {name.replace("_ev", "_average_ev"): value for name, value in mean.items()}


def has_diffuse_functions(basis: str) -> bool:
    """Whether a basis set's name says that it has diffuse functions: +, aug- and its calendar, ma-, ...D of def2."""
    name = basis.lower().replace(" ", "")
    calendar = ("aug", "d-aug", "jul", "jun", "may", "apr", "ma-", "maug")
    return "+" in name or name.startswith(calendar) or name.endswith(("svpd", "tzvpd", "tzvppd", "qzvpd", "qzvppd"))


OBSERVABLE = Frontier()
