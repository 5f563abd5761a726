"""Shared fixtures: config folders that a test may edit, and a workplace that uses them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from crosstalk import machine

machine.prepare()

ROOT = Path(__file__).parent.parent


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    """A copy of the shipped config."""
    return Path(shutil.copytree(ROOT / "config", tmp_path / "config", dirs_exist_ok=True))


@pytest.fixture
def edit(config_dir: Path) -> Callable[..., None]:
    """edit("species", "species.EC.smiles", "C") sets one value of one config file; None deletes it."""

    def change(file: str, path: str | list[str], value: Any) -> None:
        target = config_dir / f"{file}.yaml"
        data = yaml.safe_load(target.read_text())
        *parents, last = path if isinstance(path, list) else path.split(".")
        place = data
        for name in parents:
            place = place.setdefault(name, {})
        if value is None:
            del place[last]
        else:
            place[last] = value
        target.write_text(yaml.safe_dump(data, sort_keys=False))

    return change
