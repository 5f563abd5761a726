"""Molecules in a polarisable continuum, with PySCF: PCM and SMD."""

from collections.abc import Mapping
from typing import Any

import numpy as np

#: A continuum's integrals are kept up to this size, MB; computed anew in every cycle (of LEDC/def2-TZVPD: 20 s) beyond it.
CAVITY_MB = 6000
SMD_DESCRIPTORS = ("n", "n25", "alpha", "beta", "gamma", "epsilon", "phi", "psi")


def solvated(mf: Any, environment: Mapping[str, Any]) -> Any:
    """`mf` in a polarisable continuum. PCM: Bondi radii times 1.2; SMD: its own radii and non-electrostatic terms."""
    from pyscf import solvent

    smd = environment["model"] == "smd"
    mf = solvent.SMD(mf) if smd else solvent.PCM(mf)
    mf.with_solvent.eps = environment["epsilon"]
    if smd:
        values = {**environment.get("smd_descriptors", {}), "epsilon": environment["epsilon"]}
        values.setdefault("n25", values.get("n"))
        mf.with_solvent.solvent_descriptors = [values[name] for name in SMD_DESCRIPTORS]
    else:
        mf.with_solvent.method = environment["model"].upper()
    keep_integrals(mf.with_solvent)
    return mf


def keep_integrals(continuum: Any) -> None:
    """Let a continuum keep its three-index integrals between cycles, unless they are larger than CAVITY_MB.

    PySCF computes them twice per cycle, which for a molecule of 160 functions is four fifths of an SCF in solution.
    """
    from pyscf import df, gto, lib

    slow_v, slow_vmat = continuum._get_v, continuum._get_vmat
    kept: dict[str, Any] = {}

    def integrals() -> np.ndarray | None:
        mol, points = continuum.mol, continuum.surface["grid_coords"]
        pairs = mol.nao * (mol.nao + 1) // 2
        if pairs * len(points) * 8e-6 > CAVITY_MB:
            return None
        if kept.get("points") is not points:
            charges = gto.fakemol_for_charges(points, expnt=continuum.surface["charge_exp"] ** 2)
            charges.cart = mol.cart
            kept["integrals"] = df.incore.aux_e2(mol, charges, intor=mol._add_suffix("int3c2e"), aosym="s2ij")
            kept["points"] = points
        return kept["integrals"]

    def potential(densities: np.ndarray) -> np.ndarray:
        v = integrals()
        if v is None:
            return slow_v(densities)
        packed = lib.pack_tril(densities + densities.transpose(0, 2, 1))
        packed[:, [i * (i + 3) // 2 for i in range(densities.shape[-1])]] *= 0.5
        return packed @ v

    def matrix(charges: np.ndarray) -> np.ndarray:
        v = integrals()
        if v is None:
            return slow_vmat(charges)
        return lib.unpack_tril(np.ascontiguousarray(-(charges.reshape(-1, v.shape[1]) @ v.T)))

    continuum._get_v, continuum._get_vmat = potential, matrix
