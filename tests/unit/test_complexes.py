"""Starting structures of two species in contact: laws, no engine."""

import numpy as np
import pytest
from ase import Atoms

from crosstalk.structures import complexes, graphs, molecules

EC, HEXAFLUOROPHOSPHATE = "O=C1OCCO1", "F[P-](F)(F)(F)(F)F"
PAIRS = [
    [EC, HEXAFLUOROPHOSPHATE],
    ["CCOC(=O)OC", "[Li+]"],
    ["[F-]", "O"],
    ["[Li+].COC([O-])=O", EC],
    ["O", "O"],
]


def gap_of(smiles: list[str], atoms: Atoms) -> float:
    """Smallest distance between the two minus the sum of van der Waals radii, Angstrom."""
    n = len(molecules.symbols_of(smiles[0]))
    lengths = np.linalg.norm(atoms.positions[:n, None] - atoms.positions[None, n:], axis=2)
    return float((lengths - complexes._sums(atoms[:n], atoms[n:])).min())


@pytest.mark.parametrize("smiles", PAIRS)
def test_first_species_then_second_with_no_bond_between(smiles):
    n = len(molecules.symbols_of(smiles[0]))
    assert complexes.symbols_of_complex(smiles) == [*molecules.symbols_of(smiles[0]), *molecules.symbols_of(smiles[1])]
    assert [atom.GetSymbol() for atom in complexes.whole_complex(smiles).GetAtoms()] == complexes.symbols_of_complex(
        smiles
    )
    bonds = complexes.bonds_of_complex(smiles)
    assert {pair for pair in bonds if pair[1] < n} == molecules.bonds_of(smiles[0])
    assert {(i - n, j - n) for i, j in bonds if i >= n} == molecules.bonds_of(smiles[1])
    assert all((i < n) == (j < n) for i, j in bonds)
    assert complexes.charge_of_complex(smiles) == sum(map(molecules.charge_of, smiles))


@pytest.mark.parametrize("smiles", PAIRS)
def test_the_two_touch_without_overlap(smiles):
    for index in range(6):
        start = complexes.start(smiles, 7, index)
        assert start.get_chemical_symbols() == complexes.symbols_of_complex(smiles)
        assert graphs.against(complexes.bonds_of_complex(smiles), start).status == "ok"
        assert gap_of(smiles, start) == pytest.approx(0.0, abs=1e-9)
        assert complexes.parted(smiles, start) == ""


def test_starts_depend_on_seed_and_index_alone_and_come_from_all_sides():
    smiles = [EC, HEXAFLUOROPHOSPHATE]
    starts = [complexes.start(smiles, 7, k) for k in range(12)]
    assert (complexes.start(smiles, 7, 3).positions == starts[3].positions).all()
    assert not np.allclose(complexes.start(smiles, 8, 3).positions, starts[3].positions)
    sides = [start.positions[10:].mean(axis=0) - start.positions[:10].mean(axis=0) for start in starts]
    directions = np.array([side / np.linalg.norm(side) for side in sides])
    assert (directions @ directions.T).min() < -0.5


def test_what_drifts_apart_is_named():
    smiles = [EC, HEXAFLUOROPHOSPHATE]
    start = complexes.start(smiles, 7, 0)
    away = start.positions[10:].mean(axis=0) - start.positions[:10].mean(axis=0)
    far = start.copy()
    far.positions[10:] += 6 * away / np.linalg.norm(away)
    assert "came apart" in complexes.parted(smiles, far)


def test_a_cation_may_change_its_donors_but_not_lose_all():
    smiles = ["[Li+].COC([O-])=O", "O"]
    start = complexes.start(smiles, 7, 0)
    cation, water = 8, 9
    start.positions[cation] = start.positions[water] + [0, 0, 1.9]
    assert "left its donors" not in complexes.parted(smiles, start)
    start.positions[cation] = start.positions[water] + [0, 0, 30.0]
    assert "left its donors" in complexes.parted(smiles, start)


def test_the_guest_stops_at_the_first_contact():
    """Two single atoms on one line meet at the sum of their radii; off the line, nearer along it."""
    host, guest = Atoms("F", [[0, 0, 0]]), Atoms("O", [[0, 0, 0]])
    reach = complexes._sums(host, guest)[0, 0]
    along = np.array([0.0, 0.0, 1.0])
    assert complexes.touching(host, guest, np.zeros(3), along) == pytest.approx(reach)
    aside = complexes.touching(host, guest, np.array([1.0, 0.0, 0.0]), along)
    assert aside == pytest.approx(np.sqrt(reach**2 - 1.0))
