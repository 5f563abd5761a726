"""Relaxations with GPAW: slabs, molecules in their box, poses. A killed one goes on from its trajectory."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines.gpaw import calculator, climb, dispersion, geometry, height, is_pose
from crosstalk.quantities import combine
from crosstalk.record import Gate, Outcome

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input


def slab(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `slab`: build, relax, describe. Bonds that changed make it "surface_changed", or miss a gate (`slabs.bonds_kept`)."""
    from crosstalk.structures import slabs

    settings = spec.settings
    built = slabs.of_spec(spec, inputs)
    outcome = _relax(built, settings["level"], settings["relax"], folder)
    changed, gates = slabs.bonds_kept(built, outcome.structures[0], settings["surface"])
    outcome.gates += gates
    if changed:
        outcome.status, outcome.reason = "surface_changed", changed
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


def settled_slab(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `settled_slab`: the bare slab relaxed from where an adsorbate has brought it, when that is lower than where it was.

    A slab that was relaxed without the molecule may rest on a saddle or in a higher valley; what it gains by leaving it is no adsorption.
    """
    found = geometry(spec, inputs)
    if isinstance(found, Outcome):
        return found
    settings = spec.settings
    gained = combine("energy_ev", [(1, inputs["in_place"].record), (-1, inputs["bare"].record)])
    if gained > -settings["lower_by_ev"]:
        return Outcome("absent", f"the slab in the pose is {gained:+.3f} eV from the bare one: no lower reference")
    start = found[found.get_tags() == 0]
    outcome = _relax(start, settings["level"], settings, folder)
    outcome.status, outcome.reason = became(start, outcome.structures[0])
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
    """Relax until `force_left` is below the limit; a kill goes on from the trajectory in `folder`.

    settings  fmax_ev_per_angstrom, max_steps, freeze_below (fraction of the slab's thickness held fixed, from below)
    """
    from crosstalk.structures import slabs

    limit, max_steps = settings["fmax_ev_per_angstrom"], settings["max_steps"]

    def attempt(rung: str) -> tuple["Atoms", int]:
        def make(moving: "Atoms") -> Any:
            return with_dispersion(calculator(moving, level, folder, rung, symmetry=False), level)

        return relax(atoms, make, limit, max_steps, settings["freeze_below"], folder / "relax.traj")

    (final, n_steps), rungs = climb(attempt, level["mode"])
    forces = final.get_forces()
    held = slabs.frozen(atoms, settings["freeze_below"])
    force, left = float(np.linalg.norm(forces, axis=1).max()), force_left(final, forces, held)
    quantities = {
        "energy_ev": float(final.get_potential_energy()),
        "n_steps": n_steps,
        "max_force_ev_per_angstrom": force,
    }
    if level["dispersion"] is not None:
        quantities["dispersion_ev"] = float(dispersion(level).get_potential_energy(final))
    gates = [
        Gate("scf_converged", True, rungs[-1]),
        Gate("geometry_converged", left <= limit, round(left, 4), limit, "eV/Angstrom"),
    ]
    final.calc = None
    final.set_constraint()
    return Outcome(quantities=quantities, gates=gates, rungs=rungs, structures=[final])


def with_dispersion(calc: Any, level: Mapping[str, Any]) -> Any:
    """The calculator summed with dispersion where the level has it."""
    from ase.calculators.mixing import SumCalculator

    return calc if level["dispersion"] is None else SumCalculator([calc, dispersion(level)])


def relax(
    atoms: "Atoms",
    make: Callable[["Atoms"], Any],
    fmax: float,
    max_steps: int,
    freeze_below: float,
    trajectory: Path,
    guided: bool = True,
) -> tuple["Atoms", int]:
    """A relaxed copy with its energy and forces, and the steps taken, those before a kill included.

    make(atoms)  gives the calculator, which is only asked for when there is something left to compute
    guided       by GFN1-xTB where it has an answer; else by springs alone
    A relaxation that runs out of steps ends at its lowest point. Where no atom is held, the structure stays where it is as a whole:
    what is left of the sum of forces belongs to the grid.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms
    from ase.io import Trajectory
    from ase.parallel import world

    from crosstalk.engines import surface_guides
    from crosstalk.engines.surface_optimiser import Point, descend, trust
    from crosstalk.structures import slabs

    held = slabs.frozen(atoms, freeze_below)
    free = np.setdiff1d(np.arange(len(atoms)), held)
    moving = atoms.copy()
    moving.set_constraint(FixAtoms(held))

    def allowed(vector: np.ndarray) -> np.ndarray:
        return vector if len(held) else (vector.reshape(-1, 3) - vector.reshape(-1, 3).mean(axis=0)).ravel()

    def seen(frame: "Atoms") -> Point:
        gradient = -frame.get_forces(apply_constraint=False)[free].ravel()
        return Point(frame.positions[free].ravel(), float(frame.get_potential_energy()), allowed(gradient))

    def measure(x: np.ndarray) -> tuple[float, np.ndarray]:
        world.broadcast(x, 0)  # ranks may differ in the last bit of what they decided
        moving.positions[free] = x.reshape(-1, 3)
        if moving.calc is None:
            moving.calc = make(moving)
        point = seen(moving)
        with Trajectory(trajectory, "a", moving) as written:
            written.write()
        return point.energy, point.gradient

    def left(x: np.ndarray, gradient: np.ndarray) -> float:
        return force_left(surface_guides.placed(atoms, free, x), _spread(gradient, free, atoms), held)

    points = [seen(frame) for frame in whole_frames(trajectory)]
    if not points:
        start = atoms.positions[free].ravel()
        points = [Point(start, *measure(start))]
    if left(points[-1].x, points[-1].gradient) > fmax and len(points) <= max_steps:
        place = surface_guides.place(atoms, free)
        for way in surface_guides.guides(atoms, free) if guided else [partial(surface_guides.by_springs, free=free)]:
            guide = way(surface_guides.placed(atoms, free, trust(points)[0].x))
            if guide is not None:
                points = descend(measure, guide, place, points, left, fmax, max_steps + 1, allowed)
            if left(points[-1].x, points[-1].gradient) <= fmax or len(points) > max_steps:
                break
    done = left(points[-1].x, points[-1].gradient) <= fmax
    last = points[-1] if done else min(points, key=lambda point: point.energy)
    final = surface_guides.placed(moving, free, last.x)
    forces = -_spread(last.gradient, free, atoms)
    final.calc = SinglePointCalculator(final, energy=last.energy, forces=forces)
    return final, len(points) - 1


def force_left(atoms: "Atoms", forces: np.ndarray, held: Sequence[int]) -> float:
    """The largest force on an atom or on what moves as a whole, eV/Angstrom; `held`: atoms that are fixed.

    An adsorbate moves and turns as a whole, a layer of the slab that no bond ties to a held atom moves. Forces along such
    motions are sums over atoms, over the root of their number: small ones on every atom may hide a large one.
    """
    from crosstalk.engines.surface_hessian import adsorbate, generalised_force, layers

    found = [float(np.linalg.norm(forces, axis=1).max())]
    mine = adsorbate(atoms)
    if mine.any():
        found.append(generalised_force(atoms.positions[mine], forces[mine]))
    found += [float(np.linalg.norm(forces[layer].sum(axis=0))) / len(layer) ** 0.5 for layer in layers(atoms, held)]
    return max(found)


def _spread(x: np.ndarray, free: np.ndarray, atoms: "Atoms") -> np.ndarray:
    """Vectors (n, 3) on all atoms from those on the free ones; zero on the others."""
    full = np.zeros((len(atoms), 3))
    full[free] = x.reshape(-1, 3)
    return full


def whole_frames(trajectory: Path) -> list["Atoms"]:
    """Whole frames of a trajectory. One that a kill cut in the middle of a frame is written anew without that frame."""
    from ase.io import Trajectory
    from ase.parallel import world

    frames: list[Atoms] = []
    if not trajectory.exists():
        return frames
    try:
        with Trajectory(trajectory) as reader:
            for index in range(len(reader)):
                frames.append(reader[index])
        return frames
    except (OSError, ValueError, KeyError, EOFError):
        pass
    world.barrier()
    if world.rank == 0:
        trajectory.unlink()
    world.barrier()
    with Trajectory(trajectory, "w") as written:
        for frame in frames:
            written.write(frame)
    return frames
