"""The plan as a table on the terminal: every calculation with its estimated cost."""

from rich.console import Console
from rich.table import Table

from crosstalk.jobs import jobs
from crosstalk.plan import Plan
from crosstalk.progress import clock


def show(plan: Plan) -> None:
    """Print every calculation of a plan, job by job, and the totals."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    table = Table(
        "rule", "job", "calculation", "engine", "CPU time", "memory", "key", title=f"campaign {plan.campaign}"
    )
    every = jobs(plan)
    for job in every.values():
        for number, spec in enumerate(job.specs):
            table.add_row(
                job.rule if number == 0 else "",
                job.name if number == 0 else "",
                spec.label,
                spec.engine,
                clock(spec.cost_s),
                f"{spec.memory_mb} MB",
                spec.key[:8],
            )
    console.print(table)
    total = sum(job.seconds for job in every.values())
    memory = max((job.memory_mb for job in every.values()), default=0)
    console.print(
        f"{len(plan.specs)} calculations in {len(every)} jobs, about {clock(total)} of CPU time (estimates hold within a factor of two or so), "
        f"largest job {memory} MB"
    )
