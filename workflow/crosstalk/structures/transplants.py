"""An adsorbate moved to another model of the same surface: thicker, wider, in a taller box. Pure builders."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from crosstalk.errors import PhysicsFailure
from crosstalk.record import Outcome
from crosstalk.structures import poses

if TYPE_CHECKING:
    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Atoms so far below the highest one make the top that two models must share, Angstrom.
TOP = 3.0
#: And so well, Angstrom: relaxed slabs of different thickness differ by hundredths.
SAME_TOP = 0.3


def transplant(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `transplant`: bare slab, molecule and one pose of a pose search, on the slab given, in a box of its own.

    Settings: index of the pose among the search's structures, repeat, vacuum_angstrom. Raises PhysicsFailure
    ("surface_changed") when the two slabs do not share their top.
    """
    source, primitive = inputs["geometry"].structures, inputs["slab"].structures[0]
    settings = spec.settings
    if settings["index"] >= len(source):
        return Outcome("absent", f"structure {settings['index'] + 1} asked for, {len(source)} found")
    pose = source[settings["index"]]
    old, adsorbate = pose[pose.get_tags() == 0], pose[pose.get_tags() == 1]
    new = primitive.repeat((*settings["repeat"], 1))
    new.set_tags(0)
    moved = adsorbate.copy()
    moved.positions += offset(old, primitive)
    moved.positions[:, :2] += _centring(moved, new)
    moved.set_tags(1)
    structures = poses.boxed(new, source[1], [new + moved], settings["vacuum_angstrom"])
    return Outcome(quantities={"n_atoms": len(structures[2])}, structures=structures)


def offset(old: Atoms, new: Atoms) -> np.ndarray:
    """The vector (3,) that lays the top of `old` onto the top of `new`, whose cell is a divisor of the old one's, Angstrom."""
    ours = old[old.positions[:, 2] > old.positions[:, 2].max() - TOP]
    theirs = new[new.positions[:, 2] > new.positions[:, 2].max() - TOP]
    first = ours[int(ours.positions[:, 2].argmax())]
    best: tuple[float, np.ndarray] | None = None
    for atom in theirs:
        if atom.symbol == first.symbol and atom.position[2] > theirs.positions[:, 2].max() - SAME_TOP:
            vector = atom.position - first.position
            misfit = _misfit(ours.positions + vector, list(ours.symbols), theirs)
            if best is None or misfit < best[0]:
                best = misfit, vector
    if best is None or best[0] > SAME_TOP:
        found = "they differ in composition" if best is None else f"atoms differ by up to {best[0]:.2f} Angstrom"
        raise PhysicsFailure("surface_changed", f"the two models of the surface do not share their top: {found}")
    return best[1]


def _misfit(positions: np.ndarray, symbols: list[str], theirs: Atoms) -> float:
    """Largest distance of a moved atom to the nearest equal one of `theirs`, periodic in the plane; infinite without one."""
    cell = theirs.cell.array[:2, :2]
    inverse = np.linalg.inv(cell)
    worst = 0.0
    for position, symbol in zip(positions, symbols, strict=True):
        others = theirs.positions[[s == symbol for s in theirs.symbols]]
        if not len(others):
            return math.inf
        apart = others - position
        scaled = apart[:, :2] @ inverse
        apart[:, :2] = (scaled - np.round(scaled)) @ cell
        worst = max(worst, float(np.linalg.norm(apart, axis=1).min()))
    return worst


def _centring(adsorbate: Atoms, slab: Atoms) -> np.ndarray:
    """The lattice translation (2,) of the slab's cell that brings the adsorbate nearest to its middle."""
    cell = slab.cell.array[:2, :2]
    middle = adsorbate.positions[:, :2].mean(axis=0)
    return -np.floor(middle @ np.linalg.inv(cell)) @ cell
