"""Work functions and band edges of bare slabs against the vacuum, on both sides."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from crosstalk.config.models import Model
from crosstalk.observables.base import CLOSING, PROFILES, Entry, Observable, Read, Row, close, usable

if TYPE_CHECKING:
    from crosstalk.plan import Planner

#: Vacuum levels of the two sides further apart than this make a slab asymmetric; eV.
ASYMMETRIC = 0.05
#: A slab with a smaller gap than this has a Fermi level of its own, whatever the config expects of it (lithium makes metals of oxides); eV.
GAPLESS = 0.1
#: Flag of such a slab at a level that gives insulators fewer k-points than a metal needs.
FEW = "a metal with the k-points of an insulator (key conductor)"


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels, each a row of its own")
    also: dict[str, list[str]] = Field(
        default_factory=dict, description="a further level -> the surfaces (names or groups) that get a row of it"
    )
    profiles: bool = Field(False, description="the potential along the normal, drawn")

    def levels_of(self, name: str, groups: Sequence[str]) -> list[str]:
        """The levels of a surface's rows."""
        further = (level for level, wanted in self.also.items() if not {name, *groups}.isdisjoint(wanted))
        return list(dict.fromkeys([*self.levels, *further]))


class WorkFunction(Observable):
    name = "surfaces"
    title = "Work functions and band edges"
    subjects = {"surfaces": "surfaces"}
    engines = ("gpaw",)
    section = Settings
    columns = (
        "surface", "level", "work_function_ev", "work_function_bottom_ev", "vacuum_step_ev", "vbm_ev", "cbm_ev", "gap_ev", "work_function_flag",
        "energy_ev", "magnetisation_mub", "absolute_magnetisation_mub",
        "sides", "n_atoms", "area_angstrom2", "oh_per_nm2", "vacuum_slope_ev_per_angstrom", "vacuum_slope_bottom_ev_per_angstrom", *CLOSING,
    )  # fmt: skip
    sign = (
        "Vacuum level minus Fermi level, from the electrostatic potential on each side of the slab; band edges against the vacuum of the upper "
        "side (negative = below; against the lower one: plus vacuum_step). vacuum_step: vacuum level above minus below, 'asymmetric' from "
        f"{ASYMMETRIC} eV on. For an insulator the Fermi level is arbitrary: its 'work function' is the mid-gap and flagged 'mid-gap', unless the gap is below {GAPLESS} eV; "
        "without a gap at a level that gives insulators fewer k-points it is flagged as well: name the surface a conductor. A conductor whose "
        "spins open a gap is treated as an insulator. magnetisation, absolute_magnetisation: integrals of the spin density and of its absolute "
        "value over the cell, at levels that set spins free; of rows of one slab energy_ev says which is lower. "
        "The slope of each plateau is a gate."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        for name in subjects["surfaces"]:
            for level in settings.levels_of(name, planner.config.surfaces[name].groups):
                slab = planner.slab(name)
                specs = {
                    "slab": slab,
                    "levels": planner.surface_energy(slab, level, 0, name, profiles=settings.profiles or None),
                }
                yield Entry(
                    self.name,
                    {"surface": name, "level": level},
                    specs,
                    {
                        "conductor": planner.config.surfaces[name].conductor,
                        "fewer": bool(
                            getattr(planner.config.levels[level], "insulator_kpoint_spacing_per_angstrom", None)
                        ),
                    },
                )

    def row(self, entry: Entry, read: Read) -> Row:
        records = {role: read(spec) for role, spec in entry.specs.items()}
        row: Row = dict(entry.subject)
        if usable(records, "slab"):
            row |= {c: records["slab"].quantities.get(c) for c in ("n_atoms", "area_angstrom2", "oh_per_nm2")}
        if usable(records, "levels"):
            found = records["levels"].quantities
            row |= {c: found.get(c) for c in ("energy_ev", "magnetisation_mub", "absolute_magnetisation_mub")}
            row |= _against_the_vacuum(found, entry.facts["conductor"])
            if entry.facts["fewer"] and not (entry.facts["conductor"] or row.get("work_function_flag")):
                row["work_function_flag"] = FEW
            if "profile_potential_ev" in found:
                wanted = ("profile_heights_angstrom", "profile_potential_ev", "slab_extent_angstrom")
                row[PROFILES] = {name: found[name] for name in wanted}
        return close(row, self.columns, records, "levels")


def _against_the_vacuum(quantities: Mapping[str, Any], conductor: bool) -> Row:
    """Work functions of both sides and band edges; mid-gap in place of an arbitrary Fermi level."""
    names = ("work_function_ev", "work_function_bottom_ev", "vbm_ev", "cbm_ev", "gap_ev")
    slopes = ("vacuum_slope_ev_per_angstrom", "vacuum_slope_bottom_ev_per_angstrom")
    row: Row = {name: quantities.get(name) for name in (*names, *slopes)}
    upper, lower, vbm, cbm = (row[name] for name in names[:4])
    if upper is not None and lower is not None:
        row["vacuum_step_ev"] = upper - lower
        row["sides"] = "asymmetric" if abs(upper - lower) > ASYMMETRIC else "alike"
    gap = row["gap_ev"]
    if conductor and quantities.get("absolute_magnetisation_mub") is not None:
        conductor = gap is None or gap < GAPLESS  # spins may open a gap; without them it would be the mesh's
    if conductor or (gap is not None and gap < GAPLESS):
        return row
    row["work_function_flag"] = "mid-gap"
    if upper is not None and vbm is not None and cbm is not None:
        middle = -(vbm + cbm) / 2
        row["work_function_ev"] = middle
        if lower is not None:
            row["work_function_bottom_ev"] = lower + middle - upper
    return row


OBSERVABLE = WorkFunction()
