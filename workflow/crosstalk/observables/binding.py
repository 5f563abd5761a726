"""Binding energy of an ion: whole -> ion + remainder, every partner relaxed; counterpoise and deformation listed apart."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from crosstalk import units
from crosstalk.config.models import Model
from crosstalk.errors import nearest
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable
from crosstalk.observables.free_energy import sums, thermal_spec
from crosstalk.quantities import combine
from crosstalk.record import Record

if TYPE_CHECKING:
    from crosstalk.plan import Planner


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels, each a row of its own")
    environments: list[str] = Field(min_length=1, description="environments of levels.yaml, each a row of its own")
    exchange: str | None = Field(
        None, description="species that holds the same ion in the solvent, e.g. Li+ on EC: the ion is handed over to it"
    )


class Binding(Observable):
    name = "binding"
    title = "Ion binding energies"
    subjects = {"species": "species"}
    engines = ("pyscf",)
    section = Settings
    columns = (
        "species", "dissociation", "level", "environment", "e_bind_ev", "e_bind_kcal_mol", "counterpoise_ev", "deformation_ev",
        "e_bind_dispersion_ev", "h_bind_ev", "g_bind_ev", "g_bind_kcal_mol", "exchange_ev", "g_exchange_ev", *CLOSING,
    )  # fmt: skip
    sign = (
        "e_bind = E(ion) + E(remainder) - E(whole), electronic energies, every partner at its own lowest geometry; positive = bound. "
        "counterpoise_ev (basis-set superposition at the geometry of the whole, dispersion on real atoms only) is not contained: subtract it. "
        "It is computed in the gas phase only. deformation_ev (of the remainder) is contained. h_bind, g_bind: with quasi-harmonic corrections at "
        "298.15 K, 1 bar in the gas phase and 1 mol/l in a continuum. exchange: whole + solvent -> remainder + solvent with the ion, which "
        "needs no bare ion; positive = the salt keeps it."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        for name in subjects["species"]:
            parts = planner.config.species[name].dissociation
            assert parts is not None  # the check at the door saw to it
            for level in settings.levels:
                for environment in settings.environments:
                    subject = {
                        "species": name,
                        "dissociation": f"{name} -> {parts.ion} + {parts.remainder}",
                        "level": level,
                        "environment": environment,
                    }
                    yield self._entry(planner, settings, subject, name, level, environment)

    def _entry(
        self, planner: "Planner", settings: Settings, subject: dict[str, str], name: str, level: str, environment: str
    ) -> Entry:
        names = _parts(planner, name, "")
        if settings.exchange is not None:
            names |= _parts(planner, settings.exchange, "solvent ")
        specs = {role: planner.molecule_energy(n, level, environment) for role, n in names.items()}
        thermal = {f"thermal {role}": thermal_spec(planner, planner.geometry(n)) for role, n in names.items()}
        specs |= {role: spec for role, spec in thermal.items() if spec is not None}
        gas = planner.config.environments[environment].model is None
        thermo = planner.tier.thermochemistry
        facts = {"solution": not gas, "temperature_k": thermo.temperature_k if thermo else units.ROOM_TEMPERATURE_K}
        return Entry(self.name, subject, specs | (planner.fragments(name, level) if gas else {}), facts)

    def row(self, entry: Entry, read: Read) -> Row:
        records = {role: read(spec) for role, spec in entry.specs.items()}
        row: Row = dict(entry.subject)
        if usable(records, "whole", "ion", "remainder"):
            difference = [(1, records["ion"]), (1, records["remainder"]), (-1, records["whole"])]
            row["e_bind_ev"] = combine("energy_ev", difference)
            row["e_bind_kcal_mol"] = units.ev_to_kcal_mol(row["e_bind_ev"])
            # A functional that carries its own dispersion (VV10) does not tell it apart.
            if all(
                "dispersion_ev" in r.quantities and (r.spec.settings["level"] or {}).get("dispersion")
                for _, r in difference
            ):
                row["e_bind_dispersion_ev"] = combine("dispersion_ev", difference)
        fragments = ("remainder in place", "remainder with ghosts", "ion with ghosts")
        if all(role in records for role in fragments) and usable(records, "ion", "remainder", *fragments):
            place, ghosts, ion_ghosts = (records[role] for role in fragments)
            row["counterpoise_ev"] = combine(
                "energy_ev", [(1, place), (-1, ghosts), (1, records["ion"]), (-1, ion_ghosts)]
            )
            row["deformation_ev"] = combine("energy_ev", [(1, place), (-1, records["remainder"])])
        row |= self._free_energies(records, entry.facts)
        return close(row, self.columns, records, "whole")

    def _free_energies(self, records: Mapping[str, Record], facts: Mapping[str, Any]) -> Row:
        """Enthalpy, free energy, and the exchange with the solvent."""
        row: Row = {}
        binding = [(1.0, "ion"), (1.0, "remainder"), (-1.0, "whole")]
        exchange = [(1.0, "remainder"), (-1.0, "whole"), (1.0, "solvent whole"), (-1.0, "solvent remainder")]
        if found := sums(binding, records, facts["temperature_k"], facts["solution"]):
            row |= {"h_bind_ev": None if facts["solution"] else found[1], "g_bind_ev": found[2]}
            row["g_bind_kcal_mol"] = units.ev_to_kcal_mol(found[2])
        if all(role in records and records[role].usable for _, role in exchange):
            row["exchange_ev"] = combine("energy_ev", [(c, records[role]) for c, role in exchange])
        if found := sums(exchange, records, facts["temperature_k"], facts["solution"]):
            row["g_exchange_ev"] = found[2]
        return row

    def problems(self, config: Any, settings: Settings, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        return [
            f"species '{name}' has no dissociation: say which ion is removed and what it leaves"
            for name in subjects["species"]
            if config.species[name].dissociation is None
        ] + self._exchange_problems(config, settings, subjects)

    def _exchange_problems(self, config: Any, settings: Settings, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        if settings.exchange is None:
            return []
        holder = config.species.get(settings.exchange)
        if holder is None or holder.dissociation is None:
            return [
                f"exchange: '{settings.exchange}' must be a species with a dissociation{nearest(settings.exchange, config.species)}"
            ]
        parts = [(name, config.species[name].dissociation) for name in subjects["species"]]
        return [
            f"exchange: '{settings.exchange}' holds {holder.dissociation.ion}, and '{name}' loses {part.ion}"
            for name, part in parts
            if part is not None and part.ion != holder.dissociation.ion
        ]


def _parts(planner: "Planner", name: str, prefix: str) -> dict[str, str]:
    """Role -> species of whole -> ion + remainder."""
    parts = planner.config.species[name].dissociation
    assert parts is not None  # the check at the door saw to it
    return {f"{prefix}whole": name, f"{prefix}ion": parts.ion, f"{prefix}remainder": parts.remainder}


OBSERVABLE = Binding()
