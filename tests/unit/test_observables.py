"""Rows: what observables make of records. Records are made by hand, so every sum can be checked."""

from pathlib import Path

import pytest
from ase import Atoms

from crosstalk.config import load
from crosstalk.errors import UnlikeError
from crosstalk.observables.base import observables
from crosstalk.observables.frontier import has_diffuse_functions
from crosstalk.plan import make
from crosstalk.record import Gate, Outcome, Store

ROOT = Path(__file__).parents[2]
BOX = Atoms("H", positions=[[0, 0, 0]], cell=[5, 5, 20], pbc=(True, True, False))


@pytest.fixture(scope="module")
def plan():
    return make(load(ROOT / "config"))


class Filled:
    """Records of one entry: role -> outcome."""

    def __init__(self, entry, folder, outcomes, versions=None):
        self.entry = entry
        self.store = Store(folder)
        for role, spec in entry.specs.items():
            outcome = outcomes.get(role, Outcome(quantities={"energy_ev": 0.0}, structures=[BOX]))
            self.store.save(spec, outcome, (versions or {}).get(role, {"x": "1"}), {})

    def row(self):
        return observables()[self.entry.table].row(self.entry, self.store.find)


def energies(**values):
    return {
        role.replace("_", " "): Outcome(quantities={"energy_ev": e, "dispersion_ev": e / 100}, structures=[BOX])
        for role, e in values.items()
    }


def entry(plan, table, **subject):
    return next(e for e in plan.table(table) if all(e.subject[k] == v for k, v in subject.items()))


def test_binding_is_positive_when_bound_and_lists_its_parts(plan, tmp_path):
    gas = entry(plan, "binding", environment="gas")
    row = Filled(gas, tmp_path, energies(whole=-20.0, ion=-5.0, remainder=-8.0, remainder_in_place=-7.5, remainder_with_ghosts=-7.8,
                                         ion_with_ghosts=-5.1)).row()  # fmt: skip
    assert row["status"] == "ok"
    assert row["e_bind_ev"] == pytest.approx(7.0)
    assert row["e_bind_kcal_mol"] == pytest.approx(161.42, abs=0.01)
    assert row["counterpoise_ev"] == pytest.approx(0.3 + 0.1)
    assert row["deformation_ev"] == pytest.approx(0.5)
    assert row["e_bind_dispersion_ev"] == pytest.approx(0.07)


def test_a_failed_partner_empties_the_number_and_says_why(plan, tmp_path):
    gas = entry(plan, "binding", environment="gas")
    failed = {"remainder": Outcome("not_converged", "SCF after all rungs")}
    row = Filled(gas, tmp_path, energies(whole=-20.0, ion=-5.0) | failed).row()
    assert row["e_bind_ev"] is None and row["counterpoise_ev"] is None
    assert row["status"] == "not_converged" and row["reason"] == "remainder: SCF after all rungs"


def test_unlike_versions_are_not_subtracted(plan, tmp_path):
    gas = entry(plan, "binding", environment="gas")
    with pytest.raises(UnlikeError, match="versions"):
        Filled(gas, tmp_path, energies(whole=-20.0), versions={"ion": {"x": "2"}}).row()


def test_a_package_that_only_one_record_names_is_no_difference(plan, tmp_path):
    gas = entry(plan, "binding", environment="gas")
    more = {"ion": {"x": "1", "later": "3"}}
    assert Filled(gas, tmp_path, energies(whole=-20.0), versions=more).row()["e_bind_ev"] is not None


@pytest.mark.parametrize(
    ("lumo", "diffuse", "flag"),
    [(1.2, False, "unbound"), (-0.3, True, "diffuse"), (0.1, True, "unbound diffuse"), (-1, False, "")],
)
def test_lumo_flags(plan, tmp_path, lumo, diffuse, flag):
    chosen = next(e for e in plan.table("frontier") if e.facts["diffuse"] is diffuse)
    neutral = Outcome(quantities={"energy_ev": -10.0, "homo_ev": -8.0, "lumo_ev": lumo, "gap_ev": lumo + 8})
    row = Filled(chosen, tmp_path, {"neutral": neutral, "cation": Outcome(quantities={"energy_ev": 1.0})}).row()
    assert row["lumo_flag"] == flag and row["homo_ev"] == -8.0
    if "cation" in chosen.specs:
        assert row["ip_vertical_ev"] == pytest.approx(11.0)


def test_a_missed_gate_marks_the_row(plan, tmp_path):
    chosen = plan.table("frontier")[0]
    neutral = Outcome(quantities={"energy_ev": -10.0, "homo_ev": -8.0}, gates=[Gate("stable", False, -0.01, 0.0, "Ha")])
    row = Filled(chosen, tmp_path, {"neutral": neutral, "cation": Outcome(quantities={"energy_ev": 1.0})}).row()
    assert row["status"] == "gated" and "stable MISSED" in row["gates"] and row["homo_ev"] == -8.0


def test_diffuse_functions_by_name():
    assert all(map(has_diffuse_functions, ["6-31+g*", "6-311++G(d,p)", "aug-cc-pVDZ", "def2-TZVPD", "ma-def2-svp"]))
    assert not any(map(has_diffuse_functions, ["6-31g(d)", "def2-tzvp", "cc-pvtz", "def2-mtzvpp", "sto-3g"]))


def test_adsorption_is_negative_when_bound(plan, tmp_path):
    chosen = plan.table("adsorption")[0]
    outcomes = energies(slab=-100.0, molecule=-30.0, pose_1=-130.5)
    row = Filled(chosen, tmp_path, outcomes).row()
    assert row["e_ads_ev"] == pytest.approx(-0.5) and row["class"] == "bound" and row["n_poses"] == 1
    assert row["e_disp_ev"] == pytest.approx(-0.005)


def test_another_box_is_refused(plan, tmp_path):
    chosen = plan.table("adsorption")[0]
    other = BOX.copy()
    other.cell[2, 2] = 21.0
    outcomes = energies(slab=-100.0, pose_1=-130.5) | {
        "molecule": Outcome(quantities={"energy_ev": -30.0}, structures=[other])
    }
    with pytest.raises(UnlikeError, match="cell"):
        Filled(chosen, tmp_path, outcomes).row()


def test_an_adsorbate_that_left_is_a_class_not_a_number(plan, tmp_path):
    chosen = plan.table("adsorption")[0]
    row = Filled(
        chosen, tmp_path, energies(slab=-100.0, molecule=-30.0) | {"pose 1": Outcome("desorbed", "4 Angstrom away")}
    ).row()
    assert row["e_ads_ev"] is None and row["class"] == "desorbed" and row["status"] == "desorbed"


def test_an_insulators_work_function_is_mid_gap_and_says_so(plan, tmp_path):
    for chosen in plan.table("surfaces"):
        values = {
            "work_function_ev": 5.0,
            "work_function_bottom_ev": 5.2,
            "vbm_ev": -7.0,
            "cbm_ev": -1.0,
            "gap_ev": 6.0,
            "energy_ev": 0.0,
        }
        row = Filled(chosen, tmp_path, {"levels": Outcome(quantities=values, structures=[BOX])}).row()
        if chosen.facts["conductor"]:
            assert row["work_function_ev"] == 5.0 and not row["work_function_flag"]
        else:
            assert row["work_function_ev"] == 4.0 and row["work_function_flag"] == "mid-gap"
            assert row["work_function_bottom_ev"] == pytest.approx(4.2)
