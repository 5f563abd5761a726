"""xTB through tblite: conformers, ion pairs, and the calculator and relaxation that other xTB steps use.

A search takes seconds to minutes, so a killed one starts again: nothing is left in the work folder.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from crosstalk.errors import PhysicsFailure
from crosstalk.record import Gate, Outcome
from crosstalk.structures import conformers as same
from crosstalk.structures import graphs
from crosstalk.units import BOHR_ANGSTROM, HARTREE_EV

if TYPE_CHECKING:
    from rdkit import Chem
    from tblite.ase import TBLite

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Remedy for a self-consistent field that does not converge: slower mixing with a shorter memory, more iterations.
DAMPED = {"mixer_damping": 0.1, "max_iterations": 500, "mixer_memory": 20}
#: Distinct minima are relaxed further, to this part of the force limit: on a flat torsion the limit itself leaves an
#: error as large as the energy difference that tells two minima apart.
POLISH = 0.05
#: Lindh's model Hessian: exponents (1/bohr^2) and reference distances (bohr) by row of the periodic table, and the
#: force constant of a stretch (hartree/bohr^2). Chem. Phys. Lett. 1995, 241, 423.
LINDH_EXPONENT = np.array([[1.0, 0.3949, 0.3949], [0.3949, 0.28, 0.28], [0.3949, 0.28, 0.28]])
LINDH_DISTANCE = np.array([[1.35, 2.10, 2.53], [2.10, 2.87, 3.40], [2.53, 3.40, 3.40]])
LINDH_STRETCH = 0.45
#: Added to the diagonal, in place of Lindh's bends and torsions; eV/Angstrom^2. Of 1, 2, 4 and ASE's plain 70 the best.
SOFT_MODE = 4.0
#: More atoms than this, or a cell: limited memory instead of a full Hessian.
FULL_HESSIAN_ATOMS = 100


# -- the engine ---------------------------------------------------------------------------------------------------


def calculator(level: Mapping[str, Any], charge: int, multiplicity: int) -> "TBLite":
    """ASE calculator of an xTB level {method, accuracy, electronic_temperature_k}, silent.

    One thread unless OMP_NUM_THREADS says otherwise: molecules are too small for more (threads that wait for each
    other on a busy machine cost a factor of 70), and one thread adds in one order.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from tblite.ase import TBLite

    return TBLite(
        method=level["method"],
        accuracy=level["accuracy"],
        electronic_temperature=level["electronic_temperature_k"],
        charge=charge,
        multiplicity=multiplicity,
        verbosity=0,
    )


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
    row = np.digitize(atoms.numbers, [3, 11])
    across = atoms.positions[:, None] - atoms.positions[None]
    squared = (across**2).sum(axis=2)
    np.fill_diagonal(squared, 1.0)
    pair = row[:, None], row[None, :]
    stretch = LINDH_STRETCH * np.exp(
        np.minimum(LINDH_EXPONENT[pair] * (LINDH_DISTANCE[pair] ** 2 - squared / BOHR_ANGSTROM**2), 1.0)
    )
    np.fill_diagonal(stretch, 0.0)
    blocks = -(stretch / squared)[..., None, None] * across[..., :, None] * across[..., None, :]
    blocks[np.arange(n), np.arange(n)] = -blocks.sum(axis=1)
    hessian = blocks.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n) * HARTREE_EV / BOHR_ANGSTROM**2
    return hessian + SOFT_MODE * np.eye(3 * n)


# -- steps --------------------------------------------------------------------------------------------------------


def conformers(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `conformers`: distinct minima of a molecule; of a given geometry, the minimum that it leads to."""
    from crosstalk.structures import molecules

    species, sampling = spec.settings["species"], spec.settings["sampling"]
    if "positions" in species:
        given = Atoms(species["symbols"], species["positions"])
        return _search(spec, [given], graphs.connectivity(given), None, lambda atoms: "")
    smiles = species["smiles"]
    found = same.starts(smiles, sampling["max_embeddings"], sampling["seed"])
    return _search(spec, found, molecules.bonds_of(smiles), molecules.whole(smiles), lambda atoms: "")


def ion_pairs(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `ion_pairs`: distinct minima of a main fragment with its monatomic cations."""
    from crosstalk.structures import ion_pairs as pairs
    from crosstalk.structures import molecules

    sampling, smiles = spec.settings["sampling"], spec.settings["species"]["smiles"]
    mol, donors = molecules.whole(smiles), list(pairs.donors_of(smiles))
    cations = range(mol.GetNumAtoms() - len(molecules.fragments(smiles).cations), mol.GetNumAtoms())
    found = pairs.starts(smiles, sampling["max_embeddings"], sampling["seed"])
    return _search(
        spec, found, molecules.bonds_of(smiles), mol, lambda atoms: graphs.lost_contacts(atoms, cations, donors)
    )


@dataclass
class _Minimum:
    """A relaxed structure. energy in eV; force: the largest, eV/Angstrom; damped: the SCF needed its remedy."""

    atoms: Atoms
    energy: float
    force: float
    damped: bool


def _search(
    spec: "Spec",
    starts: Sequence[Atoms],
    bonds: Iterable[tuple[int, int]],
    mol: "Chem.Mol | None",
    lost: Callable[[Atoms], str],
) -> Outcome:
    """Relax all starts, drop what lost its connectivity, keep the distinct minima within the window."""
    bonds, fmax = frozenset(bonds), spec.settings["sampling"]["fmax_ev_per_angstrom"]
    minima: list[_Minimum] = []
    failures: list[PhysicsFailure] = []
    for start in starts:
        try:
            minima.append(_minimum(spec, start, fmax, bonds, lost))
        except PhysicsFailure as failure:
            failures.append(failure)
    polished = []
    for minimum in _kept(spec, minima, mol):
        try:
            polished.append(_polished(spec, minimum, fmax, bonds, lost))
        except PhysicsFailure as failure:
            failures.append(failure)
    kept = _kept(spec, polished, mol)
    if not kept:
        raise _verdict(failures, len(starts))
    return _outcome(kept, mol, len(starts), len(failures), fmax)


def _minimum(
    spec: "Spec",
    start: Atoms,
    fmax: float,
    bonds: Iterable[tuple[int, int]],
    lost: Callable[[Atoms], str],
    loose: float | None = None,
) -> _Minimum:
    """One relaxation to `fmax` (accepted up to `loose`). Raises PhysicsFailure: not converged, or bonds changed."""
    species, limit = spec.settings["species"], loose or fmax
    atoms = start.copy()
    calc = calculator(spec.settings["level"], species["charge"], species["multiplicity"])
    max_steps = spec.settings["sampling"]["max_steps"]
    relax(atoms, calc, fmax, max_steps if len(atoms) > 1 else 0)
    force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if force > limit:
        raise PhysicsFailure(
            "not_converged", f"largest force {force:.3f} eV/Angstrom after {max_steps} steps (limit {limit})"
        )
    change = graphs.against(bonds, atoms)
    if change.status != "ok":
        raise PhysicsFailure(change.status, change.text)
    gone = lost(atoms)
    if gone:
        raise PhysicsFailure("dissociated", gone)
    damped = calc.parameters["mixer_damping"] == DAMPED["mixer_damping"]
    return _Minimum(Atoms(atoms.symbols, atoms.positions), float(atoms.get_potential_energy()), force, damped)


def _polished(
    spec: "Spec", minimum: _Minimum, fmax: float, bonds: Iterable[tuple[int, int]], lost: Callable[[Atoms], str]
) -> _Minimum:
    """The same minimum relaxed to POLISH of the force limit; `fmax` is enough where that is out of reach."""
    return _minimum(spec, minimum.atoms, POLISH * fmax, bonds, lost, loose=fmax)


def _kept(spec: "Spec", minima: Sequence[_Minimum], mol: "Chem.Mol | None") -> list[_Minimum]:
    """Distinct minima within the energy window, ascending."""
    if mol is None or not minima:
        return list(minima)
    window = spec.settings["sampling"]["energy_window_ev"]
    chosen = [minima[k] for k in same.distinct(mol, [m.atoms for m in minima], [m.energy for m in minima])]
    return [minimum for minimum in chosen if minimum.energy - chosen[0].energy <= window]


def _verdict(failures: Sequence[PhysicsFailure], n_starts: int) -> PhysicsFailure:
    """What to say when no start came through: the commonest end, with an example."""
    status, count = Counter(failure.status for failure in failures).most_common(1)[0]
    example = next(failure.reason for failure in failures if failure.status == status)
    return PhysicsFailure(status, f"{count} of {n_starts} starts, none came through; e.g. {example}")


def _outcome(kept: Sequence[_Minimum], mol: "Chem.Mol | None", n_starts: int, n_rejected: int, fmax: float) -> Outcome:
    relative = [minimum.energy - kept[0].energy for minimum in kept]
    degeneracies = [1 + (mol is not None and same.is_chiral(mol, minimum.atoms.positions)) for minimum in kept]
    force = max(minimum.force for minimum in kept)
    return Outcome(
        quantities={
            "energy_ev": kept[0].energy,
            "relative_energies_ev": relative,
            "weights": same.weights(relative, degeneracies),
            "n_found": len(kept),
            "n_starts": n_starts,
            "n_rejected": n_rejected,
            "max_force_ev_per_angstrom": round(force, 4),
        },
        gates=[
            Gate("geometry_converged", force <= fmax, round(force, 4), fmax, "eV/Angstrom"),
            Gate("connectivity", True, "ok", "ok"),
        ],
        rungs=["damped_mixing"] if any(minimum.damped for minimum in kept) else [],
        structures=[same.oriented(minimum.atoms) for minimum in kept],
    )
