"""Campaigns, and what their numbers are held against: references and claims."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from crosstalk.config.models.base import Model, NonNegative


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


_SUBJECTS = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
#: Subjects of an observable, names or groups by kind: all combinations of one mapping, or of several, one after the other.
Subjects = Annotated[
    list[dict[str, list[str]]],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [_SUBJECTS, {"type": "array", "items": _SUBJECTS}]}),
]


class Campaign(Model):
    """What is computed: which observables of which entries, at which tier."""

    title: str = ""
    tier: str
    observables: dict[str, Subjects] = Field(
        description="observable -> its subjects (names or groups), all combinations; or a list of such combinations"
    )
    claims: list[str] | None = Field(None, description="claims to judge; null: all")
    references: list[str] | None = Field(None, description="references to compare with; null: all")
    reuse_published: bool = Field(False, description="take up finished records of results/published by their identity")
    notes: str = ""

    def parts(self) -> Iterator[tuple[str, dict[str, list[str]], str]]:
        """Every observable with each of its combinations of subjects, and the key that says where that stands."""
        for table, sections in self.observables.items():
            for k, section in enumerate(sections):
                yield table, section, table + (f"[{k + 1}]" if len(sections) > 1 else "")


class Reference(Model):
    """A value to compare with."""

    groups: list[str] = Field(default_factory=list, description="validation sets that it belongs to")

    table: str = Field(description="table that holds our value")
    where: dict[str, str] = Field(description="column -> value: which rows")
    provided: dict[str, str] = Field(
        default_factory=dict,
        description="column -> value that a row must have come to for its number to be the same thing; others are shown, not counted",
    )
    quantity: str = Field(description="column that holds our value")
    value: float
    unit: str
    uncertainty: NonNegative | None = Field(None, description="of the reference, in its unit; null: not stated")
    exactly: str = Field(description="what the number is, exactly")
    source: str = Field(description="where it was read")
    verified: bool = Field(False, description="True once the source itself was read")
    notes: str = ""


class FurtherError(Model):
    """An uncertainty that a validation set does not contain."""

    error: NonNegative = Field(description="uncertainty of the difference, in the quantity's unit")
    source: str = Field(min_length=1, description="what it is of, and where it was read")


class Claim(Model):
    """A statement of a paper: quantity(subject) is above or below quantity(others), wherever `within` agrees."""

    statement: str
    source: str
    table: str | None = None
    quantity: str | None = None
    relation: Literal["above", "below"] | None = None
    subject: dict[str, str | list[str]] | None = Field(None, description="column -> name or group, or several")
    others: dict[str, list[str]] | None = Field(None, description="column -> names or groups")
    optional_groups: list[str] = Field(
        default_factory=list, description="groups among subject and others that no entry needs to be in (yet)"
    )
    order: list[str] | None = Field(
        None,
        min_length=3,
        description="species by rising quantity, as an experiment ranks them; judged by Spearman's coefficient",
    )
    threshold: float | None = Field(
        None, description="a number to compare with, instead of others; in the quantity's unit"
    )
    where: dict[str, str] = Field(default_factory=dict, description="column -> value: the rows that the claim is about")
    within: list[str] = Field(default_factory=list, description="columns that agree on both sides of a comparison")
    flag: str | None = Field(None, description="column whose flag makes a row no evidence (e.g. an unbound LUMO)")
    error_bar: NonNegative | None = Field(None, description="uncertainty of the difference, in the quantity's unit")
    error_source: str = Field("", description="where the error bar comes from")
    validation: str | None = Field(
        None,
        description="group of references whose errors at the same level are the error bar; error_bar is for levels without",
    )
    further_errors: list[FurtherError] = Field(
        default_factory=list,
        description="what the validation group leaves out (the solvent, say): added to its error bar in quadrature",
    )
    not_computable: str | None = Field(None, description="reason, when no observable answers the claim")
    notes: str = ""

    @model_validator(mode="after")
    def _complete(self) -> "Claim":
        needed = ["table", "quantity"]
        if self.order is None:
            needed += ["relation", "subject", "error_bar", "others" if self.threshold is None else "threshold"]
        given = [name for name in needed if getattr(self, name) is not None]
        if self.not_computable is None and len(given) != len(needed):
            raise ValueError(f"a claim needs {', '.join(needed)}; or not_computable with a reason")
        if self.not_computable is not None and given:
            raise ValueError("a claim that is not computable has no comparison")
        return self

    def subjects(self) -> dict[str, list[str]]:
        """Column -> names and groups of the subject."""
        given = self.subject or {}
        return {column: [value] if isinstance(value, str) else value for column, value in given.items()}
