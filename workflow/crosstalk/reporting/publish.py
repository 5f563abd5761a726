"""Publishing: what a campaign came to, with every record behind it, in a folder that is committed."""

import shutil
from pathlib import Path

from crosstalk import costs
from crosstalk.errors import MissingRecordError
from crosstalk.plan import Plan
from crosstalk.record import Store


def publish(plan: Plan, store: Store, source: Path, target: Path, partial: bool = False) -> int:
    """Copy tables, figures, summary, cost and database of `source`, and the records of the plan, to `target`, with what their cost teaches; returns how many records.

    What was there before is replaced, so that nothing stale stays. Raises MissingRecordError when the campaign is not finished;
    with `partial` what there is is published, and a later run takes it up.
    """
    missing = [spec.label for spec in plan.specs.values() if store.find(spec) is None]
    if (missing and not partial) or not (source / "summary.md").exists():
        what = (
            f"{len(missing)} calculations are missing, the first is {missing[0]}"
            if missing
            else "its summary is missing"
        )
        raise MissingRecordError(f"{plan.campaign} is not finished: {what}; run it first")
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("progress.log"))
    kept = Store(target)
    for spec in plan.specs.values():
        for old, new in (
            (store.path(spec), kept.path(spec)),
            (store.cost_path(spec), kept.cost_path(spec)),
            (store.structure_path(spec), kept.structure_path(spec)),
        ):
            if old.exists():
                new.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(old, new)
    costs.teach(plan.specs.values(), kept, target)
    return len(plan.specs) - len(missing)
