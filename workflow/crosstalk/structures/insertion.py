"""Atoms put into slabs at a chosen ratio, e.g. lithium per silicon: neutral atoms, at deterministic sites.

Sites between the atoms are those where the inserted ion's bond valence sum over oxygen is nearest to one and other atoms
are not too near,

    V = sum exp((R0 - d) / 0.37),

R0 from Brown and Altermatt, Acta Cryst. 1985, B41, 244 (the method of bond-valence maps for ion sites: Adams, Acta
Cryst. 2001, B57, 278). Where there is no oxygen the widest hollow is taken.
"""

import math
from collections.abc import Iterator

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from crosstalk.errors import CrosstalkError
from crosstalk.structures import valence
from crosstalk.structures.dehydroxylation import hydroxyls
from crosstalk.structures.frame import BOND_FACTOR, finish

#: R0 of the ion's bond to oxygen, Angstrom, and the universal constant; bonds beyond LISTED count for nothing.
BOND_VALENCE = {"Li": 1.466, "Na": 1.803, "K": 2.132}
SOFTNESS, LISTED = 0.37, 5.0
#: Spacing of the grid on which sites are sought, Angstrom.
GRID = 0.2
#: No atom is put nearer than this share of the sum of covalent radii: to oxygen, to any other atom.
CLOSEST = (0.9, 1.0)
#: Valence sums that differ by less are equally good sites: then the one farthest from what was inserted already.
ALIKE = 0.1


def inserted(atoms: Atoms, element: str, per: str, ratio: float, sites: str) -> Atoms:
    """The slab with `ratio` atoms of `element` for every atom of `per`.

    sites  "interstitial": between the atoms; "hydroxyl": in place of hydroxyl hydrogens, alternating between the sides
    Raises CrosstalkError when the ratio is no whole number of atoms in this surface cell, or there is no room.
    """
    count = _count(atoms, element, per, ratio)
    changed = _exchanged(atoms, element, count) if sites == "hydroxyl" else _interstitial(atoms, element, count)
    return finish(list(changed.symbols), changed.positions, changed.cell.array[:2])


def _count(atoms: Atoms, element: str, per: str, ratio: float) -> int:
    hosts = list(atoms.symbols).count(per)
    if hosts == 0:
        raise CrosstalkError(f"insertion: the slab holds no {per}")
    count = round(ratio * hosts)
    if count < 1 or abs(count - ratio * hosts) > 1e-3 * hosts:
        near = sorted({max(1, math.floor(ratio * hosts)), math.ceil(ratio * hosts)})
        raise CrosstalkError(
            f"insertion: {ratio:g} {element} per {per} is {ratio * hosts:.2f} atoms in a cell with {hosts} {per}; "
            f"the nearest ratios are {' and '.join(f'{n / hosts:.4g}' for n in near)}, "
            "or enlarge the cell by surface_cell"
        )
    return count


def _exchanged(atoms: Atoms, element: str, count: int) -> Atoms:
    """Hydroxyl hydrogens replaced, those nearest to a side's outside first, the upper and the lower side in turn."""
    bonds = valence.bonds_of(atoms)
    around = valence.neighbours(len(atoms), bonds)
    z = atoms.positions[:, 2]
    sides = []
    for upper, outwards in ((True, 1.0), (False, -1.0)):
        heights = {i: outwards * round(float(z[i]), 2) for i in hydroxyls(atoms, bonds, upper)}
        sides.append(sorted(heights, key=lambda i: (-heights[i], i)))
    order = [i for pair in zip(*sides, strict=False) for i in pair]
    order += [i for side in sides for i in side if i not in order]
    if count > len(order):
        raise CrosstalkError(f"insertion: {count} {element} for {len(order)} hydroxyls: lower the ratio")
    changed = atoms.copy()
    length = BOND_VALENCE[element] - SOFTNESS * math.log(0.5)  # half a valence: the other half is some neighbour's
    for oxygen in order[:count]:
        bond = next(b for b in around[oxygen] if atoms.symbols[b[1]] == "H")
        vector = atoms.positions[bond[1]] - atoms.positions[oxygen] + np.array(bond[2:]) @ atoms.cell.array
        changed.symbols[bond[1]] = element
        changed.positions[bond[1]] += vector / np.linalg.norm(vector) * length - vector
    return changed


def _interstitial(atoms: Atoms, element: str, count: int) -> Atoms:
    """Atoms put one by one where the valence sum fits best, then as far from each other as such sites are."""
    changed, images = atoms.copy(), _images(atoms.cell.array)
    points, misfits, rooms, apart = (np.concatenate(part) for part in zip(*_map(atoms, element), strict=True))
    reach = 2 * covalent_radii[atomic_numbers[element]]
    for inserted in range(count):
        free = rooms >= 0
        if not free.any():
            lack = f"the widest hole lacks {-rooms.max():.2f} Angstrom"
            cure = "lower the ratio" if inserted else "no ratio helps, a wider lattice or spacing of layers does"
            raise CrosstalkError(f"insertion: no room for {count} {element} ({inserted} fit; {lack}): {cure}")
        good = np.flatnonzero(free & (misfits <= misfits[free].min() + ALIKE))
        ranks = (-apart[good].round(1), misfits[good].round(2), -rooms[good].round(1), points[good].round(3).tolist())
        keys = zip(*ranks, strict=True)
        best = min(zip(keys, good.tolist(), strict=True))[1]
        changed += Atoms(element, [points[best]])
        distances = np.linalg.norm(points[:, None] - (points[best] + images)[None], axis=2)
        misfits += np.maximum(BOND_FACTOR * reach - distances, 0.0).sum(axis=1)
        nearest = distances.min(axis=1)
        rooms, apart = np.minimum(rooms, nearest - CLOSEST[1] * reach), np.minimum(apart, nearest)
    return changed


def _widths(cell: np.ndarray) -> np.ndarray:
    """Distances between opposite edges of the surface cell: across its first vector, across its second, Angstrom."""
    return np.abs(np.linalg.det(cell[:2, :2])) / np.linalg.norm(cell[:2, :2], axis=1)[::-1]


def _images(cell: np.ndarray) -> np.ndarray:
    """Translations in the plane (n, 3) that bring every atom within LISTED of the cell, Angstrom."""
    m, n = (math.ceil(LISTED / width) for width in _widths(cell))
    return np.array([i * cell[0] + j * cell[1] for i in range(-m, m + 1) for j in range(-n, n + 1)])


def _map(atoms: Atoms, element: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Points (n, 3) of the slab in sheets, their misfit, room left to the nearest atom, distance to the nearest atom of
    `element` (Angstrom).

    The misfit is what the valence sum lacks of one, plus how far atoms other than oxygen come within BOND_FACTOR times
    the sum of radii, in Angstrom.
    """
    cell = atoms.cell.array
    counts = [max(1, math.ceil(float(np.linalg.norm(vector)) / GRID)) for vector in cell[:2]]
    u, v = np.meshgrid(*(np.arange(n) / n for n in counts), indexing="ij")
    sheet = np.stack([u.ravel(), v.ravel()], axis=1) @ cell[:2]
    images = _images(cell)
    around = np.concatenate([atoms.positions + image for image in images])
    scaled, margin = around[:, :2] @ np.linalg.inv(cell[:2, :2]), LISTED / _widths(cell)
    near = ((scaled > -margin) & (scaled < 1.0 + margin)).all(axis=1)
    around, numbers = around[near], np.tile(atoms.numbers, len(images))[near]
    sums = covalent_radii[numbers] + covalent_radii[atomic_numbers[element]]
    oxygen, same = numbers == atomic_numbers["O"], numbers == atomic_numbers[element]
    nearest = sums * np.where(oxygen, *CLOSEST)
    heavy = atoms.positions[atoms.numbers > 1, 2]
    levels = max(2, math.ceil(float(np.ptp(heavy)) / GRID) + 1)
    for z in np.linspace(heavy.min(), heavy.max(), levels):
        points = sheet + np.array([0.0, 0.0, z])
        close = np.abs(around[:, 2] - z) < LISTED
        distances = np.linalg.norm(points[:, None] - around[close][None], axis=2)
        bonds = np.exp((BOND_VALENCE[element] - distances[:, oxygen[close]]) / SOFTNESS)
        bonds[distances[:, oxygen[close]] > LISTED] = 0.0
        overlap = np.maximum(BOND_FACTOR * sums[close] - distances, 0.0)[:, ~oxygen[close]].sum(axis=1)
        misfit = np.abs(bonds.sum(axis=1) - 1.0) + overlap
        room = (distances - nearest[close]).min(axis=1)
        others = distances[:, same[close]]
        apart = others.min(axis=1) if others.shape[1] else np.full(len(points), LISTED)
        yield points, misfit, room, np.minimum(apart, LISTED)
