"""Exact exchange of density-fitted fields from the factors of their densities.

With the integrals L of an auxiliary function and D = C C^T, exchange is sum_L (L C)(L C)^T: a symmetric product, of which one
triangle is enough. PySCF makes both.

A trial density of a stability analysis or of a second-order step is D = C A^T + A C^T with the occupied orbitals C: a
symmetric matrix of twice their rank. PySCF treats it as one of full rank. Split by the signs of its eigenvalues,
D = P P^T - N N^T, each half goes the way of occupied orbitals: for EMC with 210 functions in a third of the time, more for
larger basis sets. Where C and A are known (`tagged`) the integrals with C on one side are kept, which halves that again.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from scipy.linalg.blas import dsyrk

from crosstalk.engines.grid_orbitals import occupied

#: Eigenvalues below this part of the largest are rounding.
ROUNDING = 1e-12
#: A density of more than this part of full rank is left as it is.
WORTHWHILE = 0.5
#: Auxiliary functions of a block of integrals, and most memory of those that are kept with occupied orbitals on one side, MB.
BLOCK, KEPT_MB = 240, 1000.0


def exchange(fitted: Any) -> None:
    """Teach a PySCF density-fitting object to see the rank of the densities it is given."""
    plain = fitted.get_jk

    def get_jk(dm: Any, hermi: int = 1, with_j: bool = True, with_k: bool = True, *args: Any, **options: Any) -> Any:
        attenuated = (*args, None, None)[1] or options.get("omega")
        factors = getattr(dm, "factors", None)
        if factors is not None and with_k and hermi == 1 and not (with_j and attenuated):
            vj = plain(np.asarray(dm), hermi, True, False)[0] if with_j else None
            return vj, factors.exchange(fitted, attenuated).reshape(np.shape(dm))
        suits = with_k and hermi == 1 and not np.iscomplexobj(dm) and not (with_j and attenuated)
        halves = None if not suits or _is_shell(dm) else _halves(dm)
        if not suits or (halves is None and not _is_shell(dm)):
            return plain(dm, hermi, with_j, with_k, *args, **options)
        vj = plain(np.asarray(dm), hermi, True, False, *args, **options)[0] if with_j else None
        if halves is None:
            return vj, Occupied(occupied(dm)).exchange(fitted, attenuated).reshape(np.shape(dm))
        pairs = Occupied(halves).exchange(fitted, attenuated).reshape(-1, 2, *np.shape(dm)[-2:])
        return vj, (pairs[:, 0] - pairs[:, 1]).reshape(np.shape(dm))

    fitted.get_jk = get_jk


class Occupied:
    """Occupied orbitals of a field, (functions, orbitals) for each spin, with their half-transformed integrals once they are computed."""

    def __init__(self, orbitals: Sequence[np.ndarray]):
        self.orbitals = [np.asarray(c, order="F") for c in orbitals]
        self._kept: dict[tuple[float, int], list[np.ndarray]] = {}

    def exchange(self, fitted: Any, omega: float | None) -> np.ndarray:
        """(spins, functions, functions), of D = C C^T of each spin."""
        with _range(fitted, omega) as integrals:
            n = len(self.orbitals[0])
            found = [np.zeros((n, n), order="F") for _ in self.orbitals]
            for block in integrals.loop(BLOCK):
                for k, c in enumerate(self.orbitals):
                    if c.shape[1]:  # a spin may have no electrons
                        found[k] = dsyrk(1.0, _half(block, c).T, beta=1.0, c=found[k], lower=True, overwrite_c=True)
        return np.array([np.tril(k) + np.tril(k, -1).T for k in found])

    def half(self, omega: float | None, number: int, integrals: np.ndarray, keep: bool) -> list[np.ndarray]:
        """Of block `number` of integrals: for each spin (auxiliary and occupied, functions)."""
        key = (omega or 0.0, number)
        if key in self._kept:
            return self._kept[key]
        found = [_half(integrals, c) for c in self.orbitals]
        if keep:
            self._kept[key] = found
        return found


class Factors:
    """Densities D = C A^T + A C^T: `occupied` has the C of each spin, `partners` the A (n, functions, orbitals) of each."""

    def __init__(self, occupied: Occupied, partners: Sequence[np.ndarray]):
        self.occupied, self.partners = occupied, partners

    def exchange(self, fitted: Any, omega: float | None) -> np.ndarray:
        """(spins, n, functions, functions): sum over auxiliary functions L of (L C)(L A)^T and its transpose."""
        from pyscf import lib

        n = len(self.occupied.orbitals[0])
        columns = sum(c.shape[1] for c in self.occupied.orbitals)
        found = np.zeros((len(self.partners), len(self.partners[0]), n, n))
        with _range(fitted, omega) as integrals:
            keep = integrals.get_naoaux() * columns * n * 8e-6 <= KEPT_MB
            for number, block in enumerate(integrals.loop(BLOCK)):
                halves = self.occupied.half(omega, number, block, keep)
                for spin, (half, partners) in enumerate(zip(halves, self.partners, strict=True)):
                    for k, partner in enumerate(partners):
                        lib.dot(half.T, _half(block, partner), 1, found[spin, k], 1)
        return found + found.transpose(0, 1, 3, 2)


def tagged(densities: np.ndarray, occupied: Occupied, partners: Sequence[np.ndarray]) -> Any:
    """Densities (spins, n, functions, functions; one spin: without that axis) that know their factors."""
    from pyscf import lib

    return lib.tag_array(densities, factors=Factors(occupied, partners))


def _half(integrals: np.ndarray, orbitals: np.ndarray) -> np.ndarray:
    """Packed three-index integrals with one index turned into orbitals: (auxiliary and orbitals, functions)."""
    import ctypes

    from pyscf.ao2mo import _ao2mo

    orbitals = np.asarray(orbitals, order="F")
    (auxiliary, _), (n, count) = integrals.shape, orbitals.shape
    found = np.empty((auxiliary * count, n))
    library = _ao2mo.libao2mo
    library.AO2MOnr_e2_drv(
        library.AO2MOtranse2_nr_s2, library.AO2MOmmm_bra_nr_s2, found.ctypes.data_as(ctypes.c_void_p),
        np.asarray(integrals, order="C").ctypes.data_as(ctypes.c_void_p), orbitals.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int(auxiliary), ctypes.c_int(n), (ctypes.c_int * 4)(0, count, 0, n), ctypes.c_void_p(0), ctypes.c_int(0),
    )  # fmt: skip
    return found


def _range(fitted: Any, omega: float | None) -> Any:
    """The integrals of 1/r or of its long (positive omega) or short range, as a context."""
    return fitted.range_coulomb(omega) if omega else nullcontext(fitted)


def _is_shell(dm: Any) -> bool:
    """Whether occupied orbitals are attached to a density (PySCF's tags), one set for each of its matrices."""
    return getattr(dm, "mo_coeff", None) is not None and np.shape(dm)[:-2] == np.shape(dm.mo_occ)[:-1]


def _halves(dm: Any) -> list[np.ndarray] | None:
    """P and N of each density D = P P^T - N N^T; None for high ranks."""
    densities = np.asarray(dm)
    n = densities.shape[-1]
    factors = []
    for density in densities.reshape(-1, n, n):
        values, vectors = np.linalg.eigh(density)
        limit = ROUNDING * max(abs(values).max(), np.finfo(float).tiny)
        factors += [vectors[:, s] * np.sqrt(abs(values[s])) for s in (values > limit, values < -limit)]
    return None if 2 * max(c.shape[1] for c in factors) > WORTHWHILE * n else factors
