"""How well one list of numbers foretells the order of another."""

from collections.abc import Sequence

#: Ranks of fewer say nothing.
LEAST_RANKED = 3


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank coefficient; 1 when one side holds equal numbers only, which no order contradicts."""
    from scipy.stats import spearmanr

    if len(set(first)) == 1 or len(set(second)) == 1:
        return 1.0
    return float(spearmanr(first, second).statistic)
