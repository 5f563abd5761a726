"""Bulk crystals: cells there and back, layers, rows of the table, surfaces cut from a relaxed crystal, and what the door refuses."""

from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from ase.spacegroup import crystal

from crosstalk.config import load
from crosstalk.config.structures import crystal_settings
from crosstalk.errors import ConfigError, CrosstalkError, UnlikeError
from crosstalk.observables.base import observables
from crosstalk.plan import make
from crosstalk.quantities import combine
from crosstalk.record import Gate, Outcome, Store
from crosstalk.reporting import database, summary, tables
from crosstalk.reporting.structures import pictures
from crosstalk.runner import run_all
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.structures import crystals, slabs

from .small import merged
from .surfaces import SHEET, config

GRAPHITE = crystal("CC", [(0, 0, 0.25), (1 / 3, 2 / 3, 0.25)], spacegroup=194, cellpar=[2.464, 2.464, 6.711, 90, 90, 120])  # fmt: skip
SILICON = bulk("Si", "diamond", a=5.43, cubic=True)
CONFIG = Path(__file__).parents[2] / "config"
QUARTZ = read(CONFIG / "structures" / "alpha_quartz.cif")


# -- structures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "count"), [(SILICON, 2), (QUARTZ, 9), (GRAPHITE, 4), (SILICON.repeat((2, 1, 1)), 2)])
def test_a_primitive_cell_makes_the_given_one_again(given, count):
    small, integers = crystals.primitive(given, 0.01)
    again = crystals.in_setting(small, integers)
    assert len(small) == count and len(again) == len(given)
    assert again.cell.array == pytest.approx(given.cell.array, abs=1e-6)
    apart = again.get_scaled_positions()[:, None] - given.get_scaled_positions()[None]
    apart -= np.round(apart)
    nearest = np.linalg.norm(apart @ given.cell.array, axis=2).argmin(axis=1)
    assert sorted(nearest) == list(range(len(given)))
    assert again.numbers.tolist() == given.numbers[nearest].tolist()
    assert crystals.space_group(small, 0.01) == crystals.space_group(given, 0.01)


def test_numbers_of_a_crystal():
    found = crystals.describe(QUARTZ, False)
    assert found["formula_volume_angstrom3"] == pytest.approx(
        113.131 / 3, abs=1e-3
    )  # cell volume of the same database entry
    assert found["bulk_density_g_cm3"] == pytest.approx(2.646, abs=2e-3)  # and its density
    assert "interlayer_angstrom" not in found
    assert crystals.describe(GRAPHITE, True)["interlayer_angstrom"] == pytest.approx(6.711 / 2)
    assert crystals.describe(GRAPHITE, True)["formula_volume_angstrom3"] == pytest.approx(GRAPHITE.get_volume() / 4)


def test_a_layer_is_whole_wherever_the_cell_cuts_it():
    """Moved up by any share of the cell, a buckled layer that sticks through the cell's face comes out the same."""
    buckled = GRAPHITE.copy()
    buckled.positions[:, 2] += [0.2, -0.2, -0.2, 0.2]
    for shift in (0.0, 0.26, 0.74):
        moved = buckled.copy()
        moved.set_scaled_positions(moved.get_scaled_positions() + np.array([0.1, 0, shift]))
        moved.wrap()
        alone = crystals.layer(moved)
        assert len(alone) == 2 and np.ptp(alone.positions[:, 2]) == pytest.approx(0.4, abs=1e-6)
        assert alone.pbc.tolist() == [True, True, False]
        assert alone.cell.cellpar()[[0, 1, 5]] == pytest.approx(GRAPHITE.cell.cellpar()[[0, 1, 5]])


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (SILICON, "along its third cell vector"),
        (Atoms("Ar", cell=[5, 5, 5], pbc=True), "do not connect"),
        (Atoms("C2", [(0, 0, 0), (1.4, 0, 0)], cell=[2.8, 9, 9], pbc=True), "do not connect"),
    ],
)
def test_what_has_no_layers_is_refused(atoms, words):
    with pytest.raises(CrosstalkError, match=words):
        crystals.layer(atoms)


def test_layers_of_several_kinds_are_refused():
    mixed = GRAPHITE.copy()
    mixed.symbols[[i for i in range(4) if mixed.positions[i, 2] > 3]] = ["B", "N"]
    with pytest.raises(CrosstalkError, match="differ in composition"):
        crystals.layer(mixed)


# -- the table -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped():
    return make(load(CONFIG), "lattices")


def filled(entry, folder, energies, **bulk_quantities):
    """The row of an entry: energies of the roles, eV; atoms as many as each structure has."""
    store = Store(folder)
    structures = {"bulk": GRAPHITE, "crystal": crystals.in_frame(GRAPHITE), "layer": crystals.layer(GRAPHITE)}
    for role, energy in energies.items():
        atoms = structures[role]
        quantities = {"energy_ev": energy, "dispersion_ev": energy / 100, "n_atoms": len(atoms)}
        gates = [Gate("symmetry_kept", True, "P6_3/mmc (194)", "P6_3/mmc (194)")]
        quantities |= bulk_quantities if role == "bulk" else {}
        store.save(entry.specs[role], Outcome(quantities=quantities, gates=gates, structures=[atoms]), {"x": "1"}, {})
    return observables()["lattices"].row(entry, store.find)


def layered(plan):
    return next(e for e in plan.table("lattices") if plan.config.crystals[e.subject["crystal"]].layered)


def test_binding_of_layers_is_that_of_one_atom(shipped, tmp_path):
    row = filled(layered(shipped), tmp_path, {"bulk": -40.0, "crystal": -40.0, "layer": -19.9}, lattice_a_angstrom=2.46)
    assert row["layer_binding_per_atom_ev"] == pytest.approx(-19.9 / 2 + 40.0 / 4)
    assert row["layer_dispersion_per_atom_ev"] == pytest.approx(0.0005)
    assert row["energy_per_atom_ev"] == -10.0 and row["lattice_a_angstrom"] == 2.46
    assert row["space_group"] == "P6_3/mmc (194)" and row["composition"] == "C4" and row["status"] == "ok"


def test_layers_are_computed_of_layered_crystals_only(shipped):
    for entry in shipped.table("lattices"):
        assert (len(entry.specs) == 3) == shipped.config.crystals[entry.subject["crystal"]].layered


def test_boxes_that_differ_in_their_plane_are_refused(shipped, tmp_path):
    specs, store = layered(shipped).specs, Store(tmp_path)
    other = crystals.layer(GRAPHITE)
    for role, atoms in (("crystal", crystals.in_frame(GRAPHITE)), ("layer", other)):
        store.save(specs[role], Outcome(quantities={"energy_ev": -10.0}, structures=[atoms]), {}, {})
    terms = [(1, store.find(specs["layer"])), (-1, store.find(specs["crystal"]))]
    assert combine("energy_ev", terms, plane=True) == 0.0
    with pytest.raises(UnlikeError, match="cell"):
        combine("energy_ev", terms)
    other.set_cell(other.cell * [1.01, 1, 1], scale_atoms=True)
    store.save(specs["layer"], Outcome(quantities={"energy_ev": -10.0}, structures=[other]), {}, {})
    with pytest.raises(UnlikeError, match="cell"):
        combine("energy_ev", [(1, store.find(specs["layer"])), terms[1]], plane=True)


def test_made_up_numbers_go_all_the_way_to_the_references(tmp_path, config_dir):
    plan = make(load(config_dir), "lattices", "fake")
    store = Store(tmp_path / "store")
    assert run_all(plan.specs.values(), store) == 0
    found = tables.rows(plan, store)
    assert {row["status"] for row in found["lattices"]} == {"ok"}
    assert all(
        (row["interlayer_angstrom"] is not None) == plan.config.crystals[row["crystal"]].layered
        for row in found["lattices"]
    )
    _, compared = tables.results(plan, found)
    assert {row["quantity"] for row in compared} >= {
        "lattice_a_angstrom",
        "interlayer_angstrom",
        "layer_binding_per_atom_ev",
    }
    assert all(row["error"] == pytest.approx(row["value"] - row["reference_value"]) for row in compared)
    (binding,) = [row for row in compared if row["reference"] == "graphite-layer-binding"]
    assert binding["reference_value"] == pytest.approx(0.052) and binding["unit"] == "eV"
    with ase.db.connect(database.write(plan, store, tmp_path / "crosstalk.db")) as written:
        assert written.count(table="lattices") == len(found["lattices"])
    page = summary.page(plan, store)
    assert "lattice_a (Å)" in page and f"{found['lattices'][0]['lattice_a_angstrom']:.3f}" in page
    assert len([p for p in pictures(plan, store) if p.atoms is not None]) == len(found["lattices"])


# -- surfaces cut from a relaxed crystal ----------------------------------------------------------------------------

CRYSTALS = {"stack": {"file": "stack.cif", "layered": True}, "hard": {"file": "hard.cif"}}
CELLS = {"cells": {"engine": "gpaw", "mode": "pw", "cutoff_ev": 800, "kpoint_spacing_per_angstrom": 0.5}}
CUT = {"builder": "graphite_basal", "bulk": "stack", "layers": 1, "repeat": [4, 4], "groups": ["sheets"], "conductor": True}  # fmt: skip
CLEAVED = {"builder": "cleaved_crystal", "bulk": "hard", "miller": [1, 1, 1], "layers": 1, "caps": {"Si": "H"}, "repeat": [2, 2], "groups": ["sheets"]}  # fmt: skip


def bulky(folder, lattices=None, surfaces=None, crystal=None, **level):
    """The small config with surfaces that are cut from crystals; changes of the tier's section, of surfaces, of crystals, of the level."""
    (folder / "config").mkdir(exist_ok=True)
    GRAPHITE.write(folder / "config" / "stack.cif")
    SILICON.write(folder / "config" / "hard.cif")
    tier = {"lattices": lattices or {"level": "cells"}, "observables": {"lattices": {"levels": ["cells"]}}}
    return config(
        folder,
        surfaces={"surfaces": merged({"cut": CUT, "cleaved": CLEAVED}, surfaces or {}), "crystals": merged(CRYSTALS, crystal or {})},
        levels={"levels": merged(CELLS, {"cells": level}), "tiers": {"films": tier}},
        config={"campaigns": {"films": {"observables": {"lattices": {"crystals": ["stack"]}, "adsorption": None}}}},
    )  # fmt: skip


def problems(*arguments, **changes):
    with pytest.raises(ConfigError) as error:
        load(bulky(*arguments, **changes))
    return error.value.problems


def test_a_surface_needs_its_crystal_and_shares_it_with_the_table(tmp_path):
    plan = make(load(bulky(tmp_path)))
    named = {entry.subject["surface"]: entry.specs["slab"] for entry in plan.table("surfaces")}
    (row,) = plan.table("lattices")
    assert named["cut"].inputs["bulk"] == row.specs["bulk"].key, "one relaxation for both"
    assert "lattice_angstrom" not in named["cut"].settings["surface"] and "bulk" not in named["cut"].settings["surface"]
    assert plan.specs[named["cleaved"].inputs["bulk"]].step == "bulk_relax"
    assert not named["sheet"].inputs, "a lattice that is given needs no crystal"


def test_slabs_with_a_lattice_of_their_own_keep_their_identity(tmp_path):
    """To the byte: the settings of such a slab hold what they held before surfaces could be cut from a crystal."""
    plan = make(load(config(tmp_path)))
    (sheet,) = [e.specs["slab"] for e in plan.table("surfaces") if e.subject["surface"] == "sheet"]
    told = {key: SHEET[key] for key in ("builder", "lattice_angstrom", "interlayer_angstrom", "layers")}
    relax = {"fmax_ev_per_angstrom": 0.05, "max_steps": 60, "freeze_below": 0.0}
    assert sheet.key == Spec("slab", "none", {"surface": told, "relax": relax, "level": None}, {}, 1).key


@pytest.mark.parametrize("a", [2.40, 2.50])
def test_a_slab_has_the_lattice_of_the_relaxed_crystal(tmp_path, a):
    plan = make(load(bulky(tmp_path)))
    named = {entry.subject["surface"]: entry.specs["slab"] for entry in plan.table("surfaces")}
    stretched = GRAPHITE.copy()
    stretched.set_cell(stretched.cell.array * (a / 2.464), scale_atoms=True)
    found = slabs.slab(named["cut"], {"bulk": Input(None, [stretched])}, tmp_path).structures[0]
    assert found.cell.lengths()[:2] == pytest.approx([a, a])
    hard = SILICON.copy()
    hard.set_cell(hard.cell.array * (a / 2.464), scale_atoms=True)
    found = slabs.slab(named["cleaved"], {"bulk": Input(None, [hard])}, tmp_path).structures[0]
    assert found.cell.lengths()[:2] == pytest.approx([5.43 / np.sqrt(2) * a / 2.464] * 2, abs=1e-3)


def test_a_slab_in_the_setting_of_the_file_whatever_cell_was_relaxed():
    """Miller indices are those of the file's cell, so the crystal's record must hold that cell and not the primitive one."""
    small, integers = crystals.primitive(SILICON, 0.01)
    settings = {key: CLEAVED[key] for key in ("builder", "miller", "layers", "caps")} | {"miller": [1, 0, 0]}
    one = slabs.build(crystals.cut_from(settings, crystals.in_setting(small, integers)))
    other = slabs.build(crystals.cut_from(settings, SILICON))
    assert one.symbols.get_chemical_formula() == other.symbols.get_chemical_formula()
    assert one.cell.cellpar() == pytest.approx(other.cell.cellpar(), abs=1e-6)


def test_graphite_builders_want_a_hexagonal_plane():
    with pytest.raises(CrosstalkError, match="not hexagonal"):
        crystals.cut_from({"builder": "graphite_basal", "layers": 1}, SILICON)


# -- the door ------------------------------------------------------------------------------------------------------


def test_a_cell_is_not_relaxed_at_a_small_cutoff(tmp_path):
    found = problems(tmp_path, cutoff_ev=400)
    assert len(found) == 2  # the tier's section and the observable's level
    assert all("cutoff of 400 eV" in line and "800 eV or more" in line and "Pulay stress" in line for line in found)
    assert {line.split(": level 'cells'")[0].split(": ")[-1] for line in found} == {"lattices", "observables.lattices.levels"}  # fmt: skip


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ({"mode": "lcao", "basis": "dzp"}, ["is LCAO", "plane waves of 800 eV"]),
        ({"kpoint_spacing_per_angstrom": None}, ["Gamma point only", "kpoint_spacing_per_angstrom"]),
        ({"functional": "BEEF-vdW", "dispersion": None}, ["BEEF-vdW", "non-local"]),
    ],
)
def test_levels_that_cannot_relax_a_cell_are_refused(tmp_path, level, words):
    found = problems(tmp_path, **level)
    assert any(all(word in line for word in words) for line in found), found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"surfaces": {"cut": {"bulk": "stak"}}}, ["surfaces 'cut'", "key 'bulk'", "unknown crystal 'stak'", "'stack'"]),
        ({"surfaces": {"cut": {"lattice_angstrom": 2.46}}}, ["surfaces 'cut'", "either bulk, or lattice_angstrom and interlayer_angstrom"]),
        ({"surfaces": {"cleaved": {"bulk": None}}}, ["surfaces 'cleaved'", "either bulk, or crystal"]),
        ({"surfaces": {"cut": {"bulk": "hard"}}}, ["surfaces 'cut'", "not hexagonal"]),
        ({"crystal": {"hard": {"layered": True}}}, ["crystals 'hard'", "no layered crystal"]),
        ({"crystal": {"hard": {"file": "none.cif"}}}, ["crystals 'hard'", "key 'file'", "none.cif"]),
        ({"crystal": {"twin": {"file": "hard.cif"}}}, ["crystals 'twin'", "means the same as 'hard'"]),
        ({"crystal": {"hard": {"layerd": True}}}, ["crystals 'hard'", "unknown key 'layerd'", "did you mean 'layered'"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_crystals_is_one_line(tmp_path, changes, words):
    found = problems(tmp_path, **changes)
    assert any(all(word in line for word in words) for line in found), found


def test_a_tier_that_relaxes_no_crystals_says_so(config_dir, edit):
    edit("levels", "tiers.standard.lattices", None)
    edit("surfaces", ["surfaces", "graphite-basal-2", "bulk"], "graphite-AB")
    for key in ("lattice_angstrom", "interlayer_angstrom"):
        edit("surfaces", ["surfaces", "graphite-basal-2", key], None)
    with pytest.raises(ConfigError) as error:
        load(config_dir)
    text = "\n".join(error.value.problems)
    assert "campaigns 'lattices'" in text and "no section 'lattices', which lattices needs" in text
    assert "surface 'graphite-basal-2' is cut from a relaxed crystal" in text and "campaigns 'standard'" in text


def test_a_set_may_bring_crystals(config_dir):
    folder = config_dir / "sets" / "mine"
    folder.mkdir()
    (config_dir / "structures" / "mine.cif").write_text((config_dir / "structures" / "silicon.cif").read_text().replace("5.4313", "5.5"))  # fmt: skip
    (folder / "surfaces.yaml").write_text("surfaces: {}\ncrystals:\n  mine: {file: structures/mine.cif}\n")
    found = load(config_dir)
    assert crystal_settings(found, found.crystals["mine"])["cell"][0][0] == 5.5
    (folder / "surfaces.yaml").write_text("surfaces: {}\ncrystals:\n  silicon-diamond: {file: structures/mine.cif}\n")
    with pytest.raises(ConfigError, match="duplicate name 'silicon-diamond'"):
        load(config_dir)
