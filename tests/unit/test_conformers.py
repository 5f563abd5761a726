"""How often a minimum occurs, what a SMILES leaves open, and embeddings of rare forms: laws, no engine."""

from itertools import permutations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

from crosstalk.structures import conformers, graphs, molecules

#: Point groups from textbooks; of linear molecules what nuclei can tell.
ORDERS = {
    "C2H6": 12,
    "CH4": 24,
    "C6H6": 24,
    "H2O": 4,
    "NH3": 6,
    "C2H4": 8,
    "CO2": 4,
    "CO": 2,
    "trans-butane": 4,
    "isobutane": 6,
    "CH3OCH3": 4,
    "CH3CH2OH": 2,
    "C4H4NH": 4,
    "cyclobutane": 8,
    "C60": 120,
}


def peroxide(angle: float) -> Atoms:
    atoms = Atoms("OOHH", [[0, 0, 0], [1.45, 0, 0], [0, 0.96, 0], [1.45, 0.96, 0]])
    atoms.set_dihedral(2, 0, 1, 3, angle, indices=[3])
    return atoms


def butane(angle: float) -> Atoms:
    """Staggered n-butane with its carbon chain at `angle`."""
    atoms = molecule("trans-butane")
    bonds = graphs.connectivity(atoms)
    carbons = [i for i in range(len(atoms)) if atoms.symbols[i] == "C"]
    around = {i: {j for pair in bonds if i in pair for j in pair if j != i} for i in range(len(atoms))}
    first, last = (i for i in carbons if len(around[i] & set(carbons)) == 1)
    second, third = ((around[end] & set(carbons)).pop() for end in (first, last))
    moving = sorted((around[third] | around[last]) - {second, third})
    atoms.set_dihedral(first, second, third, last, angle, indices=moving)
    return atoms


@pytest.mark.parametrize("name", ORDERS)
def test_orders_of_point_groups(name):
    atoms = molecule(name)
    assert conformers.symmetry_order(atoms, graphs.connectivity(atoms)) == ORDERS[name]


@pytest.mark.parametrize(("angle", "order"), [(0, 4), (100, 2), (180, 4)])
def test_peroxide_is_c2v_c2_or_c2h(angle, order):
    assert conformers.symmetry_order(peroxide(angle), [(0, 1), (0, 2), (1, 3)]) == order


def test_butane_has_two_gauche_forms_for_each_anti_form():
    structures = [butane(180), butane(65)]
    bonds = graphs.connectivity(structures[0])
    assert [conformers.symmetry_order(atoms, bonds) for atoms in structures] == [4, 2]
    assert conformers.degeneracies(structures, bonds) == [1, 2]


@pytest.mark.parametrize("name", ["C2H6", "trans-butane", "CH3CH2OH"])
def test_one_minimum_has_degeneracy_one(name):
    atoms = molecule(name)
    assert conformers.degeneracies([atoms], graphs.connectivity(atoms)) == [1]


def test_symmetry_forgets_position_handedness_and_small_noise():
    atoms, noise = molecule("isobutane"), np.random.default_rng(7)
    bonds = graphs.connectivity(atoms)
    turned = Rotation.from_rotvec([0.3, -1.1, 2.0]).apply(atoms.positions * [1, 1, -1]) + np.array([1.0, 2.0, 3.0])
    shaken = atoms.positions + noise.normal(scale=0.01, size=turned.shape)
    for positions in (turned, shaken):
        assert conformers.symmetry_order(Atoms(atoms.symbols, positions), bonds) == 6


def test_a_near_symmetry_leaves_a_group():
    """Pulled along one bond step by step, methane loses its symmetry through groups alone (their orders divide 24)."""
    atoms = molecule("CH4")
    bonds = graphs.connectivity(atoms)
    orders = []
    for step in np.arange(0.0, 0.8, 0.02):
        pulled = atoms.copy()
        pulled.positions[1] *= 1 + step
        pulled.positions[2] *= 1 + 0.6 * step
        orders.append(conformers.symmetry_order(pulled, bonds))
    assert orders[0] == 24
    assert all(24 % order == 0 for order in orders)
    assert orders[-1] < 6


def test_labelled_minima_counted_one_by_one():
    """Brute force over all permutations of equivalent atoms and inversion: the number of different labelled shapes."""
    bonds = [(0, 1), (0, 2), (1, 3)]
    automorphisms = [p for p in permutations(range(4)) if {tuple(sorted((p[i], p[j]))) for i, j in bonds} == set(bonds)]
    counts = []
    for atoms in (peroxide(100), peroxide(180)):
        elements = [p for p in automorphisms if all(atoms.numbers[list(p)] == atoms.numbers)]
        shapes: list[np.ndarray] = []
        for element in elements:
            for mirror in (1, -1):
                copy = atoms.positions[list(element)] * [1, 1, mirror]
                if all(_misfit(copy, other) > 0.1 for other in shapes):
                    shapes.append(copy)
        counts.append(len(shapes))
    relative = conformers.degeneracies([peroxide(100), peroxide(180)], bonds)
    assert counts[0] / counts[1] == relative[0] / relative[1]


def _misfit(first: np.ndarray, second: np.ndarray) -> float:
    one, two = first - first.mean(axis=0), second - second.mean(axis=0)
    return Rotation.align_vectors(one, two)[1]


@pytest.mark.parametrize("smiles", ["CC(C)(C)C(C)(C)C", "CC(C)(C)OP(=O)(OC(C)(C)C)OC(C)(C)C"])
def test_millions_of_automorphisms_are_no_hindrance(smiles):
    atoms = conformers.start(smiles, 7, 0)
    assert 1 <= conformers.symmetry_order(atoms, molecules.bonds_of(smiles)) <= 12


# -- embeddings and what is the same ---------------------------------------------------------------------------------


def test_only_free_embeddings_leave_the_z_form_of_an_ester():
    def largest(free: bool) -> float:
        starts = [conformers.start("COC=O", 7, k, free) for k in range(8)]
        return max(min(t, 360 - t) for t in (start.get_dihedral(0, 1, 2, 3) for start in starts))

    assert largest(free=False) < 30
    assert largest(free=True) > 90


def test_groups_hold_every_structure_once_lowest_first():
    mol = molecules.whole("CCO")
    start = conformers.start("CCO", 7, 0)
    other = start.copy()
    other.set_dihedral(0, 1, 2, 8, start.get_dihedral(0, 1, 2, 8) + 120)
    structures, energies = [start, other, start, other], [0.002, 0.001, 0.001, 0.002]
    groups = conformers.grouped(mol, structures, energies)
    assert groups == [[1, 3], [2, 0]]
    assert conformers.distinct(mol, structures, energies) == [1, 2]


# -- open stereo -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "smiles",
    [
        ("CC1COC(=O)O1",),  # one open centre: mirror images
        ("C=CC1COC(=O)O1",),
        ("C[C@H](O)[C@@H](F)Cl",),
        ("F/C=C/F",),
        ("[O-]P(=O)(F)OCC(C)F",),  # =O and -O- at P are one by resonance: no second centre
        ("COP(=O)(F)OC",),
        ("C1CC=CCC1",),
        ("CC1COC(=O)O1", "O"),
    ],
)
def test_what_leaves_one_shape_and_its_mirror_image_is_fine(smiles):
    molecules.refuse_open_stereo(*smiles)


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        (("FC1OC(=O)OC1F",), "atoms 1, 6"),
        (("C[C@H](O)C(F)Cl",), "atoms 3"),  # the other one is specified, so the two are diastereomers
        (("CC1CCC(C)CC1",), "diastereomers"),
        (("FC=CF",), "double bond 1=2"),
        (("CC1COC(=O)O1", "CC1COC(=O)O1"), "2 stereocentres in all"),
    ],
)
def test_what_would_mix_diastereomers_is_refused(smiles, reason):
    with pytest.raises(ValueError, match=reason):
        molecules.refuse_open_stereo(*smiles)
