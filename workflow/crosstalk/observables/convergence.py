"""How an adsorption energy changes with each setting of the calculation, one at a time, all else as in the campaign."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from crosstalk.config.models import Count, GpawLevel, Model, Positive, Surface
from crosstalk.config.structures import slab_facts
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable
from crosstalk.quantities import combine
from crosstalk.spec import Spec

if TYPE_CHECKING:
    from crosstalk.plan import Planner

ROLES = ("slab", "molecule", "pose 1")
OF_LEVEL = ("cutoff_ev", "kpoint_spacing_per_angstrom", "grid_spacing_angstrom")
SPACINGS = ("kpoint_spacing_per_angstrom", "grid_spacing_angstrom")
OF_SURFACE = ("layers", "repeat", "vacuum_angstrom")


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
    columns = ("adsorbate", "surface", "level", "setting", "value", "e_ads_ev", "e_ads_change_ev", *CLOSING)
    sign = (
        "e_ads = E(slab+molecule) - E(slab) - E(molecule), of the lowest pose of the filter at its unrelaxed geometry. e_ads_change: what it changes when one "
        "setting takes the value given and all others stay the campaign's ('campaign': its own). What the campaign's choice of a setting costs is the "
        "change at the setting's best value, with the sign reversed."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        for surface in subjects["surfaces"]:
            for adsorbate in subjects["adsorbates"]:
                poses = planner.poses(adsorbate, surface)
                for level in settings.levels:
                    subject = {"adsorbate": adsorbate, "surface": surface, "level": level}
                    here = self._energies(planner, poses, level, f"{adsorbate} on {surface}")
                    yield Entry(self.name, subject | {"setting": "campaign", "value": ""}, here)
                    for setting, value, specs in self._scans(planner, settings, poses, adsorbate, surface, level):
                        base = {f"campaign's {role}": spec for role, spec in here.items()}
                        text = "x".join(map(str, value)) if isinstance(value, list) else f"{value:g}"
                        yield Entry(self.name, subject | {"setting": setting, "value": text}, specs | base)

    def _scans(
        self, planner: "Planner", settings: Settings, poses: Spec, adsorbate: str, surface: str, level: str
    ) -> Iterator[tuple[str, Any, dict[str, Spec]]]:
        """(setting, value, specs by role) of everything that is varied and applies to this level and surface."""
        model, place = planner.config.levels[level], planner.config.surfaces[surface]
        for setting in OF_LEVEL:
            fits = isinstance(model, GpawLevel) and (setting != "cutoff_ev" or model.mode == "pw")
            for value in getattr(settings, setting) if fits else []:
                other = planner.varied_level(level, setting, value)
                what = f"{adsorbate} on {surface}"
                yield setting, value, self._energies(planner, poses, other, what)
        for setting in OF_SURFACE:
            for value in settings.values(setting, place):
                if np.array_equal(value, getattr(place, setting)):
                    yield setting, value, self._energies(planner, poses, level, f"{adsorbate} on {surface}")
                    continue
                name = planner.varied_surface(surface, setting, value)
                moved = planner.transplant(poses, name, f"{adsorbate} on {name}")
                yield setting, value, self._energies(planner, moved, level, f"{adsorbate} on {name}")

    @staticmethod
    def _energies(planner: "Planner", geometry: Spec, level: str, what: str) -> dict[str, Spec]:
        return {
            role: planner.surface_energy(geometry, level, index, f"{what}: {role}") for index, role in enumerate(ROLES)
        }

    def row(self, entry: Entry, read: Read) -> Row:
        records = {role: read(spec) for role, spec in entry.specs.items()}
        row: Row = dict(entry.subject)

        def bound(prefix: str) -> float:
            signs = (-1, -1, 1)
            return combine("energy_ev", [(s, records[prefix + role]) for s, role in zip(signs, ROLES, strict=True)])

        if usable(records, *ROLES):
            row["e_ads_ev"] = bound("")
            if f"campaign's {ROLES[0]}" not in records:
                row["e_ads_change_ev"] = 0.0
            elif usable(records, *(f"campaign's {role}" for role in ROLES)):
                row["e_ads_change_ev"] = row["e_ads_ev"] - bound("campaign's ")
        return close(row, self.columns, records, "pose 1")

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
                best = max(its, key=lambda row: _fineness(setting, row["value"]))
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


def _fineness(setting: str, value: str) -> float:
    """Larger is nearer to converged."""
    number = float(np.prod([float(part) for part in value.split("x")]))
    return -number if setting in SPACINGS else number


OBSERVABLE = Convergence()
