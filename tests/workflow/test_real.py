"""One tiny campaign end to end through the real engines."""

import csv
import shutil
from pathlib import Path

import ase.db
import pytest

from .conftest import ROOT, Workplace


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Workplace:
    folder = tmp_path_factory.mktemp("tiny")
    shutil.copytree(ROOT / "tests" / "tiny" / "config", folder / "config")
    workplace = Workplace(folder)
    workplace.run(engine="real")
    return workplace


def table(workplace: Workplace, name: str) -> list[dict[str, str]]:
    path: Path = workplace.folder / "results" / "tiny" / "tables" / f"{name}.csv"
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_tables_hold_numbers_of_the_right_kind(tiny):
    (row,) = table(tiny, "frontier")
    assert row["status"] == "ok" and float(row["homo_ev"]) < float(row["lumo_ev"])
    assert 10 < float(row["ip_vertical_ev"]) < 15, "water: 12.6 eV"
    rows = {row["environment"]: row for row in table(tiny, "binding")}
    assert float(rows["gas"]["e_bind_ev"]) > float(rows["continuum"]["e_bind_ev"]) > 0
    assert float(rows["gas"]["counterpoise_ev"]) >= 0 and rows["continuum"]["counterpoise_ev"] == ""
    (row,) = table(tiny, "surfaces")
    assert 3.5 < float(row["work_function_ev"]) < 5.5
    (row,) = table(tiny, "adsorption")
    assert row["status"] in ("ok", "gated") and abs(float(row["e_ads_ev"])) < 0.5
    assert float(row["e_disp_ev"]) < 0


def test_free_energies_and_redox(tiny):
    rows = {(r["partner"], r["process"], r["environment"]): r for r in table(tiny, "redox")}
    oxidation = rows["bare", "oxidation", "gas"]
    assert 11 < float(oxidation["adiabatic_ev"]) < float(oxidation["vertical_ev"]) < 14
    assert oxidation["potential_v"] == "" and oxidation["mechanism"] == "direct" and oxidation["thermal"] == "own"
    in_solution = rows["bare", "oxidation", "smd"]
    assert 5 < float(in_solution["potential_v"]) < float(oxidation["adiabatic_ev"]), "the continuum holds the cation"
    bound, bare = (float(rows[p, "reduction", "gas"]["adiabatic_ev"]) for p in ("lithium ion", "bare"))
    assert bound > bare, "Li+ holds the electron"
    gas, solution = table(tiny, "reactions")
    assert float(gas["delta_e_ev"]) > float(solution["delta_e_ev"]) > 0, "a continuum separates charges"
    assert gas["delta_h_ev"] and gas["delta_g_ev"] and solution["delta_h_ev"] == ""
    gas, solution = table(tiny, "binding")
    assert float(gas["g_bind_ev"]) < float(gas["h_bind_ev"]), "binding costs entropy"


def test_claims_and_references_are_judged(tiny):
    (claim,) = table(tiny, "claims")
    assert claim["verdict"] == "reproduced"
    (reference,) = table(tiny, "references")
    assert reference["reference"] == "water-dipole"


def test_everything_else_is_there(tiny):
    folder = tiny.folder / "results" / "tiny"
    assert "made-up" not in (folder / "summary.md").read_text()
    with ase.db.connect(folder / "crosstalk.db") as database:
        assert len(database) >= 4
    assert (folder / "figures" / "structures.png").stat().st_size > 5000


def test_the_second_run_computes_nothing(tiny):
    before = tiny.records()
    assert "Nothing to be done" in tiny.run(engine="real")
    assert tiny.records() == before
