"""Runs specs: takes up what is finished, calls the engine for the rest, turns failed physics into records."""

import os
import platform
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib import metadata

from crosstalk import __version__, machine
from crosstalk.errors import CrosstalkError, PhysicsFailure
from crosstalk.record import Outcome, Record, Store
from crosstalk.spec import Spec
from crosstalk.steps import STEPS, Input, function

#: Packages whose version can change a number, by engine.
PACKAGES: dict[str, tuple[str, ...]] = {
    "pyscf": ("pyscf", "pyscf-dispersion", "dftd3", "dftd4"),
    "gpaw": ("gpaw", "gpaw-data", "ase", "dftd3"),
    "xtb": ("tblite", "rdkit", "ase"),
    "ase": ("ase", "rdkit"),
    "none": ("ase",),
    "fake": (),
}


def versions(spec: Spec) -> dict[str, str]:
    """Package -> version of all that can change a spec's number; of a named calculator, the packages of its module."""
    names = [*PACKAGES[spec.engine], *(STEPS[spec.step].packages if spec.engine != "fake" else ())]
    if spec.engine == "ase":
        module = spec.settings["level"]["calculator"].partition(":")[0].partition(".")[0]
        names += metadata.packages_distributions().get(module, [])
    return {"crosstalk": __version__} | {name: metadata.version(name) for name in names}


def is_root_rank() -> bool:
    """True on the process that writes: rank 0 under MPI, or the only one."""
    return os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK", "0")) == "0"


def n_ranks() -> int:
    return int(os.environ.get("OMPI_COMM_WORLD_SIZE", os.environ.get("PMI_SIZE", "1")))


def agree(value: bool) -> bool:
    """Rank 0's answer on every rank: files may appear between two ranks' looks at the disk. Also a barrier."""
    if n_ranks() == 1:
        return value
    import numpy as np
    from gpaw.mpi import world

    answer = np.array([float(value)])
    world.broadcast(answer, 0)
    return bool(answer[0])


def is_spare(record: Record) -> bool:
    """Whether a record is of a second, third, ... structure that a search did not find: nothing is lost with it.

    A search that found none at all (it has no inputs) is another matter.
    """
    return record.status == "absent" and bool(record.spec.inputs)


def gather_inputs(spec: Spec, store: Store) -> dict[str, Input]:
    """The finished records that `spec` names. Raises PhysicsFailure when one of them is no number: "blocked", or "absent" like it."""
    inputs = {}
    for role, key in spec.inputs.items():
        record = store.load(key)
        if not record.usable and STEPS[spec.step].optional:
            continue
        if not record.usable:
            status = "absent" if is_spare(record) else "blocked"
            raise PhysicsFailure(status, f"{record.spec.label or record.spec.step}: {record.status} ({record.reason})")
        inputs[role] = Input(record, store.structures(record))
    if lost := {role.split()[0] for role in spec.inputs} - {role.split()[0] for role in inputs}:
        raise PhysicsFailure("blocked", f"no usable input of the kind {', '.join(sorted(lost))}")
    return inputs


def _known(spec: Spec, store: Store) -> Record | None:
    """The finished record of a spec, or of one that is about the same structure."""
    found = store.find(spec)
    if found is None and STEPS[spec.step].of_one and spec.engine != "fake":
        return store.adopt_alike(spec, versions(spec))
    return found


def run_one(spec: Spec, store: Store, fresh: bool = False) -> tuple[Record, bool]:
    """Run one spec. Returns its record and whether it was computed now (False: taken up)."""
    found = _known(spec, store) if not fresh and is_root_rank() else None
    if agree(found is not None):
        return found or store.load(spec.key), False
    wall, cpu = time.time(), time.process_time()
    folder = store.work(spec)
    folder.mkdir(parents=True, exist_ok=True)
    agree(True)
    try:
        outcome = function(spec)(spec, gather_inputs(spec, store), folder)
    except PhysicsFailure as failure:
        outcome = Outcome(failure.status, failure.reason)
    cost = {
        "wall_s": round(time.time() - wall, 3),
        "cpu_s": round((time.process_time() - cpu) * n_ranks(), 3),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 * n_ranks()),
        "ranks": n_ranks(),
        "host": platform.node(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if is_root_rank():
        store.save(spec, outcome, versions(spec), cost)
    agree(True)
    return store.load(spec.key), True


def run_all(
    specs: Iterable[Spec], store: Store, fresh: bool = False, report: Callable[[Record, bool], None] | None = None
) -> int:
    """Run specs one after the other; what breaks does not stop the others. Returns the number that broke.

    A broken calculation (an exception that is not physics) leaves no record: it is tried again next time.
    """
    broken = 0
    machine.keep_freed_memory()
    for spec in specs:
        print(f"== {spec.step} {spec.label} [{spec.key}]", flush=True)
        try:
            record, computed = run_one(spec, store, fresh)
        except CrosstalkError:
            raise
        except Exception:
            broken += 1
            traceback.print_exc()
            print(f"BROKEN {spec.step} {spec.label} [{spec.key}]", file=sys.stderr, flush=True)
            if n_ranks() > 1:
                raise
            continue
        print(f"   {record.status} {record.reason}", flush=True)
        if report is not None and is_root_rank():
            report(record, computed)
    return broken
