"""Covalent connectivity from geometry, and what became of it.

Two atoms of elements that form covalent bonds are bonded when nearer than FORMED times the sum of their covalent radii
(Cordero 2008, `ase.data.covalent_radii`). A bond that was there is broken only beyond BROKEN times that sum: between
the two limits nothing is said to have changed, so a vibration does not count as chemistry. A long contact across an atom
that is bonded to both is no bond. Metals never bond covalently
here. Periodic images are respected: a pair may be bonded through several images, and then counts several times.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii, vdw_alvarez
from ase.neighborlist import natural_cutoffs, neighbor_list

from crosstalk.structures.molecules import COVALENT

FORMED = 1.25
BROKEN = 1.40
#: Two atoms farther apart than this, with one between them that is nearer to both, touch across it (silicon across an oxygen in
#: a strained ring, 2.5 to 2.8 Angstrom): no bond. Bonds of three-membered rings are shorter (cyclopropane 1.00, oxirane 1.02).
ACROSS = 1.10
#: Beyond the sum of van der Waals radii by this much nothing holds an adsorbate; Angstrom. Half the thickness of a
#: monolayer: dispersion at that distance is a few per cent of that in contact.
DESORBED_GAP = 1.5
#: A metal atom of a slab, which has no bonds to lose, has left its site when it moved by more; Angstrom.
SITE_RADIUS = 1.0

Pair = tuple[int, int]
#: First and second atom, and the image of the second (three numbers).
Link = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Change:
    """What became of a covalent graph.

    status   ok | dissociated (more fragments than before) | rearranged (other bonds)
    broken   pairs that lost a bond; formed: pairs that gained one
    text     the changed bonds for people, e.g. "broken C1-O4; formed O4-H7" (atom indices from 0); empty when ok
    """

    status: str
    broken: tuple[Pair, ...] = ()
    formed: tuple[Pair, ...] = ()
    text: str = ""


def _contacts(atoms: Atoms, factor: float) -> list[tuple[Link, float]]:
    """Pairs i <= j of covalent elements within `factor` times the sum of their radii: (i, j, image of j) and that ratio."""
    covalent = np.array([symbol in COVALENT for symbol in atoms.symbols], dtype=bool)
    cutoffs = np.where(covalent, natural_cutoffs(atoms, mult=factor), 0.0)
    first, second, lengths, images = neighbor_list("ijdS", atoms, cutoffs)
    ratios = lengths / (covalent_radii[atoms.numbers[first]] + covalent_radii[atoms.numbers[second]])
    links = zip(first.tolist(), second.tolist(), *images.T.tolist(), strict=True)
    return [
        (link, ratio)
        for link, ratio in zip(links, ratios.tolist(), strict=True)
        if covalent[link[0]] and covalent[link[1]]
    ]


def _counted(links: Iterable[Link]) -> Counter[Pair]:
    """Bonds per pair i <= j, images counted one by one."""
    found: Counter[Pair] = Counter((i, j) for i, j, *_ in links if i <= j)
    for i, j in list(found):
        if i == j:
            found[i, j] //= 2  # an atom's own images come in pairs
    return found


def _bonds(atoms: Atoms) -> Counter[Pair]:
    """Bonds per pair i <= j. A pair that is far apart for a bond, with a nearer atom between them, is none."""
    near = dict(_contacts(atoms, FORMED))
    around: dict[int, list[tuple[Link, float]]] = {}
    for link, ratio in near.items():
        around.setdefault(link[0], []).append((link, ratio))

    def is_bridged(link: Link, own: float) -> bool:
        i, j, *image = link
        for (_, k, *first), ratio in around[i]:
            rest = (k, j, *(a - b for a, b in zip(image, first, strict=True)))
            if ratio < own and near.get(rest, own) < own:  # type: ignore[arg-type]
                return True
        return False

    return _counted(link for link, ratio in near.items() if ratio <= ACROSS or not is_bridged(link, ratio))


def _within_reach(atoms: Atoms) -> Counter[Pair]:
    """As `_bonds`, of what is near enough for a bond that was there before."""
    return _counted(link for link, _ in _contacts(atoms, BROKEN))


def connectivity(atoms: Atoms) -> frozenset[Pair]:
    """Bonded pairs (i < j; i == j for an atom bonded to its own image)."""
    return frozenset(_bonds(atoms))


def pieces(n_atoms: int, bonds: Iterable[Pair]) -> list[list[int]]:
    """Connected groups of atoms, each ascending, ordered by their first atom."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.array(sorted(bonds), dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n_atoms, n_atoms))
    _, labels = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for index, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(index)
    return list(groups.values())


def _named(atoms: Atoms, pairs: Iterable[Pair]) -> str:
    return ", ".join(f"{atoms.symbols[i]}{i}-{atoms.symbols[j]}{j}" for i, j in sorted(pairs))


def _change(atoms: Atoms, before: Iterable[Pair], broken: Iterable[Pair], formed: Iterable[Pair]) -> Change:
    before, broken, formed = set(before), tuple(sorted(broken)), tuple(sorted(formed))
    if not broken and not formed:
        return Change("ok")
    after = (before - set(broken)) | set(formed)
    more = len(pieces(len(atoms), after)) > len(pieces(len(atoms), before))
    parts = [f"{word} {_named(atoms, pairs)}" for word, pairs in (("broken", broken), ("formed", formed)) if pairs]
    return Change("dissociated" if more else "rearranged", broken, formed, "; ".join(parts))


def against(bonds: Iterable[Pair], atoms: Atoms) -> Change:
    """Compare a geometry with the bonds that it should have (`molecules.bonds_of`; i < j)."""
    expected = set(bonds)
    near, far = _bonds(atoms), _within_reach(atoms)
    broken = [pair for pair in expected if not far[pair]]
    formed = [pair for pair in near if pair not in expected]
    return _change(atoms, expected, broken, formed)


def compare(before: Atoms, after: Atoms) -> Change:
    """Compare two geometries of the same atoms, periodic or not; wrapping into the cell makes no difference."""
    if before.get_chemical_symbols() != after.get_chemical_symbols():
        raise ValueError("the two structures hold different atoms, or the same ones in another order")
    near, far = _bonds(before), _within_reach(before)
    near_after, far_after = _bonds(after), _within_reach(after)
    broken = [pair for pair, count in near.items() if far_after[pair] < count]
    formed = [pair for pair, count in near_after.items() if count > far[pair]]
    return _change(after, near, broken, formed)


def composition(atoms: Atoms) -> str:
    """The covalent fragments of a geometry by their formulas, largest first, e.g. "C2H4O + CO2"."""
    groups = sorted(pieces(len(atoms), connectivity(atoms)), key=lambda group: (-len(group), group[0]))
    return " + ".join(atoms[group].get_chemical_formula() for group in groups)


def adsorption_class(start: Atoms, relaxed: Atoms) -> tuple[str, str]:
    """What became of an adsorbate (tag 1) on a slab (other tags): its class and the reason.

    bound            bonds of both sides kept; the reason names new bonds between them (chemisorption)
    desorbed         no contact within the sum of van der Waals radii (Alvarez 2013) + DESORBED_GAP
    dissociated      the adsorbate fell into more pieces, held by the surface or not
    rearranged       the adsorbate's own bonds changed, or atoms passed between it and the slab
    surface_changed  bonds of the slab changed, or a metal atom left its site

    All but "bound" are statuses of a record; "bound" is status "ok".
    """
    adsorbate = relaxed.get_tags() == 1
    if adsorbate.all() or not adsorbate.any():
        raise ValueError("tag 1 must mark the adsorbate, and other tags the slab")
    own = compare(start[adsorbate], relaxed[adsorbate])
    if own.status != "ok":
        return own.status, f"adsorbate: {_own_text(relaxed, adsorbate, own)}"
    total = compare(start, relaxed)
    across = [pair for pair in total.formed if adsorbate[pair[0]] != adsorbate[pair[1]]]
    inside = [pair for pair in total.broken + total.formed if not adsorbate[list(pair)].any()]
    torn = {i for pair in total.broken if not adsorbate[list(pair)].any() for i in pair}
    passed = [pair for pair in across if torn & set(pair)]
    if passed:
        return "rearranged", f"atoms passed from the slab to the adsorbate: {total.text}"
    if inside:
        return "surface_changed", f"slab: {total.text}"
    moved = _moved_metals(start, relaxed, adsorbate)
    if moved:
        return "surface_changed", f"slab: {moved}"
    gap, pair, distance = _closest(relaxed, adsorbate)
    contact = f"closest contact {_named(relaxed, [pair])} {distance:.2f} Angstrom"
    if gap > DESORBED_GAP:
        return "desorbed", f"{contact}, {gap:.2f} beyond the sum of van der Waals radii (limit {DESORBED_GAP})"
    return "bound", f"new bonds {_named(relaxed, across)}" if across else contact


def slab_change(start: Atoms, relaxed: Atoms) -> str:
    """What a bare slab lost or gained: changed bonds, metal atoms that left their sites; empty when nothing."""
    change = compare(start, relaxed)
    moved = _moved_metals(start, relaxed, np.zeros(len(relaxed), dtype=bool))
    return "; ".join(filter(None, [change.text, moved]))


def _own_text(atoms: Atoms, adsorbate: np.ndarray, own: Change) -> str:
    """The change of the adsorbate's bonds, with the indices of the whole structure."""
    index = np.flatnonzero(adsorbate).tolist()
    parts = (("broken", own.broken), ("formed", own.formed))
    return "; ".join(f"{word} {_named(atoms, [(index[i], index[j]) for i, j in p])}" for word, p in parts if p)


def _moved_metals(start: Atoms, relaxed: Atoms, adsorbate: np.ndarray) -> str:
    """Metal atoms of the slab that left their sites, as text."""
    from ase.geometry import find_mic

    _, lengths = find_mic(relaxed.positions - start.positions, relaxed.cell, relaxed.pbc)
    metal = np.array([symbol not in COVALENT for symbol in relaxed.symbols], dtype=bool)
    gone = np.flatnonzero(metal & ~adsorbate & (lengths > SITE_RADIUS)).tolist()
    return ", ".join(f"{relaxed.symbols[i]}{i} moved by {lengths[i]:.2f} Angstrom" for i in gone)


def _closest(atoms: Atoms, adsorbate: np.ndarray) -> tuple[float, Pair, float]:
    """Smallest distance minus sum of van der Waals radii between adsorbate and slab: gap, pair, distance (Angstrom)."""
    from ase.geometry import get_distances

    mine, theirs = np.flatnonzero(adsorbate), np.flatnonzero(~adsorbate)
    _, lengths = get_distances(atoms.positions[mine], atoms.positions[theirs], cell=atoms.cell, pbc=atoms.pbc)
    radii = np.where(np.isnan(vdw_alvarez.vdw_radii[atoms.numbers]), 2.0, vdw_alvarez.vdw_radii[atoms.numbers])
    gaps = lengths - radii[mine][:, None] - radii[theirs][None, :]
    i, j = np.unravel_index(np.argmin(gaps), gaps.shape)
    return float(gaps[i, j]), (int(mine[i]), int(theirs[j])), float(lengths[i, j])


def lost_contacts(atoms: Atoms, cations: Iterable[int], donors: Iterable[int]) -> str:
    """Cations without a donor within BROKEN times the sum of covalent radii, as text; empty when all are held."""
    donors = list(donors)
    texts = []
    for cation in cations:
        lengths = atoms.get_distances(cation, donors)
        sums = covalent_radii[atoms.numbers[cation]] + covalent_radii[atoms.numbers[donors]]
        nearest = int(np.argmin(lengths / sums))
        if lengths[nearest] > BROKEN * sums[nearest]:
            name = f"{atoms.symbols[cation]}{cation}"
            texts.append(f"{name} left its donors (nearest at {lengths[nearest]:.2f} Angstrom)")
    return "; ".join(texts)


def parted(before: Atoms, after: Atoms) -> str:
    """What was in contact in a molecular complex and is no longer, as text; empty when nothing.

    A metal atom has left when no donor (a heavy atom other than carbon) is within BROKEN times the sum of covalent radii any
    more; a covalent fragment when it is farther than DESORBED_GAP beyond the sum of van der Waals radii from all others.
    """
    metals = [i for i, symbol in enumerate(before.symbols) if symbol not in COVALENT]
    donors = [i for i, symbol in enumerate(before.symbols) if symbol in COVALENT and symbol not in ("H", "C")]
    held = [i for i in metals if donors and not lost_contacts(before, [i], donors)]
    texts = [lost_contacts(after, held, donors)] if held else []
    groups = [group for group in pieces(len(before), connectivity(before)) if group[0] not in metals]
    for group in groups[1:]:
        mask = np.isin(np.arange(len(before)), group)
        others = mask | ~np.isin(np.arange(len(before)), [i for g in groups for i in g])
        near, far = (_closest(atoms[mask | ~others], mask[mask | ~others])[0] for atoms in (before, after))
        if near <= DESORBED_GAP < far:
            formula = before[group].get_chemical_formula()
            texts.append(
                f"{formula} came apart, {far:.2f} Angstrom beyond the sum of van der Waals radii (limit {DESORBED_GAP})"
            )
    return "; ".join(filter(None, texts))
