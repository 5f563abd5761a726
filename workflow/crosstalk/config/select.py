"""Names and groups: what a campaign or a claim refers to."""

from collections.abc import Mapping, Sequence
from typing import Any


def groups(entries: Mapping[str, Any]) -> dict[str, list[str]]:
    """group -> names of its members, in the order of the file."""
    found: dict[str, list[str]] = {}
    for name, entry in entries.items():
        for group in entry.groups:
            found.setdefault(group, []).append(name)
    return found


def resolve(entries: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """Names for names and groups, each once, in the order asked for. Raises KeyError for what is neither."""
    members = groups(entries)
    result: dict[str, None] = {}
    for item in wanted:
        for name in [item] if item in entries else members[item]:
            result[name] = None
    return list(result)
