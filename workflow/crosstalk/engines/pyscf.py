"""Molecules with PySCF: energies and geometries. Hartree and bohr end at this door.

Every quantity belongs to the real atoms; ghost atoms lend their basis functions and nothing else. Both steps go on
from what a killed run left in the work folder, and remove it when they finish.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines import corrections, scf
from crosstalk.errors import EngineError, PhysicsFailure
from crosstalk.record import Gate, Outcome, write_atomically
from crosstalk.units import BOHR_ANGSTROM, DEBYE_E_ANGSTROM, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Of one job; PySCF keeps its three-index integrals in memory as far as this goes.
MEMORY_MB = 3000
#: Largest deviation of <S^2> from S(S+1), hbar^2. Pure doublets of main-group molecules stay below 0.03 with these
#: functionals; at 0.1 about 3 % of the next higher spin is mixed in (each per cent of quartet adds 0.03 to a doublet),
#: and energy differences are then off by a few hundredths of an eV.
SPIN_LIMIT = 0.1
#: The def2 sets come with effective core potentials beyond this atomic number.
KRYPTON = 36
#: Positions of a resumed optimisation must repeat the stored ones this closely, Angstrom.
SAME_POINT = 1e-6
#: Level of the first force constants, and the least of them, eV/Angstrom^2.
GUESS_LEVEL = {"method": "GFN2-xTB", "accuracy": 1.0, "electronic_temperature_k": 300.0}
SOFTEST = 0.2
#: First step's length at most, Angstrom (a root mean square).
FIRST_TRUST = 0.2
#: Standard deviation of the displacement that a relaxation begins with, Angstrom.
SYMMETRY_BREAKING = 0.01


def molecule_energy(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `molecule_energy`: energy and frontier orbitals at a fixed geometry, with ghost atoms where asked for."""
    found = geometry_of(spec, inputs)
    if isinstance(found, Outcome):
        return found
    problem = Problem.of(spec.settings, found, folder)
    if problem.molecule.nelectron == 0:
        return Outcome(quantities=_bare_nuclei(problem), gates=[Gate("scf_converged", True, True, True)])
    with until_finished(folder):
        solution = scf.solve(problem.mean_field(), problem.level, folder)
        outcome = Outcome(rungs=solution.rungs, gates=[*solution.gates, _spin_gate(solution.field)])
        outcome.quantities = _energies(problem, solution.field) | _orbitals(problem, solution.field)
    return outcome


def rerank(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `rerank`: conformers within `window_ev` of the lowest, as they are, put in the order of a better level.

    What is known of finished conformers survives a kill. Weights are those of the new energies and the search's degeneracies.
    """
    from crosstalk.structures import conformers

    settings, found = spec.settings, inputs["geometry"]
    above = found.record.quantities.get("relative_energies_ev", [0.0])
    inside = [k for k in range(len(found.structures)) if above[k] <= settings["window_ev"]]
    notes = folder / "conformers.json"
    known: dict[str, dict[str, Any]] = json.loads(notes.read_text()) if notes.exists() else {}
    for index in inside:
        if str(index) not in known:
            problem = Problem.of(settings, found.structures[index], folder)
            with until_finished(folder):
                solution = scf.solve(problem.mean_field(), problem.level, folder)
            gates = [vars(gate) for gate in (*solution.gates, _spin_gate(solution.field))]
            energy = _energies(problem, solution.field)["energy_ev"]
            known[str(index)] = {"energy": energy, "rungs": solution.rungs, "gates": gates}
            write_atomically(notes, json.dumps(known).encode())
    energies = [known[str(index)]["energy"] for index in inside]
    rungs = [rung for index in inside for rung in known[str(index)]["rungs"]]
    every = [Gate(**gate) for index in inside for gate in known[str(index)]["gates"]]
    notes.unlink()
    order = sorted(range(len(inside)), key=lambda k: energies[k])[: settings["keep"]]
    relative = [energies[k] - energies[order[0]] for k in order]
    degeneracies = [found.record.quantities.get("degeneracies", [1] * len(above))[inside[k]] for k in order]
    outcome = Outcome(
        structures=[found.structures[inside[k]] for k in order], rungs=sorted(set(rungs), key=rungs.index)
    )
    outcome.gates = [gate for gate in every if not gate.passed] or every[:3]
    outcome.quantities = {
        "energy_ev": energies[order[0]], "relative_energies_ev": relative, "degeneracies": degeneracies,
        "weights": conformers.weights(relative, degeneracies), "n_found": len(order), "n_reranked": len(inside),
    }  # fmt: skip
    return outcome


def molecule_relax(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `molecule_relax`: the nearest minimum, in translation-rotation internal coordinates (geomeTRIC).

    Ends when no force exceeds `fmax_ev_per_angstrom`; raises PhysicsFailure("not_converged") after `max_steps`. A
    structure whose covalent connectivity changed is returned with that status; with setting connectivity "reported" it is
    a result like any other, and the gate says what it became.
    """
    start, settings = geometry_of(spec, inputs), spec.settings
    if isinstance(start, Outcome):
        return start
    surface = Surface(settings, _off_symmetry(start), folder)
    with until_finished(folder):
        minimise(surface, settings["fmax_ev_per_angstrom"], settings["max_steps"])
        problem, mf, gates = surface.last()
        rungs = scf.Journal(folder / "scf.json").rungs
    final = start.copy()
    final.positions = surface.points[-1].positions
    final.set_tags(0)
    failure, kept = kept_bonds(start, final, settings.get("connectivity", "kept"))
    outcome = Outcome(*failure, structures=[final], rungs=rungs, gates=[*gates, *kept])
    outcome.quantities = _energies(problem, mf) if mf is not None else _bare_nuclei(problem)
    force = surface.points[-1].max_force
    outcome.quantities |= {"n_steps": len(surface.points) - 1, "max_force_ev_per_angstrom": force}
    return outcome


def kept_bonds(start: "Atoms", final: "Atoms", rule: str) -> tuple[tuple[str, str], list[Gate]]:
    """(status, reason) and the gate "connectivity" of what a relaxation came to; rule "kept": other bonds are a failure."""
    from crosstalk.structures import graphs

    became = graphs.compare(start, final)
    if became.status == "ok":
        return ("ok", ""), [Gate("connectivity", True, "kept", "kept")]
    text = f"{became.status}: {became.text}; now {graphs.composition(final)}"
    status = ("ok", "") if rule == "reported" else (became.status, became.text)
    return status, [Gate("connectivity", False, text, "kept")]


def _off_symmetry(atoms: "Atoms") -> "Atoms":
    """A copy displaced by hundredths of an Angstrom, always the same: gradients alone never leave a symmetric saddle point."""
    moved = atoms.copy()
    moved.rattle(stdev=SYMMETRY_BREAKING, seed=1)
    return moved


@contextmanager
def until_finished(folder: Path) -> Iterator[None]:
    """Keep what a killed run goes on from, and remove it when the calculation ends, by a number or by its failure."""
    try:
        yield
    except PhysicsFailure:
        scf.forget(folder)
        raise
    scf.forget(folder)


def geometry_of(spec: "Spec", inputs: Mapping[str, "Input"]) -> "Atoms | Outcome":
    """The structure that the spec asks for, or the outcome "absent"."""
    structures, index = inputs["geometry"].structures, spec.settings["index"]
    if index >= len(structures):
        return Outcome("absent", f"structure {index + 1} asked for, {len(structures)} found")
    return structures[index]


@dataclass(frozen=True)
class Problem:
    """A molecule at a geometry and a level. `real`: the atoms that have nuclei; positions in Angstrom."""

    level: Mapping[str, Any]
    environment: Mapping[str, Any] | None
    charge: int
    real: "Atoms"
    molecule: Any

    @classmethod
    def of(cls, settings: Mapping[str, Any], atoms: "Atoms", folder: Path) -> "Problem":
        from pyscf import gto

        level, environment = settings["level"], settings.get("environment")
        if environment is not None and environment["model"] is None:
            environment = None
        kept = settings.get("real_atoms")
        real = atoms[list(range(len(atoms))) if kept is None else kept]
        ghosts = atoms[list(settings.get("ghost_atoms") or [])]
        if len(ghosts) and environment is not None:
            raise EngineError("ghost atoms inside a continuum: the cavity would enclose atoms that are not there")
        names = [*real.symbols, *(f"ghost-{symbol}" for symbol in ghosts.symbols)]
        positions = np.vstack([real.positions, ghosts.positions]) / BOHR_ANGSTROM
        basis, heavy = (
            level["basis"],
            sorted({s for s, z in zip(real.symbols, real.numbers, strict=True) if z > KRYPTON}),
        )
        molecule = gto.M(
            atom=list(zip(names, positions.tolist(), strict=True)),
            unit="Bohr",
            basis=basis,
            ecp=dict.fromkeys(heavy, basis) if basis.lower().startswith("def2") else {},
            charge=settings["charge"],
            spin=settings["multiplicity"] - 1,
            max_memory=MEMORY_MB,
            verbose=0,
        )
        molecule.stdout = (folder / "pyscf.log").open("a")  # for people; stays open as long as the molecule
        molecule.verbose = 4
        return cls(level, environment, settings["charge"], real, molecule)

    def mean_field(self) -> Any:
        return scf.mean_field(self.molecule, self.level, self.environment)

    def corrections(self) -> tuple[dict[str, float], np.ndarray]:
        """Dispersion and counterpoise corrections by quantity (eV), and their gradient (eV/Angstrom, real atoms)."""
        symbols, positions = list(self.real.symbols), self.real.positions
        terms, gradient = {"dispersion_ev": 0.0}, np.zeros((len(self.real), 3))
        if name := self.level["dispersion"]:
            functional = self.level["functional"]
            value, part = corrections.dispersion(symbols, positions, self.charge, functional, name)
            terms["dispersion_ev"] = value
            gradient += part
        if name := self.level["basis_correction"]:
            terms["basis_correction_ev"], part = corrections.basis_correction(symbols, positions, name)
            gradient += part
        return terms, gradient


def _energies(problem: Problem, mf: Any) -> dict[str, float]:
    """Total energy with its listed parts."""
    terms, _ = problem.corrections()
    total = float(mf.e_tot) * HARTREE_EV + sum(terms.values())
    if problem.environment is not None:
        terms["solvation_ev"] = float(mf.with_solvent.kernel(mf.make_rdm1())[0]) * HARTREE_EV
    return {"energy_ev": total} | terms


def _bare_nuclei(problem: Problem) -> dict[str, float]:
    """Nuclei without electrons (a proton): repulsion, corrections and the continuum's answer to point charges."""
    mol = problem.molecule
    terms, _ = problem.corrections()
    total = float(mol.energy_nuc()) * HARTREE_EV + sum(terms.values())
    if problem.environment is not None:
        continuum = problem.mean_field().with_solvent
        terms["solvation_ev"] = float(continuum.kernel(np.zeros((mol.nao, mol.nao)))[0]) * HARTREE_EV
        total += terms["solvation_ev"]
    return {"energy_ev": total} | terms | {"s_squared": 0.0, "n_basis": mol.nao}


def _orbitals(problem: Problem, mf: Any) -> dict[str, float]:
    """Frontier levels, dipole and spin. Without virtual orbitals there is no lumo_ev, gap_ev, lumo_extent_angstrom."""
    mol = mf.mol
    occupations, levels = np.atleast_2d(mf.mo_occ), np.atleast_2d(mf.mo_energy)
    orbitals = np.reshape(mf.mo_coeff, (len(levels), mol.nao, -1))
    homo = float(levels[occupations > 0].max()) * HARTREE_EV
    found = {"homo_ev": homo, "dipole_debye": _dipole(problem, mf), "s_squared": _s_squared(mf), "n_basis": mol.nao}
    if (occupations == 0).any():
        spin, index = np.unravel_index(np.argmin(np.where(occupations == 0, levels, np.inf)), levels.shape)
        lumo = float(levels[spin, index]) * HARTREE_EV
        with mol.with_common_origin(problem.real.positions.mean(axis=0) / BOHR_ANGSTROM):
            orbital = orbitals[spin][:, index]
            extent = float(np.sqrt(orbital @ mol.intor("int1e_r2") @ orbital)) * BOHR_ANGSTROM
        found |= {"lumo_ev": lumo, "gap_ev": lumo - homo, "lumo_extent_angstrom": extent}
    return found


def _dipole(problem: Problem, mf: Any) -> float:
    """Magnitude of the dipole about the centre of mass, debye. The origin matters for ions only."""
    mol, density = mf.mol, mf.make_rdm1()
    if density.ndim == 3:
        density = density.sum(axis=0)
    origin = problem.real.get_center_of_mass() / BOHR_ANGSTROM
    with mol.with_common_origin(origin):
        electrons = -np.einsum("xij,ji->x", mol.intor_symmetric("int1e_r", comp=3), density)
    nuclei = mol.atom_charges() @ (mol.atom_coords() - origin)
    return float(np.linalg.norm(nuclei + electrons)) * BOHR_ANGSTROM / DEBYE_E_ANGSTROM


def _s_squared(mf: Any) -> float:
    return float(mf.spin_square()[0]) if np.ndim(mf.mo_occ) == 2 else 0.0


def _spin_gate(mf: Any) -> Gate:
    spin = mf.mol.spin / 2
    excess = round(abs(_s_squared(mf) - spin * (spin + 1)), 4)
    return Gate("spin", excess <= SPIN_LIMIT, excess, SPIN_LIMIT, "hbar^2")


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
    """

    settings: Mapping[str, Any]
    start: "Atoms"
    folder: Path
    points: list[Point] = field(default_factory=list)
    _stored: list[Point] = field(default_factory=list)
    _current: tuple[Problem, scf.Solution | None] | None = None
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
        slope = solution.field.nuc_grad_method()
        slope.grid_response = True  # without it r2SCAN's forces are off by up to 0.02 eV/Angstrom, more than the limit
        gradient = gradient + np.asarray(slope.kernel()) * (HARTREE_EV / BOHR_ANGSTROM)
        return Point(positions, energy, gradient)

    def _solve(self, positions: np.ndarray) -> tuple[Problem, scf.Solution | None]:
        """Solve at `positions`, from the density of the point before, and remember it as the current one."""
        self._where = positions
        atoms = self.start.copy()
        atoms.positions = positions
        problem = Problem.of(self.settings, atoms, self.folder)
        if problem.molecule.nelectron == 0:
            self._current = (problem, None)
            return self._current
        before = self._current[1].field.make_rdm1() if self._current and self._current[1] else None
        level = {**problem.level, "stability": problem.level["stability"] and not self.points}
        self._current = (problem, scf.solve(problem.mean_field(), level, self.folder, before))
        return self._current

    def last(self) -> tuple[Problem, Any, list[Gate]]:
        """Problem, field and gates of the last point."""
        where = self.points[-1].positions
        if self._current is None or self._where is None or abs(self._where - where).max() > SAME_POINT:
            self._solve(where)
        assert self._current is not None
        problem, solution = self._current
        gates = [Gate("scf_converged", True, True, True)]
        if solution is None:
            return problem, None, gates
        if problem.level["stability"]:
            kind, _ = scf.diagnose(solution.field)
            gates.append(Gate("stable", kind == "none", kind, "none"))
        return problem, solution.field, [*gates, _spin_gate(solution.field)]


def _force_constants(surface: Surface) -> np.ndarray | None:
    """GFN2's Hessian (eV/Angstrom^2) to begin with, made positive; None where GFN2 fails.

    A walk that begins with it takes a third of the steps. This is the one place where an engine asks another: for how
    stiff a molecule is about, which decides the way to a minimum and not the minimum.
    """
    from ase.calculators.calculator import CalculationFailed

    from crosstalk.engines import xtb

    charge, multiplicity = surface.settings["charge"], surface.settings["multiplicity"]
    try:
        matrix = xtb.force_constants(surface.start, GUESS_LEVEL, charge, multiplicity)
    except CalculationFailed:
        return None
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
    if (guess := _force_constants(surface)) is not None:
        parameters.hess_data = guess * (BOHR_ANGSTROM**2 / HARTREE_EV)
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
