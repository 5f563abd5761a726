"""Rows that carry an ensemble of functionals (BEEF-vdW): the same comparison with every member of it."""

from collections.abc import Sequence

import numpy as np

from crosstalk import beef
from crosstalk.observables.base import ENSEMBLE, Row

#: Where the error bar of a comparison is from whose rows carry an ensemble.
SOURCE = "BEEF-vdW ensemble of the difference"


def terms(row: Row, quantity: str) -> Sequence[float] | None:
    """The terms of a row's ensemble, eV; None without one."""
    found: Sequence[float] | None = row.get(ENSEMBLE, {}).get(quantity)
    return found


def error_bar(quantity: str, mine: Row, theirs: Row | None) -> tuple[float, str]:
    """Standard deviation of the difference of two rows over the ensemble, eV, and its source; None is a fixed number."""
    own = np.asarray(terms(mine, quantity), dtype=float)
    other = np.asarray(terms(theirs, quantity), dtype=float) if theirs is not None else 0.0
    return beef.spread(own - other), SOURCE


def margins(
    quantity: str, mine: Sequence[Row], theirs: Sequence[Row], sign: float, threshold: float | None
) -> np.ndarray | None:
    """sign * (mine - theirs) with each member of the ensemble, the least favourable rows taken; None unless all have one.

    `threshold` stands in for theirs.
    """
    if not mine or any(terms(row, quantity) is None for row in (*mine, *theirs)):
        return None

    def moved(row: Row) -> np.ndarray:
        return np.asarray(sign * (row[quantity] + beef.changes(terms(row, quantity) or [])))

    against = sign * threshold if threshold is not None else np.max([moved(row) for row in theirs], axis=0)
    return np.asarray(np.min([moved(row) for row in mine], axis=0) - against)


def probability(members: Sequence[np.ndarray]) -> float | None:
    """Share of the functionals with which every one of these margins is positive; None without any."""
    return float(np.all([m > 0 for m in members], axis=0).mean()) if members else None
