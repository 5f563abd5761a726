"""Relaxation of molecules with PySCF: energies and forces remembered on disk, and geomeTRIC's walk on them.

A killed relaxation goes on from its last point, and its files are removed when it ends.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines import fields, scf, stability
from crosstalk.engines import pyscf as engine
from crosstalk.errors import PhysicsFailure
from crosstalk.record import Gate, Outcome
from crosstalk.units import BOHR_ANGSTROM, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Positions of a resumed optimisation must repeat the stored ones this closely, Angstrom.
SAME_POINT = 1e-6
#: Level of the first force constants, and the least of them, eV/Angstrom^2.
GUESS_LEVEL = {"method": "GFN2-xTB", "accuracy": 1.0, "electronic_temperature_k": 300.0}
SOFTEST = 0.2
#: First step's length at most, Angstrom (a root mean square).
FIRST_TRUST = 0.2
#: Standard deviation of the displacement that a relaxation begins with, Angstrom.
SYMMETRY_BREAKING = 0.01


def molecule_relax(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `molecule_relax`: the nearest minimum, in translation-rotation internal coordinates (geomeTRIC).

    Ends when no force exceeds `fmax_ev_per_angstrom`; raises PhysicsFailure("not_converged") after `max_steps`. A
    structure whose covalent connectivity changed is returned with that status; with setting connectivity "reported" it is
    a result like any other, and the gate says what it became.
    """
    start, settings = engine.geometry_of(spec, inputs), spec.settings
    if isinstance(start, Outcome):
        return start
    surface = Surface(settings, _off_symmetry(start), folder)
    with engine.until_finished(folder):
        minimise(surface, settings["fmax_ev_per_angstrom"], settings["max_steps"])
        problem, mf, gates = surface.last()
        rungs = scf.Journal(folder / "scf.json").rungs
    final = start.copy()
    final.positions = surface.points[-1].positions
    final.set_tags(0)
    failure, kept = kept_bonds(start, final, settings.get("connectivity", "kept"))
    outcome = Outcome(*failure, structures=[final], rungs=rungs, gates=[*gates, *kept])
    outcome.quantities = engine.energy_parts(problem, mf) if mf is not None else engine.bare_nuclei(problem)
    force = surface.points[-1].max_force
    outcome.quantities |= {"n_steps": len(surface.points) - 1, "max_force_ev_per_angstrom": force}
    return outcome


def kept_bonds(start: "Atoms", final: "Atoms", rule: str) -> tuple[tuple[str, str], list[Gate]]:
    """(status, reason) and the gate "connectivity" of what a relaxation came to; rule "kept": other bonds are a failure."""
    from crosstalk.structures import graphs

    became = graphs.compare(start, final)
    change, what = became.status, became.text
    if change == "ok":
        what = graphs.parted(start, final)
        change = "dissociated" if what else "ok"
    if change == "ok":
        return ("ok", ""), [Gate("connectivity", True, "kept", "kept")]
    text = f"{change}: {what}; now {graphs.composition(final)}"
    status = ("ok", "") if rule == "reported" else (change, what)
    return status, [Gate("connectivity", False, text, "kept")]


def _off_symmetry(atoms: "Atoms") -> "Atoms":
    """A copy displaced by hundredths of an Angstrom, always the same: gradients alone never leave a symmetric saddle point."""
    moved = atoms.copy()
    moved.rattle(stdev=SYMMETRY_BREAKING, seed=1)
    return moved


@dataclass
class Point:
    """An evaluated geometry: positions (Angstrom), energy (eV), gradient (eV/Angstrom)."""

    positions: np.ndarray
    energy: float
    gradient: np.ndarray

    @property
    def max_force(self) -> float:
        return float(np.linalg.norm(self.gradient, axis=1).max())


@dataclass
class Surface:
    """Energies and gradients of a molecule, remembered on disk in the order in which they were asked for.

    The optimiser is deterministic: a resumed run asks for the same points and gets them from the file, so it arrives
    where the killed one was, Hessian included. Wavefunction stability is analysed at the first and the last point.
    for_differences: forces of so little noise that their differences are force constants.
    """

    settings: Mapping[str, Any]
    start: "Atoms"
    folder: Path
    for_differences: bool = False
    points: list[Point] = field(default_factory=list)
    _stored: list[Point] = field(default_factory=list)
    _current: tuple[engine.Problem, scf.Solution | None] | None = None
    _where: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.path = self.folder / "relax.jsonl"
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            try:
                raw = json.loads(line)
            except json.JSONDecodeError:  # the line that the kill cut short
                break
            self._stored.append(Point(np.array(raw["positions"]), raw["energy"], np.array(raw["gradient"])))

    def at(self, positions: np.ndarray) -> Point:
        index = len(self.points)
        if index < len(self._stored) and abs(self._stored[index].positions - positions).max() < SAME_POINT:
            point = self._stored[index]
        else:
            self._stored = self._stored[:index]
            point = self._compute(positions)
            self._stored.append(point)
            lines = [json.dumps({name: np.asarray(v).tolist() for name, v in vars(p).items()}) for p in self._stored]
            self.path.write_text("\n".join(lines) + "\n")
        self.points.append(point)
        return point

    def _compute(self, positions: np.ndarray) -> Point:
        problem, solution = self._solve(positions)
        terms, gradient = problem.corrections()
        if solution is None:
            return Point(positions, float(problem.molecule.energy_nuc()) * HARTREE_EV, gradient)
        energy = float(solution.field.e_tot) * HARTREE_EV + sum(terms.values())
        gradient = gradient + fields.gradient(solution.field) * (HARTREE_EV / BOHR_ANGSTROM)
        return Point(positions, energy, gradient)

    def _solve(self, positions: np.ndarray) -> tuple[engine.Problem, scf.Solution | None]:
        """Solve at `positions`, from the solution of the point before, and remember it as the current one."""
        self._where = positions
        atoms = self.start.copy()
        atoms.positions = positions
        problem = engine.Problem.of(self.settings, atoms, self.folder)
        if problem.molecule.nelectron == 0:
            self._current = (problem, None)
            return self._current
        before = self._current[1] if self._current else None
        level = {**problem.level, "stability": problem.level["stability"] and not self.points}
        solution = scf.solve(
            problem.mean_field(), level, self.folder, before, empty_levels=False, tight=self.for_differences
        )
        self._current = (problem, solution)
        return self._current

    def last(self) -> tuple[engine.Problem, Any, list[Gate]]:
        """engine.Problem, field and gates of the last point."""
        where = self.points[-1].positions
        if self._current is None or self._where is None or abs(self._where - where).max() > SAME_POINT:
            self._solve(where)
        assert self._current is not None
        problem, solution = self._current
        gates = [Gate("scf_converged", True, True, True)]
        if solution is None:
            return problem, None, gates
        if problem.level["stability"]:
            kind = stability.diagnose(solution.field).kind
            gates.append(Gate("stable", kind == "none", kind, "none"))
        return problem, solution.field, [*gates, engine.spin_gate(solution.field)]


def force_constants(settings: Mapping[str, Any], atoms: "Atoms") -> np.ndarray | None:
    """GFN2's Hessian (eV/Angstrom^2) of a species; None where GFN2 fails.

    Here and in `model_gradients` an engine asks another: for how stiff and how anharmonic a molecule is about, which
    decides the way to a minimum or the directions of a difference, and not the result.
    """
    from ase.calculators.calculator import CalculationFailed

    from crosstalk.engines import xtb

    try:
        return xtb.force_constants(atoms, GUESS_LEVEL, settings["charge"], settings["multiplicity"])
    except CalculationFailed:
        return None


def model_gradients(settings: Mapping[str, Any], atoms: "Atoms") -> Callable[[np.ndarray], np.ndarray]:
    """GFN2's gradient (eV/Angstrom) of a species at positions (Angstrom)."""
    from crosstalk.engines import xtb

    return xtb.gradients(atoms, GUESS_LEVEL, settings["charge"], settings["multiplicity"])


def _positive(matrix: np.ndarray) -> np.ndarray:
    """A Hessian that goes downhill everywhere: a walk that begins with it takes half the steps, or fewer."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(abs(values), SOFTEST)) @ vectors.T


class _Arrived(Exception):
    """The forces are small enough."""


def minimise(surface: Surface, fmax: float, max_steps: int) -> None:
    """Walk on `surface` until the largest force is at most `fmax` (eV/Angstrom)."""
    if surface.at(surface.start.positions.copy()).max_force <= fmax or len(surface.start) == 1:
        return
    surface.points.clear()
    import geometric
    from geometric.internal import DelocalizedInternalCoordinates

    class Engine(geometric.engine.Engine):
        def calc_new(self, coords: np.ndarray, dirname: str) -> dict[str, Any]:
            point = surface.at(coords.reshape(-1, 3) * BOHR_ANGSTROM)
            if point.max_force <= fmax:
                raise _Arrived
            if len(surface.points) > max_steps:
                text = f"largest force {point.max_force:.3f} eV/Angstrom after {max_steps} steps (limit {fmax})"
                raise PhysicsFailure("not_converged", f"geometry: {text}")
            per_bohr = BOHR_ANGSTROM / HARTREE_EV
            return {"energy": point.energy / HARTREE_EV, "gradient": point.gradient.ravel() * per_bohr}

    molecule = geometric.molecule.Molecule()
    molecule.elem = list(surface.start.symbols)
    molecule.xyzs = [surface.start.positions.copy()]
    molecule.build_topology()
    coordinates = DelocalizedInternalCoordinates(molecule, build=True, connect=False, addcart=False)
    parameters = geometric.params.OptParams(
        maxiter=10 * max_steps, convergence_set="GAU_VERYTIGHT", trust=FIRST_TRUST, frequency=False
    )
    if (guess := force_constants(surface.settings, surface.start)) is not None:
        parameters.hess_data = _positive(guess) * (BOHR_ANGSTROM**2 / HARTREE_EV)
    optimiser = geometric.optimize.Optimizer(
        surface.start.positions.ravel() / BOHR_ANGSTROM, molecule, coordinates, Engine(molecule),
        str(surface.folder / "geometric"), parameters, print_info=False,
    )  # fmt: skip
    try:
        optimiser.optimizeGeometry()
    except _Arrived:
        return
    except geometric.errors.Error as error:
        raise PhysicsFailure("not_converged", f"geometry: {error}") from error
    left = f"{surface.points[-1].max_force:.3f} eV/Angstrom"
    raise PhysicsFailure("not_converged", f"geometry: the optimiser stopped at a largest force of {left}")
