"""Adsorption energies: E(slab+molecule) - E(slab) - E(molecule), same box, same level; their parts listed apart."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from crosstalk import beef
from crosstalk.config.models import GpawLevel, Model, Relaxation
from crosstalk.errors import nearest
from crosstalk.observables.adsorption_rows import (
    RESETTLED,
    SETTLED,
    counted,
    end_of,
    energy_of,
    is_lower,
    minima_of,
    needed,
    parts_of,
    ranks_of,
    resettled,
    sank,
    searched,
    terms_of,
)  # fmt: skip
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable
from crosstalk.thermochemistry import adsorption_correction

if TYPE_CHECKING:
    from crosstalk.plan import Planner
    from crosstalk.planning.surfaces import Structure
    from crosstalk.spec import Spec

#: Names of the numbers in quantity `starts_by_class`.
STARTS = ("bound", "desorbed", "dissociated", "rearranged", "surface changed", "unconverged", "without SCF")
#: What `geometry_flag` says of a part that is lower in the pose than alone, where no better reference was found.
REFERENCE = "reference"


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels of the energies, each a row of its own")
    geometry: Relaxation | None = Field(
        None, description="relaxation of slab, molecule and poses before the energies; null: the filter's geometries"
    )
    freeze_below: float = Field(
        0.0, ge=0, lt=1, description="fraction of the slab's thickness held fixed in that relaxation"
    )
    decompose: list[str] = Field(
        default_factory=list,
        description="levels (of `levels`) at which slab and molecule are computed as they are in the lowest pose: deformation, interaction; at LCAO levels counterpoise too",
    )
    modes: bool = Field(
        False,
        description="vibrations of the lowest pose as a rigid body, at the level of `geometry`: free energies of adsorption",
    )
    profiles: bool = Field(
        False, description="the change of the density along the normal, drawn; at the levels of `decompose`"
    )
    charges: Literal["hirshfeld"] | None = Field(None, description="charge transfer to the adsorbate: hirshfeld | null")


class Adsorption(Observable):
    name = "adsorption"
    title = "Adsorption energies"
    subjects = {"adsorbates": "species", "surfaces": "surfaces"}
    engines = ("gpaw",)
    section = Settings
    columns = (
        "adsorbate", "surface", "level", "e_ads_ev", "e_disp_ev", "e_electronic_ev", "e_ads_spread_ev", "e_ads_average_ev", "g_ads_ev", "interaction_ev",
        "deformation_slab_ev", "deformation_molecule_ev", "counterpoise_ev", "adsorbate_charge_e", "n_poses", "class", "geometry_flag",
        "height_angstrom", "nearest_contact_angstrom", "hydrogen_bonds", "bonds_to_slab", "metal_contacts", "image_gap_angstrom", "n_starts", "n_atoms",
        "minima", "poses", "starts", "search", "rank_correlation", "rank_relaxed", "rank_final", *CLOSING,
    )  # fmt: skip
    sign = (
        "e_ads = E(slab+molecule) - E(slab) - E(molecule, same box and settings), lowest pose; negative = bound. e_disp is its dispersion part, "
        "e_electronic the rest. e_ads = interaction + deformation_slab + deformation_molecule, with the parts as they are in the pose. "
        "e_ads_spread: standard deviation over the 2,000 functionals of the BEEF-vdW ensemble; less of it is left in a difference of two "
        "surfaces. e_ads_average: over the distinct minima, Boltzmann weights at 298.15 K. g_ads: of the lowest pose at 298.15 K from the gas at "
        "1 bar, translation and rotation turned into six vibrations, inner vibrations unchanged. counterpoise (basis-set superposition of a local "
        "basis) is not contained: add it. adsorbate_charge: Hirshfeld, positive = electrons went to the slab. "
        "n_poses: poses computed at the final level, out of n_starts starts of the filter; poses and starts: how they ended; search: distinct "
        "minima of the filter, the start that led to the last new one, and the one after which the lowest energy was known to 0.01 eV; minima: distinct "
        "ones of the final level with the starts that found them. hydrogen_bonds, bonds_to_slab, metal_contacts, nearest_contact: what holds the lowest pose. "
        "rank_correlation: between the order of the kept poses by the filter and at the final level; rank_relaxed: by the filter and after relaxation; rank_final: after "
        "relaxation and at the row's level. geometry_flag 'unrelaxed': energies at the filter's geometries, which bind "
        "less than relaxed ones by an unknown amount; 'superposition': e_ads of a local basis; 'reference': slab or molecule is lower in the pose "
        "than alone, so that e_ads holds what it gained by going there (seen at levels where parts are computed, true of all). A slab that is lower by more than "
        f"{SETTLED} eV there is relaxed from there without the molecule, and the lower of the two is the reference. Flagged rows are no evidence for an order of surfaces."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        for surface in subjects["surfaces"]:
            for adsorbate in subjects["adsorbates"]:
                for level in settings.levels:
                    specs = self._specs(planner, settings, adsorbate, surface, level)
                    model = planner.config.levels[level]
                    facts = {
                        "relaxed": settings.geometry is not None,
                        "superposition": isinstance(model, GpawLevel) and model.mode == "lcao",
                        "ensemble": getattr(model, "functional", None) == beef.FUNCTIONAL,
                    }
                    if settings.geometry is not None and planner.thin(surface) is not None:
                        facts["n_atoms"] = planner.n_atoms(surface, adsorbate)  # poses were searched with fewer
                    if isinstance(model, GpawLevel) and model.density is not None:
                        facts["functional"] = _evaluated_on(model.density, planner, settings).index(model.functional)
                    subject = {"adsorbate": adsorbate, "surface": surface, "level": level}
                    yield Entry(self.name, subject, specs, facts)

    def _specs(
        self, planner: "Planner", settings: Settings, adsorbate: str, surface: str, level: str
    ) -> dict[str, "Spec"]:
        """Energies of slab, molecule and every kept pose, their geometries, and the parts of the lowest pose.

        A functional that is evaluated on another level's density needs that level's energies and no more.
        """
        model = planner.config.levels[level]
        if isinstance(model, GpawLevel) and model.density is not None:
            whole = self._specs(planner, settings, adsorbate, surface, model.density)
            there, _ = self.energies(planner, settings, adsorbate, surface, model.density)
            return {role: spec for role, spec in whole.items() if role in (*there, RESETTLED) and role != "ensemble"}
        specs, (lowest, place) = self.energies(planner, settings, adsorbate, surface, level)
        name = f"{adsorbate} on {surface}"
        if settings.modes and settings.geometry is not None:
            label = f"{name}: modes"
            specs["modes"] = planner.surface_modes(lowest, specs["poses"], settings.geometry.level, place, label)
        if level in settings.decompose:
            for which in ("slab", "molecule"):
                specs[f"{which} in place"] = self.in_place(planner, settings, (lowest, place), level, name, which)
                if isinstance(model, GpawLevel) and model.mode == "lcao":
                    specs[f"{which} with ghosts"] = planner.surface_energy(
                        lowest, level, place, f"{name}: {which} with ghosts", part=which, ghosts=True
                    )
            if settings.geometry is not None:
                label = f"{name}: {RESETTLED}"
                settled = planner.settled_slab(
                    (lowest, place),
                    specs["slab"],
                    specs["slab in place"],
                    settings.geometry,
                    settings.freeze_below,
                    SETTLED,
                    label,
                )
                functionals = _evaluated_on(level, planner, settings) or None
                specs[RESETTLED] = planner.surface_energy(settled, level, 0, label, functionals=functionals)
        return specs

    @staticmethod
    def in_place(
        planner: "Planner", settings: Settings, lowest: "Structure", level: str, name: str, which: str
    ) -> "Spec":
        """The energy of a part ("slab", "molecule") of the lowest pose as it stands there, without the other; `name`: of the whole."""
        pose, index = lowest
        profiles = settings.profiles or None
        return planner.surface_energy(pose, level, index, f"{name}: {which} in place", part=which, profiles=profiles)

    def energies(
        self, planner: "Planner", settings: Settings, adsorbate: str, surface: str, level: str
    ) -> tuple[dict[str, "Spec"], "Structure"]:
        """Energies of slab, molecule and every kept pose and their geometries by role; and the lowest pose ("ensemble", where several are kept)."""
        functionals = _evaluated_on(level, planner, settings) or None
        name, thin = f"{adsorbate} on {surface}", planner.thin(surface) if settings.geometry else None
        stands = f"{adsorbate} on {thin or surface}"
        search = planner.poses(adsorbate, thin or surface)
        profiles = settings.profiles and level in settings.decompose
        specs, poses = {"poses": search}, [f"pose {k + 1}" for k in range(planner.poses_kept())]
        lowest, place = search, 2
        for index, role in enumerate(["slab", "molecule", *poses]):
            geometry, at = search, index
            if settings.geometry is not None:
                geometry, at = (
                    planner.surface_relax(search, settings.geometry, index, settings.freeze_below, f"{stands}: {role}"),
                    0,
                )
                specs[f"{role} geometry"] = geometry
            if thin is not None:
                geometry = planner.thicken(geometry, specs["slab geometry"], thin, surface, f"{name}: {role}")
            if role == poses[0]:
                lowest, place = geometry, at
            charges = settings.charges if role in poses else None
            drawn = (profiles and role in poses) or None
            specs[role] = planner.surface_energy(
                geometry, level, at, f"{name}: {role}", charges=charges, profiles=drawn, functionals=functionals
            )
        if len(poses) > 1:
            lowest, place = planner.pose_ensemble(search, [specs[role] for role in poses], f"{name} at {level}"), 0
            specs["ensemble"] = lowest
        return specs, (lowest, place)

    def row(self, entry: Entry, read: Read) -> Row:
        records = resettled({role: read(spec) for role, spec in entry.specs.items()})
        flags = ["" if entry.facts["relaxed"] else "unrelaxed", "superposition" if entry.facts["superposition"] else ""]
        row: Row = dict(entry.subject) | {"geometry_flag": " ".join(filter(None, flags))}
        if usable(records, "poses"):
            row |= {c: records["poses"].quantities.get(c) for c in ("n_starts", "n_atoms", "image_gap_angstrom")}
            row |= {c: entry.facts[c] for c in ("n_atoms",) if c in entry.facts}
            row["starts"] = counted(STARTS, records["poses"].quantities.get("starts_by_class", []))
            row["search"] = searched(records["poses"].quantities)
        roles = [role for role in records if role.startswith("pose ") and not role.endswith("geometry")]
        energies: dict[str, float] = {}
        if usable(records, "slab", "molecule"):
            energies = {r: energy_of(terms_of(records, r), entry.facts) for r in roles if usable(records, r)}
        ends = {role: end_of(records, role) for role in roles}
        row["poses"] = ", ".join(f"{n} {end}" for end, n in Counter(filter(None, ends.values())).items())
        if not energies:
            row["class"] = ", ".join(sorted({end for end in ends.values() if end not in ("", "bound")}))
            return close(row, self.columns, needed(records, ()), "poses")
        best = min(energies, key=lambda role: energies[role])
        row |= {"e_ads_ev": energies[best], "n_poses": len(energies), "class": ends[best]}
        if ends[best] == "bound" and energies[best] >= 0:
            row["class"] = "not bound"
        row |= {c: records[best].quantities.get(c) for c in ("height_angstrom", "adsorbate_charge_e")}
        row |= parts_of(records, best, energies[best], entry.facts) | minima_of(records, energies[best])
        row |= ranks_of(records, energies)
        if entry.facts["relaxed"] and sank(row):
            row["geometry_flag"] = f"{row['geometry_flag']} {REFERENCE}".strip()
        if "modes" in records and records["modes"].usable:
            row["g_ads_ev"] = energies[best] + adsorption_correction(records["modes"].quantities)
        # Poses that do not exist are no failure as long as one does; those that failed are named; those not computed yet may be lower.
        lost = {
            role
            for role, record in needed(records, energies).items()
            if role.startswith("pose ") and not record.usable and record.status != "missing"
        }
        row = close(row, self.columns, {r: its for r, its in needed(records, energies).items() if r not in lost}, best)
        row["reason"] = "; ".join(filter(None, [row["reason"], *(f"{r}: {records[r].status}" for r in sorted(lost))]))
        return row

    def rows(self, entries: Sequence[Entry], read: Read) -> list[Row]:
        """A reference that a level's parts show to be unsettled is so for every level that uses these geometries."""
        rows = super().rows(entries, read)
        sunk = {(row["adsorbate"], row["surface"]) for row in rows if REFERENCE in row["geometry_flag"].split()}
        others = {
            (row["adsorbate"], row["surface"])
            for entry, row in zip(entries, rows, strict=True)
            if RESETTLED in entry.specs and is_lower(read(entry.specs[RESETTLED]), read(entry.specs["slab"]))
        }
        for entry, row in zip(entries, rows, strict=True):
            flags, subject = row["geometry_flag"].split(), (row["adsorbate"], row["surface"])
            unsettled = subject in sunk or (subject in others and RESETTLED not in entry.specs)
            if entry.facts["relaxed"] and unsettled and REFERENCE not in flags:
                row["geometry_flag"] = " ".join([*flags, REFERENCE])
        return rows

    def problems(self, config: Any, settings: Settings, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        wrong = [
            f"key 'decompose': '{level}' is none of the levels; allowed: {', '.join(settings.levels)}{nearest(level, settings.levels)}"
            for level in settings.decompose
            if level not in settings.levels
        ]
        wrong += [
            f"key 'decompose': '{level}' is evaluated on another level's density: name that one"
            for level in settings.decompose
            if getattr(config.levels.get(level), "density", None) is not None
        ]
        if settings.modes and settings.geometry is None:
            wrong.append("key 'modes': vibrations need relaxed poses: section 'geometry'")
        local = [level for level in settings.levels if getattr(config.levels.get(level), "mode", None) == "lcao"]
        return wrong + [
            f"key 'levels': '{level}' is LCAO, whose energies need their counterpoise: name it under 'decompose' too, or use a plane-wave level"
            for level in local
            if level not in settings.decompose
        ]


def _evaluated_on(density: str, planner: "Planner", settings: Settings) -> list[str]:
    """Functionals of the levels that are evaluated on the density of a level."""
    models = (planner.config.levels[level] for level in settings.levels)
    return [model.functional for model in models if isinstance(model, GpawLevel) and model.density == density]


OBSERVABLE = Adsorption()
