"""One setting at a time: the plan of a scan, its rows, and moving an adsorbate to another model of its surface."""

import numpy as np
import pytest
from ase import Atoms

from crosstalk.config import load
from crosstalk.errors import PhysicsFailure
from crosstalk.observables.base import observables
from crosstalk.plan import make
from crosstalk.record import Outcome, Store
from crosstalk.structures import slabs, transplants

SCAN = {"cutoff_ev": [400, 500], "kpoint_spacing_per_angstrom": [0.5], "layers": [2, 3], "vacuum_angstrom": [14.0], "repeat": [[5, 5]]}  # fmt: skip


@pytest.fixture
def plan(config_dir, edit):
    edit("levels", "tiers.standard.observables.convergence", {"levels": ["pbe-d3/pw400"], **SCAN})
    edit("config", "campaigns.convergence.observables.convergence", {"adsorbates": ["EC"], "surfaces": ["graphite-basal-2"]})  # fmt: skip
    return make(load(config_dir), "convergence")


def test_each_setting_is_varied_alone(plan):
    entries = plan.table("convergence")
    assert [(e.subject["setting"], e.subject["value"]) for e in entries] == [
        ("campaign", ""), ("cutoff_ev", "400"), ("cutoff_ev", "500"), ("kpoint_spacing_per_angstrom", "0.5"), ("layers", "2"), ("layers", "3"),
        ("repeat", "5x5"), ("vacuum_angstrom", "14"),
    ]  # fmt: skip
    here = entries[0].specs
    for entry in entries[1:]:
        assert entry.specs["campaign's slab"] is here["slab"]
    assert entries[1].specs["slab"] is here["slab"], "the campaign's own value is no calculation of its own"
    finer = entries[2].specs["pose 1"].settings["level"]
    assert {k for k in finer if finer[k] != here["pose 1"].settings["level"][k]} == {"cutoff_ev"}
    thicker = plan.specs[entries[5].specs["pose 1"].inputs["geometry"]]
    assert thicker.step == "transplant" and plan.specs[thicker.inputs["slab"]].settings["surface"]["layers"] == 3


def test_a_row_is_the_change_of_the_adsorption_energy(plan, tmp_path):
    store, entry = Store(tmp_path), plan.table("convergence")[2]
    energies = {"slab": -10.0, "molecule": -5.0, "pose 1": -15.5}
    for role, spec in entry.specs.items():
        value = energies[role.removeprefix("campaign's ")] - (0.03 if role == "pose 1" else 0.0)
        store.save(spec, Outcome(quantities={"energy_ev": value}), {"x": "1"}, {})
    row = observables()["convergence"].row(entry, store.find)
    assert row["e_ads_ev"] == pytest.approx(-0.53) and row["e_ads_change_ev"] == pytest.approx(-0.03)


@pytest.mark.parametrize(
    ("scan", "words"), [({}, ["nothing is varied", "cutoff_ev"]), ({"repeat": [[4]]}, ["repeat", "no pair"])]
)
def test_a_scan_of_nothing_is_refused_at_the_door(config_dir, edit, scan, words):
    from crosstalk.errors import ConfigError

    edit("levels", "tiers.standard.observables.convergence", {"levels": ["pbe-d3/pw400"], **scan})
    with pytest.raises(ConfigError) as error:
        load(config_dir)
    assert all(word in str(error.value) for word in words)


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


def layers(count):
    return slabs.graphite_basal(2.467, 3.35, count)


def posed(slab, repeat=(4, 4)):
    """Bare slab, molecule and pose in one box, as a pose search leaves them; the molecule 3 Angstrom above an atom."""
    from crosstalk.structures.poses import boxed

    bare = slab.repeat((*repeat, 1))
    bare.set_tags(0)
    top = bare[int(bare.positions[:, 2].argmax())].position
    molecule = Atoms("CO", [top + np.array([0, 0, height]) for height in (3.0, 4.1)], tags=1)
    return boxed(bare, molecule, [bare + molecule], 10.0)


@pytest.mark.parametrize(("count", "repeat"), [(1, (4, 4)), (2, (5, 5)), (3, (4, 4))])
def test_a_moved_adsorbate_stands_over_the_same_place(tmp_path, count, repeat):
    from crosstalk.spec import Spec
    from crosstalk.steps import Input

    settings = {"index": 2, "repeat": list(repeat), "vacuum_angstrom": 12.0}
    spec = Spec("transplant", "none", settings, {"geometry": "x", "slab": "y"}, 1)
    inputs = {"geometry": Input(None, posed(layers(2))), "slab": Input(None, [layers(count)])}
    outcome = transplants.transplant(spec, inputs, tmp_path)
    bare, alone, pose = outcome.structures
    assert len(bare) == 2 * count * repeat[0] * repeat[1] and len(alone) == 2
    carbon = pose[pose.get_tags() == 1][0]
    slab = pose[pose.get_tags() == 0]
    apart = slab.positions - carbon.position
    scaled = np.linalg.solve(pose.cell.array.T, apart.T).T
    scaled[:, :2] -= np.round(scaled[:, :2])
    assert np.linalg.norm(scaled @ pose.cell.array, axis=1).min() == pytest.approx(3.0, abs=1e-6)
    assert pose.cell[2, 2] - np.ptp(pose.positions[:, 2]) >= 12.0 - 1e-6
    assert 0 <= carbon.position[0] / pose.cell[0, 0] <= 1.0


def test_surfaces_that_differ_are_no_models_of_one_another():
    other = layers(2)
    other.symbols[:] = "Si"
    with pytest.raises(PhysicsFailure, match="do not share their top"):
        transplants.offset(posed(layers(2))[0], other)
    lifted = layers(1)
    lifted.positions[1] += [0, 0, -1.0]
    with pytest.raises(PhysicsFailure, match=r"differ by up to 1\.0"):
        transplants.offset(posed(layers(1))[0], lifted)
