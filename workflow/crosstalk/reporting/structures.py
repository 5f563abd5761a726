"""Which structures the numbers belong to, and the pages that show them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.observables.base import Entry
from crosstalk.plan import Plan
from crosstalk.record import Store
from crosstalk.reporting import balls, tables
from crosstalk.spec import Spec

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.figure import Figure

#: A bare slab is shown at least this wide, Angstrom.
SLAB_WIDTH = 8.0
#: A page's text width, room for a title, and from how many molecules on a page has more and smaller pictures.
PAGE_INCHES, TITLE_INCHES, MANY = 6.9, 0.4, 12
#: Width of a character of a title over its size, about.
CHARACTER = 0.6
#: A cell is never narrower than this, Angstrom.
SPAN = 6.0


# -- selection ---------------------------------------------------------------------------------------------------


def geometry_of(spec: Spec, plan: Plan, store: Store) -> "Atoms | None":
    """The structure that a spec's numbers belong to, None when it is not there (yet).

    An energy has the geometry that it was given; anything else the one it ended with.
    """
    given = "geometry" in spec.inputs and spec.step.endswith("_energy")
    source, index = (plan.specs[spec.inputs["geometry"]], spec.settings["index"]) if given else (spec, 0)
    record = store.find(source)
    frames = store.structures(record) if record is not None and record.usable else []
    return frames[index] if index < len(frames) else None


def species_geometries(plan: Plan) -> list[tuple[str, Spec]]:
    """(species, spec) of every molecular geometry that energies or poses start from, in the plan's order."""
    wanted: dict[str, Spec] = {}
    for spec in plan.specs.values():
        role = {"molecule_energy": "geometry", "poses": "adsorbate"}.get(spec.step)
        if role is not None and plan.specs[spec.inputs[role]].step != "given":
            wanted[spec.inputs[role]] = plan.specs[spec.inputs[role]]
    return [(spec.label.split(" at ")[0], spec) for spec in wanted.values()]


def poses(entry: Entry) -> list[tuple[str, Spec]]:
    """(role, spec of its energy) of the poses of an adsorption entry, from the filter's lowest up."""
    return [(role, s) for role, s in entry.specs.items() if role.startswith("pose ") and s.step == "surface_energy"]


@dataclass(frozen=True)
class Picture:
    """One structure to be shown. `note` says why when there is none; tag 1 marks an adsorbate."""

    title: str
    kind: str  # molecule | slab
    atoms: "Atoms | None"
    note: str = ""

    @property
    def views(self) -> tuple[str, ...]:
        return ("molecule",) if self.kind == "molecule" else ("side", "top")


def pictures(plan: Plan, store: Store) -> list[Picture]:
    """Molecules and ion pairs (no single atoms), crystals, bare slabs, and the best pose of every adsorption row."""
    read = tables.reader(plan, store)
    found = []
    for name, spec in species_geometries(plan):
        atoms = geometry_of(spec, plan, store)
        if atoms is None or len(atoms) > 1:
            found.append(Picture(name, "molecule", atoms, tables.word(read(spec).status)))
    for spec in (spec for spec in plan.specs.values() if spec.step in ("bulk_relax", "slab")):
        atoms = geometry_of(spec, plan, store)
        found.append(
            Picture(spec.label, "slab", None if atoms is None else wide(atoms), tables.word(read(spec).status))
        )
    rows = tables.rows(plan, store)["adsorption"]
    held: dict[str, list[Picture]] = {}
    for entry, row in zip(plan.table("adsorption"), rows, strict=True):
        best = plan.specs[row["record"]] if row["e_ads_ev"] is not None else None
        atoms = geometry_of(best, plan, store) if best is not None else None
        stands = f"{entry.subject['adsorbate']} on {entry.subject['surface']}"
        picture = Picture(f"{stands}\n{entry.subject['level']}", "slab", atoms, tables.word(row["status"]))
        held.setdefault(stands, []).append(picture)
    for stands, every in held.items():
        same = all(_alike(every[0], other) for other in every[1:])
        found += [replace(every[0], title=stands)] if same else every
    return found


def _alike(one: Picture, other: Picture) -> bool:
    """Whether two levels show the same: one geometry, or none for one reason."""
    if one.atoms is None or other.atoms is None:
        return one.atoms is other.atoms and one.note == other.note
    return bool(one.atoms == other.atoms)


def wide(slab: "Atoms") -> "Atoms":
    """A slab repeated until both of its sides are long enough to show."""
    n, m = (math.ceil(SLAB_WIDTH / length) for length in slab.cell.lengths()[:2])
    return slab.repeat((n, m, 1))


# -- figures -----------------------------------------------------------------------------------------------------


def extent(atoms: "Atoms", view: str) -> np.ndarray:
    """Width and height of a picture, Angstrom."""
    from ase.data import covalent_radii

    shown = (atoms.positions @ balls.project(atoms, view))[:, :2]
    if view == "top":
        shown = np.vstack([shown, np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ atoms.cell.array[:2, :2]])
    return np.ptp(shown, axis=0) + 2 * balls.BALL * float(covalent_radii[atoms.numbers].max()) + 0.5


def spans(shown: Sequence[Picture]) -> dict[str, float]:
    """Angstrom that a cell is wide, by kind: pictures of one kind on a page have one scale."""
    widths: dict[str, float] = {}
    for picture in shown:
        if picture.atoms is not None:
            wide = [float(extent(picture.atoms, view)[0]) for view in picture.views]
            widths[picture.kind] = max(widths.get(picture.kind, SPAN), *wide)
    return widths


def _tallest(row: Sequence[Picture], span: float) -> float:
    """Height of a row over the width of a cell."""
    tall = [float(extent(p.atoms, view)[1]) for p in row if p.atoms is not None for view in p.views]
    return max([*tall, 0.3 * span]) / span


def contact_sheet(shown: Sequence[Picture], warning: str = "") -> "Figure":
    """All structures on one page; molecules first, then slabs in side and top view, with a scale bar for each kind."""
    from matplotlib.figure import Figure

    widths = spans(shown)
    columns = 4 if sum(picture.kind == "molecule" for picture in shown) <= MANY else 6
    cell = PAGE_INCHES / columns
    rows: list[list[Picture]] = []
    for kind, n in (("molecule", columns), ("slab", columns // 2)):
        group = [picture for picture in shown if picture.kind == kind]
        rows += [group[k : k + n] for k in range(0, len(group), n)]
    heights = [_tallest(row, widths.get(row[0].kind, SPAN)) * cell for row in rows]
    head = 0.3 if warning else 0.0
    height = sum(heights) + len(rows) * TITLE_INCHES + head + (0.4 if rows else 1.0)
    figure = Figure(figsize=(PAGE_INCHES, height))
    figure.text(0.5, 1 - 0.15 / height, warning, ha="center", va="center", fontsize=9, color="#b00020", weight="bold")
    if not rows:
        figure.text(0.5, 0.5, "no rows", ha="center", va="center", fontsize=9, style="italic")
    bottom = height - head
    for row, tall in zip(rows, heights, strict=True):
        bottom -= tall + TITLE_INCHES
        for k, picture in enumerate(row):
            left = k * cell * len(picture.views)
            _titled(figure, (left, bottom, cell, tall), picture, widths.get(picture.kind, SPAN))
    _scale_bars(figure, widths, cell)
    return figure


def portrait(picture: Picture, warning: str = "") -> "Figure":
    """One structure on its own."""
    from matplotlib.figure import Figure

    span, cell = spans([picture]).get(picture.kind, SPAN), PAGE_INCHES / 4
    tall = _tallest([picture], span) * cell
    figure = Figure(figsize=(cell * len(picture.views), tall + TITLE_INCHES))
    _titled(figure, (0.0, 0.0, cell, tall), picture, span)
    figure.text(0.5, 0.99, warning, ha="center", va="top", fontsize=6, color="#b00020", weight="bold")
    return figure


def _titled(figure: "Figure", box: tuple[float, float, float, float], picture: Picture, span: float) -> None:
    """A picture's views side by side under its title; the first view's left, bottom, width and height in inches."""
    total, height = figure.get_size_inches()
    left, bottom, cell, tall = box
    middle = left + cell * len(picture.views) / 2
    title = picture.title + ("" if picture.kind == "molecule" else " (side, top)")
    fits = 72 * cell * len(picture.views) / (CHARACTER * max(map(len, title.splitlines())))
    text: dict[str, Any] = {"ha": "center", "fontsize": min(8.0, fits)}
    figure.text(middle / total, (bottom + tall + 0.04) / height, title, va="bottom", **text)
    if picture.atoms is None:
        text |= {"style": "italic", "color": "#b00020", "va": "center", "fontsize": 8}
        figure.text(middle / total, (bottom + tall / 2) / height, picture.note, **text)
        return
    for k, view in enumerate(picture.views):
        axes = figure.add_axes(((left + k * cell) / total, bottom / height, cell / total, tall / height))
        half = span / 2 * np.array([1.0, tall / cell])
        axes.set(xlim=(-half[0], half[0]), ylim=(-half[1], half[1]), aspect="equal")
        axes.axis("off")
        balls.paint(axes, picture.atoms, view, span / cell)


def _scale_bars(figure: "Figure", widths: Mapping[str, float], cell: float) -> None:
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    left, y = 0.15, 0.18
    for kind, span in widths.items():
        length = 5.0 / span * cell
        figure.add_artist(Line2D([left / width, (left + length) / width], [y / height] * 2, color="black", lw=1.5))
        label = f"5 Å ({'molecules' if kind == 'molecule' else 'slabs'})"
        figure.text((left + length + 0.08) / width, y / height, label, va="center", fontsize=7.5)
        left += length + 1.6
