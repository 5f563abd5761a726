"""What one self-consistent field learned, for the next one whose energy differs by a term linear in the density.

Another reference of two grids (`dual_grid`) adds a constant to the Fock matrix of every density. So the pairs of density and Fock
matrix that were extrapolated from (DIIS; Pulay, J. Comput. Chem. 3, 556 (1982)) stay good, and the field that goes on from
the last of them does not learn anew what answers to what, nor compute again the potential where it begins.
"""

from typing import Any

import numpy as np


class Pairs:
    """Densities with their Fock matrices (of each spin, when there are two; hartree), oldest first, at most `most` of them; of
    the last one PySCF's potential too, with the energies attached to it."""

    def __init__(self, most: int):
        self.most = most
        self.potential: Any = None
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, density: Any, fock: Any, potential: Any) -> None:
        self._pairs = [*self._pairs, (np.asarray(density), np.asarray(fock))][-self.most :]
        self.potential = potential

    def forget(self) -> None:
        self._pairs, self.potential = [], None

    def shift(self, change: np.ndarray, energy: float) -> None:
        """The energy gains a linear term with the potential `change`; `energy`: at the last density (hartree)."""
        from pyscf import lib

        self._pairs = [(density, fock + change) for density, fock in self._pairs]
        if self.potential is not None:
            tags = {**self.potential.__dict__, "exc": self.potential.exc + energy}
            self.potential = lib.tag_array(np.asarray(self.potential) + change, **tags)

    def teach(self, mf: Any, start: Any) -> None:
        """Let `mf`, which is about to begin at density `start`, extrapolate from the pairs and know its first potential. When
        that is not the last density it begins as ever."""
        from pyscf import lib

        mf.diis, mf.diis_start_cycle = True, 1
        mf.__dict__.pop("get_veff", None)
        if not self._pairs or not np.array_equal(self._pairs[-1][0], start):
            return
        known, compute = [self.potential], mf.get_veff

        def get_veff(*args: Any, **options: Any) -> Any:
            return known.pop() if known else compute(*args, **options)

        mf.get_veff = get_veff
        if len(self._pairs) == 1:
            return
        overlap = mf.get_ovlp()
        mf.diis, mf.diis_start_cycle = mf.DIIS(mf, mf.diis_file), 0
        mf.diis.space, mf.diis.rollback, mf.diis.damp = mf.diis_space, mf.diis_space_rollback, mf.diis_damp
        mf.diis.Corth = mf.check_linear_dependency(overlap, lib.logger.new_logger(mf, 0))
        for density, fock in self._pairs[:-1]:
            mf.diis.update(overlap, density, fock)
