"""Spins of surfaces: levels that set them free, rows of such levels for some surfaces, surfaces that need them."""

import pytest
from ase import Atoms
from ase.io import write

from crosstalk import costs
from crosstalk.config import load
from crosstalk.engines import gpaw
from crosstalk.errors import ConfigError
from crosstalk.observables.base import observables
from crosstalk.plan import make
from crosstalk.record import Outcome, Store
from crosstalk.reporting.methods import describe

SPIN = "pbe-d3/pw400-k-spin"
APART = "pbe-d3/pw400-k-antiparallel"


def test_atoms_start_with_the_moments_of_their_elements(config_dir):
    levels = load(config_dir).levels
    sheet = Atoms("C2HC", [(0, 0, 0), (0, 0, 1), (0, 0, 5), (0, 0, 4)], cell=[5, 5, 20], tags=[0, 0, 0, 0])
    assert gpaw.start_moments(sheet, levels[SPIN].identity()) == [0.3, 0.3, 0.0, 0.3]
    assert gpaw.start_moments(sheet, levels[APART].identity()) == [-0.3, -0.3, 0.0, 0.3]
    assert gpaw.start_moments(sheet, levels[SPIN].identity(), ghosts=[1]) == [0.3, 0.0, 0.0, 0.3]
    sheet.set_tags([0, 0, 0, 1])  # an adsorbate does not move the middle of the slab
    sheet.positions[3, 2] = 15
    assert gpaw.start_moments(sheet, levels[APART].identity())[1] == -0.3
    assert "magmoms" in gpaw.parameters(sheet, levels[SPIN].identity())
    assert "magmoms" not in gpaw.parameters(sheet, levels["pbe-d3/pw400-k"].identity())


def test_a_level_that_pairs_all_electrons_keeps_its_identity(config_dir):
    identity = load(config_dir).levels["pbe-d3/pw400-k"].identity()
    assert not {"magnetic_moments", "opposite_sides"} & identity.keys()


def test_spins_cost_more_and_are_said(config_dir):
    levels = load(config_dir).levels
    paired, free = levels["pbe-d3/pw400-k"].on(True), levels[SPIN]
    box = costs.Box(20, 0, 50.0, 30.0, conductor=True)
    assert costs.surface_energy_s(box, free.identity()) > 2 * costs.surface_energy_s(box, paired.identity())
    assert costs.surface_memory_mb(box, free.identity()) > costs.surface_memory_mb(box, paired.identity())
    assert "spin-polarised from moments of C 0.3" in describe(free) and "spin" not in describe(paired)
    assert "sides antiparallel" in describe(levels[APART])


def test_some_surfaces_get_rows_of_further_levels(config_dir, tmp_path):
    plan = make(load(config_dir), "standard")
    rows = [(entry.subject["surface"], entry.subject["level"]) for entry in plan.table("surfaces")]
    assert {name for name, level in rows if level in (SPIN, APART)} == {
        "graphite-edge-h",
        "graphite-edge-o",
        "graphite-edge-oh",
    }
    assert ("graphite-edge-h", "pbe-d3/pw400-k") in rows
    entry = next(entry for entry in plan.table("surfaces") if entry.subject["level"] == SPIN)
    spins = {"energy_ev": -5.0, "work_function_ev": 3.0, "magnetisation_mub": 1.25, "absolute_magnetisation_mub": 1.5}
    store = Store(tmp_path)
    for role, spec in entry.specs.items():
        box = Atoms("H", cell=[5, 5, 20])
        store.save(spec, Outcome(quantities=spins if role == "levels" else {}, structures=[box]), {"x": "1"}, {})
    row = observables()["surfaces"].row(entry, store.find)
    assert {key: row[key] for key in spins} == spins and not row.get("work_function_flag")


@pytest.mark.parametrize(("gap", "spins", "flag"), [(0.17, True, "mid-gap"), (0.05, True, None), (0.17, False, None)])
def test_a_conductor_whose_spins_open_a_gap_has_a_mid_gap(gap, spins, flag):
    from crosstalk.observables.workfunction import _against_the_vacuum

    levels = {
        "work_function_ev": 3.2,
        "work_function_bottom_ev": 3.2,
        "vbm_ev": -3.25,
        "cbm_ev": -3.25 + gap,
        "gap_ev": gap,
    }
    row = _against_the_vacuum(levels | ({"absolute_magnetisation_mub": 1.3} if spins else {}), conductor=True)
    assert row.get("work_function_flag") == flag
    assert row["work_function_ev"] == pytest.approx(3.25 - gap / 2 if flag else 3.2)


def test_a_level_that_is_named_twice_is_one_row(config_dir, edit):
    edit("levels", "tiers.standard.observables.surfaces.also", {"pbe-d3/pw400-k": ["graphite-edges"]})
    rows = [tuple(entry.subject.values()) for entry in make(load(config_dir), "standard").table("surfaces")]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (f"levels.{SPIN}.magnetic_moments", {"Cx": 0.3}, ["magnetic_moments", "'Cx'"]),
        (f"levels.{SPIN}.magnetic_moments", {"C": 0.0}, ["magnetic_moments", "all are zero"]),
        (f"levels.{APART}.magnetic_moments", None, ["opposite_sides needs magnetic_moments"]),
        ("levels.beef-vdw/pw400.magnetic_moments", {"C": 0.3}, ["magnetic_moments", "BEEF-vdW"]),
        ("levels.pbe-d3/pw500.magnetic_moments", {"C": 0.3}, ["beef-vdw@pbe-d3/pw500", "differs in magnetic_moments"]),
        ("tiers.standard.observables.surfaces.also", {SPIN: ["graphite-edgs"]}, ["also", "graphite-edgs", "graphite-edges"]),
        ("tiers.standard.observables.surfaces.also", {"pbe-d3/pw400-k-spn": ["graphite-edges"]}, ["pbe-d3/pw400-k-spn", SPIN]),
    ],
)  # fmt: skip
def test_slips_are_named_at_the_door(config_dir, edit, path, value, words):
    edit("levels", path, value)
    with pytest.raises(ConfigError) as error:
        load(config_dir)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(("conductor", "said"), [(False, True), (True, False)])
def test_an_insulator_with_an_odd_number_of_electrons_needs_a_spin(config_dir, edit, conductor, said):
    sheet = Atoms("C2H", [(0, 0, 5), (1.42, 0, 5), (0, 0, 6.1)], cell=[2.46, 4.26, 20], pbc=(True, True, False))
    write(config_dir / "radical.xyz", sheet, format="extxyz")
    entry = {
        "title": "a radical",
        "builder": "file",
        "structure": "radical.xyz",
        "repeat": [4, 3],
        "source": "a test",
        "groups": [],
    }
    edit("surfaces", "surfaces.radical", entry | {"conductor": conductor})
    edit("config", "campaigns.quick.observables", {"surfaces": {"surfaces": ["radical"]}})
    if not said:
        load(config_dir)
        return
    with pytest.raises(ConfigError) as error:
        load(config_dir)
    (problem,) = error.value.problems
    assert all(
        words in problem
        for words in ("surface 'radical'", "an odd number of electrons (13)", "pbe-d3/pw350-k", "magnetic_moments")
    )
