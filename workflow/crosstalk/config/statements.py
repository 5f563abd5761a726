"""The check at the door for references and claims: what they say must be a column of a table, about entries that exist."""

from collections.abc import Iterator

from crosstalk.config.load import Config
from crosstalk.config.problems import twins, unknown
from crosstalk.config.select import groups
from crosstalk.observables.base import observables
from crosstalk.quantities import QUANTITIES
from crosstalk.units import TO_INTERNAL

#: Columns of tables that hold names of config entries.
NAMING = {
    "species": "species",
    "adsorbate": "species",
    "surface": "surfaces",
    "crystal": "crystals",
    "reaction": "reactions",
    "level": "levels",
    "environment": "environments",
}


def _columns(where: str, table: str, quantity: str) -> Iterator[str]:
    if table not in observables():
        yield unknown(f"{where}: key 'table'", "table", table, observables())
    elif quantity not in observables()[table].columns:
        yield unknown(
            f"{where}: key 'quantity'",
            f"column of {table}",
            quantity,
            [c for c in observables()[table].columns if c in QUANTITIES],
        )


def _selector(where: str, table: str, column: str, value: str, config: Config) -> Iterator[str]:
    columns = observables()[table].columns
    if column not in columns:
        yield unknown(where, f"column of {table}", column, columns)
    elif column in NAMING:
        entries = getattr(config, NAMING[column])
        allowed = [*entries, *(groups(entries) if column not in ("level", "environment") else {})]
        if value not in allowed:
            yield unknown(where, NAMING[column] + " or group", value, allowed)


def check_references(config: Config) -> Iterator[str]:
    for name, reference in config.references.items():
        where = f"references.yaml: references '{name}'"
        wrong = list(_columns(where, reference.table, reference.quantity))
        yield from wrong
        if wrong:
            continue
        unit = QUANTITIES[reference.quantity].unit if reference.quantity in QUANTITIES else ""
        energy = ("eV", "meV", "Ha", "kcal/mol", "kJ/mol")
        allowed = energy if unit in energy else (unit,)
        if reference.unit not in allowed or reference.unit not in TO_INTERNAL:
            yield f"{where}: key 'unit': '{reference.unit}' is no unit of {reference.quantity}; allowed: {', '.join(allowed)}"
        for column, value in reference.where.items():
            yield from _selector(f"{where}: key 'where.{column}'", reference.table, column, value, config)
        for column, value in reference.provided.items():
            yield from _selector(f"{where}: key 'provided.{column}'", reference.table, column, value, config)


def check_claims(config: Config) -> Iterator[str]:
    yield from twins(
        "claims.yaml: claims",
        {n: c.model_dump(exclude={"source", "notes", "error_source"}) for n, c in config.claims.items()},
    )
    for name, claim in config.claims.items():
        where = f"claims.yaml: claims '{name}'"
        if claim.not_computable is not None or claim.table is None:
            continue
        wrong = list(_columns(where, claim.table, claim.quantity or ""))
        yield from wrong
        if wrong:
            continue
        for key, chosen in (("subject", claim.subjects()), ("others", claim.others or {})):
            for column, values in chosen.items():
                for value in (v for v in values if v not in claim.optional_groups):
                    yield from _selector(f"{where}: key '{key}.{column}'", claim.table, column, value, config)
        named = [v for values in (*claim.subjects().values(), *(claim.others or {}).values()) for v in values]
        for group in claim.optional_groups:
            if group not in named:
                yield unknown(f"{where}: key 'optional_groups'", "group of subject or others", group, named)
        for value in claim.order or []:
            yield from _selector(f"{where}: key 'order'", claim.table, "species", value, config)
        for column, value in claim.where.items():
            yield from _selector(f"{where}: key 'where.{column}'", claim.table, column, value, config)
        sets = {group: None for reference in config.references.values() for group in reference.groups}
        if claim.validation is not None and claim.validation not in sets:
            yield unknown(f"{where}: key 'validation'", "group of references", claim.validation, sets)
        for column in [*claim.within, *([claim.flag] if claim.flag else [])]:
            if column not in observables()[claim.table].columns:
                yield unknown(where, f"column of {claim.table}", column, observables()[claim.table].columns)
