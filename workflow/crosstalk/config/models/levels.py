"""Levels of theory, and what surrounds a molecule."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from crosstalk.config.models.base import Count, Model, Positive


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
    grid_spacing_angstrom: Positive = Field(
        0.18, description="spacing of the grid of density and potential; in mode pw the coarsest allowed"
    )
    density: str | None = Field(
        None,
        description="level, like this one but for the functional, on whose converged density the functional is evaluated (adsorption energies only); null: a density of its own",
    )
    dispersion: Literal["d3bj"] | None = Field("d3bj", description="d3bj | null")
    kpoint_spacing_per_angstrom: Positive | None = Field(
        None, description="k-point spacing, 1/Angstrom (2 pi included); null: Gamma only"
    )
    insulator_kpoint_spacing_per_angstrom: Positive | None = Field(
        None,
        description="k-point spacing of surfaces and crystals that are no conductors (key `conductor`), 1/Angstrom; null: the same for all",
    )
    smearing_ev: Positive = Field(0.05, description="Fermi-Dirac width, eV")
    magnetic_moments: dict[str, float] | None = Field(
        None,
        description="moments that atoms start with, by element, Bohr magnetons (C: 0.3); the spins are free then. null: all electrons paired",
    )
    opposite_sides: bool = Field(
        False, description="moments below the middle of a slab start the other way round: antiparallel sides"
    )
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
        if self.opposite_sides and not self.magnetic_moments:
            raise ValueError("opposite_sides needs magnetic_moments")
        return self

    def identity(self) -> dict[str, Any]:
        found = super().identity()
        for key in ("density", "insulator_kpoint_spacing_per_angstrom", "magnetic_moments", "opposite_sides"):
            if not found[key]:  # most levels know nothing of it
                del found[key]
        return found

    def on(self, conductor: bool) -> "GpawLevel":
        """The level as a surface takes it, with one k-point spacing."""
        fewer = self.insulator_kpoint_spacing_per_angstrom
        chosen = self.kpoint_spacing_per_angstrom if conductor or fewer is None else fewer
        return self.model_copy(
            update={"kpoint_spacing_per_angstrom": chosen, "insulator_kpoint_spacing_per_angstrom": None}
        )


class AseLevel(LevelBase):
    """Any ASE calculator that Python can import, e.g. a machine-learned potential: filters poses of adsorbates."""

    engine: Literal["ase"]
    calculator: str = Field(
        pattern=r"^[\w.]+:[\w.]+$",
        description="module:name of a class or function that gives an ASE calculator of energies and forces, e.g. mace.calculators:mace_mp",
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of that class or function")


class FakeLevel(LevelBase):
    """Made-up numbers, for tests of the workflow."""

    engine: Literal["fake"]
    method: str = Field(description="any name; part of the identity")


Level = Annotated[PyscfLevel | XtbLevel | GpawLevel | AseLevel | FakeLevel, Field(discriminator="engine")]


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
