"""What a process tells the C libraries under it, before they are loaded. Imports nothing that loads one."""

import os
from pathlib import Path

#: Instructions that OpenBLAS's Haswell kernels use.
_NEEDED = {"avx2", "fma"}


def prepare() -> None:
    """One thread for each process unless a job says otherwise (two jobs side by side beat one job with two threads), and
    matrix kernels that fit the processor. To be called before numpy is imported; what the user has set stays.

    PySCF's wheel brings an OpenBLAS of 2018, which takes newer processors for one without vector units of any use: a
    matrix product then runs at less than half its speed, and nearly all of an SCF is matrix products.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if instructions() >= _NEEDED:
        os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")


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
