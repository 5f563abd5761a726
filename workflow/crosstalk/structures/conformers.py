"""Conformers: embeddings to start from, and what makes two relaxed ones the same. Pure functions of their arguments."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations
from math import gcd, lcm
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from crosstalk.errors import PhysicsFailure
from crosstalk.structures import graphs, molecules
from crosstalk.units import BOLTZMANN_EV_PER_K, ROOM_TEMPERATURE_K, kcal_mol_to_ev

if TYPE_CHECKING:
    from rdkit import Chem

#: Two minima are one when they agree in all three: energy (eV), rotational constants (relative), RMSD (Angstrom).
SAME_ENERGY_EV = kcal_mol_to_ev(0.05)
SAME_ROTATION = 0.01
SAME_RMSD = 0.125
#: Permutations of equivalent atoms tried over all atoms; molecules with more are compared by their heavy atoms alone.
MAX_PERMUTATIONS = 10_000
#: A map between two geometries changes no distance by more than this (Angstrom), or it is no candidate for an isometry.
NEAR_DISTANCE = 4 * SAME_RMSD
#: Starts for each of the three minima that a rotor typically has.
STARTS_PER_MINIMUM = 4
MAX_ATTEMPTS = 20


def seed_of(*parts: int | str) -> int:
    """A 31-bit seed from a hash of its parts: start k has its own, so more starts never change the earlier ones."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()
    return int(digest[:8], 16) & 0x7FFFFFFF


def n_starts(smiles: str, max_embeddings: int) -> int:
    """Number of embeddings: STARTS_PER_MINIMUM * 3^(rotors + half the ring torsions), at most `max_embeddings`."""
    if len(molecules.symbols_of(smiles)) == 1:
        return 1
    flexible = molecules.n_rotors(smiles) + molecules.ring_torsions(smiles) / 2
    return int(min(max_embeddings, np.ceil(STARTS_PER_MINIMUM * 3.0**flexible)))


def starts(smiles: str, max_embeddings: int, seed: int) -> list[Atoms]:
    """Embedded conformers in the atom order of the steps. Raises PhysicsFailure when RDKit finds no embedding."""
    return [start(smiles, seed, k) for k in range(n_starts(smiles, max_embeddings))]


def start(smiles: str, seed: int, index: int, free: bool = False) -> Atoms:
    """Embedded conformer `index` (`free`: see `embed`); it depends on the seed and the index alone.

    Raises PhysicsFailure as `starts`.
    """
    return Atoms(molecules.symbols_of(smiles), embed(molecules.whole(smiles), seed, index, free=free))


def embed(mol: "Chem.Mol", seed: int, index: int, bounds: np.ndarray | None = None, free: bool = False) -> np.ndarray:
    """Positions (n, 3) of embedding `index`, Angstrom: ETKDGv3, in every other one without its torsion preferences.

    The preferences come from crystals and would leave out what is rare there. RDKit's distance bounds keep esters and
    amides in their Z form even then; `free` lifts that too, in the same embeddings, and turns their bonds at random.
    `bounds` is a distance bounds matrix (upper triangle: largest, lower: smallest distances) in place of RDKit's own.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom

    if mol.GetNumAtoms() == 1:
        return np.zeros((1, 3))
    parameters: Any = rdDistGeom.ETKDGv3()
    free = free and bounds is None and index % 2 == 1
    if bounds is None and any(atom.GetDegree() > 4 for atom in mol.GetAtoms()):
        bounds = distance_bounds(mol)
    if bounds is not None:
        parameters.SetBoundsMat(bounds)
    symbols = [atom.GetSymbol() for atom in mol.GetAtoms()]
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    expected = [(min(pair), max(pair)) for pair in bonds]
    for attempt in range(MAX_ATTEMPTS):
        if index % 2:
            parameters.useExpTorsionAnglePrefs = parameters.useMacrocycleTorsions = attempt >= MAX_ATTEMPTS // 2
            parameters.forceTransAmides = not free
        parameters.randomSeed = seed_of(seed, index, attempt)
        parameters.useRandomCoords = attempt > 0
        trial = Chem.Mol(mol)
        with rdBase.BlockLogs():
            failed = rdDistGeom.EmbedMolecule(trial, parameters)
            if free and not failed and attempt < MAX_ATTEMPTS // 2:
                turn_at_random(trial, np.random.default_rng(seed_of(seed, "turn", index, attempt)))
        # Around hypervalent atoms RDKit may put neighbours on top of each other: that would start as another molecule.
        if not failed and graphs.against(expected, Atoms(symbols, trial.GetConformer().GetPositions())).status == "ok":
            return trial.GetConformer().GetPositions()
    name = Chem.MolToSmiles(Chem.RemoveHs(mol))
    raise PhysicsFailure("absent", f"RDKit found no embedding of {name} in {MAX_ATTEMPTS} attempts: give a geometry")


def turn_at_random(mol: "Chem.Mol", random: np.random.Generator) -> None:
    """Turn the acyclic single bonds of the conformer in `mol` to dihedrals drawn evenly from the circle."""
    from rdkit import Chem
    from rdkit.Chem import rdMolTransforms

    conformer, sp = mol.GetConformer(), Chem.HybridizationType.SP
    for bond in mol.GetBonds():
        ends = bond.GetBeginAtom(), bond.GetEndAtom()
        if (
            bond.GetBondType() != Chem.BondType.SINGLE
            or bond.IsInRing()
            or any(e.GetHybridization() == sp for e in ends)
        ):
            continue
        j, k = (end.GetIdx() for end in ends)
        before = sorted(n.GetIdx() for n in ends[0].GetNeighbors() if n.GetIdx() != k)
        after = sorted(n.GetIdx() for n in ends[1].GetNeighbors() if n.GetIdx() != j)
        if before and after:
            rdMolTransforms.SetDihedralDeg(conformer, before[0], j, k, after[0], float(random.uniform(-180.0, 180.0)))


def distance_bounds(mol: "Chem.Mol") -> np.ndarray:
    """RDKit's bounds (upper triangle: largest, lower: smallest distances, Angstrom), mended around hypervalent atoms.

    RDKit takes a centre of five or six neighbours for a tetrahedron and lets them touch. Two neighbours of such a
    centre are kept at 80 degrees or more, and may face each other.
    """
    from rdkit import rdBase
    from rdkit.Chem import rdDistGeom

    with rdBase.BlockLogs():
        bounds = rdDistGeom.GetMoleculeBoundsMatrix(mol)
    for centre in mol.GetAtoms():
        around = sorted(atom.GetIdx() for atom in centre.GetNeighbors())
        for i, j in combinations(around if len(around) > 4 else [], 2):
            arms = [bounds[min(k, centre.GetIdx()), max(k, centre.GetIdx())] for k in (i, j)]
            bounds[j, i] = np.sqrt(arms[0] ** 2 + arms[1] ** 2 - 2 * arms[0] * arms[1] * np.cos(np.radians(80.0)))
            bounds[i, j] = sum(arms)
    return bounds


# -- what is the same ---------------------------------------------------------------------------------------------


def with_positions(mol: "Chem.Mol", positions: np.ndarray) -> "Chem.Mol":
    """A copy of `mol` with one conformer at `positions` (n, 3), Angstrom."""
    from rdkit import Chem

    copy = Chem.Mol(mol)
    copy.RemoveAllConformers()
    conformer = Chem.Conformer(mol.GetNumAtoms())
    conformer.SetPositions(np.ascontiguousarray(positions, dtype=float))
    copy.AddConformer(conformer, assignId=True)
    return copy


def _compared(mol: "Chem.Mol") -> list[int]:
    """Atoms whose RMSD is compared: all, or the heavy ones where equivalent hydrogens permute in too many ways."""
    matches = mol.GetSubstructMatches(mol, uniquify=False, maxMatches=MAX_PERMUTATIONS + 1)
    if len(matches) <= MAX_PERMUTATIONS:
        return list(range(mol.GetNumAtoms()))
    return [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() > 1]


def rmsd(mol: "Chem.Mol", first: np.ndarray, second: np.ndarray) -> float:
    """Smallest RMSD over rotations, reflections and permutations of equivalent atoms, Angstrom."""
    return min(_proper_rmsd(mol, first, second), _proper_rmsd(mol, first * [-1.0, 1.0, 1.0], second))


def is_chiral(mol: "Chem.Mol", positions: np.ndarray) -> bool:
    """True when a geometry differs from its mirror image by more than SAME_RMSD."""
    return _proper_rmsd(mol, positions * [-1.0, 1.0, 1.0], positions) > SAME_RMSD


def _proper_rmsd(mol: "Chem.Mol", first: np.ndarray, second: np.ndarray) -> float:
    """As `rmsd`, without reflections."""
    from rdkit import Chem
    from rdkit.Chem import rdMolAlign

    if mol.GetNumAtoms() == 1:
        return 0.0
    probe, reference = with_positions(mol, first), with_positions(mol, second)
    if len(_compared(mol)) < mol.GetNumAtoms():
        probe, reference = Chem.RemoveAllHs(probe), Chem.RemoveAllHs(reference)
    return float(rdMolAlign.GetBestRMS(probe, reference, maxMatches=MAX_PERMUTATIONS))


def _same(mol: "Chem.Mol", first: Atoms, second: Atoms) -> bool:
    """Rotational constants and RMSD agree (energies were compared before)."""
    one, two = first.get_moments_of_inertia(), second.get_moments_of_inertia()
    if np.abs(one - two).max() > SAME_ROTATION * max(one.max(), two.max()):
        return False
    thin = np.minimum(one, two) < SAME_ROTATION * one.max()  # the axis of a (nearly) linear molecule
    if (np.abs(one - two) > SAME_ROTATION * np.maximum(one, two))[~thin].any():
        return False
    return rmsd(mol, first.positions, second.positions) < SAME_RMSD


def same(mol: "Chem.Mol", first: Atoms, second: Atoms, gap_ev: float) -> bool:
    """True when two minima whose energies differ by `gap_ev` are one: energy, rotational constants and RMSD agree."""
    return abs(gap_ev) < SAME_ENERGY_EV and _same(mol, first, second)


def grouped(mol: "Chem.Mol", structures: Sequence[Atoms], energies: Sequence[float]) -> list[list[int]]:
    """Indices of the structures that are one minimum, the lowest of each first; minima ascending in energy (eV)."""
    groups: list[list[int]] = []
    for index in sorted(range(len(structures)), key=lambda k: (energies[k], k)):
        for group in groups:
            if same(mol, structures[index], structures[group[0]], energies[index] - energies[group[0]]):
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def distinct(mol: "Chem.Mol", structures: Sequence[Atoms], energies: Sequence[float]) -> list[int]:
    """Indices of the distinct minima, ascending in energy (eV); of equals the lowest. Mirror images are one."""
    return [group[0] for group in grouped(mol, structures, energies)]


# -- how often a minimum occurs -----------------------------------------------------------------------------------


def degeneracies(structures: Sequence[Atoms], bonds: Collection[tuple[int, int]]) -> list[int]:
    """How many labelled minima share each shape, relative to each other (greatest common divisor 1).

    Permutations of equivalent atoms and the inversion of space (a group of order 2 N) turn a minimum into all
    labelled minima of its shape, rotamers and mirror images alike; those that a rotation or reflection undoes leave
    it as it is, and they make up its point group. So there are 2 N / (order of the point group) of them. Symmetry
    numbers are thereby counted: a partition function that takes these degeneracies must not divide by them again.
    """
    orders = [symmetry_order(atoms, bonds) for atoms in structures]
    shares = [lcm(*orders) // order for order in orders]
    return [share // gcd(*shares) for share in shares]


def symmetry_order(atoms: Atoms, bonds: Collection[tuple[int, int]]) -> int:
    """Order of the point group of a geometry, as far as nuclei tell (of a linear one: 2 or 4, not infinite).

    Counted are the pairs of an automorphism of the graph of elements and bonds and a handedness (proper, improper)
    that map the geometry onto itself within SAME_RMSD. Where a near symmetry leaves a set that is no group, the
    worst of them are left out until it is one.
    """
    found: list[tuple[float, tuple[int, ...], int]] = []
    for image in _near_isometries(atoms, bonds):
        for handedness, deviation in zip((1, -1), _fits(atoms.positions, atoms.positions[list(image)]), strict=True):
            if deviation < SAME_RMSD:
                found.append((round(deviation, 6), image, handedness))
    found.sort()
    while not _is_group({(image, handedness) for _, image, handedness in found}):
        worst = found[-1][0]
        found = [entry for entry in found if entry[0] < worst]
    return len(found)


def _is_group(elements: set[tuple[tuple[int, ...], int]]) -> bool:
    """True when the product of any two elements is among them (enough for a finite set of permutations)."""
    return all((tuple(a[i] for i in b), left * right) in elements for a, left in elements for b, right in elements)


def _fits(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """RMSD (Angstrom) of two sets of positions (n, 3), best rotation; and with the second one reflected."""
    one, two = first - first.mean(axis=0), second - second.mean(axis=0)
    left, singular, right = np.linalg.svd(one.T @ two)
    sign = np.sign(np.linalg.det(left) * np.linalg.det(right))
    total = (one**2).sum() + (two**2).sum()
    proper, improper = (
        float(np.sqrt(max(total - 2 * (singular[0] + singular[1] + s * singular[2]), 0.0) / len(one)))
        for s in (sign, -sign)
    )
    return proper, improper


def _near_isometries(atoms: Atoms, bonds: Iterable[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
    """Automorphisms of the graph of elements and bonds that change no distance by more than NEAR_DISTANCE.

    Atom by atom along the bonds, so that distances rule out nearly all of the (possibly very many) automorphisms as
    soon as they begin. Bond orders and formal charges do not count: the oxygens of a carboxylate are equivalent.
    """
    n = len(atoms)
    bonded = np.zeros((n, n), dtype=bool)
    for i, j in bonds:
        bonded[i, j] = bonded[j, i] = True
    lengths = atoms.get_all_distances()
    kind = np.stack([atoms.numbers, bonded.sum(axis=1)], axis=1)
    alike = (kind[:, None] == kind[None]).all(axis=2)
    order = _walk(bonded)

    def extended(image: list[int]) -> Iterator[tuple[int, ...]]:
        if len(image) == n:
            yield tuple(image[order.index(i)] for i in range(n))
            return
        done, atom = order[: len(image)], order[len(image)]
        fits = alike[atom] & (bonded[:, image] == bonded[atom, done]).all(axis=1)
        fits &= (np.abs(lengths[:, image] - lengths[atom, done]) < NEAR_DISTANCE).all(axis=1)
        for candidate in np.flatnonzero(fits).tolist():
            if candidate not in image:
                yield from extended([*image, candidate])

    yield from extended([])


def _walk(bonded: np.ndarray) -> list[int]:
    """All atoms, each beside an earlier one where it can be; atoms of many bonds first."""
    order: list[int] = []
    while len(order) < len(bonded):
        left = [i for i in range(len(bonded)) if i not in order]
        order.append(max(left, key=lambda i: (bool(bonded[i, order].any()), int(bonded[i].sum()), -i)))
    return order


def weights(
    relative_energies: Sequence[float], degeneracies: Sequence[int], temperature_k: float = ROOM_TEMPERATURE_K
) -> list[float]:
    """Boltzmann weights from relative energies (eV) and relative degeneracies; sum 1."""
    factors = np.array(degeneracies) * np.exp(-np.array(relative_energies) / (BOLTZMANN_EV_PER_K * temperature_k))
    return (factors / factors.sum()).tolist()


def oriented(atoms: Atoms) -> Atoms:
    """A copy with tags 0, centre of mass at the origin and principal axes of inertia along x, y, z (moments ascending).

    An axis points to where the third moment of the masses is positive; where symmetry makes it vanish, to the side of
    the first atom off the axis' nodal plane. The handedness is kept: z follows from x and y.
    """
    result = Atoms(atoms.symbols, atoms.positions - atoms.get_center_of_mass())
    if len(result) == 1:
        return result
    _, axes = result.get_moments_of_inertia(vectors=True)
    masses = result.get_masses()
    for row in (0, 1):
        along = result.positions @ axes[row]
        third = float(masses @ along**3) / masses.sum()
        if abs(third) < 1e-3:
            off = along[np.abs(along) > 1e-2]
            third = float(off[0]) if len(off) else 1.0
        axes[row] *= np.sign(third)
    axes[2] = np.cross(axes[0], axes[1])
    result.positions = result.positions @ axes.T
    return result
