"""Reading config/*.yaml: positions, duplicate keys and misspelt keys become one line each, all of them together."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import TypeAdapter, ValidationError

from crosstalk.config import models as m
from crosstalk.errors import ConfigError, nearest


@dataclass(frozen=True)
class Config:
    """All config files, parsed and typed. `structures` holds the structure files that entries name, inlined."""

    folder: Path
    default: str
    campaigns: dict[str, m.Campaign]
    species: dict[str, m.Species]
    surfaces: dict[str, m.Surface]
    levels: dict[str, m.Level]
    environments: dict[str, m.Environment]
    tiers: dict[str, m.Tier]
    references: dict[str, m.Reference]
    claims: dict[str, m.Claim]
    reactions: dict[str, m.Reaction] = field(default_factory=dict)
    glasses: dict[str, m.Glass] = field(default_factory=dict)
    crystals: dict[str, m.Crystal] = field(default_factory=dict)
    structures: dict[str, dict[str, Any]] = field(default_factory=dict)


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is


class _Loader(_Base):
    """YAML as people mean it: 1e-9 is a number, and a key that comes twice is noticed."""

    duplicates: list[tuple[int, str]]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                self.duplicates.append((key_node.start_mark.line + 1, str(key)))
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def read_yaml(path: Path, problems: list[str], name: str) -> Any:
    """Content of a YAML file; what is wrong with its syntax goes to `problems`."""
    try:
        loader = _Loader(path.read_text())
    except OSError as error:
        problems.append(f"{name}: cannot be read: {error.strerror}")
        return None
    loader.duplicates = []
    try:
        data = loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problems.append(f"{name}{where}: not valid YAML: {getattr(error, 'problem', error)}")
        return None
    finally:
        loader.dispose()
    problems += [f"{name}, line {line}: duplicate name '{key}'" for line, key in loader.duplicates]
    return data


def load(folder: Path | str = "config") -> Config:
    """Read and check all files of a config folder. Raises ConfigError with every problem found."""
    from crosstalk.config import checks

    folder = Path(folder)
    problems: list[str] = []
    if not folder.is_dir():
        raise ConfigError(
            [f"{folder}: no such folder; crosstalk looks for config/ where it is started, or give --config-dir"]
        )
    broken: set[str] = set()
    files = {
        name: _typed(folder, f"{name}.yaml", model, problems, broken)
        for name, model in m.FILES.items()
        if name not in m.OPTIONAL or (folder / f"{name}.yaml").exists()
    }
    readable = all(files.values())
    for path in sorted((folder / "sets").glob("*/*.yaml")):
        _add_set(folder, path, files, problems, broken)
    campaigns = dict(files["config"].get("campaigns", {}))
    for path in sorted((folder / "campaigns").glob("*.yaml")):
        if path.stem in campaigns:
            problems.append(f"campaigns/{path.name}: duplicate name '{path.stem}': it is in config.yaml too")
        data = read_yaml(path, problems, f"campaigns/{path.name}")
        if (campaign := _validate(m.Campaign, data, f"campaigns/{path.name}", problems)) is not None:
            campaigns[path.stem] = campaign
    config = Config(
        folder=folder,
        default=files["config"].get("default", ""),
        campaigns=campaigns,
        species=files["species"].get("species", {}),
        surfaces=files.get("surfaces", {}).get("surfaces", {}),
        levels=files["levels"].get("levels", {}),
        environments=files["levels"].get("environments", {}),
        tiers=files["levels"].get("tiers", {}),
        references=files.get("references", {}).get("references", {}),
        claims=files.get("claims", {}).get("claims", {}),
        reactions=files.get("reactions", {}).get("reactions", {}),
        glasses=files.get("glasses", {}).get("glasses", {}),
        crystals=files.get("surfaces", {}).get("crystals", {}),
    )
    if readable:  # a file that cannot be read would only echo through all others
        problems += [line for line in checks.check(config) if not any(f"'{name}';" in line for name in broken)]
    if problems:
        raise ConfigError(problems)
    return config


def _add_set(folder: Path, path: Path, files: dict[str, dict[str, Any]], problems: list[str], broken: set[str]) -> None:
    """Add the entries of config/sets/NAME/FILE.yaml to those of FILE.yaml."""
    name = str(path.relative_to(folder))
    if path.stem not in m.IN_SETS:
        problems.append(f"{name}: a set may hold {', '.join(m.IN_SETS)}{nearest(path.stem, m.IN_SETS)}")
        return
    for key, found in _typed(folder, name, m.FILES[path.stem], problems, broken).items():
        entries = files.setdefault(path.stem, {}).setdefault(key, {})
        problems += [
            f"{name}: duplicate name '{entry}': it is in another file too" for entry in found if entry in entries
        ]
        entries |= {entry: value for entry, value in found.items() if entry not in entries}


def _typed(folder: Path, name: str, model: type[m.Model], problems: list[str], broken: set[str]) -> dict[str, Any]:
    """Entry by entry, so that one bad entry does not hide the others. Returns top-level key -> typed content.

    `broken` gets the names (and groups) of entries that were left out, so that nobody calls them unknown.
    """
    path = folder / name
    data = read_yaml(path, problems, name)
    if not isinstance(data, dict):
        if data is not None or path.exists():
            problems.append(f"{name}: needs the keys {', '.join(model.model_fields)}")
        return {}
    result: dict[str, Any] = {}
    for key in data:
        if key not in model.model_fields:
            problems.append(
                f"{name}: unknown key '{key}'; allowed: {', '.join(model.model_fields)}{nearest(key, model.model_fields)}"
            )
    for key, info in model.model_fields.items():
        if key not in data:
            if info.is_required():
                problems.append(f"{name}: the key '{key}' is missing")
            continue
        value = data[key]
        arguments = getattr(info.annotation, "__args__", None)
        if arguments is None:  # a plain value
            checked = _validate(info.annotation, value, f"{name}: {key}", problems)
            if checked is not None:
                result[key] = checked
        elif not isinstance(value, dict):
            problems.append(f"{name}: '{key}' must be a mapping of names to entries")
        else:
            result[key] = dict(_entries(name, key, value, arguments[1], problems, broken))
    return result


def _entries(
    file: str, key: str, entries: dict[Any, Any], kind: Any, problems: list[str], broken: set[str]
) -> Iterator[tuple[str, Any]]:
    for name, entry in entries.items():
        if not isinstance(name, str):
            problems.append(f"{file}: {key}: the name {name!r} must be text: put it in quotes")
            continue
        checked = _validate(kind, entry, f"{file}: {key} '{name}'", problems)
        if checked is not None:
            yield name, checked
        else:
            broken |= {name, *(entry.get("groups") or [] if isinstance(entry, dict) else [])}


def _validate(kind: Any, data: Any, where: str, problems: list[str]) -> Any:
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        problems += [f"{where}: {text}" for text in _messages(error, kind, data)]
        return None


def _messages(error: ValidationError, kind: Any, data: Any) -> Iterator[str]:
    """One line for each pydantic error, with what is allowed and the nearest spelling."""
    for item in error.errors():
        names = [str(part) for part in _written(item["loc"], data) if not _is_tag(part, data)]
        key = ".".join(names)
        if item["type"] == "extra_forbidden":
            allowed = sorted(_fields(kind, names[:-1], data))
            yield f"unknown key '{key}'; allowed: {', '.join(allowed)}{nearest(names[-1], allowed)}"
        elif item["type"] == "missing":
            yield f"the key '{key}' is missing"
        elif item["type"] == "union_tag_invalid":
            tags = cast("dict[str, Any]", item.get("ctx", {}))
            yield f"{tags['discriminator']} {tags['tag']!r} is unknown; allowed: {tags['expected_tags']}{nearest(tags['tag'], tags['expected_tags'].replace(chr(39), '').split(', '))}"
        elif item["type"] == "union_tag_not_found":
            yield f"the key {item.get('ctx', {}).get('discriminator')} is missing"
        else:
            message = item["msg"].removeprefix("Value error, ").replace("Input should", "should")
            shown = "" if isinstance(item["input"], dict) else f", not {json.dumps(item['input'], default=str)}"
            yield (f"key '{key}' {message}{shown}" if key else message) + _unit_hint(names)


def _written(location: Sequence[str | int], data: Any) -> Iterator[str | int]:
    """A location without the places in lists that the file does not have: where one entry may stand for a list of one."""
    for part in location:
        if isinstance(part, int) and not isinstance(data, list):
            continue
        yield part
        with suppress(KeyError, IndexError, TypeError):  # the tag of a union is no key of the file
            data = data[part]


def _unit_hint(names: list[str]) -> str:
    """`" (a number in eV)"` for a key whose name ends in a unit."""
    units = {"_ev": "eV", "_angstrom": "Angstrom", "_k": "kelvin", "_ha": "hartree", "_per_angstrom": "1/Angstrom",
             "_ev_per_angstrom": "eV/Angstrom", "_ev_per_angstrom3": "eV/Angstrom^3"}  # fmt: skip
    last = names[-1] if names else ""
    for suffix in sorted(units, key=len, reverse=True):
        if last.endswith(suffix):
            return f" (a number in {units[suffix]})"
    return ""


def _is_tag(part: str | int, data: Any) -> bool:
    """Pydantic puts the union's tag into the location; it is no key of the file."""
    return isinstance(data, dict) and part in (data.get("engine"), data.get("builder")) and part not in data


def _fields(kind: Any, path: list[str], data: Any) -> set[str]:
    """Allowed keys of the model that `path` leads to."""
    if (members := getattr(kind, "__args__", None)) and not isinstance(kind, type):
        union = getattr(members[0], "__args__", members)
        tag = {data.get("engine"), data.get("builder")} if isinstance(data, dict) else set()
        fitting = [c for c in union if isinstance(c, type) and tag & set(_literals(c))]
        kind = fitting[0] if fitting else union[0]
    for name in path:
        annotation = kind.model_fields[name].annotation if name in getattr(kind, "model_fields", {}) else None
        inner = [
            c
            for c in (annotation, *getattr(annotation, "__args__", ()))
            if isinstance(c, type) and issubclass(c, m.Model)
        ]
        if not inner:
            return set()
        kind = inner[0]
    return set(getattr(kind, "model_fields", {}))


def _literals(kind: type) -> Iterator[Any]:
    for name in ("engine", "builder"):
        if name in getattr(kind, "model_fields", {}):
            yield from getattr(kind.model_fields[name].annotation, "__args__", ())  # type: ignore[attr-defined]
