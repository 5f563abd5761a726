"""Molecules in a polarisable continuum, with PySCF: PCM and SMD.

PySCF computes a cavity's integrals and factorises its matrix anew in every cycle; here both are done once. For 160
functions that is nine tenths of an SCF in solution.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

#: A continuum's integrals are kept up to this size, MB; computed anew in every cycle (of LEDC/def2-TZVPD: 20 s) beyond it.
CAVITY_MB = 6000
#: PySCF's methods of a continuum that an instance replaces here.
REPLACED = ("_get_v", "_get_vmat", "_get_vind", "_B_dot_x", "grad")
#: Memory of a block of derivative integrals, MB.
BLOCK_MB = 200
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
    keep_factors(mf.with_solvent)
    mf.with_solvent.grad = lambda density: gradient(mf.with_solvent, density)
    return mf


def keep_integrals(continuum: Any) -> None:
    """Let a continuum keep its three-index integrals between cycles, unless they are larger than CAVITY_MB."""
    from pyscf import lib

    slow_v, slow_vmat = continuum._get_v, continuum._get_vmat
    kept: dict[str, Any] = {}

    def integrals() -> np.ndarray | None:
        mol, points = continuum.mol, continuum.surface["grid_coords"]
        pairs = mol.nao * (mol.nao + 1) // 2
        if pairs * len(points) * 8e-6 > CAVITY_MB:
            return None
        if kept.get("points") is not points:
            kept["integrals"], kept["points"] = attraction(mol, continuum.surface), points
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


def keep_factors(continuum: Any) -> None:
    """Let a continuum keep the LU factors of its matrix K: charges q = K^-1 R v of a potential v on the cavity."""
    from scipy.linalg import lu_factor, lu_solve

    kept: dict[str, Any] = {}

    def charges(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Charges of potentials (n, points), and the same with the symmetric part of K^-1 R."""
        k, r = continuum._intermediates["K"], continuum._intermediates["R"]
        if kept.get("K") is not k:
            kept["factors"], kept["K"] = lu_factor(k), k
        q = lu_solve(kept["factors"], r @ v.T).T
        transposed = (r.T @ lu_solve(kept["factors"], v.T, trans=1)).T
        return q, (q + transposed) / 2

    def energy_and_potential(densities: np.ndarray) -> tuple[float, np.ndarray]:
        if not continuum._intermediates:
            continuum.build()
        densities = np.reshape(densities, (-1, *np.shape(densities)[-2:]))
        if len(densities) == 2:
            densities = densities.sum(axis=0, keepdims=True)
        v = continuum.v_grids_n - continuum._get_v(densities)
        q, symmetric = charges(v)
        continuum._intermediates |= {"q": q[0], "q_sym": symmetric[0], "v_grids": v[0], "dm": densities}
        return 0.5 * float(symmetric[0] @ v[0]), continuum._get_vmat(symmetric)[0]

    def response(densities: np.ndarray) -> np.ndarray:
        if not continuum._intermediates:
            continuum.build()
        _, symmetric = charges(-continuum._get_v(np.reshape(densities, (-1, *densities.shape[-2:]))))
        return np.asarray(continuum._get_vmat(symmetric).reshape(densities.shape))

    continuum._get_vind, continuum._B_dot_x = energy_and_potential, response


def gradient(continuum: Any, density: np.ndarray) -> np.ndarray:
    """dE/dR (n, 3; hartree/bohr) of the continuum at a total density.

    As PySCF's, with derivatives of the cavity's points from those of the orbitals (translational invariance): half the integrals.
    """
    from pyscf.solvent import smd
    from pyscf.solvent.grad import pcm
    from pyscf.solvent.grad import smd as smd_gradient

    continuum._get_vind(density)
    charges = continuum._intermediates["q_sym"]
    slope = attraction_gradient(continuum, density, charges) + pcm.grad_nuc(continuum, density)
    if isinstance(continuum, smd.SMD):
        return np.asarray(slope + smd_gradient.grad_solver(continuum, density) + smd.get_cds_legacy(continuum)[1])
    return np.asarray(slope + pcm.grad_solver(continuum, density))


def attraction(mol: Any, surface: Mapping[str, Any]) -> np.ndarray:
    """Integrals of orbital pairs (lower triangle) with unit charges at a cavity's points: (pairs, points), hartree."""
    from pyscf import lib

    found = np.empty((mol.nao * (mol.nao + 1) // 2, len(surface["charge_exp"])))
    for block, widened in _of_one_width(mol, surface):
        part = widened.intor("int1e_grids", hermi=1, grids=surface["grid_coords"][block])
        found[:, block] = lib.pack_tril(part).T
    return found


def attraction_gradient(continuum: Any, density: np.ndarray, charges: np.ndarray) -> np.ndarray:
    """dE/dR (n, 3) of the electrons' interaction with the cavity's charges, both held fixed, hartree/bohr."""
    mol, surface = continuum.mol, continuum.surface
    n = mol.nao
    on_orbitals, on_points = np.zeros((3, n)), np.zeros((3, len(charges)))
    for block, widened in _of_one_width(mol, surface):
        # component, the orbital as it is, the one that moves, points: as in memory
        parts = widened.intor("int1e_grids_ip", comp=3, grids=surface["grid_coords"][block]).transpose(0, 3, 2, 1)
        for x, part in enumerate(parts.reshape(3, n * n, -1)):
            on_orbitals[x] += ((part @ charges[block]).reshape(n, n) * density).sum(axis=0)
            on_points[x, block] = -2 * (density.ravel() @ part) * charges[block]
    atoms = zip(mol.aoslice_by_atom()[:, 2:], surface["gslice_by_atom"], strict=True)
    return np.array([2 * on_orbitals[:, a:b].sum(axis=1) + on_points[:, p:q].sum(axis=1) for (a, b), (p, q) in atoms])


def _of_one_width(mol: Any, surface: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, Any]]:
    """Blocks of a cavity's points whose Gaussian charges have one width, and the molecule that lends it to libcint's integrals over grids.

    These take a quarter (derivatives) to a half of the time of three-centre integrals with a Gaussian at each point.
    """
    from pyscf.gto.mole import PTR_RINV_ZETA

    widths, which = np.unique(surface["charge_exp"] ** 2, return_inverse=True)
    size = max(int(BLOCK_MB * 1e6 / (8 * 3 * mol.nao**2)), 1)
    widened = mol.copy()
    widened._env = mol._env.copy()
    for number, width in enumerate(widths):
        widened._env[PTR_RINV_ZETA] = width
        points = np.flatnonzero(which == number)
        for first in range(0, len(points), size):
            yield points[first : first + size], widened
