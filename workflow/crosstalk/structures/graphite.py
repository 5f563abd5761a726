"""Graphite: basal planes, and edges of stacked ribbons."""

import math

import numpy as np
from ase import Atoms

from crosstalk.structures.frame import finish

#: Atoms of an edge's cap: element, distance from the edge atom along the edge and outwards, Angstrom.
#: Bond lengths of benzene, phenol (with its angle of 109 degrees; the group lies in the plane of the ribbon and points
#: to the next one) and quinone: CRC Handbook of Chemistry and Physics.
CAPS: dict[str, tuple[tuple[str, float, float], ...]] = {
    "H": (("H", 0.0, 1.09),),
    "OH": (("O", 0.0, 1.36), ("H", 0.90, 1.36 + 0.32)),
    "O": (("O", 0.0, 1.23),),
}


def graphite_basal(lattice_angstrom: float, interlayer_angstrom: float, layers: int) -> Atoms:
    """Basal plane of graphite, AB stacking, two atoms per layer in the primitive surface cell."""
    a = lattice_angstrom
    cell = np.array([[a, 0, 0], [-a / 2, a * math.sqrt(3) / 2, 0]])
    scaled = [[(0, 0), (1 / 3, 2 / 3)], [(0, 0), (2 / 3, 1 / 3)]]
    positions = [
        (*(np.array(s) @ cell)[:2], layer * interlayer_angstrom) for layer in range(layers) for s in scaled[layer % 2]
    ]
    return finish(["C"] * len(positions), np.array(positions, float), cell)


def graphite_edge(
    lattice_angstrom: float,
    interlayer_angstrom: float,
    rows: int,
    stacking: str,
    termination: str,
    lower_termination: str | None = None,
) -> Atoms:
    """Zigzag edge plane of graphite: ribbons of `rows` zigzag rows, stacked along y, the edges up and down.

    stacking           "AB" (two ribbons in the surface cell, shifted along each other) or "AA" (one)
    termination        "H", "OH" or "O" on every edge atom of the upper side
    lower_termination  of the lower side; None: the same

    Of the translations that make AB, all of one bond length, the one that staggers neighbouring edges least is taken:
    half a lattice constant along the edge and half a bond across it.
    """
    bond = lattice_angstrom / math.sqrt(3)
    symbols: list[str] = []
    positions: list[tuple[float, float, float]] = []
    shifts = [(0.0, 0.0)] if stacking == "AA" else [(0.0, 0.0), (lattice_angstrom / 2, -bond / 2)]
    for layer, (along, across) in enumerate(shifts):
        y = layer * interlayer_angstrom
        for row in range(rows):
            x, z = along + (row % 2) * lattice_angstrom / 2, across + row * 1.5 * bond
            symbols += ["C", "C"]
            positions += [(x, y, z), (x + lattice_angstrom / 2, y, z + bond / 2)]
        top, low = positions[-1], positions[-2 * rows]
        for (x, _, z), cap, side in ((top, termination, 1), (low, lower_termination or termination, -1)):
            for symbol, along_edge, outward in CAPS[cap]:
                symbols.append(symbol)
                positions.append((x + side * along_edge, y, z + side * outward))
    plane = np.array([[lattice_angstrom, 0, 0], [0, len(shifts) * interlayer_angstrom, 0]])
    return finish(symbols, np.array(positions), plane)
