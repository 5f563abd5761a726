"""Slabs: composition, bonds, caps and cells follow from the crystal, and the same settings give the same atoms."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.spacegroup import crystal

from crosstalk import cli
from crosstalk.errors import CrosstalkError
from crosstalk.structures import cleavage, slabs

CONFIG = Path(__file__).parents[2] / "config"
CRISTOBALITE = crystal(
    ["Si", "O"], [(0.125, 0.125, 0.125), (0, 0, 0)], spacegroup=227, setting=2, cellpar=[7.16] * 3 + [90] * 3
)


def inlined(atoms: Atoms) -> dict[str, Any]:
    return {
        "symbols": list(atoms.symbols),
        "cell": atoms.cell.array.tolist(),
        "positions": atoms.positions.tolist(),
        "pbc": [True] * 3,
    }


def silica(layers: int = 1, **changed: Any) -> dict[str, Any]:
    settings = {"builder": "cleaved_crystal", "crystal": inlined(CRISTOBALITE), "miller": [1, 1, 1], "layers": layers}
    return settings | {"caps": {"Si": "OH", "O": "H"}} | changed


def graphite(layers: int) -> dict[str, Any]:
    return {"builder": "graphite_basal", "lattice_angstrom": 2.46, "interlayer_angstrom": 3.35, "layers": layers}


def diamond(miller: list[int], layers: int, cap: str = "H") -> dict[str, Any]:
    return {
        "builder": "cleaved_crystal",
        "crystal": inlined(bulk("Si", cubic=True)),
        "miller": miller,
        "layers": layers,
        "caps": {"Si": cap},
    }


def bonded(atoms: Atoms) -> np.ndarray:
    (i,) = (neighbor_list("i", atoms, natural_cutoffs(atoms, mult=slabs.BOND_FACTOR)),)
    return np.bincount(i, minlength=len(atoms))


ALL = [graphite(1), graphite(3), silica(1), silica(2), diamond([1, 1, 1], 2), diamond([1, 1, 0], 3)]


@pytest.mark.parametrize("settings", ALL)
def test_every_slab_keeps_the_valence_of_its_elements(settings: dict[str, Any]) -> None:
    atoms = slabs.build(settings)
    valence = {"H": 1, "O": 2, "C": 3, "Si": 4}
    assert bonded(atoms).tolist() == [valence[s] for s in atoms.symbols]


@pytest.mark.parametrize("settings", ALL)
def test_every_slab_has_the_promised_frame(settings: dict[str, Any]) -> None:
    atoms = slabs.build(settings)
    cell = atoms.cell.array
    assert atoms.pbc.tolist() == [True, True, False]
    assert not atoms.get_tags().any()
    assert np.allclose(cell[0, 1:], 0) and np.allclose(cell[:2, 2], 0) and np.allclose(cell[2, :2], 0)
    assert np.linalg.det(cell) > 0
    heights = atoms.positions[:, 2]
    assert heights.min() == pytest.approx(slabs.VACUUM)
    assert cell[2, 2] - heights.max() == pytest.approx(slabs.VACUUM)
    i, d = neighbor_list("id", atoms, 0.9)
    assert not len(i), d


@pytest.mark.parametrize("settings", ALL)
def test_building_is_deterministic(settings: dict[str, Any]) -> None:
    first, second = slabs.build(settings), slabs.build(settings)
    assert first.positions.tobytes() == second.positions.tobytes()
    assert first.cell.array.tobytes() == second.cell.array.tobytes()


def test_graphite_layers_are_stacked_ab() -> None:
    atoms = slabs.build(graphite(2))
    assert len(atoms) == 4
    lateral = atoms.get_scaled_positions()[:, :2]
    lower, upper = lateral[:2], lateral[2:]
    gaps = np.abs((lower[:, None] - upper[None] + 0.5) % 1 - 0.5).max(axis=2)
    assert (gaps < 1e-6).sum() == 1  # one atom above an atom, the other above a hollow
    assert slabs.describe(atoms)["area_angstrom2"] == pytest.approx(2.46**2 * np.sqrt(3) / 2)
    assert slabs.describe(atoms)["thickness_angstrom"] == pytest.approx(3.35)


def test_cristobalite_111_carries_single_hydroxyls_on_both_sides() -> None:
    atoms = slabs.build(silica())
    assert atoms.get_chemical_formula() == "H2O5Si2"
    described = slabs.describe(atoms)
    area = 7.16**2 / 2 * np.sqrt(3) / 2
    assert described["area_angstrom2"] == pytest.approx(area)
    assert described["oh_per_nm2"] == pytest.approx(100 / area)
    turned = atoms.copy()
    turned.positions[:, 2] *= -1
    assert slabs.describe(turned)["oh_per_nm2"] == pytest.approx(100 / area)


def test_layers_add_whole_units() -> None:
    one, two = slabs.build(silica(1)), slabs.build(silica(2))
    assert sorted((two.symbols.numbers).tolist()) == sorted([*one.symbols.numbers.tolist(), 14, 14, 8, 8, 8, 8])
    spacing = 7.16 / np.sqrt(3)
    thickness = [slabs.describe(a)["thickness_angstrom"] for a in (one, two)]
    assert thickness[1] - thickness[0] == pytest.approx(spacing)


def test_the_cut_breaks_the_fewest_bonds() -> None:
    options = cleavage.cuts(inlined(CRISTOBALITE), [1, 1, 1])
    assert [option["bonds"] for option in options] == [1, 1, 3, 3]
    # Diamond (111): one bond through the wide gap, three through the narrow one.
    assert [o["bonds"] for o in cleavage.cuts(inlined(bulk("Si", cubic=True)), [1, 1, 1])] == [1, 3]


def test_the_cut_does_not_depend_on_the_cell_that_describes_the_crystal() -> None:
    primitive = bulk("Si")
    normal = primitive.cell.array @ (np.ones(3) / bulk("Si", cubic=True).cell[0, 0])
    miller = np.round(normal / np.abs(normal)[np.abs(normal) > 1e-6].min()).astype(int).tolist()
    cubic = slabs.build(diamond([1, 1, 1], 1))
    same = slabs.build(diamond([1, 1, 1], 1) | {"crystal": inlined(primitive), "miller": miller})
    assert cubic.get_chemical_formula() == same.get_chemical_formula()
    assert cubic.cell.cellpar() == pytest.approx(same.cell.cellpar())


def test_caps_may_be_hydroxyl_or_hydrogen() -> None:
    assert slabs.build(diamond([1, 1, 1], 1, "OH")).get_chemical_formula() == "H2O2Si2"
    with pytest.raises(CrosstalkError, match="needs a cap"):
        slabs.build(diamond([1, 1, 1], 1) | {"caps": {"O": "H"}})


def test_a_slab_through_the_face_of_its_cell_is_made_whole() -> None:
    built = slabs.build(silica())
    moved = built.copy()
    moved.positions[:, 2] = (moved.positions[:, 2] + 9.0) % moved.cell[2, 2]
    again = slabs.build({"builder": "file", "structure": inlined(moved)})
    assert slabs.describe(again) == pytest.approx(slabs.describe(built))
    assert (bonded(again) == bonded(built)).all()


def test_a_tilted_file_is_refused() -> None:
    tilted = inlined(bulk("Si"))
    with pytest.raises(CrosstalkError, match="third along z"):
        slabs.build({"builder": "file", "structure": tilted})


def test_unknown_builder_and_parameters_are_said() -> None:
    with pytest.raises(CrosstalkError, match="did you mean 'graphite_basal'"):
        slabs.build({"builder": "graphite_basel"})
    with pytest.raises(CrosstalkError, match="colour"):
        slabs.build(graphite(1) | {"colour": "black"})


@pytest.mark.parametrize("width", [5.0, 8.0, 12.0])
def test_repeats_keep_images_apart(width: float) -> None:
    atoms = slabs.build(graphite(1))
    n, m = slabs.repeat_to(atoms, width)
    assert min(n, m) * 2.46 >= width > (min(n, m) - 1) * 2.46


def test_frozen_atoms_are_counted_from_below() -> None:
    atoms = slabs.build(graphite(3))
    assert slabs.frozen(atoms, 0.0) == []
    assert slabs.frozen(atoms, 0.5) == [0, 1, 2, 3]
    assert all(atoms.positions[i, 2] < atoms.positions[5, 2] for i in slabs.frozen(atoms, 0.5))


def test_boxes_leave_the_atoms_where_they_are_to_each_other() -> None:
    atoms = slabs.build(silica())
    boxed = slabs.in_box(atoms, 3.0)
    assert np.allclose(np.diff(boxed.positions, axis=0), np.diff(atoms.positions, axis=0))
    assert boxed.cell[2, 2] == pytest.approx(np.ptp(atoms.positions[:, 2]) + 6.0)


def test_a_surface_can_be_looked_at_before_anything_is_computed(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["surface", "sio-hydrogenated-1", "--config-dir", str(CONFIG), "--to", str(tmp_path)])
    assert not end.value.code
    said = capsys.readouterr().out
    assert all(word in said for word in ("stoichiometric SiO", "coordination", "area_angstrom2", "Angstrom^2"))
    assert len(read(tmp_path / "sio-hydrogenated-1.xyz")) == int(said.split("n_atoms")[1].split()[0])
    assert (tmp_path / "sio-hydrogenated-1.png").stat().st_size > 5000


def test_an_unknown_surface_is_answered_with_the_nearest_one(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["surface", "sio-hydrogenatd-1", "--config-dir", str(CONFIG)])
    assert "did you mean 'sio-hydrogenated-1'" in str(end.value)


def bare(crystal: Atoms, miller: list[int], layers: int) -> Atoms:
    caps = dict.fromkeys(sorted(set(crystal.symbols)), "bare")
    return cleavage.cleaved_crystal(inlined(crystal), miller, layers, caps)


def test_salts_and_metals_are_left_bare() -> None:
    salt = bare(bulk("LiF", "rocksalt", a=4.03, cubic=True), [1, 0, 0], 3)
    assert salt.get_chemical_formula() == "F3Li3" and np.ptp(salt.positions[:, 2]) == pytest.approx(4.03)
    metal = bare(bulk("Al", cubic=True), [1, 1, 1], 4)
    assert metal.get_chemical_formula() == "Al4" and np.ptp(metal.positions[:, 2]) == pytest.approx(
        3 * 4.05 / np.sqrt(3)
    )


def test_a_carbonate_is_cut_between_its_ions() -> None:
    from crosstalk.config.structures import _parse

    crystal = _parse(CONFIG / "structures/lithium_carbonate.cif")  # its space group's symbol is none of ASE's
    given = Atoms(crystal["symbols"], cell=crystal["cell"], positions=crystal["positions"], pbc=True)
    assert given.get_chemical_formula() == "C4Li8O12" and np.linalg.norm(crystal["cell"][0]) == pytest.approx(
        8.3593, abs=1e-3
    )
    for miller in ([0, 0, 1], [1, 1, 0]):
        cut = bare(given, miller, 1)
        i, j = neighbor_list("ij", cut, natural_cutoffs(cut, mult=slabs.BOND_FACTOR))
        oxygens = [int((cut.numbers[j[i == carbon]] == 8).sum()) for carbon in np.flatnonzero(cut.numbers == 6)]
        assert oxygens == [3] * len(oxygens) and len(oxygens)


def test_a_polar_slab_is_refused() -> None:
    with pytest.raises(CrosstalkError, match="polar slab"):
        bare(bulk("LiF", "rocksalt", a=4.03, cubic=True), [1, 1, 1], 2)


def test_what_is_bare_may_stand_beside_what_is_capped() -> None:
    silicon = cleavage.cleaved_crystal(inlined(bulk("Si", cubic=True)), [1, 1, 1], 2, {"Si": "bare"})
    assert set(silicon.symbols) == {"Si"}
    mixed = cleavage.cleaved_crystal(inlined(CRISTOBALITE), [1, 1, 1], 1, {"Si": "OH", "O": "bare"})
    assert mixed.symbols.count("H") == 1, "one side keeps its oxygen bare"


def test_sites_that_are_occupied_in_part_are_refused(tmp_path: Path) -> None:
    from crosstalk.config.structures import _parse

    text = (CONFIG / "structures/silicon.cif").read_text()
    text = text.replace("  _atom_site_fract_z\n", "  _atom_site_fract_z\n  _atom_site_occupancy\n")
    half = re.sub(r"^(  Si\d .*)$", r"\1 0.5", text, flags=re.M)
    (tmp_path / "half.cif").write_text(half)
    (tmp_path / "full.cif").write_text(half.replace(" 0.5\n", " 1.0\n"))
    assert len(_parse(tmp_path / "full.cif")["symbols"]) == 8
    with pytest.raises(ValueError, match="partly occupied"):
        _parse(tmp_path / "half.cif")
