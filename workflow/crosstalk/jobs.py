"""Jobs: specs that one process computes together. Tiny work is batched, so that starting an engine does not cost more than the work."""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from crosstalk.plan import Plan
from crosstalk.spec import Spec
from crosstalk.steps import STEPS

#: A job takes in more specs of the same rule and inputs until their estimated CPU time exceeds this; more with MPI, which starts slowly
#: and shares the time among its ranks.
BATCH_SECONDS = 60.0
BATCH_SECONDS_MPI = 150.0
#: Seconds that a process needs before it computes: interpreter and engine.
START_SECONDS = {"pyscf": 3.0, "gpaw": 8.0, "xtb": 2.0, "ase": 10.0, "none": 1.0, "fake": 0.5}
#: Requested time = estimate times this, so that a slow node does not lose a job that would have finished.
TIME_MARGIN = 4.0


@dataclass(frozen=True)
class Job:
    name: str
    rule: str
    specs: tuple[Spec, ...]
    needs: tuple[str, ...]  # jobs, as "rule/name"

    @property
    def path(self) -> str:
        return f"{self.rule}/{self.name}"

    @property
    def start_seconds(self) -> float:
        return START_SECONDS[self.specs[0].engine]

    @property
    def seconds(self) -> float:
        """Before anything is learned from finished calculations, so that a job's cores do not depend on when it is asked for."""
        return self.start_seconds + sum(spec.cost_s for spec in self.specs)


def minutes(seconds: float) -> int:
    """Time to ask a scheduler for."""
    return math.ceil(seconds * TIME_MARGIN / 60) + 5


def slug(text: str) -> str:
    """`text` as a file name: letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-") or "job"


def jobs(plan: Plan) -> dict[str, Job]:
    """ "rule/name" -> job. Deterministic; a new entry in the config leaves the jobs of the others as they were."""
    batches: dict[tuple[str, str], list[list[Spec]]] = {}
    for spec in plan.specs.values():
        owner = ",".join(spec.inputs.values()) or spec.key
        groups = batches.setdefault((STEPS[spec.step].rule, owner), [[]])
        limit = BATCH_SECONDS_MPI if spec.engine == "gpaw" else BATCH_SECONDS
        if groups[-1] and sum(s.cost_s for s in groups[-1]) + spec.cost_s > limit:
            groups.append([])
        groups[-1].append(spec)
    home: dict[str, str] = {}
    drafts: list[tuple[str, str, tuple[Spec, ...]]] = []
    for (rule, _), groups in batches.items():
        for group in groups:
            digest = hashlib.sha256(",".join(spec.key for spec in group).encode()).hexdigest()[:8]
            name = f"{slug(group[0].label.split(' at ')[0].split(':')[0])}-{digest}"
            drafts.append((rule, name, tuple(group)))
            home |= {spec.key: f"{rule}/{name}" for spec in group}
    return {f"{rule}/{name}": Job(name, rule, specs, _needs(specs, home)) for rule, name, specs in drafts}


def _needs(specs: tuple[Spec, ...], home: Mapping[str, str]) -> tuple[str, ...]:
    mine = home[specs[0].key]
    found = {home[key]: None for spec in specs for key in spec.inputs.values()}
    found.pop(mine, None)
    return tuple(found)
