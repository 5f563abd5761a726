"""Work functions and band edges of bare slabs against the vacuum."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from crosstalk.config.models import Model
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable

if TYPE_CHECKING:
    from crosstalk.plan import Planner


class Settings(Model):
    levels: list[str] = Field(min_length=1, description="levels, each a row of its own")


class WorkFunction(Observable):
    name = "surfaces"
    title = "Work functions and band edges"
    subjects = {"surfaces": "surfaces"}
    engines = ("gpaw",)
    section = Settings
    columns = (
        "surface", "level", "work_function_ev", "work_function_bottom_ev", "vbm_ev", "cbm_ev", "gap_ev", "work_function_flag", "n_atoms",
        "area_angstrom2", "oh_per_nm2", *CLOSING,
    )  # fmt: skip
    sign = (
        "Vacuum level minus Fermi level, from the electrostatic potential on each side of the slab; band edges against the vacuum of the upper "
        "side (negative = below). For an insulator the Fermi level is arbitrary: its 'work function' is the mid-gap and flagged 'mid-gap'."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        for name in subjects["surfaces"]:
            for level in settings.levels:
                slab = planner.slab(name)
                specs = {"slab": slab, "levels": planner.surface_energy(slab, level, 0, name)}
                yield Entry(
                    self.name,
                    {"surface": name, "level": level},
                    specs,
                    {"conductor": planner.config.surfaces[name].conductor},
                )

    def row(self, entry: Entry, read: Read) -> Row:
        records = {role: read(spec) for role, spec in entry.specs.items()}
        row: Row = dict(entry.subject)
        if usable(records, "slab"):
            row |= {c: records["slab"].quantities.get(c) for c in ("n_atoms", "area_angstrom2", "oh_per_nm2")}
        if usable(records, "levels"):
            quantities = records["levels"].quantities
            row |= {
                c: quantities.get(c)
                for c in ("work_function_ev", "work_function_bottom_ev", "vbm_ev", "cbm_ev", "gap_ev")
            }
            if not entry.facts["conductor"]:
                row["work_function_flag"] = "mid-gap"
                if row["vbm_ev"] is not None and row["cbm_ev"] is not None:
                    middle = -(row["vbm_ev"] + row["cbm_ev"]) / 2
                    shift = middle - row["work_function_ev"]
                    row["work_function_ev"] = middle
                    if row["work_function_bottom_ev"] is not None:
                        row["work_function_bottom_ev"] += shift
        return close(row, self.columns, records, "levels")


OBSERVABLE = WorkFunction()
