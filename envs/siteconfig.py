"""GPAW's build settings: everything that it links comes from wheels in the same virtual environment.

Read by GPAW's setup.py through the variable GPAW_CONFIG, in whose namespace the names assigned here live.
MKL gives BLAS, LAPACK and ScaLAPACK on x86-64, pyFFTW's wheel FFTW: MKL's own transforms leave out the vector units
of other makers' processors. Elsewhere OpenBLAS gives BLAS and LAPACK, and GPAW falls back to NumPy's FFTs and to
unblocked diagonalisation. libxc is the one that PySCF ships.
"""

import importlib.util
import pathlib
import platform
import sys

_prefix = pathlib.Path(sys.prefix)
_pyscf = pathlib.Path(importlib.util.find_spec("pyscf").origin).parent
_libxc = _pyscf / "lib" / "deps"

# With mpicc GPAW 26.7 does not compile: its sources hold C++.
compiler = str(_prefix / "bin" / "mpicxx")
mpi = True

include_dirs += [str(_libxc / "include")]  # noqa: F821
library_dirs += [str(_libxc / "lib")]  # noqa: F821
runtime_library_dirs += [str(_libxc / "lib")]  # noqa: F821
libraries = ["xc"]

if platform.machine() == "x86_64":
    fftw = True
    scalapack = True
    include_dirs += [str(_prefix / "include"), str(_prefix / "include" / "fftw")]
    # The headers of FFTW are MKL's, which has the same interface; the first library that has a function gives it.
    _fftw = next(_pyscf.parent.glob("pyfftw.libs/libfftw3-*.so*"))
    library_dirs += [str(_prefix / "lib"), str(_fftw.parent)]
    runtime_library_dirs += [str(_prefix / "lib"), str(_fftw.parent)]
    # The wheels hold no unversioned names, so each library is asked for by its exact file name.
    libraries += []
    extra_link_args += [  # noqa: F821
        "-Wl,--no-as-needed",
        f"-l:{_fftw.name}",
        "-l:libmkl_scalapack_lp64.so.2",
        "-l:libmkl_blacs_openmpi_lp64.so.2",
        "-l:libmkl_intel_lp64.so.3",
        "-l:libmkl_sequential.so.3",
        "-l:libmkl_core.so.3",
    ]
else:
    import scipy_openblas32

    fftw = False
    scalapack = False
    include_dirs += [scipy_openblas32.get_include_dir()]
    library_dirs += [scipy_openblas32.get_lib_dir()]
    runtime_library_dirs += [scipy_openblas32.get_lib_dir()]
    libraries += ["scipy_openblas"]
