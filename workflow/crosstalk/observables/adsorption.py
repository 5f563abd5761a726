"""Adsorption energies: E(slab+molecule) - E(slab) - E(molecule), same box, same level; dispersion listed apart."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from crosstalk.config.models import Model, Relaxation
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable
from crosstalk.quantities import combine
from crosstalk.record import USABLE, Record

if TYPE_CHECKING:
    from crosstalk.plan import Planner


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels of the energies, each a row of its own")
    geometry: Relaxation | None = Field(
        None, description="relaxation of slab, molecule and poses before the energies; null: the filter's geometries"
    )
    freeze_below: float = Field(
        0.0, ge=0, lt=1, description="fraction of the slab's thickness held fixed in that relaxation"
    )


class Adsorption(Observable):
    name = "adsorption"
    title = "Adsorption energies"
    subjects = {"adsorbates": "species", "surfaces": "surfaces"}
    engines = ("gpaw",)
    section = Settings
    columns = (
        "adsorbate", "surface", "level", "e_ads_ev", "e_disp_ev", "n_poses", "class", "geometry_flag", "height_angstrom", "n_starts", "n_atoms",
        *CLOSING,
    )  # fmt: skip
    sign = (
        "e_ads = E(slab+molecule) - E(slab) - E(molecule, same box and settings), lowest pose; negative = bound. e_disp is its dispersion part. "
        "n_poses: distinct poses computed at the final level, out of n_starts starts of the filter. geometry_flag 'unrelaxed': energies at the "
        "filter's geometries, which bind less than relaxed ones by an unknown amount; no evidence for an order of surfaces."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        for surface in subjects["surfaces"]:
            for adsorbate in subjects["adsorbates"]:
                for level in settings.levels:
                    poses = planner.poses(adsorbate, surface)
                    specs = {"poses": poses}
                    for index, role in enumerate(
                        ["slab", "molecule", *(f"pose {k + 1}" for k in range(planner.poses_kept()))]
                    ):
                        geometry, place = poses, index
                        what = f"{adsorbate} on {surface}: {role}"
                        if settings.geometry is not None:
                            geometry, place = (
                                planner.surface_relax(poses, settings.geometry, index, settings.freeze_below, what),
                                0,
                            )
                            specs[f"{role} geometry"] = geometry
                        specs[role] = planner.surface_energy(geometry, level, place, what)
                    subject = {"adsorbate": adsorbate, "surface": surface, "level": level}
                    yield Entry(self.name, subject, specs, {"relaxed": settings.geometry is not None})

    def row(self, entry: Entry, read: Read) -> Row:
        records = {role: read(spec) for role, spec in entry.specs.items()}
        row: Row = dict(entry.subject)
        row["geometry_flag"] = "" if entry.facts["relaxed"] else "unrelaxed"
        if usable(records, "poses"):
            row |= {c: records["poses"].quantities.get(c) for c in ("n_starts", "n_atoms")}
        energies: dict[str, float] = {}
        if usable(records, "slab", "molecule"):
            for role in (r for r in records if r.startswith("pose ") and not r.endswith("geometry")):
                if usable(records, role):
                    energies[role] = combine("energy_ev", self._terms(records, role))
        # Poses that do not exist are no failure as long as one does.
        needed = {r: record for r, record in records.items() if record.status != "absent" or not energies}
        row["class"] = self._class(records, energies)
        if energies:
            best = min(energies, key=lambda role: energies[role])
            row |= {"e_ads_ev": energies[best], "n_poses": len(energies)}
            row["height_angstrom"] = records[best].quantities.get("height_angstrom")
            terms = self._terms(records, best)
            if all("dispersion_ev" in record.quantities for _, record in terms):
                row["e_disp_ev"] = combine("dispersion_ev", terms)
            others = {r for r in needed if r.startswith("pose ") and not needed[r].usable}
            kept = {r: record for r, record in needed.items() if r not in others}
            row = close(row, self.columns, kept, best)
            if others:
                row["reason"] = "; ".join(
                    filter(None, [row["reason"], *(f"{r}: {needed[r].status}" for r in sorted(others))])
                )
            return row
        return close(row, self.columns, needed, "poses")

    @staticmethod
    def _terms(records: Mapping[str, Record], role: str) -> list[tuple[float, Record]]:
        return [(1, records[role]), (-1, records["slab"]), (-1, records["molecule"])]

    @staticmethod
    def _class(records: Mapping[str, Record], energies: Mapping[str, float]) -> str:
        """bound, or how the poses ended: every class that occurred, most telling first."""
        if energies:
            return "bound" if min(energies.values()) < 0 else "not bound"
        ends = {r.status for role, r in records.items() if role.startswith("pose ")} - {
            *USABLE,
            "absent",
            "blocked",
            "missing",
        }
        return ", ".join(sorted(ends)).replace("not_converged", "unconverged")


OBSERVABLE = Adsorption()
