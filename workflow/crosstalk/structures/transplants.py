"""An adsorbate on another model of the same surface: thicker, wider, in a taller box. Pure builders."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from crosstalk.errors import PhysicsFailure
from crosstalk.record import Outcome

if TYPE_CHECKING:
    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Atoms so far below the highest one make the top that two models must share, Angstrom.
TOP = 3.0
#: And so well, Angstrom: relaxed slabs of different thickness differ by hundredths.
SAME_TOP = 0.3


def transplant(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `transplant`: bare slab, molecule and a pose on it, on another model of the surface, in one box.

    Inputs: geometry (the pose), bare (the slab without it), molecule (alone), slab (the other model's primitive slab). Settings:
    index, bare_index, molecule_index (which structure of each), repeat, more_vacuum_angstrom. Atoms of the new slab that the old one has
    as well stand where they stand there; around the molecule they are displaced as in the pose. The box is as much higher as the slab
    is, and by the vacuum that is added. Raises PhysicsFailure ("surface_changed") when the two slabs do not share their top.
    """
    settings = spec.settings
    found = {}
    for role, index in (("geometry", "index"), ("bare", "bare_index"), ("molecule", "molecule_index")):
        if settings[index] >= len(inputs[role].structures):
            text = f"{role}: structure {settings[index] + 1} asked for, {len(inputs[role].structures)} found"
            return Outcome("absent", text)
        found[role] = inputs[role].structures[settings[index]]
    primitive = inputs["slab"].structures[0]
    slab, pose = moved(found["geometry"], found["bare"], primitive, settings["repeat"])
    bare, more = found["bare"], settings["more_vacuum_angstrom"]
    cell = slab.cell.array.copy()
    cell[2] = (0, 0, bare.cell[2, 2] + np.ptp(slab.positions[:, 2]) - np.ptp(bare.positions[:, 2]) + more)
    up = bare.positions[:, 2].min() + more / 2 - slab.positions[:, 2].min()
    alone = Atoms(found["molecule"].symbols, found["molecule"].positions, tags=1)
    alone.positions += cell.sum(axis=0) / 2 - (alone.positions.max(axis=0) + alone.positions.min(axis=0)) / 2
    slab.positions[:, 2] += up
    pose.positions[:, 2] += up
    for atoms in (slab, alone, pose):
        atoms.set_cell(cell)
        atoms.pbc = (True, True, False)
    return Outcome(quantities={"n_atoms": len(pose)}, structures=[slab, alone, pose])


def moved(pose: Atoms, bare: Atoms, primitive: Atoms, repeat: Sequence[int]) -> tuple[Atoms, Atoms]:
    """Another model of a surface, repeated, bare and with the pose on it; `bare`: the slab of the pose without its molecule."""
    old, adsorbate = pose[pose.get_tags() == 0], pose[pose.get_tags() == 1]
    if list(old.symbols) != list(bare.symbols):
        raise PhysicsFailure("surface_changed", "the slab of the pose has not the atoms of the bare one")
    cell, vector = bare.cell.array, offset(bare, primitive)
    _, displaced = shortest(old.positions - bare.positions, cell)
    drift = np.median(displaced, axis=0)  # of the slab as a whole; what the molecule pulls at are few atoms
    displaced -= drift

    slab = primitive.repeat((*repeat, 1))
    slab.set_constraint()
    slab.set_tags(0)
    symbols = np.array(bare.symbols)
    for atom in slab:
        lengths, apart = shortest(bare.positions + vector - atom.position, cell)
        nearest = int(np.where(symbols == atom.symbol, lengths, np.inf).argmin())
        if symbols[nearest] == atom.symbol and lengths[nearest] < SAME_TOP:
            atom.position += apart[nearest]

    above = adsorbate.copy()
    above.set_tags(1)
    above.positions += vector - drift
    above.positions[:, :2] += _centring(above, slab)
    whole = slab.copy()
    lengths, around = shortest(bare.positions - (adsorbate.positions.mean(axis=0) - drift), cell)
    here, taken = above.positions.mean(axis=0), set[int]()
    for i in np.argsort(lengths, kind="stable"):  # each atom once, the nearest image to the molecule
        distances, _ = shortest(slab.positions - (here + around[i]), slab.cell.array)
        twin = int(np.where(np.array(slab.symbols) == symbols[i], distances, np.inf).argmin())
        if distances[twin] < SAME_TOP and slab.symbols[twin] == symbols[i] and twin not in taken:
            whole.positions[twin] += displaced[i]
            taken.add(twin)
    return slab, whole + above


def thicken(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `thicken`: a bare slab, molecule or pose that was relaxed on a thin model of a surface, with the layers of a thicker one below it.

    Inputs: geometry (what was relaxed), bare (the thin slab, relaxed), slab (the thick model's primitive slab). Settings: repeat,
    more_vacuum_angstrom. Atoms keep their places in the plane, and all structures of one surface get the same box. Raises
    PhysicsFailure ("surface_changed") when the thin slab is not the top of the thick one.
    """
    atoms, bare, primitive = (inputs[role].structures[0] for role in ("geometry", "bare", "slab"))
    more = spec.settings["more_vacuum_angstrom"]
    whole = bare[bare.get_tags() == 0]
    below = layers_below(whole, primitive, spec.settings["repeat"])
    thicker = float(whole.positions[:, 2].min() - below.positions[:, 2].min())
    mine = atoms.get_tags() == 0
    if mine.any():
        _, moved = shortest(atoms.positions[mine] - whole.positions, atoms.cell.array)
        below.positions += moved.mean(axis=0)
        atoms = below + atoms
    cell = inputs["geometry"].structures[0].cell.array.copy()
    cell[2, 2] += thicker + more
    atoms.set_cell(cell)
    atoms.pbc = (True, True, False)
    atoms.positions[:, 2] += thicker + more / 2
    return Outcome(quantities={"n_atoms": len(atoms)}, structures=[atoms])


def layers_below(thin: Atoms, primitive: Atoms, repeat: Sequence[int]) -> Atoms:
    """The atoms of the repeated thick slab that the thin one lacks, below it and as far away as in the thick one; tags 0.

    Raises PhysicsFailure ("surface_changed") when an atom of the thin slab has no counterpart at the top of the thick one.
    """
    thick = primitive.repeat((*repeat, 1))
    vector = offset(thin, primitive)
    matched: dict[int, np.ndarray] = {}
    for position, symbol in zip(thin.positions + vector, thin.symbols, strict=True):
        alike = [i for i, other in enumerate(thick.symbols) if other == symbol and i not in matched]
        lengths, apart = (
            shortest(position - thick.positions[alike], thick.cell.array) if alike else (np.array([np.inf]), None)
        )
        if apart is None or lengths.min() > SAME_TOP:
            raise PhysicsFailure("surface_changed", "the thin model of the surface is not the top of the thick one")
        matched[alike[int(lengths.argmin())]] = apart[int(lengths.argmin())]
    rest = [i for i in range(len(thick)) if i not in matched]
    if not rest:
        raise PhysicsFailure("surface_changed", "the thin model of the surface is as thick as the other one")
    below = thick[rest]
    below.positions += np.mean(list(matched.values()), axis=0) - vector
    below.set_tags(0)
    return below


def shortest(vectors: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (n,) and shortest images (n, 3) of vectors in a cell that is periodic in the plane."""
    from ase.geometry import find_mic

    vectors, lengths = find_mic(vectors.reshape(-1, 3), cell, pbc=(True, True, False))
    return lengths, vectors


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
    worst = 0.0
    for position, symbol in zip(positions, symbols, strict=True):
        others = theirs.positions[[s == symbol for s in theirs.symbols]]
        if not len(others):
            return math.inf
        worst = max(worst, float(shortest(others - position, theirs.cell.array)[0].min()))
    return worst


def _centring(adsorbate: Atoms, slab: Atoms) -> np.ndarray:
    """The lattice translation (2,) of the slab's cell that brings the adsorbate nearest to its middle."""
    cell = slab.cell.array[:2, :2]
    middle = adsorbate.positions[:, :2].mean(axis=0)
    return -np.floor(middle @ np.linalg.inv(cell)) @ cell
