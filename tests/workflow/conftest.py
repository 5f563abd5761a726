"""A workplace: a folder with a config of its own where snakemake runs with the fake engine."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass
class Workplace:
    folder: Path
    profile: str = "default"

    def command(self, *arguments: str, engine: str = "fake") -> list[str]:
        fixed = [
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--profile",
            str(ROOT / "workflow/profiles" / self.profile),
            *(["--cores", "2"] if self.profile == "default" else []),
        ]
        options = ["--config", *(["engine=fake"] if engine == "fake" else [])]
        given = list(arguments)
        if "--config" in given:
            at = given.index("--config")
            options += given[at + 1 :]
            given = given[:at]
        options = [*options, "config_dir=config"]
        return [str(BIN / "snakemake"), *fixed, *given, *options]

    def run(self, *arguments: str, ok: bool = True, engine: str = "fake", **env: str) -> str:
        environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | env
        done = subprocess.run(
            self.command(*arguments, engine=engine),
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        text = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, text
        return text

    def records(self) -> dict[str, int]:
        """record -> time of its writing, in ns."""
        found = (self.folder / "results" / "records").rglob("*.json")
        return {
            str(p.relative_to(self.folder)): p.stat().st_mtime_ns for p in found if not p.name.endswith(".cost.json")
        }

    def labels(self, keys: set[str]) -> set[str]:
        """Labels of records given by path."""
        return {re.search(r'"label": "(.*)"', (self.folder / path).read_text()).group(1) for path in keys}  # type: ignore[union-attr]


@pytest.fixture
def workplace(config_dir: Path) -> Workplace:
    return Workplace(config_dir.parent)


@pytest.fixture(scope="session")
def _finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(ROOT / "config", folder / "config")
    Workplace(folder).run()
    return folder


@pytest.fixture
def finished(_finished_once: Path, tmp_path: Path) -> Workplace:
    """A copy, times and Snakemake's own notes included, of a workplace with a finished run of the default campaign."""
    shutil.copytree(_finished_once, tmp_path, dirs_exist_ok=True)
    return Workplace(tmp_path)
