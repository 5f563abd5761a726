"""The fake engine: made-up numbers from the spec's own hash, for tests of the workflow. Never for a table that is published.

The same spec gives the same numbers; a label that holds "fail!" ends as not converged, "crash!" breaks.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from crosstalk import beef
from crosstalk.errors import PhysicsFailure
from crosstalk.record import Gate, Outcome
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.structures.molecules import symbols_of

#: Quantities each step makes up, with the range they are drawn from.
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "conformers": {"energy_ev": (-500, -400)},
    "ion_pairs": {"energy_ev": (-500, -400)},
    "complexes": {"energy_ev": (-500, -400)},
    "given": {},
    "rerank": {"energy_ev": (-9000, -8000)},
    "ensemble": {"energy_ev": (-9000, -8000)},
    "lowest_mode": {"energy_ev": (-9000, -8000), "lowest_mode_cm1": (20, 100), "n_products": (4, 8)},
    "hessian": {"energy_ev": (-9000, -8000), "mass_amu": (18, 200), "symmetry_number": (1, 2)},
    "orbitals": {"homo_ev": (-12, -8), "lumo_ev": (-1, 2)},
    "molecule_relax": {"energy_ev": (-9000, -8000), "dispersion_ev": (-0.3, 0), "n_steps": (5, 20), "max_force_ev_per_angstrom": (0, 0.02)},
    "molecule_energy": {
        "energy_ev": (-9000, -8000), "dispersion_ev": (-0.3, 0), "homo_ev": (-12, -8), "lumo_ev": (-1, 2), "gap_ev": (8, 12),
        "lumo_extent_angstrom": (2, 6), "dipole_debye": (0, 6),
    },
    "bulk_relax": {
        "energy_ev": (-90, -80), "n_steps": (5, 20), "lattice_a_angstrom": (2, 6), "lattice_b_angstrom": (2, 6), "lattice_c_angstrom": (5, 7),
        "interlayer_angstrom": (3, 4), "n_atoms": (4, 4), "formula_volume_angstrom3": (20, 40), "bulk_density_g_cm3": (2, 3),
    },
    "crystal_energy": {"energy_ev": (-90, -80), "dispersion_ev": (-1, 0), "n_atoms": (4, 4)},
    "slab": {"area_angstrom2": (20, 30), "n_atoms": (4, 20), "oh_per_nm2": (0, 5)},
    "poses": {"n_starts": (6, 6), "n_atoms": (40, 70)},
    "transplant": {"n_atoms": (40, 70)},
    "thicken": {"n_atoms": (40, 70)},
    "pose_ensemble": {"energy_ev": (-900, -800)},
    "surface_modes": {"mass_amu": (18, 200), "symmetry_number": (1, 2)},
    "settled_slab": {"energy_ev": (-900, -800), "n_steps": (5, 20)},
    "surface_relax": {"energy_ev": (-900, -800), "n_steps": (5, 20)},
    "surface_energy": {
        "energy_ev": (-900, -800), "dispersion_ev": (-3, 0), "work_function_ev": (4, 5), "work_function_bottom_ev": (4, 5), "vbm_ev": (-8, -6),
        "cbm_ev": (-3, -1), "gap_ev": (4, 6),
    },
}  # fmt: skip


def run(spec: Spec, inputs: Mapping[str, Input], folder: Path) -> Outcome:
    """Made-up outcome of any step."""
    random = np.random.default_rng(int(hashlib.sha256(spec.key.encode()).hexdigest()[:12], 16))
    if "crash!" in spec.label:
        raise RuntimeError("the fake engine was asked to crash")
    if "fail!" in spec.label:
        raise PhysicsFailure("not_converged", "the fake engine was asked to fail")
    quantities: dict[str, Any] = {name: random.uniform(*limits) for name, limits in RANGES[spec.step].items()}
    if spec.step == "bulk_relax" and not spec.settings.get("layered"):
        del quantities["interlayer_angstrom"]
    if spec.step in ("hessian", "surface_modes"):
        quantities |= {
            "frequencies_cm1": sorted(random.uniform(100, 3000, 3)),
            "inertia_amu_angstrom2": [10.0, 20.0, 30.0],
        }
    if spec.step == "surface_energy":
        if (spec.settings.get("level") or {}).get("magnetic_moments"):
            quantities |= {"magnetisation_mub": 0.0, "absolute_magnetisation_mub": random.uniform(0, 2)}
        others = spec.settings.get("functionals", [])
        if others:
            quantities["functional_energies_ev"] = [random.uniform(*RANGES[spec.step]["energy_ev"]) for _ in others]
        if beef.FUNCTIONAL in (spec.settings["level"].get("functional"), *others):
            quantities["ensemble_contributions_ev"] = random.normal(0, 0.1, 32)
    if spec.step == "pose_ensemble":
        quantities |= {"n_found": 1, "relative_energies_ev": [0.0], "weights": [1.0]}
    return Outcome(
        quantities=quantities, gates=[Gate("fake", True)], rungs=["fake"], structures=_structures(spec, inputs)
    )


def _structures(spec: Spec, inputs: Mapping[str, Input]) -> list[Atoms]:
    """Atoms in a row: right composition, no meaning."""
    if spec.step in ("conformers", "ion_pairs", "complexes", "given"):
        species = spec.settings["species"]
        smiles = species.get("smiles", [])
        parts = smiles if isinstance(smiles, list) else [smiles]
        symbols = species.get("symbols") or [symbol for part in parts for symbol in symbols_of(part)]
        return [Atoms(symbols, positions=[[1.5 * i, 0, 0] for i in range(len(symbols))])]
    if spec.step == "bulk_relax":
        crystal = spec.settings["crystal"]
        return [Atoms(crystal["symbols"], cell=crystal["cell"], scaled_positions=crystal["scaled_positions"], pbc=True)]
    if spec.step == "slab":
        return [Atoms("C2", positions=[[0, 0, 5], [0, 1.4, 5]], cell=[2.5, 2.5, 10], pbc=(True, True, False))]
    if spec.step == "poses":
        slab, molecule = inputs["slab"].structures[0], inputs["adsorbate"].structures[0]
        molecule = Atoms(
            molecule.symbols, positions=molecule.positions + np.array([0, 0, 8]), cell=slab.cell, pbc=slab.pbc, tags=1
        )
        return [slab, molecule, slab + molecule]
    if spec.step == "transplant":
        return [inputs[role].structures[0] for role in ("bare", "molecule", "geometry")]
    if spec.step == "thicken":
        return inputs["geometry"].structures
    if spec.step == "pose_ensemble":
        return [source.structures[0] for role, source in inputs.items() if role.startswith("pose")][:1]
    return [next(iter(inputs.values())).structures[0]]
