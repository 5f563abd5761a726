"""xTB on surfaces (tblite): relaxed slabs, and poses of an adsorbate filtered on the frozen slab, there by any ASE calculator.

tblite samples the Gamma point only and treats a partly periodic system as periodic in three directions. So slabs are
relaxed in a repeat of SUPERCELL width, with energy and forces folded back onto the surface cell, and everything has
VACUUM above it. A filter, no more: energies that count come from another engine. The total energy of a slab of polar
bonds drifts with the height of the cell (hydroxylated silica: 3 eV between 20 and 40 Angstrom, adsorption energies by
0.2 eV), because the Klopman-Ohno Coulomb sum of such a cell converges with its shape. So all that is compared stands in
one cell, whose height does not depend on the number of starts.
"""

import importlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from crosstalk.engines.surface_hessian import RIGID, generalised_force
from crosstalk.errors import CrosstalkError, EngineError, PhysicsFailure
from crosstalk.record import Gate, Outcome, write_atomically
from crosstalk.structures.rotor import rigid_modes

if TYPE_CHECKING:
    from crosstalk.spec import Spec
    from crosstalk.steps import Input
    from crosstalk.structures.poses import Start

#: Between the highest atom and the next image along the normal, Angstrom.
VACUUM = 20.0
#: Narrowest repeat in which the Gamma point stands for the surface's whole Brillouin zone, Angstrom.
SUPERCELL = 9.0
#: Diagonal of the start Hessian for slab atoms, eV/Angstrom^2: ASE's own choice.
STIFF = 70.0
#: How a start can end, in the order of quantity `starts_by_class`.
CLASSES = ("bound", "desorbed", "dissociated", "rearranged", "surface_changed", "unconverged", "failed")
#: Longest step of an atom in a relaxation, Angstrom.
LONGEST_STEP = 0.2


def slab(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `slab`: build and relax. Seconds to a minute, so a killed one starts again."""
    from ase.constraints import FixAtoms
    from ase.optimize import BFGS

    from crosstalk.structures import slabs

    settings = spec.settings["relax"]
    built = slabs.of_spec(spec, inputs)
    moving = tall(built)
    moving.set_constraint(FixAtoms(slabs.frozen(built, settings["freeze_below"])))
    moving.calc = Folded(_calculator(spec.settings["level"]), slabs.repeat_to(built, SUPERCELL))
    optimiser = BFGS(moving, logfile=None, maxstep=LONGEST_STEP)
    try:
        optimiser.run(fmax=settings["fmax_ev_per_angstrom"], steps=settings["max_steps"])
        force = _largest_force(moving)
        energy = float(moving.get_potential_energy())
    except CalculationFailed as failure:
        raise PhysicsFailure("not_converged", f"SCF of the slab: {failure}") from failure
    relaxed = slabs.in_box(Atoms(moving.symbols, moving.positions, cell=moving.cell), slabs.VACUUM)
    changed, gates = slabs.bonds_kept(built, relaxed, spec.settings["surface"])
    if changed:
        raise PhysicsFailure("surface_changed", changed)
    limit = settings["fmax_ev_per_angstrom"]
    quantities = {"energy_ev": energy, "n_steps": optimiser.nsteps, "max_force_ev_per_angstrom": force}
    gates = [Gate("geometry_converged", force <= limit, round(force, 4), limit, "eV/Angstrom"), *gates]
    return Outcome(quantities=quantities | slabs.describe(relaxed), gates=gates, structures=[relaxed])


def poses(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `poses`: starts relaxed on the frozen slab, the distinct ones from the lowest up.

    With a patience they go on until so many in a row changed none of the poses that are kept; `search_saturated` is
    missed when EXTENSION times `n_poses` did not do. Every finished start leaves a file in `folder` and is not done
    again. A start that this level cannot do is left out; when it can do none, the starts themselves go on, unranked, and
    the gate `filter_converged` is missed.
    """
    from crosstalk.structures import poses as placing

    settings = spec.settings
    sampling = settings["sampling"]
    primitive = inputs["slab"].structures[0]
    conformers = _conformers(inputs["adsorbate"], sampling["energy_window_ev"])

    @cache
    def start(index: int) -> "Start":
        seed, above = sampling["seed"], sampling["height_angstrom"]
        return placing.start(index, primitive, settings["repeat"], conformers, seed, above)

    first = [start(k).atoms for k in range(sampling["n_poses"])]
    bare = primitive.repeat((*settings["repeat"], 1))
    bare.set_tags(0)
    size = max(float(a.get_all_distances().max()) for a in conformers)
    height = float(np.ptp(bare.positions[:, 2])) + sampling["height_angstrom"] + size + VACUUM
    level, fmax, steps = settings["level"], sampling["fmax_ev_per_angstrom"], sampling["max_steps"]
    try:
        zero, molecule = _references(bare, conformers, level, height, fmax, folder)
    except CalculationFailed as failure:
        return _unranked(bare, conformers[0], first, settings, f"the bare slab: {failure}")

    def end(index: int) -> End:
        return _finished(start(index), level, height, fmax, steps, folder / f"pose_{index:03d}.json")

    ends, idle = _search(end, sampling)
    if all(e.status == "failed" for e in ends):
        return _unranked(bare, molecule, [e.atoms for e in ends], settings, ends[0].reason)
    return _ranked(bare, molecule, ends, idle, zero, settings)


# -- one start ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """How a start ended: bound | unconverged (max_steps) | failed (no SCF) | a class of graphs.adsorption_class.

    positions in Angstrom (those of the start when failed), energy in eV (None when failed).
    """

    status: str
    reason: str
    energy: float | None
    atoms: Atoms


def _finished(start: "Start", level: Mapping[str, Any], height: float, fmax: float, max_steps: int, path: Path) -> End:
    """The end of a start: read from `path`, or computed and written there."""
    if path.exists():
        kept = json.loads(path.read_text())
        atoms = start.atoms.copy()
        atoms.positions = kept["positions"]
        return End(kept["status"], kept["reason"], kept["energy"], atoms)
    end = _relaxed(start.atoms, level, height, fmax, max_steps)
    data = {"status": end.status, "reason": end.reason, "energy": end.energy, "positions": end.atoms.positions.tolist()}
    write_atomically(path, json.dumps(data).encode())
    return end


def _relaxed(start: Atoms, level: Mapping[str, Any], height: float, fmax: float, max_steps: int) -> End:
    """Relax the adsorbate on the frozen slab."""
    from ase.constraints import FixAtoms
    from ase.optimize import BFGS

    from crosstalk.structures import graphs

    moving = tall(start, height)
    moving.set_constraint(FixAtoms(np.flatnonzero(start.get_tags() == 0)))
    moving.calc = _calculator(level)
    optimiser = BFGS(moving, logfile=None, maxstep=LONGEST_STEP)
    optimiser.H0 = _hessian(start)
    converged = False
    mine = start.get_tags() == 1
    try:
        for _ in optimiser.irun(fmax=0.0, steps=max_steps):
            converged = generalised_force(moving.positions[mine], moving.get_forces()[mine]) <= fmax
            if converged:
                break
        energy = float(moving.get_potential_energy())
    except CalculationFailed as failure:
        return End("failed", f"SCF: {failure}", None, start)
    final = start.copy()
    final.positions = moving.positions
    became, reason = graphs.adsorption_class(start, final)
    if became == "bound" and not converged:
        became, reason = "unconverged", f"forces above {fmax} eV/Angstrom after {max_steps} steps"
    return End(became, reason, energy, final)


def _hessian(start: Atoms) -> np.ndarray:
    """Start Hessian: Lindh's stretches within the adsorbate, soft as a rigid body. eV/Angstrom^2."""
    from crosstalk.engines.xtb import model_hessian

    mine = np.flatnonzero(start.get_tags() == 1)
    inner = model_hessian(start[mine])
    modes = rigid_modes(start.positions[mine])
    others = np.eye(len(inner)) - modes.T @ modes
    hessian = STIFF * np.eye(3 * len(start))
    coordinates = (3 * mine[:, None] + np.arange(3)).ravel()
    hessian[np.ix_(coordinates, coordinates)] = others @ inner @ others + RIGID * modes.T @ modes
    return hessian


# -- all starts --------------------------------------------------------------------------------------------------


def _conformers(adsorbate: "Input", window_ev: float) -> list[Atoms]:
    """Conformers within the window, ascending. Raises CrosstalkError for an ion: a charged cell has no energy.

    What gathers relaxed conformers knows no charge; then the config was checked for it.
    """
    settings, quantities = adsorbate.record.spec.settings, adsorbate.record.quantities
    species = settings.get("species", settings)
    if species.get("charge", 0) != 0 or species.get("multiplicity", 1) != 1:
        raise CrosstalkError(
            f"'{adsorbate.record.spec.label}' is no closed-shell neutral: it cannot stand in a periodic cell"
        )
    relative = quantities.get("relative_energies_ev", [0.0])
    return [atoms for atoms, energy in zip(adsorbate.structures, relative, strict=False) if energy <= window_ev]


def _references(
    bare: Atoms, conformers: Sequence[Atoms], level: Mapping[str, Any], height: float, fmax: float, folder: Path
) -> tuple[float, Atoms]:
    """E(slab) + E(molecule) in eV, both in the poses' cell, and the molecule (its lowest conformer relaxed there)."""
    from ase.optimize import BFGS

    from crosstalk.engines.xtb import model_hessian

    path = folder / "references.json"
    if path.exists():
        kept = json.loads(path.read_text())
        return kept["energy"], Atoms(conformers[0].symbols, kept["positions"])
    clean = tall(bare, height)
    clean.calc = _calculator(level)
    slab_energy = float(clean.get_potential_energy())
    found = []
    for conformer in conformers:
        alone = Atoms(conformer.symbols, conformer.positions, cell=clean.cell, pbc=True)
        alone.calc = _calculator(level)
        optimiser = BFGS(alone, logfile=None, maxstep=LONGEST_STEP)
        optimiser.H0 = model_hessian(conformer)
        optimiser.run(fmax=fmax / 2, steps=200)
        found.append((float(alone.get_potential_energy()), alone.positions))
    energy, positions = min(found, key=lambda entry: entry[0])
    write_atomically(path, json.dumps({"energy": slab_energy + energy, "positions": positions.tolist()}).encode())
    return slab_energy + energy, Atoms(conformers[0].symbols, positions)


def _search(end: Callable[[int], End], sampling: Mapping[str, Any]) -> tuple[list[End], int]:
    """The ends of starts 0, 1, ..., and how many of the last ones changed no candidate (0 without a patience)."""
    from crosstalk.engines.xtb_search import EXTENSION
    from crosstalk.structures.pose_ensembles import Candidates

    enough, patience = sampling["n_poses"], sampling.get("patience")
    if not patience:
        return [end(k) for k in range(enough)], 0
    candidates = Candidates(sampling["keep"], sampling["energy_window_ev"])
    ends: list[End] = []
    idle = 0
    while len(ends) < enough or (idle < patience and len(ends) < EXTENSION * enough):
        last = end(len(ends))
        ends.append(last)
        energy = last.energy if last.status == "bound" else None
        idle = 0 if energy is not None and candidates.changed_by(last.atoms, energy) else idle + 1
    return ends, idle


def _ranked(
    bare: Atoms, molecule: Atoms, ends: Sequence[End], idle: int, zero: float, settings: Mapping[str, Any]
) -> Outcome:
    """The distinct bound poses within the energy window. Unconverged ones stand in only when there are no others."""
    from crosstalk.structures import pose_ensembles
    from crosstalk.structures import poses as placing

    sampling = settings["sampling"]
    converged = any(e.status == "bound" for e in ends)
    numbers = [k for k, e in enumerate(ends) if e.status == ("bound" if converged else "unconverged")]
    if not numbers:
        status, count = Counter(e.status for e in ends if e.status != "failed").most_common(1)[0]
        example = next(e.reason for e in ends if e.status == status)
        raise PhysicsFailure(status, f"{count} of {len(ends)} starts, none stayed bound; e.g. {example}")
    chosen = [ends[k].atoms for k in numbers]
    energies = [e - zero for e in (ends[k].energy for k in numbers) if e is not None]
    groups = pose_ensembles.grouped(chosen, energies)
    groups = [g for g in groups if energies[g[0]] - energies[groups[0][0]] <= sampling["energy_window_ev"]]
    structures = placing.boxed(bare, molecule, [chosen[g[0]] for g in groups], settings["vacuum_angstrom"])
    quantities = _counts(structures, len(ends), len(ends) - len(numbers)) | {
        "pose_energies_ev": [energies[g[0]] for g in groups],
        "found_by": [len(g) for g in groups],
        "starts_by_class": [sum(e.status == name for e in ends) for name in CLASSES],
    }
    quantities |= _progress([min(numbers[k] for k in g) for g in groups], numbers, energies, len(ends))
    gates = [Gate("filter_converged", converged, len(numbers) if converged else 0, 1, "starts")]
    gates += _saturation(idle if converged else 0, sampling)
    return Outcome(quantities=quantities, gates=gates, structures=structures)


def _progress(
    found: Sequence[int], numbers: Sequence[int], energies: Sequence[float], n_starts: int
) -> dict[str, list[Any]]:
    """What was known after each start: minima by the starts that `found` them first, energies (eV) by those with `numbers`."""
    lowest = np.zeros(n_starts)  # slab and molecule apart
    lowest[list(numbers)] = np.minimum(energies, 0.0)
    return {
        "discovery": [sum(first <= k for first in found) for k in range(n_starts)],
        "lowest_after_ev": np.minimum.accumulate(lowest).tolist(),
    }


def _saturation(idle: int, sampling: Mapping[str, Any]) -> list[Gate]:
    """Gate of a search with a patience: it ended because no candidate changed, not because the starts ran out."""
    patience = sampling.get("patience")
    if not patience:
        return []
    return [Gate("search_saturated", idle >= patience, idle, patience, "starts without a new candidate")]


def _unranked(
    bare: Atoms, molecule: Atoms, starts: Sequence[Atoms], settings: Mapping[str, Any], reason: str
) -> Outcome:
    """The starts as they are, in their own order, when the filter could do none of them."""
    from crosstalk.structures import poses as placing

    structures = placing.boxed(bare, molecule, starts, settings["vacuum_angstrom"])
    gate = Gate("filter_converged", False, 0, 1, "starts")
    text = f"poses neither relaxed nor ranked, {reason}"
    return Outcome(
        reason=text, quantities=_counts(structures, len(starts), len(starts)), gates=[gate], structures=structures
    )


def _counts(structures: Sequence[Atoms], n_starts: int, n_rejected: int) -> dict[str, Any]:
    from crosstalk.structures.poses import image_gap

    area = float(np.linalg.norm(np.cross(structures[0].cell[0], structures[0].cell[1])))
    counts = {"n_found": len(structures) - 2, "n_starts": n_starts, "n_rejected": n_rejected}
    lowest = structures[2]
    gap = image_gap(lowest[lowest.get_tags() == 1], lowest.cell.array)
    return counts | {"n_atoms": len(lowest), "area_angstrom2": area, "image_gap_angstrom": gap}


# -- tblite and periodicity --------------------------------------------------------------------------------------


def _calculator(level: Mapping[str, Any]) -> Any:
    """tblite, or the calculator that the config names. Raises EngineError for one that cannot be made."""
    if level["engine"] == "ase":
        module, _, name = level["calculator"].partition(":")
        try:
            made: Any = importlib.import_module(module)
            for part in name.split("."):
                made = getattr(made, part)
            return made(**level["parameters"])
        except (ImportError, AttributeError, TypeError) as error:
            raise EngineError(f"calculator {level['calculator']}: {error}") from error
    from crosstalk.engines.xtb import calculator

    return calculator(level, 0, 1)


def tall(atoms: Atoms, height: float | None = None) -> Atoms:
    """A bare copy in a cell of that height (None: its own plus VACUUM), periodic in three directions."""
    copied = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
    cell = copied.cell.array
    cell[2] = (0, 0, height if height is not None else float(np.ptp(atoms.positions[:, 2])) + VACUUM)
    copied.set_cell(cell)
    return copied


def _largest_force(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


class Folded(Calculator):
    """Energy per surface cell and forces averaged over the images of a repeat.

    The Gamma point of the repeat is a mesh of k-points of the surface cell, and the atoms keep that cell's periodicity.
    """

    implemented_properties = ["energy", "forces"]

    def __init__(self, inner: Any, repeat: tuple[int, int]):
        super().__init__()
        self.inner, self.copies = inner, (*repeat, 1)

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        large = Atoms(self.atoms.symbols, self.atoms.positions, cell=self.atoms.cell, pbc=True).repeat(self.copies)
        large.calc = self.inner
        n = math.prod(self.copies)
        self.results["energy"] = float(large.get_potential_energy()) / n
        self.results["forces"] = large.get_forces().reshape(n, len(self.atoms), 3).mean(axis=0)
