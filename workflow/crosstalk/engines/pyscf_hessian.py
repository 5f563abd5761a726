"""Molecular Hessians with PySCF: vibrations, and minima that are minima.

Of meta-GGAs: differences of forces along the vibrations that GFN2 guesses, with its anharmonicity, since PySCF's analytic
second derivatives leave out how the grid's weights follow the nuclei, which for meta-GGAs makes up imaginary modes even on
fine grids. Of all other functionals: analytic, on HESSIAN_GRID, and the differences of the gradients of dispersion and
basis-set corrections.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines import dual_grid, scf
from crosstalk.engines import pyscf as engine
from crosstalk.engines import pyscf_relax as relaxation
from crosstalk.errors import PhysicsFailure
from crosstalk.record import Gate, Outcome, write_atomically
from crosstalk.structures import rotor
from crosstalk.units import BOHR_ANGSTROM, FORCE_CONSTANT_CM1, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

HESSIAN_GRID = 3
RESPONSE_GRID = 0
#: Residual of the coupled-perturbed equations (norm, hartree); frequencies then stand to 0.1/cm.
RESPONSE_TOLERANCE = 1e-5
#: Largest displacement of an atom in a difference of forces, and step of the corrections' gradients, Angstrom.
STEP = 0.01
#: An imaginary mode of a smaller wavenumber (1/cm) is noise of grids and forces on a flat surface, counted as a soft mode.
NOISE_CM1 = 30.0
#: Imaginary modes are followed so often, and the first step along one has this length, Angstrom.
MAX_FOLLOWED = 2
FIRST_STEP = 0.2
#: Both sides of a mode are alike within these: eV, and eV/Angstrom (the saddle's own forces are below fmax, not zero).
SAME_ENERGY, SAME_FORCE = 2e-3, 0.04


def hessian(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `hessian`: frequencies at a relaxed geometry. Where a mode is imaginary the structure goes downhill along it,
    is relaxed again, and the frequencies are those of what it leads to. The first structure of the outcome is the minimum."""
    start, settings = engine.geometry_of(spec, inputs), spec.settings
    if isinstance(start, Outcome):
        return start
    others = [s for k, s in enumerate(inputs["geometry"].structures) if k != settings["index"]]
    if len(start) == 1:
        return Outcome(
            quantities=_shape(start, []),
            gates=[Gate("true_minimum", True, 0.0, -NOISE_CM1, "1/cm")],
            structures=[start, *others],
        )
    atoms, rungs = start, []
    with engine.until_finished(folder):
        vibrations = _vibrations(settings, atoms, folder, 0)
        for attempt in range(1, MAX_FOLLOWED + 1):
            if vibrations.frequencies[0] > -NOISE_CM1:
                break
            rungs.append("imaginary_mode_followed")
            mode, lowest = vibrations.displacements[0], float(vibrations.frequencies[0])
            atoms = downhill(settings, atoms, mode, lowest, folder, attempt)
            vibrations = _vibrations(settings, atoms, folder, attempt)
    for path in [*folder.glob("hessian-*.json"), *folder.glob("follow-*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    lowest = round(float(vibrations.frequencies[0]), 1)
    outcome = Outcome(rungs=sorted(set(rungs)), structures=[atoms, *others])
    outcome.gates = [
        Gate("true_minimum", lowest > -NOISE_CM1, lowest, -NOISE_CM1, "1/cm"),
        *relaxation.kept_bonds(start, atoms, "reported")[1],
    ]
    frequencies = np.where(abs(vibrations.frequencies) < NOISE_CM1, abs(vibrations.frequencies), vibrations.frequencies)
    outcome.quantities = _shape(atoms, sorted(frequencies.tolist())) | {"energy_ev": vibrations.energy}
    return outcome


@dataclass
class Vibrations:
    """energy (eV), frequencies (1/cm, ascending, imaginary negative), displacements (mode, atom, 3), norm 1 each."""

    energy: float
    frequencies: np.ndarray
    displacements: np.ndarray


def _vibrations(settings: Mapping[str, Any], atoms: "Atoms", folder: Path, attempt: int) -> Vibrations:
    """Of `atoms` (relaxed); a Hessian that a killed run finished is taken up."""
    path = folder / f"hessian-{attempt}.json"
    stored = json.loads(path.read_text()) if path.exists() else None
    if stored is None or abs(np.array(stored["positions"]) - atoms.positions).max() > relaxation.SAME_POINT:
        energy, matrix = second_derivatives(settings, atoms, folder)
        stored = {"positions": atoms.positions.tolist(), "energy": energy, "matrix": matrix.tolist()}
        write_atomically(path, json.dumps(stored).encode())
    frequencies, displacements = normal_modes(atoms, np.array(stored["matrix"]))
    return Vibrations(stored["energy"], frequencies, displacements)


def second_derivatives(settings: Mapping[str, Any], atoms: "Atoms", folder: Path) -> tuple[float, np.ndarray]:
    """Energy (eV) and Hessian (3n, 3n; eV/Angstrom^2) at a geometry. Raises PhysicsFailure when an SCF does not converge."""
    problem = engine.Problem.of(settings, atoms, folder)
    mf = problem.mean_field()
    if mf._numint._xc_type(mf.xc) == "MGGA":
        return _differences(settings, atoms, folder)
    solution = scf.solve(mf, problem.level, folder)
    scf.forget(folder)
    mf = dual_grid.on_coarse_grid(solution.field, max(HESSIAN_GRID, problem.level["grid_level"]))
    mf.nlc, mf.conv_tol_cpscf = solution.field.nlc, RESPONSE_TOLERANCE
    mf.gen_response = dual_grid.on_coarse_grid(solution.field, RESPONSE_GRID).gen_response
    matrix = np.asarray(mf.Hessian().kernel()).transpose(0, 2, 1, 3).reshape(3 * len(atoms), -1)
    matrix = matrix * (HARTREE_EV / BOHR_ANGSTROM**2) + _of_corrections(settings, atoms, folder)
    terms, _ = problem.corrections()
    return float(solution.field.e_tot) * HARTREE_EV + sum(terms.values()), (matrix + matrix.T) / 2


def _differences(settings: Mapping[str, Any], atoms: "Atoms", folder: Path) -> tuple[float, np.ndarray]:
    """As `second_derivatives`, by displacements along guessed vibrations; points that a killed run finished are taken up.

    Forward differences, less the error that GFN2's forward differences have against its central ones: it comes from the
    third derivatives, which GFN2 knows to a tenth or so. Of LMC and EC that leaves 5/cm at most (forward alone 60, at a
    stretch of C-H) and 0.002 kcal/mol of free energy (0.2), with half the gradients. Central ones where GFN2 fails.
    """
    roots = np.repeat(np.sqrt(atoms.get_masses()), 3)
    modes = internal_space(atoms)
    if (guess := relaxation.force_constants(settings, atoms)) is not None:
        modes = modes @ np.linalg.eigh(modes.T @ (guess / np.outer(roots, roots)) @ modes)[1]
    model = relaxation.model_gradients(settings, atoms) if guess is not None else None
    part = folder / "differences"
    part.mkdir(exist_ok=True)
    surface = relaxation.Surface(settings, atoms, part, for_differences=True)
    reference = surface.at(atoms.positions.copy())
    columns = []
    for mode in modes.T:
        step = STEP / np.abs(mode / roots).reshape(-1, 3).max()
        slope = along(surface, model, (step * mode / roots).reshape(-1, 3))
        columns.append(slope.ravel() / roots / step)
    inside = modes.T @ np.array(columns).T
    matrix = modes @ ((inside + inside.T) / 2) @ modes.T * np.outer(roots, roots)
    shutil.rmtree(part)
    return reference.energy, matrix


def along(
    surface: relaxation.Surface, model: Callable[[np.ndarray], np.ndarray] | None, shift: np.ndarray
) -> np.ndarray:
    """How the gradient (n, 3; eV/Angstrom) changes with a displacement (n, 3; Angstrom) from the surface's first point.

    model: gradients of a cheap method, whose forward difference is straightened by its central one; None: a central difference.
    """
    reference = surface.points[0]
    ahead = surface.at(reference.positions + shift).gradient
    if model is None:
        return np.asarray(ahead - surface.at(reference.positions - shift).gradient) / 2
    here, up, down = (model(reference.positions + k * shift) for k in (0, 1, -1))
    return np.asarray(ahead - reference.gradient - ((up + down) / 2 - here))


def _of_corrections(settings: Mapping[str, Any], atoms: "Atoms", folder: Path) -> np.ndarray:
    """Hessian (3n, 3n) of dispersion and basis-set corrections, eV/Angstrom^2."""
    rows = []
    for index in range(3 * len(atoms)):
        sides = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[index // 3, index % 3] += sign * STEP
            sides.append(engine.Problem.of(settings, moved, folder).corrections()[1].ravel())
        rows.append((sides[0] - sides[1]) / (2 * STEP))
    return np.array(rows)


def normal_modes(atoms: "Atoms", matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (1/cm, ascending, imaginary ones negative) and Cartesian displacements (mode, atom, 3) of a Hessian
    (eV/Angstrom^2), translations and rotations projected out."""
    roots = np.repeat(np.sqrt(atoms.get_masses()), 3)
    vibrations = internal_space(atoms)
    values, vectors = np.linalg.eigh(vibrations.T @ (matrix / np.outer(roots, roots)) @ vibrations)
    frequencies = np.sign(values) * np.sqrt(abs(values)) * FORCE_CONSTANT_CM1
    displacements = ((vibrations @ vectors) / roots[:, None]).T.reshape(len(values), len(atoms), 3)
    return frequencies, displacements / np.linalg.norm(displacements, axis=(1, 2))[:, None, None]


def internal_space(atoms: "Atoms") -> np.ndarray:
    """Orthonormal columns of mass-weighted displacements without translation and rotation: (3n, 3n - 6), -5 when linear."""
    masses, centred = atoms.get_masses(), atoms.positions - atoms.get_center_of_mass()
    outer = [np.tile(axis, (len(atoms), 1)) for axis in np.eye(3)]
    outer += [np.cross(axis, centred) for axis in np.eye(3)]
    rigid = np.array([(np.sqrt(masses)[:, None] * motion).ravel() for motion in outer]).T
    left, _, _ = np.linalg.svd(rigid, full_matrices=True)
    return left[:, 5 if rotor.is_linear(atoms) else 6 :]


def downhill(
    settings: Mapping[str, Any], atoms: "Atoms", mode: np.ndarray, wavenumber: float, folder: Path, attempt: int
) -> "Atoms":
    """The lower of the two minima that a mode (n, 3; imaginary, 1/cm) leads to; where both sides are alike, one of them."""
    ends, first = [], None
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * FIRST_STEP * mode / abs(mode).max()
        part = folder / f"follow-{attempt}{'-+'[sign > 0]}"
        part.mkdir(exist_ok=True)
        surface = relaxation.Surface(settings, moved, part)
        try:
            here = surface.at(moved.positions.copy())
            if first is not None and ends and _alike(first, here):
                break
            first = here
            surface.points.clear()
            relaxation.minimise(surface, settings["fmax_ev_per_angstrom"], settings["max_steps"])
        except PhysicsFailure:
            continue
        moved.positions = surface.points[-1].positions
        ends.append((surface.points[-1].energy, sign, moved))
    if not ends:
        raise PhysicsFailure("not_converged", f"geometry: no minimum along the imaginary mode of {wavenumber:.0f}/cm")
    return min(ends, key=lambda end: end[:2])[2]


def _alike(one: relaxation.Point, other: relaxation.Point) -> bool:
    """Whether two displaced structures are mirror images by all signs: equal energies and equal sizes of all forces."""
    sizes = [np.sort(np.linalg.norm(point.gradient, axis=1)) for point in (one, other)]
    return abs(one.energy - other.energy) < SAME_ENERGY and bool(abs(sizes[0] - sizes[1]).max() < SAME_FORCE)


def _shape(atoms: "Atoms", frequencies: list[float]) -> dict[str, Any]:
    """What thermal corrections need beside the energy (`crosstalk.thermochemistry`)."""
    return {"frequencies_cm1": frequencies, "n_imaginary": sum(f < 0 for f in frequencies), **rotor.facts(atoms)}
