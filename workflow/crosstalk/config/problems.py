"""Wordings that all checks share."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from crosstalk.errors import nearest
from crosstalk.spec import canonical


def unknown(where: str, what: str, name: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"{where}: unknown {what} '{name}'; there are: {shown or 'none'}{nearest(name, names)}"


def twins(where: str, identities: Mapping[str, Any]) -> Iterator[str]:
    """Two entries with the same meaning."""
    first: dict[str, str] = {}
    for name, identity in identities.items():
        text = canonical(identity)
        if text in first:
            yield f"{where} '{name}' means the same as '{first[text]}': keep one of them"
        first.setdefault(text, name)
