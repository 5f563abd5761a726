"""Molecules from SMILES: composition, charge, fragments, atom order. No geometry.

The atom order of a species is fixed here and nowhere else: the main fragment in the order of its SMILES with the
hydrogens last, then the monatomic cations in the order of the SMILES. Salts are written with their ions apart
("[Li+].COC([O-])=O"): a covalently written bond to a metal is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit import Chem

#: Elements that form covalent bonds in the sense of this package. All others (metals) are held by ionic contacts.
COVALENT = frozenset(["H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Ge", "As", "Se", "Br", "Te", "I"])


@dataclass(frozen=True)
class Fragments:
    """A species cut at the dots of its SMILES.

    main     SMILES of the one fragment that is no monatomic cation; of the cation itself when there is nothing else
    cations  SMILES of the monatomic cations beside it, in their order
    """

    main: str
    cations: tuple[str, ...]


@lru_cache(maxsize=4096)
def _parsed(smiles: str) -> "Chem.Mol":
    from rdkit import Chem, rdBase

    if not smiles or smiles != "".join(smiles.split()):
        raise ValueError(f"'{smiles}' is no SMILES: it is empty or holds spaces")
    with rdBase.BlockLogs():
        rough = Chem.MolFromSmiles(smiles, sanitize=False)
        if rough is None:
            raise ValueError(f"'{smiles}' cannot be read as SMILES (brackets, ring numbers or element symbols)")
        problems = [problem.Message() for problem in Chem.DetectChemistryProblems(rough)]
        if problems:
            raise ValueError(f"'{smiles}' is no possible molecule: {'; '.join(problems)}")
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0:
            raise ValueError(f"'{smiles}' holds the wildcard atom '*'")
        if atom.GetDegree() and atom.GetSymbol() not in COVALENT:
            raise ValueError(
                f"'{smiles}' draws a covalent bond to {atom.GetSymbol()}: write the ions apart, as in [Li+].[OH-]"
            )
    return mol


def parse(smiles: str) -> "Chem.Mol":
    """RDKit molecule with explicit hydrogens (a copy of its own). Raises ValueError with the reason."""
    from rdkit import Chem

    return Chem.Mol(_parsed(smiles))


@lru_cache(maxsize=4096)
def fragments(smiles: str) -> Fragments:
    """The main fragment and the monatomic cations. Raises ValueError when there is not exactly one main fragment."""
    _parsed(smiles)
    main: list[str] = []
    cations: list[str] = []
    for part in smiles.split("."):
        (cations if _is_monatomic_cation(part) else main).append(part)
    if not main and len(cations) == 1:
        return Fragments(cations[0], ())
    if len(main) == 1:
        return Fragments(main[0], tuple(cations))
    found = "no fragment" if not main else f"{len(main)} fragments ({', '.join(main)})"
    raise ValueError(
        f"'{smiles}' has {found} beside its monatomic cations, and there must be one: "
        "give a geometry for complexes of several molecules or anions"
    )


def _is_monatomic_cation(smiles: str) -> bool:
    mol = _parsed(smiles)
    atom = mol.GetAtomWithIdx(0)
    return mol.GetNumAtoms() == 1 and atom.GetFormalCharge() > 0 and atom.GetSymbol() not in COVALENT


def is_metal_cation(smiles: str) -> bool:
    """True for a single positive metal ion, which sits on donor atoms instead of beside a molecule."""
    return "." not in smiles and _is_monatomic_cation(smiles)


def is_ion_pair(smiles: str) -> bool:
    """True for a main fragment with at least one monatomic cation apart. Raises ValueError as `fragments` does."""
    return bool(fragments(smiles).cations)


@lru_cache(maxsize=1024)
def _whole(smiles: str) -> "Chem.Mol":
    from rdkit import Chem

    parts = fragments(smiles)
    mol = _parsed(parts.main)
    for cation in parts.cations:
        mol = Chem.CombineMols(mol, _parsed(cation))
    mol = Chem.Mol(mol)
    Chem.SanitizeMol(mol)  # ring information is lost in the combination
    return mol


def whole(smiles: str) -> "Chem.Mol":
    """RDKit molecule with hydrogens in the atom order of the steps (a copy of its own)."""
    from rdkit import Chem

    return Chem.Mol(_whole(smiles))


def symbols_of(smiles: str) -> list[str]:
    """Chemical symbols in the atom order of the steps: main fragment, its hydrogens, then the cations."""
    return [atom.GetSymbol() for atom in _whole(smiles).GetAtoms()]


def bonds_of(smiles: str) -> frozenset[tuple[int, int]]:
    """Covalent bonds (i < j) in the atom order of the steps."""
    pairs = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in _whole(smiles).GetBonds()]
    return frozenset((min(pair), max(pair)) for pair in pairs)


def charge_of(smiles: str) -> int:
    """Sum of the formal charges, e."""
    from rdkit import Chem

    return Chem.GetFormalCharge(_parsed(smiles))


def canonical_smiles(smiles: str) -> str:
    """RDKit's canonical SMILES: equal for two spellings of one species. Its atom order is not that of the steps."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return Chem.MolToSmiles(Chem.RemoveHs(_parsed(smiles)))


def n_electrons(symbols: Sequence[str], charge: int) -> int:
    """Number of all electrons of atoms with a total charge in e."""
    from ase.data import atomic_numbers

    return sum(atomic_numbers[symbol] for symbol in symbols) - charge


def multiplicity_fits(n_electrons: int, multiplicity: int) -> bool:
    """True when 2S+1 = `multiplicity` is possible for that number of electrons: right parity, enough electrons."""
    unpaired = multiplicity - 1
    return 0 <= unpaired <= n_electrons and (n_electrons - unpaired) % 2 == 0


def n_rotors(smiles: str) -> int:
    """Acyclic single bonds whose rotation moves more than a terminal atom or a methyl group; O-H, N-H, S-H count."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = Chem.RemoveHs(_parsed(fragments(smiles).main))
    single = [bond for bond in mol.GetBonds() if bond.GetBondType() == Chem.BondType.SINGLE and not bond.IsInRing()]
    return sum(_turns(bond.GetBeginAtom()) and _turns(bond.GetEndAtom()) for bond in single)


def _turns(atom: "Chem.Atom") -> bool:
    """True for the end of a bond whose rotation can be seen: it has other neighbours, not just hydrogens on carbon."""
    from rdkit import Chem

    if atom.GetHybridization() == Chem.HybridizationType.SP:
        return False
    return atom.GetDegree() > 1 or (atom.GetSymbol() in ("O", "N", "S") and atom.GetTotalNumHs() > 0)


def ring_torsions(smiles: str) -> int:
    """Independent puckering coordinates: ring size minus three, summed over rings without aromatic bonds."""
    mol = _parsed(fragments(smiles).main)
    rings = mol.GetRingInfo().BondRings()
    return sum(len(ring) - 3 for ring in rings if not any(mol.GetBondWithIdx(i).GetIsAromatic() for i in ring))


@dataclass(frozen=True)
class OpenStereo:
    """Stereo elements that a SMILES leaves open: atoms and bonds (as atom pairs), by their index in the SMILES.

    n_centres is the number of all stereocentres, specified ones included.
    """

    centres: tuple[int, ...]
    double_bonds: tuple[tuple[int, int], ...]
    n_centres: int


def open_stereo(smiles: str) -> OpenStereo:
    """Stereocentres and double bonds whose configuration a SMILES leaves open; fragments may be apart."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = Chem.RemoveHs(_parsed(smiles))
        found = list(Chem.FindPotentialStereo(mol))
    atoms = [info for info in found if info.type.name.startswith("Atom_") and not _resonant(mol, info.centeredOn)]
    bonds = [mol.GetBondWithIdx(info.centeredOn) for info in found if info.type.name == "Bond_Double" and _open(info)]
    return OpenStereo(
        tuple(sorted(info.centeredOn for info in atoms if _open(info))),
        tuple(sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds)),
        len(atoms),
    )


def _open(info: "Chem.StereoInfo") -> bool:
    return info.specified.name != "Specified"


def _resonant(mol: "Chem.Mol", centre: int) -> bool:
    """True for an atom with two terminal neighbours of one element: no stereocentre, though the formula draws them
    differently (=O and -O- at phosphorus)."""
    ends = [(n.GetSymbol(), n.GetTotalNumHs()) for n in mol.GetAtomWithIdx(centre).GetNeighbors() if n.GetDegree() == 1]
    return len(set(ends)) < len(ends)


def refuse_open_stereo(*smiles: str) -> None:
    """Raise ValueError where species that are searched together would mix diastereomers, with advice.

    One open centre and no other is fine: its two configurations are mirror images, and have one energy.
    """
    found = [open_stereo(one) for one in smiles]
    n_centres = sum(one.n_centres for one in found)
    for text, one in zip(smiles, found, strict=True):
        if one.double_bonds:
            pairs = ", ".join(f"{i}={j}" for i, j in one.double_bonds)
            raise ValueError(
                f"'{text}' leaves the double bond {pairs} (atoms counted from 0) open: write E or Z, as in F/C=C/F"
            )
        if one.centres and n_centres > 1:
            atoms = ", ".join(map(str, one.centres))
            raise ValueError(
                f"'{text}' leaves the stereocentres at atoms {atoms} (counted from 0) open, which would mix "
                f"diastereomers ({n_centres} stereocentres in all): write them, as in C[C@H](O)[C@@H](C)F"
            )
