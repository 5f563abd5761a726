"""What a process tells its C libraries."""

import os
import subprocess
import sys

import pytest

from crosstalk import machine

FOUND = ("import os; from crosstalk import machine; machine.instructions = lambda: {flags}; "
         "machine.prepare(); print(os.environ.get('OPENBLAS_CORETYPE'), os.environ['OMP_NUM_THREADS'])")  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "mine", "expected"),
    [
        ("{'avx2', 'fma', 'sse'}", {}, "Haswell 1"),
        ("{'avx'}", {}, "None 1"),
        ("{'avx2', 'fma'}", {"OPENBLAS_CORETYPE": "Zen", "OMP_NUM_THREADS": "2"}, "Zen 2"),
        ("{'avx'}", {"OPENBLAS_CORETYPE": "Haswell", "CROSSTALK_CHOSE_CORETYPE": "1"}, "None 1"),
    ],
    ids=["vector-units", "none", "the-user's-choice-stays", "what-a-parent-chose-is-chosen-anew"],
)
def test_matrix_kernels_fit_the_processor(flags, mine, expected):
    clean = {
        k: v
        for k, v in os.environ.items()
        if k not in ("OPENBLAS_CORETYPE", "CROSSTALK_CHOSE_CORETYPE", "OMP_NUM_THREADS")
    }
    done = subprocess.run(
        [sys.executable, "-c", FOUND.replace("{flags}", flags)], env=clean | mine, capture_output=True, text=True
    )
    assert done.stdout.strip() == expected, done.stderr


def test_the_processor_is_asked(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags\t\t: fpu avx2 fma\n\nprocessor : 1\nflags\t\t: fpu\n")
    assert machine.instructions(tmp_path / "cpuinfo") == {"fpu", "avx2", "fma"}
    assert machine.instructions(tmp_path / "none") == set()


def test_nothing_that_multiplies_is_loaded_before():
    code = "import sys, crosstalk.machine; print([m for m in ('numpy', 'pyscf', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_numpy_and_scipy_choose_their_own_kernels():
    code = ("import os, sys; from crosstalk import machine; machine.instructions = lambda: {'avx2', 'fma'}; seen = []; "
            "sys.addaudithook(lambda event, its: seen.append(os.environ.get('OPENBLAS_CORETYPE')) if event == 'import' and its[0] in ('numpy', 'scipy') else None); "
            "machine.prepare(); print(seen[:1], 'scipy.linalg' in sys.modules)")  # fmt: skip
    clean = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "CROSSTALK_CHOSE_CORETYPE")}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True)
    assert done.stdout.strip() == "[None] True", done.stderr
