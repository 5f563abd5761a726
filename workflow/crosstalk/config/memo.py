"""Answers that cost an import of a second or more, remembered for one installation.

They are kept in a file of the environment (`sys.prefix`) and asked again when the version of PySCF or ASE changes, when the code
that answers changes, or when the question is new.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]
_BUILDING = ("slabs", "frame", "graphite", "cleavage", "dehydroxylation", "valence", "insertion", "crystals")
_ANSWERING = (
    "config/known.py",
    "config/structures.py",
    "config/crystals.py",
    "engines/corrections.py",
    *(f"structures/{name}.py" for name in _BUILDING),
)
_FILE = Path(sys.prefix) / "crosstalk-known.json"


@cache
def _memo() -> dict[str, Any]:
    code = hashlib.sha256(b"".join((_PACKAGE / name).read_bytes() for name in _ANSWERING)).hexdigest()[:16]
    version = f"pyscf {metadata.version('pyscf')}, ase {metadata.version('ase')}, code {code}"
    try:
        data = json.loads(_FILE.read_text())
    except (OSError, ValueError):
        data = {}
    return data if data.get("version") == version else {"version": version}


def remembered(question: str, answer: Callable[[], Any]) -> Any:
    """The answer to a question (JSON types), asked once per installation."""
    memo = _memo()
    if question not in memo:
        memo[question] = answer()
        partial = _FILE.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(memo, sort_keys=True))
            partial.replace(_FILE)
        except OSError:
            return memo[question]  # an environment that cannot be written: asked again next time
    return memo[question]
