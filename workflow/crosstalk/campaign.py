"""A campaign as a workflow manager sees it: jobs, their inputs, parameters and resources, the progress and the end of a run.

The Snakefile asks this module; this module knows nothing of Snakemake.
"""

import hashlib
import logging
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from crosstalk import costs
from crosstalk.errors import CrosstalkError
from crosstalk.jobs import Job, jobs, minutes
from crosstalk.plan import Plan, load_plan
from crosstalk.progress import Progress, left_to_do
from crosstalk.record import Store
from crosstalk.spec import canonical

PACKAGE = Path(__file__).parent
#: What tables and figures are made by; they are redone when it changes.
REPORTING_CODE = ("observables/*.py", "reporting/*.py", "quantities.py", "units.py")
#: CPU seconds of a job -> MPI ranks, at most; fewer where there are fewer cores.
RANKS = [(240.0, 2), (1200.0, 4), (4800.0, 8), (float("inf"), 16)]


#: Beginnings of lines that a workflow manager says about itself at every round; `end` says what failed, and where its log is.
NOISE = (
    "Select jobs to execute", "Execute ", "Using shell", "Conda environments: ignored", "Complete log", "Elapsed time",
    "RuleException:\nCalledProcessError",
)  # fmt: skip


def hush(logger: str) -> None:
    """Drop NOISE from a logger; errors and all else stay."""
    logging.getLogger(logger).addFilter(lambda record: not record.getMessage().startswith(NOISE))


def unlimited(scheduler: Any) -> None:
    """Take away the limit of 100 new jobs a second that Snakemake sets by itself; a limit that a user chose stays.

    Under a limit every finished job leaves behind one more wake-up of the scheduler a second, for as long as the run lasts
    (9.27: after 180 jobs it spent a tenth of a core on waking up). To be called when the scheduler is there: `onstart`.
    """
    limiter = getattr(scheduler, "job_rate_limiter", None)
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == (100, 1):
        scheduler.job_rate_limiter = None


def default_config_dir(base: Path | str) -> Path:
    """config/ where crosstalk is started, else the one that it came with (`base` is the Snakefile's folder)."""
    return Path("config") if Path("config/species.yaml").exists() else Path(base) / "config"


def open_campaign(options: Mapping[str, Any], base: Path | str) -> "Campaign":
    """The campaign that `snakemake --config campaign=... config_dir=... engine=fake fresh=true` asks for.

    Ends the program with one message when the config has problems.
    """
    known = {"campaign", "config_dir", "engine", "fresh"}
    if extra := set(options) - known:
        sys.exit(f"unknown option in --config: {', '.join(sorted(extra))}; allowed: {', '.join(sorted(known))}")
    try:
        plan = load_plan(
            options.get("config_dir") or default_config_dir(base), options.get("campaign"), options.get("engine")
        )
    except CrosstalkError as error:
        sys.exit(str(error))
    return Campaign(plan, fresh=str(options.get("fresh", "")).lower() in ("1", "true", "yes"))


class Campaign:
    def __init__(self, plan: Plan, fresh: bool = False):
        self.plan = plan
        self.name = plan.campaign
        self.jobs = jobs(plan)
        self.fresh = fresh
        self.folder = Path("results", self.name)
        self.progress = Progress(self.folder / "progress.log")

    def forget_lost(self) -> None:
        """Take away the marks of finished jobs whose records are gone: somebody deleted them to have them computed again.

        Only before a run: on a cluster's nodes a mark may be seen before its records.
        """
        store = Store("results", tuple(self.published))
        for mark, job in zip(map(Path, self.all_jobs()), self.jobs.values(), strict=True):
            if mark.exists() and not all(store.holds(spec) for spec in job.specs):
                mark.unlink(missing_ok=True)

    @cached_property
    def experience(self) -> costs.Experience:
        """What finished calculations of the campaign teach about the cost of the others."""
        return costs.Experience.of(self.plan.specs.values(), Store("results", tuple(self.published)))

    # -- for rules: functions of wildcards ------------------------------------------------------------------------

    def job(self, rule: str, name: str) -> Job:
        return self.jobs[f"{rule}/{name}"]

    def inputs(self, rule: str) -> Callable[[Any], list[str]]:
        return lambda wildcards: [f"results/jobs/{need}.json" for need in self.job(rule, wildcards.job).needs]

    def specs(self, rule: str) -> Callable[[Any], str]:
        return lambda wildcards: canonical([spec.to_json() for spec in self.job(rule, wildcards.job).specs])

    def memory_mb(self, rule: str) -> Callable[..., int]:
        """More with each attempt: a job that was killed for memory gets half as much again."""

        def wanted(wildcards: Any, attempt: int) -> int:
            most = max(map(self.experience.memory_mb, self.job(rule, wildcards.job).specs))
            return round(most * (1 + 0.5 * (attempt - 1)))

        return wanted

    def minutes(self, rule: str) -> Callable[..., int]:

        def wanted(wildcards: Any, attempt: int) -> int:
            job = self.job(rule, wildcards.job)
            return minutes(sum(map(self.experience.seconds, job.specs)) + job.start_seconds) * attempt

        return wanted

    def ranks(self, rule: str) -> Callable[[Any], int]:
        """MPI ranks of a job: more for larger ones; one where the engine has no MPI."""

        def chosen(wildcards: Any) -> int:
            job = self.job(rule, wildcards.job)
            return next(n for limit, n in RANKS if job.seconds <= limit) if job.specs[0].engine == "gpaw" else 1

        return chosen

    def all_jobs(self) -> list[str]:
        return [f"results/jobs/{path}.json" for path in self.jobs]

    @property
    def options(self) -> str:
        """Options that every job shares."""
        also = "".join(f" --also {path}" for path in self.published)
        return f"--campaign {self.name}{also}" + (" --fresh" if self.fresh else "")

    @property
    def published(self) -> list[Path]:
        """Stores of committed records that this campaign may take up: its own first, then those of others, which share calculations with it."""
        chosen = self.plan.config.campaigns.get(self.name)
        if not chosen or not chosen.reuse_published or self.fresh:
            return []
        own = Path("results/published", self.name)
        return sorted((path for path in own.parent.glob("*") if path.is_dir()), key=lambda path: (path != own, path))

    @property
    def select(self) -> str:
        """Options that find this campaign again by hand."""
        fake = " --engine fake" if self.name.endswith("-fake") else ""
        return f"--config-dir {self.plan.config.folder} {self.name.removesuffix('-fake')}{fake}"

    def tables_identity(self) -> str:
        """Hash of all that tables and figures print beside the records. DOIs of levels are not printed there (`crosstalk cite`)."""
        config = self.plan.config
        parts = {
            "entries": [
                [e.table, dict(e.subject), {r: s.key for r, s in e.specs.items()}, dict(e.facts)]
                for e in self.plan.entries
            ],
            "claims": {n: c.model_dump(mode="json", exclude={"notes"}) for n, c in config.claims.items()},
            "references": {n: r.model_dump(mode="json", exclude={"notes"}) for n, r in config.references.items()},
        }
        digest = hashlib.sha256(canonical(parts).encode())
        for pattern in REPORTING_CODE:
            for path in sorted(PACKAGE.glob(pattern)):
                digest.update(path.read_bytes())
        return digest.hexdigest()[:16]

    # -- the run --------------------------------------------------------------------------------------------------

    def begin(self, cores: int | None) -> None:
        """Start the progress of a run: what is finished already, and how much is left; on `cores` of this machine, or (None) somewhere else."""
        store = Store("results", tuple(self.published))
        specs = list(self.plan.specs.values())
        left, seconds = (specs, sum(spec.cost_s for spec in specs)) if self.fresh else costs.left(specs, store)
        todo = {spec.key for spec in left}
        finished = [spec.key for spec in specs if spec.key not in todo]
        self.progress.begin(len(specs), finished)
        print(f"crosstalk: campaign {self.name}: {len(specs)} calculations, {len(finished)} finished before, {left_to_do(len(left), seconds, cores)}", flush=True)  # fmt: skip

    def end(self, failed: bool = False) -> None:
        """Say how the run ended, what failed and where to look first. A failed run gets its tables too, as far as they go."""
        store = Store("results", tuple(self.published))
        if failed:
            from crosstalk.reporting import summary, tables

            tables.collect(self.plan, store, self.folder)
            summary.write(self.plan, store, self.folder)
        print(self.ending(store, failed), flush=True)

    def ending(self, store: Store, failed: bool) -> str:
        counts: dict[str, int] = {}
        lines: list[str] = []
        missing: set[str] = set()
        for path, job in self.jobs.items():
            for spec in job.specs:
                record = store.find(spec)
                status = record.status if record else "missing"
                counts[status] = counts.get(status, 0) + 1
                if record is None:
                    waits = missing & set(spec.inputs.values())
                    missing.add(spec.key)
                    if waits:
                        continue
                if status not in ("ok", "absent", "blocked"):
                    reason = record.reason if record else "no record: it broke or was not run"
                    lines.append(
                        f"  {status:14s} {spec.step} {spec.label}: {reason}\n{'':17s}log: results/logs/{path}.log"
                    )
        total = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
        head = f"crosstalk: campaign {self.name}: {total}; {self.progress.elapsed()}"
        if failed:
            head += "\nSome jobs broke; all other results are kept. Run the same command again to go on where it was."
        shown = [*lines[:12], *([f"  ... and {len(lines) - 12} more"] if len(lines) > 12 else [])]
        return "\n".join(
            [head, *shown, f"Read first: {self.folder}/summary.md  (tables/, figures/, crosstalk.db beside it)"]
        )
