"""Which structures the numbers belong to, and their pictures: balls and sticks, deterministic.

Solid sticks are covalent bonds (nearer than BOND_FACTOR times the sum of covalent radii); dashed ones are contacts of
alkali and alkaline-earth cations, which are ionic. Farther atoms are paler.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.observables.base import Entry
from crosstalk.plan import Plan
from crosstalk.record import Store
from crosstalk.reporting import tables
from crosstalk.spec import Spec

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path

#: Elements whose contacts are ionic, and the partners that such contacts are drawn to.
CATIONS = frozenset({3, 4, 11, 12, 19, 20, 37, 38, 55, 56})
DONORS = frozenset({7, 8, 9, 16, 17, 34, 35, 53})
#: Radius of a ball in covalent radii, half width of a stick in Angstrom.
BALL, STICK = 0.48, 0.085
#: How much of its colour the farthest atom loses to white.
FOG = {"molecule": 0.15, "side": 0.35, "top": 0.65}
#: A bare slab is shown at least this wide, Angstrom.
SLAB_WIDTH = 9.0
#: A page's text width, room for a title, and from how many molecules on a page has more and smaller pictures.
PAGE_INCHES, TITLE_INCHES, MANY = 6.9, 0.4, 12
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
    for entry, row in zip(plan.table("adsorption"), rows, strict=True):
        title = f"{entry.subject['adsorbate']} on {entry.subject['surface']}\n{entry.subject['level']}"
        best = plan.specs[row["record"]] if row["e_ads_ev"] is not None else None
        atoms = geometry_of(best, plan, store) if best is not None else None
        found.append(Picture(title, "slab", atoms, tables.word(row["status"])))
    return found


def wide(slab: "Atoms") -> "Atoms":
    """A slab repeated until both of its sides are long enough to show."""
    n, m = (math.ceil(SLAB_WIDTH / length) for length in slab.cell.lengths()[:2])
    return slab.repeat((n, m, 1))


# -- balls and sticks --------------------------------------------------------------------------------------------


def project(atoms: "Atoms", view: str) -> np.ndarray:
    """Rotation (3, 3) whose columns are the view's right, up and towards the viewer.

    A molecule shows its two longest principal axes, tilted a little so that nothing hides behind an atom.
    """
    if view == "side":
        return np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]]).T
    if view == "top":
        return np.eye(3)
    centred = atoms.positions - atoms.positions.mean(axis=0)
    _, axes = np.linalg.eigh(np.round(centred.T @ centred, 4))
    axes = axes[:, ::-1]
    for k in range(2):  # a fixed sign: the longer tail to the right, and up
        skew = float(np.round((centred @ axes[:, k]) ** 3, 3).sum())
        largest = axes[np.abs(axes[:, k]).argmax(), k]
        axes[:, k] *= np.sign(skew) if abs(skew) > 0.01 else np.sign(largest)
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    tilt, turn = math.radians(18), math.radians(-12)
    about_x = np.array([[1, 0, 0], [0, math.cos(tilt), -math.sin(tilt)], [0, math.sin(tilt), math.cos(tilt)]])
    about_y = np.array([[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]])
    return axes @ (about_y @ about_x).T


def half_bonds(atoms: "Atoms") -> Iterator[tuple[int, np.ndarray, bool]]:
    """(atom, vector from it to the middle of the bond in Angstrom, ionic); over a cell's edge a stub is left."""
    from ase.neighborlist import natural_cutoffs, neighbor_list

    from crosstalk.structures.slabs import BOND_FACTOR

    numbers = atoms.numbers
    for i, j, vector in zip(*neighbor_list("ijD", atoms, natural_cutoffs(atoms, mult=BOND_FACTOR)), strict=True):
        pair = {int(numbers[i]), int(numbers[j])}
        if not pair & CATIONS:
            yield int(i), vector / 2, False
        elif pair & DONORS:
            yield int(i), vector / 2, True


def gathered(atoms: "Atoms") -> "Atoms":
    """The same structure with adsorbates in one piece and every hydrogen atom of a slab beside its partner, not across the cell's edge."""
    from ase.neighborlist import natural_cutoffs, neighbor_list

    from crosstalk.structures.slabs import BOND_FACTOR

    if not atoms.pbc.any():
        return atoms
    whole, tags, done = atoms.copy(), atoms.get_tags(), set[int]()
    bonds: dict[int, list[tuple[int, np.ndarray]]] = {}
    for i, j, vector in zip(*neighbor_list("ijD", atoms, natural_cutoffs(atoms, mult=BOND_FACTOR)), strict=True):
        bonds.setdefault(int(i), []).append((int(j), vector))
    for first in np.flatnonzero(tags == 1):
        waiting = [] if first in done else [int(first)]
        done.update(waiting)
        while waiting:
            i = waiting.pop()
            for j, vector in bonds.get(i, ()):
                if tags[j] == 1 and j not in done:
                    whole.positions[j] = whole.positions[i] + vector
                    done.add(j)
                    waiting.append(j)
    for i in np.flatnonzero((tags != 1) & (atoms.numbers == 1)):
        partners = [(j, vector) for j, vector in bonds.get(int(i), ()) if atoms.numbers[j] != 1 and tags[j] != 1]
        if partners:
            j, vector = min(partners, key=lambda found: float(np.linalg.norm(found[1])))
            whole.positions[i] = atoms.positions[j] - vector
    return whole


def paint(axes: "Axes", atoms: "Atoms", view: str, angstrom_per_inch: float) -> None:
    """Draw a structure into axes without a frame, centred on the origin, data in Angstrom."""
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors
    from matplotlib.collections import PatchCollection

    atoms = gathered(atoms)
    rotation = project(atoms, view)
    turned = atoms.positions @ rotation
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) @ atoms.cell.array[:2]
    extreme = np.vstack([turned, corners]) if view == "top" else turned
    centre = (extreme.max(axis=0) + extreme.min(axis=0)) / 2
    turned = turned - centre
    depth = turned[:, 2]
    fog = FOG[view] * (depth.max() - depth) / max(float(np.ptp(depth)), 4.0)
    if atoms.get_tags().any():
        fog[atoms.get_tags() == 1] = 0.0
    radii = covalent_radii[atoms.numbers] * BALL
    colours = jmol_colors[atoms.numbers] * (1 - fog[:, None]) + fog[:, None]
    items: list[tuple[float, list[Any]]] = []
    for i, vector, ionic in half_bonds(atoms):
        end = turned[i] + vector @ rotation
        items.append(((turned[i, 2] * 3 + end[2]) / 4 - 0.01, _stick(turned[i], end, colours[i], fog[i], ionic)))
    for i in range(len(atoms)):
        apart = np.linalg.norm(turned[:, :2] - turned[i, :2], axis=1)
        if not (apart + radii[i] <= radii + 0.01)[depth > depth[i] + 1e-6].any():  # no nearer atom hides it
            items.append((depth[i], _ball(turned[i], radii[i], colours[i], fog[i])))
    items.sort(key=lambda item: item[0])
    axes.add_collection(
        PatchCollection([patch for _, group in items for patch in group], match_original=True, zorder=2)
    )
    if view == "molecule":
        _letters(axes, atoms, turned, radii, angstrom_per_inch)
    if view == "top" and atoms.pbc.any():
        corners = corners - centre
        axes.plot(corners[:, 0], corners[:, 1], color="0.35", lw=0.7, ls=(0, (4, 2)), zorder=1)


@cache
def _circle() -> "Path":
    """The unit circle as four cubic curves, true to 3e-4 of its radius; Matplotlib's has eight."""
    from matplotlib.path import Path

    bend = 4 / 3 * (math.sqrt(2) - 1)
    quarter = np.array([[1, 0], [1, bend], [bend, 1], [0, 1]])
    vertices = [quarter]
    for _ in range(3):
        quarter = quarter @ np.array([[0, 1], [-1, 0]])  # turned by a right angle
        vertices.append(quarter[1:])
    return Path(np.vstack(vertices), [Path.MOVETO, *[Path.CURVE4] * 12])


def _ball(at: np.ndarray, radius: float, colour: np.ndarray, fog: float) -> list[Any]:
    """A circle, a lighter one in it and a spot of light."""
    from matplotlib.patches import PathPatch
    from matplotlib.transforms import Affine2D

    def circle(centre: np.ndarray, size: float, **style: Any) -> PathPatch:
        return PathPatch(_circle().transformed(Affine2D().scale(size).translate(*_xy(centre))), **style)

    edge = np.full(3, 0.15) * (1 - fog) + fog * 0.8
    light = colour + (1 - colour) * 0.35
    shine = colour + (1 - colour) * 0.8
    shift = np.array([-0.25, 0.28]) * radius
    return [
        circle(at[:2], radius, facecolor=colour * 0.92, edgecolor=edge, lw=0.45),
        circle(at[:2] + 0.6 * shift, 0.62 * radius, facecolor=light, edgecolor="none", alpha=0.6),
        circle(at[:2] + 1.2 * shift, 0.22 * radius, facecolor=shine, edgecolor="none", alpha=0.9),
    ]


def _xy(at: np.ndarray) -> tuple[float, float]:
    return float(at[0]), float(at[1])


def _stick(start: np.ndarray, end: np.ndarray, colour: np.ndarray, fog: float, ionic: bool) -> list[Any]:
    """A half-bond as a bar of its atom's colour; an ionic contact as dashes."""
    from matplotlib.patches import Polygon

    along = end[:2] - start[:2]
    length = float(np.linalg.norm(along))
    if length < 1e-6:
        return []
    side = np.array([-along[1], along[0]]) / length * (STICK * 0.45 if ionic else STICK)
    edge = np.full(3, 0.15) * (1 - fog) + fog * 0.8
    spans = [(k / 7, (k + 1) / 7) for k in range(1, 7, 2)] if ionic else [(0.0, 1.0)]
    style = (
        {"facecolor": "0.45", "edgecolor": "none"}
        if ionic
        else {"facecolor": colour * 0.9, "edgecolor": edge, "lw": 0.4}
    )
    return [
        Polygon(
            [
                start[:2] + a * along + side,
                start[:2] + b * along + side,
                start[:2] + b * along - side,
                start[:2] + a * along - side,
            ],
            **style,
        )
        for a, b in spans
    ]


def _letters(axes: "Axes", atoms: "Atoms", turned: np.ndarray, radii: np.ndarray, angstrom_per_inch: float) -> None:
    """Element symbols on the atoms (no colour needed), except on hydrogen and on atoms hidden by a nearer one."""
    for i, symbol in enumerate(atoms.symbols):
        apart = np.linalg.norm(turned[:, :2] - turned[i, :2], axis=1)
        hidden = (
            (turned[:, 2] > turned[i, 2]) & (apart < radii + 0.25 * radii[i]) & (np.arange(len(atoms)) != i)
        ).any()
        if symbol == "H" or hidden:
            continue
        size = 72 * 2 * radii[i] / angstrom_per_inch * (0.62 if len(symbol) == 1 else 0.5)
        axes.text(*_xy(turned[i]), symbol, fontsize=size, ha="center", va="center_baseline", color="black", zorder=3)


# -- figures -----------------------------------------------------------------------------------------------------


def extent(atoms: "Atoms", view: str) -> np.ndarray:
    """Width and height of a picture, Angstrom."""
    from ase.data import covalent_radii

    shown = (atoms.positions @ project(atoms, view))[:, :2]
    if view == "top":
        shown = np.vstack([shown, np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ atoms.cell.array[:2, :2]])
    return np.ptp(shown, axis=0) + 2 * BALL * float(covalent_radii[atoms.numbers].max()) + 0.5


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
    text: dict[str, Any] = {"ha": "center", "fontsize": 8}
    title = picture.title + ("" if picture.kind == "molecule" else " (side, top)")
    figure.text(middle / total, (bottom + tall + 0.04) / height, title, va="bottom", **text)
    if picture.atoms is None:
        text |= {"style": "italic", "color": "#b00020", "va": "center"}
        figure.text(middle / total, (bottom + tall / 2) / height, picture.note, **text)
        return
    for k, view in enumerate(picture.views):
        axes = figure.add_axes(((left + k * cell) / total, bottom / height, cell / total, tall / height))
        half = span / 2 * np.array([1.0, tall / cell])
        axes.set(xlim=(-half[0], half[0]), ylim=(-half[1], half[1]), aspect="equal")
        axes.axis("off")
        paint(axes, picture.atoms, view, span / cell)


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
