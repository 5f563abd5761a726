"""Complexes: a second species beside a first, in contact, such as a solvent molecule with an anion. Pure functions.

Both are embedded as they would be alone; the second one comes in from a random direction, randomly turned, until the
van der Waals spheres of two atoms touch. Atom order: the first species, then the second, each in its own order.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import vdw_alvarez
from scipy.spatial.transform import Rotation

from crosstalk.structures import conformers, graphs, ion_pairs, molecules

if TYPE_CHECKING:
    from rdkit import Chem

#: Van der Waals radius (Angstrom) of elements that Alvarez (2013) gives none for.
UNKNOWN_RADIUS = 2.0


def whole_complex(smiles: Sequence[str]) -> "Chem.Mol":
    """RDKit molecule of all species together, in the atom order of the steps."""
    from rdkit import Chem

    mol = molecules.whole(smiles[0])
    for other in smiles[1:]:
        mol = Chem.CombineMols(mol, molecules.whole(other))
    mol = Chem.Mol(mol)
    Chem.SanitizeMol(mol)  # ring information is lost in the combination
    return mol


def symbols_of_complex(smiles: Sequence[str]) -> list[str]:
    """Chemical symbols in the atom order of the steps."""
    return [symbol for one in smiles for symbol in molecules.symbols_of(one)]


def bonds_of_complex(smiles: Sequence[str]) -> frozenset[tuple[int, int]]:
    """Covalent bonds (i < j) in the atom order of the steps; none between the species."""
    return frozenset(
        (i + first, j + first) for first, one in zip(_firsts(smiles), smiles, strict=True) for i, j in _bonds(one)
    )


def charge_of_complex(smiles: Sequence[str]) -> int:
    """Sum of the formal charges, e."""
    return sum(molecules.charge_of(one) for one in smiles)


def _bonds(smiles: str) -> frozenset[tuple[int, int]]:
    return molecules.bonds_of(smiles)


def _firsts(smiles: Sequence[str]) -> list[int]:
    """Index of the first atom of each species."""
    counts = [len(molecules.symbols_of(one)) for one in smiles]
    return [sum(counts[:k]) for k in range(len(counts))]


# -- starting structures ------------------------------------------------------------------------------------------


def start(smiles: Sequence[str], seed: int, index: int) -> Atoms:
    """Starting structure `index` of two species; it depends on the seed and the index alone.

    Raises PhysicsFailure when one of them cannot be embedded.
    """
    first, second = smiles
    random = np.random.default_rng(conformers.seed_of(seed, "complex", index))
    host = _embedded(first, seed, index)
    # Every other embedding goes without RDKit's torsion preferences: halved, so that all four combinations occur.
    guest = _embedded(second, conformers.seed_of(seed, "guest", index), index // 2)
    guest.positions -= guest.positions.mean(axis=0)
    guest.positions = Rotation.random(random_state=random).apply(guest.positions)
    target = host.positions[int(random.integers(len(host)))]
    direction = random.normal(size=3)
    direction /= np.linalg.norm(direction)
    guest.positions += target + touching(host, guest, target, direction) * direction
    return host + guest


def _embedded(smiles: str, seed: int, index: int) -> Atoms:
    build = ion_pairs.start if molecules.is_ion_pair(smiles) else conformers.start
    return build(smiles, seed, index, free=True)


def touching(host: Atoms, guest: Atoms, target: np.ndarray, direction: np.ndarray) -> float:
    """How far (Angstrom) from `target` along the unit vector `direction` the guest first touches the host.

    The guest lies about the origin and comes in from infinity, aimed at `target`, unturned; two atoms touch at the
    sum of their van der Waals radii. Where all atoms pass each other, the target itself is its place.
    """
    across = host.positions[:, None] - (guest.positions + target)[None]  # from each guest atom to each host atom
    along = across @ direction
    aside = (across**2).sum(axis=2) - along**2
    reach = _sums(host, guest) ** 2 - aside
    return float(np.max(along + np.sqrt(np.maximum(reach, 0.0)), where=reach > 0, initial=0.0))


def _sums(host: Atoms, guest: Atoms) -> np.ndarray:
    """Sums of van der Waals radii (n_host, n_guest), Angstrom; Alvarez 2013."""
    one, two = (
        np.where(np.isnan(known), UNKNOWN_RADIUS, known)
        for known in (vdw_alvarez.vdw_radii[atoms.numbers] for atoms in (host, guest))
    )
    return one[:, None] + two[None]


# -- what must not be lost ----------------------------------------------------------------------------------------


def parted(smiles: Sequence[str], atoms: Atoms) -> str:
    """What came apart in a relaxed complex, as text: the two species, or a cation and all donors. Empty when nothing."""
    first = _firsts(smiles)[1]
    host, guest = atoms[:first], atoms[first:]
    gaps = np.linalg.norm(host.positions[:, None] - guest.positions[None], axis=2) - _sums(host, guest)
    if gaps.min() > graphs.DESORBED_GAP:
        return (
            f"the two species came apart: {gaps.min():.2f} Angstrom beyond the sum of van der Waals radii "
            f"(limit {graphs.DESORBED_GAP})"
        )
    cations = [i for begin, one in zip(_firsts(smiles), smiles, strict=True) for i in _cations(one, begin)]
    donors = [begin + i for begin, one in zip(_firsts(smiles), smiles, strict=True) for i in ion_pairs.donors_of(one)]
    return graphs.lost_contacts(atoms, cations, donors)


def _cations(smiles: str, begin: int) -> range:
    """Atoms of the cations of an ion pair, whose first atom is number `begin`."""
    end = begin + len(molecules.symbols_of(smiles))
    return range(end - len(molecules.fragments(smiles).cations), end)
