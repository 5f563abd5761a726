"""The environment's files say the same, and name no machine."""

import re
from pathlib import Path

import pytest

ENVS = Path(__file__).parents[2] / "envs"


def locked() -> dict[str, str]:
    text = "\n".join((ENVS / name).read_text() for name in ("requirements.lock", "gpaw.lock"))
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["molecules", "surfaces"])
def test_conda_files_have_the_locked_versions(name):
    pairs = re.findall(r"- ([a-z0-9-]+)==?([0-9][0-9.]*[0-9])", (ENVS / f"{name}.yaml").read_text())
    assert len(pairs) > 5
    for package, version in pairs:
        if package != "python":
            assert locked()[package] == version, package


def test_every_locked_package_has_hashes_and_no_address():
    for name in ("requirements.lock", "gpaw.lock", "uv.lock.txt"):
        text = (ENVS / name).read_text()
        assert "http" not in text
        for entry in re.split(r"\n(?=[a-z])", text.strip()):
            assert "--hash=sha256:" in entry, entry
