"""Typed models of config/*.yaml. Names of keys carry units: eV, Angstrom, kelvin.

What is no physics (titles, groups, sources, DOIs, notes) is left out of `identity()`, so that editing it reruns nothing.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

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

    surface_cell: list[Annotated[list[int], Field(min_length=2, max_length=2)]] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="a larger surface cell, [[m, n], [k, l]] in vectors of the builder's, in which the two keys below work; "
        "null: the builder's own",
    )
    dehydroxylation: Dehydroxylation | None = Field(None, description="take water off; null: as built")
    insertion: Insertion | None = Field(None, description="put atoms in; null: none")

    def builder_settings(self) -> dict[str, Any]:
        """What the slab builder needs: the primitive slab's identity. Keys that are null are no part of it.

        Nor is `bulk`: the record of that crystal is an input of the slab.
        """
        left_out = set(PROSE) | {"conductor", "repeat", "vacuum_angstrom", "bulk"}
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
    caps: dict[str, Literal["H", "OH"]] = Field(description="element -> group that saturates its cut bonds")


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


class LevelBase(Model):
    doi: str = Field("", description="DOI of the method")
    notes: str = Field("", description="anything worth knowing; never computed with")


class PyscfLevel(LevelBase):
    """Molecular DFT in Gaussian basis sets."""

    engine: Literal["pyscf"]
    functional: str = Field(description="functional by PySCF's name, e.g. b3lyp")
    basis: str = Field(description="basis set by PySCF's name, e.g. 6-311++g(d,p)")
    dispersion: str | None = Field(None, description="d3bj | d4 | d4:<parameter set> | null")
    basis_correction: str | None = Field(None, description="geometrical counterpoise correction: r2scan3c | null")
    density_fit: str | None = Field(
        "def2-universal-jkfit",
        description="auxiliary basis for density fitting, def2-universal-jkfit for elements that it lacks; null: none",
    )
    grid_level: int = Field(3, ge=0, le=9, description="PySCF's integration grid")
    scf_tolerance_ha: Positive = Field(1e-9, description="convergence of the SCF energy, hartree (PySCF's own unit)")
    max_cycles: Count = Field(100, description="SCF iterations of each rung of the ladder")
    stability: bool = Field(True, description="analyse the stability of the wavefunction and follow instabilities")


class XtbLevel(LevelBase):
    """Extended tight binding (tblite)."""

    engine: Literal["xtb"]
    method: Literal["GFN1-xTB", "GFN2-xTB"]
    accuracy: Positive = Field(1.0, description="tblite's accuracy factor")
    electronic_temperature_k: Positive = Field(300.0, description="Fermi smearing, kelvin")


class GpawLevel(LevelBase):
    """Periodic DFT, projector augmented waves."""

    engine: Literal["gpaw"]
    functional: str = Field("PBE", description="functional by GPAW's name")
    mode: Literal["pw", "lcao"] = Field(
        description="plane waves, or atomic orbitals (geometries only: gives no energies)"
    )
    cutoff_ev: Positive | None = Field(None, description="plane-wave cutoff, eV (mode pw)")
    basis: str | None = Field(None, description="LCAO basis, e.g. dzp (mode lcao)")
    grid_spacing_angstrom: Positive = Field(0.18, description="real-space grid spacing (mode lcao)")
    dispersion: Literal["d3bj"] | None = Field("d3bj", description="d3bj | null")
    kpoint_spacing_per_angstrom: Positive | None = Field(
        None, description="k-point spacing, 1/Angstrom (2 pi included); null: Gamma only"
    )
    smearing_ev: Positive = Field(0.05, description="Fermi-Dirac width, eV")
    dipole_correction: bool = Field(True, description="dipole layer between the two sides of the slab")
    energy_tolerance_ev: Positive = Field(1e-4, description="SCF convergence of the energy per electron, eV")
    density_tolerance: Positive = Field(1e-4, description="SCF convergence of the density, electrons per electron")
    max_iterations: Count = Field(150, description="SCF iterations of each rung of the ladder")

    @model_validator(mode="after")
    def _mode_fits(self) -> "GpawLevel":
        if self.mode == "pw" and self.cutoff_ev is None:
            raise ValueError("mode pw needs cutoff_ev")
        if self.mode == "lcao" and self.basis is None:
            raise ValueError("mode lcao needs basis")
        return self


class FakeLevel(LevelBase):
    """Made-up numbers, for tests of the workflow."""

    engine: Literal["fake"]
    method: str = Field(description="any name; part of the identity")


Level = Annotated[PyscfLevel | XtbLevel | GpawLevel | FakeLevel, Field(discriminator="engine")]


class Environment(Model):
    """What surrounds a molecule: nothing (gas) or a continuum."""

    model: Literal["ief-pcm", "c-pcm", "smd"] | None = Field(description="continuum model; null: gas phase")
    epsilon: float | None = Field(None, gt=1, description="relative permittivity")
    smd_descriptors: dict[str, float] | None = Field(
        None, description="solvent descriptors of SMD: n, n25, alpha, beta, gamma, phi, psi"
    )
    doi: str = Field("", description="source of the permittivity")
    notes: str = ""

    @model_validator(mode="after")
    def _epsilon_fits(self) -> "Environment":
        if (self.model is None) != (self.epsilon is None):
            raise ValueError("epsilon belongs to a continuum model, and a continuum model needs it")
        needed = {"n", "n25", "alpha", "beta", "gamma", "phi", "psi"} if self.model == "smd" else set()
        if set(self.smd_descriptors or {}) != needed:
            raise ValueError(
                f"smd_descriptors of model {self.model} must be: {', '.join(sorted(needed)) or 'left out'}"
            )
        return self

    def settings(self) -> dict[str, Any] | None:
        """What a spec gets of it; None for the gas phase."""
        return self.model_dump(mode="json", exclude={"doi", "notes"}, exclude_none=True) if self.model else None


class Relaxation(Model):
    """Geometry optimisation at a level."""

    level: str
    fmax_ev_per_angstrom: Positive = Field(0.02, description="largest force on an atom at convergence")
    max_steps: Count = 200


class MolecularGeometry(Relaxation):
    """Molecular geometries: conformers put in order at this level, the lowest ones relaxed."""

    rerank_window_ev: Positive | None = Field(
        None, description="conformers of the search within this are put in order at this level; null: only its lowest"
    )
    rerank_keep: Count = Field(1, description="conformers that are relaxed, from the lowest up")
    loose_fmax_ev_per_angstrom: Positive | None = Field(
        None,
        description="largest force left in ions and in molecules with a partner, where their vibrations are not computed; null: as in all others",
    )


class Thermochemistry(Model):
    """Frequencies at the level of the geometries; every geometry is then a true minimum."""

    temperature_k: Positive = 298.15
    ions: Literal["neutral", "own"] = Field(
        "own",
        description="thermal corrections of ionised molecules: their own, or those of the neutral (a saving, and said so)",
    )


class ConformerSearch(Model):
    """ETKDGv3 embeddings or sampled ion pairs, relaxed and deduplicated."""

    level: str
    max_embeddings: Count = Field(30, description="largest number of starting structures")
    patience: Count | None = Field(
        None,
        description="go on until this many starts in a row find no new minimum; null: a number fixed by the rotors",
    )
    seed: int = Field(7, ge=0)
    energy_window_ev: Positive = Field(0.2, description="conformers kept above the lowest, eV")
    fmax_ev_per_angstrom: Positive = 0.01
    max_steps: Count = 500


class LatticeRelaxation(Model):
    """Cells and positions of bulk crystals, by the stress of a large plane-wave cutoff."""

    level: str = Field(description="level of the crystals that slabs are cut from (key `bulk` of a surface)")
    fmax_ev_per_angstrom: Positive = 0.01
    max_stress_ev_per_angstrom3: Positive = Field(
        2e-4, description="largest component of the stress at convergence, eV/Angstrom^3 (2e-4 is 0.03 GPa)"
    )
    max_steps: Count = 60


class SlabRelaxation(Model):
    level: str | None = Field(description="level of the relaxation; null: the slab as built")
    fmax_ev_per_angstrom: Positive = 0.05
    max_steps: Count = 60
    freeze_below: float = Field(
        0.0, ge=0, lt=1, description="fraction of the thickness, from below, that is held fixed"
    )


class PoseSearch(Model):
    """Start poses of an adsorbate, relaxed on the frozen slab as a filter."""

    level: str
    n_poses: Count = Field(description="starting poses")
    keep: Count = Field(description="distinct poses that go on, from the lowest up")
    seed: int = Field(7, ge=0)
    energy_window_ev: Positive = Field(0.3, description="poses kept above the lowest, eV")
    height_angstrom: Positive = Field(2.2, description="lowest nucleus of the adsorbate above the surface at the start")
    fmax_ev_per_angstrom: Positive = 0.1
    max_steps: Count = 60


class Tier(Model):
    """A set of levels: how each part of the work is done. Sections named after observables belong to those."""

    title: str = ""
    conformers: ConformerSearch
    geometry: MolecularGeometry | None = Field(
        None, description="molecular geometries; null: those of the conformer search"
    )
    thermochemistry: Thermochemistry | None = Field(
        None, description="frequencies and free energies; null: electronic energies alone"
    )
    lattices: LatticeRelaxation | None = Field(None, description="how bulk crystals are relaxed; null: they are not")
    slabs: SlabRelaxation | None = None
    poses: PoseSearch | None = None
    observables: dict[str, dict[str, Any]] = Field(description="observable -> its settings (levels and environments)")


class LevelsFile(Model):
    levels: dict[str, Level]
    environments: dict[str, Environment]
    tiers: dict[str, Tier]


class Campaign(Model):
    """What is computed: which observables of which entries, at which tier."""

    title: str = ""
    tier: str
    observables: dict[str, dict[str, list[str]]] = Field(description="observable -> its subjects (names or groups)")
    claims: list[str] | None = Field(None, description="claims to judge; null: all")
    references: list[str] | None = Field(None, description="references to compare with; null: all")
    reuse_published: bool = Field(False, description="take up finished records of results/published by their identity")
    notes: str = ""


class CampaignFile(Model):
    default: str = Field(description="the campaign of plain `make`")
    campaigns: dict[str, Campaign]


class Reaction(Described):
    """reactants -> products with their numbers; e- is a free electron of zero energy. Atoms and charge must balance."""

    reactants: dict[str, Count] = Field(min_length=1)
    products: dict[str, Count] = Field(min_length=1)


class Reference(Model):
    """A value to compare with."""

    groups: list[str] = Field(default_factory=list, description="validation sets that it belongs to")

    table: str = Field(description="table that holds our value")
    where: dict[str, str] = Field(description="column -> value: which rows")
    quantity: str = Field(description="column that holds our value")
    value: float
    unit: str
    uncertainty: NonNegative | None = Field(None, description="of the reference, in its unit; null: not stated")
    exactly: str = Field(description="what the number is, exactly")
    source: str = Field(description="where it was read")
    verified: bool = Field(False, description="True once the source itself was read")
    notes: str = ""


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
