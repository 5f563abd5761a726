"""xTB through tblite: the calculator, the relaxation and its model Hessian, for all xTB steps."""

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from crosstalk.errors import PhysicsFailure
from crosstalk.units import BOHR_ANGSTROM, HARTREE_EV

if TYPE_CHECKING:
    from tblite.ase import TBLite

#: Remedy for a self-consistent field that does not converge: slower mixing with a shorter memory, more iterations.
DAMPED = {"mixer_damping": 0.1, "max_iterations": 500, "mixer_memory": 20}
#: Lindh's model Hessian: exponents (1/bohr^2) and reference distances (bohr) by row of the periodic table, and the
#: force constant of a stretch (hartree/bohr^2). Chem. Phys. Lett. 1995, 241, 423.
LINDH_EXPONENT = np.array([[1.0, 0.3949, 0.3949], [0.3949, 0.28, 0.28], [0.3949, 0.28, 0.28]])
LINDH_DISTANCE = np.array([[1.35, 2.10, 2.53], [2.10, 2.87, 3.40], [2.53, 3.40, 3.40]])
LINDH_STRETCH = 0.45
#: Added to the diagonal, in place of Lindh's bends and torsions; eV/Angstrom^2. Of 1, 2, 4 and ASE's plain 70 the best.
SOFT_MODE = 4.0
#: A curvature below minus this (eV/Angstrom^2 per atomic mass unit; some 16i/cm) makes a saddle point; what is nearer to
#: zero is flat as far as the forces can tell. Step (Angstrom) and accuracy of the forces that it is taken from.
SADDLE_CURVATURE = 1e-3
SADDLE_STEP = 0.005
SADDLE_ACCURACY = 0.01
#: More atoms than this, or a cell: limited memory instead of a full Hessian.
FULL_HESSIAN_ATOMS = 100


def calculator(level: Mapping[str, Any], charge: int, multiplicity: int) -> "TBLite":
    """ASE calculator of an xTB level {method, accuracy, electronic_temperature_k}, silent, `forgetful` of fields that failed.

    One thread unless OMP_NUM_THREADS says otherwise: molecules are too small for more (threads that wait for each
    other on a busy machine cost a factor of 70), and one thread adds in one order.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return forgetful()(
        method=level["method"],
        accuracy=level["accuracy"],
        electronic_temperature=level["electronic_temperature_k"],
        charge=charge,
        multiplicity=multiplicity,
        verbosity=0,
    )


@cache
def forgetful() -> type["TBLite"]:
    """tblite's calculator, but one whose self-consistent field failed tries once more from nothing, and then forgets it.

    tblite begins with the field of the geometry before, also when that is the wreck of one that did not converge: lithium between
    the atoms of SiO with GFN1 "converged" 50,000 eV too low that way.
    """
    from ase.calculators.calculator import CalculationFailed
    from tblite.ase import TBLite

    class Forgetful(TBLite):
        def calculate(self, *arguments: Any, **named: Any) -> None:
            had = self._res is not None
            try:
                super().calculate(*arguments, **named)
            except CalculationFailed:
                self._xtb = self._res = None
                if not had:
                    raise
                self.calculate(*arguments, **named)

    return Forgetful


def relax(atoms: Atoms, calculator: "TBLite", fmax: float, max_steps: int, trajectory: Path | None = None) -> bool:
    """Relax `atoms` in place until no force exceeds `fmax` (eV/Angstrom; constraints count). True when it did.

    BFGS from Lindh's stretches took half the steps of BFGS or LBFGS from a plain Hessian (five organic molecules and
    dianions). Raises PhysicsFailure when the self-consistent field converges neither as it is nor DAMPED.
    """
    from ase.calculators.calculator import CalculationFailed

    atoms.calc = calculator
    try:
        return _optimiser(atoms, trajectory).run(fmax=fmax, steps=max_steps)
    except CalculationFailed:
        calculator.set(**DAMPED)
    try:
        return _optimiser(atoms, trajectory).run(fmax=fmax, steps=max_steps)
    except CalculationFailed as failure:
        raise PhysicsFailure("not_converged", f"SCF, damped mixing tried: {failure}") from failure


def _optimiser(atoms: Atoms, trajectory: Path | None) -> Any:
    from ase.optimize import BFGS, LBFGS

    quiet: dict[str, Any] = {"logfile": None, "trajectory": None if trajectory is None else str(trajectory)}
    if atoms.pbc.any() or len(atoms) > FULL_HESSIAN_ATOMS:
        return LBFGS(atoms, **quiet)
    optimiser = BFGS(atoms, **quiet)
    optimiser.H0 = model_hessian(atoms)
    return optimiser


def model_hessian(atoms: Atoms) -> np.ndarray:
    """Lindh's stretches between all pairs plus SOFT_MODE on the diagonal: (3n, 3n), eV/Angstrom^2."""
    n = len(atoms)
    across = atoms.positions[:, None] - atoms.positions[None]
    squared = (across**2).sum(axis=2)
    np.fill_diagonal(squared, 1.0)
    stretch = LINDH_STRETCH * lindh_decay(atoms.numbers[:, None], atoms.numbers[None, :], squared / BOHR_ANGSTROM**2)
    np.fill_diagonal(stretch, 0.0)
    blocks = -(stretch / squared)[..., None, None] * across[..., :, None] * across[..., None, :]
    blocks[np.arange(n), np.arange(n)] = -blocks.sum(axis=1)
    hessian = blocks.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n) * HARTREE_EV / BOHR_ANGSTROM**2
    return hessian + SOFT_MODE * np.eye(3 * n)


def lindh_decay(numbers: np.ndarray, others: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """How much of Lindh's force constants is left between atoms of these numbers at a squared distance (bohr^2).

    No more than e: his formula grows without bound for atoms that are too near.
    """
    pair = np.digitize(numbers, [3, 11]), np.digitize(others, [3, 11])
    return np.exp(np.minimum(LINDH_EXPONENT[pair] * (LINDH_DISTANCE[pair] ** 2 - squared), 1.0))


def downhill(atoms: Atoms, level: Mapping[str, Any], charge: int, multiplicity: int) -> np.ndarray | None:
    """Direction (n, 3) in which a saddle point falls most steeply, largest component 1; None at a minimum.

    From the mass-weighted Hessian, without translations and rotations.
    """
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    hessian = force_constants(atoms, level, charge, multiplicity) / root / root[:, None]
    inside = _vibrations(atoms, root)
    curvatures, modes = np.linalg.eigh(inside.T @ hessian @ inside)
    if not len(curvatures) or curvatures[0] > -SADDLE_CURVATURE:
        return None
    mode = (inside @ modes[:, 0]) / root
    return (mode / mode[np.argmax(np.abs(mode))]).reshape(-1, 3)


def force_constants(atoms: Atoms, level: Mapping[str, Any], charge: int, multiplicity: int) -> np.ndarray:
    """Hessian (3n, 3n) from central differences of the forces, eV/Angstrom^2."""
    gradient = gradients(atoms, level, charge, multiplicity)
    steps = SADDLE_STEP * np.eye(atoms.positions.size).reshape(-1, *atoms.positions.shape)
    rows = [(gradient(atoms.positions + step) - gradient(atoms.positions - step)).ravel() for step in steps]
    return (np.array(rows) + np.array(rows).T) / (4 * SADDLE_STEP)


def gradients(
    atoms: Atoms, level: Mapping[str, Any], charge: int, multiplicity: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Positions (n, 3) -> dE/dR (n, 3; eV/Angstrom), accurate enough to take differences of."""
    probe = atoms.copy()
    probe.calc = calculator({**level, "accuracy": min(level["accuracy"], SADDLE_ACCURACY)}, charge, multiplicity)

    def gradient(positions: np.ndarray) -> np.ndarray:
        probe.positions = positions
        return -np.asarray(probe.get_forces())

    return gradient


def _vibrations(atoms: Atoms, root: np.ndarray) -> np.ndarray:
    """Orthonormal mass-weighted displacements (3n, m) that neither move nor turn the whole; `root`: of the masses."""
    centred = atoms.positions - atoms.get_center_of_mass()
    moves = [np.tile(axis, len(atoms)) for axis in np.eye(3)]
    moves += [np.cross(axis, centred).ravel() for axis in np.eye(3)]
    left, singular, _ = np.linalg.svd((np.array(moves) * root).T)
    return left[:, int((singular > 1e-3 * singular[0]).sum()) :]
