"""One setting at a time: the plan of a scan, its rows."""

import pytest
from ase.build import molecule

from crosstalk.config import load
from crosstalk.observables.base import observables
from crosstalk.plan import make
from crosstalk.record import Outcome, Store
from crosstalk.reporting import tables

SCAN = {"cutoff_ev": [500, 650], "kpoint_spacing_per_angstrom": [0.5], "layers": [2, 3], "vacuum_angstrom": [14.0], "repeat": [[5, 5]], "wider": [[1, 0]]}  # fmt: skip


@pytest.fixture
def plan(config_dir, edit):
    edit("levels", "tiers.standard.observables.convergence", {"levels": ["pbe-d3/pw500"], **SCAN})
    edit("config", "campaigns.convergence.observables.convergence", {"adsorbates": ["EC"], "surfaces": ["graphite-basal-2"]})  # fmt: skip
    return make(load(config_dir), "convergence")


def test_each_setting_is_varied_alone(plan):
    entries = plan.table("convergence")
    assert [(e.subject["setting"], e.subject["value"]) for e in entries] == [
        ("campaign", ""), ("cutoff_ev", "500"), ("cutoff_ev", "650"), ("kpoint_spacing_per_angstrom", "0.5"), ("layers", "2"), ("layers", "3"),
        ("repeat", "5x5"), ("repeat", "5x4"), ("vacuum_angstrom", "14"),
    ]  # fmt: skip
    here = entries[0].specs
    for entry in entries[1:]:
        assert entry.specs["campaign's slab"] is here["slab"]
    assert entries[1].specs["slab"] is here["slab"], "the campaign's own value is no calculation of its own"
    (lowest,) = (spec for spec in plan.specs.values() if spec.step == "pose_ensemble")
    coarser, finer = here["slab"].settings["level"], entries[2].specs["pose"].settings["level"]
    assert {k for k in finer if finer[k] != coarser[k]} == {"cutoff_ev"}
    assert entries[2].specs["pose"].inputs["geometry"] == lowest.key, "the lowest pose, relaxed"
    assert entries[4].specs["pose 1"] is here["pose 1"], "nor is its own number of layers"
    thicker = plan.specs[entries[5].specs["pose"].inputs["geometry"]]
    assert thicker.step == "transplant" and plan.specs[thicker.inputs["slab"]].settings["surface"]["layers"] == 3
    assert thicker.inputs["geometry"] == lowest.key and thicker.settings["more_vacuum_angstrom"] == 0.0
    assert not plan.specs[thicker.inputs["slab"]].inputs, "graphite's atoms are not displaced"
    taller = plan.specs[entries[8].specs["pose"].inputs["geometry"]]
    assert taller.settings["more_vacuum_angstrom"] == 4.0


def test_the_campaigns_own_numbers_are_those_of_the_table_of_adsorption_energies(plan, config_dir, edit):
    edit("config", "campaigns.own.observables.adsorption", {"adsorbates": ["EC"], "surfaces": ["graphite-basal-2"]})
    edit("config", "campaigns.own.tier", "standard")
    own = make(load(config_dir), "own").table("adsorption")[0].specs
    here = plan.table("convergence")[0].specs
    assert [*here] == ["slab", "molecule", "pose 1", "pose 2", "pose 3"]
    assert all(here[role].key == own[role].key for role in here)


def test_another_model_of_a_surface_is_relaxed_as_the_surface_itself(config_dir, edit):
    edit(
        "levels",
        "tiers.standard.observables.convergence",
        {"levels": ["pbe-d3/pw500"], "layers": [3], "wider": [[1, 0]]},
    )
    edit("config", "campaigns.convergence.observables.convergence", {"adsorbates": ["EC"], "surfaces": ["quartz-siloxane-2"]})  # fmt: skip
    made = make(load(config_dir), "convergence")
    relaxed = [spec for spec in made.specs.values() if spec.step == "slab"]
    assert len(relaxed) == 2, "a wider cell is the same slab, repeated"
    own, thicker = sorted(relaxed, key=lambda spec: spec.settings["surface"]["layers"])
    assert own.settings["level"] == thicker.settings["level"], "levels.yaml names this surface"
    assert dict(thicker.inputs) == {"settled": own.key} and thicker.settings["settled_layers"] == 2, (
        "displaced atoms fall into one of many valleys: a thicker slab begins in that of the thin one"
    )


def test_a_scan_without_adsorption_energies_is_refused_at_the_door(config_dir, edit):
    from crosstalk.errors import ConfigError

    edit("levels", "tiers.accurate.observables.convergence", {"levels": ["pbe-d3/pw500"], "cutoff_ev": [650]})
    edit("levels", "tiers.accurate.observables.adsorption", None)
    edit("config", "campaigns.convergence.tier", "accurate")
    with pytest.raises(ConfigError, match="no settings for adsorption, whose results convergence varies"):
        load(config_dir)


@pytest.fixture
def row(plan, tmp_path):
    """row(energies of roles, statuses of roles): the row of a scan's value whose other records are these."""
    entry = plan.table("convergence")[2]

    def made(energies, **statuses):
        store = Store(tmp_path)
        for role, spec in entry.specs.items():
            status = statuses.get(role.removeprefix("campaign's ").replace(" ", "_"), "ok")
            if status != "missing":
                store.save(spec, Outcome(status, quantities={"energy_ev": energies.get(role, 0.0)}), {"x": "1"}, {})
        return observables()["convergence"].row(entry, tables.reader(plan, store))

    return made


ENERGIES = {"slab": -10.0, "molecule": -5.0, "pose": -15.53, "campaign's slab": -10.0, "campaign's molecule": -5.0,
            "campaign's pose 1": -15.4, "campaign's pose 2": -15.5, "campaign's pose 3": -15.45}  # fmt: skip


def test_a_row_is_the_change_of_the_adsorption_energy_of_the_lowest_pose(row):
    found = row(ENERGIES)
    assert found["e_ads_ev"] == pytest.approx(-0.53) and found["e_ads_change_ev"] == pytest.approx(-0.03)
    assert found["status"] == "ok"


@pytest.mark.parametrize(("setting", "value"), [("repeat", "5x4"), ("layers", "3")])
def test_where_the_displaced_slab_ends_in_a_seam_the_change_is_that_of_the_interaction(plan, tmp_path, setting, value):
    """What it costs to displace a slab that does not relax around that is no adsorption: the campaign's deformation, 0.3 eV, stands."""
    asked = {"setting": setting, "value": value}
    entry, store = next(e for e in plan.table("convergence") if e.subject.items() >= asked.items()), Store(tmp_path)
    energies = {"slab": -20.0, "slab in place": -19.5, "molecule": -5.0, "pose": -25.41,
                "campaign's slab": -10.0, "campaign's slab in place": -9.7, "campaign's molecule": -5.0,
                "campaign's pose 1": -15.4, "campaign's pose 2": -15.6, "campaign's pose 3": -15.5}  # fmt: skip
    assert set(energies) == set(entry.specs)
    assert {spec.settings["part"] for role, spec in entry.specs.items() if "in place" in role} == {"slab"}

    def save(role):
        wide = 9.0 if role.startswith("campaign") else 18.0
        its = [molecule("H2O", cell=[wide, 9.0, 24.0], pbc=(True, True, False))]
        outcome = Outcome("ok", quantities={"energy_ev": energies[role]}, structures=its)
        store.save(entry.specs[role], outcome, {"x": "1"}, {})

    for role in set(energies) - {"slab in place"}:
        save(role)
    waiting = observables()["convergence"].row(entry, tables.reader(plan, store))
    assert waiting["status"] == "missing" and waiting["e_ads_change_ev"] is None
    save("slab in place")
    found = observables()["convergence"].row(entry, tables.reader(plan, store))
    assert found["e_ads_change_ev"] == pytest.approx(-0.91 + 0.9) and found["e_ads_ev"] == pytest.approx(-0.61)
    assert found["status"] == "ok"


def test_poses_that_came_to_nothing_are_left_out_and_those_that_are_missing_are_not(row):
    assert row(ENERGIES, pose_1="not_converged")["e_ads_change_ev"] == pytest.approx(-0.03)
    lacking = row(ENERGIES, molecule="not_converged")
    assert lacking["status"] == "not_converged" and lacking["e_ads_ev"] is None


def test_a_pose_that_is_not_computed_yet_may_be_the_lowest(row):
    found = row(ENERGIES, pose_3="missing")
    assert found["status"] == "missing" and found["e_ads_change_ev"] is None and found["e_ads_ev"] is not None


def test_what_the_settings_cost_is_said_in_a_sentence(plan):
    changes = {
        ("cutoff_ev", "350"): 0.2, ("cutoff_ev", "500"): -0.012, ("kpoint_spacing_per_angstrom", "0.5"): 0.3, ("kpoint_spacing_per_angstrom", "0.3"): 0.004,
        ("repeat", "5x5"): 0.001, ("repeat", "4x4"): 0.5, ("layers", "3"): None,
    }  # fmt: skip
    fixed = {"adsorbate": "EC", "surface": "s", "level": "l"}
    rows = [fixed | {"setting": s, "value": v, "e_ads_change_ev": c} for (s, v), c in changes.items()]
    rows += [fixed | {"setting": "campaign", "value": "", "e_ads_change_ev": 0.0}]
    (text,) = observables()["convergence"].remarks(rows)
    assert "cutoff_ev (against 500) +12 meV" in text and "kpoint_spacing_per_angstrom (against 0.3) -4 meV" in text
    assert (
        "repeat (against 5x5) -1 meV" in text
        and "together +7 meV, within the 30 meV" in text
        and "without layers" in text
    )
    rows[1]["e_ads_change_ev"] = -0.04
    assert "not within" in observables()["convergence"].remarks(rows)[0]
    assert observables()["convergence"].remarks([]) == []


@pytest.mark.parametrize(
    ("scan", "words"),
    [
        ({}, ["nothing is varied", "cutoff_ev"]),
        ({"repeat": [[4]]}, ["repeat", "no pair"]),
        ({"wider": [[1, -1]]}, ["wider", "no pair"]),
    ],
)
def test_a_scan_of_nothing_is_refused_at_the_door(config_dir, edit, scan, words):
    from crosstalk.errors import ConfigError

    edit("levels", "tiers.standard.observables.convergence", {"levels": ["pbe-d3/pw500"], **scan})
    with pytest.raises(ConfigError) as error:
        load(config_dir)
    assert all(word in str(error.value) for word in words)


def test_a_model_that_cannot_be_built_is_named_at_the_door(config_dir, edit):
    from crosstalk.errors import ConfigError

    edit("config", "campaigns.convergence.observables.convergence", {"adsorbates": ["EC"], "surfaces": ["silica-lithiated-2"]})  # fmt: skip
    edit("surfaces", "surfaces.silica-lithiated-2.insertion.ratio", 0.0625)  # one atom in two layers, half a one in one
    with pytest.raises(ConfigError) as error:
        load(config_dir)
    assert all("silica-lithiated-2' with layers" in problem for problem in error.value.problems)


def test_the_figure_has_a_panel_for_each_setting(plan, tmp_path):
    from crosstalk.reporting import plots

    rows = []
    for number, entry in enumerate(plan.table("convergence")):
        rows.append(dict(entry.subject) | {"e_ads_ev": -0.5, "e_ads_change_ev": 0.004 * number, "status": "ok"})
    figure = plots.convergence(rows)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["cutoff (eV)", "k-point spacing (1/Angstrom)", "layers", "repeat", "vacuum (Angstrom)"]
    heights = [line.get_ydata().tolist() for line in figure.axes[0].lines if len(line.get_xdata()) == 2 and line.get_label()[0] != "_"]  # fmt: skip
    assert heights == [[4.0, 8.0]]
    plots.convergence([])
