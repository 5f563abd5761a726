"""summary.md: a campaign on one page; cost.md: what it took. The page is byte-stable, the cost is not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crosstalk.config import models as m
from crosstalk.observables.base import CLOSING, PROFILES, Observable, Row, numeric, observables
from crosstalk.plan import Plan
from crosstalk.quantities import QUANTITIES
from crosstalk.record import STATUSES, USABLE, Record, Store, write_atomically
from crosstalk.reporting import claims, references, slabs, tables, validation
from crosstalk.spec import canonical
from crosstalk.steps import STEPS

#: Unit -> how a column's name ends, and how a reader writes it.
_UNITS = {
    "eV": ("_ev", "eV"),
    "kcal/mol": ("_kcal_mol", "kcal/mol"),
    "Angstrom": ("_angstrom", "Å"),
    "Angstrom^2": ("_angstrom2", "Å²"),
    "Angstrom^3": ("_angstrom3", "Å³"),
    "deg": ("_deg", "°"),
    "1/nm^2": ("_per_nm2", "1/nm²"),
    "g/cm^3": ("_g_cm3", "g/cm³"),
    "D": ("_debye", "D"),
    "eV/Angstrom": ("_ev_per_angstrom", "eV/Å"),
    "eV/Angstrom^3": ("_ev_per_angstrom3", "eV/Å³"),
}
#: Digits of a number on the page, by unit; two for the rest.
_DIGITS = {"eV": 3, "eV/Angstrom^3": 4}
#: Digits of columns that are known better than others of their unit.
_FINE_DIGITS = {"lattice_a_angstrom": 3, "lattice_b_angstrom": 3, "lattice_c_angstrom": 3, "interlayer_angstrom": 3}
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
    for path, text in zip(paths, (page(plan, store), cost_page(plan, store)), strict=True):
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
    lines += _failures(plan, store, records)
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
    lines += _methods(plan, campaign)
    lines += _calculations(records)
    lines += _ladder(records)
    lines += _versions(records)
    return "\n".join(lines).rstrip() + "\n"


# -- parts of the page -------------------------------------------------------------------------------------------


def _failures(plan: Plan, store: Store, records: Sequence[Record]) -> list[str]:
    """What came to no number, causes before consequences, and where to look first."""
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
        lines += [f"{len(missing)} of {len(records)} calculations have no record yet. The first ones:", ""]
        causes.sort(key=lambda r: r not in tried)  # what was started comes first
        state = {True: "started, and broke or still running", False: "not started"}
        lines += _listed(f"- {_who(r)}: {state[r in tried]}. Log: `{logs[r.spec.key]}`" for r in causes)
    if blocked:
        lines += [f"{blocked} more could not run because they need one of these.", ""]
    return lines


def _listed(items: Iterator[str]) -> list[str]:
    every = list(items)
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
        }
        for v in verdicts
    ]
    likely = ["probability"] if any(v.probability is not None for v in verdicts) else []
    lines += markdown(("claim", "statement", "verdict", *likely), rows)
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


def _methods(plan: Plan, campaign: m.Campaign) -> list[str]:
    """The levels and environments that the calculations use, and the tier's other settings, in words."""
    used: dict[str, dict[str, None]] = {}
    for spec in plan.specs.values():
        if spec.settings.get("level") is not None:
            used.setdefault(canonical(spec.settings["level"]), {})[spec.step] = None
    names = tables.level_names(plan)
    rows = []
    for identity, steps in used.items():
        level = plan.config.levels[names[identity]]
        rows.append({"level": names[identity], "settings": describe(level), "used for": ", ".join(steps)})
    lines = ["## Levels of theory", "", *markdown(("level", "settings", "used for"), rows)]
    for name, environment in plan.config.environments.items():
        if environment.model and any(
            spec.settings.get("environment") == environment.settings() for spec in plan.specs.values()
        ):
            lines.append(f"- environment {name}: {environment.model}, relative permittivity {environment.epsilon:g}")
    tier = plan.config.tiers[campaign.tier]
    steps_used = {spec.step for spec in plan.specs.values()}
    sections = {"conformers": tier.conformers, "geometry": tier.geometry, "lattices": tier.lattices, "slabs": tier.slabs, "poses": tier.poses}  # fmt: skip
    needs = {
        "conformers": {"conformers", "ion_pairs"},
        "geometry": {"molecule_relax"},
        "lattices": {"bulk_relax"},
        "slabs": {"slab"},
        "poses": {"poses"},
    }
    for name, section in sections.items():
        if section is not None and needs[name] & steps_used:
            settings = section.model_dump(mode="json")
            lines.append(
                f"- {name}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items())
            )
    return [*lines, ""]


def describe(level: Any) -> str:
    """A level's settings in words."""
    if isinstance(level, m.PyscfLevel):
        parts = [
            f"{level.functional} / {level.basis}",
            f"dispersion {level.dispersion or 'none added'}",
            f"basis correction {level.basis_correction}" if level.basis_correction else "",
            f"density fitting {level.density_fit}" if level.density_fit else "no density fitting",
            f"grid level {level.grid_level}, SCF {level.scf_tolerance_ha:g} Ha",
            "wavefunction stability analysed" if level.stability else "",
        ]
    elif isinstance(level, m.GpawLevel):
        kpoints = level.kpoint_spacing_per_angstrom
        parts = [
            f"{level.functional}, PAW",
            f"plane waves {level.cutoff_ev:g} eV"
            if level.mode == "pw"
            else f"LCAO {level.basis}, grid {level.grid_spacing_angstrom:g} Å",
            f"dispersion {level.dispersion or 'none'}",
            f"k-points every {kpoints:g} 1/Å" if kpoints else "Gamma point",
            f"smearing {level.smearing_ev:g} eV",
            "dipole correction" if level.dipole_correction else "no dipole correction",
        ]
    elif isinstance(level, m.XtbLevel):
        parts = [
            level.method,
            f"accuracy {level.accuracy:g}",
            f"electronic temperature {level.electronic_temperature_k:g} K",
        ]
    else:
        parts = [f"{level.method}: FAKE, made-up numbers"]
    return ", ".join(filter(None, parts))


# -- cost --------------------------------------------------------------------------------------------------------


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


# -- markdown ----------------------------------------------------------------------------------------------------


def markdown(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], digits: int = 3) -> list[str]:
    """A table in markdown and an empty line. Numbers to the right, None as a dash."""
    right = {c for c in columns if any(isinstance(row.get(c), int | float) for row in rows)}
    lines = [
        "| " + " | ".join(heading(c) for c in columns) + " |",
        "|" + "|".join("---:" if c in right else "---" for c in columns) + "|",
    ]
    for row in rows:
        cells = [_shown(c, row.get(c), digits) for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _shown(column: str, value: Any, digits: int) -> str:
    if value is None:
        return "–"
    most = _FINE_DIGITS.get(column, _DIGITS.get(QUANTITIES[column].unit, 2)) if column in QUANTITIES else digits
    return escape(tables.cell(column, tables.word(value) if column == "status" else value, most))


def escape(text: str) -> str:
    """Text as markdown shows it: stars (of basis sets) and bars are no markup."""
    return "".join(f"\\{c}" if c in "*|<`" else c for c in text)


def heading(column: str) -> str:
    """A column's name with its unit in brackets."""
    unit = QUANTITIES[column].unit if column in QUANTITIES else ""
    suffix, shown = _UNITS.get(unit, ("", unit))
    stem = column.removesuffix(suffix) if suffix else column
    return f"{stem} ({shown})" if shown else column.replace("_", " ")
