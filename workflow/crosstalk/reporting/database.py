"""crosstalk.db: an ASE database (SQLite) of all final structures with their numbers as key-value pairs.

    ase db crosstalk.db table=frontier,species=EC -c formula,level,homo_ev

Every row of a table has its structure here (the geometry its numbers belong to), an adsorption row each of its poses;
`table=geometry` holds the geometries of all species, those of partners included. Energies eV, lengths Angstrom.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosstalk.observables.base import BESIDE, CLOSING
from crosstalk.plan import Plan
from crosstalk.quantities import QUANTITIES, combine
from crosstalk.record import Record, Store
from crosstalk.reporting import structures, tables
from crosstalk.spec import Spec, canonical

if TYPE_CHECKING:
    from ase import Atoms


def write(plan: Plan, store: Store, path: Path) -> Path:
    """Write the database anew, in the plan's order, and put it in the place of the old one in one move."""
    from ase.db import connect

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    partial.unlink(missing_ok=True)
    try:
        with connect(partial, type="db", use_lock_file=False) as database:
            database.metadata = {
                "title": f"crosstalk, campaign {plan.campaign}"
                + (" (FAKE: made-up numbers)" if tables.is_fake(plan) else "")
            }
            for atoms, pairs in entries(plan, store):
                database.write(atoms, key_value_pairs=dict(pairs))
        _anonymous(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def entries(plan: Plan, store: Store) -> Iterator[tuple["Atoms", Mapping[str, Any]]]:
    """(structure, key-value pairs) of every row of the database."""
    read = tables.reader(plan, store)
    for name, spec in structures.species_geometries(plan):
        yield from _entry(plan, store, spec, read(spec), {"table": "geometry", "species": name})
    found = tables.rows(plan, store)
    for table, rows in found.items():
        for entry, row in zip(plan.table(table), rows, strict=True):
            about = {"table": table} | {
                c: v for c, v in row.items() if c not in (*CLOSING, *BESIDE) and v not in (None, "")
            }
            main = plan.specs[row["record"]]
            posed = structures.poses(entry)
            if not posed:
                yield from _entry(plan, store, main, read(main), about)
                continue
            for role, spec in posed:
                best = spec.key == row["record"] and row["e_ads_ev"] is not None
                told = about if best else {"table": table, **entry.subject, **_adsorbed(entry.specs, role, read)}
                yield from _entry(plan, store, spec, read(spec), {**told, "pose": int(role.split()[1]), "lowest": best})


def _adsorbed(specs: Mapping[str, Spec], role: str, read: Any) -> dict[str, float]:
    """Adsorption energy of a pose that is not the lowest, where it can be had."""
    terms = [(sign, read(specs[part])) for sign, part in ((1, role), (-1, "slab"), (-1, "molecule"))]
    return {"e_ads_ev": combine("energy_ev", terms)} if all(record.usable for _, record in terms) else {}


def _entry(
    plan: Plan, store: Store, spec: Spec, record: Record, about: Mapping[str, Any]
) -> Iterator[tuple["Atoms", Mapping[str, Any]]]:
    """The structure and the scalar numbers of a record; nothing when there is no structure."""
    atoms = structures.geometry_of(spec, plan, store)
    if atoms is None or not record.usable:
        return
    level = spec.settings.get("level")
    numbers = {n: v for n, v in record.quantities.items() if not QUANTITIES[n].shape}
    own = {"level": tables.level_names(plan)[canonical(level)] if level is not None else "as built"} | numbers
    last = {"record": f"{spec.step}/{spec.key}", "status": record.status, "fake": spec.engine == "fake"}
    atoms.calc = None
    yield atoms, {key: _storable(value) for key, value in (own | dict(about) | last).items()}


def _storable(value: Any) -> Any:
    """ASE refuses text that reads as a number or a truth value: it is put in quotes."""
    if not isinstance(value, str):
        return value
    from ase.db.core import convert_str_to_int_float_bool_or_str

    return value if isinstance(convert_str_to_int_float_bool_or_str(value), str) else f"'{value}'"


def _anonymous(path: Path) -> None:
    """Take out what varies from run to run: dates, random ids, the user's name."""
    connection = sqlite3.connect(path)
    with connection:
        for (number,) in connection.execute("SELECT id FROM systems ORDER BY id").fetchall():
            digest = hashlib.sha256(f"row {number}".encode()).hexdigest()[:32]
            connection.execute(
                "UPDATE systems SET unique_id=?, ctime=0, mtime=0, username='' WHERE id=?", (digest, number)
            )
    connection.execute("VACUUM")
    connection.close()
