"""Errors, sorted by what the reader can do about them.

`CrosstalkError` and its children end the program with one message and no traceback (the CLI sees to it).
`PhysicsFailure` never ends anything: the runner turns it into a record with that status.
"""

import difflib
from collections.abc import Iterable


class CrosstalkError(Exception):
    """Something that the user can mend; shown as one message without a traceback."""


class ConfigError(CrosstalkError):
    """All problems of all config files, in one message."""

    def __init__(self, problems: Iterable[str]):
        self.problems = list(problems)
        n = len(self.problems)
        head = f"{n} problem{'s' if n != 1 else ''} in the configuration; nothing was run:"
        super().__init__("\n".join([head, *(f"  - {p}" for p in self.problems)]))


class UnlikeError(CrosstalkError):
    """A difference of energies that were not computed alike (level, environment, box, k-points, revision)."""


class MissingRecordError(CrosstalkError):
    """A record that should be there is not."""


class EngineError(CrosstalkError):
    """The plumbing of an engine failed (not installed, no MPI, disk full): stops at once."""


class PhysicsFailure(Exception):
    """A calculation came to an end that is no number. `status` is one of record.STATUSES."""

    def __init__(self, status: str, reason: str):
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


def nearest(name: str, allowed: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"` for the nearest allowed spelling, or an empty string when nothing is near."""
    names = {str(a).lower(): str(a) for a in allowed}
    wanted = str(name).lower()
    close = difflib.get_close_matches(wanted, names, n=2, cutoff=0.6)
    as_near = [c for c in close if _likeness(wanted, c) == _likeness(wanted, close[0])]
    return f" (did you mean {' or '.join(repr(names[c]) for c in as_near)}?)" if close else ""


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
