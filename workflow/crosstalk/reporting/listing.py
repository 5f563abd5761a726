"""The plan as a table on the terminal: every calculation with its estimated cost."""

from rich.console import Console
from rich.table import Table

from crosstalk import costs
from crosstalk.jobs import jobs
from crosstalk.plan import Plan
from crosstalk.progress import clock
from crosstalk.record import Store


def show(plan: Plan, store: Store) -> None:
    """Print every calculation of a plan, job by job, which ones `store` has finished, and the totals."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    table = Table(
        "rule", "job", "calculation", "engine", "CPU time", "memory", "key", "", title=f"campaign {plan.campaign}"
    )
    every = jobs(plan)
    experience = costs.Experience.of(plan.specs.values(), store)
    for job in every.values():
        for number, spec in enumerate(job.specs):
            table.add_row(
                job.rule if number == 0 else "",
                job.name if number == 0 else "",
                spec.label,
                spec.engine,
                clock(experience.seconds(spec)),
                f"{experience.memory_mb(spec)} MB",
                spec.key[:8],
                "finished" if store.holds(spec) else "",
            )
    console.print(table)
    total = sum(map(experience.seconds, plan.specs.values()))
    memory = max(map(experience.memory_mb, plan.specs.values()), default=0)
    console.print(
        f"{len(plan.specs)} calculations in {len(every)} jobs, about {clock(total)} of CPU time (estimates hold within a factor of two or so), "
        f"largest job {memory} MB"
    )
    left, seconds = costs.left(plan.specs.values(), store)
    if len(left) < len(plan.specs):
        about = f"about {clock(seconds)} of CPU time, learned from what these did cost"
        console.print(f"{len(plan.specs) - len(left)} of them are finished, {len(left)} are left: {about}")
