"""What holds an adsorbate (tag 1) to a slab (other tags): hydrogen bonds, bonds, contacts with metal atoms. Lengths in Angstrom."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import get_distances

from crosstalk.structures.graphs import FORMED
from crosstalk.structures.molecules import COVALENT

#: A hydrogen bond: D-H...A with H...A at most so long and an angle at H of at least so many degrees (D, A: N, O, F): those
#: that are called moderate (Jeffrey 1997: 1.5 to 2.2 Angstrom, over 130 degrees; unverified), with some room in both.
HYDROGEN_BOND = 2.3
HYDROGEN_BOND_ANGLE = 120.0
POLAR = ("N", "O", "F")


@dataclass(frozen=True)
class Contacts:
    """hydrogen_bonds, bonds (between atoms that bond covalently) and metal_contacts: how many between adsorbate and slab;
    nearest: the shortest distance between an atom of the one and one of the other."""

    hydrogen_bonds: int
    bonds: int
    metal_contacts: int
    nearest: float


def between(atoms: Atoms) -> Contacts:
    """Contacts of adsorbate and slab, periodic images respected."""
    adsorbate = atoms.get_tags() == 1
    mine, theirs = np.flatnonzero(adsorbate), np.flatnonzero(~adsorbate)
    _, lengths = get_distances(atoms.positions[mine], atoms.positions[theirs], cell=atoms.cell, pbc=atoms.pbc)
    sums = covalent_radii[atoms.numbers[mine]][:, None] + covalent_radii[atoms.numbers[theirs]][None, :]
    covalent = np.array([symbol in COVALENT for symbol in atoms.symbols], dtype=bool)
    both = covalent[mine][:, None] & covalent[theirs][None, :]
    return Contacts(
        hydrogen_bonds=_hydrogen_bonds(atoms, mine, theirs) + _hydrogen_bonds(atoms, theirs, mine),
        bonds=int((both & (lengths < FORMED * sums)).sum()),
        metal_contacts=int((~both & (lengths < FORMED * sums)).sum()),
        nearest=float(lengths.min()),
    )


def _hydrogen_bonds(atoms: Atoms, donors: np.ndarray, acceptors: np.ndarray) -> int:
    """Hydrogen bonds from the polar hydrogens of one side to the polar atoms of the other."""
    symbols = np.array(atoms.symbols)
    polar = np.isin(symbols, POLAR)
    count = 0
    for hydrogen in donors[symbols[donors] == "H"]:
        others = donors[polar[donors]]
        accepting = acceptors[polar[acceptors]]
        if not len(others) or not len(accepting):
            continue
        to_donor, lengths = _vectors(atoms, hydrogen, others)
        donor = int(np.argmin(lengths))
        if lengths[donor] > FORMED * (covalent_radii[1] + covalent_radii[atoms.numbers[others[donor]]]):
            continue
        to_acceptors, distances = _vectors(atoms, hydrogen, accepting)
        cosines = to_acceptors @ to_donor[donor] / (distances * lengths[donor])
        count += int(((distances <= HYDROGEN_BOND) & (cosines <= np.cos(np.radians(HYDROGEN_BOND_ANGLE)))).sum())
    return count


def _vectors(atoms: Atoms, one: int, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vectors, lengths = get_distances(atoms.positions[[one]], atoms.positions[others], cell=atoms.cell, pbc=atoms.pbc)
    return vectors[0], lengths[0]
