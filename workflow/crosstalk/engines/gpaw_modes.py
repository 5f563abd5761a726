"""Frustrated translations and rotations of an adsorbate: frequencies of its motions as a rigid body on a rigid slab.

Six motions in place of 3n: bonds are a hundred times stiffer than what holds a molecule on a surface, so its inner
vibrations change little and are taken to cancel against those of the molecule alone. Central differences of forces.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines.gpaw import calculator, climb, geometry, is_pose
from crosstalk.engines.gpaw_relax import with_dispersion
from crosstalk.errors import PhysicsFailure
from crosstalk.record import Gate, Outcome, write_atomically
from crosstalk.structures import rotor
from crosstalk.units import FORCE_CONSTANT_CM1

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Largest displacement of an atom, Angstrom: soft motions are smooth, and forces know 0.01 eV/Angstrom of noise.
STEP = 0.05
#: An imaginary mode of a smaller wavenumber (1/cm) is noise on a flat surface.
NOISE_CM1 = 30.0


def surface_modes(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `surface_modes`: wavenumbers of a pose's rigid-body motions, and the molecule alone as a rotor.

    A kill costs the force that was being computed.
    """
    atoms = geometry(spec, inputs)
    if isinstance(atoms, Outcome):
        return atoms
    if not is_pose(atoms):
        raise PhysicsFailure("absent", "no adsorbate on a slab")
    level, mine = spec.settings["level"], np.flatnonzero(atoms.get_tags() == 1)
    masses = atoms.get_masses()[mine]
    motions = displacements(atoms.positions[mine], masses)

    def attempt(rung: str) -> list[np.ndarray]:
        calc = with_dispersion(calculator(atoms, level, folder, rung, symmetry=False), level)
        return _forces(atoms, mine, motions, calc, folder / "forces.jsonl")

    forces, rungs = climb(attempt, level["mode"])
    frequencies = wavenumbers(motions, forces)
    lowest = min(frequencies)
    quantities: dict[str, Any] = {"frequencies_cm1": frequencies} | rotor.facts(inputs["molecule"].structures[1])
    gates = [
        Gate("scf_converged", True, rungs[-1]),
        Gate("true_minimum", lowest > -NOISE_CM1, round(lowest, 1), -NOISE_CM1, "1/cm"),
    ]
    return Outcome(quantities=quantities, gates=gates, rungs=rungs, structures=[atoms])


def displacements(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Rigid-body motions (6, n, 3) of a body of those masses (n,), Angstrom per root of amu: orthonormal when weighted with masses."""
    modes = rotor.rigid_modes(positions, masses)
    return modes.reshape(len(modes), -1, 3) / np.sqrt(masses)[:, None]


def length(motion: np.ndarray) -> float:
    """How far along a motion (n, 3) the atom that moves most has moved by STEP."""
    return STEP / float(np.linalg.norm(motion, axis=1).max())


def _forces(atoms: "Atoms", mine: np.ndarray, motions: np.ndarray, calc: Any, journal: Path) -> list[np.ndarray]:
    """Forces (n, 3) on the adsorbate's atoms after each motion forward and back, those of a killed run taken up."""
    from ase.parallel import world

    found = [np.array(json.loads(line)) for line in journal.read_text().splitlines()] if journal.exists() else []
    moved = atoms.copy()
    moved.calc = calc
    steps = [sign * length(motion) * motion for motion in motions for sign in (1, -1)]
    world.barrier()
    for step in steps[len(found) :]:
        moved.positions[mine] = atoms.positions[mine] + step
        found.append(moved.get_forces()[mine])
        if world.rank == 0:
            write_atomically(journal, "".join(json.dumps(force.tolist()) + "\n" for force in found).encode())
    return found


def wavenumbers(motions: np.ndarray, forces: list[np.ndarray]) -> list[float]:
    """Wavenumbers (1/cm, rising; imaginary ones negative) from forces after each motion forward and back (2 x 6 of (n, 3))."""
    slopes = [
        (back - forth) / (2 * length(m)) for m, forth, back in zip(motions, forces[::2], forces[1::2], strict=True)
    ]
    curvature = np.array([[float(np.vdot(motion, slope)) for slope in slopes] for motion in motions])
    values = np.linalg.eigvalsh((curvature + curvature.T) / 2)
    return [float(np.sign(v) * np.sqrt(abs(v)) * FORCE_CONSTANT_CM1) for v in values]
