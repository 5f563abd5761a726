"""Frontier orbitals, drawn: a row for each species, for each level its HOMO and LUMO, all on one scale.

Every surface encloses the same share of its orbital's density, so a diffuse orbital looks as large as it is; the dashed
line is the van der Waals envelope, and the share of the density outside of it is written below.
"""

import hashlib
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from crosstalk.plan import Plan
from crosstalk.record import Record, Store, write_atomically
from crosstalk.reporting import balls, figures, style, tables
from crosstalk.reporting.isosurfaces import ENCLOSED, Canvas, Field
from crosstalk.spec import Spec
from crosstalk.structures import envelope

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes

NAMES = ("homo", "lumo")
TITLE = "Frontier orbitals: level, and share of the density outside the van der Waals envelope"
#: How far the principal plane of a molecule is tipped back from the page, degrees: both sides of a pi orbital show.
TILT = 38.0
#: Inches: a page's width, the names of the species, heads of columns, a line below a panel, the foot.
WIDTH, SIDE, HEAD, LINE, FOOT = 7.0, 0.28, 0.8, 0.13, 0.5
#: Species on a page, at most.
ROWS = 12
#: The narrowest page, inches: the foot needs it.
LEAST = 5.98
#: Empty space around a row's orbitals and the least height of a row, Angstrom.
RIM, LOWEST = 0.3, 3.0
#: A cell is never wider than this, inches, and its content never narrower than this, Angstrom.
WIDEST, SPAN = 2.85, 7.0
SCALE_BAR = 2.0  # Angstrom
#: Pixels of a surface per inch, and how many times finer each is computed.
PIXELS, FINER = 300, 2
#: Depth of a pixel without anything solid, Angstrom.
NOTHING = -1e6
#: A vector file embeds pictures; the finest that keeps it below this is taken, bytes and dots per inch.
SVG_BYTES, SVG_DPI = 1_400_000, (300, 220, 160, 110, 80)


@dataclass(frozen=True)
class Panel:
    """One orbital. Without `cube` only the molecule is drawn, and `note` says why; without `energy_ev` no number is given.

    outside: share of the density outside the van der Waals envelope. mark: "*" for a number that missed a gate.
    """

    species: str
    level: str
    name: str  # homo | lumo
    atoms: "Atoms | None" = None
    cube: Path | None = None
    energy_ev: float | None = None
    outside: float | None = None
    note: str = ""
    mark: str = ""


# -- selection ---------------------------------------------------------------------------------------------------


def draw(plan: Plan, store: Store, folder: Path) -> list[Path]:
    """Write folder/figures/orbitals.{svg,png}, and orbitals-2 and so on: every calculation of the step `orbitals` in the
    plan's order; of many, those that there are."""
    found = [spec for spec in plan.specs.values() if spec.step == "orbitals"]
    if len(found) > figures.CROWDED:
        found = [spec for spec in found if store.find(spec) is not None] or found
    items = [panel(spec, name, plan, store) for spec in found for name in NAMES]
    warning = style.WARNING if tables.is_fake(plan) else ""
    target = Path(folder) / "figures"
    for old in target.glob("orbitals-*"):  # pages of earlier plans
        old.unlink()
    names = itertools.chain(["orbitals"], (f"orbitals-{number}" for number in itertools.count(2)))
    return [
        path for name, page in zip(names, pages(items), strict=False) for path in panels(page, target / name, warning)
    ]


def pages(items: Sequence[Panel]) -> list[list[Panel]]:
    """Panels by pages of at most ROWS species: a page of hundreds cannot be looked at, and takes gigabytes to draw."""
    rows = list(dict.fromkeys(item.species for item in items))
    parts = [set(rows[first : first + ROWS]) for first in range(0, max(len(rows), 1), ROWS)]
    return [[item for item in items if item.species in part] for part in parts]


def panel(spec: Spec, name: str, plan: Plan, store: Store) -> Panel:
    """What is known of an orbital of a calculation."""
    species, _, level = spec.label.partition(" at ")
    atoms, record = _geometry(spec, plan, store), store.find(spec)
    if record is None or not record.usable:
        return Panel(species, level, name, atoms, note=tables.word(record.status if record else "missing"))
    cube = _cube(spec, name, record, store)
    energy, outside = (record.quantities.get(f"{name}_{what}") for what in ("ev", "outside"))
    note = "" if cube else "none in this basis" if energy is None else "no cube file here"
    return Panel(species, level, name, atoms, cube, energy, outside, note, "*" if record.missed else "")


def _geometry(spec: Spec, plan: Plan, store: Store) -> "Atoms | None":
    """The real atoms of a calculation, None when the geometry is not there (yet)."""
    source, index = store.find(plan.specs[spec.inputs["geometry"]]), spec.settings["index"]
    frames = store.structures(source) if source is not None and source.usable else []
    if index >= len(frames):
        return None
    kept = spec.settings.get("real_atoms")
    return frames[index] if kept is None else frames[index][kept]


def _cube(spec: Spec, name: str, record: Record, store: Store) -> Path | None:
    """The file that the record speaks of, byte for byte; records travel without their work folders."""
    artefact = record.artefacts.get(name)
    if artefact is None:
        return None
    for root in (store.root, *store.also):
        path = Store(root).work(spec) / artefact["path"]
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == artefact["sha256"]:
            return path
    return None


# -- one panel ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """A panel as it is seen: the atoms' positions (right, up, towards the viewer; Angstrom; the middle of the molecule is
    the origin), the rotation, its middle in the stored frame, and the lobes' reach."""

    turned: np.ndarray
    rotation: np.ndarray
    middle: np.ndarray
    field: Field | None
    isovalue: float
    reach: np.ndarray

    @classmethod
    def of(cls, item: Panel) -> "View | None":
        if item.atoms is None:
            return None
        angle = np.radians(TILT)
        tip = np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
        rotation = balls.project(item.atoms, "molecule") @ tip
        turned = item.atoms.positions @ rotation
        middle = (turned.max(axis=0) + turned.min(axis=0)) / 2
        field = Field.read(item.cube) if item.cube is not None else None
        isovalue = field.isovalue() if field is not None else 0.0
        lobes = field.reach(isovalue) @ rotation - middle if field is not None and isovalue > 0 else np.empty((0, 3))
        turned = turned - middle
        around = envelope.radii(item.atoms.numbers)[:, None]
        reach = np.vstack([turned - around, turned + around, lobes])
        return cls(turned, rotation, rotation @ middle, field, isovalue, reach)

    def paint(self, axes: "Axes", atoms: "Atoms", angstrom_per_inch: float) -> None:
        """Lobes behind the molecule, the molecule, lobes before it."""
        seen = atoms.copy()
        seen.positions = self.turned @ balls.project(atoms, "side").T
        balls.paint(axes, seen, "side", angstrom_per_inch)
        balls.letters(axes, atoms, self.turned, _radii(atoms), angstrom_per_inch)
        self._envelope(axes, atoms)
        if self.field is not None and self.isovalue > 0:
            canvas = self._canvas(axes, atoms, angstrom_per_inch / PIXELS / FINER)
            shifted = Field(self.field.values, self.field.origin - self.middle, self.field.steps)
            canvas.films(shifted, self.rotation, self.isovalue, self._colours())
            limits = (canvas.right[0], canvas.right[-1], canvas.up[0], canvas.up[-1])
            for layer, height in ((canvas.back, 1.5), (canvas.front, 4)):
                axes.imshow(_plain(layer), extent=limits, origin="lower", zorder=height, interpolation="antialiased")

    def _colours(self) -> dict[int, np.ndarray]:
        """By sign. An orbital's sign means nothing: blue is the one that holds more of the density."""
        assert self.field is not None
        more = 1 if (self.field.values * np.abs(self.field.values)).sum() >= 0 else -1
        return {more: np.array(to_rgb(style.SKY)), -more: np.array(to_rgb(style.ORANGE))}

    def _canvas(self, axes: "Axes", atoms: "Atoms", pixel: float) -> Canvas:
        """Pixels that fill the axes, with the molecule's balls and sticks as what is solid."""
        right, up = (np.arange(low, high, pixel) for low, high in (axes.get_xlim(), axes.get_ylim()))
        right, up = (side[: len(side) // FINER * FINER] for side in (right, up))
        canvas = Canvas(right, up, np.full((len(up), len(right)), NOTHING))
        for at, radius in zip(self.turned, _radii(atoms), strict=True):
            canvas.ball(at, radius)
        for i, vector, _ in balls.half_bonds(atoms):
            for part in np.arange(0, 1, balls.STICK / np.linalg.norm(vector)):
                canvas.ball(self.turned[i] + part * (vector @ self.rotation), balls.STICK)
        return canvas

    def _envelope(self, axes: "Axes", atoms: "Atoms") -> None:
        """Outline of the van der Waals envelope."""
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        x, y = np.linspace(left, right, 240), np.linspace(low, high, 240)
        points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        depth = envelope.depth(points, self.turned[:, :2], atoms.numbers).reshape(len(y), len(x))
        axes.contour(x, y, depth, [0.0], colors=["0.45"], linewidths=0.6, linestyles=[(0, (4, 3))], zorder=1)


def _radii(atoms: "Atoms") -> np.ndarray:
    """Of the balls, Angstrom."""
    from ase.data import covalent_radii

    return covalent_radii[atoms.numbers] * balls.BALL


def _plain(layer: np.ndarray) -> np.ndarray:
    """Each FINER x FINER pixels as one, colours no longer multiplied by opacity."""
    rows, columns = layer.shape[0] // FINER, layer.shape[1] // FINER
    mean = layer.reshape(rows, FINER, columns, FINER, 4).mean(axis=(1, 3))
    colour = mean[..., :3] / np.maximum(mean[..., 3:], 1e-6)
    return np.round(np.clip(np.concatenate([colour, mean[..., 3:]], axis=2), 0, 1) * 255).astype(np.uint8)


# -- the page ----------------------------------------------------------------------------------------------------


def panels(items: Sequence[Panel], path_without_suffix: Path, warning: str = "") -> list[Path]:
    """Write the figure of all panels as .svg and .png; the same cubes give the same bytes."""
    with matplotlib.rc_context(style.STYLE):
        page = figure(items, warning)
        png = style.write(page, path_without_suffix.with_name(f"{path_without_suffix.name}.png"))
        return [_save_svg(page, path_without_suffix.with_name(f"{path_without_suffix.name}.svg")), png]


def _save_svg(page: Figure, path: Path) -> Path:
    for dpi in SVG_DPI:
        buffer = io.BytesIO()
        page.savefig(buffer, format="svg", dpi=dpi, metadata={"Date": None, "Creator": None})
        if buffer.tell() <= SVG_BYTES:
            break
    write_atomically(path, buffer.getvalue())
    return path


def figure(items: Sequence[Panel], warning: str = "") -> Figure:
    """Rows: species; columns: levels, of each HOMO and LUMO. In the order of `items`."""
    if not items:
        page = style.empty(TITLE, warning)
        page.texts[-1].set_text("no orbitals in this campaign")
        return page
    rows = list(dict.fromkeys(item.species for item in items))
    columns = [(level, name) for level in dict.fromkeys(item.level for item in items) for name in NAMES]
    shown = [(item, View.of(item)) for item in items]
    boxes = [_box([view for item, view in shown if item.species == species]) for species in rows]
    span = max(SPAN, *(float(high[0] - low[0]) for low, high in boxes))
    cell = min((WIDTH - SIDE) / len(columns), WIDEST)
    tall = [float(high[1] - low[1]) / span * cell for low, high in boxes]
    words = 0.1 + LINE * max(len(_words(*pair)) for pair in shown)
    head = HEAD + (0.15 if warning else 0.0)
    width, height = max(SIDE + cell * len(columns), LEAST), sum(tall) + words * len(rows) + head + FOOT
    page = Figure(figsize=(width, height))
    title, colour = (f"{TITLE}\n{warning}", style.ALARM) if warning else (TITLE, "black")
    page.text(0.5, 1 - 0.06 / height, title, ha="center", va="top", fontsize=9.5, color=colour)
    _heads(page, columns, cell, height - head)
    top = height - head
    for species, (low, high), inches in zip(rows, boxes, tall, strict=True):
        name: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "center", "fontsize": 9}
        page.text(SIDE / 2 / width, (top - inches / 2) / height, species, **name)
        half = np.array([span, inches / cell * span]) / 2
        limits = (low + high) / 2 - half, (low + high) / 2 + half
        for item, view in (pair for pair in shown if pair[0].species == species):
            left = SIDE + cell * columns.index((item.level, item.name))
            _cell(page, (left, top - inches, cell, inches), item, view, limits)
        top -= inches + words
    _foot(page, cell / span, any(item.mark for item in items))
    return page


def _box(views: Sequence[View | None]) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest coordinates (right, up) of a row, with a rim; Angstrom."""
    reach = np.vstack([np.zeros((1, 2)), *(view.reach[:, :2] for view in views if view is not None)])
    low, high = reach.min(axis=0) - RIM, reach.max(axis=0) + RIM
    return low, np.maximum(high, low + np.array([0.0, LOWEST]))


def _heads(page: Figure, columns: Sequence[tuple[str, str]], cell: float, y: float) -> None:
    """Level above its two orbitals."""
    width, height = page.get_size_inches()
    for k, (level, name) in enumerate(columns):
        page.text((SIDE + (k + 0.5) * cell) / width, (y + 0.08) / height, name.upper(), ha="center", fontsize=8.5)
        if k % 2 == 0:
            page.text((SIDE + (k + 1) * cell) / width, (y + 0.3) / height, level, ha="center", fontsize=9)
            ends = [(SIDE + (k + x) * cell) / width for x in (0.12, 1.88)]
            page.add_artist(Line2D(ends, [(y + 0.25) / height] * 2, color="0.5", lw=0.6))


def _cell(page: Figure, box: tuple[float, float, float, float], item: Panel, view: View | None, limits: Any) -> None:
    """A panel and the words below it; `box`: left, bottom, width and height in inches; `limits` in Angstrom."""
    width, height = page.get_size_inches()
    left, bottom, cell, inches = box
    middle = (left + cell / 2) / width
    if item.atoms is not None and view is not None:
        axes = page.add_axes((left / width, bottom / height, cell / width, inches / height))
        (x0, y0), (x1, y1) = limits
        axes.set(xlim=(x0, x1), ylim=(y0, y1))
        axes.axis("off")
        axes.set_rasterization_zorder(10)
        view.paint(axes, item.atoms, (x1 - x0) / cell)
        axes.set(xlim=(x0, x1), ylim=(y0, y1), aspect="equal")
    for k, (text, font) in enumerate(_words(item, view)):
        page.text(middle, (bottom - 0.11 - LINE * k) / height, text, ha="center", va="baseline", fontsize=8, **font)


def _words(item: Panel, view: View | None) -> list[tuple[str, dict[str, Any]]]:
    """Lines below a panel: what is known, and what is not."""
    lines: list[tuple[str, dict[str, Any]]] = []
    if item.energy_ev is not None:
        lines.append((f"{item.energy_ev:+.2f} eV{item.mark}".replace("-", "\u2212"), {}))
    if item.outside is not None:
        lines.append((f"{100 * item.outside:.0f} % outside", {}))
    beyond = view is not None and view.field is not None and not view.isovalue
    if note := item.note or ("reaches beyond its box" if beyond else ""):
        lines.append((note, {"style": "italic", "color": style.ALARM}))
    return lines


def _foot(page: Figure, inches_per_angstrom: float, gated: bool) -> None:
    """The scale, and what is drawn."""
    width, height = page.get_size_inches()
    length = SCALE_BAR * inches_per_angstrom
    page.add_artist(Line2D([0.15 / width, (0.15 + length) / width], [0.3 / height] * 2, color="black", lw=1.5))
    page.text((0.15 + length / 2) / width, 0.12 / height, f"{SCALE_BAR:.0f} Å", ha="center", fontsize=7.5)
    handles: list[Any] = [
        (Patch(facecolor=style.SKY, alpha=0.85), Patch(facecolor=style.ORANGE, alpha=0.85)),
        Line2D([], [], color="0.45", lw=0.8, ls=(0, (4, 3))),
    ]
    labels = [
        f"{100 * ENCLOSED:.0f} % of the density, its two signs",
        f"van der Waals envelope ({envelope.SCALE} Bondi radii)",
    ]
    if gated:
        page.text(0.985, 0.07 / height, "* missed a gate", ha="right", fontsize=7.5)
    page.legend(
        handles, labels, loc="center right", bbox_to_anchor=(1.0, 0.28 / height), ncols=2, frameon=False, borderaxespad=0.3,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0.1)}, columnspacing=1.2,
    )  # fmt: skip
