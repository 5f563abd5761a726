"""When the code of a step changes, somebody decides whether its numbers do.

If they do: raise the step's revision in workflow/crosstalk/steps.py, say so in CHANGELOG.md under "Numbers", then `make revisions`.
If they do not (a rename, a message): `make revisions` alone. Comments, docstrings and formatting do not count.
"""

import ast
import hashlib
import json
import sys
from pathlib import Path

import pytest

from crosstalk.steps import STEPS, Step

PACKAGE = Path(__file__).parents[2] / "workflow" / "crosstalk"
DECIDED = Path(__file__).with_name("revisions.json")


def code_hash(step: Step) -> str:
    digest = hashlib.sha256()
    for name in step.sources:
        tree = ast.parse((PACKAGE / f"{name.replace('.', '/')}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:16]


def current() -> dict[str, dict[str, str | int]]:
    return {name: {"revision": step.revision, "code": code_hash(step)} for name, step in STEPS.items()}


@pytest.mark.parametrize("name", STEPS)
def test_somebody_decided_about_the_revision(name):
    decided = json.loads(DECIDED.read_text())
    assert decided.get(name) == current()[name], f"the code of step '{name}' changed: {__doc__}"


def test_every_step_names_its_sources():
    for step in STEPS.values():
        for target in step.functions.values():
            module = target.split(":")[0].removeprefix("crosstalk.")
            assert module in step.sources, f"{step.name}: {module} is not among its sources"


if __name__ == "__main__":
    DECIDED.write_text(json.dumps(current(), indent=1, sort_keys=True) + "\n")
    sys.exit(0)
