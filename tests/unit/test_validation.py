"""Errors against references, the error bars that follow, what claims make of them, and publishing what there is."""

from math import sqrt

import pytest

from crosstalk.config import Config, load
from crosstalk.config import models as m
from crosstalk.errors import MissingRecordError
from crosstalk.plan import make
from crosstalk.record import Store
from crosstalk.reporting import claims, publish, references, tables, validation
from crosstalk.runner import run_all

from .small import molecular

#: Errors of the level "l" against five references, eV.
ERRORS = [0.1, -0.2, 0.3, 0.0, 0.2]
BASE = {
    "statement": "A lies above B",
    "source": "nowhere",
    "table": "frontier",
    "quantity": "homo_ev",
    "relation": "above",
    "subject": {"species": "A"},
    "others": {"species": ["B"]},
    "within": ["level"],
    "error_bar": 0.05,
}


def config(n=5, unit="eV", verified=False, **changes):
    """Species A, B and m0, m1, ...; a reference of group "set" for each of the latter: -k in `unit`; one claim, "x"."""
    references = {
        f"r{k}": m.Reference(
            groups=["set"], table="frontier", where={"species": f"m{k}"}, quantity="homo_ev", value=-float(k),
            unit=unit, exactly="HOMO", source="nowhere", verified=verified,
        )
        for k in range(n)
    }  # fmt: skip
    claim = {key: value for key, value in (BASE | changes).items() if value is not None}
    names = ["A", "B", *(f"m{k}" for k in range(n))]
    empty = {name: {} for name in ("campaigns", "surfaces", "levels", "environments", "tiers")}
    return Config(
        folder=None, default="", species={name: m.Species(smiles="C") for name in names}, references=references,
        claims={"x": m.Claim(**claim)}, **empty,
    )  # fmt: skip


def rows(errors=ERRORS, level="l", **values):
    """Rows of frontier: the references' species with their errors (None: no number), and others by name."""
    found = {f"m{k}": None if error is None else -k + error for k, error in enumerate(errors)} | values
    return [
        {"species": s, "level": level, "homo_ev": v, "status": "ok" if v is not None else "not_converged", "reason": ""}
        for s, v in found.items()
    ]


def judged(validated, difference, **changes):
    """The only comparison of claim "x", A lying above B by `difference`."""
    found = {"frontier": rows(A=-5.0 + difference, B=-5.0)}
    verdict = claims.judge("x", found, config(validation="set" if validated else None, **changes))
    (comparison,) = verdict.comparisons
    return verdict, comparison


# -- errors --------------------------------------------------------------------------------------------------------


def test_mean_deviation_and_largest_by_hand():
    (row,) = validation.table({"frontier": rows()}, config())
    assert (row["group"], row["level"], row["n"], row["unit"]) == ("set", "l", 5, "eV")
    assert row["mean_error"] == pytest.approx(0.08)
    assert row["mean_absolute_error"] == pytest.approx(0.16)
    assert row["standard_deviation"] == pytest.approx(sqrt((0.02**2 + 0.28**2 + 0.22**2 + 0.08**2 + 0.12**2) / 4))
    assert row["max_error"] == pytest.approx(0.3) and row["worst"] == "r2"
    assert row["verified"] == "0 of 5" and row["n_missing"] == 0
    assert set(row) <= set(validation.COLUMNS)


def test_a_shift_moves_the_mean_and_not_the_deviation():
    moved = validation.errors("set", {"frontier": rows([e + 1.0 for e in ERRORS])}, config())["l"]
    own = validation.errors("set", {"frontier": rows()}, config())["l"]
    assert moved.mean == pytest.approx(own.mean + 1) and moved.deviation == pytest.approx(own.deviation)


def test_the_largest_error_keeps_its_sign():
    found = validation.errors("set", {"frontier": rows([0.1, -0.5, 0.3, 0.0, 0.2])}, config())["l"]
    assert found.values[found.worst] == pytest.approx(-0.5)


def test_errors_are_in_the_column_s_unit():
    found = validation.errors("set", {"frontier": rows([0.0, 0.0])}, config(2, unit="Ha"))["l"]
    assert found.unit == "eV" and found.values[1] == pytest.approx(-1 + 27.211386, abs=1e-5)


def test_what_has_no_number_is_counted_and_not_averaged():
    (row,) = validation.table({"frontier": rows([0.1, None, 0.3])}, config(3))
    assert row["n"] == 2 and row["n_missing"] == 1 and row["mean_error"] == pytest.approx(0.2)
    (empty,) = validation.table({"frontier": rows([None, None])}, config(2))
    assert empty["n"] == 0 and empty["n_missing"] == 2 and "mean_error" not in empty


def test_levels_are_told_apart_and_one_value_has_no_spread():
    both = {"frontier": rows([0.1, 0.3], "l") + rows([-0.4], "k")}
    found = validation.errors("set", both, config(2))
    assert list(found) == ["l", "k"] and found["k"].deviation == 0 and found["l"].mean == pytest.approx(0.2)


def test_a_campaign_without_the_references_has_no_rows():
    assert validation.table({"frontier": rows([], A=-1.0)}, config()) == []
    assert validation.groups(config()) == ["set"]


# -- error bars ----------------------------------------------------------------------------------------------------


def test_the_error_bar_of_a_difference_is_two_deviations_in_quadrature():
    spec = config(validation="set")
    bar, source = validation.error_bar(spec.claims["x"], "l", {"frontier": rows()}, spec)
    deviation = validation.errors("set", {"frontier": rows()}, spec)["l"].deviation
    assert bar == pytest.approx(sqrt(2) * deviation) and source == "set, 5 values"


def test_what_the_set_leaves_out_is_added_in_quadrature_and_named():
    plain = config(validation="set")
    bare, _ = validation.error_bar(plain.claims["x"], "l", {"frontier": rows()}, plain)
    spec = config(validation="set", further_errors=[{"error": 0.4, "source": "the solvent (a paper)"}])
    bar, source = validation.error_bar(spec.claims["x"], "l", {"frontier": rows()}, spec)
    assert bar**2 - bare**2 == pytest.approx(0.16) and source == "set, 5 values and the solvent (a paper)"
    assert validation.error_bar(spec.claims["x"], "other", {"frontier": rows()}, spec) == (0.05, "assumed")


@pytest.mark.parametrize("errors", [ERRORS[:4], [*ERRORS[:4], None]])
def test_too_few_values_leave_the_claim_s_own_bar(errors):
    spec = config(validation="set")
    assert validation.error_bar(spec.claims["x"], "l", {"frontier": rows(errors)}, spec) == (0.05, "assumed")


def test_another_level_and_no_validation_are_assumed():
    spec = config(validation="set")
    assert validation.error_bar(spec.claims["x"], "other", {"frontier": rows()}, spec) == (0.05, "assumed")
    plain = config()
    assert validation.error_bar(plain.claims["x"], "l", {"frontier": rows()}, plain) == (0.05, "assumed")


def test_validation_decides_what_a_difference_is_worth():
    # sqrt(2) times the deviation of 0.192 eV is 0.272 eV, against 0.05 eV that were assumed
    assert judged(False, 0.2)[1].outcome == "holds"
    verdict, comparison = judged(True, 0.2)
    assert comparison.outcome == "undecided" and "set, 5 values" in verdict.evidence
    assert judged(True, 0.3)[1].outcome == "holds" and judged(True, -0.3)[1].outcome == "contradicted"
    assert "assumed" in judged(False, 0.2)[0].evidence


def test_what_missed_a_gate_is_counted_and_not_averaged():
    found = rows([0.1, 9.0, 0.3])
    found[1]["status"] = "gated"
    (row,) = validation.table({"frontier": found}, config(3))
    assert (row["n"], row["n_gated"], row["n_missing"]) == (2, 1, 0)
    assert row["mean_error"] == pytest.approx(0.2) and row["max_error"] == pytest.approx(0.3)


def test_what_came_to_something_else_is_shown_and_not_counted():
    """The energy to oxidise a molecule that rearranged is no ionisation energy."""
    made = config(3)
    for name, reference in made.references.items():
        made.references[name] = reference.model_copy(update={"provided": {"lumo_flag": "direct"}})
    found = [
        row | {"lumo_flag": flag}
        for row, flag in zip(rows([0.1, 9.0, None]), ("direct", "coupled", None), strict=False)
    ]
    compared = references.compare(list(made.references), {"frontier": found}, made)
    assert [row["status"] for row in compared] == ["ok", "gated", "not_converged"]
    assert compared[1]["reason"] == "not comparable: lumo_flag 'coupled', not 'direct'" and compared[1]["value"] == 8.0
    (row,) = validation.table({"frontier": found}, made)
    assert (row["n"], row["n_gated"], row["n_missing"]) == (1, 1, 1)


def test_levels_have_error_bars_of_their_own():
    found = {"frontier": rows(A=-4.8, B=-5.0) + rows([0.0, 0.01, 0.0, 0.0, 0.01], "fine", A=-4.8, B=-5.0)}
    verdict = claims.judge("x", found, config(validation="set"))
    assert {c.place: c.outcome for c in verdict.comparisons} == {"l": "undecided", "fine": "holds"}


# -- thresholds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relation", "value", "outcome"),
    [("below", -5.5, "holds"), ("below", -4.5, "contradicted"), ("below", -5.02, "undecided"), ("above", -4.5, "holds"), ("above", -5.5, "contradicted")],
)  # fmt: skip
def test_a_threshold_is_a_number_to_compare_with(relation, value, outcome):
    spec = config(relation=relation, others=None, threshold=-5.0)
    verdict = claims.judge("x", {"frontier": rows(A=value)}, spec)
    (comparison,) = verdict.comparisons
    assert comparison.outcome == outcome and comparison.other == "threshold"
    assert comparison.margin == pytest.approx((value + 5) * (1 if relation == "above" else -1))


def test_against_a_threshold_nothing_cancels():
    """The error bar of one value is its level's mean absolute error, what is systematic included."""
    spec = config(others=None, threshold=-5.0, validation="set")
    shifted = {"frontier": rows([e + 1.0 for e in ERRORS], A=-4.0)}
    bar, source = validation.error_bar(spec.claims["x"], "l", shifted, spec)
    assert bar == pytest.approx(1.08) and source == "set, 5 values"
    assert claims.judge("x", shifted, spec).comparisons[0].outcome == "undecided"


def test_a_threshold_needs_our_number():
    spec = config(others=None, threshold=-5.0)
    assert claims.judge("x", {"frontier": rows(A=None)}, spec).comparisons[0].outcome == "not available"


def test_a_claim_says_what_it_compares_with():
    with pytest.raises(ValueError, match=r"threshold|others"):
        config(others=None)


# -- the order of an experiment ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "outcome", "coefficient"),
    [((-3.0, -2.0, -1.0), "holds", 1.0), ((-1.0, -2.0, -3.0), "contradicted", -1.0), ((-3.0, -1.0, -2.0), "undecided", 0.5)],
)  # fmt: skip
def test_an_order_is_judged_by_spearman_s_coefficient(values, outcome, coefficient):
    order = ["m0", "m1", "m2"]
    wanted = {"relation": None, "subject": None, "others": None, "error_bar": None, "order": order}
    found = {"frontier": rows([], **dict(zip(order, values, strict=True)))}
    verdict = claims.judge("x", found, config(3, **wanted))
    (comparison,) = verdict.comparisons
    assert comparison.outcome == outcome and comparison.value == pytest.approx(coefficient)
    assert claims.row(verdict, config(3, **wanted))["spearman"] == f"{comparison.place}: {coefficient:.2f}"
    doubtful = {"frontier": [found["frontier"][0] | {"status": "gated"}, *found["frontier"][1:]]}
    (doubted,) = claims.judge("x", doubtful, config(3, **wanted)).comparisons
    assert doubted.outcome == "flagged" and doubted.value == comparison.value and "missed a gate" in doubted.why


# -- publishing ----------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path):
    """A plan of the fake engine, its store, and the folder of what was collected."""
    sections = {"frontier": {"species": ["water"]}}
    folder = molecular(tmp_path, config={"campaigns": {"free": {"observables": sections}}})
    plan, store = make(load(folder), engine="fake"), Store(tmp_path / "results")
    assert run_all(plan.specs.values(), store) == 0
    source = tmp_path / "collected"
    tables.collect(plan, store, source)
    (source / "summary.md").write_text("done\n")
    (source / "progress.log").write_text("12:00\n")
    return plan, store, source, tmp_path / "published"


def test_a_finished_campaign_is_published_with_its_records(finished):
    plan, store, source, target = finished
    assert publish.publish(plan, store, source, target) == len(plan.specs)
    assert (target / "summary.md").exists() and not (target / "progress.log").exists()
    kept = Store(target)
    assert all(kept.path(spec).read_bytes() == store.path(spec).read_bytes() for spec in plan.specs.values())


def test_an_unfinished_one_is_refused_or_published_in_part(finished):
    plan, store, source, target = finished
    lost = list(plan.specs.values())[-1]
    store.path(lost).unlink()
    (target / "old").mkdir(parents=True)
    with pytest.raises(MissingRecordError, match="1 calculations are missing"):
        publish.publish(plan, store, source, target)
    assert (target / "old").exists(), "a refusal leaves what was there"
    assert publish.publish(plan, store, source, target, partial=True) == len(plan.specs) - 1
    kept = Store(target)
    assert kept.find(lost) is None and not (target / "old").exists()
    assert sum(kept.find(spec) is not None for spec in plan.specs.values()) == len(plan.specs) - 1


def test_without_a_summary_nothing_is_published(finished):
    plan, store, source, target = finished
    (source / "summary.md").unlink()
    for partial in (False, True):
        with pytest.raises(MissingRecordError, match="summary"):
            publish.publish(plan, store, source, target, partial)


def test_a_published_part_is_taken_up(finished, tmp_path):
    plan, store, source, target = finished
    publish.publish(plan, store, source, target)
    fresh = Store(tmp_path / "fresh", also=(target,))
    assert all(fresh.find(spec) is not None for spec in plan.specs.values())
