"""What a user meets first: messages, the plan, dry runs; and the promise that config alone names molecules."""

import re
import subprocess
import time
from pathlib import Path

import pytest

from crosstalk.config import load

from .conftest import BIN, ROOT


def crosstalk(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BIN / "crosstalk"), *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_check_is_short_and_quick():
    crosstalk("check")  # what the engines know is remembered from the first time on
    start = time.monotonic()
    done = crosstalk("check")
    assert done.returncode == 0 and "no problems" in done.stdout
    assert time.monotonic() - start < 10.0, "3 s on a quiet machine"


def test_a_bad_config_is_one_message_without_a_traceback(workplace, edit):
    edit("species", "species.EC.smile", "C")
    edit("config", "campaigns.quick.tier", "qick")
    text = workplace.run(ok=False)
    assert "unknown key 'smile'" in text and "unknown tier 'qick'" in text
    assert "Traceback" not in text and "Error in rule" not in text
    assert not (workplace.folder / "results").exists()
    done = crosstalk("check", cwd=workplace.folder)
    assert done.returncode == 1 and "2 problems" in done.stderr and "Traceback" not in done.stderr


def test_unknown_campaign(workplace):
    text = workplace.run("--config", "campaign=qiuck", ok=False)
    assert "did you mean 'quick'" in text and "Traceback" not in text


@pytest.mark.parametrize("name", load(ROOT / "config").campaigns)
def test_dry_run_of_every_campaign(workplace, name):
    text = workplace.run("--dry-run", "--config", f"campaign={name}", engine="real")
    assert "compute_molecules" in text or "This was a dry-run" in text or "would" in text
    assert not (workplace.folder / "results" / "records").exists()


def test_plan_lists_every_calculation_with_its_cost():
    done = crosstalk("plan", "quick")
    assert done.returncode == 0
    assert "CPU time" in done.stdout and re.search(r"\d+ calculations in \d+ jobs", done.stdout)


def test_plan_says_what_published_records_leave_to_do():
    done = crosstalk("plan", "standard")
    said = re.search(r"(\d+) of them are finished, (\d+) are left", done.stdout)
    assert said and int(said[1]) > 500
    assert done.stdout.count("finished") == int(said[1]) + 1


def test_by_hand_whatever_a_rule_does(workplace):
    done = crosstalk("run", "--engine", "fake", "EC", "6-31g*", cwd=workplace.folder)
    assert done.returncode == 0, done.stderr
    labels = workplace.labels(set(workplace.records()))
    assert "EC" in labels and any("6-31g*" in label for label in labels)
    done = crosstalk("table", "--engine", "fake", "quick", cwd=workplace.folder)
    assert done.returncode == 0, done.stderr
    assert "missing" in (workplace.folder / "results/quick-fake/tables/binding.csv").read_text()


def test_no_engine_rule_observable_or_table_names_an_entry_of_the_config():
    config = load(ROOT / "config")
    monatomic_or_small = {"Li+", "F-", "OH-"}  # a formula is also a word of chemistry, in messages
    names = {*config.species, *config.surfaces, *config.crystals, *config.levels} - monatomic_or_small
    word = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w(+-])" for name in names if len(name) > 2))
    code = [p for pattern in ("*.py", "*.smk") for p in (ROOT / "workflow").rglob(pattern)]
    found = []
    for path in code:
        text = re.sub(r'"""[\s\S]*?"""|#.*', "", path.read_text())  # docstrings and comments may give examples
        found += [f"{path.relative_to(ROOT)}: {m.group()}" for m in word.finditer(text)]
    assert not found
