"""Relaxations with GPAW: slabs, molecules in their box, poses. A killed one goes on from its trajectory."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines.gpaw import calculator, climb, dispersion, geometry, height, is_pose
from crosstalk.record import Gate, Outcome

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input


def slab(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `slab`: build, relax, describe. Bonds that changed make it "surface_changed"."""
    from crosstalk.structures import graphs, slabs

    settings = spec.settings
    built = slabs.of_spec(spec, inputs)
    outcome = _relax(built, settings["level"], settings["relax"], folder)
    change = graphs.compare(built, outcome.structures[0])
    if change.status != "ok":
        outcome.status, outcome.reason = "surface_changed", change.text
    outcome.quantities |= slabs.describe(outcome.structures[0])
    return outcome


def surface_relax(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `surface_relax`: a slab, a molecule in its box, or a pose, relaxed. What became of a pose is its status."""
    found = geometry(spec, inputs)
    if isinstance(found, Outcome):
        return found
    outcome = _relax(found, spec.settings["level"], spec.settings, folder)
    final = outcome.structures[0]
    if is_pose(final):
        outcome.quantities["height_angstrom"] = height(final)
    outcome.status, outcome.reason = became(found, final)
    return outcome


def became(start: "Atoms", final: "Atoms") -> tuple[str, str]:
    """Status and reason of what a structure relaxed to: a pose, a slab or a molecule that kept its bonds is "ok"."""
    from crosstalk.structures import graphs

    if is_pose(final):
        found, reason = graphs.adsorption_class(start, final)
        return ("ok", "") if found == "bound" else (found, reason)
    if (final.get_tags() == 0).all():
        text = graphs.slab_change(start, final)
        return ("surface_changed", text) if text else ("ok", "")
    change = graphs.compare(start, final)
    return change.status, change.text


def _relax(atoms: "Atoms", level: Mapping[str, Any], settings: Mapping[str, Any], folder: Path) -> Outcome:
    """Relax until the largest force is below the limit; a kill goes on from the trajectory in `folder`.

    settings  fmax_ev_per_angstrom, max_steps, freeze_below (fraction of the slab's thickness held fixed, from below)
    """
    limit, max_steps = settings["fmax_ev_per_angstrom"], settings["max_steps"]

    def attempt(rung: str) -> tuple["Atoms", int]:
        def make(moving: "Atoms") -> Any:
            return _with_dispersion(calculator(moving, level, folder, rung, symmetry=False), level)

        return relax(atoms, make, limit, max_steps, settings["freeze_below"], folder / "relax.traj")

    (final, n_steps), rungs = climb(attempt, level["mode"])
    force = float(np.linalg.norm(final.get_forces(), axis=1).max())
    quantities = {
        "energy_ev": float(final.get_potential_energy()),
        "n_steps": n_steps,
        "max_force_ev_per_angstrom": force,
    }
    if level["dispersion"] is not None:
        quantities["dispersion_ev"] = float(dispersion(level).get_potential_energy(final))
    gates = [
        Gate("scf_converged", True, rungs[-1]),
        Gate("geometry_converged", force <= limit, round(force, 4), limit, "eV/Angstrom"),
    ]
    final.calc = None
    final.set_constraint()
    return Outcome(quantities=quantities, gates=gates, rungs=rungs, structures=[final])


def _with_dispersion(calc: Any, level: Mapping[str, Any]) -> Any:
    """The calculator summed with dispersion where the level has it."""
    from ase.calculators.mixing import SumCalculator

    return calc if level["dispersion"] is None else SumCalculator([calc, dispersion(level)])


def relax(
    atoms: "Atoms", make: Callable[["Atoms"], Any], fmax: float, max_steps: int, freeze_below: float, trajectory: Path
) -> tuple["Atoms", int]:
    """A relaxed copy and the steps taken, those before a kill included. `make(atoms)` gives the calculator.

    A trajectory that was cut within a frame gives its last readable geometry, and the count starts anew.
    """
    from ase.constraints import FixAtoms
    from ase.io import Trajectory
    from ase.optimize import BFGS

    from crosstalk.structures import slabs

    moving = atoms.copy()
    frames, whole = _frames(trajectory)
    if frames:
        moving.positions = frames[-1].positions
    frames = frames if whole else []
    done = max(0, len(frames) - 1)
    moving.set_constraint(FixAtoms(slabs.frozen(atoms, freeze_below)))
    moving.calc = make(moving)
    with Trajectory(trajectory, "a" if frames else "w", moving) as written:
        optimiser = BFGS(moving, logfile=None)
        if len(frames) > 1:
            optimiser.replay_trajectory(frames)
        for step, _ in enumerate(optimiser.irun(fmax=fmax, steps=max(0, max_steps - done))):
            if step or not frames:  # the first frame of a resumed run is there already
                written.write()
    return moving, done + optimiser.nsteps


def _frames(trajectory: Path) -> tuple[list["Atoms"], bool]:
    """Readable frames of a trajectory, and whether it is whole: a kill may have cut it in the middle of a frame."""
    from ase.io import Trajectory

    frames: list[Atoms] = []
    if not trajectory.exists() or trajectory.stat().st_size == 0:
        return frames, False
    try:
        with Trajectory(trajectory) as reader:
            for index in range(len(reader)):
                frames.append(reader[index])
    except (OSError, ValueError, KeyError, EOFError):
        return frames, False
    return frames, True
