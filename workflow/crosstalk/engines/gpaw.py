"""Surfaces with GPAW (new code): slabs, relaxations, energies and work functions. One process or several under MPI.

Energies are the ones extrapolated to zero electronic temperature (ASE's default `get_potential_energy()`), so that the
smearing width drops out to second order; forces belong to the free energy, which differs by less than they are
converged to. Dispersion is added by simple-dftd3 over real atoms, periodic in the plane only, and listed apart.

In-plane reciprocal vectors b_i (2 pi included) get ceil(|b_i| / spacing) k-points, Gamma-centred; null is Gamma only.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from crosstalk.errors import EngineError, PhysicsFailure
from crosstalk.record import Gate, Outcome

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

Result = TypeVar("Result")

#: Remedies for an SCF that does not converge, in the order in which they are tried.
RUNGS = ("default", "soft_mixing", "more_smearing")
#: Factor by which "more_smearing" widens the occupations before it goes back to the level's own width.
WIDER = 6.0
#: GPAW's mixers, written out because its defaults change. The soft one takes small steps and damps long waves more.
MIXERS = {
    "default": {"name": "msr1", "nmaxold": 10, "beta": 0.05, "weight": 20.0},
    "soft_mixing": {"name": "pulay", "nmaxold": 8, "beta": 0.02, "weight": 100.0},
    "more_smearing": {"name": "pulay", "nmaxold": 8, "beta": 0.05, "weight": 100.0},
}
EIGENSOLVERS: dict[str, dict[str, Any]] = {"pw": {"name": "ppcg", "niter": 2}, "lcao": {"name": "lcao"}}
#: Residual of the wave functions at convergence, eV^2 per electron.
EIGENSTATES_TOLERANCE = 4e-8
#: A plateau of the potential steeper than this is no vacuum; eV per Angstrom.
FLAT = 0.02
#: Where the plateau is looked at: this far from the upper end of the cell (which holds the dipole layer), Angstrom.
PLATEAU = (1.5, 3.0)


def slab(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `slab`: build, relax, describe. Bonds that changed make it "surface_changed"."""
    from crosstalk.structures import graphs, slabs

    settings = spec.settings
    built = slabs.build(settings["surface"])
    outcome = _relax(built, settings["level"], settings["relax"], folder)
    change = graphs.compare(built, outcome.structures[0])
    if change.status != "ok":
        outcome.status, outcome.reason = "surface_changed", change.text
    outcome.quantities |= slabs.describe(outcome.structures[0])
    return outcome


def surface_relax(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `surface_relax`: a slab, a molecule in its box, or a pose, relaxed. What became of a pose is its status."""
    found = _geometry(spec, inputs)
    if isinstance(found, Outcome):
        return found
    outcome = _relax(found, spec.settings["level"], spec.settings, folder)
    final = outcome.structures[0]
    if _is_pose(final):
        from crosstalk.structures import graphs

        outcome.quantities["height_angstrom"] = _height(final)
        became, reason = graphs.adsorption_class(found, final)
        if became != "bound":
            outcome.status, outcome.reason = became, reason
    return outcome


def surface_energy(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `surface_energy`: energy, dispersion and, unless there is no slab, levels against the vacuum."""
    atoms = _geometry(spec, inputs)
    if isinstance(atoms, Outcome):
        return atoms
    level = spec.settings["level"]

    def attempt(rung: str) -> tuple[Any, float]:
        calculator = _calculator(atoms, level, folder, rung)
        return calculator, float(calculator.get_potential_energy(atoms))

    (calculator, energy), rungs = _climb(attempt)
    quantities = {"energy_ev": energy}
    if level["dispersion"] is not None:
        quantities["dispersion_ev"] = float(_dispersion(level).get_potential_energy(atoms))
        quantities["energy_ev"] += quantities["dispersion_ev"]
    gates = [Gate("scf_converged", True, rungs[-1])]
    if (atoms.get_tags() == 0).any():
        quantities |= _levels(calculator, level["dipole_correction"])
        slope = quantities["vacuum_slope_ev_per_angstrom"]
        gates.append(Gate("vacuum_flat", abs(slope) <= FLAT, round(slope, 6), FLAT, "eV/Angstrom"))
    if _is_pose(atoms):
        quantities["height_angstrom"] = _height(atoms)
    return Outcome(quantities=quantities, gates=gates, rungs=rungs, structures=[atoms])


# -- SCF ------------------------------------------------------------------------------------------------------------


def parameters(
    atoms: "Atoms", level: Mapping[str, Any], rung: str = "default", symmetry: bool = True
) -> dict[str, Any]:
    """GPAW's parameters for a level; `rung` changes how the SCF gets there and never what it converges to."""
    mode = level["mode"]
    chosen: dict[str, Any] = {
        "mode": {"name": "pw", "ecut": level["cutoff_ev"]} if mode == "pw" else {"name": "lcao"},
        "xc": level["functional"],
        "kpts": {"size": kpoints(atoms, level["kpoint_spacing_per_angstrom"]), "gamma": True},
        "occupations": {"name": "fermi-dirac", "width": level["smearing_ev"]},
        "mixer": MIXERS[rung],
        "eigensolver": EIGENSOLVERS[mode],
        "convergence": {
            "energy": level["energy_tolerance_ev"],
            "density": level["density_tolerance"],
            "eigenstates": EIGENSTATES_TOLERANCE,
        },
        "maxiter": level["max_iterations"],
        "symmetry": {"point_group": symmetry},
    }
    if mode == "lcao":
        chosen |= {"basis": level["basis"], "h": level["grid_spacing_angstrom"]}
    if level["dipole_correction"]:
        chosen["poissonsolver"] = {"dipolelayer": "xy"}
    return chosen


def kpoints(atoms: "Atoms", spacing: float | None) -> tuple[int, int, int]:
    """Numbers of k-points along the cell vectors; one along the normal."""
    if spacing is None:
        return (1, 1, 1)
    lengths = 2 * math.pi * np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    n, m = (max(1, math.ceil(round(float(length) / spacing, 6))) for length in lengths[:2])
    return (n, m, 1)


def _calculator(atoms: "Atoms", level: Mapping[str, Any], folder: Path, rung: str, symmetry: bool = True) -> Any:
    """A GPAW calculator; "more_smearing" has converged with wide occupations and goes on with the level's own."""
    from gpaw.dft import Parameters
    from gpaw.new.ase_interface import GPAW

    text = folder / ("gpaw.txt" if rung == "default" else f"gpaw.{rung}.txt")
    chosen = parameters(atoms, level, rung, symmetry)
    if rung != "more_smearing":
        return GPAW(txt=text, **chosen)
    wide = chosen | {"occupations": chosen["occupations"] | {"width": WIDER * level["smearing_ev"]}}
    calculator = GPAW(txt=text, **wide)
    calculator.get_potential_energy(atoms)
    calculator.params = Parameters(**chosen)
    builder = calculator.params.dft_component_builder(atoms, log=calculator.log)
    calculator.dft.scf_loop.occ_calc = builder.create_occupation_number_calculator()
    calculator.dft.results.clear()  # the energy of the wide occupations must not be taken for the number
    return calculator


def _scf_error() -> type[Exception]:
    from gpaw import KohnShamConvergenceError

    return KohnShamConvergenceError


def _climb(attempt: Callable[[str], Result]) -> tuple[Result, list[str]]:
    """The result of the first rung whose SCF converges, and the rungs tried. Raises PhysicsFailure when none does."""
    failure: Exception | None = None
    for n, rung in enumerate(RUNGS):
        try:
            return attempt(rung), list(RUNGS[: n + 1])
        except _scf_error() as error:
            failure = error
    raise PhysicsFailure("not_converged", f"SCF, after {', '.join(RUNGS)}") from failure


def _dispersion(level: Mapping[str, Any]) -> Any:
    """D3(BJ), two-body, as an ASE calculator. Raises EngineError for a functional without parameters."""
    from dftd3.ase import DFTD3
    from dftd3.interface import RationalDampingParam

    method = level["functional"].lower()
    try:
        RationalDampingParam(method=method)
    except RuntimeError as error:
        raise EngineError(f"simple-dftd3 has no D3(BJ) parameters for the functional {level['functional']}") from error
    return DFTD3(method=method, damping="d3bj")


# -- levels against the vacuum -----------------------------------------------------------------------------------


def _levels(calculator: Any, dipole_correction: bool) -> dict[str, float]:
    """Work functions of both sides, Fermi level and band edges against the upper vacuum, slope of the upper plateau.

    Where bands overlap, both edges are the Fermi level. Without a dipole layer both sides share one vacuum.
    """
    fermi = float(calculator.get_fermi_level())
    heights, potential = potential_profile(calculator)
    top = heights[-1] + (heights[1] - heights[0])
    window = (heights >= top - PLATEAU[1]) & (heights <= top - PLATEAU[0])
    slope = float(np.polyfit(heights[window], potential[window], 1)[0])
    if dipole_correction:
        upper, lower = (float(w) for w in calculator.dft.workfunctions())
    else:
        upper = lower = float(potential[window].mean()) - fermi
    vacuum = fermi + upper
    homo, lumo = (float(x) for x in calculator.get_homo_lumo())
    if lumo <= homo:
        homo = lumo = fermi
    return {
        "fermi_ev": -upper,
        "work_function_ev": upper,
        "work_function_bottom_ev": lower,
        "vbm_ev": homo - vacuum,
        "cbm_ev": lumo - vacuum,
        "gap_ev": lumo - homo,
        "vacuum_slope_ev_per_angstrom": slope,
    }


def potential_profile(calculator: Any) -> tuple[np.ndarray, np.ndarray]:
    """Heights from the bottom of the cell (Angstrom) and the electrostatic potential averaged over the plane (eV)."""
    potential = calculator.get_electrostatic_potential().mean(axis=(0, 1))
    height = float(calculator.atoms.cell[2, 2])
    return np.arange(len(potential)) * height / len(potential), potential


# -- relaxation --------------------------------------------------------------------------------------------------


def _relax(atoms: "Atoms", level: Mapping[str, Any], settings: Mapping[str, Any], folder: Path) -> Outcome:
    """Relax until the largest force is below the limit; a kill goes on from the trajectory in `folder`.

    settings  fmax_ev_per_angstrom, max_steps, freeze_below (fraction of the slab's thickness held fixed, from below)
    """
    limit, max_steps = settings["fmax_ev_per_angstrom"], settings["max_steps"]

    def attempt(rung: str) -> tuple["Atoms", int]:
        def make(moving: "Atoms") -> Any:
            return _with_dispersion(_calculator(moving, level, folder, rung, symmetry=False), level)

        return relax(atoms, make, limit, max_steps, settings["freeze_below"], folder / "relax.traj")

    (final, n_steps), rungs = _climb(attempt)
    force = float(np.linalg.norm(final.get_forces(), axis=1).max())
    quantities = {
        "energy_ev": float(final.get_potential_energy()),
        "n_steps": n_steps,
        "max_force_ev_per_angstrom": force,
    }
    if level["dispersion"] is not None:
        quantities["dispersion_ev"] = float(_dispersion(level).get_potential_energy(final))
    gates = [
        Gate("scf_converged", True, rungs[-1]),
        Gate("geometry_converged", force <= limit, round(force, 4), limit, "eV/Angstrom"),
    ]
    final.calc = None
    final.set_constraint()
    return Outcome(quantities=quantities, gates=gates, rungs=rungs, structures=[final])


def _with_dispersion(calculator: Any, level: Mapping[str, Any]) -> Any:
    """The calculator summed with dispersion where the level has it."""
    from ase.calculators.mixing import SumCalculator

    return calculator if level["dispersion"] is None else SumCalculator([calculator, _dispersion(level)])


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


# -- inputs ------------------------------------------------------------------------------------------------------


def _geometry(spec: "Spec", inputs: Mapping[str, "Input"]) -> "Atoms | Outcome":
    """The structure that the spec is about, or the outcome "absent" when its source holds fewer."""
    structures, index = inputs["geometry"].structures, spec.settings["index"]
    if index >= len(structures):
        return Outcome(status="absent", reason=f"structure {index + 1} of {len(structures)}")
    atoms = structures[index].copy()
    atoms.pbc = (True, True, False)
    return atoms


def _is_pose(atoms: "Atoms") -> bool:
    tags = atoms.get_tags()
    return bool((tags == 1).any() and (tags == 0).any())


def _height(atoms: "Atoms") -> float:
    """Lowest nucleus of the adsorbate above the highest of the slab, Angstrom; negative inside a trough."""
    z, tags = atoms.positions[:, 2], atoms.get_tags()
    return float(z[tags == 1].min() - z[tags == 0].max())
