"""Tiers: how each part of the work is done."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from crosstalk.config.models.base import Count, Model, Positive


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
    max_embeddings: Count = Field(
        30,
        description="largest number of starting structures; with a patience up to five times as many while new minima come",
    )
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
    instead: dict[str, list[str]] = Field(
        default_factory=dict, description="another level -> the surfaces (names or groups) that it is for"
    )
    fmax_ev_per_angstrom: Positive = 0.05
    max_steps: Count = 60
    freeze_below: float = Field(
        0.0, ge=0, lt=1, description="fraction of the thickness, from below, that is held fixed"
    )

    def level_of(self, name: str, groups: Sequence[str]) -> str | None:
        """The level that a surface is relaxed at."""
        others = (level for level, wanted in self.instead.items() if not {name, *groups}.isdisjoint(wanted))
        return next(others, self.level)


class PoseSearch(Model):
    """Start poses of an adsorbate, relaxed on the frozen slab as a filter."""

    level: str
    n_poses: Count = Field(
        description="starting poses; with a patience up to five times as many while candidates change"
    )
    keep: Count = Field(
        description="distinct poses that go on (candidates), from the lowest up; fewer when fewer lie within energy_window_ev"
    )
    patience: Count | None = Field(
        None,
        description="go on until this many starts in a row change none of the poses that go on; null: n_poses starts",
    )
    seed: int = Field(7, ge=0)
    energy_window_ev: Positive = Field(
        0.3, description="poses and conformers kept above the lowest, eV; poses above it are no candidates"
    )
    least_image_angstrom: Positive = Field(
        8.0,
        description="least distance of an adsorbate from its lateral images, centre to centre; checked before anything runs",
    )
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
