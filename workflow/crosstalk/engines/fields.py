"""Kohn-Sham fields with PySCF, built as a level says, and the forces of converged ones; hartree and bohr, PySCF's units.

How they are converged: `engines.scf`.
"""

import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from crosstalk.engines import continuum, device, fitted_forces, grid_forces, low_rank
from crosstalk.engines.corrections import REPLACED_VV10

DIIS_VECTORS = 12
#: The VV10 integral is smooth but quadratic in points: two levels below the functional's grid the hydrogen bond of two
#: waters is converged to 2e-7 hartree at a tenth of the time; three levels below it is off by 2e-5.
NLC_GRID_BELOW = 2
#: Three-index integrals up to this size are kept in memory, and there is so much room beside them, MB.
KEPT_MB, ROOM_MB = 3000.0, 500.0
#: Fits any orbital basis set and has functions for all elements up to radon.
GENERAL_AUXILIARY_BASIS = "def2-universal-jkfit"

Level = Mapping[str, Any]


def mean_field(mol: Any, level: Level, environment: Level | None = None) -> Any:
    """Restricted (singlet) or unrestricted Kohn-Sham field of `mol`, density-fitted and in a continuum as asked for.

    "b3lyp" is libxc's 402 with VWN's RPA fit, as in Gaussian (PySCF before 2.3 took VWN5 under that name).
    """
    from pyscf import dft

    functional = level["functional"].lower()
    mf = (dft.UKS if mol.spin else dft.RKS)(mol)
    mf.xc, mf.nlc = (REPLACED_VV10[functional][0], 0) if functional in REPLACED_VV10 else (functional, "")
    mf.grids.level = level["grid_level"]
    mf.nlcgrids.level = max(level["grid_level"] - NLC_GRID_BELOW, 0)
    if level["density_fit"]:
        mf = mf.density_fit(auxbasis=auxiliary_basis(mol, level["density_fit"]))
        if not device.available():
            low_rank.exchange(mf.with_df)
    if environment is not None and environment["model"] is not None:
        mf = continuum.solvated(mf, environment)
    mf.conv_tol, mf.max_cycle, mf.diis_space = level["scf_tolerance_ha"], level["max_cycles"], DIIS_VECTORS
    return mf


def auxiliary_basis(mol: Any, name: str) -> dict[str, Any]:
    """Element -> auxiliary functions of set `name`; of GENERAL_AUXILIARY_BASIS for elements that the set lacks."""
    from pyscf.data.elements import _std_symbol_without_ghost
    from pyscf.gto import basis
    from pyscf.lib.exceptions import BasisNotFoundError

    def functions(element: str) -> Any:
        with suppress(BasisNotFoundError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an advice to install another package
            return basis.load(name, element)
        return basis.load(GENERAL_AUXILIARY_BASIS, element)

    return {element: functions(element) for element in {_std_symbol_without_ghost(label) for label, _ in mol._atom}}


def make_room(fitted: Any) -> None:
    """Let PySCF keep three-index integrals in memory whatever the process has used before.

    It counts all of that against its limit, also what is free again; then a relaxation's later fields write their integrals
    to disk, read them in every cycle, and their forces are made without them: three times the time of a step.
    """
    from pyscf import lib
    from pyscf.df.addons import make_auxmol

    n, n_fitted = fitted.mol.nao, make_auxmol(fitted.mol, fitted.auxbasis).nao
    wanted = n * (n + 1) / 2 * n_fitted * 8e-6
    if wanted <= KEPT_MB:
        # 1/r and a long or short range, and what forms them
        fitted.max_memory = max(fitted.max_memory, lib.current_memory()[0] + 4 * wanted + ROOM_MB)


def gradient(mf: Any) -> np.ndarray:
    """dE/dR of a converged field, hartree/bohr (n, 3), with the response of the grid: without it r2SCAN's forces are off
    by up to 0.02 eV/Angstrom."""
    if device.available():
        return device.gradient(mf)
    if mf.do_nlc():
        slope = mf.nuc_grad_method()
        slope.grid_response = True
        return np.asarray(slope.kernel())
    rest = mf.copy()
    rest._numint = mf._numint.copy()
    rest._numint._xc_type = lambda code: "HF"  # leaves exchange-correlation on the grid out
    slope, more = rest.nuc_grad_method(), grid_forces.xc_gradient(mf)
    if fitted_forces.can_do(mf):
        with suppress(np.linalg.LinAlgError):
            more = more + fitted_forces.jk_gradient(mf)
            shape = np.shape(mf.make_rdm1())
            slope.get_veff = lambda *_: np.zeros((*shape[:-2], 3, *shape[-2:]))
            slope.auxbasis_response = False
    return np.asarray(slope.kernel()) + more
