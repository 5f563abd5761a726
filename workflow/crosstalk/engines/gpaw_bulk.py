"""Bulk crystals with GPAW: cell and positions relaxed within the space group, and energies of a crystal and of one of its layers.

The analytic stress lacks what plane waves bring that come in as a cell grows (Pulay stress): 0.6 GPa in graphite at 800 eV,
which makes its soft axis 1.5 % too short. Energies of strained cells, each with the plane waves of the level's cutoff,
need no such care: their slopes at 800 and 1000 eV agree within 0.03 GPa. So a cell is relaxed by its stress, which is fast;
then the stress from energies is taken, what is missing is added, the cell is relaxed again, and that its energies
have no slope left is a gate.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from crosstalk.engines.gpaw import calculator, climb, dispersion
from crosstalk.engines.gpaw_relax import whole_frames, with_dispersion
from crosstalk.engines.notes import Notes
from crosstalk.record import Gate, Outcome, write_atomically
from crosstalk.spec import canonical

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Strain of the cells whose energies give the stress, plus and minus once and twice this (root of the sum of squares of its
#: components). Half of it makes the stress of graphite jump by 0.1 GPa, for plane waves come in one by one.
STRAIN = 0.01
#: A stress from energies that is larger than this at the relaxed cell is one that counts; eV/Angstrom^3 (0.16 GPa).
SLOPE = 1e-3
#: A volume that changed by more than this share is no relaxation of the crystal that was given.
VOLUME = 0.15


class Constant(Calculator):
    """A stress (3, 3) that is added to those of other calculators, eV/Angstrom^3; no energy, no forces."""

    def __init__(self, stress: np.ndarray | None = None):
        super().__init__()
        self.implemented_properties = ["energy", "forces", "stress"]
        self.stress = np.zeros((3, 3)) if stress is None else stress

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        from ase.stress import full_3x3_to_voigt_6_stress

        super().calculate(atoms, properties, system_changes)
        stress = full_3x3_to_voigt_6_stress(self.stress)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3)), "stress": stress}


def bulk_relax(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `bulk_relax`: the primitive cell relaxed, told of the cell of the crystal's file. Energies are those of that cell."""
    from crosstalk.structures import crystals

    settings, level, limits = spec.settings, spec.settings["level"], spec.settings["relax"]
    tolerance = settings["symmetry_angstrom"]
    given = crystals.atoms_of(settings["crystal"])
    start, integers = crystals.primitive(given, tolerance)

    energy = noted(lambda strained: _energy(strained, start, level, folder)[0], Notes(folder / "energies.jsonl"))

    def attempt(rung: str) -> tuple["Atoms", np.ndarray, int]:
        calcs = [calculator(start, level, folder, rung), *([dispersion(level)] if level["dispersion"] else [])]
        return by_energies(start, calcs, energy, limits, tolerance, folder)

    (relaxed, missing, n_steps), rungs = climb(attempt, level["mode"])
    force, stress = strain_left(relaxed)
    found = float(relaxed.get_potential_energy())
    relaxed.set_constraint()
    relaxed.calc = None
    slope = float(np.abs(stress_from_energies(relaxed, energy, tolerance)).max())
    final = crystals.in_setting(relaxed, integers)
    cells, change = len(final) / len(relaxed), float(final.get_volume() / given.get_volume()) - 1
    before, after = (crystals.space_group(atoms, tolerance) for atoms in (given, final))
    quantities = crystals.describe(final, settings.get("layered", False)) | {
        "energy_ev": found * cells,
        "n_steps": n_steps,
        "max_force_ev_per_angstrom": force,
        "max_stress_ev_per_angstrom3": stress,
        "pulay_pressure_ev_per_angstrom3": -float(missing.trace()) / 3,
        "energy_stress_ev_per_angstrom3": slope,
    }
    if level["dispersion"] is not None:
        quantities["dispersion_ev"] = float(dispersion(level).get_potential_energy(final))
    fmax, smax = limits["fmax_ev_per_angstrom"], limits["max_stress_ev_per_angstrom3"]
    gates = [
        Gate("scf_converged", True, rungs[-1]),
        Gate("geometry_converged", force <= fmax, round(force, 4), fmax, "eV/Angstrom"),
        Gate("stress_converged", stress <= smax, round(stress, 6), smax, "eV/Angstrom^3"),
        Gate("energy_stress", slope <= SLOPE, round(slope, 5), SLOPE, "eV/Angstrom^3"),
        Gate("symmetry_kept", before == after, after, before),
        Gate("volume_kept", abs(change) <= VOLUME, round(change, 4), VOLUME),
    ]
    return Outcome(quantities=quantities, gates=gates, rungs=rungs, structures=[final])


def crystal_energy(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `crystal_energy`: energy of a crystal in the cell of its file, or of one of its layers alone, as it is in the crystal."""
    from crosstalk.structures import crystals

    whole, level = inputs["geometry"].structures[spec.settings["index"]], spec.settings["level"]
    atoms = crystals.layer(whole) if spec.settings["part"] == "layer" else crystals.in_frame(whole)
    energy, rungs = _energy(atoms, atoms, level, folder)
    quantities: dict[str, Any] = {"energy_ev": energy, "n_atoms": len(atoms)}
    if level["dispersion"] is not None:
        quantities["dispersion_ev"] = float(dispersion(level).get_potential_energy(atoms))
    gates = [Gate("scf_converged", True, rungs[-1])]
    return Outcome(quantities=quantities, gates=gates, rungs=rungs, structures=[atoms])


def _energy(atoms: "Atoms", like: "Atoms", level: Mapping[str, Any], folder: Path) -> tuple[float, list[str]]:
    """Energy of a fixed structure with as many k-points as `like`, dispersion included (eV), and the rungs that its SCF climbed."""

    def attempt(rung: str) -> float:
        return float(with_dispersion(calculator(like, level, folder, rung), level).get_potential_energy(atoms))

    return climb(attempt, level["mode"])


def noted(energy: Callable[["Atoms"], float], notes: Notes) -> Callable[["Atoms"], float]:
    """The same function of structures, which computes none twice, also after a kill."""

    def recalled(atoms: "Atoms") -> float:
        what = canonical([np.round(array, 7).tolist() for array in (atoms.cell.array, atoms.positions)])
        return float(notes.recall(what, lambda: energy(atoms)))

    return recalled


def strain_left(atoms: "Atoms") -> tuple[float, float]:
    """Largest force on an atom (eV/Angstrom) and largest component of the stress by size (eV/Angstrom^3)."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max()), float(np.abs(atoms.get_stress()).max())


def stress_from_energies(atoms: "Atoms", energy: Callable[["Atoms"], float], tolerance: float) -> np.ndarray:
    """Stress (3, 3) from energies of strained cells, eV/Angstrom^3; sign as ASE's, positive = the cell would shrink.

    Four cells for each strain: the third order drops out, which else makes 3 % of the stress of a soft metal.
    Only strains that the crystal's symmetry allows are taken: one for a cubic cell, two with one axis, six without symmetry.
    """
    stress = np.zeros((3, 3))
    for strain in allowed_strains(atoms, tolerance):
        slope = 0.0
        for times, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
            strained = _unbound(atoms)
            strained.set_cell(atoms.cell.array @ (np.eye(3) + times * STRAIN * strain), scale_atoms=True)
            slope += weight * energy(strained) / (12 * STRAIN)
        stress += slope / float(atoms.get_volume()) * strain
    return stress


def allowed_strains(atoms: "Atoms", tolerance: float) -> list[np.ndarray]:
    """Symmetric tensors (3, 3) that span all strains which keep the crystal's point group; orthonormal by the sum of squares.

    Made of xx, yy, zz and the shears in this order, so that a soft axis and a stiff plane are not mixed.
    """
    from ase.constraints import FixSymmetry
    from ase.stress import voigt_6_to_full_3x3_stress

    symmetry = FixSymmetry(_unbound(atoms), symprec=tolerance)
    found: list[np.ndarray] = []
    for voigt in np.eye(6):
        symmetry.adjust_stress(atoms, voigt)
        strain = voigt_6_to_full_3x3_stress(voigt)
        strain = strain - sum(float((strain * other).sum()) * other for other in found)
        if (size := float(np.linalg.norm(strain))) > 1e-6:
            found.append(strain / size)
    return found


def by_energies(
    start: "Atoms",
    calcs: Sequence[Any],
    energy: Callable[["Atoms"], float],
    limits: Mapping[str, Any],
    tolerance: float,
    folder: Path,
) -> tuple["Atoms", np.ndarray, int]:
    """A copy relaxed to where its energies have no slope, the stress that `calcs` (summed) lacked, and the steps taken.

    The stress is compared with energies once, after a first relaxation; it is noted in `folder`, for a killed one to go on.
    """
    from ase.calculators.mixing import SumCalculator

    first, steps = relax_cell(start, SumCalculator([*calcs, Constant()]), limits, tolerance, folder / "relax.traj")
    note = folder / "missing.json"
    if note.exists():
        missing = np.array(json.loads(note.read_text()))
    else:
        missing = stress_from_energies(first, energy, tolerance) - first.get_stress(voigt=False)
        write_atomically(note, canonical(missing.tolist()).encode())
    corrected = SumCalculator([*calcs, Constant(missing)])
    final, more = relax_cell(first, corrected, limits, tolerance, folder / "relax.corrected.traj")
    return final, missing, steps + more


def relax_cell(
    atoms: "Atoms", calc: Any, limits: Mapping[str, Any], tolerance: float, trajectory: Path
) -> tuple["Atoms", int]:
    """A copy relaxed within its space group (cell and positions) and the steps taken, those before a kill included.

    calc       made for `atoms`: its k-points stay theirs, whatever becomes of the cell
    limits     fmax_ev_per_angstrom, max_stress_ev_per_angstrom3, max_steps
    tolerance  of the symmetry, Angstrom: the start is made exactly symmetric
    """
    from ase.constraints import FixSymmetry
    from ase.io import Trajectory
    from ase.optimize import BFGS

    moving = _unbound(atoms)
    moving.set_constraint(FixSymmetry(moving, symprec=tolerance))
    own = moving.cell.array.copy()
    frames = whole_frames(trajectory)
    if frames:
        moving.set_cell(frames[-1].cell, apply_constraint=False)
        moving.set_positions(frames[-1].positions, apply_constraint=False)
    done = max(0, len(frames) - 1)
    moving.calc = calc
    with Trajectory(trajectory, "a" if frames else "w") as written:
        optimiser = BFGS(_strained(moving, own), logfile=None)
        if len(frames) > 1:
            optimiser.replay_trajectory([_strained(frame, own) for frame in frames])
        # With fmax 0 the optimiser never stops by itself: forces and stress have limits of their own.
        for step, _ in enumerate(optimiser.irun(fmax=0.0, steps=max(0, limits["max_steps"] - done))):
            if step or not frames:  # the first frame of a resumed run is there already
                written.write(_bare(moving))
            force, stress = strain_left(moving)
            if force <= limits["fmax_ev_per_angstrom"] and stress <= limits["max_stress_ev_per_angstrom3"]:
                break
    return moving, done + optimiser.nsteps


def _strained(atoms: "Atoms", own: np.ndarray) -> Any:
    """Positions and the logarithm of the strain from the cell `own` as one set of variables.

    The strain is scaled by the root of the number of atoms, which makes its stiffness (volume times elastic constants)
    about that of a bond, whatever the size of the cell.
    """
    from ase.filters import FrechetCellFilter

    variables = FrechetCellFilter(atoms, exp_cell_factor=math.sqrt(len(atoms)))
    variables.orig_cell = own
    return variables


def _unbound(atoms: "Atoms") -> "Atoms":
    """A copy without constraints."""
    free = atoms.copy()
    free.set_constraint()
    return free


def _bare(atoms: "Atoms") -> "Atoms":
    """A frame for the trajectory: without the symmetry, which is found again, and with energy, forces and stress."""
    from ase.calculators.singlepoint import SinglePointCalculator

    frame = _unbound(atoms)
    known = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
    frame.calc = SinglePointCalculator(frame, **known)
    return frame
