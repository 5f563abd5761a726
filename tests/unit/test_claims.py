"""Laws of judging claims: symmetry, invariance, and that nothing missing is ever counted as evidence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosstalk.config import Config
from crosstalk.config import models as m
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


def test_flagged_rows_are_no_evidence_and_gated_ones_are_marked():
    rows = table(CLEAR)["frontier"]
    flagged = [r | {"lumo_flag": "unbound" if (r["species"], r["level"]) == ("C", "l1") else ""} for r in rows]
    found = claims.judge("x", {"frontier": flagged}, config(flag="lumo_flag"))
    assert [c.outcome for c in found.comparisons] == ["flagged", "holds"]
    assert found.verdict == "depends"
    assert "C unbound" in found.evidence
    gated = [r | {"status": "gated"} if r["species"] == "B" else r for r in rows]
    assert "B missed a gate" in claims.judge("x", {"frontier": gated}, config()).evidence


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
