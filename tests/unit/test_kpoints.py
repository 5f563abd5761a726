"""Which k-points a surface is computed with: fewer for insulators, another level for slabs of one's choice."""

import pytest
from ase import Atoms

from crosstalk import costs
from crosstalk.config import load
from crosstalk.observables import workfunction
from crosstalk.observables.base import observables
from crosstalk.plan import make
from crosstalk.record import Outcome, Store
from crosstalk.reporting.methods import describe

BOX = Atoms("H", cell=[5, 5, 20])
LEVEL = "tiers.standard.slabs.instead"


def planned(config_dir, edit, surfaces):
    edit("config", "campaigns.quick.tier", "standard")
    edit("config", "campaigns.quick.observables", {"surfaces": {"surfaces": surfaces}})
    return make(load(config_dir), "quick")


def spacing(plan, surface, role="levels"):
    (entry,) = [entry for entry in plan.table("surfaces") if entry.subject["surface"] == surface]
    return entry.specs[role].settings["level"]["kpoint_spacing_per_angstrom"]


def test_an_insulator_takes_fewer_points_than_a_conductor(config_dir, edit):
    edit("levels", "levels.pbe-d3/pw400-k.kpoint_spacing_per_angstrom", 0.25)
    edit("levels", "levels.pbe-d3/pw400-k.insulator_kpoint_spacing_per_angstrom", 0.5)
    plan = planned(config_dir, edit, ["graphite-basal-1", "silica-hydroxylated-1"])
    assert spacing(plan, "graphite-basal-1") == 0.25 and spacing(plan, "silica-hydroxylated-1") == 0.5
    for entry in plan.table("surfaces"):
        assert "insulator_kpoint_spacing_per_angstrom" not in entry.specs["levels"].settings["level"]
        assert entry.subject["level"] == "pbe-d3/pw400-k"
    words = describe(plan.config.levels["pbe-d3/pw400-k"])
    assert "k-points every 0.25 1/Å, of insulators every 0.5 1/Å" in words


def test_a_crystal_is_a_conductor_unless_the_config_says_otherwise(config_dir, edit):
    edit("levels", "levels.pbe-d3/pw800.kpoint_spacing_per_angstrom", 0.2)
    edit("levels", "levels.pbe-d3/pw800.insulator_kpoint_spacing_per_angstrom", 0.5)
    plan = make(load(config_dir), "lattices")
    found = {e.subject["crystal"]: e.specs["bulk"].settings["level"] for e in plan.table("lattices")}
    assert {name: level["kpoint_spacing_per_angstrom"] for name, level in found.items()} == {
        "graphite-AB": 0.2, "silicon-diamond": 0.2, "alpha-quartz": 0.5, "beta-cristobalite": 0.5, "sio-ordered": 0.2
    }  # fmt: skip
    (layered,) = [e for e in plan.table("lattices") if "layer" in e.specs]
    assert layered.specs["layer"].settings["level"] == layered.specs["bulk"].settings["level"], "energies alike"


def test_a_metal_with_the_points_of_an_insulator_is_flagged(config_dir, edit, tmp_path):
    edit("levels", "levels.pbe-d3/pw400-k.insulator_kpoint_spacing_per_angstrom", 0.86)
    plan = planned(config_dir, edit, ["graphite-basal-1", "sio-lithiated-2"])
    gapless = {"work_function_ev": 2.3, "work_function_bottom_ev": 2.3, "vbm_ev": -2.3, "cbm_ev": -2.3, "gap_ev": 0.0, "energy_ev": 0.0}  # fmt: skip
    for entry in plan.table("surfaces"):
        store = Store(tmp_path / entry.subject["surface"])
        for role, spec in entry.specs.items():
            store.save(spec, Outcome(quantities=gapless if role == "levels" else {}, structures=[BOX]), {"x": "1"}, {})
        row = observables()["surfaces"].row(entry, store.find)
        expected = workfunction.FEW if entry.subject["surface"] == "sio-lithiated-2" else None
        assert row["work_function_ev"] == 2.3 and row["work_function_flag"] == expected


def test_a_level_without_the_key_keeps_its_identity(config_dir):
    level = load(config_dir).levels["pbe-d3/pw350-k0.8"]
    assert level.on(conductor=True).identity() == level.on(conductor=False).identity() == level.identity()


def test_a_slab_of_ones_choice_is_relaxed_at_another_level(config_dir, edit):
    edit("levels", LEVEL, {"pbe-d3/pw350": ["quartz"]})
    plan = planned(config_dir, edit, ["quartz-siloxane-2", "silica-hydroxylated-2"])
    assert spacing(plan, "quartz-siloxane-2", "slab") is None
    assert spacing(plan, "silica-hydroxylated-2", "slab") == 0.8
    assert all("instead" not in spec.settings["relax"] for spec in plan.specs.values() if spec.step == "slab")


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        ({"pbe-d3/pw350": ["quarts"]}, ["slabs.instead.pbe-d3/pw350", "quarts", "quartz"]),
        ({"pbe-d3/pw35": ["quartz"]}, ["slabs", "pbe-d3/pw35", "pbe-d3/pw350"]),
    ],
)
def test_a_slip_in_it_is_named_at_the_door(config_dir, edit, instead, words):
    from crosstalk.errors import ConfigError

    edit("levels", LEVEL, instead)
    with pytest.raises(ConfigError) as error:
        load(config_dir)
    assert all(word in str(error.value) for word in words)


def test_what_a_mesh_costs_counts_the_points_that_time_reversal_leaves():
    box = costs.Box(10, 0, area=100.0, height=20.0)
    works = [
        costs.kpoints_work(box, {"kpoint_spacing_per_angstrom": spacing}) for spacing in (None, 0.7, 0.4, 0.3, 0.2)
    ]
    assert works == pytest.approx([1, 1, *(costs.COMPLEX * n for n in (4, 5, 10))])
