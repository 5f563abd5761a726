"""Claims: statements of papers judged by our rows, comparison by comparison. Nothing here is tuned to a verdict.

    above   margin = quantity(subject) - largest of quantity(others)
    below   margin = smallest of quantity(others) - quantity(subject)

A comparison holds when its margin exceeds the error bar, is contradicted when it lies below minus the error bar, and is
undecided in between. Where the rows carry an ensemble of functionals (BEEF-vdW), the error bar is the standard deviation of
their difference over it, and the probability the share of the functionals with which the margin is positive. Rows are only compared where all naming columns agree that the claim leaves open (level,
environment, ...), so that different levels never meet in one margin.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from crosstalk.config import Config
from crosstalk.config import models as m
from crosstalk.config.statements import NAMING
from crosstalk.observables.base import Row
from crosstalk.quantities import QUANTITIES
from crosstalk.reporting import functionals, validation
from crosstalk.reporting.references import matches, members

if TYPE_CHECKING:
    import numpy as np

HOLDS, CONTRADICTED, UNDECIDED, FLAGGED, NOT_AVAILABLE = (
    "holds",
    "contradicted",
    "undecided",
    "flagged",
    "not available",
)
#: Subject of a comparison that ranks several.
RANKING = "order"
#: How an outcome reads at the end of a comparison, and before its places.
WORDS = {
    HOLDS: "holds",
    CONTRADICTED: "contradicted",
    UNDECIDED: "within the error bar",
    FLAGGED: "flagged, no evidence",
    NOT_AVAILABLE: "not available",
}

REPRODUCED, DEPENDS, NOT_COMPUTABLE = "reproduced", "depends", "not computable"
VERDICTS: dict[str, str] = {
    REPRODUCED: "holds by more than the error bar in every comparison",
    CONTRADICTED: "the opposite holds by more than the error bar in every comparison that is available",
    DEPENDS: "neither: the evidence says where it holds and where not",
    NOT_COMPUTABLE: "no comparison is available, or none that is evidence",
}
COLUMNS = (
    "claim", "verdict", "probability", "spearman", "evidence", "statement", "table", "quantity", "relation", "error_bar", "unit", "error_source",
    "n_holds", "n_contradicted", "n_undecided", "n_flagged", "n_not_available", "source",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """One subject against all others at one place (a level, an environment, ...). Numbers in the quantity's unit.

    outcome  holds | contradicted | undecided | flagged | not available
    other    the one of the others that is nearest to refuting the claim
    why      of flagged and not available; for the rest, the marks of the numbers
    """

    place: str
    subject: str
    outcome: str
    why: str = ""
    value: float | None = None
    other: str = ""
    other_value: float | None = None
    margin: float | None = None
    error_bar: float = 0.0
    error_source: str = ""
    members: "np.ndarray | None" = field(default=None, compare=False, repr=False)  # margins of the ensemble

    @property
    def probability(self) -> float | None:
        """Share of the functionals of the ensemble with which the claim holds here; None without an ensemble."""
        return functionals.probability([self.members] if self.members is not None else [])


@dataclass(frozen=True)
class Verdict:
    claim: str
    verdict: str
    evidence: str
    comparisons: tuple[Comparison, ...] = ()

    @property
    def probability(self) -> float | None:
        """Share of the functionals with which the claim holds in all comparisons that have an ensemble and no flag."""
        return functionals.probability(
            [c.members for c in self.comparisons if c.members is not None and c.outcome != FLAGGED]
        )

    @property
    def spearman(self) -> str:
        """Spearman's coefficient of each ranking ("place: number"), empty for other claims."""
        ranked = [c for c in self.comparisons if c.subject == RANKING and c.value is not None]
        return "; ".join(f"{c.place}: {c.value:.2f}" for c in ranked)

    def count(self, outcome: str) -> int:
        return sum(c.outcome == outcome for c in self.comparisons)


def judge(name: str, rows: Mapping[str, Sequence[Row]], config: Config) -> Verdict:
    """The verdict on a claim. `rows`: table -> rows (`tables.rows`)."""
    claim = config.claims[name]
    if claim.not_computable is not None:
        return Verdict(name, NOT_COMPUTABLE, claim.not_computable)
    table = [r for r in rows.get(claim.table or "", ()) if matches(r, claim.where, config)]
    bars = {str(r.get("level")): validation.error_bar(claim, str(r.get("level")), rows, config) for r in table}
    comparisons = tuple(_comparisons(claim, table, config, bars))
    if not comparisons:
        return Verdict(name, NOT_COMPUTABLE, f"this campaign computes no {claim.quantity} of what the claim is about")
    verdict = verdict_of([c.outcome for c in comparisons])
    evidence = _evidence(claim, verdict, comparisons)
    if left_out := _left_out(claim, table, config):
        evidence += f"; not in this campaign: {', '.join(left_out)}"
    return Verdict(name, verdict, evidence, comparisons)


def verdict_of(outcomes: Sequence[str]) -> str:
    """Strict: one comparison that does not hold, or is not there, is enough to lose "reproduced". A flagged one is none."""
    available = [outcome for outcome in outcomes if outcome not in (NOT_AVAILABLE, FLAGGED)]
    if not available:
        return NOT_COMPUTABLE
    if all(outcome == HOLDS for outcome in outcomes):
        return REPRODUCED
    if all(outcome == CONTRADICTED for outcome in available):
        return CONTRADICTED
    return DEPENDS


def row(verdict: Verdict, config: Config) -> Row:
    """The verdict as a row of claims.csv."""
    claim = config.claims[verdict.claim]
    counts = {
        f"n_{outcome.replace(' ', '_')}": verdict.count(outcome)
        for outcome in (HOLDS, CONTRADICTED, UNDECIDED, FLAGGED, NOT_AVAILABLE)
    }
    columns = ("statement", "table", "quantity", "relation", "error_bar", "error_source", "source")
    described = {column: getattr(claim, column) for column in columns}
    about: Row = {
        "claim": verdict.claim,
        "verdict": verdict.verdict,
        "evidence": verdict.evidence,
        "unit": _unit(claim),
    }
    about |= {"probability": verdict.probability, "spearman": verdict.spearman}
    return about | described | counts


# -- comparisons -------------------------------------------------------------------------------------------------


def _comparisons(
    claim: m.Claim, rows: Sequence[Row], config: Config, bars: Mapping[str, tuple[float, str]]
) -> Iterator[Comparison]:
    """One for every place and every member of the subject. Places come in the order of the rows."""
    if claim.order is not None:
        yield from _rankings(claim, rows)
        return
    wanted = claim.subjects()
    subjects = _selection(wanted, rows, config)
    others = _selection(claim.others, rows, config) if claim.others else []
    taken = {*wanted, *(claim.others or {})}
    within = [*claim.within, *(column for column in NAMING if column not in (*claim.within, *taken))]
    concerned = [r for r in rows if any(_is(r, member) for member in (*subjects, *others))]
    places: dict[tuple[str, ...], list[Row]] = {}
    for r in concerned:
        places.setdefault(tuple(str(r[column]) for column in within if column in r), []).append(r)
    for place, here in places.items():
        for member in subjects:
            first, *rest = [*place, *([_name(member)] if len(subjects) > 1 or not place else [])]
            where = f"{first} ({', '.join(rest)})" if rest else first
            bar = bars[str(here[0].get("level"))]
            yield _compare(claim, where, member, [o for o in others if o != member], here, bar)


def _compare(
    claim: m.Claim,
    place: str,
    subject: Mapping[str, str],
    others: Sequence[Mapping[str, str]],
    rows: Sequence[Row],
    bar: tuple[float, str],
) -> Comparison:
    """`subject` against all of `others` in the rows of one place."""
    quantity = claim.quantity or ""
    if not others and claim.threshold is None:
        return Comparison(place, _name(subject), NOT_AVAILABLE, "nothing to compare with")
    found = [(member, [r for r in rows if _is(r, member)]) for member in (subject, *others)]

    def incomplete(row: Row) -> bool:
        return row.get(quantity) is None or row.get("status") == "missing"  # the lowest of poses that are not all there

    lacking = [_lack(member, its, quantity) for member, its in found if not its or any(map(incomplete, its))]
    if lacking:
        return Comparison(place, _name(subject), NOT_AVAILABLE, "; ".join(lacking))
    (_, mine), *theirs = found
    sign = 1.0 if claim.relation == "above" else -1.0
    worst = min(mine, key=lambda r: sign * r[quantity])
    value = worst[quantity]
    against: list[tuple[str, float, Row | None]] = [(_name(o), r[quantity], r) for o, its in theirs for r in its]
    if claim.threshold is not None:
        against = [("threshold", claim.threshold, None)]
    other, other_value, nearest = max(against, key=lambda triple: sign * triple[1])
    margin = sign * (value - other_value)
    rows_against = [r for _, _, r in against if r is not None]
    ensemble = functionals.margins(quantity, mine, rows_against, sign, claim.threshold)
    if ensemble is not None:
        bar = functionals.error_bar(quantity, worst, nearest)
    error_bar = bar[0]
    outcome = HOLDS if margin > error_bar else CONTRADICTED if margin < -error_bar else UNDECIDED
    flags = [
        f"{_name(member)} {r[claim.flag]}" for member, its in found for r in its if claim.flag and r.get(claim.flag)
    ]
    flags += [f"{_name(member)} missed a gate" for member, its in found for r in its if r.get("status") == "gated"]
    found_outcome = FLAGGED if flags else outcome
    return Comparison(
        place, _name(subject), found_outcome, ", ".join(flags), value, other, other_value, margin, *bar, ensemble
    )


def _rankings(claim: m.Claim, rows: Sequence[Row]) -> Iterator[Comparison]:
    """Spearman's rank coefficient between the order of an experiment and ours, place by place; `value` holds it.

    Holds at 1 (the same order), is contradicted at 0 or below, and is undecided in between.
    """
    from scipy.stats import spearmanr

    quantity, order = claim.quantity or "", claim.order or []
    within = claim.within or ["level"]
    places: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        if row["species"] in order:
            places.setdefault(tuple(str(row[column]) for column in within), {})[row["species"]] = row
    for place, here in places.items():
        there = [name for name in order if name in here and here[name].get(quantity) is not None]
        doubtful = [f"{name} missed a gate" for name in there if here[name].get("status") == "gated"]
        where = f"{place[0]} ({', '.join(place[1:])})" if place[1:] else place[0]
        lacking = [name for name in order if name not in there]
        if len(there) < 3:
            yield Comparison(where, RANKING, NOT_AVAILABLE, f"no number for {', '.join(lacking)}")
            continue
        values = [here[name][quantity] for name in there]
        coefficient = float(spearmanr(range(len(there)), values).statistic)
        outcome = HOLDS if coefficient > 0.999 else CONTRADICTED if coefficient <= 0 else UNDECIDED
        ours = " < ".join(name for _, name in sorted(zip(values, there, strict=True)))
        outcome = FLAGGED if doubtful else outcome
        why = "; ".join([f"ours: {ours}", *([f"without {', '.join(lacking)}"] if lacking else []), *doubtful])
        yield Comparison(where, RANKING, outcome, why, coefficient, "1", 1.0, coefficient - 1.0)


def _lack(member: Mapping[str, str], rows: Sequence[Row], quantity: str) -> str:
    """Why a member has no number."""
    if not rows:
        return f"{_name(member)}: not in this campaign"
    empty = next(r for r in rows if r.get(quantity) is None or r.get("status") == "missing")
    status, reason = str(empty.get("status") or "no number").replace("_", " "), str(empty.get("reason") or "")
    if status in ("ok", "gated"):
        return f"{_name(member)}: not asked for at this level"
    if status == "missing":
        return f"{_name(member)}: not computed yet"
    return f"{_name(member)}: {status}" + (f" ({reason})" if reason else "")


def _selection(wanted: Mapping[str, Sequence[str]], rows: Sequence[Row], config: Config) -> list[dict[str, str]]:
    """Every combination of the names that a selection stands for.

    A name is always needed; of a group (the models of one thing, say) those members that the campaign computes.
    """
    columns: dict[str, list[str]] = {}
    for column, values in wanted.items():
        here = {row.get(column) for row in rows}
        names = {
            name: None for value in values for name in members(column, [value], config) if name == value or name in here
        }
        columns[column] = list(names)
    return [dict(zip(columns, names, strict=True)) for names in product(*columns.values())]


def _left_out(claim: m.Claim, rows: Sequence[Row], config: Config) -> list[str]:
    """Members of the claim's groups that the campaign does not compute."""
    wanted = [*claim.subjects().items(), *(claim.others or {}).items()]
    every = {(c, n): None for c, values in wanted for v in values for n in members(c, [v], config) if n != v}
    return [name for column, name in every if all(row.get(column) != name for row in rows)]


def _is(row: Row, member: Mapping[str, str]) -> bool:
    return all(row.get(column) == name for column, name in member.items())


def _name(member: Mapping[str, str]) -> str:
    return " / ".join(member.values())


# -- evidence ----------------------------------------------------------------------------------------------------


def _evidence(claim: m.Claim, verdict: str, comparisons: Sequence[Comparison]) -> str:
    """One readable sentence with the numbers; for "depends", first where it holds and where not."""
    parts = [_sentence(claim, c) for c in comparisons if c.outcome != NOT_AVAILABLE]
    absent: dict[str, list[str]] = {}
    for c in comparisons:
        if c.outcome == NOT_AVAILABLE:
            absent.setdefault(c.why, []).append(c.place)
    parts += [f"not available at {', '.join(places)} ({why})" for why, places in absent.items()]
    where = ""
    if verdict == DEPENDS:
        found = {o: [c.place for c in comparisons if c.outcome == o] for o in WORDS}
        where = "; ".join(f"{WORDS[o]} at {' and '.join(places)}" for o, places in found.items() if places) + ". "
    bars = {f"{c.error_bar:.2g} {_unit(claim)} ({c.error_source})": None for c in comparisons if c.error_source}
    bar = f"; error bar {', '.join(bars)}" if bars and verdict != NOT_COMPUTABLE else ""
    return where + "; ".join(parts) + bar


def _sentence(claim: m.Claim, c: Comparison) -> str:
    """ "place: -8.25 against -7.69 (other): 0.56 eV below, contradicted"."""
    assert c.value is not None and c.other_value is not None and c.margin is not None
    if claim.order is not None:
        word = (
            "the same order"
            if c.outcome == HOLDS
            else "no correlation"
            if c.outcome == CONTRADICTED
            else WORDS[FLAGGED]
            if c.outcome == FLAGGED
            else "partly the same order"
        )
        return f"{c.place}: Spearman's coefficient {c.value:.2f}, {word} ({c.why})"
    near = abs(abs(c.margin) - c.error_bar) < 0.01
    digits = 3 if near else 2
    difference = c.value - c.other_value
    side = "above" if difference > 0 else "below"
    marks = f" ({c.why})" if c.why else ""
    if c.probability is not None:
        marks += f", probability {c.probability:.2f}"
    return (
        f"{c.place}: {c.value:.{digits}f} against {c.other_value:.{digits}f} ({c.other}): "
        f"{abs(difference):.{digits}f} {_unit(claim)} {side}, {WORDS[c.outcome]}{marks}"
    )


def _unit(claim: m.Claim) -> str:
    return QUANTITIES[claim.quantity].unit if claim.quantity in QUANTITIES else ""
