"""Self-consistency and gradients on a CUDA device with gpu4pyscf: an optional extra, used wherever both are there.

The same equations on the same grids with the same integrals: energies agree with the processor's to 1e-6 hartree
(tests/engines/test_device.py says so where there is a device). CROSSTALK_DEVICE=cpu leaves the device alone.
"""

import os
from functools import cache
from typing import Any

import numpy as np

from crosstalk.engines import continuum

#: Written among the rungs of a record whose SCF ran on a device.
RUNG = "cuda_device"


@cache
def available() -> bool:
    """Whether gpu4pyscf and a CUDA device are there and not declined."""
    if os.environ.get("CROSSTALK_DEVICE", "").lower() == "cpu":
        return False
    try:
        import cupy
        import gpu4pyscf  # noqa: F401

        return bool(cupy.cuda.runtime.getDeviceCount() > 0)
    except Exception:  # no package, no driver or no device: each has an exception of its own
        return False


def kernel(mf: Any, density: np.ndarray | None) -> None:
    """Run the cycles of `mf` from `density` on the device; what they come to is written into `mf`."""
    field = _on_device(mf)
    field.kernel(dm0=None if density is None else _array(density))
    mf.converged, mf.e_tot = bool(field.converged), float(field.e_tot)
    for name in ("mo_energy", "mo_coeff", "mo_occ"):
        setattr(mf, name, _numpy(getattr(field, name)))


def gradient(mf: Any) -> np.ndarray:
    """dE/dR of a converged field, hartree/bohr (n, 3), with the grid's response."""
    slope = _on_device(mf).nuc_grad_method()
    slope.grid_response = True
    return _numpy(slope.kernel())


def _on_device(mf: Any) -> Any:
    """A copy of `mf` on the device, its continuum as PySCF made it (ours keeps integrals in main memory)."""
    copied = mf.copy()
    if getattr(mf, "with_solvent", None) is not None:
        copied.with_solvent = mf.with_solvent.copy()
        for name in continuum.REPLACED:
            copied.with_solvent.__dict__.pop(name, None)
    copied.callback = None
    return _converted(copied)


def _converted(mf: Any) -> Any:
    return mf.to_gpu()


def _array(values: np.ndarray) -> Any:
    import cupy

    return cupy.asarray(np.asarray(values))


def _numpy(values: Any) -> np.ndarray:
    return np.asarray(values.get() if hasattr(values, "get") else values)
