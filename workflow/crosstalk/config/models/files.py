"""The files of a config folder."""

from pydantic import Field

from crosstalk.config.models.base import Model
from crosstalk.config.models.levels import Environment, Level
from crosstalk.config.models.molecules import Reaction, Species
from crosstalk.config.models.statements import Campaign, Claim, Reference
from crosstalk.config.models.surfaces import Crystal, Glass, Surface
from crosstalk.config.models.tiers import Tier


class LevelsFile(Model):
    levels: dict[str, Level]
    environments: dict[str, Environment]
    tiers: dict[str, Tier]


class CampaignFile(Model):
    default: str = Field(description="the campaign of plain `make`")
    campaigns: dict[str, Campaign]


class SpeciesFile(Model):
    species: dict[str, Species]


class SurfacesFile(Model):
    surfaces: dict[str, Surface]
    crystals: dict[str, Crystal] = Field(default_factory=dict, description="bulk crystals, for lattices")


class GlassesFile(Model):
    glasses: dict[str, Glass]


class ReactionsFile(Model):
    reactions: dict[str, Reaction]


class ReferencesFile(Model):
    references: dict[str, Reference]


class ClaimsFile(Model):
    claims: dict[str, Claim]


#: Files that a config may do without.
OPTIONAL = ("reactions", "surfaces", "glasses", "references", "claims")

#: Files that config/sets/NAME/ may hold: their entries are added to those of the files of that name.
IN_SETS = ("species", "surfaces", "reactions", "references", "claims")

#: file name -> model; the JSON schemas in workflow/schemas are made from these.
FILES: dict[str, type[Model]] = {
    "config": CampaignFile,
    "species": SpeciesFile,
    "surfaces": SurfacesFile,
    "glasses": GlassesFile,
    "levels": LevelsFile,
    "reactions": ReactionsFile,
    "references": ReferencesFile,
    "claims": ClaimsFile,
}
