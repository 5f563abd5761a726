"""Orbitals on the points of a grid: densities, and what the exchange-correlation potential does to occupied orbitals.

With phi the basis functions, psi = phi C the occupied orbitals (each times the root of its occupation), rho, grad rho and tau
from psi, and v the derivatives of the energy density by them, the potential acts on the orbitals as

    (V C)_i = sum_g w { phi_i [v_rho psi + sum_y v_y d_y psi] + sum_y d_y phi_i [v_y psi + 1/2 v_tau d_y psi] },

products of all functions with the occupied orbitals, where the matrix V takes products of all with all.
"""

from typing import Any

import numpy as np


def occupied(source: Any) -> list[np.ndarray]:
    """Occupied orbitals of each spin (of both together when restricted), times the root of their occupation; of a field or
    of a density with orbitals attached."""
    coefficients, occupations = (np.asarray(a) for a in (source.mo_coeff, source.mo_occ))
    if occupations.ndim == 1:
        coefficients, occupations = coefficients[None], occupations[None]
    return [c[:, n > 0] * np.sqrt(n[n > 0]) for c, n in zip(coefficients, occupations, strict=True)]


def potential_on(mf: Any, grids: Any, orbitals: list[np.ndarray]) -> tuple[float, list[np.ndarray]]:
    """Exchange-correlation energy (hartree, without VV10) of `orbitals`, and what its potential does to those of each spin
    (function, orbital), on the points of `grids`."""
    numint = type(mf._numint)()
    kind = numint._xc_type(mf.xc)
    acted = [np.zeros_like(c) for c in orbitals]
    if kind == "HF":
        return 0.0, acted
    order, energy = 0 if kind == "LDA" else 1, 0.0
    for phi, _, weights, _ in numint.block_loop(mf.mol, grids, mf.mol.nao, order, max_memory=mf.max_memory):
        phi = phi[None] if order == 0 else phi
        psi = [[component @ c for component in phi] for c in orbitals]
        density, potentials = energy_and_potential(numint, mf.xc, kind, psi)
        energy += float(density @ weights)
        for p, v, vc in zip(psi, potentials * weights, acted, strict=True):
            vc += phi[0].T @ _sum(v, p)
            for y in range(1, len(phi)):
                slope = v[y][:, None] * p[0]
                if kind == "MGGA":
                    slope += (v[4] / 2)[:, None] * p[y]
                vc += phi[y].T @ slope
    return energy, acted


def _sum(v: np.ndarray, p: list[np.ndarray]) -> np.ndarray:
    """v_rho psi + sum_y v_y d_y psi."""
    total = v[0][:, None] * p[0]
    for y in range(1, len(p)):
        total += v[y][:, None] * p[y]
    return total


def energy_and_potential(numint: Any, xc: str, kind: str, psi: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Energy density (hartree/bohr^3) at the points, and its derivatives by rho, grad rho and tau (spin, component, point).

    psi: for each spin the orbitals and, beyond LDA, their slopes (component, point, orbital).
    """
    rho = [_density(p, kind) for p in psi]
    restricted = len(psi) == 1
    energy, potential = numint.eval_xc_eff(xc, rho[0] if restricted else np.array(rho), 1, xctype=kind)[:2]
    potential = np.asarray(potential)[None] if restricted else np.asarray(potential)
    total = sum(np.atleast_2d(r)[0] for r in rho)
    return np.asarray(energy) * total, potential.reshape(len(psi), -1, len(total))


def _density(psi: Any, kind: str) -> np.ndarray:
    """rho; for gradient corrections rho and its gradient; for meta-GGAs tau too (component, point)."""
    rho = np.einsum("gk,gk->g", psi[0], psi[0])
    if kind == "LDA":
        return rho
    parts = [rho, *(2 * np.einsum("gk,gk->g", psi[0], p) for p in psi[1:4])]
    if kind == "MGGA":
        parts.append(0.5 * sum(np.einsum("gk,gk->g", p, p) for p in psi[1:4]))
    return np.array(parts)
