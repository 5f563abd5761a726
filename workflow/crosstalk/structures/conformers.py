"""Conformers: embeddings to start from, and what makes two relaxed ones the same. Pure functions of their arguments."""

import hashlib
from collections.abc import Sequence
from itertools import combinations
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
    mol = molecules.whole(smiles)
    symbols = molecules.symbols_of(smiles)
    return [Atoms(symbols, embed(mol, seed, k)) for k in range(n_starts(smiles, max_embeddings))]


def embed(mol: "Chem.Mol", seed: int, index: int, bounds: np.ndarray | None = None) -> np.ndarray:
    """Positions (n, 3) of embedding `index`, Angstrom: ETKDGv3, in every other one without its torsion preferences.

    The preferences come from crystals and would leave out what is rare there, such as the E forms of esters.
    `bounds` is a distance bounds matrix (upper triangle: largest, lower: smallest distances) in place of RDKit's own.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom

    if mol.GetNumAtoms() == 1:
        return np.zeros((1, 3))
    parameters: Any = rdDistGeom.ETKDGv3()
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
        parameters.randomSeed = seed_of(seed, index, attempt)
        parameters.useRandomCoords = attempt > 0
        trial = Chem.Mol(mol)
        with rdBase.BlockLogs():
            failed = rdDistGeom.EmbedMolecule(trial, parameters)
        # Around hypervalent atoms RDKit may put neighbours on top of each other: that would start as another molecule.
        if not failed and graphs.against(expected, Atoms(symbols, trial.GetConformer().GetPositions())).status == "ok":
            return trial.GetConformer().GetPositions()
    name = Chem.MolToSmiles(Chem.RemoveHs(mol))
    raise PhysicsFailure("absent", f"RDKit found no embedding of {name} in {MAX_ATTEMPTS} attempts: give a geometry")


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


def distinct(mol: "Chem.Mol", structures: Sequence[Atoms], energies: Sequence[float]) -> list[int]:
    """Indices of the distinct minima, ascending in energy (eV); of equals the lowest. Mirror images are one."""
    kept: list[int] = []
    for index in sorted(range(len(structures)), key=lambda k: (energies[k], k)):
        near = [k for k in kept if energies[index] - energies[k] < SAME_ENERGY_EV]
        if not any(_same(mol, structures[index], structures[k]) for k in near):
            kept.append(index)
    return kept


def weights(
    relative_energies: Sequence[float], degeneracies: Sequence[int], temperature_k: float = ROOM_TEMPERATURE_K
) -> list[float]:
    """Boltzmann weights from relative energies (eV) and degeneracies (2 for a chiral geometry, else 1); sum 1."""
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
