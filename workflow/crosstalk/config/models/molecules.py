"""Species and reactions."""

from pydantic import Field, model_validator

from crosstalk.config.models.base import Count, Described, Model


class Dissociation(Model):
    """Which ion is removed, and what it leaves: whole -> ion + remainder. Atoms and charge must balance."""

    ion: str = Field(description="species that is removed, a single ion")
    remainder: str = Field(description="species that is left")


class Species(Described):
    """A molecule or an ion. Its charge follows from the SMILES."""

    smiles: str | None = Field(
        None, description="SMILES; ion pairs as dot-separated ions, never with a covalent bond to the metal"
    )
    geometry: str | None = Field(
        None, description="structure file beside the config (XYZ, Angstrom), instead of a SMILES"
    )
    charge: int | None = Field(
        None, description="total charge in e; needed with geometry, checked against the SMILES otherwise"
    )
    multiplicity: Count = Field(1, description="spin multiplicity 2S+1")
    dissociation: Dissociation | None = Field(None, description="for ion binding energies")
    fixed: bool = Field(False, description="the geometry is used as it is: no search, no relaxation, no frequencies")

    @model_validator(mode="after")
    def _one_structure(self) -> "Species":
        if (self.smiles is None) == (self.geometry is None):
            raise ValueError("give exactly one of smiles, geometry")
        if self.geometry is not None and self.charge is None:
            raise ValueError("a species with a geometry needs its charge")
        if self.fixed and self.geometry is None:
            raise ValueError("fixed is for a species with a geometry")
        return self


class Reaction(Described):
    """reactants -> products with their numbers; e- is a free electron of zero energy. Atoms and charge must balance."""

    reactants: dict[str, Count] = Field(min_length=1)
    products: dict[str, Count] = Field(min_length=1)
