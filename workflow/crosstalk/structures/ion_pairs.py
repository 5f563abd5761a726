"""Ion pairs: an embedded main fragment with monatomic cations around its donor atoms. Pure functions.

RDKit embeds the main fragment alone; a cation sits at the sum of covalent radii (Li-O 1.94 Angstrom) from one donor
atom or from two. Where two donors far apart in the graph are to hold one cation, the main fragment is embedded with
their distance bounded to what the cation can span.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from crosstalk.errors import PhysicsFailure
from crosstalk.structures import conformers, molecules

if TYPE_CHECKING:
    from rdkit import Chem

#: Donors: elements with lone pairs.
DONORS = ("O", "N", "F", "S", "Cl", "P", "Br", "I")
#: Draw weights of a donor: negative or sharing a negative charge, terminal, other.
CHARGED, TERMINAL, OTHER = 4.0, 2.0, 1.0
#: Widest bite of a chelate, and nearest contact to an atom that does not donate: factors of the sum of radii.
BITE = 1.65
CLASH = 0.95
#: Directions tried around a donor, and around the axis of two.
N_DIRECTIONS = 60
N_ANGLES = 24


@dataclass(frozen=True)
class Site:
    """Atoms that hold a cation (one or two), with the weight of drawing it."""

    donors: tuple[int, ...]
    weight: float


def donors_of(smiles: str) -> dict[int, float]:
    """Donor atoms of the main fragment (index -> weight), strongest first; all heavy atoms where there is none."""
    mol = molecules.parse(molecules.fragments(smiles).main)
    found = {a.GetIdx(): _strength(a) for a in mol.GetAtoms() if a.GetSymbol() in DONORS and _has_lone_pair(a)}
    if not found:
        found = {a.GetIdx(): OTHER for a in mol.GetAtoms() if a.GetAtomicNum() > 1 or mol.GetNumHeavyAtoms() == 0}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _has_lone_pair(atom: "Chem.Atom") -> bool:
    """Valence electrons are left: no ammonium nitrogen, no phosphate phosphorus."""
    from rdkit import Chem

    outer = Chem.GetPeriodicTable().GetNOuterElecs(atom.GetAtomicNum())
    return outer - atom.GetFormalCharge() - atom.GetTotalValence() >= 2


def _strength(atom: "Chem.Atom") -> float:
    """Weight of a donor: charged (also the =O beside an -O-), terminal, other."""
    heavy = [n for n in atom.GetNeighbors() if n.GetAtomicNum() > 1]
    if atom.GetFormalCharge() < 0:
        return CHARGED
    if len(heavy) == 1:
        beside = [n for n in heavy[0].GetNeighbors() if n.GetIdx() != atom.GetIdx()]
        unsaturated = atom.GetTotalNumHs(includeNeighbors=True) == 0 and atom.GetTotalValence() > 1
        if heavy[0].GetFormalCharge() < 0 or (unsaturated and any(n.GetFormalCharge() < 0 for n in beside)):
            return CHARGED
        return TERMINAL if unsaturated else OTHER
    return OTHER


def _contact(cation: str, symbol: str) -> float:
    """Distance of a cation and an atom in contact: sum of covalent radii, Angstrom."""
    return float(covalent_radii[atomic_numbers[cation]] + covalent_radii[atomic_numbers[symbol]])


def _sites(mol: "Chem.Mol", donors: dict[int, float], cation: str) -> list[Site]:
    """Single donors, and pairs that can come near enough for a chelate, strongest first."""
    found = [Site((donor,), weight) for donor, weight in donors.items()]
    if mol.GetNumAtoms() > 1:
        bounds = conformers.distance_bounds(mol)
        for first, second in combinations(sorted(donors), 2):
            if bounds[second, first] <= _bite(mol, cation, (first, second)):
                found.append(Site((first, second), donors[first] * donors[second]))
    return sorted(found, key=lambda site: (-site.weight, site.donors))


def _bite(mol: "Chem.Mol", cation: str, pair: tuple[int, int]) -> float:
    """Widest distance of two donors that hold one cation, Angstrom."""
    return BITE * sum(_contact(cation, mol.GetAtomWithIdx(i).GetSymbol()) for i in pair) / 2


def n_starts(smiles: str, max_embeddings: int) -> int:
    """Conformers of the main fragment times sites to the power of the number of cations, at most `max_embeddings`."""
    parts = molecules.fragments(smiles)
    mol = molecules.parse(parts.main)
    n_sites = len(_sites(mol, donors_of(smiles), _symbol(parts.cations[0])))
    flexible = molecules.n_rotors(smiles) + molecules.ring_torsions(smiles) / 2
    return int(min(max_embeddings, np.ceil(3.0**flexible * (2.0 * n_sites) ** len(parts.cations))))


def _symbol(smiles: str) -> str:
    return molecules.symbols_of(smiles)[0]


def starts(smiles: str, max_embeddings: int, seed: int) -> list[Atoms]:
    """Starting structures in the atom order of the steps; start k depends on the seed and k alone.

    The first cation goes through all sites in turn, strongest first; the others draw theirs by weight. Raises
    PhysicsFailure when a start cannot be built.
    """
    return [start(smiles, seed, k) for k in range(n_starts(smiles, max_embeddings))]


def start(smiles: str, seed: int, index: int, free: bool = False) -> Atoms:
    """Starting structure `index`, as `starts` gives it (`free`: see `conformers.embed`). Raises PhysicsFailure when it
    cannot be built."""
    parts = molecules.fragments(smiles)
    mol, donors = molecules.parse(parts.main), donors_of(smiles)
    cations = [_symbol(cation) for cation in parts.cations]
    for attempt in range(conformers.MAX_ATTEMPTS):
        random = np.random.default_rng(conformers.seed_of(seed, "ions", index, attempt))
        # A first site that does not work out is given up after half of the attempts.
        first = index if attempt < conformers.MAX_ATTEMPTS // 2 else None
        chosen = _chosen(mol, donors, cations, first, random)
        try:
            own_seed, bounds = conformers.seed_of(seed, attempt), _spanned(mol, cations, chosen)
            positions = conformers.embed(mol, own_seed, index, bounds, free)
        except PhysicsFailure:
            continue  # these chelates cannot be met at once: other sites
        atoms = Atoms([atom.GetSymbol() for atom in mol.GetAtoms()], positions)
        if all(_place(atoms, cation, site, random) for cation, site in zip(cations, chosen, strict=True)):
            return atoms
    raise PhysicsFailure("absent", f"no room for the cations of {smiles} in {conformers.MAX_ATTEMPTS} attempts")


def _chosen(
    mol: "Chem.Mol", donors: dict[int, float], cations: list[str], first: int | None, random: np.random.Generator
) -> list[Site]:
    """A site for each cation, all different where there are enough: drawn by weight, the first one by its number."""
    chosen: list[Site] = []
    for number, cation in enumerate(cations):
        sites = _sites(mol, donors, cation)
        if number == 0 and first is not None:
            chosen.append(sites[first % len(sites)])
            continue
        taken = {site.donors for site in chosen}
        free = [site for site in sites if site.donors not in taken] or sites
        weight = np.array([site.weight for site in free])
        chosen.append(free[int(random.choice(len(free), p=weight / weight.sum()))])
    return chosen


def _spanned(mol: "Chem.Mol", cations: list[str], chosen: list[Site]) -> np.ndarray | None:
    """Distance bounds that bring the two donors of each chelate within the cation's bite; None without chelates."""
    from rdkit import DistanceGeometry

    chelates = [(cation, site.donors) for cation, site in zip(cations, chosen, strict=True) if len(site.donors) == 2]
    if not chelates:
        return None
    bounds = conformers.distance_bounds(mol)
    for cation, (first, second) in chelates:
        bounds[first, second] = min(bounds[first, second], _bite(mol, cation, (first, second)))
    return bounds if DistanceGeometry.DoTriangleSmoothing(bounds) else None


def _place(atoms: Atoms, cation: str, site: Site, random: np.random.Generator) -> bool:
    """Append the cation to `atoms` at its site, at random among the points free of clashes. False: there is none."""
    points = (
        _around_one(atoms, cation, site.donors[0]) if len(site.donors) == 1 else _around_two(atoms, cation, site.donors)
    )
    others = [i for i in range(len(atoms)) if i not in site.donors]
    nearest = CLASH * np.array([_contact(cation, atoms.symbols[i]) for i in others])
    lengths = np.linalg.norm(points[:, None] - atoms.positions[others][None], axis=2)
    free = np.flatnonzero((lengths >= nearest).all(axis=1))
    if not len(free):
        return False
    atoms.extend(Atoms(cation, [points[int(random.choice(free))]]))
    return True


def _around_one(atoms: Atoms, cation: str, donor: int) -> np.ndarray:
    """Points (N_DIRECTIONS, 3) at contact distance all around a donor: a Fibonacci lattice on the sphere."""
    k = np.arange(N_DIRECTIONS) + 0.5
    z = 1 - 2 * k / N_DIRECTIONS
    angle = np.pi * (1 + np.sqrt(5.0)) * k
    rim = np.sqrt(1 - z**2)
    directions = np.stack([rim * np.cos(angle), rim * np.sin(angle), z], axis=1)
    return atoms.positions[donor] + _contact(cation, atoms.symbols[donor]) * directions


def _around_two(atoms: Atoms, cation: str, donors: tuple[int, ...]) -> np.ndarray:
    """Points (N_ANGLES, 3) at equal distance from two donors, at contact distance where the bite allows it."""
    first, second = atoms.positions[list(donors)]
    middle, axis = (first + second) / 2, second - first
    contact = sum(_contact(cation, atoms.symbols[i]) for i in donors) / 2
    radius = np.sqrt(max(contact**2 - (axis @ axis) / 4, 0.0))
    side = np.linalg.svd(axis[None])[2][1:]  # two unit vectors normal to the axis
    angle = 2 * np.pi * np.arange(N_ANGLES) / N_ANGLES
    return middle + radius * (np.cos(angle)[:, None] * side[0] + np.sin(angle)[:, None] * side[1])
