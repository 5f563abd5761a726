"""Validation: the errors of each level against groups of reference values, and the error bars that claims get of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt

from crosstalk.config import Config
from crosstalk.config import models as m
from crosstalk.observables.base import Row
from crosstalk.reporting import references

#: Fewer values give no error bar.
LEAST = 5
COLUMNS = (
    "group",
    "level",
    "n",
    "mean_error",
    "mean_absolute_error",
    "standard_deviation",
    "max_error",
    "worst",
    "unit",
    "n_missing",
    "n_gated",
    "verified",
)
SIGN = (
    "error = our value - reference. standard_deviation: of the errors about their mean; max_error: the largest one by size. "
    "n_missing: references of the group that came to no number; n_gated: those whose number missed a gate, which count no more than a missing one."
)


@dataclass(frozen=True)
class Errors:
    """Of one level against one group; in `unit`."""

    values: tuple[float, ...]
    names: tuple[str, ...]
    unit: str
    n_missing: int
    n_gated: int
    n_verified: int

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def mean_absolute(self) -> float:
        return sum(map(abs, self.values)) / len(self.values)

    @property
    def deviation(self) -> float:
        """Standard deviation about the mean (n - 1)."""
        return sqrt(sum((value - self.mean) ** 2 for value in self.values) / max(len(self.values) - 1, 1))

    @property
    def worst(self) -> int:
        return max(range(len(self.values)), key=lambda k: abs(self.values[k]))


def errors(group: str, rows: Mapping[str, Sequence[Row]], config: Config) -> dict[str, Errors]:
    """Level -> errors of a group of references."""
    names = [name for name, reference in config.references.items() if group in reference.groups]
    found: dict[str, list[Row]] = {}
    for row in references.compare(names, rows, config):
        found.setdefault(str(row["level"]), []).append(row)
    return {level: _errors(its) for level, its in found.items()}


def _errors(rows: Sequence[Row]) -> Errors:
    numbers = [row for row in rows if row["error"] is not None]
    there = [row for row in numbers if row["status"] != "gated"]
    return Errors(
        tuple(row["error"] for row in there),
        tuple(row["reference"] for row in there),
        str(rows[0]["unit"]),
        len(rows) - len(numbers),
        len(numbers) - len(there),
        sum(row["verified"] == "verified" for row in there),
    )


def groups(config: Config) -> list[str]:
    """Groups of references, in the order of the files."""
    return list({group: None for reference in config.references.values() for group in reference.groups})


def table(rows: Mapping[str, Sequence[Row]], config: Config) -> list[Row]:
    """A row for each group and level that the campaign has values of."""
    result: list[Row] = []
    for group in groups(config):
        for level, found in errors(group, rows, config).items():
            row: Row = {
                "group": group,
                "level": level,
                "n": len(found.values),
                "unit": found.unit,
                "n_missing": found.n_missing,
                "n_gated": found.n_gated,
            }
            if found.values:
                row |= {
                    "mean_error": found.mean,
                    "mean_absolute_error": found.mean_absolute,
                    "standard_deviation": found.deviation,
                    "max_error": found.values[found.worst],
                    "worst": found.names[found.worst],
                    "verified": f"{found.n_verified} of {len(found.values)}",
                }
            result.append(row)
    return result


def error_bar(claim: m.Claim, level: str, rows: Mapping[str, Sequence[Row]], config: Config) -> tuple[float, str]:
    """Error bar of a difference at a level, and where it is from.

    sqrt(2) times the standard deviation of the level's errors: what is systematic cancels in a difference of like
    quantities. Against a threshold nothing cancels: the mean absolute error. What the group leaves out (the claim's further errors) is added in
    quadrature. A level with fewer than LEAST values gets the claim's own error bar.
    """
    if claim.validation is not None:
        found = errors(claim.validation, rows, config).get(level)
        if found is not None and len(found.values) >= LEAST:
            factor = 1.0 if claim.threshold is not None else sqrt(2.0)
            spread = found.mean_absolute if claim.threshold is not None else found.deviation
            bar = hypot(factor * spread, *(further.error for further in claim.further_errors))
            named = [f"{claim.validation}, {len(found.values)} values", *(f.source for f in claim.further_errors)]
            return bar, " and ".join(named)
    return claim.error_bar or 0.0, "assumed"
