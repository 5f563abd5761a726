"""What all observables share: entries, rows, and the rule that a number needs all of its records."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from crosstalk.config.models import Model
from crosstalk.quantities import QUANTITIES
from crosstalk.record import Record
from crosstalk.spec import Spec

if TYPE_CHECKING:
    from crosstalk.plan import Planner

#: Text columns that every table ends with.
CLOSING = ("status", "reason", "gates", "record")
#: Key of a row, beside its columns: quantity -> terms of its BEEF-vdW ensemble (`crosstalk.beef`), eV. Claims compare them.
ENSEMBLE = "ensemble"
#: Key of a row, beside its columns: quantity -> values along the normal of a surface. Figures draw them.
PROFILES = "profiles"
#: All keys of rows beside columns.
BESIDE = (ENSEMBLE, PROFILES)
Read = Callable[[Spec], Record]
Row = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One row to be: what identifies it, and the calculations that it needs, by role."""

    table: str
    subject: Mapping[str, str]
    specs: Mapping[str, Spec]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Observable:
    """A table: which calculations its rows need, and what it makes of their records.

    name      of the table, and of its section in campaigns and tiers
    subjects  key of the campaign's section -> kind of config entry it names ("species", "surfaces", "crystals" or "reactions")
    engines   engines whose levels the tier may name under `levels`
    section   the tier's section
    builds_on other tables whose settings, in the same tier, this one follows
    columns   the table's columns, in order; numbers are declared quantities, the rest is text
    sign      sign convention and reference states, printed with the table
    """

    name: ClassVar[str]
    title: ClassVar[str]
    subjects: ClassVar[Mapping[str, str]]
    engines: ClassVar[tuple[str, ...]]
    section: ClassVar[type[Model]]
    builds_on: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[tuple[str, ...]]
    sign: ClassVar[str]

    def entries(self, planner: "Planner", settings: Any, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        """The rows of this table. `subjects` holds resolved names, `settings` an instance of `section`."""
        raise NotImplementedError

    def row(self, entry: Entry, read: Read) -> Row:
        """The row of an entry. Numbers are None where a record is no number; `reason` says why."""
        raise NotImplementedError

    def rows(self, entries: Sequence[Entry], read: Read) -> list[Row]:
        """The rows of all entries: where one of them says something about another, it is said here."""
        return [self.row(entry, read) for entry in entries]

    def remarks(self, rows: Sequence[Row]) -> list[str]:
        """What the rows say together, a sentence each; printed below the table."""
        return []

    def problems(self, config: Any, settings: Any, subjects: Mapping[str, Sequence[str]]) -> list[str]:
        """What else would make this section fail later (beyond unknown names)."""
        return []


@cache
def observables() -> dict[str, Observable]:
    """Every observable: each module of this package that has an OBSERVABLE, by name."""
    package = importlib.import_module("crosstalk.observables")
    found = (
        importlib.import_module(f"crosstalk.observables.{item.name}") for item in pkgutil.iter_modules(package.__path__)
    )
    every = [module.OBSERVABLE for module in found if hasattr(module, "OBSERVABLE")]
    return {o.name: o for o in sorted(every, key=lambda o: o.name)}


def numeric(columns: Sequence[str]) -> list[str]:
    """The columns that hold declared quantities."""
    return [c for c in columns if c in QUANTITIES]


def close(row: Row, columns: Sequence[str], records: Mapping[str, Record], main: str) -> Row:
    """Complete a row: missing numbers None, status and reason of the worst record, missed gates, the main record's key.

    Gates that were missed by what the records were computed from count like their own.
    """
    status, reason = "ok", ""
    for role, record in records.items():
        if not record.usable:
            status, reason = record.status, f"{role}: {record.reason or record.status}"
            break
        if record.faults or record.inherited:
            status = "gated"
    missed = [f"{role}: {gate}" for role, record in records.items() for gate in record.missed]
    own = {record.spec.key for record in records.values()}
    above = {key: text for record in records.values() for key, text in record.inherited.items() if key not in own}
    missed += above.values()
    rungs = [f"{role}: {' > '.join(record.rungs)}" for role, record in records.items() if len(record.rungs) > 1]
    closing = {
        "status": status,
        "reason": reason or "; ".join(missed),
        "gates": "; ".join([*(missed or ["all passed"] if status in ("ok", "gated") else missed), *rungs]),
        "record": records[main].spec.key,
    }
    full = closing | row
    kept = {key: row[key] for key in BESIDE if key in row}
    return {column: full.get(column) for column in columns} | kept


def usable(records: Mapping[str, Record], *roles: str) -> bool:
    return all(records[role].usable for role in roles)
