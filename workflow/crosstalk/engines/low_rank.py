"""Exact exchange of density-fitted fields for densities that are no closed or open shell: those of a response.

A trial density of a stability analysis or of a second-order step is D = C A^T + A C^T with the occupied orbitals C: a
symmetric matrix of twice their rank. PySCF treats it as one of full rank. Split by the signs of its eigenvalues,
D = P P^T - N N^T, each half goes the way of occupied orbitals: for EMC with 210 functions in a third of the time, more for
larger basis sets.
"""

from typing import Any

import numpy as np

#: Eigenvalues below this part of the largest are rounding.
ROUNDING = 1e-12
#: A density of more than this part of full rank is left as it is.
WORTHWHILE = 0.5


def exchange(fitted: Any) -> None:
    """Teach a PySCF density-fitting object to see the rank of the densities it is given."""
    plain = fitted.get_jk

    def get_jk(dm: Any, hermi: int = 1, with_j: bool = True, with_k: bool = True, *args: Any, **options: Any) -> Any:
        attenuated = (*args, None, None)[1] or options.get("omega")
        suits = with_k and hermi == 1 and getattr(dm, "mo_coeff", None) is None and not (with_j and attenuated)
        halves = _halves(dm) if suits else None
        if halves is None:
            return plain(dm, hermi, with_j, with_k, *args, **options)
        vj = plain(dm, hermi, True, False, *args, **options)[0] if with_j else None
        _, vk = plain(halves, hermi, False, True, *args, **options)
        pairs = vk.reshape(-1, 2, *vk.shape[-2:])
        return vj, (pairs[:, 0] - pairs[:, 1]).reshape(np.shape(dm))

    fitted.get_jk = get_jk


def _halves(dm: Any) -> Any:
    """P P^T and N N^T of each density as one array with the factors attached (PySCF's tags); None for high ranks."""
    from pyscf import lib

    densities = np.asarray(dm)
    if np.iscomplexobj(densities):
        return None
    n = densities.shape[-1]
    factors = []
    for density in densities.reshape(-1, n, n):
        values, vectors = np.linalg.eigh(density)
        limit = ROUNDING * max(abs(values).max(), np.finfo(float).tiny)
        factors += [vectors[:, s] * np.sqrt(abs(values[s])) for s in (values > limit, values < -limit)]
    most = max(c.shape[1] for c in factors)
    if 2 * most > WORTHWHILE * n:
        return None
    coefficients, occupations = np.zeros((len(factors), n, most)), np.zeros((len(factors), most))
    for k, c in enumerate(factors):
        coefficients[k, :, : c.shape[1]], occupations[k, : c.shape[1]] = c, 1.0
    whole = coefficients @ coefficients.transpose(0, 2, 1)
    return lib.tag_array(whole, mo_coeff=coefficients, mo_occ=occupations)
