"""Start poses: independent of how many there are, free of overlaps, and equal ones are recognised."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.data import covalent_radii
from ase.geometry import get_distances

from crosstalk.errors import CrosstalkError
from crosstalk.steps import Input
from crosstalk.structures import contacts, pose_ensembles, poses, slabs

GRAPHENE = slabs.graphite_basal(2.46, 3.35, 1)
BILAYER = slabs.graphite_basal(2.46, 3.35, 2)
METHANOL, ACID = molecule("CH3OH"), molecule("HCOOH")


def starts(n: int, seed: int = 7, slab: Atoms = BILAYER) -> list[poses.Start]:
    return [poses.start(i, slab, [4, 4], [METHANOL, ACID], seed, 2.2) for i in range(n)]


def test_more_starts_change_no_earlier_one() -> None:
    few, many = starts(4), starts(12)
    assert [s.atoms.positions.tobytes() for s in few] == [s.atoms.positions.tobytes() for s in many[:4]]


def test_the_seed_changes_the_starts_and_nothing_else_does() -> None:
    assert starts(3)[2].atoms.positions.tobytes() == starts(3)[2].atoms.positions.tobytes()
    assert not np.allclose(starts(3)[2].atoms.positions, starts(3, seed=8)[2].atoms.positions)


@pytest.mark.parametrize("slab", [GRAPHENE, BILAYER], ids=["three sites", "four sites"])
def test_every_facing_meets_every_conformer_then_every_site(slab) -> None:
    other = ACID.copy()
    other.rattle(0.02, seed=1)
    shapes, n_ways, n_sites = [ACID, other], len(poses.facings(ACID)), len(poses.sites(slab))
    found = [poses.start(i, slab, [4, 4], shapes, 7, 2.2) for i in range(2 * n_ways * n_sites)]
    assert len({(s.facing, s.conformer) for s in found[: 2 * n_ways]}) == 2 * n_ways
    kinds = [kind for kind, _ in poses.sites(slab)]
    for shape in (0, 1):
        for facing in {s.facing for s in found}:
            assert sorted(s.site for s in found if (s.conformer, s.facing) == (shape, facing)) == sorted(kinds)


def test_the_first_starts_lie_all_over_a_slab_without_symmetry() -> None:
    slab = slabs.graphite_basal(2.46, 3.35, 1).repeat((3, 3, 1))
    slab.rattle(0.2, seed=1)
    n_sites = len(poses.sites(slab))
    assert n_sites > 2 * poses.FEW * len(poses.facings(ACID)), "what this test is about"
    found = [poses.start(i, slab, [1, 1], [ACID], 7, 2.2) for i in range(n_sites // 2)]
    assert {s.site for s in found} == {"top", "bridge", "hollow"}
    assert len({(s.facing, s.site) for s in found}) > 2 * len({s.facing for s in found}), (
        "facings meet several kinds of site"
    )
    places = [s.atoms.positions[s.atoms.get_tags() == 1].mean(axis=0)[:2] @ np.linalg.inv(slab.cell.array[:2, :2]) for s in found]  # fmt: skip
    quarters = {tuple(np.floor(np.mod(place, 1.0) * 2).astype(int)) for place in places}
    assert len(quarters) == 4, "every quarter of the cell"


def test_sites_of_graphene_are_its_three() -> None:
    assert [kind for kind, _ in poses.sites(GRAPHENE)] == ["top", "bridge", "hollow"]
    # In the second layer's field the two atoms of the first differ.
    assert sorted(kind for kind, _ in poses.sites(BILAYER)) == ["bridge", "hollow", "top", "top"]


def test_the_hollow_is_farthest_from_all_atoms() -> None:
    (hollow,) = (point for kind, point in poses.sites(GRAPHENE) if kind == "hollow")
    _, lengths = get_distances(
        [[*hollow, GRAPHENE.positions[0, 2]]], GRAPHENE.positions, cell=GRAPHENE.cell, pbc=GRAPHENE.pbc
    )
    assert lengths.min() == pytest.approx(2.46 / np.sqrt(3), abs=1e-3)


def test_facings_name_each_kind_of_group_once() -> None:
    names = [f.name for f in poses.facings(ACID)]
    oxygens = [n for n in names if n.startswith("O")]
    assert len(oxygens) == 2  # C=O and O-H
    assert sum(n.startswith("flat") for n in names) == 2
    symmetric = poses.facings(molecule("C2H6"))
    assert sum(f.atom is not None for f in symmetric) <= 1  # both carbons are one kind


def test_the_facing_atom_points_down() -> None:
    for start in starts(8):
        facing = next(f for f in poses.facings([METHANOL, ACID][start.conformer]) if f.name == start.facing)
        if facing.atom is None:
            continue
        adsorbate = start.atoms[start.atoms.get_tags() == 1]
        offset = adsorbate.positions[facing.atom] - adsorbate.positions.mean(axis=0)
        assert np.degrees(np.arccos(-offset[2] / np.linalg.norm(offset))) <= poses.TILT + 1e-6


def test_starts_touch_nothing() -> None:
    for start in starts(10):
        mine, theirs = start.atoms[start.atoms.get_tags() == 1], start.atoms[start.atoms.get_tags() == 0]
        _, lengths = get_distances(mine.positions, theirs.positions, cell=start.atoms.cell, pbc=(True, True, False))
        assert (lengths >= covalent_radii[mine.numbers][:, None] + covalent_radii[theirs.numbers] + 0.5).all()
        assert mine.positions[:, 2].min() - theirs.positions[:, 2].max() >= 2.2 - 1e-9


def test_a_repeat_too_small_is_refused() -> None:
    with pytest.raises(CrosstalkError, match=r"repeat \[1, 1\] is too small"):
        poses.start(0, BILAYER, [1, 1], [METHANOL], 7, 2.2)


def test_equal_poses_are_found_under_the_symmetry_of_the_slab() -> None:
    one = poses.start(0, GRAPHENE, [4, 4], [METHANOL], 7, 2.2).atoms
    mine = one.get_tags() == 1
    shifted, turned, swapped = one.copy(), one.copy(), one.copy()
    shifted.positions[mine] += GRAPHENE.cell[0] * 2 + GRAPHENE.cell[1]
    angle = np.radians(60)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    (hollow,) = (point for kind, point in poses.sites(GRAPHENE) if kind == "hollow")
    centre = np.array([*hollow, 0.0])
    turned.positions[mine] = (turned.positions[mine] - centre) @ rotation.T + centre
    methyl = len(one) - len(METHANOL) + np.array([2, 4, 5])
    swapped.positions[methyl] = swapped.positions[methyl[[2, 0, 1]]]
    assert pose_ensembles.pose_rmsd(shifted, one) == pytest.approx(0, abs=1e-6)
    assert pose_ensembles.pose_rmsd(turned, one) == pytest.approx(0, abs=1e-4)
    assert pose_ensembles.grouped([one, shifted, turned, swapped], [0.0, 0.001, -0.001, 0.002]) == [[2, 0, 1, 3]]


def test_different_poses_stay_apart() -> None:
    one = poses.start(0, GRAPHENE, [4, 4], [METHANOL], 7, 2.2).atoms
    half = one.copy()
    half.positions[one.get_tags() == 1] += GRAPHENE.cell[0] / 2
    higher = one.copy()
    higher.positions[one.get_tags() == 1, 2] += 1.0
    assert pose_ensembles.grouped([one, half, higher], [0.0, 0.0, 0.0]) == [[0], [1], [2]]
    # same place, other energy: both stay, lowest first
    assert pose_ensembles.grouped([one, one], [0.5, 0.0]) == [[1], [0]]


def test_one_box_for_all() -> None:
    found = [s.atoms for s in starts(4)]
    bare = BILAYER.repeat((4, 4, 1))
    boxed = poses.boxed(bare, METHANOL, found, 9.0)
    cells = np.array([a.cell.array for a in boxed])
    assert (cells == cells[0]).all()
    assert all(a.pbc.tolist() == [True, True, False] for a in boxed)
    top = max(a.positions[:, 2].max() for a in boxed)
    low = boxed[0].positions[:, 2].min()
    assert 9.0 <= cells[0, 2, 2] - (top - low) < 9.1 + 1e-9
    assert (boxed[1].get_tags() == 1).all() and not boxed[0].get_tags().any()
    # The slab stands at the same place in all of them.
    for pose in boxed[2:]:
        assert np.allclose(pose.positions[: len(bare)], boxed[0].positions)


# -- while they come one by one --------------------------------------------------------------------------------------

SHEET = slabs.in_box(GRAPHENE, 10.0).repeat((2, 2, 1))


def above(height: float, cells: int = 0) -> Atoms:
    """Methanol on the sheet: one pose for each height (Angstrom), wherever its `cells` of the lattice are."""
    alcohol = METHANOL.copy()
    alcohol.set_tags(1)
    alcohol.positions += [3.0, 2.0, SHEET.positions[0, 2] + 4.0 + height]
    alcohol.positions += cells * GRAPHENE.cell[0]
    return SHEET + alcohol


def taken(keep: int, *seen: tuple[float, float], window_ev: float = 0.3) -> tuple[list[bool], list[float]]:
    """Which of the poses (height, energy) changed the candidates, and the candidates' energies in the end."""
    candidates = pose_ensembles.Candidates(keep, window_ev)
    changes = [candidates.changed_by(above(height, k), energy) for k, (height, energy) in enumerate(seen)]
    return changes, [energy for energy, _ in candidates.lowest]


def test_what_has_room_or_is_clearly_lower_changes_the_candidates() -> None:
    changes, lowest = taken(2, (0, -0.30), (1, -0.25), (2, -0.20), (3, -0.28))
    assert changes == [True, True, False, True] and lowest == [-0.30, -0.28]


def test_another_pose_as_low_as_the_one_that_has_to_go_is_no_change() -> None:
    changes, lowest = taken(2, (0, -0.30), (1, -0.25), (2, -0.255), (3, -0.27))
    assert changes == [True, True, False, True], "5 meV are below what the filter tells apart, 15 are not"
    assert lowest == [-0.30, -0.27]


def test_a_minimum_found_again_is_no_change_however_it_relaxed() -> None:
    changes, lowest = taken(2, (0, -0.30), (0, -0.288), (0.1, -0.315), (1, -0.20))
    assert changes == [True, False, False, True], "15 meV lower in the same place: the rest of a relaxation"
    assert lowest == [-0.315, -0.20]


def test_what_lies_above_the_window_is_no_candidate() -> None:
    assert taken(3, (0, -0.50), (1, -0.19)) == ([True, False], [-0.50])
    changes, lowest = taken(3, (1, -0.19), (0, -0.50), (2, -0.45))
    assert changes == [True, True, True] and lowest == [-0.50, -0.45], "the first one is out, and leaves room"


def test_candidates_are_the_lowest_of_all_poses_grouped_at_once() -> None:
    random = np.random.default_rng(3)
    minima = {float(k): -0.30 + 0.025 * k for k in range(6)}
    heights = random.choice(list(minima), size=16)
    energies = [minima[height] + random.uniform(0, 0.002) for height in heights]
    candidates, seen = pose_ensembles.Candidates(3, 0.1), []
    for k, (height, energy) in enumerate(zip(heights, energies, strict=True)):
        seen.append(above(height, k % 4))
        candidates.changed_by(seen[-1], energy)
        lowest = [energies[group[0]] for group in pose_ensembles.grouped(seen, energies[: k + 1])]
        assert [e for e, _ in candidates.lowest] == [e for e in lowest if e - lowest[0] <= 0.1][:3]


# -- after the energies are known ------------------------------------------------------------------------------------


def gathered(numbers, energies, filtered, found_by):
    """The outcome of step pose_ensemble over poses of one molecule at different places above a sheet."""
    bare = slabs.in_box(slabs.graphite_basal(2.46, 3.35, 1), 10.0).repeat((4, 4, 1))
    bare.set_tags(0)
    places = {1: [2.0, 1.0, 13.0], 2: [2.0, 1.0, 13.9], 3: [2.0, 1.0, 13.05]}
    one = molecule("H2O")
    inputs = {"search 0": Input(Known({"pose_energies_ev": filtered, "found_by": found_by}), [bare])}
    for k, energy in zip(numbers, energies, strict=True):
        water = one.copy()
        water.positions += places[k]
        water.set_tags(1)
        inputs[f"pose {k}"] = Input(Known({"energy_ev": energy}), [bare + water])
    return pose_ensembles.pose_ensemble(None, inputs, None).quantities


class Known:
    """A record of which nothing but its quantities is read."""

    def __init__(self, quantities):
        self.quantities = quantities


def test_poses_that_became_one_count_once_and_share_their_starts():
    found = gathered([1, 2, 3], [-5.0, -5.1, -5.005], [-0.4, -0.3, -0.2], [4, 2, 1])
    assert found["n_found"] == 2 and found["found_by"] == [2, 5]
    assert found["relative_energies_ev"] == pytest.approx([0.0, 0.095])
    assert sum(found["weights"]) == pytest.approx(1.0) and found["weights"][0] > 0.9
    assert found["energy_ev"] == -5.1


def test_ranks_of_the_filter_against_the_energies():
    assert gathered([1, 2, 3], [-5.2, -5.1, -5.0], [-0.4, -0.3, -0.2], [1, 1, 1])["rank_correlation"] == pytest.approx(
        1
    )
    assert gathered([1, 2, 3], [-5.0, -5.1, -5.2], [-0.4, -0.3, -0.2], [1, 1, 1])["rank_correlation"] == pytest.approx(
        -1
    )
    assert "rank_correlation" not in gathered([1, 3], [-5.0, -5.1], [-0.4, -0.3, -0.2], [1, 1, 1])


def water_on(bare: Atoms, hydrogen_at: np.ndarray) -> Atoms:
    """Water whose one O-H bond ends at a point, coming from above."""
    water = Atoms("HOH", [[0, 0, 0], [0, 0, 0.97], [0.93, 0, 1.24]], tags=[1, 1, 1])
    water.positions += hydrogen_at
    return bare + water


def test_hydrogen_bonds_are_short_and_straight() -> None:
    bare = Atoms("OCu", [[5, 5, 5], [0, 0, 0]], cell=[10, 10, 20], pbc=[True, True, False], tags=[0, 0])
    straight, far = (contacts.between(water_on(bare, np.array([5, 5, 5 + d]))) for d in (1.9, 2.6))
    bent = contacts.between(water_on(bare, np.array([5 + 1.9, 5, 5])))
    assert (straight.hydrogen_bonds, far.hydrogen_bonds, bent.hydrogen_bonds) == (1, 0, 0)
    assert straight.nearest == pytest.approx(1.9) and straight.bonds == straight.metal_contacts == 0
    moved = water_on(bare, np.array([5, 5, 6.9]))
    moved.positions[moved.get_tags() == 1] += bare.cell[0]
    assert contacts.between(moved).hydrogen_bonds == 1, "also across the cell"


def test_bonds_and_contacts_with_metals_are_told_apart() -> None:
    bare = Atoms("SiLi", [[5, 5, 5], [2, 2, 5]], cell=[10, 10, 20], pbc=[True, True, False], tags=[0, 0])
    for place, expected in (([5, 5, 6.65], (1, 0)), ([2, 2, 6.95], (0, 1)), ([5, 5, 8.0], (0, 0))):
        carbonyl = Atoms("OC", [[0, 0, 0], [0, 0, 1.2]], tags=[1, 1])
        carbonyl.positions += place
        found = contacts.between(bare + carbonyl)
        assert (found.bonds, found.metal_contacts) == expected and found.hydrogen_bonds == 0


def test_what_holds_each_pose_is_told_in_their_order() -> None:
    found = gathered([1, 2], [-5.0, -5.3], [-0.4, -0.3], [1, 1])
    assert found["hydrogen_bonds"] == found["bonds_to_slab"] == found["metal_contacts"] == [0, 0]
    lower, higher = found["nearest_contact_angstrom"]
    assert lower > higher, "the second place is the higher one, and lowest in energy here"


def test_a_pose_that_came_to_no_number_keeps_the_others_numbers():
    found = gathered([2, 3], [-5.0, -5.3], [-0.4, -0.3, -0.2], [4, 2, 1])
    assert found["found_by"] == [1, 2]
