"""Additive corrections to a density functional: D3 and D4 dispersion, geometrical counterpoise of composite methods.

They are functions of nuclei alone and are evaluated over real atoms only: a ghost atom carries basis functions and no
electrons, so it has no polarisability. (Handed to D4 as atoms, ghosts spoil the charge model and the term vanishes.)

Sources: D3(BJ) doi 10.1002/jcc.21759, D3(0) doi 10.1063/1.3382344, D4 doi 10.1063/1.5090222, gCP doi 10.1063/1.3700154.
D3 is two-body (the form that its parameters were published for); D4 contains the three-body term.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from crosstalk.units import BOHR_ANGSTROM, HARTREE_EV

KINDS = ("d3bj", "d3zero", "d4")
BASIS_CORRECTIONS = ("r2scan3c",)
#: Functionals that are the VV10 functional of that family with VV10 taken out and the named dispersion put in.
#: doi 10.1021/acs.jctc.8b00842 (D3) and 10.1002/jcc.26411 (D4). Name -> (PySCF's functional, parameter set).
REPLACED_VV10 = {
    f"{family}-{kind}": (f"{family}-v", family) for family in ("wb97x", "wb97m", "b97m") for kind in ("d3bj", "d4")
}
#: PySCF's names that the dispersion libraries do not know, or know as something else.
_D3_NAMES = {"b3lypg": "b3lyp", "b3lyp5": "b3lyp", "m06-2x": "m062x", "m06_2x": "m062x", "pbe,pbe": "pbe"}
_D4_NAMES = {"b3lypg": "b3lyp", "b3lyp5": "b3lyp", "b97-d": "b97d", "pbe,pbe": "pbe", "wb97x": "wb97x-2008"}
#: r2SCAN-3c has a charge scaling of its own (ga, gc) and twice the three-body term (s9), which dftd4 leaves to its callers.
#: doi 10.1063/5.0040021; as in dftd4's issue 221 and in Psi4.
_R2SCAN_3C = "r2scan3c"
_R2SCAN_3C_CHARGES = {"ga": 2.0, "gc": 1.0}
_R2SCAN_3C_DAMPING = {"s6": 1.0, "s8": 0.0, "s9": 2.0, "a1": 0.42, "a2": 5.65}
_SELF_CONTAINED = re.compile(r"([-_]v|vv10|wb97x[-_]d3?)$")


def dispersion(
    atoms: Sequence[str] | Sequence[int], positions_angstrom: ArrayLike, charge: int, functional: str, name: str
) -> tuple[float, np.ndarray]:
    """Dispersion energy (eV, <= 0 but for exotic parameters) and its gradient dE/dR (eV/Angstrom, n x 3).

    atoms: symbols or atomic numbers of the real atoms. charge: of the molecule, elementary charges (D4 only).
    name: "d3bj", "d3zero", "d4", or with a parameter set of its own behind a colon, "d4:r2scan-3c".
    Raises ValueError when `supported` says no.
    """
    answer = supported(functional, name)
    if answer is not True:
        raise ValueError(str(answer))
    kind, method = _resolve(functional, name)
    numbers, positions = _geometry(atoms, positions_angstrom)
    if kind == "d4":
        from dftd4.interface import DispersionModel as D4Model

        model: Any = D4Model(numbers, positions, charge=charge, **(_R2SCAN_3C_CHARGES if _is_r2scan_3c(method) else {}))
    else:
        from dftd3.interface import DispersionModel as D3Model

        model = D3Model(numbers, positions)
    return _internal(model.get_dispersion(_parameters(kind, method), grad=True))


def basis_correction(
    atoms: Sequence[str] | Sequence[int], positions_angstrom: ArrayLike, name: str
) -> tuple[float, np.ndarray]:
    """Geometrical counterpoise energy (eV) and gradient (eV/Angstrom) of a composite method, e.g. "r2scan3c"."""
    from dftd3.interface import GeometricCounterpoise

    if name not in BASIS_CORRECTIONS:
        raise ValueError(f"unknown basis correction '{name}'; allowed: {', '.join(BASIS_CORRECTIONS)}")
    numbers, positions = _geometry(atoms, positions_angstrom)
    return _internal(GeometricCounterpoise(numbers, positions, method=name).get_counterpoise(grad=True))


def supported(functional: str, name: str | None) -> bool | str:
    """True when `functional` may be used with the dispersion `name`, else the reason why not, for people."""
    functional = functional.lower()
    if functional in REPLACED_VV10 and (name or "").partition(":")[0] != functional.rpartition("-")[2]:
        return f"functional '{functional}' is made for dispersion {functional.rpartition('-')[2]}"
    if name is None:
        return True
    kind, method = _resolve(functional, name)
    if kind not in KINDS:
        return f"unknown dispersion '{name}'; allowed: {', '.join(KINDS)}, d4:<parameter set>, null"
    if _SELF_CONTAINED.search(functional):
        return f"functional '{functional}' contains its own dispersion: {name} would count it twice"
    if functional == "wb97x" and kind == "d3bj":
        return "the D3(BJ) parameters named wb97x belong to wB97X-V without VV10: use functional 'wb97x-d3bj'"
    try:
        _parameters(kind, method)
    except RuntimeError:
        return f"{kind} has no parameters for '{method}'"
    return True


def _resolve(functional: str, name: str) -> tuple[str, str]:
    """Kind of correction and the parameter set as its library calls it."""
    functional = functional.lower()
    kind, _, method = name.lower().partition(":")
    if method:
        return kind, method
    if functional in REPLACED_VV10:
        return kind, REPLACED_VV10[functional][1]
    return kind, (_D4_NAMES if kind == "d4" else _D3_NAMES).get(functional, functional)


def _parameters(kind: str, method: str) -> Any:
    """Damping parameters; RuntimeError from the library when it has none for `method`."""
    if kind == "d4":
        from dftd4.interface import DampingParam

        return DampingParam(**_R2SCAN_3C_DAMPING) if _is_r2scan_3c(method) else DampingParam(method=method)
    from dftd3.interface import RationalDampingParam, ZeroDampingParam

    return (RationalDampingParam if kind == "d3bj" else ZeroDampingParam)(method=method)


def _is_r2scan_3c(method: str) -> bool:
    """Whether a parameter set is that of the composite method, by any spelling that dftd4 takes."""
    return method.replace("-", "").replace("_", "") == _R2SCAN_3C


def _geometry(atoms: Sequence[str] | Sequence[int], positions_angstrom: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and positions in bohr, as the libraries want them."""
    from ase.data import atomic_numbers

    numbers = np.array([atomic_numbers[a] if isinstance(a, str) else int(a) for a in atoms], dtype=int)
    if not (numbers > 0).all():
        raise ValueError("corrections are for real atoms only")
    return numbers, np.asarray(positions_angstrom, dtype=float).reshape(-1, 3) / BOHR_ANGSTROM


def _internal(result: dict[str, Any]) -> tuple[float, np.ndarray]:
    return float(result["energy"]) * HARTREE_EV, np.asarray(result["gradient"]) * (HARTREE_EV / BOHR_ANGSTROM)
