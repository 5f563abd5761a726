"""What is computed again, and what is not. The fake engine through the real Snakefile."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .conftest import BIN, ROOT

TABLES = ["frontier", "binding", "adsorption", "surfaces", "claims"]


def test_first_run_makes_everything_and_the_second_does_nothing(finished):
    folder = finished.folder / "results" / "quick-fake"
    for table in TABLES:
        assert (folder / "tables" / f"{table}.csv").read_text().count("\n") > 1, table
    for figure in ("frontier", "binding", "adsorption", "structures"):
        assert (folder / "figures" / f"{figure}.svg").stat().st_size > 1000
        assert (folder / "figures" / f"{figure}.png").stat().st_size > 1000
    assert "made-up numbers" in (folder / "summary.md").read_text()
    before = finished.records()
    files = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    text = finished.run()
    assert "Nothing to be done" in text
    assert finished.records() == before
    assert all(p.stat().st_mtime_ns == t for p, t in files.items())


def test_a_new_molecule_by_config_only(finished, edit):
    before = finished.records()
    edit("species", "species.acetone", {"smiles": "CC(C)=O", "groups": ["paper-electrolyte"]})
    finished.run()
    after = finished.records()
    assert all(after[path] == t for path, t in before.items()), "an old record was written again"
    assert all("acetone" in label for label in finished.labels(set(after) - set(before)))
    assert "acetone" in (finished.folder / "results/quick-fake/tables/frontier.csv").read_text()


def test_a_new_claim_and_reference_rerun_no_calculation(finished, edit):
    before = finished.records()
    edit("references", "references.mine", {"table": "frontier", "where": {"species": "EMC"}, "quantity": "dipole_debye", "value": 1.0,
                                           "unit": "D", "exactly": "x", "source": "x"})  # fmt: skip
    edit("claims", "claims.mine", {"statement": "s", "source": "s", "table": "frontier", "quantity": "homo_ev", "relation": "above",
                                   "subject": {"species": "EC"}, "others": {"species": ["EMC"]}, "within": ["level"], "error_bar": 0.1})  # fmt: skip
    finished.run()
    assert finished.records() == before
    assert "mine" in (finished.folder / "results/quick-fake/tables/claims.csv").read_text()
    assert "mine" in (finished.folder / "results/quick-fake/tables/references.csv").read_text()


def test_a_record_that_was_deleted_is_computed_again(finished):
    before = finished.records()
    lost = next(path for path in before if "/poses/" in path)
    (finished.folder / lost).unlink()
    assert "Nothing to be done" not in finished.run()
    after = finished.records()
    assert after.keys() == before.keys()
    assert [path for path in before if after[path] != before[path]] == [lost]


def test_tables_that_are_there_do_not_hide_a_missing_calculation(finished):
    job = next((finished.folder / "results/jobs/compute_molecules").glob("*.json"))
    job.unlink()
    assert "Nothing to be done" not in finished.run()
    assert job.exists()


def test_a_changed_basis_reruns_only_its_own(finished, edit):
    before = finished.records()
    edit("levels", ["levels", "b3lyp-d3/6-31g*", "basis"], "6-31g(d,p)")
    finished.run()
    after = finished.records()
    assert all(after[path] == t for path, t in before.items())
    new = finished.labels(set(after) - set(before))
    assert new and all("b3lyp-d3/6-31g*" in label for label in new)


def test_an_edited_doi_reruns_nothing(finished, edit):
    edit("levels", ["levels", "b3lyp-d3/6-31g*", "doi"], "10.1000/other")
    edit("species", "species.EC.source", "somewhere else")
    path = finished.folder / "config" / "surfaces.yaml"
    path.write_text(path.read_text() + "\n# a comment\n")
    before = finished.records()
    assert "Nothing to be done" in finished.run()
    assert finished.records() == before


def test_a_raised_revision_reruns(finished, tmp_path):
    package = Path(shutil.copytree(ROOT / "workflow" / "crosstalk", tmp_path / "raised" / "crosstalk"))
    steps = package / "steps.py"
    text, n = re.subn(r'(Step\("molecule_energy", "compute_molecules", )(\d+)', r"\g<1>99", steps.read_text())
    assert n == 1
    steps.write_text(text)
    before = finished.records()
    finished.run(PYTHONPATH=str(package.parent))
    new = set(finished.records()) - set(before)
    energies = {path for path in before if "/molecule_energy/" in path}
    assert len(new) == len(energies) and all("/molecule_energy/" in path for path in new)


def test_failed_physics_is_a_row_and_the_run_succeeds(workplace, edit):
    edit("species", "species.fail!", {"smiles": "CC", "groups": ["paper-electrolyte"]})
    text = workplace.run()
    row = next(
        line
        for line in (workplace.folder / "results/quick-fake/tables/frontier.csv").read_text().splitlines()
        if "fail!" in line
    )
    assert "not_converged" in row or "blocked" in row
    assert "fail!" in text and "log:" in text, "the end of the run says what failed and where its log is"


def test_a_broken_job_loses_nothing_else_and_goes_on(workplace, edit):
    edit("species", "species.crash!", {"smiles": "CC", "groups": ["paper-electrolyte"]})
    text = workplace.run(ok=False)
    assert "go on where it was" in text and "results/logs/search_conformers/crash" in text
    table = (workplace.folder / "results/quick-fake/tables/frontier.csv").read_text()
    assert "missing" in next(line for line in table.splitlines() if "crash!" in line)
    assert ",ok," in next(line for line in table.splitlines() if line.startswith("EC,"))
    before = workplace.records()
    edit("species", "species.crash!", None)
    workplace.run()
    after = workplace.records()
    assert all(after[path] == t for path, t in before.items())


def test_a_killed_run_goes_on(workplace):
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(workplace.command(), cwd=workplace.folder, env=environment, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    deadline = time.monotonic() + 60
    while len(workplace.records()) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    shutil.rmtree(workplace.folder / ".snakemake" / "locks", ignore_errors=True)
    before = workplace.records()
    assert before
    workplace.run()
    after = workplace.records()
    assert len(after) > len(before)
    assert all(after[path] == t for path, t in before.items())
