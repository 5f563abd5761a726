"""Progress of a run: an append-only file that jobs on any number of cores and nodes write to, one short line at a time."""

import os
import time
from pathlib import Path


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def left_to_do(number: int, seconds: float, cores: int | None) -> str:
    """What is left of a run, and how long it should take: on cores of this machine, or (None) how much time of a core."""
    if not number:
        return "none to do"
    if cores is None:
        return f"{number} to do; about {clock(seconds)} of one core"
    return f"{number} to do; about {clock(seconds / max(1, cores))} on {cores} core{'s' if cores > 1 else ''}"


class Progress:
    """Lines: `begin <time> <total>`, `+ key` (started), `- key` (ended, or finished before)."""

    def __init__(self, path: Path):
        self.path = path

    def begin(self, total: int, finished: list[str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"begin {time.time():.3f} {total}\n" + "".join(f"- {key}\n" for key in finished))

    def _append(self, line: str) -> None:
        if self.path.exists():
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)

    def start(self, key: str) -> None:
        self._append(f"+ {key}\n")

    def finish(self, key: str) -> None:
        self._append(f"- {key}\n")

    def counts(self) -> tuple[int, int, int, float]:
        """(done, running, total, seconds since the run began)."""
        if not self.path.exists():
            return 0, 0, 0, 0.0
        head, *lines = self.path.read_text().splitlines()
        _, began, total = head.split()
        done = {line[2:] for line in lines if line.startswith("- ")}
        running = {line[2:] for line in lines if line.startswith("+ ")} - done
        return len(done), len(running), int(total), max(0.0, time.time() - float(began))

    def elapsed(self) -> str:
        return f"{clock(self.counts()[3])} since the start"

    def line(self) -> str:
        done, running, total, seconds = self.counts()
        width = len(str(total))
        return f"[{done:{width}d}/{total} done, {running} running, {max(0, total - done - running):{width}d} left, {clock(seconds)}]"
