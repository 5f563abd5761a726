"""What a process tells the C libraries under it, before they are loaded. Importing it loads none."""

import os
from pathlib import Path

#: Instructions that OpenBLAS's Haswell kernels use.
_NEEDED = {"avx2", "fma"}
#: What tells OpenBLAS which kernels to take, and what says that we did.
_KERNELS, _OURS = "OPENBLAS_CORETYPE", "CROSSTALK_CHOSE_CORETYPE"


def prepare() -> None:
    """One thread for each process unless a job says otherwise (two jobs side by side beat one job with two threads), and
    matrix kernels that fit the processor. To be called before numpy is imported; what the user has set stays.

    PySCF's wheel brings an OpenBLAS of 2018, which takes newer processors for one without vector units of any use: a
    matrix product then runs at less than half its speed, and nearly all of an SCF is matrix products. The newer ones of
    NumPy and SciPy choose better by themselves, and so are loaded before that one is told what to take.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if os.environ.pop(_OURS, None):  # from a process that started this one, not from the user
        os.environ.pop(_KERNELS, None)
    if _KERNELS not in os.environ and instructions() >= _NEEDED:
        import numpy  # noqa: F401
        import scipy.linalg  # noqa: F401

        os.environ[_KERNELS], os.environ[_OURS] = "Haswell", "1"


def instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Instruction sets of this machine's processor, as Linux names them; empty where that cannot be asked."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def keep_freed_memory() -> None:
    """Tell glibc not to hand large freed arrays back to the kernel: zeroing their pages anew takes up to a fifth of a DFT run."""
    import ctypes

    trim_threshold, top_pad, mmap_max = -1, -2, -4  # of <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return
    for parameter, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**27)):
        mallopt(parameter, value)
