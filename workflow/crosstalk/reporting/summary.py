"""summary.md: a campaign on one page; cost.md: what it took. The page is byte-stable, the cost is not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from crosstalk.observables.base import CLOSING, PROFILES, Observable, Row, numeric, observables
from crosstalk.plan import Plan
from crosstalk.record import STATUSES, USABLE, Record, Store, write_atomically
from crosstalk.reporting import claims, references, slabs, spent, tables, validation
from crosstalk.reporting.markdown import escape, markdown
from crosstalk.reporting.methods import methods
from crosstalk.steps import STEPS

#: No failures: what the plan asked for does not exist, or exists with a mark.
_FINE = USABLE | {"absent"}
_MOST_LISTED = 25
FAKE = "**FAKE ENGINE: made-up numbers.** Nothing on this page is physics."
FIGURES = {
    "frontier": "Frontier levels",
    "binding": "Ion binding energies",
    "adsorption": "Adsorption energies",
    "redox": "Redox potentials",
    "convergence": "What the settings cost",
}
#: Observable -> figure of what runs along the normal, and its name.
ALONG = {"adsorption": ("density", "Change of the electron density"), "surfaces": ("potential", "Potential")}


def write(plan: Plan, store: Store, folder: Path) -> list[Path]:
    """Write folder/summary.md and folder/cost.md. Returns their paths."""
    paths = [Path(folder) / "summary.md", Path(folder) / "cost.md"]
    for path, text in zip(paths, (page(plan, store), spent.cost_page(plan, store)), strict=True):
        write_atomically(path, text.encode())
    return paths


def page(plan: Plan, store: Store) -> str:
    """The summary as markdown."""
    campaign, read = tables.chosen(plan), tables.reader(plan, store)
    records = [read(spec) for spec in plan.specs.values()]
    found = tables.rows(plan, store)
    verdicts, compared = tables.results(plan, found)
    lines = [f"# {campaign.title or plan.campaign}", ""]
    if tables.is_fake(plan):
        lines += [f"> {FAKE}", ""]
    title = plan.config.tiers[campaign.tier].title
    lines += [f"Campaign `{plan.campaign}`, tier `{campaign.tier}`{f' ({title})' if title else ''}.", ""]
    lines += _failures(plan, store, records, found)
    lines += _claims(plan, verdicts)
    for name, observable in observables().items():
        lines += _table(observable, found[name], tables.is_fake(plan))
    idle = [observable.title for name, observable in observables().items() if not found[name]]
    lines += [f"Not part of this campaign: {', '.join(idle)}.", ""] if idle else []
    lines += _references(compared)
    lines += _validation(validation.table(found, plan.config))
    if any(spec.step == "orbitals" for spec in plan.specs.values()):
        lines += ["## Orbitals", "", "![Frontier orbitals](figures/orbitals.png)", ""]
    lines += _slabs(slabs.table(plan, store))
    lines += ["## Structures", "", "![Structures](figures/structures.png)", ""]
    lines += methods(plan, campaign)
    lines += _calculations(records)
    lines += _ladder(records)
    lines += _versions(records)
    return "\n".join(lines).rstrip() + "\n"


# -- parts of the page -------------------------------------------------------------------------------------------


def _failures(plan: Plan, store: Store, records: Sequence[Record], found: Mapping[str, Sequence[Row]]) -> list[str]:
    """What came to no number, causes before consequences, and where to look first; then the rows that wait for the rest."""
    logs = tables.log_paths(plan, store)
    failed = [r for r in records if r.status not in _FINE and r.status not in ("blocked", "missing")]
    missing = [r for r in records if r.status == "missing"]
    blocked = sum(r.status == "blocked" for r in records)
    if not (failed or missing or blocked):
        return []
    absent = {r.spec.key for r in missing}
    causes = [r for r in missing if not absent & set(r.spec.inputs.values())]
    tried = [r for r in causes if logs[r.spec.key].exists()]
    lines = ["## Incomplete: look here first", ""]
    if failed:
        lines += [f"{len(failed)} of {len(records)} calculations ended without a number:", ""]
        told = ((r, f"**{tables.word(r.status)}** ({escape(r.reason or STATUSES[r.status])})") for r in failed)
        lines += _listed(f"- {_who(r)}: {text}. Log: `{logs[r.spec.key]}`" for r, text in told)
    if missing:
        listed = f"`crosstalk plan {plan.campaign.removesuffix('-fake')}` lists them"
        lines += [f"{len(missing)} of {len(records)} calculations have no record yet; {listed}.", ""]
        lines += _listed(f"- {_who(r)}: started, and broke or still running. Log: `{logs[r.spec.key]}`" for r in tried)
        lines += _waiting(found)
    if blocked:
        lines += [f"{blocked} more could not run because they need one of these.", ""]
    return lines


def _waiting(found: Mapping[str, Sequence[Row]]) -> list[str]:
    """For each table the subjects of its rows that have no number yet, and how many rows those are."""
    lines = []
    for name, observable in observables().items():
        named = [key for key in observable.columns if {key, f"{key}s"} & set(observable.subjects)]
        wait = Counter(" on ".join(str(row[key]) for key in named) for row in found[name] if row["status"] == "missing")
        told = ", ".join(escape(f"{subject} ({count})") for subject, count in wait.items())
        lines += [f"- rows of {name} that wait: {told}"] if wait else []
    return [*lines, ""] if lines else []


def _listed(items: Iterator[str]) -> list[str]:
    every = list(items)
    if not every:
        return []
    more = len(every) - _MOST_LISTED
    return [*every[:_MOST_LISTED], *([f"- and {more} more: see the tables' column `reason`"] if more > 0 else []), ""]


def _who(record: Record) -> str:
    return escape(f"{record.spec.label or record.spec.key} ({record.spec.step})")


def _claims(plan: Plan, verdicts: Sequence[claims.Verdict]) -> list[str]:
    if not verdicts:
        return []
    sources = sorted({plan.config.claims[v.claim].source for v in verdicts})
    lines = [
        "## Claims",
        "",
        f"Method of the paper unknown ({', '.join(sources)}): statements are compared, not like numbers. "
        "No setting was chosen for a verdict.",
        "",
    ]
    rows = [
        {
            "claim": v.claim,
            "statement": plan.config.claims[v.claim].statement,
            "verdict": v.verdict,
            "probability": v.probability,
            "spearman": v.spearman,
        }
        for v in verdicts
    ]
    likely = ["probability"] if any(v.probability is not None for v in verdicts) else []
    ranked = ["spearman"] if any(v.spearman for v in verdicts) else []
    lines += markdown(("claim", "statement", "verdict", *likely, *ranked), rows)
    if likely:
        lines += [
            "Probability: share of the 2,000 functionals of the BEEF-vdW ensemble with which the statement holds in every comparison at such a level.",
            "",
        ]
    lines += [f"- **{v.claim}**: {v.verdict}. {escape(v.evidence)}." for v in verdicts]
    words = "; ".join(f"*{word}*: {meaning}" for word, meaning in claims.VERDICTS.items())
    return [*lines, "", f"{words}.", ""]


def _table(observable: Observable, rows: Sequence[Row], fake: bool) -> list[str]:
    """A table with its sign convention, then what its rows have to say."""
    if not rows:
        return []
    lines = [f"## {observable.title}{' (FAKE)' if fake else ''}", "", observable.sign, ""]
    shown = [c for c in observable.columns if c not in CLOSING]
    shown = [
        c for c in shown if any(row.get(c) not in (None, "") for row in rows) or c in numeric(observable.columns)[:2]
    ]
    if any(row["status"] != "ok" for row in rows):
        shown.append("status")
    lines += markdown(shown, rows)
    names = [c for c in observable.columns[: observable.columns.index(numeric(observable.columns)[0])] if c in shown]
    notes = [
        f"- {', '.join(escape(str(row[c])) for c in names)}: {tables.word(row['status'])}: {escape(row['reason'])}"
        for row in rows
        if row.get("reason") and row["status"] != "missing"
    ]
    notes += [f"- {escape(remark)}" for remark in observable.remarks(rows)]
    if waiting := sum(row["status"] == "missing" for row in rows):
        notes.append(f"- {waiting} of {len(rows)} rows wait for calculations: see the beginning of this page")
    lines += [*notes, ""] if notes else []
    if observable.name in FIGURES:
        lines += [f"![{FIGURES[observable.name]}](figures/{observable.name}.png)", ""]
    if observable.name in ALONG and any(PROFILES in row for row in rows):
        figure, name = ALONG[observable.name]
        lines += [f"![{name}](figures/{figure}.png)", ""]
    return [*lines, f"All columns, gates and record keys: `tables/{observable.name}.csv`.", ""]


def _references(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    columns = (
        "reference",
        "subject",
        "level",
        "quantity",
        "value",
        "reference_value",
        "error",
        "unit",
        "exactly",
        "source",
        "verified",
    )
    shown = [*columns, *(["status"] if any(row["status"] != "ok" for row in rows) else [])]
    return ["## References", "", references.SIGN, "", *markdown(shown, rows)]


def _validation(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    lines = ["## Validation", "", validation.SIGN, "", *markdown(validation.COLUMNS, rows)]
    return [*lines, "![Validation](figures/validation.png)", ""]


def _slabs(rows: Sequence[Row]) -> list[str]:
    """What each slab is; keys of records and empty columns are left to the table."""
    if not rows:
        return []
    shown = [c for c in slabs.COLUMNS[:-2] if any(row[c] not in (None, "") for row in rows)]
    return ["## Slabs", "", slabs.SIGN, "", *markdown(shown, rows), "All columns: `tables/slabs.csv`.", ""]


def _calculations(records: Sequence[Record]) -> list[str]:
    """How many calculations of each step ended how."""
    statuses = [s for s in STATUSES if any(r.status == s for r in records)]
    counts = Counter((r.spec.step, r.status) for r in records)
    rows: list[Row] = [
        {"step": step, "calculations": sum(counts[step, s] for s in statuses)}
        | {tables.word(s): counts[step, s] for s in statuses}
        for step in STEPS
        if any(r.spec.step == step for r in records)
    ]
    words = [f"*{tables.word(s)}*: {STATUSES[s]}" for s in statuses if s != "ok"]
    columns = ("step", "calculations", *map(tables.word, statuses))
    return ["## Calculations", "", *markdown(columns, rows), *([f"{'; '.join(words)}.", ""] if words else [])]


def _ladder(records: Sequence[Record]) -> list[str]:
    """Which remedies the self-consistent fields needed, molecules and surfaces, and what came of the rest."""
    climbing = ("pyscf", "gpaw")
    tried = [r for r in records if r.spec.engine in climbing and r.status not in ("absent", "blocked", "missing")]
    ways: dict[str, list[Record]] = {}
    for record in tried:
        way = " > ".join(record.rungs) if record.rungs else record.status.replace("_", " ")
        ways.setdefault(way if record.usable else f"no number: {tables.word(record.status)}", []).append(record)
    if len(ways) < 2:
        return []
    rows: list[Row] = [
        {
            "remedies": way,
            "calculations": len(its),
            "share": f"{100 * len(its) / len(tried):.1f} %",
            "gates missed": sum(bool(r.missed) for r in its),
        }
        for way, its in sorted(ways.items(), key=lambda item: -len(item[1]))
    ]
    return [
        "## Remedies",
        "",
        "What calculations climbed, in order; the last one worked.",
        "",
        *markdown(("remedies", "calculations", "share", "gates missed"), rows),
    ]


def _versions(records: Sequence[Record]) -> list[str]:
    """Versions of everything that made a number; several of one package are said aloud."""
    seen: dict[str, set[str]] = {}
    for record in records:
        for package, version in record.versions.items():
            seen.setdefault(package, set()).add(version)
    if not seen:
        return []
    mixed = sorted(package for package, found in seen.items() if len(found) > 1)
    text = ", ".join(f"{package} {' and '.join(sorted(found))}" for package, found in sorted(seen.items()))
    return ["## Versions", "", text + ".", *([f"Mixed versions of {', '.join(mixed)}."] if mixed else []), ""]


# -- methods -----------------------------------------------------------------------------------------------------
