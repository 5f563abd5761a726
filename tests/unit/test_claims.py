"""Laws of judging claims: symmetry, invariance, and that nothing missing is ever counted as evidence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosstalk import beef
from crosstalk.config import Config
from crosstalk.config import models as m
from crosstalk.observables.base import ENSEMBLE
from crosstalk.reporting import claims

CLAIM = {
    "statement": "A lies above B and C",
    "source": "nowhere",
    "table": "frontier",
    "quantity": "homo_ev",
    "relation": "above",
    "subject": {"species": "A"},
    "others": {"species": ["B", "C"]},
    "within": ["level"],
    "error_bar": 0.1,
}


def config(**changes: Any) -> Config:
    """A config with three species, two of them in a group, and one claim, "x"."""
    groups = {"A": ["first"], "B": ["rest"], "C": ["rest"]}
    return Config(
        folder=Path(),
        default="",
        campaigns={},
        species={name: m.Species(smiles="C", groups=g) for name, g in groups.items()},
        surfaces={},
        levels={},
        environments={},
        tiers={},
        references={},
        claims={"x": m.Claim(**(CLAIM | changes))},
    )


def table(values: dict[str, dict[str, float | None]], **more: Any) -> dict[str, list[dict[str, Any]]]:
    """Rows of the frontier table from species -> level -> HOMO."""
    return {
        "frontier": [
            {
                "species": s,
                "level": level,
                "homo_ev": v,
                "status": "ok" if v is not None else "not_converged",
                "reason": "",
            }
            | more
            for s, its in values.items()
            for level, v in its.items()
        ]
    }


def verdict(values: dict[str, dict[str, float | None]], **changes: Any) -> str:
    return claims.judge("x", table(values), config(**changes)).verdict


CLEAR = {"A": {"l1": -5.0, "l2": -6.0}, "B": {"l1": -7.0, "l2": -8.0}, "C": {"l1": -7.5, "l2": -8.5}}


def test_holds_everywhere_is_reproduced_and_its_opposite_contradicted():
    assert verdict(CLEAR) == "reproduced"
    low = {**CLEAR, "A": {"l1": -9.0, "l2": -9.0}}
    assert verdict(low) == "contradicted"
    assert verdict(low, relation="below") == "reproduced"


def test_mirror_image_has_the_same_verdict():
    random = np.random.default_rng(1)
    for _ in range(50):
        values = {s: {f"l{k}": float(random.normal(-8, 0.3)) for k in range(2)} for s in "ABC"}
        mirrored = {s: {level: -v for level, v in its.items()} for s, its in values.items()}
        assert verdict(values) == verdict(mirrored, relation="below")


def test_shifting_a_level_or_reordering_rows_changes_nothing():
    random = np.random.default_rng(2)
    for _ in range(30):
        values = {s: {f"l{k}": float(random.normal(-8, 0.3)) for k in range(2)} for s in "ABC"}
        shifted = {s: {level: v + 3.0 * (level == "l1") for level, v in its.items()} for s, its in values.items()}
        backwards = {s: dict(reversed(values[s].items())) for s in reversed(values)}
        assert verdict(values) == verdict(shifted) == verdict(backwards)


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.2, "holds"), (0.05, "undecided"), (-0.05, "undecided"), (-0.2, "contradicted")]
)
def test_error_bar_decides(margin, expected):
    found = claims.judge("x", table({"A": {"l": -7.0 + margin}, "B": {"l": -7.0}, "C": {"l": -8.0}}), config())
    assert [c.outcome for c in found.comparisons] == [expected]
    assert found.comparisons[0].margin == pytest.approx(margin)


def test_a_larger_error_bar_never_decides_more():
    outcomes = [verdict(CLEAR, error_bar=bar) for bar in (0.0, 1.0, 10.0)]
    assert outcomes == ["reproduced", "reproduced", "depends"]


def test_different_verdicts_at_different_levels_depend_and_are_named():
    found = claims.judge("x", table({**CLEAR, "A": {"l1": -5.0, "l2": -9.0}}), config())
    assert found.verdict == "depends"
    assert found.evidence.startswith("holds at l1; contradicted at l2. ")


def test_one_missing_number_costs_the_reproduction_but_not_the_contradiction():
    gap = {**CLEAR, "B": {"l1": -7.0, "l2": None}}
    assert verdict(gap) == "depends"
    assert verdict({**gap, "A": {"l1": -9.0, "l2": -9.0}}) == "contradicted"
    evidence = claims.judge("x", table(gap), config()).evidence
    assert "not available at l2 (B: not converged)" in evidence


def test_nothing_available_is_not_computable():
    assert verdict({s: {"l": None} for s in "ABC"}) == "not computable"
    assert verdict({"B": {"l": -7.0}, "C": {"l": -7.0}}) == "not computable"
    assert claims.judge("x", {}, config()).verdict == "not computable"
    told = config(
        not_computable="no observable", **{key: None for key in CLAIM if key not in ("statement", "source", "within")}
    )
    assert claims.judge("x", {}, told) == claims.Verdict("x", "not computable", "no observable")


def test_levels_are_never_compared_with_each_other():
    apart = {"A": {"l1": -5.0}, "B": {"l2": -7.0}, "C": {"l2": -7.0}}
    assert verdict(apart) == "not computable"


def test_a_column_that_the_claim_forgot_still_separates():
    rows = (
        table(CLEAR, environment="gas")["frontier"]
        + table({**CLEAR, "A": {"l1": -9, "l2": -9}}, environment="wet")["frontier"]
    )
    found = claims.judge("x", {"frontier": rows}, config())
    assert [c.outcome for c in found.comparisons] == ["holds", "holds", "contradicted", "contradicted"]
    assert {c.place for c in found.comparisons} == {"l1 (gas)", "l2 (gas)", "l1 (wet)", "l2 (wet)"}


def test_flagged_and_gated_rows_are_no_evidence():
    rows = table(CLEAR)["frontier"]
    flagged = [r | {"lumo_flag": "unbound" if (r["species"], r["level"]) == ("C", "l1") else ""} for r in rows]
    found = claims.judge("x", {"frontier": flagged}, config(flag="lumo_flag"))
    assert [c.outcome for c in found.comparisons] == ["flagged", "holds"]
    assert found.verdict == "depends"
    assert "C unbound" in found.evidence
    every = [r | {"lumo_flag": "unbound"} for r in rows]
    nothing = claims.judge("x", {"frontier": every}, config(flag="lumo_flag"))
    assert nothing.verdict == "not computable" and "no evidence" in nothing.evidence
    gated = [r | {"status": "gated"} if r["species"] == "B" else r for r in rows]
    doubted = claims.judge("x", {"frontier": gated}, config())
    assert "B missed a gate" in doubted.evidence and doubted.verdict == "not computable"
    assert {c.outcome for c in doubted.comparisons} == {"flagged"}


def test_a_row_that_is_not_complete_is_not_available():
    rows = table(CLEAR)["frontier"]
    lowest_so_far = [r | {"status": "missing"} if r["species"] == "B" else r for r in rows]
    found = claims.judge("x", {"frontier": lowest_so_far}, config())
    assert {c.outcome for c in found.comparisons} == {"not available"} and "B: not computed yet" in found.evidence


def test_groups_stand_for_what_the_campaign_computes_and_names_for_themselves():
    partial = {name: its for name, its in CLEAR.items() if name != "C"}
    grouped = claims.judge("x", table(partial), config(others={"species": ["rest"]}))
    assert grouped.verdict == "reproduced"
    assert grouped.evidence.endswith("not in this campaign: C")
    named = claims.judge("x", table(partial), config())
    assert named.verdict == "not computable"
    assert "C: not in this campaign" in named.evidence


def test_each_member_of_the_subject_is_judged_on_its_own():
    found = claims.judge("x", table(CLEAR), config(subject={"species": "rest"}, others={"species": ["A"]}))
    assert [(c.subject, c.outcome) for c in found.comparisons] == [(s, "contradicted") for s in ("B", "C", "B", "C")]


def test_evidence_is_a_sentence_with_numbers_and_units():
    found = claims.judge("x", table({"A": {"l": -8.25}, "B": {"l": -8.0}, "C": {"l": -7.69}}), config())
    assert found.evidence == "l: -8.25 against -7.69 (C): 0.56 eV below, contradicted; error bar 0.1 eV (assumed)"
    row = claims.row(found, config())
    assert set(row) == set(claims.COLUMNS)
    assert row["n_contradicted"] == 1


# -- ensembles of functionals ----------------------------------------------------------------------------------------


def with_terms(values: dict[str, dict[str, float]], terms: dict[str, np.ndarray]) -> dict[str, list[dict[str, Any]]]:
    """Rows that carry the terms of an ensemble, by species."""
    rows = table(values)["frontier"]
    return {
        "frontier": [r | ({ENSEMBLE: {"homo_ev": terms[r["species"]]}} if r["species"] in terms else {}) for r in rows]
    }


def drawn(seed: int, size: float = 0.02) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shared = random.normal(0, 1, 32)  # far larger than what the members differ in
    return {name: shared + random.normal(0, size, 32) for name in "ABC"}


ONE = {"A": {"l": -7.0}, "B": {"l": -7.05}, "C": {"l": -7.4}}


def test_the_error_bar_is_that_of_the_difference():
    terms = drawn(1)
    (found,) = claims.judge("x", with_terms(ONE, terms), config(error_bar=9.0)).comparisons
    assert found.error_source == "BEEF-vdW ensemble of the difference" and found.other == "B"
    assert found.error_bar == pytest.approx(beef.spread(terms["A"] - terms["B"]))
    assert found.error_bar < beef.spread(terms["A"])
    assert found.margin == pytest.approx(0.05)


def test_equal_terms_leave_no_doubt():
    same = dict.fromkeys("ABC", drawn(2)["A"])
    for relation, expected in (("above", 1.0), ("below", 0.0)):
        found = claims.judge("x", with_terms(ONE, same), config(relation=relation))
        assert found.probability == expected and found.comparisons[0].error_bar == pytest.approx(0.0, abs=1e-9)


def test_probabilities_of_a_statement_and_its_opposite_are_one():
    two = {"others": {"species": ["B"]}}
    for seed in range(5):
        rows = with_terms(ONE, drawn(seed))
        above, below = (claims.judge("x", rows, config(relation=r, **two)).probability for r in ("above", "below"))
        assert above is not None and below is not None
        assert above + below == pytest.approx(1.0)
    assert 0.5 < claims.judge("x", with_terms(ONE, drawn(1)), config(**two)).probability < 1.0


def test_all_comparisons_together_are_never_likelier_than_one():
    grouped = {"subject": {"species": "rest"}, "others": {"species": ["A"]}}
    found = claims.judge("x", with_terms(ONE, drawn(3)), config(relation="below", **grouped))
    single = [c.probability for c in found.comparisons]
    assert len(single) == 2 and found.probability <= min(single)


def test_several_subjects_may_be_named():
    several = {"subject": {"species": ["B", "C"]}, "others": {"species": ["A"]}}
    group = {"subject": {"species": "rest"}, "others": {"species": ["A"]}}
    assert claims.judge("x", table(CLEAR), config(**several)) == claims.judge("x", table(CLEAR), config(**group))


def test_without_an_ensemble_on_every_side_there_is_no_probability():
    terms = drawn(4)
    del terms["C"]
    found = claims.judge("x", with_terms(ONE, terms), config())
    assert found.probability is None and found.comparisons[0].error_source == "assumed"
    assert "probability" not in found.evidence and claims.row(found, config())["probability"] is None


def test_a_flagged_comparison_gives_no_probability():
    rows = [r | {"lumo_flag": "unbound"} for r in with_terms(ONE, drawn(5))["frontier"]]
    assert claims.judge("x", {"frontier": rows}, config(flag="lumo_flag")).probability is None


def test_a_probability_stands_in_the_evidence():
    found = claims.judge("x", with_terms(ONE, drawn(1)), config())
    assert f"probability {found.comparisons[0].probability:.2f}" in found.evidence
    assert claims.row(found, config())["probability"] == found.probability


def test_a_threshold_does_not_move_with_the_functional():
    terms = drawn(6)
    above = {"others": None, "threshold": -7.2}
    (found,) = claims.judge("x", with_terms(ONE, terms), config(**above)).comparisons
    assert found.error_bar == pytest.approx(beef.spread(terms["A"]))
    assert found.probability == pytest.approx(float((-7.0 + beef.changes(terms["A"]) > -7.2).mean()))


def test_a_threshold_asks_nobody_else():
    """What other species lack, or have at other levels, is no matter of a claim about one of them."""
    values = {**CLEAR, "A": {"l1": -5.0}, "B": {"l1": None, "l2": None}}
    found = claims.judge("x", table(values), config(others=None, threshold=-6.0))
    assert found.verdict == "reproduced" and len(found.comparisons) == 1


def test_a_group_without_entries_is_nobody():
    found = claims.judge("x", table(CLEAR), config(others={"species": ["rest", "nobody"]}, optional_groups=["nobody"]))
    assert found.verdict == "reproduced"
    assert claims.judge("x", table(CLEAR), config(others={"species": ["nobody"]})).verdict == "not computable"
