"""What all models of config/*.yaml share. Names of keys carry units: eV, Angstrom, kelvin.

What is no physics (titles, groups, sources, DOIs, notes) is left out of `identity()`, so that editing it reruns nothing.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]

NonNegative = Annotated[float, Field(ge=0)]

Count = Annotated[int, Field(ge=1)]

#: Keys that describe and do not compute.
PROSE = frozenset({"title", "groups", "source", "doi", "notes"})


class Model(BaseModel):
    """Strict: no unknown keys, no strings where numbers belong."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def identity(self) -> dict[str, Any]:
        """What can change a number, as JSON types."""
        return self.model_dump(mode="json", exclude=set(PROSE))


class Described(Model):
    title: str = Field("", description="name for people")
    groups: list[str] = Field(default_factory=list, description="groups that campaigns and claims refer to")
    source: str = Field("", description="where the entry comes from")
    notes: str = Field("", description="anything worth knowing; never computed with")
