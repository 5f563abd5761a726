"""Oxidation and reduction: vertical and adiabatic energies, potentials against Li/Li+, and what the ion becomes.

For a species alone and with a partner bound to it (Li+, the salt's anion): an electrolyte molecule is hardly ever alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from crosstalk.config.models import Model
from crosstalk.config.select import resolve, unknown
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable
from crosstalk.observables.free_energy import sums, thermal_spec
from crosstalk.quantities import combine
from crosstalk.record import Record
from crosstalk.units import ROOM_TEMPERATURE_K

if TYPE_CHECKING:
    from crosstalk.plan import Planner
    from crosstalk.spec import Spec

Process = Literal["oxidation", "reduction"]
BARE = "bare"
#: Charge that the species gains.
CHARGE = {"oxidation": 1, "reduction": -1}
#: Roles of what is one pose before the electron moved, and after; the first is its energy.
STATES = (("before", "thermal before"), ("after", "relaxed", "minimum", "thermal after"))
#: Unpaired electrons on the partner beyond which the electron came from there, or went there.
ELSEWHERE = 0.5


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels, each a row of its own")
    environments: list[str] = Field(min_length=1, description="environments; potentials are for continua")
    processes: list[Process] = Field(["oxidation", "reduction"], description="what is done")
    only: dict[Process, list[str]] = Field(
        default_factory=dict, description="process -> species or groups that it is done to; left out: all subjects"
    )
    partners: dict[Process, list[str]] = Field(
        default_factory=dict, description="process -> species that are bound to the subject, beside the subject alone"
    )
    partnered: list[str] | None = Field(
        None, description="species or groups that the partners are bound to; null: all subjects"
    )
    partner_environments: list[str] | None = Field(
        None, description="environments for subjects with a partner, which in the gas phase are often ions; null: all"
    )
    partner_geometry: dict[Process, str] = Field(
        default_factory=dict,
        description="process -> environment that a species with a partner and its ion are relaxed in, the ion from a search of its own; left out: the gas phase, the ion from the geometry before",
    )
    partner_level: dict[Process, str] = Field(
        default_factory=dict,
        description="process -> level that a species with a partner and its ion are relaxed at; left out: the tier's. A functional without exact exchange spreads an electron hole over both",
    )
    poses: dict[Process, list[str]] = Field(
        default_factory=dict,
        description="process -> species or groups whose complexes lose or take the electron in every pose that is kept (the tier's rerank_keep), of which the lowest counts on either side; left out: in the lowest only",
    )
    minima: dict[Process, list[str]] = Field(
        default_factory=dict,
        description="process -> species or groups whose complexes, where they carry no frequencies, are looked at along their lowest vibration, before and after the electron moved, and followed downhill where it is imaginary; left out: small forces alone say that they are relaxed",
    )
    li_reference_v: float = Field(
        1.40, description="absolute potential of Li/Li+ in V; 4.44 - 3.04, the literature spreads 1.37 to 1.46"
    )


class Redox(Observable):
    name = "redox"
    title = "Oxidation and reduction"
    subjects = {"species": "species"}
    engines = ("pyscf",)
    section = Settings
    columns = (
        "species", "partner", "process", "level", "environment", "vertical_ev", "adiabatic_ev", "potential_v", "mechanism", "product",
        "partner_spin", "mechanism_flag", "lowest_mode_cm1", "n_poses", "max_force_ev_per_angstrom", "thermal", "li_reference_v", *CLOSING,
    )  # fmt: skip
    sign = (
        "Oxidation: energy to remove an electron, positive. Reduction: E(neutral) - E(with the electron), positive = the electron is bound. "
        "vertical: at the geometry of the neutral; adiabatic: the ion relaxed (in the gas phase at the tier's level of geometries, bound species as partner_geometry and "
        "partner_level say). potential_v against Li/Li+: "
        "free energy to oxidise, or free energy released by reduction, per electron, minus li_reference_v; in a continuum at 1 mol/l. "
        "mechanism 'direct': the ion keeps the bonds of the neutral; 'coupled': it fell apart or an atom moved, and the potential is that of "
        "oxidation or reduction to the product named. An attachment in the gas phase that is not bound is flagged 'unbound' and depends on the basis alone. "
        "partner_spin: unpaired electrons on the partner; beyond half an electron it is the partner "
        "that was oxidised or reduced, and the row is flagged. lowest_mode: of the relaxed ion, where the tier's minima ask for it (imaginary negative). n_poses: of a complex, those whose ion reached an energy; the lowest counts. max_force: left in the relaxed ion. thermal: whose vibrations the free energies have."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        species = planner.config.species
        partnered = resolve(species, settings.partnered) if settings.partnered is not None else list(species)
        done_to = {process: resolve(species, names) for process, names in settings.only.items()}
        beside = settings.environments if settings.partner_environments is None else settings.partner_environments
        for name, process in product(subjects["species"], settings.processes):
            if name not in done_to.get(process, [name]):
                continue
            partners = settings.partners.get(process, []) if name in partnered else []
            for partner, level in product((BARE, *partners), settings.levels):
                for environment in settings.environments if partner == BARE else beside:
                    yield self._entry(planner, settings, name, partner, process, level, environment)

    def _entry(
        self,
        planner: "Planner",
        settings: Settings,
        name: str,
        partner: str,
        process: Process,
        level: str,
        environment: str,
    ) -> Entry:
        whole = name if partner == BARE else planner.beside(name, partner)
        several = partner != BARE and name in resolve(planner.config.species, settings.poses.get(process, []))
        subject = {"species": name, "partner": partner, "process": process, "level": level, "environment": environment}
        specs: dict[str, Spec] = {}
        for pose in range(planner.kept(whole) if several else 1):
            found = self._states(planner, settings, subject, whole, pose)
            specs |= {_ranked(role, pose): spec for role, spec in found.items()}
        thermo = planner.tier.thermochemistry
        facts = {
            "sign": CHARGE[process],
            "solution": planner.config.environments[environment].model is not None,
            "temperature_k": thermo.temperature_k if thermo else ROOM_TEMPERATURE_K,
            "thermal": "none" if thermo is None else thermo.ions,
            "li_reference_v": settings.li_reference_v,
            "several": several,
        }
        return Entry(self.name, subject, specs, facts)

    def _states(
        self, planner: "Planner", settings: Settings, subject: Mapping[str, Any], whole: str, pose: int
    ) -> dict[str, "Spec"]:
        """A species, or a pose of a complex, before and after it lost or took an electron."""
        process, level, environment = subject["process"], subject["level"], subject["environment"]
        charge, bare = CHARGE[process], subject["partner"] == BARE
        place = "" if bare else settings.partner_geometry.get(process, "")
        at = "" if bare else settings.partner_level.get(process, "")
        minimum = not bare and subject["species"] in resolve(planner.config.species, settings.minima.get(process, []))
        own = planner.geometry(whole, 0, place, at, pose, minimum)
        if place:
            relaxed = planner.geometry(whole, charge, place, at, pose, minimum)
        else:
            relaxed = planner.ion_geometry(whole, charge, at, pose, minimum)
        ion: Any = {"charge": planner.charge(whole) + charge, "multiplicity": planner.ionised(whole)}
        atoms = range(len(planner.symbols(subject["species"])), len(planner.symbols(whole)))
        word = "oxidised" if charge > 0 else "reduced"

        def energy(geometry: "Spec", *notes: str, **state: Any) -> "Spec":
            note = ", ".join([*notes, *([f"pose {pose + 1}"] if pose else [])])
            return planner.molecule_energy(whole, level, environment, geometry=geometry, note=note, **state)

        specs = {
            "before": energy(own),
            "after": energy(relaxed, word, **ion, partner=atoms if ion["multiplicity"] > 1 else ()),
            "relaxed": planner.relaxation(relaxed, own),
        }
        if relaxed.step == "lowest_mode":
            specs["minimum"] = relaxed
        # A continuum would have relaxed, which is not vertical.
        if planner.config.environments[environment].model is None and not pose:
            specs["vertical"] = energy(own, f"vertically {word}", **ion)
        before, after = thermal_spec(planner, own), thermal_spec(planner, own, relaxed)
        return specs | ({"thermal before": before, "thermal after": after} if before and after else {})

    def problems(self, config: Any, settings: Settings, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        named = {"partnered": settings.partnered or []}
        named |= {f"only.{process}": names for process, names in settings.only.items()}
        named |= {f"poses.{process}": names for process, names in settings.poses.items()}
        named |= {f"minima.{process}": names for process, names in settings.minima.items()}
        if problems := unknown(config.species, named):
            return problems
        partners = sorted({partner for its in settings.partners.values() for partner in its})
        allowed = resolve(config.species, settings.partnered) if settings.partnered is not None else subjects["species"]
        return [
            f"species '{name}' is given by a geometry: without SMILES no complex with {' or '.join(partners)} can be searched for; "
            "key 'partnered' names the species that have complexes"
            for name in subjects["species"]
            if partners and name in allowed and config.species[name].smiles is None
        ]

    def row(self, entry: Entry, read: Read) -> Row:
        every = {role: read(spec) for role, spec in entry.specs.items()}
        sign, facts = entry.facts["sign"], entry.facts
        row: Row = dict(entry.subject) | {"thermal": facts["thermal"]}
        records = lowest_states(every)
        if facts["several"]:
            row["n_poses"] = sum(record.usable for role, record in every.items() if role.split(" #")[0] == "after")
        if "vertical" in every:  # of the lowest geometry, on both sides
            records["vertical"] = every["vertical"]
            if usable(every, "before", "vertical"):
                row["vertical_ev"] = sign * combine("energy_ev", [(1, every["vertical"]), (-1, every["before"])])
        if usable(records, "before", "after", "relaxed"):
            electronic = combine("energy_ev", [(1, records["after"]), (-1, records["before"])])
            row["adiabatic_ev"] = sign * electronic
            looks = ["minimum"] + (["thermal after"] if facts["thermal"] == "own" else [])
            row["mechanism"], row["product"] = became(records["relaxed"], *(records[k] for k in looks if k in records))
            row["partner_spin"] = records["after"].quantities.get("partner_spin")
            last = records.get("minimum", records["relaxed"])
            row["max_force_ev_per_angstrom"] = last.quantities.get("max_force_ev_per_angstrom")
            row["lowest_mode_cm1"] = last.quantities.get("lowest_mode_cm1")
            if not facts["solution"] and sign < 0 and min(row["adiabatic_ev"], row.get("vertical_ev") or 0.0) < 0:
                row["mechanism_flag"] = "unbound: without a continuum the electron leaves"
            if abs(row["partner_spin"] or 0.0) > ELSEWHERE:
                row["mechanism_flag"] = f"the partner was {'oxidised' if sign > 0 else 'reduced'}"
            if facts["solution"]:
                row |= {
                    "potential_v": self._potential(records, facts, electronic),
                    "li_reference_v": facts["li_reference_v"],
                }
        return close(row, self.columns, records, "after")

    def _potential(self, records: Mapping[str, Record], facts: Mapping[str, Any], electronic: float) -> float | None:
        """V against Li/Li+. Without free energies the electronic difference stands for them; the row says so."""
        difference: float | None = electronic
        if facts["thermal"] == "own":
            found = sums([(1, "after"), (-1, "before")], records, facts["temperature_k"], solution=True)
            difference = found[2] if found else None
        return None if difference is None else facts["sign"] * difference - facts["li_reference_v"]


def _ranked(role: str, pose: int) -> str:
    """The role of a pose, from 0, which of the lowest has no number."""
    return f"{role} #{pose + 1}" if pose else role


def lowest_states(every: Mapping[str, Record]) -> dict[str, Record]:
    """The records of the lowest pose before and of the lowest after, by roles without a number.

    Poses that do not exist, or came to no energy, are left out as long as there is another; one that is not computed yet
    stays, by its own role, so that the row is not complete.
    """
    poses = sorted({role.partition(" #")[2] for role in every})
    chosen: dict[str, Record] = {}
    for state in STATES:
        ways = [{role: every[at] for role in state if (at := f"{role} #{k}" if k else role) in every} for k in poses]
        numbers = [way for way in ways if all(record.usable for record in way.values())]
        chosen |= min(numbers, key=lambda way: way[state[0]].quantities["energy_ev"]) if numbers else ways[0]
    return chosen | {role: record for role, record in every.items() if record.status == "missing"}


def became(*records: Record) -> tuple[str, str]:
    """Mechanism and product that the gates "connectivity" say of an ion's relaxation, and of where its modes then led."""
    missed = [gate for record in records for gate in record.missed if gate.name == "connectivity"]
    return ("coupled", str(missed[-1].value)) if missed else ("direct", "")


OBSERVABLE = Redox()
