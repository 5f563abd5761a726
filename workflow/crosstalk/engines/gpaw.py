"""Surfaces with GPAW (new code): self-consistent fields and their energies. One process or several under MPI.

Energies are the ones extrapolated to zero electronic temperature (ASE's default `get_potential_energy()`), so that the
smearing width drops out to second order; forces belong to the free energy, which differs by less than they are
converged to. Dispersion is added by simple-dftd3 over real atoms, periodic in the plane only, and listed apart.

Reciprocal vectors b_i (2 pi included) of periodic directions get ceil(|b_i| / spacing) k-points, Gamma-centred; null is Gamma only.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from crosstalk.errors import EngineError, PhysicsFailure
from crosstalk.record import Gate, Outcome
from crosstalk.units import BOHR_ANGSTROM, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

Result = TypeVar("Result")

#: Remedies for an SCF that does not converge, in the order in which they are tried.
RUNGS = ("default", "soft_mixing", "more_smearing", "davidson")
#: Factor by which "more_smearing" widens the occupations before it goes back to the level's own width.
WIDER = 6.0
#: GPAW's mixers, written out because its defaults change. The soft one takes small steps and damps long waves more.
MIXERS = {
    "default": {"name": "msr1", "nmaxold": 10, "beta": 0.05, "weight": 20.0},
    "soft_mixing": {"name": "pulay", "nmaxold": 8, "beta": 0.02, "weight": 100.0},
    "more_smearing": {"name": "pulay", "nmaxold": 8, "beta": 0.05, "weight": 100.0},
    "davidson": {"name": "pulay", "nmaxold": 8, "beta": 0.02, "weight": 100.0},
}
EIGENSOLVERS: dict[str, dict[str, Any]] = {"pw": {"name": "ppcg", "niter": 2}, "lcao": {"name": "lcao"}}
#: The eigensolver of rung "davidson": more work in each iteration, and no conjugate gradients to break down.
DAVIDSON: dict[str, Any] = {"name": "davidson", "niter": 3}
#: Residual of the wave functions at convergence, eV^2 per electron.
EIGENSTATES_TOLERANCE = 4e-8


def surface_energy(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `surface_energy`: energy, dispersion and, unless there is no slab, levels against the vacuum.

    Of the whole structure, or of one of its parts at the geometry of the whole. BEEF-vdW, the level's or one of the
    functionals that are evaluated on its density, adds what its ensemble is made of; a pose, on request, the charge of its adsorbate.
    """
    from crosstalk import beef
    from crosstalk.engines import gpaw_analysis as analysis
    from crosstalk.engines import gpaw_ensemble as ensemble

    whole = geometry(spec, inputs)
    if isinstance(whole, Outcome):
        return whole
    level, asked = spec.settings["level"], spec.settings
    atoms, ghosts = part(whole, asked.get("part"), asked.get("ghosts", False))
    real = atoms[[i for i in range(len(atoms)) if i not in ghosts]]

    def attempt(rung: str) -> tuple[Any, float]:
        calc = calculator(atoms, level, folder, rung, ghosts=ghosts)
        return calc, float(calc.get_potential_energy(atoms))

    (calc, energy), rungs = climb(attempt, level["mode"])
    quantities: dict[str, Any] = {"energy_ev": energy}
    if level["dispersion"] is not None:
        quantities["dispersion_ev"] = float(dispersion(level).get_potential_energy(real))
        quantities["energy_ev"] += quantities["dispersion_ev"]
    gates = [Gate("scf_converged", True, rungs[-1])]
    if level.get("magnetic_moments"):
        quantities |= analysis.magnetisation(calc)
    if (real.get_tags() == 0).any():
        found, flat = analysis.levels(calc, real, level["dipole_correction"])
        quantities |= found
        gates += flat
    if is_pose(real):
        quantities["height_angstrom"] = height(real)
    if others := asked.get("functionals"):
        quantities["functional_energies_ev"] = [
            energy + float(calc.get_xc_difference(ensemble.evaluated(name))) for name in others
        ]
    if beef.FUNCTIONAL in (level["functional"], *(others or ())):
        quantities["ensemble_contributions_ev"] = ensemble.contributions(calc)
    if asked.get("charges") is not None and is_pose(real):
        quantities["adsorbate_charge_e"] = analysis.adsorbate_charge(calc)
    if asked.get("profiles"):
        quantities |= analysis.profiles(calc, real)
    return Outcome(quantities=quantities, gates=gates, rungs=rungs, structures=[real])


def part(atoms: "Atoms", wanted: str | None, ghosts: bool) -> tuple["Atoms", list[int]]:
    """The slab or the molecule of a pose at the geometry of the whole (null: all of it), and the atoms that are ghosts.

    With `ghosts` the atoms of the other part stay, and leave nothing but their basis functions.
    """
    if wanted is None:
        return atoms, []
    other = atoms.get_tags() == (1 if wanted == "slab" else 0)
    if ghosts:
        return atoms, [int(i) for i in np.flatnonzero(other)]
    return atoms[~other], []


# -- SCF ------------------------------------------------------------------------------------------------------------


def parameters(
    atoms: "Atoms",
    level: Mapping[str, Any],
    rung: str = "default",
    symmetry: bool = True,
    ghosts: Sequence[int] = (),
) -> dict[str, Any]:
    """GPAW's parameters for a level; `rung` changes how the SCF gets there and never what it converges to."""
    mode = level["mode"]
    chosen: dict[str, Any] = {
        "mode": {"name": "pw", "ecut": level["cutoff_ev"]} if mode == "pw" else {"name": "lcao"},
        "xc": level["functional"],
        "kpts": {"size": kpoints(atoms, level["kpoint_spacing_per_angstrom"]), "gamma": True},
        "occupations": {"name": "fermi-dirac", "width": level["smearing_ev"]},
        "mixer": MIXERS[rung],
        "eigensolver": DAVIDSON if rung == "davidson" else EIGENSOLVERS[mode],
        "convergence": {
            "energy": level["energy_tolerance_ev"],
            "density": level["density_tolerance"],
            "eigenstates": EIGENSTATES_TOLERANCE,
        },
        "maxiter": level["max_iterations"],
        "symmetry": {"point_group": symmetry},
    }
    if mode == "lcao":
        chosen["basis"] = level["basis"]
    if mode == "lcao" or level["grid_spacing_angstrom"] < default_spacing(level["cutoff_ev"]):
        chosen["h"] = level["grid_spacing_angstrom"]
    if level["dipole_correction"] and not atoms.pbc[2]:
        chosen["poissonsolver"] = {"dipolelayer": "xy"}
    if ghosts:
        chosen["setups"] = dict.fromkeys(ghosts, "ghost")
    if level.get("magnetic_moments"):
        chosen["magmoms"] = start_moments(atoms, level, ghosts)
    return chosen


def start_moments(atoms: "Atoms", level: Mapping[str, Any], ghosts: Sequence[int] = ()) -> list[float]:
    """The moment (Bohr magnetons) that each atom starts with; with `opposite_sides` reversed below the middle of the slab."""
    moments = np.array([level["magnetic_moments"].get(symbol, 0.0) for symbol in atoms.symbols])
    moments[list(ghosts)] = 0.0
    if level.get("opposite_sides"):
        heights, slab = atoms.positions[:, 2], atoms.get_tags() == 0
        among = heights[slab] if slab.any() else heights
        moments[heights < (among.min() + among.max()) / 2] *= -1
    return [float(moment) for moment in moments]


def default_spacing(cutoff_ev: float) -> float:
    """GPAW's own grid for plane waves, Angstrom.

    It holds kinetic energies up to twice the cutoff, where the density has up to four times. With 350 eV energies wave by 50 meV
    and forces on the whole by 0.8 eV/Angstrom as OPF(OCH3)2 moves across it; at a spacing of 0.18 Angstrom by less than 0.1 meV.
    """
    return math.pi / math.sqrt(4 * cutoff_ev / HARTREE_EV) * BOHR_ANGSTROM


def kpoints(atoms: "Atoms", spacing: float | None) -> tuple[int, int, int]:
    """Numbers of k-points along the cell vectors; one along a slab's normal."""
    if spacing is None:
        return (1, 1, 1)
    lengths = 2 * math.pi * np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    n, m, o = (max(1, math.ceil(round(float(length) / spacing, 6))) for length in lengths)
    return (n, m, o if atoms.pbc[2] else 1)


def calculator(
    atoms: "Atoms",
    level: Mapping[str, Any],
    folder: Path,
    rung: str,
    symmetry: bool = True,
    ghosts: Sequence[int] = (),
) -> Any:
    """A GPAW calculator; "more_smearing" has converged with wide occupations and goes on with the level's own."""
    from gpaw.dft import Parameters
    from gpaw.new.ase_interface import GPAW

    from crosstalk.engines import gpaw_start, gpaw_sums, gpaw_xc

    for faster in (gpaw_start, gpaw_sums, gpaw_xc):
        faster.install()
    text = folder / ("gpaw.txt" if rung == "default" else f"gpaw.{rung}.txt")
    chosen = parameters(atoms, level, rung, symmetry, ghosts)
    if rung != "more_smearing":
        return GPAW(txt=text, **chosen)
    wide = chosen | {"occupations": chosen["occupations"] | {"width": WIDER * level["smearing_ev"]}}
    calc = GPAW(txt=text, **wide)
    calc.get_potential_energy(atoms)
    calc.params = Parameters(**chosen)
    builder = calc.params.dft_component_builder(atoms, log=calc.log)
    calc.dft.scf_loop.occ_calc = builder.create_occupation_number_calculator()
    calc.dft.results.clear()  # the energy of the wide occupations must not be taken for the number
    return calc


def _failures() -> tuple[type[Exception], ...]:
    """What an SCF raises that does not converge, or whose eigensolver breaks down on the way."""
    from gpaw import KohnShamConvergenceError

    return KohnShamConvergenceError, np.linalg.LinAlgError


def climb(attempt: Callable[[str], Result], mode: str) -> tuple[Result, list[str]]:
    """The result of the first rung whose SCF converges, and the rungs tried. Raises PhysicsFailure when none does.

    Orbitals of mode "lcao" are found by one diagonalisation: no other eigensolver is tried.
    """
    failure: Exception | None = None
    rungs = [rung for rung in RUNGS if rung != "davidson" or mode == "pw"]
    for n, rung in enumerate(rungs):
        try:
            return attempt(rung), rungs[: n + 1]
        except _failures() as error:
            failure = error
    raise PhysicsFailure("not_converged", f"SCF, after {', '.join(rungs)}") from failure


def dispersion(level: Mapping[str, Any]) -> Any:
    """D3(BJ), two-body, as an ASE calculator. Raises EngineError for a functional without parameters."""
    from dftd3.ase import DFTD3
    from dftd3.interface import RationalDampingParam

    method = level["functional"].lower()
    try:
        RationalDampingParam(method=method)
    except RuntimeError as error:
        raise EngineError(f"simple-dftd3 has no D3(BJ) parameters for the functional {level['functional']}") from error
    return DFTD3(method=method, damping="d3bj")


# -- inputs ------------------------------------------------------------------------------------------------------


def geometry(spec: "Spec", inputs: Mapping[str, "Input"]) -> "Atoms | Outcome":
    """The structure that the spec is about, or the outcome "absent" when its source holds fewer."""
    structures, index = inputs["geometry"].structures, spec.settings["index"]
    if index >= len(structures):
        return Outcome(status="absent", reason=f"structure {index + 1} of {len(structures)}")
    atoms = structures[index].copy()
    atoms.pbc = (True, True, False)
    return atoms


def is_pose(atoms: "Atoms") -> bool:
    tags = atoms.get_tags()
    return bool((tags == 1).any() and (tags == 0).any())


def height(atoms: "Atoms") -> float:
    """Lowest nucleus of the adsorbate above the highest of the slab, Angstrom; negative inside a trough."""
    z, tags = atoms.positions[:, 2], atoms.get_tags()
    return float(z[tags == 1].min() - z[tags == 0].max())
