"""Water taken off hydroxylated surfaces: M-OH + HO-M -> M-O-M + H2O, the pairs chosen for the least strain."""

import numpy as np
from ase import Atoms

from crosstalk.errors import CrosstalkError
from crosstalk.structures import valence
from crosstalk.structures.frame import ANGSTROM2_PER_NM2, area, finish

#: Two atoms farther apart than this are not joined by one oxygen: two bonds of 1.6 Angstrom and all the give of a
#: surface. Angstrom.
REACH = 5.6
#: Nearest pairs whose strain is computed before one of them is chosen.
TRIED = 6

Pair = tuple[int, int, int, int]  # oxygen that stays, oxygen that goes in the surface cell m, n


def dehydroxylated(atoms: Atoms, oh_per_nm2: float) -> Atoms:
    """The slab with pairs of hydroxyls condensed on each side until what is left is nearest to `oh_per_nm2`.

    One pair at a time: of the nearest ones, the one that leaves the least strain (`valence.relaxed`). No ring of two
    oxygens is made. Raises CrosstalkError when the target cannot be reached in this surface cell.
    """
    bonds = valence.bonds_of(atoms)
    bare, surface = atoms, area(atoms) / ANGSTROM2_PER_NM2
    for upper in (True, False):
        while (len(hydroxyls(bare, bonds, upper)) - 1) / surface > oh_per_nm2 - 1e-6:
            bare, bonds = _condensed(bare, bonds, upper, oh_per_nm2)
        left = len(hydroxyls(bare, bonds, upper)) / surface
        if left > 0 and oh_per_nm2 == 0:
            raise CrosstalkError(
                f"dehydroxylation: an odd number of hydroxyls leaves {left:.2f} OH/nm2: "
                "enlarge the cell by surface_cell"
            )
    return finish(list(bare.symbols), bare.positions, bare.cell.array[:2])


def hydroxyls(atoms: Atoms, bonds: list[valence.Bond], upper: bool) -> list[int]:
    """Oxygen atoms with one hydrogen and one other neighbour on the upper or lower half of a slab."""
    around, z = valence.neighbours(len(atoms), bonds), atoms.positions[:, 2]
    middle = (z.min() + z.max()) / 2
    return [
        i
        for i, own in enumerate(around)
        if atoms.symbols[i] == "O"
        and (z[i] > middle) == upper
        and len(own) == 2
        and sorted(atoms.symbols[b[1]] == "H" for b in own) == [False, True]
    ]


def _condensed(atoms: Atoms, bonds: list[valence.Bond], upper: bool, target: float) -> tuple[Atoms, list[valence.Bond]]:
    """The slab with one pair of hydroxyls condensed, and its bonds."""
    trials = []
    for number, pair in enumerate(_pairs(atoms, bonds, upper)[:TRIED]):
        joined, joined_bonds = _joined(atoms, bonds, pair, upper)
        settled, strain = valence.relaxed(joined, joined_bonds)
        if set(valence.bonds_of(settled)) == set(joined_bonds):
            trials.append((round(strain, 2), number, settled, joined_bonds))
    if not trials:
        count = len(hydroxyls(atoms, bonds, upper))
        raise CrosstalkError(
            f"dehydroxylation to {target:g} OH/nm2: no two of the {count} hydroxyls of a side that are left "
            f"({count / area(atoms) * ANGSTROM2_PER_NM2:.2f} OH/nm2) can be joined: "
            "enlarge the cell by surface_cell, or leave more of them"
        )
    _, _, settled, joined_bonds = min(trials, key=lambda trial: trial[:2])
    return settled, joined_bonds


def _pairs(atoms: Atoms, bonds: list[valence.Bond], upper: bool) -> list[Pair]:
    """Pairs of hydroxyls whose carriers are within REACH and share no oxygen, the nearest carriers first."""
    around = valence.neighbours(len(atoms), bonds)
    carrier = {}
    for oxygen in hydroxyls(atoms, bonds, upper):
        carrier[oxygen] = next(b for b in around[oxygen] if atoms.symbols[b[1]] != "H")
    found = []
    for first, (_, a, am, an, _) in carrier.items():
        for second, (_, b, bm, bn, _) in carrier.items():
            for m in (-1, 0, 1):
                for n in (-1, 0, 1):
                    link = (a, b, m + bm - am, n + bn - an, 0)
                    if (first, second, m, n) >= (second, first, -m, -n) or link == (a, a, 0, 0, 0):
                        continue
                    vector = atoms.positions[b] - atoms.positions[a] + np.array(link[2:]) @ atoms.cell.array
                    if first != second and np.linalg.norm(vector) <= REACH and not _share(around, link):
                        found.append((round(float(np.linalg.norm(vector)), 2), (first, second, m, n)))
    return [pair for _, pair in sorted(found)]


def _share(around: list[list[valence.Bond]], link: valence.Bond) -> bool:
    """Whether the two ends of a link are bonded, or bonded to the same atom."""
    a, *target = link
    for _, middle, *first in around[a]:
        if [middle, *first] == target:
            return True
        for _, end, *second in around[middle]:
            if [end, *(x + y for x, y in zip(first, second, strict=True))] == target:
                return True
    return False


def _joined(atoms: Atoms, bonds: list[valence.Bond], pair: Pair, upper: bool) -> tuple[Atoms, list[valence.Bond]]:
    """One oxygen between the two carriers, above the middle of the line that joins them; the rest is water."""
    stays, goes, m, n = pair
    around = valence.neighbours(len(atoms), bonds)
    first = next(b for b in around[stays] if atoms.symbols[b[1]] != "H")
    second = next(b for b in around[goes] if atoms.symbols[b[1]] != "H")
    hydrogens = {b[1] for oxygen in (stays, goes) for b in around[oxygen] if atoms.symbols[b[1]] == "H"}
    bridge = (stays, second[1], m + second[2], n + second[3], 0)
    joined, cell = atoms.copy(), atoms.cell.array
    ends = [atoms.positions[b[1]] + np.array(b[2:]) @ cell for b in (first, bridge)]
    joined.positions[stays] = (ends[0] + ends[1]) / 2 + (0.0, 0.0, 0.5 if upper else -0.5)
    gone = {goes, *hydrogens}
    kept = [i for i in range(len(atoms)) if i not in gone]
    renamed = {old: new for new, old in enumerate(kept)}
    stay = [b for b in (*bonds, bridge) if b[0] in renamed and b[1] in renamed]
    moved = [(renamed[i], renamed[j], k, m, n) for i, j, k, m, n in stay]
    return joined[kept], sorted(min(bond, valence.reverse(bond)) for bond in moved)
