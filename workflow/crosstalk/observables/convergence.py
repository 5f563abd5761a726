"""How an adsorption energy changes with each setting of the calculation, one at a time, all else as in the campaign."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from crosstalk.config.models import Count, GpawLevel, Model, Positive, Surface
from crosstalk.config.structures import slab_facts
from crosstalk.observables import adsorption
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close
from crosstalk.quantities import combine
from crosstalk.record import Record
from crosstalk.spec import Spec

if TYPE_CHECKING:
    from crosstalk.plan import Planner
    from crosstalk.planning.surfaces import Structure

REFERENCES = ("slab", "molecule")
#: The slab as the pose has displaced it, without the molecule.
IN_PLACE = "slab in place"
#: Roles of what the campaign itself computes, in rows of other settings.
CAMPAIGNS = "campaign's "
OF_LEVEL = ("cutoff_ev", "kpoint_spacing_per_angstrom", "grid_spacing_angstrom")
SPACINGS = ("kpoint_spacing_per_angstrom", "grid_spacing_angstrom")
OF_SURFACE = ("layers", "repeat", "vacuum_angstrom")
#: Settings whose other values leave a seam, where what the pose has displaced ends.
SEAMED = ("layers", "repeat")


#: What a campaign's settings may cost, one by one and together, meV.
AIM_MEV = 30


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels of the energies, each scanned by itself")
    cutoff_ev: list[Positive] = Field(default_factory=list, description="plane-wave cutoffs, eV")
    kpoint_spacing_per_angstrom: list[Positive] = Field(
        default_factory=list, description="k-point spacings, 1/Angstrom"
    )
    grid_spacing_angstrom: list[Positive] = Field(default_factory=list, description="grid spacings, Angstrom")
    layers: list[Count] = Field(default_factory=list, description="numbers of layers")
    repeat: list[list[Count]] = Field(default_factory=list, description="lateral repeats of the surface cell")
    wider: list[list[int]] = Field(
        default_factory=list,
        description="cells added to the surface's own lateral repeat, e.g. [1, 0]: what fits surfaces of unlike cells",
    )
    vacuum_angstrom: list[Positive] = Field(default_factory=list, description="vacuum above the highest atom, Angstrom")

    def values(self, setting: str, place: Surface) -> list[Any]:
        """What a setting of a surface takes in turn; nothing where its builder has no such setting."""
        if not hasattr(place, setting):
            return []
        wider = [[n + more for n, more in zip(place.repeat, added, strict=True)] for added in self.wider]
        return [*getattr(self, setting), *(wider if setting == "repeat" else [])]


class Convergence(Observable):
    name = "convergence"
    title = "Convergence of adsorption energies"
    subjects = {"adsorbates": "species", "surfaces": "surfaces"}
    engines = ("gpaw",)
    section = Settings
    builds_on = (adsorption.OBSERVABLE.name,)
    columns = ("adsorbate", "surface", "level", "setting", "value", "e_ads_ev", "e_ads_change_ev", *CLOSING)
    sign = (
        "e_ads = E(slab+molecule) - E(slab) - E(molecule), of the lowest pose of the table of adsorption energies, at the geometries of that table. e_ads_change: what it "
        "changes when one setting takes the value given and all others stay the campaign's ('campaign': its own). What the campaign's choice of a setting costs is the "
        "change at the setting's best value, with the sign reversed. In a wider cell (repeat) and with other layers the slab is displaced around the molecule as in the pose, and not relaxed where that ends: "
        "its deformation counts as in the campaign, so that the change is that of the interaction, with the displaced slab as its reference, and e_ads the campaign's plus that change."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        table = adsorption.OBSERVABLE
        its = table.section.model_validate(planner.tier.observables[table.name])
        for surface in subjects["surfaces"]:
            for adsorbate in subjects["adsorbates"]:
                for level in settings.levels:
                    subject = {"adsorbate": adsorbate, "surface": surface, "level": level}
                    energies, lowest = table.energies(planner, its, adsorbate, surface, level)
                    stand = {role: planner.structure_of(energies[role]) for role in REFERENCES} | {"pose": lowest}
                    here = {role: spec for role, spec in energies.items() if spec.step == "surface_energy"}
                    yield Entry(self.name, subject | {"setting": "campaign", "value": ""}, here)
                    base = {CAMPAIGNS + role: spec for role, spec in here.items()}
                    for setting, value, specs in self._scans(planner, settings, stand, adsorbate, surface, level):
                        text = "x".join(map(str, value)) if isinstance(value, list) else f"{value:g}"
                        own = dict(base)
                        if specs and IN_PLACE in specs:
                            name = f"{adsorbate} on {surface}"
                            own[CAMPAIGNS + IN_PLACE] = table.in_place(planner, its, lowest, level, name, "slab")
                        yield Entry(self.name, subject | {"setting": setting, "value": text}, (specs or here) | own)

    def _scans(
        self,
        planner: "Planner",
        settings: Settings,
        stand: Mapping[str, "Structure"],
        adsorbate: str,
        surface: str,
        level: str,
    ) -> Iterator[tuple[str, Any, dict[str, Spec] | None]]:
        """(setting, value, specs by role) of everything that is varied and applies to this level and surface; no specs: the campaign's own value."""
        model, place = planner.config.levels[level], planner.config.surfaces[surface]
        for setting in OF_LEVEL:
            fits = isinstance(model, GpawLevel) and (setting != "cutoff_ev" or model.mode == "pw")
            for value in getattr(settings, setting) if fits else []:
                other = planner.varied_level(level, setting, value)
                same = planner.config.levels[other].identity() == model.identity()
                what = f"{adsorbate} on {surface}"
                yield setting, value, None if same else self._energies(planner, stand, other, what)
        for setting in OF_SURFACE:
            for value in settings.values(setting, place):
                if np.array_equal(value, getattr(place, setting)):
                    yield setting, value, None
                    continue
                name = planner.varied_surface(surface, setting, value)
                what = f"{adsorbate} on {name}"
                there = planner.transplant(stand["pose"], stand["slab"], stand["molecule"], name, what)
                specs = self._energies(planner, there, level, what)
                if setting in SEAMED:
                    pose, index = there["pose"]
                    specs[IN_PLACE] = planner.surface_energy(pose, level, index, f"{what}: {IN_PLACE}", part="slab")
                yield setting, value, specs

    @staticmethod
    def _energies(planner: "Planner", stand: Mapping[str, "Structure"], level: str, what: str) -> dict[str, Spec]:
        return {
            role: planner.surface_energy(spec, level, index, f"{what}: {role}") for role, (spec, index) in stand.items()
        }

    def row(self, entry: Entry, read: Read) -> Row:
        records = {role: read(spec) for role, spec in entry.specs.items()}
        row: Row = dict(entry.subject)
        here, needed = self._bound(records, "")
        row["e_ads_ev"] = here
        if any(role.startswith(CAMPAIGNS) for role in records):
            base, others = self._bound(records, CAMPAIGNS)
            needed |= others
            if here is not None and base is not None:
                row["e_ads_change_ev"] = here - base
                if IN_PLACE in records:
                    needed |= {role: records[role] for role in (IN_PLACE, CAMPAIGNS + IN_PLACE)}
                    wide, own = (self._strain(records, prefix) for prefix in ("", CAMPAIGNS))
                    change = None if wide is None or own is None else here - base - wide + own
                    row |= {"e_ads_ev": None if change is None else base + change, "e_ads_change_ev": change}
        elif here is not None:
            row["e_ads_change_ev"] = 0.0
        main = next((role for role in needed if role.startswith("pose") and records[role].usable), "slab")
        return close(row, self.columns, needed, main)

    @staticmethod
    def _strain(records: Mapping[str, Record], prefix: str) -> float | None:
        """What the pose's displacements cost the bare slab, eV; None where a record lacks."""
        placed, slab = (records[prefix + role] for role in (IN_PLACE, "slab"))
        return combine("energy_ev", [(1, placed), (-1, slab)]) if placed.usable and slab.usable else None

    @staticmethod
    def _bound(records: Mapping[str, Record], prefix: str) -> tuple[float | None, dict[str, Record]]:
        """Adsorption energy (eV) of the lowest of the poses with this prefix, None where something lacks; the records that it needs.

        Poses that came to no number are left out as long as another one did.
        """
        poses = [role for role in records if role.startswith(f"{prefix}pose")]
        held = [role for role in poses if records[role].usable]
        wanted = [role for role in poses if role in held or not held or records[role].status == "missing"]
        needed = {role: records[role] for role in (*(prefix + part for part in REFERENCES), *wanted)}
        if not all(record.usable for record in needed.values()):
            return None, needed
        slab, molecule = (records[prefix + part] for part in REFERENCES)
        lowest = min(held, key=lambda role: float(records[role].quantities["energy_ev"]))
        needed = {role: record for role, record in needed.items() if role not in held or role == lowest}
        return combine("energy_ev", [(-1, slab), (-1, molecule), (1, records[lowest])]), needed

    def remarks(self, rows: Sequence[Row]) -> list[str]:
        """What the campaign's choice of each setting costs: its adsorption energy minus the one at the setting's best value."""
        scans: dict[tuple[str, str, str], dict[str, list[Row]]] = {}
        for row in rows:
            if row["setting"] != "campaign":
                subject = (row["adsorbate"], row["surface"], row["level"])
                scans.setdefault(subject, {}).setdefault(row["setting"], []).append(row)
        texts = []
        for (adsorbate, surface, level), settings in scans.items():
            costs, lacking = {}, []
            for setting, its in settings.items():
                best = max(its, key=lambda row: fineness(setting, row["value"]))
                if best["e_ads_change_ev"] is None:
                    lacking.append(setting)
                else:
                    costs[f"{setting} (against {best['value']})"] = -1000 * best["e_ads_change_ev"]
            if not costs:
                continue
            told = ", ".join(f"{name} {cost:+.0f} meV" for name, cost in costs.items())
            total = sum(costs.values())
            verdict = "within" if max(abs(total), *map(abs, costs.values())) <= AIM_MEV else "not within"
            missing = f"; without {', '.join(lacking)}" if lacking else ""
            texts.append(
                f"{adsorbate} on {surface}, {level}: the campaign's settings cost {told}; together {total:+.0f} meV, {verdict} the {AIM_MEV} meV aimed at{missing}"
            )
        return texts

    def problems(self, config: Any, settings: Settings, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        wrong = [name for name in settings.levels if not isinstance(config.levels.get(name), GpawLevel)]
        if wrong:
            return []  # said elsewhere
        allowed = (*OF_LEVEL, *OF_SURFACE, "wider")
        if not any(getattr(settings, name) for name in allowed):
            return [f"nothing is varied; allowed: {', '.join(allowed)}"]
        pairs = [f"repeat: {value} is no pair of numbers" for value in settings.repeat if len(value) != 2]
        pairs += [
            f"wider: {v} is no pair of numbers, none below 0" for v in settings.wider if len(v) != 2 or min(v) < 0
        ]
        return pairs or self._unbuildable(config, settings, subjects)

    @staticmethod
    def _unbuildable(config: Any, settings: Settings, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        """Other models of the campaign's surfaces that cannot be built."""
        found = []
        for name, setting in product(subjects["surfaces"], OF_SURFACE):
            place = config.surfaces[name]
            for value in settings.values(setting, place):
                if problem := slab_facts(config, place.model_copy(update={setting: value}))["problem"]:
                    found.append(f"surface '{name}' with {setting} {value}: {problem}")
        return found


def fineness(setting: str, value: str) -> float:
    """Larger is nearer to converged."""
    number = float(np.prod([float(part) for part in value.split("x")]))
    return -number if setting in SPACINGS else number


OBSERVABLE = Convergence()
