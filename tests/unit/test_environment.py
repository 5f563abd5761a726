"""The environment's files say the same, and name no machine."""

import platform
import re
import subprocess
import sys
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


def test_a_machine_that_lacks_something_gets_one_line_that_says_how_to_get_it(tmp_path):
    command = [sys.executable, str(ENVS / "build.py"), str(tmp_path / "venv")]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not (tmp_path / "venv").exists()
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("  - ")]
    assert "C++ compiler" in line and "apt install g++" in line


@pytest.mark.parametrize(
    ("module", "library"), [("tblite.library", "/pyscf/lib/libopenblas"), ("gpaw.cgpaw", "/libfftw3-")]
)
def test_the_fast_libraries_are_linked(module, library):
    """tblite's own wheel brings the reference BLAS, MKL a Fourier transform without vector units on some processors."""
    if not Path("/proc/self/maps").exists() or platform.machine() != "x86_64":
        pytest.skip("written for Linux on x86-64")
    code = f"import {module}; print(open('/proc/self/maps').read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert library in done.stdout
