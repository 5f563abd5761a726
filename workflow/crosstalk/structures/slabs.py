"""Slabs from the `surface` settings: pure builders, the same settings give the same atoms.

Every builder returns a slab with pbc (True, True, False), the surface cell in the xy plane (reduced, first vector along
x), the third cell vector along z, tags 0, and a minimal vacuum; `in_box` sets the vacuum that a calculation wants.
What a builder made is then changed by the settings that all builders share (`CHANGES`), in this order: a larger surface
cell, water taken off, atoms added, all atoms displaced a little.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.geometry.minkowski_reduction import minkowski_reduce
from ase.neighborlist import natural_cutoffs, neighbor_list

from crosstalk.errors import CrosstalkError, nearest
from crosstalk.record import Gate, Outcome
from crosstalk.structures.cleavage import cleaved_crystal
from crosstalk.structures.crystals import cut_from
from crosstalk.structures.dehydroxylation import dehydroxylated
from crosstalk.structures.frame import ANGSTROM2_PER_NM2, BOND_FACTOR, VACUUM, area, enlarged, finish, in_box, rattled
from crosstalk.structures.graphite import graphite_basal, graphite_edge
from crosstalk.structures.insertion import inserted
from crosstalk.structures.relayered import relayered

if TYPE_CHECKING:
    from crosstalk.spec import Spec
    from crosstalk.steps import Input

__all__ = [
    "BOND_FACTOR",
    "VACUUM",
    "bonds_kept",
    "build",
    "describe",
    "frozen",
    "in_box",
    "of_spec",
    "repeat_to",
    "slab",
]

#: Setting shared by all builders -> what it does to the slab.
CHANGES: dict[str, Callable[[Atoms, Any], Atoms]] = {
    "surface_cell": enlarged,
    "dehydroxylation": lambda atoms, how: dehydroxylated(atoms, **how),
    "insertion": lambda atoms, what: inserted(atoms, **what),
    "rattle_angstrom": rattled,
}


def build(surface: Mapping[str, Any]) -> Atoms:
    """The slab that the settings describe. Raises CrosstalkError for settings that describe none."""
    builders: dict[str, Callable[..., Atoms]] = {
        "graphite_basal": graphite_basal,
        "graphite_edge": graphite_edge,
        "cleaved_crystal": cleaved_crystal,
        "file": from_file,
    }
    parameters = dict(surface)
    name = parameters.pop("builder", None)
    changes = [(change, parameters.pop(key)) for key, change in CHANGES.items() if key in parameters]
    if name not in builders:
        raise CrosstalkError(
            f"surface builder '{name}' is unknown; allowed: {', '.join(builders)}{nearest(str(name), builders)}"
        )
    try:
        atoms = builders[name](**parameters)
        for change, setting in changes:
            atoms = change(atoms, setting)
    except TypeError as error:
        raise CrosstalkError(f"surface builder '{name}': {error}") from error
    return atoms


def of_spec(spec: "Spec", inputs: Mapping[str, "Input"]) -> Atoms:
    """The slab that a spec of step `slab` describes, before any relaxation; its lattice may be that of a relaxed crystal.

    One that differs from another slab in its number of layers begins with that slab's relaxed surfaces and keeps the upper one (`relayered`).
    """
    surface = spec.settings["surface"]
    if "bulk" in inputs:
        surface = cut_from(surface, inputs["bulk"].structures[0])
    if "settled" not in inputs:
        return build(surface)
    cut = {key: value for key, value in surface.items() if key not in CHANGES or key == "surface_cell"}
    other = build({**cut, "layers": spec.settings["settled_layers"]})
    return relayered(inputs["settled"].structures[0], other, build(cut))


def slab(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `slab` as built (level null): no relaxation, no energy."""
    atoms = of_spec(spec, inputs)
    return Outcome(quantities=describe(atoms), structures=[atoms])


def bonds_kept(built: Atoms, relaxed: Atoms, surface: Mapping[str, Any]) -> tuple[str, list[Gate]]:
    """Why a relaxed slab is not the one that was built (empty: it is), and gates.

    A slab whose bonds changed is another surface. Where atoms were put between others (`insertion`) they are meant to change it: lithium
    gives its electron to a bond of silicon and breaks it. Such a slab misses a gate that says what changed, and its numbers are shown, marked.
    """
    from crosstalk.structures import graphs

    change = graphs.compare(built, relaxed)
    if "insertion" not in surface:
        return ("" if change.status == "ok" else change.text), []
    return "", [Gate("bonds_kept", change.status == "ok", change.text or "all")]


def from_file(structure: Mapping[str, Any]) -> Atoms:
    """A slab as the user made it: symbols, cell (3, 3), positions (n, 3); vacuum along the third vector, which is z.

    A slab that sticks through the lower or upper face of its cell is made whole at its widest gap.
    """
    symbols = structure["symbols"]
    box, xyz = np.array(structure["cell"], float), np.array(structure["positions"], float)
    if box.shape != (3, 3) or xyz.shape != (len(symbols), 3):
        raise CrosstalkError(f"slab from a file: a 3x3 cell and {len(symbols)} positions are needed")
    if not box.any():
        raise CrosstalkError(
            'slab from a file: it has no cell; a CIF has one, an XYZ file says Lattice="..." in its second line'
        )
    if np.abs(box[:2, 2]).max() > 1e-3 or np.abs(box[2, :2]).max() > 1e-3 or box[2, 2] <= 0:
        raise CrosstalkError(
            "slab from a file: the first two cell vectors must lie in the xy plane and the third along z"
        )
    heights = np.mod(xyz[:, 2], box[2, 2])
    order = np.sort(heights)
    gaps = np.diff(np.append(order, order[0] + box[2, 2]))
    lowest = order[(int(gaps.argmax()) + 1) % len(order)]
    xyz[:, 2] = np.mod(heights - lowest + 1e-6, box[2, 2])
    return finish(list(symbols), xyz, box[:2])


def describe(atoms: Atoms) -> dict[str, float]:
    """n_atoms, area_angstrom2, thickness_angstrom (nucleus to nucleus) and oh_per_nm2 (hydroxyls of the upper half)."""
    body = atoms[atoms.get_tags() == 0]
    z, surface = body.positions[:, 2], area(atoms)
    i, j = neighbor_list("ij", body, natural_cutoffs(body, mult=BOND_FACTOR))
    upper = np.flatnonzero((body.numbers == atomic_numbers["O"]) & (z > (z.min() + z.max()) / 2))
    bonded = [body.numbers[j[i == oxygen]] for oxygen in upper]
    hydroxyls = sum(len(others) > 1 and (others == 1).sum() == 1 for others in bonded)
    return {
        "n_atoms": len(body),
        "area_angstrom2": surface,
        "thickness_angstrom": float(z.max() - z.min()),
        "oh_per_nm2": float(hydroxyls) / surface * ANGSTROM2_PER_NM2,
    }


def repeat_to(atoms: Atoms, width_angstrom: float) -> tuple[int, int]:
    """The smallest repeats (n, m) of the surface cell whose shortest lattice vector is at least that long."""
    best: tuple[int, int, int] | None = None
    longest = math.ceil(width_angstrom / min(atoms.cell.lengths()[:2])) * 2 + 1
    for n in range(1, longest):
        for m in range(1, longest):
            cell = np.diag([n, m, 1]) @ atoms.cell.array
            reduced, _ = minkowski_reduce(cell, pbc=(True, True, False))
            shortest = np.linalg.norm(reduced[:2], axis=1).min()
            if shortest >= width_angstrom and (best is None or (n * m, abs(n - m)) < best[:2]):
                best = (n * m, abs(n - m), n)
    if best is None:
        raise CrosstalkError(f"no repeat of the surface cell keeps images {width_angstrom} Angstrom apart")
    return best[2], best[0] // best[2]


def frozen(atoms: Atoms, fraction: float) -> list[int]:
    """Slab atoms (tag 0) within that fraction of the slab's thickness from its lower side (none for 0), and what the structure holds itself."""
    ours, z = np.flatnonzero(atoms.get_tags() == 0), atoms.positions[:, 2]
    held = {int(i) for constraint in atoms.constraints for i in constraint.get_indices()}
    if len(ours) and fraction > 0:
        held |= {int(i) for i in ours if z[i] <= z[ours].min() + fraction * np.ptp(z[ours]) + 1e-6}
    return sorted(held)
