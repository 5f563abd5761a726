"""GPAW's exchange-correlation corrections inside the atoms, for all directions of a radial grid at once.

A gradient functional inside an augmentation sphere is integrated over 50 directions (Lebedev), for pseudo and all-electron densities
of every atom, in every iteration. GPAW takes one direction at a time; what surrounds the functional then takes as long as the functional itself.
The same sums with all directions in one array.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np


@cache
def install() -> Callable[..., Any]:
    """Have GPAW sum this way, in this process; returns its own way."""
    from gpaw.xc.gga import GGARadialCalculator, GGARadialExpansion

    theirs = GGARadialExpansion.__call__

    def either(self: Any, rgd: Any, D_sLq: np.ndarray, n_qg: np.ndarray, nc0_sg: Any) -> tuple[float, np.ndarray]:
        ours = type(self.rcalc) is GGARadialCalculator and not self.args
        return (expanded if ours else theirs)(self, rgd, D_sLq, n_qg, nc0_sg)

    GGARadialExpansion.__call__ = either  # type: ignore[method-assign]
    return theirs


def expanded(expansion: Any, rgd: Any, D_sLq: np.ndarray, n_qg: np.ndarray, nc0_sg: Any) -> tuple[float, np.ndarray]:
    """Energy, and its derivatives (s, q, L) by the density's coefficients.

    Indices: s spin, L spherical harmonic, q product of radial functions, g radius, n direction, v Cartesian component, x pair of spins.
    D_sLq   coefficients of the density
    n_qg    products of radial functions
    nc0_sg  the core's part of L=0, or 0
    """
    from gpaw.sphere.lebedev import Y_nL, weight_n
    from gpaw.xc.pawcorrection import rnablaY_nLv

    nspins, n_harmonics, _ = D_sLq.shape
    harmonics, gradients = Y_nL[:, :n_harmonics], rnablaY_nLv[:, :n_harmonics].transpose(2, 0, 1)
    n_sLg = D_sLq @ n_qg
    n_sLg[:, 0] += nc0_sg
    density, along = harmonics @ n_sLg, harmonics @ _derivative(rgd, n_sLg)
    across = gradients[:, None] @ n_sLg  # (v, s, n, g)

    sigma = np.empty((2 * nspins - 1, *density.shape[1:]))
    sigma[::2] = (across**2).sum(axis=0)
    if nspins == 2:
        sigma[1] = (across[:, 0] * across[:, 1]).sum(axis=0)
    sigma[..., 1:] /= rgd.r_g[1:] ** 2
    sigma[..., 0] = sigma[..., 1]
    sigma[::2] += along**2
    if nspins == 2:
        sigma[1] += along[0] * along[1]

    energy, slope, by_sigma = np.empty(density.shape[1:]), np.zeros_like(density), np.zeros_like(sigma)
    flat = [array.reshape(*array.shape[:-2], -1) for array in (energy, density, slope, sigma, by_sigma)]
    expansion.rcalc.kernel.calculate(*flat)

    pulled = -2 * by_sigma[::2] * along
    if nspins == 2:
        pulled -= by_sigma[1] * along[::-1]
    more = _transposed_derivative(rgd, rgd.dv_g * pulled)
    more[..., 1:] /= rgd.dv_g[1:]
    more[..., 0] = more[..., 1]
    slope += more

    weighed = weight_n[:, None] * harmonics
    radial = (rgd.dv_g * slope) @ n_qg.T  # (s, n, q)
    found = np.tensordot(radial, weighed, ([1], [0]))
    by_sigma *= rgd.dr_g
    turned = by_sigma[::2] * across
    if nspins == 2:
        turned += 0.5 * by_sigma[1] * across[:, ::-1]
    radial = turned @ n_qg.T  # (v, s, n, q)
    found += 8 * np.pi * np.tensordot(radial, weight_n[:, None] * gradients, ([0, 2], [0, 1]))
    return float(weight_n @ rgd.integrate(energy)), found


def _derivative(rgd: Any, values: np.ndarray) -> np.ndarray:
    """Derivatives by the radius along the last axis, as `rgd.derivative` takes them."""
    found = np.empty_like(values)
    found[..., 0] = values[..., 1] - values[..., 0]
    found[..., 1:-1] = 0.5 * (values[..., 2:] - values[..., :-2])
    found[..., -1] = values[..., -1] - values[..., -2]
    return np.asarray(found / rgd.dr_g)


def _transposed_derivative(rgd: Any, values: np.ndarray) -> np.ndarray:
    """The same along the last axis as `rgd.derivative2` takes them: minus the transpose of `_derivative`."""
    scaled = values / rgd.dr_g
    found = np.empty_like(scaled)
    found[..., 0] = 0.5 * scaled[..., 1] + scaled[..., 0]
    found[..., 1] = 0.5 * scaled[..., 2] - scaled[..., 0]
    found[..., 2:-2] = 0.5 * (scaled[..., 3:-1] - scaled[..., 1:-3])
    found[..., -2] = scaled[..., -1] - 0.5 * scaled[..., -3]
    found[..., -1] = -scaled[..., -1] - 0.5 * scaled[..., -2]
    return found
