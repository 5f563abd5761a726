"""Names and groups: what a campaign or a claim refers to."""

from collections.abc import Mapping, Sequence
from typing import Any

from crosstalk.config.problems import unknown as problem


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


def unknown(entries: Mapping[str, Any], named: Mapping[str, Sequence[str]], kind: str = "species") -> list[str]:
    """A message for each name that is neither an entry nor a group of them; `named`: key of the config -> names."""
    allowed = [*entries, *groups(entries)]
    return [
        problem(key, f"{kind} or group", name, allowed)
        for key, names in named.items()
        for name in names
        if name not in allowed
    ]
