"""cost.md: what a campaign took. Differs from run to run."""

from crosstalk.observables.base import Row
from crosstalk.plan import Plan
from crosstalk.record import Store
from crosstalk.reporting.markdown import markdown
from crosstalk.steps import STEPS


def cost_table(plan: Plan, store: Store) -> list[Row]:
    """By step: calculations with a known cost, CPU and wall seconds (sums), largest memory (MB), CPU s expected."""
    rows: list[Row] = []
    for step in STEPS:
        specs = [spec for spec in plan.specs.values() if spec.step == step]
        costs = [(spec, cost) for spec in specs if (cost := store.cost(spec))]
        if specs:
            rows.append(
                {
                    "step": step,
                    "planned": len(specs),
                    "n": len(costs),
                    "cpu_s": round(sum(cost["cpu_s"] for _, cost in costs), 1),
                    "wall_s": round(sum(cost["wall_s"] for _, cost in costs), 1),
                    "max_memory_mb": max((cost["peak_memory_mb"] for _, cost in costs), default=None),
                    "expected_cpu_s": round(sum(spec.cost_s for spec, _ in costs), 1),
                }
            )
    return rows


def cost_page(plan: Plan, store: Store) -> str:
    """cost.md: differs from run to run."""
    rows = cost_table(plan, store)
    sums = {key: sum(row[key] for row in rows) for key in ("planned", "n", "cpu_s", "wall_s", "expected_cpu_s")}
    memory = max((row["max_memory_mb"] for row in rows if row["max_memory_mb"]), default=None)
    total = sums | {"step": "all", "max_memory_mb": memory}
    columns = ("step", "planned", "n", "cpu_s", "wall_s", "max_memory_mb", "expected_cpu_s")
    about = (
        "n: calculations whose cost is known (of those planned). cpu_s counts all ranks; wall_s is the sum over "
        "calculations, which may have run side by side; taken-up records keep the cost of the run that made them; "
        "a job's memory is that of its whole process."
    )
    lines = [f"# Cost of campaign {plan.campaign}", "", about, "", *markdown(columns, [*rows, total], digits=1)]
    return "\n".join(lines).rstrip() + "\n"
