"""Self-consistent fields with PySCF (`engines.fields`): the ladder that converges them, the stability of what comes out.

Energies are hartree, PySCF's unit; `engines.pyscf` converts at the door.

Rungs, each tried only when the one before did not converge: "diis", "level_shift" (gap widened by LEVEL_SHIFT),
"second_order" (augmented-Hessian Newton). A converged field may be a saddle point: the lowest eigenvalue of the orbital
Hessian says so, and the rung "stability_followed" goes downhill from there.

Most of an SCF is work on the grid, so the cycles run on a coarse one that is corrected to the answer of the fine one
(`engines.dual_grid`); a cold start converges on the bare coarse grid first, where open shells that begin in the wrong
symmetry leave it.
"""

import gc
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crosstalk.engines import device, dual_grid, fields
from crosstalk.engines.diis import Pairs
from crosstalk.engines.dual_grid import COARSE_GRID, on_coarse_grid
from crosstalk.engines.stability import Verdict, diagnose
from crosstalk.errors import PhysicsFailure
from crosstalk.record import Gate, write_atomically

RUNGS = ("diis", "level_shift", "second_order")
FOLLOWED = "stability_followed"
#: Before a rung that the cold start on the coarse grid needed.
START = "start_"
#: Hartree. Wide enough to stop occupied and virtual orbitals from changing places, small enough to converge.
LEVEL_SHIFT = 0.3
COARSE_TOLERANCE = 1e-6
#: Limits of the first field on two grids over those of the last: what its reference leaves is more.
LOOSER = 100
#: Cycles of a rung of the cold start. What converges at all does so in 20 or 30; a cation that swings between two holes
#: (EMC with a range-separated hybrid: from superposed atoms never, from the neutral's orbitals in 18) does not in 100.
COARSE_CYCLES = 30
CLOSED_SHELL_TOLERANCE = 1e-4
#: Norm of the orbital gradient, hartree, where forces are subtracted from each other. They are off in its first order: of DMC
#: (r2SCAN-3c) by up to 1e-3 eV/Angstrom at the usual limit, the root of the energy's (1e-4), and by 7e-5 at this one.
TIGHT = 3e-6
#: Norm of the orbital rotation along an instability, radian.
ROTATION = 0.5
MAX_FOLLOWED = 3
#: PySCF's initial guesses; all but the first are for open d shells. Of 17 oxides, fluorides and hydrides of 3d metals the
#: first alone ended in a higher stable solution in five, by up to 0.35 eV (PBE0/def2-SVPD).
GUESSES = ("minao", "huckel", "atom", "1e")
TRANSITION_METALS = (range(21, 31), range(39, 49), range(72, 81))
#: Hartree: a guess that is lower by less found the same solution.
BETTER_GUESS = 1e-5

Level = Mapping[str, Any]


@dataclass
class Solution:
    """A converged field with how it was reached. `gates`: scf_converged, and stable unless the level skips it; `reference`:
    the last one of two grids, when the field was converged on them and not followed from there."""

    field: Any
    rungs: list[str]
    gates: list[Gate]
    reference: dual_grid.Addition | None = None


def solve(
    mf: Any,
    level: Level,
    folder: Path,
    nearby: Solution | None = None,
    empty_levels: bool = True,
    tight: bool = False,
) -> Solution:
    """Converge `mf` and see to its stability.

    nearby: solution of a geometry close by, to start from; without one the checkpoint of a killed run in `folder` goes on,
    else the start is cold. empty_levels: whether the energies of empty orbitals are wanted; energies and forces are the same
    without. tight: the orbital gradient goes down to TIGHT where it does so in a rung's cycles, for differences of forces.
    Raises PhysicsFailure("not_converged") when no rung helps.
    """
    gc.collect()  # PySCF's fields refer to themselves: those of earlier geometries would pile up, gigabytes in a long relaxation
    if level["density_fit"]:
        fields.make_room(mf.with_df)
        mf.with_df.build()  # else a field without exact exchange computes its integrals anew in every cycle
    checkpoint, journal = folder / "scf.chk", Journal(folder / "scf.json")
    first = RUNGS[0]
    density, borrowed = carried(nearby, mf) if nearby is not None else (None, None)
    verdict = None
    if density is not None and RUNGS[-1] in journal.rungs:
        first = RUNGS[-1]  # what a geometry nearby needed
    if density is None:
        density = _from_checkpoint(mf, checkpoint)
        if density is not None:
            first = next((rung for rung in reversed(journal.rungs) if rung in RUNGS), first)
        else:
            density, verdict = _coarse_density(mf, level, journal)
    mf.chkfile = str(checkpoint)
    # a device does not tell how near it came, so there the usual limits are kept
    mf.conv_tol_grad = TIGHT if tight and not device.available() else None
    change, reference = _converge(mf, density, journal, first, empty_levels, borrowed)
    if not mf.converged:
        text = f"SCF not converged after {', '.join(RUNGS)} of {mf.max_cycle} cycles each"
        raise PhysicsFailure("not_converged", f"{text}; last energy change {change:.0e} hartree")
    gates = [Gate("scf_converged", True, True, True)]
    if level["stability"]:
        settled = mf.mo_coeff
        kind = settle(mf, journal, verdict).kind
        reference = reference if mf.mo_coeff is settled else None
        if not mf.converged:
            raise PhysicsFailure("not_converged", "SCF not converged when its instability was followed")
        gates.append(Gate("stable", kind == "none", kind, "none"))
    return Solution(mf, journal.rungs, gates, reference)


def carried(solution: Solution, mf: Any) -> tuple[np.ndarray, dual_grid.Addition | None]:
    """Density and reference of a solution at another geometry, that of `mf`: its orbitals made orthonormal there (Loewdin)."""
    from pyscf import lib

    overlap, old, occupations = mf.get_ovlp(), np.asarray(solution.field.mo_coeff), solution.field.mo_occ

    def orthonormal(c: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(c.T @ overlap @ c)
        return np.asarray(c @ (vectors / np.sqrt(values)) @ vectors.T)

    orbitals = orthonormal(old) if old.ndim == 2 else np.array([orthonormal(c) for c in old])
    density = lib.tag_array(mf.make_rdm1(orbitals, occupations), mo_coeff=orbitals, mo_occ=occupations)
    if solution.reference is None:
        return density, None
    return density, dual_grid.carried(solution.reference, old, density, overlap)


def _converge(
    mf: Any,
    density: np.ndarray,
    journal: "Journal",
    first: str = RUNGS[0],
    empty_levels: bool = True,
    borrowed: dual_grid.Addition | None = None,
) -> tuple[float, dual_grid.Addition | None]:
    """Converge `mf` on two grids, or on the fine one alone where that fails or a device makes light of it.

    Returns the last change of the energy (nan from a device, which does not tell) and the last reference of the two grids.
    """
    change, rungs = [float("nan")], RUNGS[RUNGS.index(first) :]

    def iterate(field: Any, start: np.ndarray, last: bool, pairs: Pairs) -> None:
        field.max_cycle = min(COARSE_CYCLES, mf.max_cycle)
        if not last:
            field.conv_tol, field.conv_tol_grad = LOOSER * mf.conv_tol, None
        change[0] = climb(field, start, journal, rungs, check=last and empty_levels, pairs=pairs)

    reference = None
    if device.available():
        journal.add(device.RUNG)
    else:
        reference = dual_grid.converge(mf, density, iterate, empty_levels, borrowed)
    if reference is None:
        change[0] = climb(mf, density, journal, rungs)
    return change[0], reference


class Journal:
    """The rungs climbed, in order, kept on disk so that a resumed run reports them all. In memory without a path."""

    def __init__(self, path: Path | None = None):
        self.path = path
        self.rungs: list[str] = json.loads(path.read_text()) if path is not None and path.exists() else []

    def add(self, rung: str) -> None:
        if rung not in self.rungs:
            self.rungs.append(rung)
            if self.path is not None:
                write_atomically(self.path, json.dumps(self.rungs).encode())


def forget(folder: Path) -> None:
    """Remove what a killed run would have gone on from: a finished calculation repeated starts cold, bit for bit."""
    for name in ("scf.chk", "scf.json", "relax.jsonl"):
        (folder / name).unlink(missing_ok=True)


def climb(
    mf: Any,
    density: np.ndarray | None,
    journal: Journal,
    rungs: Sequence[str] = RUNGS,
    check: bool = True,
    pairs: Pairs | None = None,
) -> float:
    """Climb `rungs` until converged. Returns the last change of the energy (hartree).

    check: whether PySCF looks at a closed shell once more when it has converged; not worth a cycle where only the density counts.
    pairs: what a field before learned, and this one adds to.
    """
    change, steepness, fock = [float("nan")], [float("nan")], [np.empty(0)]
    open_shell = mf.istype("UHF")

    def watch(local: dict[str, Any]) -> None:
        change[0], steepness[0] = abs(float(local["e_tot"] - local["last_hf_e"])), float(local["norm_gorb"])
        fock[0] = np.asarray(local.get("fock", ()))
        if pairs is not None and rung != "second_order":
            pairs.add(local["dm"], fock[0], local["vhf"])

    for rung in rungs:
        journal.add(rung)
        if pairs is not None:
            if rung != RUNGS[0]:
                pairs.forget()
            pairs.teach(mf, density)
        if rung == "second_order":
            newton(mf, density=mf.get_init_guess() if density is None else density, watch=watch)
        else:
            mf.level_shift, mf.callback = LEVEL_SHIFT if rung == "level_shift" else 0.0, watch
            # PySCF's last diagonalisation, without extrapolation, throws a hole that is nearly degenerate off again
            mf.conv_check = check and not open_shell
            device.kernel(mf, density) if device.available() else mf.kernel(dm0=density)
            mf.level_shift, mf.callback = 0.0, None
        # by the usual limits, where a tighter one was wished for
        mf.converged = mf.converged or (change[0] < mf.conv_tol and steepness[0] < mf.conv_tol**0.5)
        if mf.converged and rung != "second_order" and not mf.conv_check and fock[0].size:
            mf.mo_energy = np.einsum("...mi,...mn,...ni->...i", mf.mo_coeff, fock[0], mf.mo_coeff)
        if mf.converged:
            break
        density = mf.make_rdm1()
    return change[0]


def newton(mf: Any, orbitals: Any = None, density: Any = None, watch: Callable[..., None] | None = None) -> None:
    """Converge `mf` by the second-order solver from orbitals or a density; the result is written back into `mf`."""
    solver = mf.newton()
    solver.callback, solver.verbose = watch, 0
    solver.kernel(mo_coeff=orbitals, mo_occ=None if orbitals is None else mf.mo_occ, dm0=density)
    for name in ("converged", "e_tot", "mo_energy", "mo_coeff", "mo_occ"):
        setattr(mf, name, getattr(solver, name))


def _from_checkpoint(mf: Any, path: Path) -> np.ndarray | None:
    """The density of a killed run, or None. A file cut short by the kill is thrown away."""
    with suppress(OSError, KeyError):
        return np.asarray(mf.from_chk(str(path)))
    path.unlink(missing_ok=True)
    return None


def _coarse_density(mf: Any, level: Level, journal: Journal) -> tuple[np.ndarray, Verdict | None]:
    """Density converged on the bare coarse grid from superposed atoms; of an open shell, with its instabilities followed, and
    what came of that.

    Open d shells have many stable solutions, so there the lowest of several guesses is taken, and the journal says which.
    """
    best: tuple[Any, list[str], Verdict | None] | None = None
    for guess in GUESSES if mf.mol.spin and _has_d_shell(mf.mol) else GUESSES[:1]:
        coarse = on_coarse_grid(mf)
        coarse.chkfile, coarse.conv_tol = None, max(COARSE_TOLERANCE, mf.conv_tol)
        coarse.max_cycle = min(COARSE_CYCLES, mf.max_cycle)
        found = [f"guess_{guess}"] if guess != GUESSES[0] else []
        start, private = coarse.get_init_guess(key=guess), Journal()
        if mf.mol.spin:
            climb(coarse, start, private, RUNGS[:1])
            if not coarse.converged and mf.mol.spin == 1:
                found, start = ["guess_closed_shell"], _one_electron_off(coarse, level)
        if not coarse.converged:
            climb(coarse, start, private, check=False)
        verdict = None
        if level["stability"] and mf.mol.spin and coarse.converged:
            verdict = settle(coarse, private)
        found += [f"{START}{rung}" for rung in private.rungs if rung in RUNGS[1:]]
        found += [FOLLOWED] if FOLLOWED in private.rungs else []
        if best is None or (coarse.converged and coarse.e_tot < best[0].e_tot - BETTER_GUESS):
            best = (coarse, found, verdict)
    assert best is not None
    for rung in best[1]:
        journal.add(rung)
    return best[0].make_rdm1(), best[2]


def _one_electron_off(mf: Any, level: Level) -> np.ndarray:
    """Density of a doublet from the orbitals of the closed shell that has one electron more (of a cation) or less."""
    more = 1 if mf.mol.charge > 0 else -1
    mol = mf.mol.copy()
    mol.charge, mol.spin = mf.mol.charge - more, 0
    mol.build(dump_input=False, parse_arg=False)
    whole = fields.mean_field(mol, level)
    if level["density_fit"]:
        whole.with_df = mf.with_df
    closed = on_coarse_grid(whole)
    closed.chkfile, closed.conv_tol, closed.max_cycle = None, CLOSED_SHELL_TOLERANCE, COARSE_CYCLES
    closed.kernel()
    pairs = mol.nelectron // 2
    occupied = [closed.mo_coeff[:, : pairs + extra] for extra in ((0, -1) if more > 0 else (1, 0))]
    return np.array([c @ c.T for c in occupied])


def _has_d_shell(mol: Any) -> bool:
    """Whether a molecule holds a transition metal."""
    from pyscf.data.elements import charge

    numbers = {charge(mol.atom_pure_symbol(i)) for i in range(mol.natm)}
    return any(n in series for n in numbers for series in TRANSITION_METALS)


def settle(mf: Any, journal: Journal, before: Verdict | None = None) -> Verdict:
    """Follow internal instabilities of a converged `mf` until there are none; returns what `diagnose` finds at the end.

    A closed shell unstable towards separate spins is reported and never followed: what it leads to is no singlet. before: the
    verdict on the field that `mf` began with.
    """
    for _ in range(MAX_FOLLOWED):
        verdict = diagnose(mf, before)
        if verdict.kind != "internal":
            return verdict
        before = None
        journal.add(FOLLOWED)
        coarse = on_coarse_grid(mf)
        newton(coarse, _rotated(mf, verdict.mode))
        if mf.grids.level == COARSE_GRID and not mf.do_nlc():
            mf.converged, mf.e_tot = coarse.converged, coarse.e_tot
            mf.mo_energy, mf.mo_coeff, mf.mo_occ = coarse.mo_energy, coarse.mo_coeff, coarse.mo_occ
        else:
            _converge(mf, coarse.make_rdm1(), journal)
        if not mf.converged:
            return verdict
    return diagnose(mf)


def _rotated(mf: Any, mode: np.ndarray) -> np.ndarray:
    """Orbitals turned along `mode` by ROTATION in all, in the order of `mf.mo_coeff`."""
    from scipy.linalg import expm

    turned, at = np.array(mf.mo_coeff), 0
    for c, filled in zip(turned[None] if turned.ndim == 2 else turned, np.atleast_2d(mf.mo_occ) > 0, strict=True):
        size, kappa = filled.sum() * (~filled).sum(), np.zeros((len(filled), len(filled)))
        block = mode[at : at + size].reshape((~filled).sum(), filled.sum())
        kappa[np.ix_(~filled, filled)] = block * (ROTATION / np.linalg.norm(mode))
        at += size
        c[:] = c @ expm(kappa - kappa.T)
    return turned
