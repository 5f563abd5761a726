"""Rows that carry an ensemble of functionals (BEEF-vdW): the same comparison with every member of it."""

from collections.abc import Sequence

import numpy as np

from crosstalk import beef
from crosstalk.observables.base import ENSEMBLE, Row

#: Where the error bar of a comparison is from whose rows carry an ensemble.
SOURCE = "BEEF-vdW ensemble of the difference"


def terms(row: Row, quantity: str) -> np.ndarray | None:
    """The terms of a row's ensemble, (32), eV; None without one."""
    found = row.get(ENSEMBLE, {}).get(quantity)
    return None if found is None else np.asarray(found, dtype=float)


def error_bar(quantity: str, mine: Row, theirs: Row | None) -> tuple[float, str]:
    """Standard deviation of the difference of two rows over the ensemble, eV, and its source; None is a fixed number."""
    both = [terms(row, quantity) for row in (mine, theirs) if row is not None]
    own, *other = [found for found in both if found is not None]
    return beef.spread(own - other[0] if other else own), SOURCE


def margins(
    quantity: str, mine: Sequence[Row], theirs: Sequence[Row], sign: float, threshold: float | None
) -> np.ndarray | None:
    """sign * (mine - theirs) with each member of the ensemble, the least favourable rows taken; None unless all have one.

    `threshold` stands in for theirs.
    """

    def moved(rows: Sequence[Row]) -> list[np.ndarray]:
        found = [(row[quantity], terms(row, quantity)) for row in rows]
        return [sign * (value + beef.changes(its)) for value, its in found if its is not None]

    ours, others = moved(mine), moved(theirs)
    if not ours or len(ours) < len(mine) or len(others) < len(theirs):
        return None
    against = sign * threshold if threshold is not None else np.max(others, axis=0)
    return np.asarray(np.min(ours, axis=0) - against)


def probability(members: Sequence[np.ndarray]) -> float | None:
    """Share of the functionals with which every one of these margins is positive; None without any."""
    return float(np.all([m > 0 for m in members], axis=0).mean()) if members else None
