"""Binding energy of an ion: whole -> ion + remainder, every partner relaxed; counterpoise and deformation listed apart."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from crosstalk import units
from crosstalk.config.models import Model
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable
from crosstalk.quantities import combine

if TYPE_CHECKING:
    from crosstalk.plan import Planner


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels, each a row of its own")
    environments: list[str] = Field(min_length=1, description="environments of levels.yaml, each a row of its own")


class Binding(Observable):
    name = "binding"
    title = "Ion binding energies"
    subjects = {"species": "species"}
    engines = ("pyscf",)
    section = Settings
    columns = (
        "species", "reaction", "level", "environment", "e_bind_ev", "e_bind_kcal_mol", "counterpoise_ev", "deformation_ev",
        "e_bind_dispersion_ev", *CLOSING,
    )  # fmt: skip
    sign = (
        "e_bind = E(ion) + E(remainder) - E(whole), electronic energies, every partner at its own lowest geometry; positive = bound. "
        "counterpoise_ev (basis-set superposition at the geometry of the whole, dispersion on real atoms only) is not contained: subtract it. "
        "It is computed in the gas phase only. deformation_ev (of the remainder) is contained."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        for name in subjects["species"]:
            parts = planner.config.species[name].dissociation
            assert parts is not None  # the check at the door saw to it
            for level in settings.levels:
                for environment in settings.environments:
                    subject = {
                        "species": name,
                        "reaction": f"{name} -> {parts.ion} + {parts.remainder}",
                        "level": level,
                        "environment": environment,
                    }
                    gas = planner.config.environments[environment].model is None
                    specs = {role: planner.molecule_energy(n, level, environment) for role, n in
                             (("whole", name), ("ion", parts.ion), ("remainder", parts.remainder))}  # fmt: skip
                    fragments = planner.fragments(name, level) if gas else {}
                    yield Entry(self.name, subject, specs | fragments)

    def row(self, entry: Entry, read: Read) -> Row:
        records = {role: read(spec) for role, spec in entry.specs.items()}
        row: Row = dict(entry.subject)
        if usable(records, "whole", "ion", "remainder"):
            difference = [(1, records["ion"]), (1, records["remainder"]), (-1, records["whole"])]
            row["e_bind_ev"] = combine("energy_ev", difference)
            row["e_bind_kcal_mol"] = units.ev_to_kcal_mol(row["e_bind_ev"])
            if all("dispersion_ev" in r.quantities for _, r in difference):
                row["e_bind_dispersion_ev"] = combine("dispersion_ev", difference)
        fragments = ("remainder in place", "remainder with ghosts", "ion with ghosts")
        if all(role in records for role in fragments) and usable(records, "ion", "remainder", *fragments):
            place, ghosts, ion_ghosts = (records[role] for role in fragments)
            row["counterpoise_ev"] = combine(
                "energy_ev", [(1, place), (-1, ghosts), (1, records["ion"]), (-1, ion_ghosts)]
            )
            row["deformation_ev"] = combine("energy_ev", [(1, place), (-1, records["remainder"])])
        return close(row, self.columns, records, "whole")

    def problems(self, config: Any, settings: Settings, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        return [
            f"species '{name}' has no dissociation: say which ion is removed and what it leaves"
            for name in subjects["species"]
            if config.species[name].dissociation is None
        ]


OBSERVABLE = Binding()
