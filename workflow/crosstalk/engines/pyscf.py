"""Molecules with PySCF: energies and geometries. Hartree and bohr end at this door.

Every quantity belongs to the real atoms; ghost atoms lend their basis functions and nothing else. Both steps go on
from what a killed run left in the work folder, and remove it when they finish.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines import corrections, fields, scf
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


def molecule_energy(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `molecule_energy`: energy and frontier orbitals at a fixed geometry, with ghost atoms where asked for."""
    found = geometry_of(spec, inputs)
    if isinstance(found, Outcome):
        return found
    problem = Problem.of(spec.settings, found, folder)
    if problem.molecule.nelectron == 0:
        return Outcome(quantities=bare_nuclei(problem), gates=[Gate("scf_converged", True, True, True)])
    with until_finished(folder):
        solution = scf.solve(problem.mean_field(), problem.level, folder)
        outcome = Outcome(rungs=solution.rungs, gates=[*solution.gates, spin_gate(solution.field)])
        outcome.quantities = energy_parts(problem, solution.field) | _orbitals(problem, solution.field)
        if partner := spec.settings.get("partner"):
            outcome.quantities["partner_spin"] = _spin_on(solution.field, partner)
    return outcome


def rerank(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `rerank`: conformers within `window_ev` of the lowest, as they are, put in the order of a better level.

    Kept are those that this level finds within the window too, `keep` of them at most. What is known of finished conformers survives a kill. Weights are those of the new energies and the search's degeneracies.
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
            gates = [vars(gate) for gate in (*solution.gates, spin_gate(solution.field))]
            energy = energy_parts(problem, solution.field)["energy_ev"]
            known[str(index)] = {"energy": energy, "rungs": solution.rungs, "gates": gates}
            write_atomically(notes, json.dumps(known).encode())
    energies = [known[str(index)]["energy"] for index in inside]
    rungs = [rung for index in inside for rung in known[str(index)]["rungs"]]
    every = [Gate(**gate) for index in inside for gate in known[str(index)]["gates"]]
    notes.unlink()
    order = sorted(range(len(inside)), key=lambda k: energies[k])
    order = [k for k in order if energies[k] - energies[order[0]] <= settings["window_ev"]][: settings["keep"]]
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
        return fields.mean_field(self.molecule, self.level, self.environment)

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


def energy_parts(problem: Problem, mf: Any) -> dict[str, float]:
    """Total energy with its listed parts."""
    terms, _ = problem.corrections()
    total = float(mf.e_tot) * HARTREE_EV + sum(terms.values())
    if problem.environment is not None:
        terms["solvation_ev"] = float(mf.with_solvent.kernel(mf.make_rdm1())[0]) * HARTREE_EV
    return {"energy_ev": total} | terms


def bare_nuclei(problem: Problem) -> dict[str, float]:
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


def _spin_on(mf: Any, atoms: Sequence[int]) -> float:
    """Spin up minus spin down electrons on some atoms, in meta-Loewdin orbitals (Sun and Chan, J. Chem. Theory Comput. 2014,

    10, 3784), which a diffuse basis does not spoil as it does Mulliken's populations.
    """
    from pyscf import lo

    mol = mf.mol
    overlap = mol.intor_symmetric("int1e_ovlp")
    into = lo.orth_ao(mol, "meta_lowdin", s=overlap).T @ overlap
    up, down = mf.make_rdm1()
    population = np.einsum("ia,ab,ib->i", into, up - down, into)
    ranges = mol.aoslice_by_atom()[:, 2:]
    return float(sum(population[slice(*ranges[i])].sum() for i in atoms))


def _s_squared(mf: Any) -> float:
    return float(mf.spin_square()[0]) if np.ndim(mf.mo_occ) == 2 else 0.0


def spin_gate(mf: Any) -> Gate:
    spin = mf.mol.spin / 2
    excess = round(abs(_s_squared(mf) - spin * (spin + 1)), 4)
    return Gate("spin", excess <= SPIN_LIMIT, excess, SPIN_LIMIT, "hbar^2")
