"""The steps: every kind of calculation, with its physics revision. One calculation is one function.

A step function has the signature

    def step(spec: Spec, inputs: Mapping[str, Input], folder: Path) -> Outcome

It reads nothing but its arguments, writes nowhere but into `folder` (which survives a kill: go on from what is there),
and raises `PhysicsFailure` or returns an `Outcome`. Any other exception is a defect or a broken installation.

Settings by step (JSON types; energies eV, lengths Angstrom; `level` is a level's identity from levels.yaml):

conformers       species {smiles | symbols+positions, charge, multiplicity}, level (xtb), sampling
                 {max_embeddings, seed, energy_window_ev, fmax_ev_per_angstrom, max_steps, patience (optional: starts in a row
                 that must find nothing new before the search ends)}
ion_pairs        as conformers; SMILES with monatomic cations apart: anion embedded, cations placed at donor atoms. Atoms: those of
                 the anion first (RDKit order, hydrogens last), then the cations in SMILES order
complexes        as conformers, but smiles: [A, B]; B placed around A at van der Waals contact. Atoms: A, then B, each in its order
given            species {symbols, positions, charge, multiplicity}: a structure that is used as it is
rerank           charge, multiplicity, level, environment, window_ev (of the search's energies), keep; input geometry
molecule_relax   charge, multiplicity, level, environment, index, fmax_ev_per_angstrom, max_steps, connectivity (optional:
                 "reported", a changed connectivity is a result and no failure); input geometry
ensemble         nothing; inputs "search 0" and "relaxed 0", "relaxed 1", ... of which those that failed or do not exist are left out
hessian          charge, multiplicity, level, environment, index, fmax_ev_per_angstrom, max_steps (of the relaxation along an
                 imaginary mode); input geometry. Structures: the minimum, then the other structures of the input
lowest_mode      as molecule_relax. Structure: the minimum
orbitals         as molecule_energy; artefacts: cube files of the frontier orbitals
molecule_energy  charge, multiplicity, level, environment (null | {model, epsilon}), index, real_atoms (null = all),
                 ghost_atoms ([]), partner (optional: atoms whose spin is asked for); input geometry
bulk_relax       crystal {symbols, cell, scaled_positions}, symmetry_angstrom (tolerance of its space group), level, relax
                 {fmax_ev_per_angstrom, max_stress_ev_per_angstrom3, max_steps}, layered (optional, true: distance of layers too).
                 Structure: the crystal in the cell of its file, relaxed within its space group
crystal_energy   level, index (0), part ("crystal" | "layer", one layer of it alone); input geometry (bulk_relax)
slab             surface (builder and its parameters), level (null = as built), relax {fmax_ev_per_angstrom, max_steps, freeze_below},
                 settled_layers (of the input settled); inputs bulk (optional, bulk_relax: the lattice that the surface's settings leave
                 out) and settled (optional, slab: the same surface with other layers, relaxed, whose upper half is kept)
poses            sampling {n_poses, seed, energy_window_ev, height_angstrom, fmax_ev_per_angstrom, max_steps, patience (optional:
                 starts in a row that must change none of the lowest poses before the search ends), keep (with a patience: how many
                 these are)}, repeat [n, m], vacuum_angstrom, level (xtb or ase); inputs slab, adsorbate. Structures: bare slab in the box, molecule alone in the
                 same box, then the poses from the lowest up; tag 1 marks the adsorbate
surface_relax    level, index, fmax_ev_per_angstrom, max_steps, freeze_below; input geometry (poses)
settled_slab     level, index (of the pose), lower_by_ev, fmax_ev_per_angstrom, max_steps, freeze_below; inputs geometry (a pose: pose_ensemble,
                 surface_relax or thicken), bare and in_place (surface_energy of the bare slab and of the slab as it is in the pose).
                 Structure: the slab relaxed from where it is in the pose; absent where that is not lower than the bare one
thicken          repeat [n, m], more_vacuum_angstrom; inputs geometry, bare (surface_relax on a thin model of a surface: any structure, the bare
                 slab) and slab (the thick model). Structure: that of `geometry` with the layers below that the thin model lacks
transplant       index, bare_index, molecule_index (which structure of each input), repeat [n, m], more_vacuum_angstrom; inputs geometry (a pose), bare
                 (its slab without the molecule), molecule (alone), slab (another model of the surface). Structures: bare slab, molecule and pose
                 in one box
surface_energy   level, index, part (optional: "slab" | "molecule", that part of a pose alone, at the geometry of the whole), ghosts
                 (optional, with part: true leaves the other part's basis functions), charges (optional: "hirshfeld", the charge
                 of a pose's adsorbate), profiles (optional, true: density and potential along the normal), functionals (optional: names of
                 others that are evaluated on the converged density); input geometry (slab, poses, surface_relax, settled_slab, thicken, transplant or pose_ensemble)
surface_modes    level, index (0); inputs geometry (a pose: surface_relax, pose_ensemble) and molecule (poses: its second structure is a rotor)
pose_ensemble    nothing; inputs "search 0" (poses) and "pose 1", "pose 2", ... (surface_energy), of which those without a number are left out.
                 Structures: the distinct poses from the lowest up
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from crosstalk.record import Outcome, Record
from crosstalk.spec import Spec

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Input:
    """What a step gets of a finished record."""

    record: Record
    structures: list["Atoms"]


StepFunction = Callable[[Spec, Mapping[str, Input], Path], Outcome]


@dataclass(frozen=True)
class Step:
    """A kind of calculation.

    rule      the Snakemake rule that runs it
    functions engine -> "module:function"; which engines can do it
    sources   modules whose code decides the numbers; a test asks for a decision on `revision` when they change
    optional  inputs that came to no number are left out, as long as one of each kind (first word of the role) is there
    of_one    of its inputs it reads one structure of `geometry` (settings: index) and nothing else: what was computed for the same
              structure from elsewhere is taken up
    packages  distributions, beside those of the engine, whose version can change a number
    """

    name: str
    rule: str
    revision: int
    functions: Mapping[str, str]
    sources: tuple[str, ...] = field(default=())
    optional: bool = False
    of_one: bool = False
    packages: tuple[str, ...] = ()


#: What builds slabs, beside `structures.slabs`.
_BUILDING = tuple(
    f"structures.{name}"
    for name in (
        "frame",
        "graphite",
        "cleavage",
        "dehydroxylation",
        "valence",
        "insertion",
        "crystals",
        "relayered",
        "transplants",
    )
)

#: How a molecule's self-consistent field is solved, and its forces.
_FIELDS = tuple(
    f"engines.{name}"
    for name in (
        "pyscf",
        "scf",
        "fields",
        "stability",
        "device",
        "dual_grid",
        "diis",
        "grid_orbitals",
        "grid_forces",
        "grid_weights",
        "fitted_forces",
        "low_rank",
        "continuum",
        "corrections",
    )
)

#: How surfaces relax in few gradients.
_DESCENT = ("engines.surface_optimiser", "engines.surface_hessian", "engines.surface_guides", "structures.rotor")

_STEPS = [
    Step("conformers", "search_conformers", 2, {"xtb": "crosstalk.engines.xtb_search:conformers"},
         ("engines.xtb", "engines.xtb_search", "structures.molecules", "structures.conformers", "structures.graphs")),
    Step("ion_pairs", "pair_ions", 2, {"xtb": "crosstalk.engines.xtb_search:ion_pairs"},
         ("engines.xtb", "engines.xtb_search", "structures.molecules", "structures.conformers", "structures.ion_pairs", "structures.graphs")),
    Step("complexes", "pair_ions", 1, {"xtb": "crosstalk.engines.xtb_search:complexes"},
         ("engines.xtb", "engines.xtb_search", "structures.molecules", "structures.conformers", "structures.ion_pairs", "structures.complexes",
          "structures.graphs")),
    Step("given", "search_conformers", 1, {"none": "crosstalk.structures.ensembles:given"}, ("structures.ensembles",)),
    Step("rerank", "relax_molecules", 2, {"pyscf": "crosstalk.engines.pyscf:rerank"},
         (*_FIELDS, "structures.conformers")),
    Step("molecule_relax", "relax_molecules", 4, {"pyscf": "crosstalk.engines.pyscf_relax:molecule_relax"},
         ("engines.pyscf_relax", *_FIELDS, "engines.xtb",
          "structures.graphs"), of_one=True, packages=("geometric", "tblite")),
    Step("ensemble", "relax_molecules", 1, {"none": "crosstalk.structures.ensembles:ensemble"},
         ("structures.ensembles", "structures.conformers"), optional=True),
    Step("hessian", "relax_molecules", 3, {"pyscf": "crosstalk.engines.pyscf_hessian:hessian"},
         ("engines.pyscf_hessian", "engines.pyscf_relax", *_FIELDS, "engines.xtb", "structures.graphs", "structures.rotor"),
         packages=("geometric", "tblite", "pymatgen")),
    Step("lowest_mode", "relax_molecules", 1, {"pyscf": "crosstalk.engines.pyscf_lowest_mode:lowest_mode"},
         ("engines.pyscf_lowest_mode", "engines.pyscf_hessian", "engines.pyscf_relax", *_FIELDS, "engines.xtb", "structures.graphs", "structures.rotor"),
         of_one=True, packages=("geometric", "tblite")),
    Step("orbitals", "compute_molecules", 1, {"pyscf": "crosstalk.engines.pyscf_orbitals:orbitals"},
         ("engines.pyscf_orbitals", "structures.envelope", *_FIELDS)),
    Step("molecule_energy", "compute_molecules", 2, {"pyscf": "crosstalk.engines.pyscf:molecule_energy"},
         _FIELDS, of_one=True),
    Step("bulk_relax", "relax_crystals", 1, {"gpaw": "crosstalk.engines.gpaw_bulk:bulk_relax"},
         ("engines.gpaw_bulk", "engines.gpaw", "engines.gpaw_relax", "structures.crystals", "structures.frame")),
    Step("crystal_energy", "compute_surfaces", 1, {"gpaw": "crosstalk.engines.gpaw_bulk:crystal_energy"},
         ("engines.gpaw_bulk", "engines.gpaw", "structures.crystals", "structures.frame"), of_one=True),
    Step("slab", "build_slabs", 1, {"none": "crosstalk.structures.slabs:slab", "gpaw": "crosstalk.engines.gpaw_relax:slab", "xtb": "crosstalk.engines.xtb_surfaces:slab"},
         ("structures.slabs", *_BUILDING, "engines.gpaw", "engines.gpaw_relax", *_DESCENT, "engines.xtb", "engines.xtb_surfaces", "structures.graphs")),
    Step("poses", "place_adsorbates", 2, dict.fromkeys(("xtb", "ase"), "crosstalk.engines.xtb_surfaces:poses"),
         ("engines.xtb", "engines.xtb_search", "engines.xtb_surfaces", "engines.surface_hessian", "structures.rotor", "structures.poses", "structures.pose_ensembles", "structures.graphs")),
    Step("transplant", "place_adsorbates", 2, {"none": "crosstalk.structures.transplants:transplant"},
         ("structures.transplants",)),
    Step("thicken", "place_adsorbates", 1, {"none": "crosstalk.structures.transplants:thicken"},
         ("structures.transplants",)),
    Step("surface_relax", "relax_surfaces", 3, {"gpaw": "crosstalk.engines.gpaw_relax:surface_relax"},
         ("engines.gpaw", "engines.gpaw_relax", *_DESCENT, "structures.graphs", "structures.slabs", "structures.frame"), of_one=True),
    Step("settled_slab", "relax_surfaces", 1, {"gpaw": "crosstalk.engines.gpaw_relax:settled_slab"},
         ("engines.gpaw", "engines.gpaw_relax", *_DESCENT, "structures.graphs", "structures.slabs", "structures.frame")),
    Step("surface_energy", "compute_surfaces", 2, {"gpaw": "crosstalk.engines.gpaw:surface_energy"},
         ("engines.gpaw", "engines.gpaw_analysis"), of_one=True),
    Step("surface_modes", "relax_surfaces", 1, {"gpaw": "crosstalk.engines.gpaw_modes:surface_modes"},
         ("engines.gpaw_modes", "engines.gpaw", "structures.rotor")),
    Step("pose_ensemble", "place_adsorbates", 1, {"none": "crosstalk.structures.pose_ensembles:pose_ensemble"},
         ("structures.pose_ensembles", "structures.poses", "structures.conformers", "structures.contacts"), optional=True),
]  # fmt: skip
STEPS: dict[str, Step] = {step.name: step for step in _STEPS}


def function(spec: Spec) -> StepFunction:
    """The function that runs `spec`, imported late: engines are heavy."""
    target = "crosstalk.engines.fake:run" if spec.engine == "fake" else STEPS[spec.step].functions[spec.engine]
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)
