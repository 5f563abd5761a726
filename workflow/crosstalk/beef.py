"""The BEEF-vdW ensemble: how far an energy difference moves when the functional does.

The ensemble varies the coefficients of BEEF-vdW's exchange and correlation terms as far as its fit leaves them open
(Wellendorff et al., Phys. Rev. B 2012, 85, 235149). To first order the energy of a member is E + coefficients . terms,
so the 32 terms of a calculation (quantity `ensemble_contributions_ev`) hold all its members, and those of a difference
of calculations are the difference of their terms. What two calculations have in common cancels member by member.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

#: The functional that has the ensemble, by GPAW's name.
FUNCTIONAL = "BEEF-vdW"
#: Members of the ensemble, and the seed that draws them: the same for every energy, so that differences are of like members.
SIZE, SEED = 2000, 0


@cache
def coefficients() -> np.ndarray:
    """Changes of the coefficients in each member, (SIZE, 32); drawn by ASE from the ensemble's covariance."""
    from ase.dft.bee import BEEFEnsemble

    drawn = BEEFEnsemble(e=0.0, contribs=np.zeros(32), xc=FUNCTIONAL, verbose=False)
    return np.asarray(drawn.get_beefvdw_ensemble_coefs(SIZE, SEED))


def changes(contributions: Sequence[float] | np.ndarray) -> np.ndarray:
    """What each member changes of an energy (or difference of energies) with these terms, (SIZE), eV."""
    return np.asarray(coefficients() @ np.asarray(contributions, dtype=float))


def spread(contributions: Sequence[float] | np.ndarray) -> float:
    """Standard deviation over the members, eV."""
    return float(changes(contributions).std())
