"""Notes of a long calculation in its work folder, as JSON lines: a killed one goes on from what it had finished."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crosstalk.record import write_atomically
from crosstalk.spec import canonical


class Notes:
    """Finished parts by name: read at the start, added to one by one. Numbers come back bit by bit as they were."""

    def __init__(self, path: Path):
        self.path = path
        self.known: dict[str, Any] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                name, value = json.loads(line)
            except json.JSONDecodeError:
                break  # the kill came while this line was written
            self.known[name] = value
        if self.known:
            whole = "".join(canonical(item) + "\n" for item in self.known.items())
            write_atomically(path, whole.encode())

    def recall(self, name: str, make: Callable[[], Any]) -> Any:
        """What is noted under `name`, or what `make` gives now (JSON types), which is then noted."""
        if name not in self.known:
            self.known[name] = make()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(canonical([name, self.known[name]]) + "\n")
        return self.known[name]

    def close(self) -> None:
        """Remove the file: the calculation is finished."""
        self.path.unlink(missing_ok=True)
