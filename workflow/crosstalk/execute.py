"""Running jobs: logs, progress, and the launch of engines that need MPI."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from crosstalk.errors import EngineError, nearest
from crosstalk.progress import Progress
from crosstalk.record import Record, Store, write_atomically
from crosstalk.runner import is_root_rank, run_all
from crosstalk.spec import Spec, canonical

#: A launcher of one's own, with {ranks} in it, e.g. "srun -n {ranks}".
LAUNCHER = "CROSSTALK_LAUNCHER"
DEFAULT_LAUNCHER = "mpirun -n {ranks} --bind-to none --oversubscribe"
#: Marks the lines that a process under MPI says to the terminal, which only its parent has.
SAID = "crosstalk> "
MPI_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def run_job(options: argparse.Namespace) -> int:
    """Run the specs on the command line as one job; write `--job` when every one has its record."""
    import json

    specs = [Spec.from_json(item) for item in json.loads(options.specs)]
    progress = Progress(Path("results", options.campaign, "progress.log")) if options.campaign else None
    with Log(options.log) as log:
        broken = run_specs(specs, Store("results", tuple(options.also)), options, log, progress)
        if broken:
            log.say(f"{broken} of {len(specs)} calculations broke; log: {options.log}")
    if not broken and options.job is not None and is_root_rank():
        write_atomically(options.job, (canonical([spec.key for spec in specs]) + "\n").encode())
    return 1 if broken else 0


def run_by_hand(options: argparse.Namespace, plan: Any) -> int:
    """Run a campaign's calculations whose label holds all the words (or whose key begins so), with all that they need."""
    wanted = [
        s for s in plan.specs.values() if all(w in f"{s.step} {s.label}" or s.key.startswith(w) for w in options.what)
    ]
    if not wanted:
        labels = [spec.label for spec in plan.specs.values()]
        raise EngineError(
            f"no calculation of {plan.campaign} fits '{' '.join(options.what)}'{nearest(' '.join(options.what), labels)}"
        )
    keys: dict[str, None] = {}
    for spec in wanted:
        for key in _with_inputs(spec, plan.specs):
            keys[key] = None
    specs = [spec for key, spec in plan.specs.items() if key in keys]
    with Log(options.log) as log:
        return 1 if run_specs(specs, Store("results", tuple(options.also)), options, log, None) else 0


def _with_inputs(spec: Spec, specs: Any) -> Iterator[str]:
    for key in spec.inputs.values():
        yield from _with_inputs(specs[key], specs)
    yield spec.key


def run_specs(
    specs: Iterable[Spec], store: Store, options: argparse.Namespace, log: "Log", progress: Progress | None
) -> int:
    """Run specs in order; GPAW's in a process of their own under MPI. Returns the number that broke."""
    broken = 0
    for engine, group in groupby(specs, key=lambda spec: spec.engine):
        batch = list(group)
        if engine == "gpaw" and not os.environ.get("CROSSTALK_UNDER_MPI"):
            broken += _launch(batch, store, options, log)
            continue
        if progress and is_root_rank():
            progress.start(batch[0].key)

        def report(record: Record, computed: bool, batch: list[Spec] = batch) -> None:
            log.say(_line(record, computed, progress))
            following = [s.key for s in batch][[s.key for s in batch].index(record.spec.key) + 1 :]
            if progress and following:
                progress.start(following[0])

        broken += run_all(batch, store, options.fresh, report)
    return broken


def _line(record: Record, computed: bool, progress: Progress | None) -> str:
    how = record.status + ("" if computed else " (taken up)")
    text = f"{how:10s} {record.spec.step} {record.spec.label}" + (f": {record.reason}" if not record.usable else "")
    if progress is None:
        return text
    progress.finish(record.spec.key)
    return f"{progress.line()} {text}"


def _launch(specs: list[Spec], store: Store, options: argparse.Namespace, log: "Log") -> int:
    """Run GPAW specs under MPI: `mpirun -n N gpaw python -m crosstalk.cli run ...`, also for one rank."""
    launcher = os.environ.get(LAUNCHER, DEFAULT_LAUNCHER).format(ranks=options.ranks).split()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if shutil.which(launcher[0], path=path) is None:
        raise EngineError(
            f"'{launcher[0]}' was not found: the environment is not complete (run `make env`), or {LAUNCHER} is wrong"
        )
    command = [*launcher, "gpaw", "python", "-m", "crosstalk.cli", "run"]
    command += ["--specs", canonical([spec.to_json() for spec in specs])]
    command += ["--campaign", options.campaign] if options.campaign else []
    command += [part for also in options.also for part in ("--also", str(also))] + ["--fresh"] * options.fresh
    environment = os.environ | MPI_AS_ROOT | {"CROSSTALK_UNDER_MPI": "1", "OMP_NUM_THREADS": "1", "PATH": path}
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith(SAID):
                log.say(line.removeprefix(SAID).rstrip("\n"))
            else:
                print(line, end="", flush=True)
    return 0 if child.returncode == 0 else sum(not store.path(spec).exists() for spec in specs) or 1


class Log:
    """Sends everything that this process and its children print to a file, but for what `say` says, which goes to the terminal too."""

    def __init__(self, path: Path | None):
        self.path = path
        self.terminal: int | None = None

    def __enter__(self) -> "Log":
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.terminal = os.dup(1)
            target = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            sys.stdout.flush()
            os.dup2(target, 1)
            os.dup2(target, 2)
            os.close(target)
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        if self.terminal is not None:
            os.dup2(self.terminal, 1)
            os.close(self.terminal)
            self.terminal = None

    def say(self, text: str) -> None:
        if not is_root_rank():
            return
        print((SAID if os.environ.get("CROSSTALK_UNDER_MPI") else "") + text, flush=True)
        if self.terminal is not None:
            os.write(self.terminal, (text + "\n").encode())
