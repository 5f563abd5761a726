"""Which structures the numbers belong to, and their pictures: balls and sticks, deterministic.

Solid sticks are covalent bonds (nearer than BOND_FACTOR times the sum of covalent radii); dashed ones are contacts of
alkali and alkaline-earth cations, which are ionic. Farther atoms are paler.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

#: Elements whose contacts are ionic, and the partners that such contacts are drawn to.
CATIONS = frozenset({3, 4, 11, 12, 19, 20, 37, 38, 55, 56})
DONORS = frozenset({7, 8, 9, 16, 17, 34, 35, 53})
#: Radius of a ball in covalent radii, half width of a stick in Angstrom.
BALL, STICK = 0.48, 0.085
#: How much of its colour the farthest atom loses to white.
FOG = {"molecule": 0.15, "side": 0.35, "top": 0.65}
#: A bare slab is shown at least this wide, Angstrom.
SLAB_WIDTH = 9.0
COLUMNS, CELL_INCHES, TITLE_INCHES = 4, 1.72, 0.42


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
        if role is not None:
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
    """Molecules and ion pairs (no single atoms), bare slabs, and the best pose of every adsorption row."""
    read = tables.reader(plan, store)
    found = []
    for name, spec in species_geometries(plan):
        atoms = geometry_of(spec, plan, store)
        if atoms is None or len(atoms) > 1:
            found.append(Picture(name, "molecule", atoms, tables.word(read(spec).status)))
    slabs = {
        e.subject["surface"]: e.specs["slab"] for e in plan.entries if "slab" in e.specs and "surface" in e.subject
    }
    for name, spec in slabs.items():
        if spec.step == "slab":
            atoms = geometry_of(spec, plan, store)
            found.append(Picture(name, "slab", None if atoms is None else _wide(atoms), tables.word(read(spec).status)))
    rows = tables.rows(plan, store)["adsorption"]
    for entry, row in zip(plan.table("adsorption"), rows, strict=True):
        title = f"{entry.subject['adsorbate']} on {entry.subject['surface']}\n{entry.subject['level']}"
        best = plan.specs[row["record"]] if row["e_ads_ev"] is not None else None
        atoms = geometry_of(best, plan, store) if best is not None else None
        found.append(Picture(title, "slab", atoms, tables.word(row["status"])))
    return found


def _wide(slab: "Atoms") -> "Atoms":
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


def paint(axes: "Axes", atoms: "Atoms", view: str, angstrom_per_inch: float) -> None:
    """Draw a structure into axes without a frame, centred on the origin, data in Angstrom."""
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors
    from matplotlib.collections import PatchCollection

    rotation = project(atoms, view)
    turned = atoms.positions @ rotation
    centre = (turned.max(axis=0) + turned.min(axis=0)) / 2
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
        items.append((depth[i], _ball(turned[i], radii[i], colours[i], fog[i])))
    items.sort(key=lambda item: item[0])
    axes.add_collection(
        PatchCollection([patch for _, group in items for patch in group], match_original=True, zorder=2)
    )
    if view == "molecule":
        _letters(axes, atoms, turned, radii, angstrom_per_inch)
    if view == "top" and atoms.pbc.any():
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) @ atoms.cell.array[:2, :2] - centre[:2]
        axes.plot(corners[:, 0], corners[:, 1], color="0.35", lw=0.7, ls=(0, (4, 2)), zorder=1)


def _ball(at: np.ndarray, radius: float, colour: np.ndarray, fog: float) -> list[Any]:
    """A circle, a lighter one in it and a spot of light."""
    from matplotlib.patches import Circle

    edge = np.full(3, 0.15) * (1 - fog) + fog * 0.8
    light = colour + (1 - colour) * 0.35
    shine = colour + (1 - colour) * 0.8
    shift = np.array([-0.25, 0.28]) * radius
    return [
        Circle(at[:2], radius, facecolor=colour * 0.92, edgecolor=edge, lw=0.45),
        Circle(at[:2] + 0.6 * shift, 0.62 * radius, facecolor=light, edgecolor="none", alpha=0.6),
        Circle(at[:2] + 1.2 * shift, 0.22 * radius, facecolor=shine, edgecolor="none", alpha=0.9),
    ]


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
        axes.text(*turned[i, :2], symbol, fontsize=size, ha="center", va="center_baseline", color="black", zorder=3)


# -- figures -----------------------------------------------------------------------------------------------------


def _extent(atoms: "Atoms", view: str) -> float:
    """The larger side of a picture, Angstrom."""
    from ase.data import covalent_radii

    turned = (atoms.positions @ project(atoms, view))[:, :2]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ atoms.cell.array[:2, :2] if view == "top" else turned
    both = np.vstack([turned, corners])
    return float(np.ptp(both, axis=0).max()) + 2 * BALL * float(covalent_radii[atoms.numbers].max()) + 0.4


def scales(shown: Sequence[Picture]) -> dict[str, float]:
    """Angstrom that a cell spans, by kind: pictures of one kind are comparable by eye."""
    spans: dict[str, float] = {}
    for picture in shown:
        for view in picture.views if picture.atoms is not None else ():
            spans[picture.kind] = max(spans.get(picture.kind, 6.0), _extent(picture.atoms, view))
    return spans


def _cell(figure: "Figure", box: tuple[float, float, float, float], picture: Picture, view: str, span: float) -> None:
    """One view in a box (left, bottom, width, height; inches)."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
    axes.set(xlim=(-span / 2, span / 2), ylim=(-span / 2, span / 2), aspect="equal")
    axes.axis("off")
    if picture.atoms is None:
        axes.text(0, 0, picture.note, ha="center", va="center", fontsize=8, style="italic", color="0.3")
        return
    paint(axes, picture.atoms, view, span / box[2])


def contact_sheet(shown: Sequence[Picture], warning: str = "") -> "Figure":
    """All structures on one page; molecules first, then slabs in side and top view, with a scale bar for each kind."""
    from matplotlib.figure import Figure

    spans = scales(shown)
    kinds = [[p for p in shown if p.kind == kind] for kind in ("molecule", "slab")]
    each = [COLUMNS, COLUMNS // 2]
    n_rows = sum(math.ceil(len(group) / n) for group, n in zip(kinds, each, strict=True))
    head = 0.3 if warning else 0.05
    height = max(n_rows, 1) * (CELL_INCHES + TITLE_INCHES) + head + 0.35
    figure = Figure(figsize=(COLUMNS * CELL_INCHES, height))
    if warning:
        figure.text(
            0.5, 1 - 0.15 / height, warning, ha="center", va="center", fontsize=9, color="#b00020", weight="bold"
        )
    if not shown:
        figure.text(0.5, 0.5, "no rows", ha="center", va="center", fontsize=9, style="italic")
    top = height - head
    for group, n in zip(kinds, each, strict=True):
        for k, picture in enumerate(group):
            step = COLUMNS * CELL_INCHES / n
            left, bottom = (k % n) * step, top - (k // n + 1) * (CELL_INCHES + TITLE_INCHES)
            _titled(figure, left, bottom, step, picture, spans.get(picture.kind, 6.0))
        top -= math.ceil(len(group) / n) * (CELL_INCHES + TITLE_INCHES)
    _scale_bars(figure, spans)
    return figure


def _titled(figure: "Figure", left: float, bottom: float, width: float, picture: Picture, span: float) -> None:
    """A picture's views side by side under its title. Inches."""
    total, height = figure.get_size_inches()
    title = picture.title + ("" if picture.kind == "molecule" else " (side, top)")
    figure.text(
        (left + width / 2) / total, (bottom + CELL_INCHES + 0.05) / height, title, ha="center", va="bottom", fontsize=8
    )
    for k, view in enumerate(picture.views):
        _cell(figure, (left + k * CELL_INCHES, bottom, CELL_INCHES, CELL_INCHES), picture, view, span)


def _scale_bars(figure: "Figure", spans: dict[str, float]) -> None:
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    for k, (kind, span) in enumerate(spans.items()):
        length, left, y = 5.0 / span * CELL_INCHES, 0.15 + k * 2.6, 0.16
        figure.add_artist(Line2D([left / width, (left + length) / width], [y / height] * 2, color="black", lw=1.5))
        label = f"5 Å ({'molecules' if kind == 'molecule' else 'slabs'})"
        figure.text((left + length + 0.08) / width, y / height, label, va="center", fontsize=7.5)


def portrait(picture: Picture) -> "Figure":
    """One structure on its own, as large as fits."""
    from matplotlib.figure import Figure

    span = scales([picture]).get(picture.kind, 6.0)
    figure = Figure(figsize=(CELL_INCHES * len(picture.views), CELL_INCHES + TITLE_INCHES))
    _titled(figure, 0.0, 0.0, CELL_INCHES * len(picture.views), picture, span)
    return figure
