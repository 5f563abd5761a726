"""Tables: the rows of every observable from whatever records there are, and their CSV files.

No engine is run. A calculation without a record reads as one with status "missing", so that tables are complete at any
time: in the middle of a run, and after a job that broke.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crosstalk.config import models as m
from crosstalk.jobs import jobs
from crosstalk.observables.base import Read, Row, observables
from crosstalk.plan import Plan
from crosstalk.quantities import QUANTITIES
from crosstalk.record import Record, Store, write_atomically
from crosstalk.reporting import claims, references, validation
from crosstalk.spec import Spec, canonical

#: The most digits of a number in a CSV file: below what the physics means, above what a reader needs.
MAX_DECIMALS = 4
FAKE_SUFFIX = "-fake"


def chosen(plan: Plan) -> m.Campaign:
    """The campaign's entry in the config (the fake engine's campaigns carry a suffix)."""
    campaigns = plan.config.campaigns
    stripped = plan.campaign.removesuffix(FAKE_SUFFIX)
    return campaigns[stripped] if is_fake(plan) and stripped in campaigns else campaigns[plan.campaign]


def is_fake(plan: Plan) -> bool:
    """Whether any number is made up."""
    return any(spec.engine == "fake" for spec in plan.specs.values())


def word(status: str) -> str:
    """A status as a reader says it."""
    return "not computed" if status == "missing" else status.replace("_", " ")


def level_names(plan: Plan) -> dict[str, str]:
    """Canonical identity of a level -> its name in levels.yaml."""
    return {canonical(level.identity()): name for name, level in plan.config.levels.items()}


def log_paths(plan: Plan, store: Store) -> dict[str, Path]:
    """Key of a spec -> log of the job that computes it."""
    return {spec.key: store.root / "logs" / f"{job.path}.log" for job in jobs(plan).values() for spec in job.specs}


def reader(plan: Plan, store: Store) -> Read:
    """Spec -> record; a record that is not there has status "missing" and says where to look."""
    logs = log_paths(plan, store)
    seen: dict[str, Record] = {}

    def read(spec: Spec) -> Record:
        if spec.key not in seen:
            found = store.find(spec) or Record(spec, "missing", reason(spec), {}, (), (), {}, {})
            seen[spec.key] = replace(found, inherited=inherited(spec))
        return seen[spec.key]

    def inherited(spec: Spec) -> dict[str, str]:
        """Gates that calculations upstream missed: a number is no better than what it was computed from."""
        faults: dict[str, str] = {}
        for key in spec.inputs.values():
            above = read(plan.specs[key])
            faults |= above.inherited
            if above.usable and above.faults:
                what = f"{above.spec.step} of {above.spec.label}"
                faults[key] = f"{what}: {'; '.join(map(str, above.faults))}"
        return faults

    def reason(spec: Spec) -> str:
        """The first calculation upstream that has no record is the one to look at."""
        cause = spec
        while gaps := [key for key in cause.inputs.values() if read(plan.specs[key]).status == "missing"]:
            cause = plan.specs[gaps[0]]
        wait = "" if cause is spec else f", waits for {cause.step} of {cause.label}"
        return f"not computed yet{wait} (log: {logs[cause.key]})"

    return read


def rows(plan: Plan, store: Store) -> dict[str, list[Row]]:
    """Table -> rows, for every observable; a table that the campaign does not request is empty."""
    read = reader(plan, store)
    return {name: observable.rows(plan.table(name), read) for name, observable in observables().items()}


def results(plan: Plan, found: Mapping[str, Sequence[Row]]) -> tuple[list[claims.Verdict], list[Row]]:
    """Verdicts on the campaign's claims, and its comparisons with references."""
    campaign, config = chosen(plan), plan.config
    asked = campaign.claims if campaign.claims is not None else list(config.claims)
    compared = campaign.references if campaign.references is not None else list(config.references)
    return [claims.judge(name, found, config) for name in asked], references.compare(compared, found, config)


def collect(plan: Plan, store: Store, folder: Path) -> list[Path]:
    """Write folder/tables/*.csv: one for each observable, claims.csv, references.csv, slabs.csv and validation.csv.

    Returns their paths.
    """
    from crosstalk.reporting import slabs  # which reads with this module's reader

    found = rows(plan, store)
    verdicts, compared = results(plan, found)
    files: list[tuple[str, Sequence[str], Sequence[Row]]] = [(n, o.columns, found[n]) for n, o in observables().items()]
    files.append(("claims", claims.COLUMNS, [claims.row(verdict, plan.config) for verdict in verdicts]))
    files.append(("references", references.COLUMNS, compared))
    files.append(("slabs", slabs.COLUMNS, slabs.table(plan, store)))
    files.append(("validation", validation.COLUMNS, validation.table(found, plan.config)))
    return [write(Path(folder) / "tables" / f"{name}.csv", columns, content) for name, columns, content in files]


def write(path: Path, columns: Sequence[str], content: Sequence[Row]) -> Path:
    """One CSV file, header included even without rows. The same rows give the same bytes."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(column, row.get(column)) for column in columns] for row in content)
    write_atomically(path, buffer.getvalue().encode())
    return path


def cell(column: str, value: Any, most: int = MAX_DECIMALS) -> str:
    """A value as text: numbers with their quantity's digits (at most `most`), None empty, text on one line."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    decimals = QUANTITIES[column].decimals if column in QUANTITIES else (0 if isinstance(value, int) else most)
    return number(value, min(decimals, most))


def number(value: float, decimals: int) -> str:
    """Fixed-point text without a negative zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}"
