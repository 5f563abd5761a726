"""Reaction energies: sum over products minus sum over reactants, of whatever the config writes as a reaction."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from crosstalk import units
from crosstalk.config.models import Model
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable
from crosstalk.observables.free_energy import sums, thermal_spec
from crosstalk.quantities import combine
from crosstalk.units import ROOM_TEMPERATURE_K

if TYPE_CHECKING:
    from crosstalk.config.models import Reaction
    from crosstalk.plan import Planner

#: A free electron at rest: no energy, no calculation.
ELECTRON = "e-"


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels, each a row of its own")
    environments: list[str] = Field(min_length=1, description="environments of levels.yaml, each a row of its own")


class Reactions(Observable):
    name = "reactions"
    title = "Reaction energies"
    subjects = {"reactions": "reactions"}
    engines = ("pyscf",)
    section = Settings
    columns = (
        "reaction",
        "equation",
        "level",
        "environment",
        "delta_e_ev",
        "delta_h_ev",
        "delta_g_ev",
        "delta_e_kcal_mol",
        "delta_g_kcal_mol",
        *CLOSING,
    )
    sign = (
        "Sum over products minus sum over reactants; negative = releases energy. delta_e: electronic; delta_h, delta_g at 298.15 K with "
        "quasi-harmonic corrections, 1 bar in the gas phase and 1 mol/l in a continuum. A free electron (e-) counts as zero."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        for name in subjects["reactions"]:
            reaction = planner.config.reactions[name]
            fixed = any(planner.config.species[species].fixed for species in stoichiometry(reaction))
            for level in settings.levels:
                for environment in settings.environments:
                    if fixed and planner.config.environments[environment].model is not None:
                        continue  # given geometries are those of gas-phase references
                    yield self._entry(planner, name, reaction, level, environment)

    def _entry(self, planner: "Planner", name: str, reaction: "Reaction", level: str, environment: str) -> Entry:
        subject = {"reaction": name, "equation": equation(reaction), "level": level, "environment": environment}
        coefficients = stoichiometry(reaction)
        specs = {species: planner.molecule_energy(species, level, environment) for species in coefficients}
        thermal = {f"thermal {species}": thermal_spec(planner, planner.geometry(species)) for species in coefficients}
        kept = {role: spec for role, spec in thermal.items() if spec is not None}
        solution = planner.config.environments[environment].model is not None
        thermo = planner.tier.thermochemistry
        facts = {
            "coefficients": coefficients,
            "solution": solution,
            "temperature_k": thermo.temperature_k if thermo else ROOM_TEMPERATURE_K,
        }
        return Entry(self.name, subject, specs | (kept if len(kept) == len(thermal) else {}), facts)

    def row(self, entry: Entry, read: Read) -> Row:
        records = {role: read(spec) for role, spec in entry.specs.items()}
        coefficients = entry.facts["coefficients"]
        row: Row = dict(entry.subject)
        if usable(records, *coefficients):
            row["delta_e_ev"] = combine("energy_ev", [(c, records[name]) for name, c in coefficients.items()])
            row["delta_e_kcal_mol"] = units.ev_to_kcal_mol(row["delta_e_ev"])
        terms = [(c, name) for name, c in coefficients.items()]
        if found := sums(terms, records, entry.facts["temperature_k"], entry.facts["solution"]):
            row |= {"delta_h_ev": None if entry.facts["solution"] else found[1], "delta_g_ev": found[2]}
            row["delta_g_kcal_mol"] = units.ev_to_kcal_mol(found[2])
        return close(row, self.columns, records, next(iter(coefficients)))

    def problems(self, config: Any, settings: Settings, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        return []


def stoichiometry(reaction: "Reaction") -> dict[str, int]:
    """Species -> coefficient, products positive; without the electron and what cancels."""
    found: dict[str, int] = {}
    for side, sign in ((reaction.products, 1), (reaction.reactants, -1)):
        for name, count in side.items():
            if name != ELECTRON:
                found[name] = found.get(name, 0) + sign * count
    return {name: count for name, count in found.items() if count}


def equation(reaction: "Reaction") -> str:
    """ "A + 2 B -> C"."""
    sides = (reaction.reactants, reaction.products)
    return " -> ".join(" + ".join(f"{n} {name}" if n > 1 else name for name, n in side.items()) for side in sides)


OBSERVABLE = Reactions()
