"""Tables, references, summary and database from records that are there, failed, or missing. No engine runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase import Atoms

from crosstalk.config import Config
from crosstalk.config import models as m
from crosstalk.observables.base import Entry, observables
from crosstalk.plan import Plan
from crosstalk.record import Gate, Outcome, Record, Store
from crosstalk.reporting import database, references, spent, summary, tables
from crosstalk.spec import Spec
from crosstalk.units import KCAL_MOL_EV

LEVEL = m.PyscfLevel(engine="pyscf", functional="pbe", basis="6-31g**")
WATER = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])


def spec(step: str, label: str, inputs: dict[str, Spec] | None = None, engine: str = "pyscf", **settings: Any) -> Spec:
    level = LEVEL.identity() if step == "molecule_energy" else None
    keys = {role: source.key for role, source in (inputs or {}).items()}
    return Spec(step, engine, {"level": level, "label": label, **settings}, keys, 1, label=label)


def campaign(names: tuple[str, ...] = ("W", "X"), engine: str = "pyscf", **config: Any) -> Plan:
    """Frontier levels of some species at one level."""
    entries, specs = [], []
    for name in names:
        found = spec("conformers", name, engine=engine)
        neutral = spec("molecule_energy", f"{name} at l*", {"geometry": found}, engine, index=0, charge=0)
        cation = spec(
            "molecule_energy", f"{name} at l*, vertical cation", {"geometry": found}, engine, index=0, charge=1
        )
        specs += [found, neutral, cation]
        entries.append(
            Entry(
                "frontier", {"species": name, "level": "l*"}, {"neutral": neutral, "cation": cation}, {"diffuse": False}
            )
        )
    parts: dict[str, Any] = {
        "folder": Path(),
        "default": "c",
        "campaigns": {"c": m.Campaign(title="A title", tier="t", observables={})},
        "species": {name: m.Species(smiles="O", groups=["waters"]) for name in names},
        "surfaces": {},
        "levels": {"l*": LEVEL},
        "environments": {},
        "tiers": {
            "t": m.Tier(conformers=m.ConformerSearch(level="x", max_embeddings=1, energy_window_ev=0.1), observables={})
        },
        "references": {},
        "claims": {},
    }
    return Plan("c", Config(**(parts | config)), tuple(entries), {s.key: s for s in specs})


def fill(plan: Plan, store: Store, only: str = "") -> None:
    """A record for each spec whose label holds `only`: energies -100, -90 for cations; HOMO -8.12345678."""
    for s in plan.specs.values():
        if only in s.label:
            energy = -90.0 if "cation" in s.label else -100.0
            numbers = {"energy_ev": energy}
            if s.step == "molecule_energy":
                numbers |= {"homo_ev": -8.12345678, "lumo_ev": -0.00001, "gap_ev": 8.0, "dipole_debye": 1.85}
            structures = [WATER] if s.step == "conformers" else []
            store.save(s, Outcome(quantities=numbers, structures=structures), {"pyscf": "2"}, {})


def test_every_file_is_written_even_when_nothing_was_computed(tmp_path):
    plan = campaign()
    paths = tables.collect(plan, Store(tmp_path / "results"), tmp_path / "out")
    assert {p.stem for p in paths} == {*observables(), "claims", "references", "slabs", "validation"}
    for name, observable in observables().items():
        frame = pd.read_csv(tmp_path / "out" / "tables" / f"{name}.csv")
        assert tuple(frame.columns) == observable.columns
        assert len(frame) == len(plan.table(name))
    frontier = pd.read_csv(tmp_path / "out" / "tables" / "frontier.csv")
    assert set(frontier["status"]) == {"missing"}
    assert frontier["homo_ev"].isna().all()


def test_a_missing_record_names_the_log_of_the_first_gap(tmp_path):
    plan, store = campaign(("W",)), Store(tmp_path)
    row = tables.rows(plan, store)["frontier"][0]
    assert "waits for conformers of W" in row["reason"]
    assert f"{tmp_path}/logs/search_conformers/W-" in row["reason"]
    found = next(s for s in plan.specs.values() if s.step == "conformers")
    store.save(found, Outcome(structures=[WATER]), {}, {})
    row = tables.rows(plan, store)["frontier"][0]
    assert "waits for" not in row["reason"]
    assert "/logs/compute_molecules/" in row["reason"]


def test_a_failed_record_costs_its_own_number_only(tmp_path):
    plan, store = campaign(), Store(tmp_path)
    bad = next(s for s in plan.specs.values() if s.label == "X at l*, vertical cation")
    store.save(bad, Outcome("not_converged", "no luck"), {}, {})
    fill(plan, store)
    store.save(bad, Outcome("not_converged", "no luck"), {}, {})
    good, failed = tables.rows(plan, store)["frontier"]
    assert good["status"] == "ok"
    assert good["ip_vertical_ev"] == pytest.approx(10.0)
    assert failed["homo_ev"] is not None
    assert failed["ip_vertical_ev"] is None
    assert (failed["status"], failed["reason"]) == ("not_converged", "cation: no luck")


def test_what_a_search_missed_marks_every_number_that_comes_from_it(tmp_path):
    plan, store = campaign(), Store(tmp_path)
    fill(plan, store)
    search = next(s for s in plan.specs.values() if s.step == "conformers" and s.label == "W")
    gate = Gate("search_saturated", False, 4, 15, "starts without a new minimum")
    store.save(search, Outcome(quantities={"energy_ev": -100.0}, structures=[WATER], gates=[gate]), {}, {})
    marked, clean = tables.rows(plan, store)["frontier"]
    assert marked["status"] == "gated" and marked["homo_ev"] is not None
    assert marked["gates"].count("conformers of W: search_saturated MISSED") == 1, (
        "said once, though two numbers need it"
    )
    assert clean["status"] == "ok" and "search_saturated" not in clean["gates"]


def test_an_ion_that_may_change_its_bonds_casts_no_doubt():
    gates = (Gate("connectivity", False, "dissociated: now HO + H", "kept"), Gate("spin", False, 0.9, 0.1))
    for rule, faults in (("reported", ["spin"]), ("kept", ["connectivity", "spin"])):
        record = Record(spec("molecule_relax", "W", connectivity=rule), "gated", "", {}, gates, (), {}, {})
        assert [gate.name for gate in record.faults] == faults and len(record.missed) == 2


def test_csv_numbers_are_the_rows_numbers_and_bytes_are_stable(tmp_path):
    plan, store = campaign(), Store(tmp_path / "results")
    fill(plan, store)
    for folder in ("a", "b"):
        tables.collect(plan, store, tmp_path / folder)
    path = "tables/frontier.csv"
    assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    frame = pd.read_csv(tmp_path / "a" / path)
    rows = tables.rows(plan, store)["frontier"]
    np.testing.assert_allclose(frame["homo_ev"], [row["homo_ev"] for row in rows], atol=0.5 * 10**-tables.MAX_DECIMALS)
    assert "-0.0000" not in (tmp_path / "a" / path).read_text()


def test_text_stays_on_one_line():
    assert tables.cell("reason", "two\nlines,\tone") == "two lines, one"
    assert tables.cell("n_atoms", 12) == "12"
    assert tables.cell("homo_ev", None) == ""


@pytest.mark.parametrize(("unit", "value"), [("eV", 10.0), ("meV", 1e4), ("kcal/mol", 10.0 / KCAL_MOL_EV)])
def test_reference_errors_vanish_for_equal_values_in_any_unit(tmp_path, unit, value):
    about = {"table": "frontier", "quantity": "ip_vertical_ev", "exactly": "vertical", "source": "none"}
    wanted = {"r": m.Reference(where={"species": "W"}, value=value, unit=unit, **about)}
    plan, store = campaign(references=wanted), Store(tmp_path)
    fill(plan, store)
    (row,) = references.compare(["r"], tables.rows(plan, store), plan.config)
    assert row["error"] == pytest.approx(0.0, abs=1e-9)
    assert row["unit"] == "eV"
    assert row["verified"] == "unverified"


def test_reference_error_is_ours_minus_theirs_and_groups_give_several_rows(tmp_path):
    wanted = {
        "r": m.Reference(
            table="frontier",
            where={"species": "waters"},
            quantity="dipole_debye",
            value=1.0,
            unit="D",
            exactly="",
            source="",
        )
    }
    plan, store = campaign(references=wanted), Store(tmp_path)
    fill(plan, store, only="W")
    rows = references.compare(["r"], tables.rows(plan, store), plan.config)
    assert [row["subject"] for row in rows] == ["W", "X"]
    assert rows[0]["error"] == pytest.approx(0.85)
    assert rows[1]["error"] is None
    assert rows[1]["status"] == "missing"
    assert references.compare(["r"], {"frontier": []}, plan.config) == []


def test_summary_puts_failures_first_and_is_byte_stable(tmp_path):
    plan, store = campaign(), Store(tmp_path)
    fill(plan, store)
    assert "look here first" not in summary.page(plan, store)
    bad = next(s for s in plan.specs.values() if s.label == "X at l*")
    store.save(bad, Outcome("not_converged", "no luck"), {}, {})
    page = summary.page(plan, store)
    assert page == summary.page(plan, store)
    assert page.index("no luck") < page.index("## Frontier levels")
    assert "/logs/compute_molecules/" in page
    assert "FAKE" not in page
    assert observables()["frontier"].sign in page


def test_summary_names_the_rows_that_wait_and_what_was_started(tmp_path):
    plan, store = campaign(), Store(tmp_path)
    fill(plan, store, only="W")
    page = summary.page(plan, store)
    assert "- rows of frontier that wait: X (1)\n" in page
    assert "started" not in page.split("## Claims")[0]
    search = next(s for s in plan.specs.values() if s.step == "conformers" and s.label == "X")
    log = tables.log_paths(plan, store)[search.key]
    log.parent.mkdir(parents=True)
    log.write_text("killed")
    assert f"X (conformers): started, and broke or still running. Log: `{log}`" in summary.page(plan, store)


def test_summary_counts_every_calculation_and_shows_gates(tmp_path):
    plan, store = campaign(), Store(tmp_path)
    fill(plan, store, only="W")
    marked = next(s for s in plan.specs.values() if s.label == "W at l*")
    gate = Gate("spin", False, 0.9, 0.1)
    store.save(marked, Outcome(quantities={"energy_ev": -100.0, "homo_ev": -8.0}, gates=[gate]), {"pyscf": "2"}, {})
    page = summary.page(plan, store)
    assert "| molecule_energy | 4 | 1 | 1 | 2 |" in page  # ok, gated, not computed
    assert "spin MISSED" in page


def test_markdown_tables_have_one_width(tmp_path):
    plan, store = campaign(("W|1", "X")), Store(tmp_path)
    fill(plan, store)
    lines = summary.page(plan, store).splitlines()
    widths: list[int] = []
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|"):
            widths.append(line.replace("\\|", "").count("|"))
            if not after.startswith("|"):
                assert len(set(widths)) == 1
                widths = []


def test_fake_numbers_are_marked_loudly(tmp_path):
    plan, store = campaign(engine="fake"), Store(tmp_path)
    assert summary.FAKE in summary.page(plan, store)


def test_cost_table_adds_up(tmp_path):
    plan, store = campaign(), Store(tmp_path)
    for s in plan.specs.values():
        store.save(s, Outcome(), {}, {"cpu_s": 2.0, "wall_s": 1.0, "peak_memory_mb": 5})
    rows = spent.cost_table(plan, store)
    assert sum(row["n"] for row in rows) == len(plan.specs)
    assert sum(row["cpu_s"] for row in rows) == 2.0 * len(plan.specs)
    assert "| all |" in spent.cost_page(plan, store)


def test_database_holds_each_row_with_its_structure_and_is_byte_stable(tmp_path):
    from ase.db import connect

    plan, store = campaign(), Store(tmp_path)
    fill(plan, store)
    paths = [database.write(plan, store, tmp_path / name) for name in ("a.db", "b.db")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with connect(paths[0]) as rows:
        assert rows.count(table="geometry") == 2
        row = rows.get(table="frontier", species="W")
    assert row.homo_ev == pytest.approx(-8.123457)
    assert row.ip_vertical_ev == pytest.approx(10.0)
    assert row.level == "l*"
    assert row.record.startswith("molecule_energy/")
    np.testing.assert_allclose(row.positions, WATER.positions, atol=1e-6)
    assert not list(tmp_path.glob(".*.db"))


def test_database_of_an_empty_store_is_empty(tmp_path):
    from ase.db import connect

    with connect(database.write(campaign(), Store(tmp_path), tmp_path / "c.db")) as rows:
        assert rows.count() == 0
