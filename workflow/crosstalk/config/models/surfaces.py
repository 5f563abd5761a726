"""Surfaces, bulk crystals and glasses."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from crosstalk.config.models.base import PROSE, Count, Described, Model, NonNegative, Positive


class Dehydroxylation(Model):
    """Water taken off: M-OH + HO-M -> M-O-M + H2O, the pairs of least strain first."""

    oh_per_nm2: NonNegative = Field(
        description="hydroxyls that are to be left on each side, per nm2; the nearest is made"
    )


class Insertion(Model):
    """Neutral atoms put into the slab, e.g. lithium."""

    element: Literal["Li", "Na", "K"] = Field(description="what is put in")
    per: str = Field(description="element that the ratio refers to, e.g. Si")
    ratio: Positive = Field(
        description="atoms put in for each atom of `per`; must be a whole number in the surface cell"
    )
    sites: Literal["interstitial", "hydroxyl"] = Field(
        "interstitial", description="between the atoms near oxygen, or in place of hydroxyl hydrogens"
    )


class SurfaceBase(Described):
    conductor: bool = Field(
        False, description="True: the Fermi level is physical; False: only band edges are, mid-gap is marked as such"
    )
    repeat: list[Count] = Field(
        min_length=2, max_length=2, description="lateral repeats of the surface cell for adsorption"
    )
    vacuum_angstrom: Positive = Field(14.0, ge=6.0, description="vacuum above the highest atom, to the next image")

    relax_on: str | None = Field(
        None,
        description="surface that lacks lower layers which no bond ties to the rest, e.g. of graphite: poses are searched and relaxed on it, then get the layers below, and energies are this surface's; null: on this one",
    )
    surface_cell: list[Annotated[list[int], Field(min_length=2, max_length=2)]] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="a larger surface cell, [[m, n], [k, l]] in vectors of the builder's, in which the two keys below work; "
        "null: the builder's own",
    )
    dehydroxylation: Dehydroxylation | None = Field(None, description="take water off; null: as built")
    insertion: Insertion | None = Field(None, description="put atoms in; null: none")
    rattle_angstrom: Positive | None = Field(
        None,
        le=0.2,
        description="standard deviation of displacements of all atoms, always the same ones: a symmetric slab that is a saddle point relaxes away from it; null: none",
    )

    def builder_settings(self) -> dict[str, Any]:
        """What the slab builder needs: the primitive slab's identity. Keys that are null are no part of it.

        Nor is `bulk`: the record of that crystal is an input of the slab.
        """
        left_out = set(PROSE) | {"conductor", "repeat", "vacuum_angstrom", "bulk", "relax_on"}
        return self.model_dump(mode="json", exclude=left_out, exclude_none=True)


class CutFromBulk(SurfaceBase):
    """A surface whose lattice is given, or is that of a crystal relaxed at the tier's level."""

    #: Keys that say the lattice; `bulk` replaces all of them.
    LATTICE: ClassVar[tuple[str, ...]] = ()

    bulk: str | None = Field(
        None,
        description="crystal (section `crystals`) whose lattice, relaxed at the level of the tier's section `lattices`, the slab is cut from; null: as given",
    )

    @model_validator(mode="after")
    def _one_lattice(self) -> "CutFromBulk":
        given = [key for key in self.LATTICE if getattr(self, key) is not None]
        if len(given) != (0 if self.bulk else len(self.LATTICE)):
            raise ValueError(f"give either bulk, or {' and '.join(self.LATTICE)}")
        return self


class GraphiteLattice(CutFromBulk):
    LATTICE = ("lattice_angstrom", "interlayer_angstrom")

    lattice_angstrom: Positive | None = Field(None, description="in-plane lattice constant a; null: that of `bulk`")
    interlayer_angstrom: Positive | None = Field(
        None, description="distance of neighbouring layers (c/2); null: that of `bulk`"
    )


class GraphiteBasal(GraphiteLattice):
    builder: Literal["graphite_basal"]
    layers: Count = Field(description="number of AB-stacked layers")


class GraphiteEdge(GraphiteLattice):
    builder: Literal["graphite_edge"]
    rows: int = Field(ge=2, description="zigzag rows between the two edges")
    stacking: Literal["AB", "AA"] = Field("AB", description="of the ribbons")
    termination: Literal["H", "OH", "O"] = Field(description="what saturates the atoms of the edge")
    lower_termination: Literal["H", "OH", "O"] | None = Field(None, description="of the lower edge; null: the same")


class CleavedCrystal(CutFromBulk):
    LATTICE = ("crystal",)

    builder: Literal["cleaved_crystal"]
    crystal: str | None = Field(
        None, description="structure file of the bulk beside the config (CIF); null: that of `bulk`"
    )
    miller: list[int] = Field(
        min_length=3, max_length=3, description="Miller indices of the surface, in the cell of the structure file"
    )
    layers: Count = Field(description="number of repeat units along the normal")
    caps: dict[str, Literal["H", "OH", "bare"]] = Field(
        description="element -> group that saturates its cut bonds; bare: nothing, as for salts and metals"
    )


class SlabFile(SurfaceBase):
    builder: Literal["file"]
    structure: str = Field(
        description="structure file of the slab beside the config (CIF, extended XYZ), normal along c"
    )


class Crystal(Described):
    """A bulk crystal, whose cell and positions are relaxed within its space group."""

    file: str = Field(
        description="structure file of the measured crystal beside the config (CIF); lattice constants are told of its cell"
    )
    layered: bool = Field(
        False, description="True: layers along the first two cell vectors; their distance and binding are told too"
    )
    conductor: bool = Field(
        True, description="False: an insulator, for which a level's `insulator_kpoint_spacing_per_angstrom` will do"
    )
    symmetry_angstrom: Positive = Field(
        0.01, description="how far positions in the file may be off its symmetry, Angstrom"
    )


Surface = Annotated[GraphiteBasal | GraphiteEdge | CleavedCrystal | SlabFile, Field(discriminator="builder")]


class Stage(Model):
    """A part of a melt-quench, from one temperature evenly to another."""

    ps: Positive = Field(description="how long, picoseconds")
    from_k: Positive = Field(description="temperature at its start, kelvin")
    to_k: Positive = Field(description="temperature at its end, kelvin")


class Glass(Model):
    """An amorphous solid by a seeded melt-quench. `crosstalk glass NAME` makes its file, which surfaces name as crystal."""

    title: str = Field("", description="name for people")
    notes: str = Field("", description="anything worth knowing; never computed with")
    file: str = Field(description="structure file beside the config that is written (CIF)")
    composition: dict[str, Count] = Field(min_length=1, description="element -> atoms in the box")
    density_g_cm3: Positive = Field(description="density, kept throughout")
    shape: list[Positive] = Field(min_length=3, max_length=3, description="edges of the box, relative to each other")
    stages: list[Stage] = Field(min_length=1, description="what is done to the melt, one after the other")
    timestep_fs: Positive = Field(2.0, le=4.0, description="femtoseconds")
    friction_per_ps: Positive = Field(5.0, description="coupling to the heat bath, 1/ps")
    valence_ev: NonNegative = Field(
        description="what an atom pays while it moves, times the square of its surplus or lack of neighbours; 0: the potential alone"
    )
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        min_length=1, description="one glass for each; that of fewest defects, then of lowest energy, is kept"
    )

    def recipe(self) -> dict[str, Any]:
        """What decides the atoms."""
        return self.model_dump(mode="json", exclude={*PROSE, "file"})
