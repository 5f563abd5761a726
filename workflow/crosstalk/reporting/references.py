"""References: our value at each level beside the value to compare with."""

from collections.abc import Iterator, Mapping, Sequence

from crosstalk.config import Config
from crosstalk.config import models as m
from crosstalk.config.select import groups, resolve
from crosstalk.config.statements import NAMING
from crosstalk.observables.base import Row
from crosstalk.quantities import QUANTITIES
from crosstalk.units import TO_INTERNAL

#: value, reference_value and error are in `unit`, the unit of our table's column.
COLUMNS = (
    "reference", "subject", "level", "quantity", "value", "reference_value", "error", "unit", "reference_uncertainty",
    "exactly", "source", "verified", "status", "reason", "record",
)  # fmt: skip
#: What they mean, printed with the table.
SIGN = "error = our value - reference, both in the unit of our column. 'unverified': the source itself was not opened."


def compare(names: Sequence[str], rows: Mapping[str, Sequence[Row]], config: Config) -> list[Row]:
    """A row for each of our values that a reference speaks about; none where the campaign lacks the subject."""
    return [row for name in names for row in _rows(name, config.references[name], rows, config)]


def _rows(name: str, reference: m.Reference, rows: Mapping[str, Sequence[Row]], config: Config) -> Iterator[Row]:
    unit = QUANTITIES[reference.quantity].unit
    factor = TO_INTERNAL[reference.unit] / TO_INTERNAL.get(unit, 1.0)
    expected = reference.value * factor
    for row in rows.get(reference.table, ()):
        if not matches(row, reference.where, config):
            continue
        ours = row.get(reference.quantity) if row.get("status") != "missing" else None
        yield {
            "reference": name,
            "subject": ", ".join(str(row[column]) for column in NAMING if column != "level" and column in row),
            "level": row.get("level"),
            "quantity": reference.quantity,
            "value": ours,
            "reference_value": expected,
            "error": ours - expected if ours is not None else None,
            "unit": unit,
            "reference_uncertainty": reference.uncertainty * factor if reference.uncertainty is not None else None,
            "exactly": reference.exactly,
            "source": reference.source,
            "verified": "verified" if reference.verified else "unverified",
            **{column: row.get(column) for column in ("status", "reason", "record")},
            **(_unlike(row, reference.provided) if ours is not None else {}),
        }


def _unlike(row: Row, provided: Mapping[str, str]) -> Row:
    """Status and reason of a row that came to something else than the reference is about; nothing for others."""
    other = [
        f"{column} '{row.get(column)}', not '{value}'" for column, value in provided.items() if row.get(column) != value
    ]
    return {"status": "gated", "reason": f"not comparable: {', '.join(other)}"} if other else {}


def matches(row: Row, where: Mapping[str, str], config: Config) -> bool:
    """Whether a row has the values asked for; a value may be a group of config entries."""
    return all(row.get(column) in members(column, [value], config) for column, value in where.items())


def members(column: str, wanted: Sequence[str], config: Config) -> list[str]:
    """Names for names and groups in a table's column; none for a group without entries. Levels and environments have no groups."""
    if column not in NAMING or column in ("level", "environment"):
        return list(wanted)
    entries = getattr(config, NAMING[column])
    there = {*entries, *groups(entries)}
    return resolve(entries, [value for value in wanted if value in there])
