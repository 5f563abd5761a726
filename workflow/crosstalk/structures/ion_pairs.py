"""Ion pairs: an embedded main fragment with monatomic cations around its donor atoms. Pure functions of their arguments.

RDKit embeds the main fragment alone; a cation sits at the sum of covalent radii (Li-O 1.94 Angstrom) from one donor atom
or from two. Where two donors far apart in the graph are to hold one cation, the main fragment is embedded with their
distance bounded to what the cation can span.
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
#: Widest bite of a chelate and nearest contact to an atom that does not donate, as factors of the sum of radii to the cation.
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
    return dict(sorted(found.items(), key=lambda item: (-item[1], DONORS.index(mol.GetAtomWithIdx(item[0]).GetSymbol())
                                                       if mol.GetAtomWithIdx(item[0]).GetSymbol() in DONORS else 0, item[0])))


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
        return TERMINAL
    return OTHER
