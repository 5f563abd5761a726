"""BEEF-vdW and the terms of its ensemble at the density of a converged GPAW calculation, the terms in one pass.

GPAW evaluates the terms one after the other (`gpaw.xc.bee.BEEFEnsemble`): thirty-six interpolations of the density, gradients and
sums over the angles of every atom. What the terms are functions of, the density and the square of its gradient, is one and the same.
"""

from typing import Any

import numpy as np

#: Legendre polynomials of exchange, and s^2 at which their argument 2 s^2 / (4 + s^2) - 1 is 0 (Wellendorff et al., PRB 2012, 85, 235149).
EXCHANGE_TERMS, HALFWAY = 30, 4.0
#: Correlation terms, by libxc's names.
CORRELATION = ("LDA_C_PW", "GGA_C_PBE")
#: Densities below are taken for this one, as in GPAW; electrons per bohr^3.
LEAST_DENSITY = 1e-10
#: Points of the grid evaluated at a time.
BLOCK = 1 << 16


def contributions(calc: Any) -> list[float]:
    """Energies of the terms whose coefficients the ensemble of BEEF-vdW varies, at the converged density; (32), eV.

    Thirty Legendre polynomials of exchange, then LDA and PBE correlation (Wellendorff et al., PRB 2012, 85, 235149). The density
    may be another functional's. Spin-paired densities.
    """
    from ase.units import Hartree
    from gpaw.utilities import pack_density
    from gpaw.xc.lda import calculate_paw_correction

    dft = calc.dft
    terms = dft.pot_calc.calculate_non_selfconsistent_exc(_Smooth(dft.pot_calc.fine_grid), dft.density)
    spheres = np.zeros(EXCHANGE_TERMS + len(CORRELATION))
    for a, density in dft.density.D_asii.items():
        setup = calc.setups[a]
        packed = np.array([pack_density(one) for one in density.real])
        spheres += calculate_paw_correction(_in_sphere, setup, packed) + setup.xc_correction.e_xc0
    dft.ibzwfs.domain_comm.sum(spheres)
    return [float(x) for x in (terms + spheres) * Hartree]


def evaluated(functional: str) -> str | dict[str, Any]:
    """How GPAW is asked for the energy of a functional at a density that is not its own: without the potential of its non-local part, which nobody wants."""
    return {"name": functional, "energy_only": True} if "vdW" in functional else functional


class _Smooth:
    """In place of a functional: all terms of the smooth density, where GPAW expects one energy."""

    type = "GGA"

    def __init__(self, grid: Any):
        from gpaw.new.xc import create_functional

        self.gradients: Any = create_functional("PBE", grid).grad_v  # type: ignore[attr-defined]

    def calculate(self, smooth: Any, _: Any = None) -> tuple[np.ndarray, None, None]:
        from gpaw.new.xc import gradient_and_sigma

        _, sigma = gradient_and_sigma(self.gradients, smooth)
        n, s = smooth.data.ravel(), sigma.data.ravel()
        if len(smooth.data) != 1:
            raise NotImplementedError("the ensemble of a spin-polarised density")
        total = np.zeros(EXCHANGE_TERMS + len(CORRELATION))
        for start in range(0, len(n), BLOCK):
            part = slice(start, start + BLOCK)
            total += _densities(n[part], s[part]).sum(axis=1)
        total *= smooth.desc.dv
        smooth.desc.comm.sum(total)
        return total, None, None


def _in_sphere(rgd: Any, coefficients: np.ndarray, partial: np.ndarray, core: np.ndarray) -> tuple[np.ndarray, None]:
    """All terms of a density in an atomic sphere; what `gpaw.xc.gga.GGARadialExpansion` does for one, all angles at once."""
    from gpaw.sphere.lebedev import Y_nL, weight_n
    from gpaw.xc.pawcorrection import rnablaY_nLv

    by_angular = coefficients[0] @ partial
    by_angular[0] += core[0]
    slopes = np.empty_like(by_angular)
    for one, slope in zip(by_angular, slopes, strict=True):
        rgd.derivative(one, slope)
    harmonics = Y_nL[:, : len(by_angular)]
    n = harmonics @ by_angular
    across = np.einsum("nLv, Lg -> vng", rnablaY_nLv[:, : len(by_angular)], by_angular)
    sigma = (across**2).sum(axis=0)
    sigma[:, 1:] /= rgd.r_g[1:] ** 2
    sigma[:, 0] = sigma[:, 1]
    sigma += (harmonics @ slopes) ** 2
    energies = _densities(n.ravel(), sigma.ravel()).reshape(-1, *n.shape)
    return rgd.integrate(np.einsum("n, xng -> xg", weight_n, energies)), None


def _densities(n: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Energy densities of all terms, (32, points), hartree/bohr^3, of density and squared gradient (points)."""
    from gpaw.xc.libxc import LibXC

    n = np.maximum(n, LEAST_DENSITY)
    found = np.empty((EXCHANGE_TERMS + len(CORRELATION), len(n)))
    exchange = -0.75 * (3 / np.pi) ** (1 / 3) * n ** (4 / 3)  # of the uniform gas
    reduced = sigma / (2 * (3 * np.pi**2) ** (1 / 3)) ** 2 / n ** (8 / 3)
    argument = 2 * reduced / (HALFWAY + reduced) - 1
    found[0], found[1] = exchange, exchange * argument
    for order in range(1, EXCHANGE_TERMS - 1):  # Bonnet's recursion
        np.multiply(argument, found[order], out=found[order + 1])
        found[order + 1] *= (2 * order + 1) / (order + 1)
        found[order + 1] -= order / (order + 1) * found[order - 1]
    for row, name in enumerate(CORRELATION, EXCHANGE_TERMS):
        kernel = LibXC(name)
        ignored = np.zeros((2, 1, len(n)))
        kernel.calculate(found[row], n[None].copy(), ignored[0], sigma[None].copy(), ignored[1])
    return found
