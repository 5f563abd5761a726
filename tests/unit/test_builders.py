"""Edges of graphite, water taken off, atoms put in, and what is said about slabs: all of it can be counted by hand."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from crosstalk.config import load
from crosstalk.config.structures import slab_settings
from crosstalk.errors import CrosstalkError
from crosstalk.structures import graphs, poses, slabs, valence
from crosstalk.structures.description import bulk_density, description, tetrahedral_order

from .test_slabs import bonded, graphite, silica

CONFIG = load(Path(__file__).parents[2] / "config")
WIDE = [[2, 0], [0, 2]]


def edge(termination: str, **changed: Any) -> dict[str, Any]:
    settings = {"builder": "graphite_edge", "lattice_angstrom": 2.46, "interlayer_angstrom": 3.35, "rows": 4}
    return settings | {"stacking": "AB", "termination": termination} | changed


def lithiated(ratio: float, sites: str = "interstitial", **changed: Any) -> dict[str, Any]:
    return silica(2, insertion={"element": "Li", "per": "Si", "ratio": ratio, "sites": sites}, **changed)


# -- edges -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("termination", "cap"), [("H", "H"), ("OH", "OH"), ("O", "O")])
@pytest.mark.parametrize(("stacking", "ribbons"), [("AB", 2), ("AA", 1)])
def test_every_edge_atom_of_graphite_carries_its_cap(termination: str, cap: str, stacking: str, ribbons: int) -> None:
    atoms = slabs.build(edge(termination, stacking=stacking))
    expected = Counter({"C": 2 * 4 * ribbons}) + Counter(dict.fromkeys(cap, 2 * ribbons))
    assert Counter(atoms.symbols) == expected
    assert {int(n) for n, s in zip(bonded(atoms), atoms.symbols, strict=True) if s == "C"} == {3}
    assert atoms.cell.lengths()[:2] == pytest.approx([2.46, 3.35 * ribbons])


def test_carbon_bonds_of_a_ribbon_are_all_alike() -> None:
    atoms = slabs.build(edge("H"))
    carbon = atoms[atoms.symbols == "C"]
    assert neighbor_list("d", carbon, 1.6) == pytest.approx(2.46 / np.sqrt(3))


def test_ribbons_are_stacked_ab() -> None:
    atoms = slabs.build(edge("H", rows=8))
    carbon = atoms[atoms.symbols == "C"]
    middle = abs(carbon.positions[:, 2] - atoms.cell[2, 2] / 2) < 4.0
    i, vectors = neighbor_list("iD", carbon, 3.36)
    other_layer = Counter(i[abs(vectors[:, 1]) > 1.0].tolist())
    found = {other_layer[k] for k in np.flatnonzero(middle).tolist()}
    assert found == {0, 2}  # one sublattice has atoms above and below


def test_both_sides_of_an_edge_are_alike_unless_asked() -> None:
    same, mixed = slabs.build(edge("OH")), slabs.build(edge("OH", lower_termination="H"))
    facts = description(same, edge("OH"), 0.0)
    assert facts["oh_per_nm2"] == pytest.approx(facts["oh_bottom_per_nm2"]) == pytest.approx(200 / (2.46 * 6.7))
    facts = description(mixed, edge("OH"), 0.0)
    assert facts["oh_per_nm2"] > 0 and facts["oh_bottom_per_nm2"] == 0


# -- larger cells ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [[[2, 0], [0, 1]], [[2, 1], [-1, 1]], [[0, 1], [3, 0]]])
def test_a_larger_surface_cell_is_the_same_surface(cell: list[list[int]]) -> None:
    small, large = slabs.build(silica(1)), slabs.build(silica(1, surface_cell=cell))
    times = abs(round(np.linalg.det(np.array(cell))))
    assert len(large) == times * len(small)
    one, many = slabs.describe(small), slabs.describe(large)
    assert many["area_angstrom2"] == pytest.approx(times * one["area_angstrom2"])
    assert many["oh_per_nm2"] == pytest.approx(one["oh_per_nm2"])
    assert np.allclose(large.cell.array[0, 1:], 0) and np.linalg.det(large.cell.array) > 0
    assert sorted(bonded(large)) == sorted(np.tile(bonded(small), times))


def test_a_rattled_slab_has_lost_its_symmetry_and_nothing_else() -> None:
    cell = [[2, 0], [0, 2]]
    plain, rattled = slabs.build(silica(1, surface_cell=cell)), slabs.build(silica(1, surface_cell=cell, rattle_angstrom=0.05))  # fmt: skip
    moves = rattled.positions - plain.positions
    assert 0.03 < moves.std() < 0.07 and abs(moves.mean()) < 0.02
    assert np.array_equal(rattled.positions, slabs.build(silica(1, surface_cell=cell, rattle_angstrom=0.05)).positions)
    assert graphs.compare(plain, rattled).status == "ok"
    assert len(poses.plane_operations(rattled)) == 1 < len(poses.plane_operations(plain))


def test_parallel_vectors_are_no_surface_cell() -> None:
    with pytest.raises(CrosstalkError, match="parallel"):
        slabs.build(silica(1, surface_cell=[[1, 1], [2, 2]]))


# -- water taken off ---------------------------------------------------------------------------------------------


def test_forces_of_the_valence_field_are_the_slope_of_its_energy() -> None:
    atoms = slabs.build(silica(1))
    bonds = valence.bonds_of(atoms)
    atoms.rattle(0.1, seed=3)
    field = valence.Field(atoms, bonds)
    flat = atoms.positions.ravel()
    _, gradient = field.energy(flat)
    for k in (0, 7, 14, 26):
        step = np.zeros_like(flat)
        step[k] = 1e-5
        slope = (field.energy(flat + step)[0] - field.energy(flat - step)[0]) / 2e-5
        assert gradient[k] == pytest.approx(slope, abs=1e-5)


def test_condensation_takes_one_water_for_two_hydroxyls_and_breaks_nothing() -> None:
    whole = slabs.build(silica(2, surface_cell=WIDE))
    bare = slabs.build(silica(2, surface_cell=WIDE, dehydroxylation={"oh_per_nm2": 2.25}))
    lost = Counter(whole.symbols) - Counter(bare.symbols)
    assert lost == {"H": 4, "O": 2}  # one water on each side
    valences = {"H": 1, "O": 2, "Si": 4}
    assert bonded(bare).tolist() == [valences[s] for s in bare.symbols]
    before, after = slabs.describe(whole), description(bare, {}, 0.0)
    assert after["oh_per_nm2"] == after["oh_bottom_per_nm2"] == pytest.approx(before["oh_per_nm2"] / 2)
    again = slabs.build(silica(2, surface_cell=WIDE, dehydroxylation={"oh_per_nm2": 2.25}))
    assert again.positions.tobytes() == bare.positions.tobytes()


def test_a_target_that_is_met_already_takes_nothing_off() -> None:
    whole = slabs.build(silica(1))
    assert (
        slabs.build(silica(1, dehydroxylation={"oh_per_nm2": 4.5})).get_chemical_formula()
        == whole.get_chemical_formula()
    )


def test_a_single_hydroxyl_cannot_be_condensed() -> None:
    with pytest.raises(CrosstalkError, match="surface_cell"):
        slabs.build(silica(1, dehydroxylation={"oh_per_nm2": 0.0}))


# -- atoms put in ------------------------------------------------------------------------------------------------


def test_lithium_sits_between_oxygens_and_touches_nothing() -> None:
    atoms = slabs.build(lithiated(0.25))
    assert Counter(atoms.symbols)["Li"] == 1
    (lithium,) = np.flatnonzero(atoms.symbols == "Li")
    j, d = (part[neighbor_list("i", atoms, 2.6) == lithium] for part in neighbor_list("jd", atoms, 2.6))
    assert set(atoms.symbols[j]) == {"O"} and len(j) >= 3 and d.min() > 1.7
    rest = atoms[atoms.numbers != 3]
    assert slabs.describe(rest) == pytest.approx(slabs.describe(slabs.build(silica(2))))


def test_lithium_in_place_of_hydroxyl_hydrogens_keeps_the_number_of_atoms() -> None:
    before, after = slabs.build(silica(2)), slabs.build(lithiated(0.5, "hydroxyl"))
    assert Counter(after.symbols) == Counter(before.symbols) - Counter({"H": 2}) + Counter({"Li": 2})
    with pytest.raises(CrosstalkError, match="for 2 hydroxyls"):
        slabs.build(lithiated(0.75, "hydroxyl"))


def test_a_broken_ratio_names_the_nearest_ones() -> None:
    with pytest.raises(CrosstalkError, match=r"0\.25 and 0\.5, or enlarge"):
        slabs.build(lithiated(0.3))


def test_more_lithium_than_there_is_room_for() -> None:
    with pytest.raises(CrosstalkError, match="no room"):
        slabs.build(lithiated(20.0))


def test_graphite_takes_lithium_only_when_its_layers_are_apart() -> None:
    graphite = {"builder": "graphite_basal", "lattice_angstrom": 2.467, "layers": 2, "surface_cell": [[2, 0], [0, 2]]}
    lithium = {"insertion": {"element": "Li", "per": "C", "ratio": 1 / 16, "sites": "interstitial"}}
    with pytest.raises(CrosstalkError, match=r"0 fit; the widest hole lacks 0\.\d+ Angstrom.*spacing of layers"):
        slabs.build({**graphite, **lithium, "interlayer_angstrom": 3.35})
    assert Counter(slabs.build({**graphite, **lithium, "interlayer_angstrom": 3.7}).symbols)["Li"] == 1


# -- what is said ------------------------------------------------------------------------------------------------


def test_the_description_of_hydroxylated_cristobalite_is_what_one_counts() -> None:
    facts = description(slabs.build(silica(2)), silica(2), 0.5)
    area = 7.16**2 / 2 * np.sqrt(3) / 2
    assert facts["formula"] == "H2O9Si4" and facts["layers"] == "2"
    assert (
        facts["oh_per_nm2"] == facts["oh_bottom_per_nm2"] == pytest.approx(100 / area) == pytest.approx(4.505, abs=1e-3)
    )
    assert facts["hydroxyls"] == "2 single"
    assert facts["coordination"] == "H 1: 2; O 2: 9; Si 4: 4"
    assert facts["by_oxygen"] == "Si 4: 4"
    assert facts["frozen"].startswith("7 of 15") or facts["frozen"].startswith("8 of 15")
    # eight SiO2 of 60.084 amu in 7.16^3
    assert facts["bulk_density_g_cm3"] == pytest.approx(8 * 60.084 * 1.66054 / 7.16**3, abs=1e-3)


def test_the_tetrahedral_order_tells_a_flat_silicon_from_a_tetrahedron() -> None:
    ways = {
        1.0: [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]],
        0.5: [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]],  # 1 - 3/8 (2 (2/3)^2 + 4 (1/3)^2)
    }
    for order, vectors in ways.items():
        silane = np.array(vectors) / np.linalg.norm(vectors, axis=1)[:, None] * 1.48
        atoms = Atoms("SiH4", [np.zeros(3), *silane], cell=[9, 9, 9], pbc=[True, True, False])
        atoms.wrap(pbc=[True, True, False])
        assert tetrahedral_order(atoms, valence.bonds_of(atoms)) == pytest.approx(order)
    assert "least_tetrahedral_order" not in description(slabs.build(graphite(2)), graphite(2), 0.0)
    assert description(slabs.build(silica(2)), silica(2), 0.0)["least_tetrahedral_order"] == pytest.approx(1, abs=1e-3)


def test_density_of_graphite_is_the_measured_one() -> None:
    assert bulk_density(graphite(2)) == pytest.approx(2.26, abs=0.02)


def surface(name: str) -> tuple[Atoms, dict[str, Any]]:
    settings = slab_settings(CONFIG, CONFIG.surfaces[name])
    return slabs.build(settings), settings


def test_every_silicon_of_stoichiometric_sio_has_two_oxygens_and_two_silicons() -> None:
    """science.md, section 4 c: in the bulk, and so in the middle of a slab; cut Si-Si bonds carry hydrogen."""
    _, settings = surface("sio-hydrogenated-2")
    crystal = settings["crystal"]
    bulk = Atoms(crystal["symbols"], cell=crystal["cell"], scaled_positions=crystal["scaled_positions"], pbc=True)
    i, j, d = neighbor_list("ijd", bulk, 2.6)
    for silicon in np.flatnonzero(bulk.symbols == "Si"):
        around = sorted(bulk.symbols[j[i == silicon]])
        assert around == ["O", "O", "Si", "Si"]
    like = bulk.numbers[i] == bulk.numbers[j]
    assert d[like] == pytest.approx(2.37, abs=0.02) and d[~like] == pytest.approx(1.66, abs=0.02)
    for name, formula in (("sio-hydrogenated-2", "H8O16Si16"), ("sio-hydroxylated-2", "H8O24Si16")):
        slab, settings = surface(name)
        facts = description(slab, settings, 0.0)
        assert facts["formula"] == formula
        assert facts["bulk_density_g_cm3"] == pytest.approx(2.16, abs=0.01)
        oxygens = "2: 16" if "hydrogenated" in name else "2: 8, 3: 8"  # the silanol's oxygen is a third one
        assert facts["by_oxygen"] == f"Si {oxygens}"


def test_quartz_0001_carries_geminal_then_vicinal_silanols() -> None:
    slab, settings = surface("quartz-hydroxylated-2")
    facts = description(slab, settings, 0.0)
    area = 4.916**2 * np.sqrt(3) / 2
    assert facts["hydroxyls"] == "4 geminal"
    assert facts["oh_per_nm2"] == facts["oh_bottom_per_nm2"] == pytest.approx(200 / area)  # 9.6, as known
    assert facts["bulk_density_g_cm3"] == pytest.approx(2.646, abs=0.002)  # of the entry's own file
    slab, settings = surface("quartz-vicinal-2")
    facts = description(slab, settings, 0.0)
    assert facts["hydroxyls"] == "4 single"
    assert facts["oh_per_nm2"] == facts["oh_bottom_per_nm2"] == pytest.approx(100 / area)
    assert facts["by_oxygen"] == f"Si 4: {Counter(slab.symbols)['Si']}"
