"""Molecules from SMILES, and the starting structures built from them: laws, no engine."""

from itertools import combinations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

from crosstalk.structures import conformers, graphs, ion_pairs, molecules

CARBONATE = "[Li+].[Li+].[O-]C([O-])=O"
DICARBONATE = "[Li+].[Li+].[O-]C(=O)OCCOC([O-])=O"
SALTS = [CARBONATE, DICARBONATE, "[Li+].COC([O-])=O", "[Li+].[F-]", "[Na+].O", "[Li+].F[P-](F)(F)(F)(F)F"]


@pytest.mark.parametrize(
    ("smiles", "symbols", "charge"),
    [
        ("O", "OHH", 0),
        ("[Li+]", ["Li"], 1),
        ("[F-]", "F", -1),
        ("[Li+].[OH-]", ["O", "H", "Li"], 0),
        ("[O-]C([O-])=O.[Li+].[Na+]", ["O", "C", "O", "O", "Li", "Na"], 0),
        ("[Li+].CO", ["C", "O", "H", "H", "H", "H", "Li"], 1),
    ],
)
def test_main_fragment_then_hydrogens_then_cations(smiles, symbols, charge):
    assert molecules.symbols_of(smiles) == list(symbols)
    assert molecules.charge_of(smiles) == charge


@pytest.mark.parametrize(
    ("smiles", "pair"),
    [("O", False), ("[Li+]", False), ("[F-]", False), ("C[N+](C)(C)C", False), *((s, True) for s in SALTS)],
)
def test_ion_pairs_are_told_from_molecules(smiles, pair):
    assert molecules.is_ion_pair(smiles) is pair


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C1CC", "cannot be read"),
        ("", "empty"),
        ("O O", "spaces"),
        ("*C", "wildcard"),
        ("C(C)(C)(C)(C)C", "valence"),
        ("[Li]O", "covalent bond to Li"),
    ],
)
def test_what_is_no_species_is_refused_with_its_reason(smiles, reason):
    with pytest.raises(ValueError, match=reason):
        molecules.parse(smiles)


@pytest.mark.parametrize("smiles", ["O.O", "[Li+].[F-].[F-]", "[Li+].[Li+]", "C[N+](C)(C)C.[F-]"])
def test_a_species_has_one_main_fragment(smiles):
    with pytest.raises(ValueError, match="there must be one"):
        molecules.is_ion_pair(smiles)


def test_parse_gives_a_copy():
    molecules.parse("CO").GetAtomWithIdx(0).SetFormalCharge(3)
    assert molecules.charge_of("CO") == 0


def test_two_spellings_are_one_species():
    assert molecules.canonical_smiles("OCC") == molecules.canonical_smiles("C(C)O") != molecules.canonical_smiles("COC")


@pytest.mark.parametrize(
    ("symbols", "charge", "fitting"),
    [("OHH", 0, [1, 3]), ("OHH", 1, [2, 4]), (["Li"], 1, [1, 3]), ("H", 1, [1]), ("H", 0, [2])],
)
def test_multiplicities_have_the_parity_of_the_electrons(symbols, charge, fitting):
    electrons = molecules.n_electrons(symbols, charge)
    assert [m for m in range(-1, 5) if molecules.multiplicity_fits(electrons, m)] == fitting


@pytest.mark.parametrize(
    ("smiles", "rotors", "torsions"),
    [("C", 0, 0), ("CC", 0, 0), ("CO", 0, 0), ("CCO", 1, 0), ("CCOC(=O)OC", 3, 0), ("COP(=O)(F)OC", 2, 0),
     ("O=C1OCCO1", 0, 2), ("C1CCCCC1", 0, 3), ("c1ccccc1", 0, 0), ("CCC#CC", 0, 0), ("[Li+].OCC[O-]", 2, 0)],
)  # fmt: skip
def test_rotors_and_ring_torsions(smiles, rotors, torsions):
    assert (molecules.n_rotors(smiles), molecules.ring_torsions(smiles)) == (rotors, torsions)


# -- starting structures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "smiles", ["O", "[F-]", "O=C1OCCO1", "COP(=O)(F)OC", "F[P-](F)(F)(F)(F)F", "F[Si-2](F)(F)(F)(F)F"]
)
def test_embeddings_have_the_bonds_of_their_smiles(smiles):
    for start in conformers.starts(smiles, 6, seed=7):
        assert start.get_chemical_symbols() == molecules.symbols_of(smiles)
        assert graphs.against(molecules.bonds_of(smiles), start).status == "ok"


@pytest.mark.parametrize("smiles", SALTS)
def test_cations_touch_donors_and_nothing_clashes(smiles):
    donors, n_cations = ion_pairs.donors_of(smiles), len(molecules.fragments(smiles).cations)
    for start in ion_pairs.starts(smiles, 8, seed=7):
        assert start.get_chemical_symbols() == molecules.symbols_of(smiles)
        assert graphs.against(molecules.bonds_of(smiles), start).status == "ok"
        cations = range(len(start) - n_cations, len(start))
        assert graphs.lost_contacts(start, cations, donors) == ""
        distances = start.get_all_distances()
        assert all(distances[i, j] > 1.5 for i, j in combinations(range(len(start)), 2) if j in cations)


@pytest.mark.parametrize("build", [conformers.starts, ion_pairs.starts])
def test_more_starts_never_change_the_earlier_ones(build):
    smiles = "CCOC(=O)OC" if build is conformers.starts else DICARBONATE
    few, many, other = build(smiles, 3, 7), build(smiles, 6, 7), build(smiles, 3, 8)
    assert all((a.positions == b.positions).all() for a, b in zip(few, many, strict=False))
    assert not any(np.allclose(a.positions, b.positions) for a, b in zip(few, other, strict=True))


def test_negative_donors_come_first_and_cationic_nitrogen_never():
    carboxylate = ion_pairs.donors_of("[Li+].COC([O-])=O")
    assert list(carboxylate)[:2] == [3, 4]
    assert carboxylate[3] == carboxylate[4] > carboxylate[1]
    assert list(ion_pairs.donors_of("[Li+].C[N+](C)(C)CC([O-])=O")) == [6, 7]
    assert next(iter(ion_pairs.donors_of("[Li+].O=C1OCCO1"))) == 0


# -- what is the same -----------------------------------------------------------------------------------------------


def _turned(atoms: Atoms, mirror: bool = False) -> Atoms:
    positions = atoms.positions * ([1, 1, -1] if mirror else 1)
    return Atoms(atoms.symbols, Rotation.from_rotvec([0.3, -1.1, 2.0]).apply(positions) + np.array([1.0, 2.0, 3.0]))


def test_rotated_mirrored_and_permuted_geometries_are_one():
    mol = molecules.whole("CCO")
    start = conformers.starts("CCO", 1, 7)[0]
    methyl = [i for i, j in ((b, a) for a, b in molecules.bonds_of("CCO")) if j == 0 and i > 2]
    swapped = start.copy()
    swapped.positions[methyl] = start.positions[methyl[1:] + methyl[:1]]
    copies = [start, _turned(start), _turned(start, mirror=True), swapped]
    assert conformers.distinct(mol, copies, [0.0, 0.0, 0.0, 0.0]) == [0]


def test_energy_shape_and_order_tell_minima_apart():
    mol = molecules.whole("CCO")
    start = conformers.starts("CCO", 1, 7)[0]
    other = start.copy()
    other.set_dihedral(0, 1, 2, 8, start.get_dihedral(0, 1, 2, 8) + 120)
    assert conformers.distinct(mol, [start, start], [1.0, 0.0]) == [1, 0]
    assert conformers.distinct(mol, [start, other], [0.0, 0.0]) == [0, 1]
    assert conformers.distinct(mol, [start, other], [0.0, -1.0]) == [1, 0]


def test_a_gauche_geometry_is_chiral_and_a_flat_one_is_not():
    mol = molecules.whole("OO")
    positions = {angle: _peroxide(angle) for angle in (0, 100, 180)}
    assert [conformers.is_chiral(mol, positions[angle]) for angle in (0, 100, 180)] == [False, True, False]


def _peroxide(angle: float) -> np.ndarray:
    atoms = Atoms("OOHH", [[0, 0, 0], [1.45, 0, 0], [0, 0.96, 0], [1.45, 0.96, 0]])
    atoms.set_dihedral(2, 0, 1, 3, angle, indices=[3])
    return atoms.positions


def test_weights_sum_to_one_and_count_mirror_images():
    assert conformers.weights([0.0, 0.0], [2, 1]) == pytest.approx([2 / 3, 1 / 3])
    weights = conformers.weights([0.0, 0.05, 0.3], [1, 2, 1])
    assert sum(weights) == pytest.approx(1.0)
    hot = conformers.weights([0.0, 0.05, 0.3], [1, 2, 1], temperature_k=1e9)
    assert hot == pytest.approx([0.25, 0.5, 0.25], abs=1e-4)


@pytest.mark.parametrize("name", ["CH3CH2OH", "H2O", "CH4", "CO2", "C6H6", "HOCl"])
def test_orientation_forgets_how_a_molecule_lay(name):
    atoms = molecule(name)
    placed = conformers.oriented(atoms)
    assert placed.get_center_of_mass() == pytest.approx(0.0, abs=1e-9)
    assert placed.get_all_distances() == pytest.approx(atoms.get_all_distances())
    if name in ("CH3CH2OH", "HOCl", "H2O"):  # no degenerate axes
        assert conformers.oriented(_turned(atoms)).positions == pytest.approx(placed.positions, abs=1e-6)


def test_orientation_keeps_the_handedness():
    left = Atoms("OOHH", _peroxide(100.0))
    assert conformers.oriented(left).get_dihedral(2, 0, 1, 3) == pytest.approx(left.get_dihedral(2, 0, 1, 3))
