"""Bulk crystals with GPAW: cell and positions relaxed within the space group, and energies of a crystal and of one of its layers.

The cell follows the analytic stress, which is right at large cutoffs only (Pulay stress; the door refuses smaller ones). So
that nobody has to believe it, the pressure is computed a second time from energies, which need no such care: a gate. Each
step of the cell has the plane waves of the level's cutoff in its own cell, so a relaxation that went on after a kill is the same.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines.gpaw import calculator, climb, dispersion
from crosstalk.engines.gpaw_relax import _frames, _with_dispersion
from crosstalk.record import Gate, Outcome

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Volume of the cells whose energies give the pressure, over that of the relaxed one: 1 plus and minus this.
STRAIN = 0.02
#: Pressure from energies and from stress further apart than this is a Pulay stress that counts; eV/Angstrom^3 (0.3 GPa).
PULAY = 2e-3
#: A volume that changed by more than this share is no relaxation of the crystal that was given.
VOLUME = 0.15


def bulk_relax(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `bulk_relax`: the primitive cell relaxed, told of the cell of the crystal's file. Energies are those of that cell."""
    from crosstalk.structures import crystals

    settings, level, limits = spec.settings, spec.settings["level"], spec.settings["relax"]
    tolerance = settings["symmetry_angstrom"]
    given = crystals.atoms_of(settings["crystal"])
    start, integers = crystals.primitive(given, tolerance)

    def attempt(rung: str) -> tuple["Atoms", int]:
        calc = _with_dispersion(calculator(start, level, folder, rung), level)
        return relax_cell(start, calc, limits, tolerance, folder / "relax.traj")

    (relaxed, n_steps), rungs = climb(attempt, level["mode"])
    force, stress = strain_left(relaxed)
    energy, pressure = float(relaxed.get_potential_energy()), -float(relaxed.get_stress()[:3].mean())
    relaxed.set_constraint()
    relaxed.calc = None
    missing = pressure_from_energies(relaxed, lambda strained: _energy(strained, start, level, folder)[0]) - pressure
    final = crystals.in_setting(relaxed, integers)
    cells, change = len(final) / len(relaxed), final.get_volume() / given.get_volume() - 1
    before, after = (crystals.space_group(atoms, tolerance) for atoms in (given, final))
    quantities = crystals.describe(final, settings.get("layered", False)) | {
        "energy_ev": energy * cells,
        "n_steps": n_steps,
        "max_force_ev_per_angstrom": force,
        "max_stress_ev_per_angstrom3": stress,
        "pulay_pressure_ev_per_angstrom3": missing,
    }
    if level["dispersion"] is not None:
        quantities["dispersion_ev"] = float(dispersion(level).get_potential_energy(final))
    fmax, smax = limits["fmax_ev_per_angstrom"], limits["max_stress_ev_per_angstrom3"]
    gates = [
        Gate("scf_converged", True, rungs[-1]),
        Gate("geometry_converged", force <= fmax, round(force, 4), fmax, "eV/Angstrom"),
        Gate("stress_converged", stress <= smax, round(stress, 6), smax, "eV/Angstrom^3"),
        Gate("pulay_pressure", abs(missing) <= PULAY, round(missing, 5), PULAY, "eV/Angstrom^3"),
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
        return float(_with_dispersion(calculator(like, level, folder, rung), level).get_potential_energy(atoms))

    return climb(attempt, level["mode"])


def strain_left(atoms: "Atoms") -> tuple[float, float]:
    """Largest force on an atom (eV/Angstrom) and largest component of the stress by size (eV/Angstrom^3)."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max()), float(np.abs(atoms.get_stress()).max())


def pressure_from_energies(atoms: "Atoms", energy: Callable[["Atoms"], float]) -> float:
    """-dE/dV of a cell that is strained alike in all directions, eV/Angstrom^3, by a central difference."""
    energies = []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell * (1 + sign * STRAIN) ** (1 / 3), scale_atoms=True)
        energies.append(energy(strained))
    return -(energies[0] - energies[1]) / (2 * STRAIN * float(atoms.get_volume()))


def relax_cell(
    atoms: "Atoms", calc: Any, limits: Mapping[str, Any], tolerance: float, trajectory: Path
) -> tuple["Atoms", int]:
    """A copy relaxed within its space group (cell and positions) and the steps taken, those before a kill included.

    calc       made for `atoms`: its k-points stay theirs, whatever becomes of the cell
    limits     fmax_ev_per_angstrom, max_stress_ev_per_angstrom3, max_steps
    tolerance  of the symmetry, Angstrom: the start is made exactly symmetric
    A trajectory that was cut within a frame gives its last readable cell, and the count starts anew.
    """
    from ase.constraints import FixSymmetry
    from ase.io import Trajectory
    from ase.optimize import BFGS

    moving = atoms.copy()
    moving.set_constraint(FixSymmetry(moving, symprec=tolerance))
    own = moving.cell.array.copy()
    frames, whole = _frames(trajectory)
    if frames:
        moving.set_cell(frames[-1].cell, apply_constraint=False)
        moving.set_positions(frames[-1].positions, apply_constraint=False)
    frames = frames if whole else []
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


def _bare(atoms: "Atoms") -> "Atoms":
    """A frame for the trajectory: without the symmetry, which is found again, and with energy, forces and stress."""
    from ase.calculators.singlepoint import SinglePointCalculator

    frame = atoms.copy()
    frame.set_constraint()
    known = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
    frame.calc = SinglePointCalculator(frame, **known)
    return frame
