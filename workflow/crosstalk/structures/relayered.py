"""A relaxed slab with another number of layers and the same surface. A pure builder."""

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms

from crosstalk.errors import PhysicsFailure
from crosstalk.structures import valence
from crosstalk.structures.frame import finish
from crosstalk.structures.transplants import SAME_TOP, offset, shortest


def relayered(relaxed: Atoms, own: Atoms, other: Atoms) -> Atoms:
    """A relaxed slab with another number of layers.

    own    the slab as it was cut from its crystal, saturated but else unchanged; other: cut with the other number of layers

    A slab that is relaxed from displaced atoms falls into one of several valleys, a thicker one into another. So atoms of the other slab
    are displaced as their twins counted from above, and those counted from below, were by the relaxation: the nearer a twin is to that
    surface the more it counts, from its middle on all, beyond the other surface nothing, and what is then left the crystal. Twins
    of the upper half carry a constraint that holds them there: the two slabs share their surface, whatever is below relaxes to.
    Raises PhysicsFailure ("surface_changed") when the two cuts do not share their top or their bottom, and when atoms end with other
    coordination numbers than there are in the two slabs: then the relaxed one has no middle that is still the crystal.
    """
    up, down = offset(own, other), _inverted(offset(*(_upside_down(atoms) for atoms in (own, other))))
    sites, drift = _sites(relaxed, own)
    at, kept, moved = relaxed.positions - drift, sites >= 0, np.full((len(own), 3), np.nan)
    _, moved[sites[kept]] = shortest(at[kept] - own.positions[sites[kept]], own.cell.array)
    height = (own.positions[:, 2] - own.positions[:, 2].min()) / np.ptp(own.positions[:, 2])
    trusts, sums, gone = [], np.zeros((len(other), 3)), np.zeros(len(other), bool)
    for vector, share in ((up, height), (down, 1 - height)):
        distances, twins = _nearest(other, own, -vector)
        has, shared = ~np.isnan(moved[twins, 0]), distances < SAME_TOP
        gone |= shared & ~has & (share[twins] > 0.5)
        trusts.append(np.where(shared & has, np.clip(2 * share[twins], 0, 1), 0.0))
        sums += trusts[-1][:, None] * np.nan_to_num(moved[twins])
    crystal = (1 - np.maximum(*trusts)) ** 2
    positions = other.positions + sums / (trusts[0] + trusts[1] + crystal)[:, None]
    middle = (other.positions[:, 2].max() + other.positions[:, 2].min()) / 2
    extra, below, above = np.array(relaxed.symbols)[~kept], at[~kept] + down, at[~kept] + up
    lower, upper = below[:, 2] < middle, above[:, 2] >= middle
    symbols = [*np.array(other.symbols)[~gone], *extra[lower], *extra[upper]]
    atoms = finish(symbols, np.vstack([positions[~gone], below[lower], above[upper]]), other.cell.array[:2])
    atoms.set_constraint(FixAtoms(np.flatnonzero(trusts[0][~gone] == 1)))
    strange = coordinations(atoms) - coordinations(relaxed) - coordinations(other)
    if strange:
        text = ", ".join(f"{symbol} with {n}" for symbol, n in sorted(strange))
        raise PhysicsFailure(
            "surface_changed",
            f"layers cannot be put into or taken out of the relaxed slab: that leaves {text} neighbours",
        )
    return atoms


def coordinations(atoms: Atoms) -> set[tuple[str, int]]:
    """(symbol, number of neighbours) that there are."""
    around = valence.neighbours(len(atoms), valence.bonds_of(atoms))
    return {(symbol, len(own)) for symbol, own in zip(atoms.symbols, around, strict=True)}


def _sites(relaxed: Atoms, own: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Which atom of the slab as it was cut each atom of a relaxed one is (n,), -1: none; and how far it moved as a whole (3,), Angstrom."""
    from scipy.optimize import linear_sum_assignment

    sites, drift = np.full(len(relaxed), -1), np.zeros(3)
    for _ in range(2):  # the second time without what it moved as a whole
        for symbol in set(relaxed.symbols):
            mine, theirs = (np.flatnonzero(np.array(atoms.symbols) == symbol) for atoms in (relaxed, own))
            places = own.positions[theirs] + drift
            lengths = [shortest(places - position, own.cell.array)[0] for position in relaxed.positions[mine]]
            rows, columns = linear_sum_assignment(lengths)
            sites[mine[rows]] = theirs[columns]
        _, moved = shortest(relaxed.positions[sites >= 0] - own.positions[sites[sites >= 0]], own.cell.array)
        drift = np.median(moved, axis=0)
    return sites, drift


def _nearest(atoms: Atoms, others: Atoms, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each atom, moved by a vector: the distance (n,) to the nearest equal one of another slab, Angstrom, and which that is (n,)."""
    symbols, found = np.array(others.symbols), []
    for atom in atoms:
        lengths, _ = shortest(others.positions - atom.position - vector, others.cell.array)
        lengths = np.where(symbols == atom.symbol, lengths, np.inf)
        found.append((lengths.min(), int(lengths.argmin())))
    distances, twins = zip(*found, strict=True)
    return np.array(distances), np.array(twins)


def _upside_down(atoms: Atoms) -> Atoms:
    mirrored = atoms.copy()
    mirrored.positions = _inverted(atoms.positions)
    return mirrored


def _inverted(vectors: np.ndarray) -> np.ndarray:
    return vectors * np.array([1.0, 1.0, -1.0])
