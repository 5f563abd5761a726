"""Covalent graphs from geometry, and the verdicts on what became of a molecule or of an adsorbate."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import fcc111, graphene, molecule

from crosstalk.record import STATUSES
from crosstalk.structures import graphs


def slab_with(adsorbate: Atoms, height: float) -> Atoms:
    """Graphene with an adsorbate `height` above it, Angstrom."""
    slab = graphene(size=(3, 3, 1), vacuum=10.0)
    slab.pbc = (True, True, False)
    adsorbate = adsorbate.copy()
    adsorbate.positions += slab.positions[4] + [0, 0, height] - adsorbate.positions[0]
    adsorbate.set_tags(1)
    return slab + adsorbate


def silica_flake() -> Atoms:
    """Si(OH)4 as the slab, and a water over one of its hydroxyls."""
    arms = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    slab = Atoms("Si", [[0, 0, 0]]) + Atoms("O4", 1.62 * arms) + Atoms("H4", 1.62 * arms + [0, 0, 0.96] * np.sign(arms))
    water = molecule("H2O")
    water.positions += slab.positions[5] + [0, 0, 2.0] - water.positions[0]
    water.positions[1:] += [0, 0, 1.2]
    water.set_tags(1)
    return slab + water


@pytest.mark.parametrize(
    ("name", "n_bonds"),
    [
        ("H2O", 2),
        ("CH4", 4),
        ("C6H6", 12),
        ("PH3", 3),
        ("CH3SH", 5),
        ("H2", 1),
        ("SiH4", 4),
        ("C2H2", 3),
        ("NaCl", 0),
        ("LiF", 0),
    ],
)
def test_bonds_of_known_molecules(name, n_bonds):
    assert len(graphs.connectivity(molecule(name))) == n_bonds


def test_metals_never_bond_covalently():
    assert graphs.connectivity(fcc111("Al", (2, 2, 2), vacuum=5.0)) == frozenset()
    assert graphs.connectivity(Atoms("LiOH", [[0, 0, 1.6], [0, 0, 0], [0, 0, -0.96]])) == {(1, 2)}


def test_periodic_images_bond():
    sheet = graphene(size=(2, 2, 1), vacuum=5.0)
    sheet.pbc = (True, True, False)
    assert len(graphs.connectivity(sheet)) == 12
    assert len(graphs.connectivity(Atoms(sheet, pbc=False))) < 12
    assert graphs.connectivity(Atoms("H", cell=[0.74, 5, 5], pbc=(True, False, False))) == {(0, 0)}


def test_pieces_are_connected_groups():
    assert graphs.pieces(5, [(0, 3), (1, 2)]) == [[0, 3], [1, 2], [4]]
    assert graphs.pieces(2, []) == [[0], [1]]


def test_a_vibration_changes_nothing():
    atoms = molecule("CH3CH2OH")
    shaken = atoms.copy()
    shaken.rattle(0.05, seed=1)
    assert graphs.compare(atoms, shaken) == graphs.Change("ok")
    assert graphs.against(graphs.connectivity(atoms), shaken).status == "ok"


def test_a_lost_atom_is_a_dissociation_and_names_its_bond():
    atoms = molecule("H2O")
    atoms.positions[1] *= 4.0
    change = graphs.compare(molecule("H2O"), atoms)
    assert (change.status, change.broken, change.formed) == ("dissociated", ((0, 1),), ())
    assert change.text == "broken O0-H1"


def test_a_hydrogen_that_moved_is_a_rearrangement():
    before = Atoms("OCH", [[0, 0, 0], [1.3, 0, 0], [-0.3, 0.9, 0]])
    after = Atoms("OCH", [[0, 0, 0], [1.3, 0, 0], [1.8, 0.95, 0]])
    change = graphs.compare(before, after)
    assert change.status == "rearranged"
    assert change.text == "broken O0-H2; formed C1-H2"


def test_wrapping_into_the_cell_changes_nothing():
    start = slab_with(molecule("H2O"), 3.2)
    wrapped = start.copy()
    wrapped.positions[3] += start.cell[0] - start.cell[1]
    wrapped.wrap()
    assert graphs.compare(start, wrapped).status == "ok"
    assert graphs.adsorption_class(start, wrapped)[0] == "bound"


def test_other_atoms_cannot_be_compared():
    with pytest.raises(ValueError, match="different atoms"):
        graphs.compare(molecule("H2O"), molecule("CO2"))


def test_an_adsorbate_must_be_marked():
    with pytest.raises(ValueError, match="tag 1"):
        graphs.adsorption_class(molecule("H2O"), molecule("H2O"))


@pytest.mark.parametrize(("height", "became"), [(3.0, "bound"), (4.0, "bound"), (5.5, "desorbed"), (8.0, "desorbed")])
def test_distance_decides_between_bound_and_desorbed(height, became):
    flat = molecule("CO2")
    flat.rotate(90, "x")
    assert graphs.adsorption_class(slab_with(flat, 3.0), slab_with(flat, height))[0] == became


def test_contacts_count_through_the_cell_boundary():
    start = slab_with(molecule("CO2"), 3.0)
    moved = start.copy()
    moved.positions[moved.get_tags() == 1] += 2 * start.cell[0]
    assert graphs.adsorption_class(start, moved) == graphs.adsorption_class(start, start)


def test_a_new_bond_to_the_slab_is_bound_and_named():
    start, relaxed = slab_with(Atoms("O"), 3.0), slab_with(Atoms("O"), 1.45)
    became, reason = graphs.adsorption_class(start, relaxed)
    assert became == "bound"
    assert reason == "new bonds C4-O18"


def test_an_adsorbate_in_pieces_is_dissociated_even_when_held():
    start = slab_with(molecule("H2O"), 3.2)
    relaxed = start.copy()
    relaxed.positions[-1] = relaxed.positions[10] + [0, 0, 1.1]
    became, reason = graphs.adsorption_class(start, relaxed)
    assert became == "dissociated"
    assert "O18-H20" in reason


def test_a_proton_from_the_slab_is_a_rearrangement():
    start = silica_flake()
    relaxed = start.copy()
    relaxed.positions[5] = relaxed.positions[9] - [0, 0, 0.96]
    became, reason = graphs.adsorption_class(start, relaxed)
    assert became == "rearranged"
    assert "broken O1-H5" in reason
    assert "formed H5-O9" in reason


def test_a_broken_slab_is_reported():
    start = slab_with(molecule("H2O"), 3.2)
    relaxed = start.copy()
    relaxed.positions[12] -= [0, 0, 2.0]
    assert graphs.adsorption_class(start, relaxed)[0] == "surface_changed"


def test_a_metal_that_left_its_site_is_reported():
    slab = fcc111("Al", (2, 2, 2), vacuum=8.0)
    start = slab + Atoms("O", [slab.positions[-1] + [0, 0, 1.8]], tags=[1])
    start.set_tags([0] * len(slab) + [1])
    relaxed = start.copy()
    relaxed.positions[5] += [0, 0, 1.5]
    became, reason = graphs.adsorption_class(start, relaxed)
    assert became == "surface_changed"
    assert "Al5 moved by 1.50" in reason


def test_every_class_but_bound_is_a_status_of_a_record():
    assert {"desorbed", "dissociated", "rearranged", "surface_changed"} <= set(STATUSES)


def test_a_cation_that_left_is_named():
    held = Atoms("FLi", [[0, 0, 0], [0, 0, 1.6]])
    assert graphs.lost_contacts(held, [1], [0]) == ""
    held.positions[1, 2] = 4.0
    assert "Li1 left" in graphs.lost_contacts(held, [1], [0])


def test_a_bare_slab_that_rebuilds_itself_says_so():
    slab = silica_flake()[:9]
    assert graphs.slab_change(slab, slab) == ""
    opened = slab.copy()
    opened.positions[1] += [1.5, 1.5, 1.5]
    opened.positions[5] += [1.5, 1.5, 1.5]
    assert "broken Si0-O1" in graphs.slab_change(slab, opened)
    metal = fcc111("Al", (2, 2, 2), vacuum=8.0)
    moved = metal.copy()
    moved.positions[3] += [0, 0, 1.4]
    assert "Al3 moved by 1.40" in graphs.slab_change(metal, moved)


def test_what_no_bond_holds_is_missed_when_it_is_gone():
    complexed = Atoms("OCH2Li", [[0, 0, 0], [1.2, 0, 0], [1.8, 0.93, 0], [1.8, -0.93, 0], [-1.85, 0, 0]])
    water = Atoms("OH2", [[0, 3.0, 0], [0.6, 3.76, 0], [-0.6, 3.76, 0]])
    together = complexed + water
    assert graphs.parted(together, together) == ""
    left = together.copy()
    left.positions[4] += (-1.5, 0, 0)
    assert "Li4 left its donors" in graphs.parted(together, left) and graphs.compare(together, left).status == "ok"
    apart = together.copy()
    apart.positions[5:] += (0, 3.0, 0)
    assert graphs.parted(together, apart).startswith("H2O came apart") and "Li" not in graphs.parted(together, apart)
    assert graphs.parted(apart, together) == "" == graphs.parted(apart, apart), "what was apart before is no loss"
    assert graphs.parted(complexed[:4], complexed[:4]) == "", "one molecule"


@pytest.mark.parametrize("silicon", [2.5, 2.75])
@pytest.mark.parametrize("shift", [0.0, 6.5])
def test_a_contact_across_an_oxygen_is_no_bond(silicon, shift):
    """Silicon in a strained ring, whole or through the edge of the cell."""
    height = (1.65**2 - silicon**2 / 4) ** 0.5
    atoms = Atoms("SiOSi", [[0, 0, 0], [silicon / 2, 0, height], [silicon, 0, 0]], cell=[8, 9, 9], pbc=True)
    atoms.positions[:, 0] = (atoms.positions[:, 0] + shift) % 8
    assert graphs.connectivity(atoms) == {(0, 1), (1, 2)}
    relaxed = atoms.copy()
    relaxed.positions[2, 0] = (relaxed.positions[2, 0] + 3.15 - silicon) % 8
    assert graphs.compare(atoms, relaxed).status == "ok", "and so it cannot break"


def test_rings_of_three_keep_their_bonds():
    for name in ("C3H6_D3h", "CH2OCH2"):  # cyclopropane, oxirane
        ring = molecule(name)
        heavy = [pair for pair in graphs.connectivity(ring) if all(ring.numbers[list(pair)] > 1)]
        assert len(heavy) == 3
