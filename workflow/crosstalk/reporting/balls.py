"""Pictures of structures: balls and sticks, deterministic.

Solid sticks are covalent bonds (nearer than BOND_FACTOR times the sum of covalent radii); dashed ones are contacts of
alkali and alkaline-earth cations, which are ionic. Farther atoms are paler.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.path import Path

#: Elements whose contacts are ionic, and the partners that such contacts are drawn to.
CATIONS = frozenset({3, 4, 11, 12, 19, 20, 37, 38, 55, 56})
DONORS = frozenset({7, 8, 9, 16, 17, 34, 35, 53})
#: Radius of a ball in covalent radii, half width of a stick in Angstrom.
BALL, STICK = 0.48, 0.085
#: How much of its colour the farthest atom loses to white.
FOG = {"molecule": 0.15, "side": 0.35, "top": 0.65}


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
        letters(axes, atoms, turned, radii, angstrom_per_inch)
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


def letters(axes: "Axes", atoms: "Atoms", turned: np.ndarray, radii: np.ndarray, angstrom_per_inch: float) -> None:
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
