"""Self-consistent fields with PySCF: building them, the ladder that converges them, the stability of what comes out.

Inside this module energies are hartree, PySCF's unit; `engines.pyscf` converts at the door.

Rungs, each tried only when the one before did not converge: "diis", "level_shift" (gap widened by LEVEL_SHIFT),
"second_order" (augmented-Hessian Newton). A converged field may be a saddle point: the lowest eigenvalue of the orbital
Hessian says so, and the rung "stability_followed" goes downhill from there.

Most of an SCF is work on the grid, so the cycles run on a coarse one that is corrected to the answer of the fine one
(`engines.dual_grid`); a cold start converges on the bare coarse grid first, where open shells that begin in the wrong
symmetry leave it. The Hessian (J. Chem. Phys. 1977, 66, 3045)
takes its exchange-correlation part from the coarse grid too, since only a sign matters: that moves clear instabilities
by a per cent and zero modes (degenerate open shells) by up to 2e-3, so a negative one is confirmed on a finer grid.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crosstalk.engines import dual_grid
from crosstalk.engines.corrections import REPLACED_VV10
from crosstalk.engines.dual_grid import COARSE_GRID, on_coarse_grid
from crosstalk.errors import PhysicsFailure
from crosstalk.record import Gate, write_atomically

RUNGS = ("diis", "level_shift", "second_order")
FOLLOWED = "stability_followed"
#: Hartree. Wide enough to stop occupied and virtual orbitals from changing places, small enough to converge.
LEVEL_SHIFT = 0.3
DIIS_VECTORS = 12
CONFIRMING_GRID = 1
#: The VV10 integral is smooth but quadratic in points: two levels below the functional's grid the hydrogen bond of two
#: waters is converged to 2e-7 hartree at a tenth of the time; three levels below it is off by 2e-5.
NLC_GRID_BELOW = 2
COARSE_TOLERANCE = 1e-6
#: Eigenvalues of the orbital Hessian above this count as zero; five times the noise of zero modes on CONFIRMING_GRID.
UNSTABLE_BELOW = -2e-4
#: Eigenvalues above this need no second look. Those of sound molecules are 0.1 to 0.3 hartree.
CLEARLY_STABLE = 0.05
#: Of the eigenvector, loose and tight: the error of the eigenvalue is about its square over the spacing of eigenvalues.
RESIDUALS = (2e-2, 3e-3)
#: Norm of the orbital rotation along an instability, radian.
ROTATION = 0.5
MAX_FOLLOWED = 3
#: PySCF's initial guesses; all but the first are for open d shells. Of 17 oxides, fluorides and hydrides of 3d metals the
#: first alone ended in a higher stable solution in five, by up to 0.35 eV (PBE0/def2-SVPD).
GUESSES = ("minao", "huckel", "atom", "1e")
TRANSITION_METALS = (range(21, 31), range(39, 49), range(72, 81))
#: Hartree: a guess that is lower by less found the same solution.
BETTER_GUESS = 1e-5
CAVITY_SHARE_OF_MEMORY = 0.4
SMD_DESCRIPTORS = ("n", "n25", "alpha", "beta", "gamma", "epsilon", "phi", "psi")

Level = Mapping[str, Any]


@dataclass
class Solution:
    """A converged field with how it was reached. `gates`: scf_converged, and stable unless the level skips it."""

    field: Any
    rungs: list[str]
    gates: list[Gate]


def mean_field(mol: Any, level: Level, environment: Level | None = None) -> Any:
    """Restricted (singlet) or unrestricted Kohn-Sham field of `mol`, density-fitted and in a continuum as asked for.

    "b3lyp" is libxc's 402 with VWN's RPA fit, as in Gaussian (PySCF before 2.3 took VWN5 under that name).
    """
    from pyscf import dft

    functional = level["functional"].lower()
    mf = (dft.UKS if mol.spin else dft.RKS)(mol)
    mf.xc, mf.nlc = (REPLACED_VV10[functional][0], 0) if functional in REPLACED_VV10 else (functional, "")
    mf.grids.level = level["grid_level"]
    mf.nlcgrids.level = max(level["grid_level"] - NLC_GRID_BELOW, 0)
    if level["density_fit"]:
        mf = mf.density_fit(auxbasis=level["density_fit"])
    if environment is not None and environment["model"] is not None:
        mf = _solvated(mf, environment)
    mf.conv_tol, mf.max_cycle, mf.diis_space = level["scf_tolerance_ha"], level["max_cycles"], DIIS_VECTORS
    return mf


def _solvated(mf: Any, environment: Level) -> Any:
    """`mf` in a polarisable continuum. PCM: Bondi radii times 1.2; SMD: its own radii and non-electrostatic terms."""
    from pyscf import solvent

    smd = environment["model"] == "smd"
    mf = solvent.SMD(mf) if smd else solvent.PCM(mf)
    mf.with_solvent.eps = environment["epsilon"]
    if smd:
        values = {**environment.get("smd_descriptors", {}), "epsilon": environment["epsilon"]}
        values.setdefault("n25", values.get("n"))
        mf.with_solvent.solvent_descriptors = [values[name] for name in SMD_DESCRIPTORS]
    else:
        mf.with_solvent.method = environment["model"].upper()
    _keep_cavity_integrals(mf.with_solvent)
    return mf


def _keep_cavity_integrals(continuum: Any) -> None:
    """Let a continuum keep its three-index integrals between cycles, when they fit into memory.

    PySCF computes them twice per cycle, which for a molecule of 160 functions is four fifths of an SCF in solution.
    """
    from pyscf import df, gto, lib

    slow_v, slow_vmat = continuum._get_v, continuum._get_vmat
    kept: dict[str, Any] = {}

    def integrals() -> np.ndarray | None:
        mol, points = continuum.mol, continuum.surface["grid_coords"]
        pairs = mol.nao * (mol.nao + 1) // 2
        if pairs * len(points) * 8e-6 > CAVITY_SHARE_OF_MEMORY * mol.max_memory:
            return None
        if kept.get("points") is not points:
            charges = gto.fakemol_for_charges(points, expnt=continuum.surface["charge_exp"] ** 2)
            charges.cart = mol.cart
            kept["integrals"] = df.incore.aux_e2(mol, charges, intor=mol._add_suffix("int3c2e"), aosym="s2ij")
            kept["points"] = points
        return kept["integrals"]

    def potential(densities: np.ndarray) -> np.ndarray:
        v = integrals()
        if v is None:
            return slow_v(densities)
        packed = lib.pack_tril(densities + densities.transpose(0, 2, 1))
        packed[:, [i * (i + 3) // 2 for i in range(densities.shape[-1])]] *= 0.5
        return packed @ v

    def matrix(charges: np.ndarray) -> np.ndarray:
        v = integrals()
        if v is None:
            return slow_vmat(charges)
        return lib.unpack_tril(np.ascontiguousarray(-(charges.reshape(-1, v.shape[1]) @ v.T)))

    continuum._get_v, continuum._get_vmat = potential, matrix


def solve(mf: Any, level: Level, folder: Path, density: np.ndarray | None = None) -> Solution:
    """Converge `mf` and see to its stability.

    density: initial guess; without one the checkpoint of a killed run in `folder` goes on, else the start is cold.
    Raises PhysicsFailure("not_converged") when no rung helps.
    """
    if level["density_fit"]:
        mf.with_df.build()  # else a field without exact exchange computes its integrals anew in every cycle
    checkpoint, journal = folder / "scf.chk", Journal(folder / "scf.json")
    first = RUNGS[0]
    if density is None:
        density = _from_checkpoint(mf, checkpoint)
        if density is not None:
            first = next((rung for rung in reversed(journal.rungs) if rung in RUNGS), first)
        else:
            density = _coarse_density(mf, level, journal)
    mf.chkfile = str(checkpoint)
    change = _converge(mf, density, journal, first)
    if not mf.converged:
        text = f"SCF not converged after {', '.join(RUNGS)} of {mf.max_cycle} cycles each"
        raise PhysicsFailure("not_converged", f"{text}; last energy change {change:.0e} hartree")
    gates = [Gate("scf_converged", True, True, True)]
    if level["stability"]:
        kind = settle(mf, journal)
        if not mf.converged:
            raise PhysicsFailure("not_converged", "SCF not converged when its instability was followed")
        gates.append(Gate("stable", kind == "none", kind, "none"))
    return Solution(mf, journal.rungs, gates)


def _converge(mf: Any, density: np.ndarray, journal: "Journal", first: str = RUNGS[0]) -> float:
    """Converge `mf` on two grids, or on the fine one alone where that fails. Returns the last change of the energy."""
    change = [float("nan")]

    def iterate(field: Any, start: np.ndarray) -> None:
        change[0] = climb(field, start, journal, first)

    if not dual_grid.converge(mf, density, iterate):
        change[0] = climb(mf, density, journal, first)
    return change[0]


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


def climb(mf: Any, density: np.ndarray | None, journal: Journal, first: str = RUNGS[0]) -> float:
    """Climb the ladder from rung `first` until converged. Returns the last change of the energy (hartree)."""
    change = [float("nan")]

    def watch(local: dict[str, Any]) -> None:
        change[0] = abs(float(local["e_tot"] - local["last_hf_e"]))

    for rung in RUNGS[RUNGS.index(first) :]:
        journal.add(rung)
        if rung == "second_order":
            newton(mf, density=mf.get_init_guess() if density is None else density, watch=watch)
        else:
            mf.level_shift, mf.callback = LEVEL_SHIFT if rung == "level_shift" else 0.0, watch
            mf.kernel(dm0=density)
            mf.level_shift, mf.callback = 0.0, None
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


def _coarse_density(mf: Any, level: Level, journal: Journal) -> np.ndarray:
    """Density converged on the bare coarse grid from superposed atoms; of an open shell, with its instabilities followed.

    Open d shells have many stable solutions, so there the lowest of several guesses is taken, and the journal says which.
    """
    best: tuple[Any, list[str]] | None = None
    for guess in GUESSES if mf.mol.spin and _has_d_shell(mf.mol) else GUESSES[:1]:
        coarse = on_coarse_grid(mf)
        coarse.chkfile, coarse.conv_tol = None, max(COARSE_TOLERANCE, mf.conv_tol)
        climb(coarse, coarse.get_init_guess(key=guess), private := Journal())
        if level["stability"] and mf.mol.spin and coarse.converged:
            settle(coarse, private)
        found = [f"guess_{guess}"] if guess != GUESSES[0] else []
        found += [FOLLOWED] if FOLLOWED in private.rungs else []
        if best is None or (coarse.converged and coarse.e_tot < best[0].e_tot - BETTER_GUESS):
            best = (coarse, found)
    assert best is not None
    for rung in best[1]:
        journal.add(rung)
    return best[0].make_rdm1()


def _has_d_shell(mol: Any) -> bool:
    """Whether a molecule holds a transition metal."""
    from pyscf.data.elements import charge

    numbers = {charge(mol.atom_pure_symbol(i)) for i in range(mol.natm)}
    return any(n in series for n in numbers for series in TRANSITION_METALS)


def settle(mf: Any, journal: Journal) -> str:
    """Follow internal instabilities of a converged `mf` until there are none; returns what `diagnose` finds at the end.

    A closed shell unstable towards separate spins is reported and never followed: what it leads to is no singlet.
    """
    for _ in range(MAX_FOLLOWED):
        kind, mode = diagnose(mf)
        if kind != "internal":
            return kind
        journal.add(FOLLOWED)
        coarse = on_coarse_grid(mf)
        newton(coarse, _rotated(mf, mode))
        if mf.grids.level == COARSE_GRID and not mf.do_nlc():
            mf.converged, mf.e_tot = coarse.converged, coarse.e_tot
            mf.mo_energy, mf.mo_coeff, mf.mo_occ = coarse.mo_energy, coarse.mo_coeff, coarse.mo_occ
        else:
            _converge(mf, coarse.make_rdm1(), journal)
        if not mf.converged:
            return kind
    return diagnose(mf)[0]


def diagnose(mf: Any) -> tuple[str, np.ndarray]:
    """Kind of instability of a converged `mf` ("none"; "internal": within the same kind of determinant; "unrestricted":
    a closed shell that would gain by letting its spins separate) and the mode that lowers the energy.

    A closed shell well stable towards separate spins is stable inside as well: the Coulomb term lifts a rotation of
    both spins above its triplet twin, and correlation of opposite spins alone works against that, weakly.
    """
    if mf.mol.spin == 0 and lowest_mode(mf, triplet=True)[0] > CLEARLY_STABLE:
        return "none", np.empty(0)
    for kind in ("internal",) if mf.mol.spin else ("internal", "unrestricted"):
        for grid in (COARSE_GRID, CONFIRMING_GRID):
            value, mode = lowest_mode(mf, kind == "unrestricted", grid)
            if value >= UNSTABLE_BELOW:
                break
        else:
            return kind, mode
    return "none", np.empty(0)


def lowest_mode(mf: Any, triplet: bool = False, grid: int = COARSE_GRID) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue (hartree) of the orbital Hessian and its mode: virtual-occupied rotations, spin after spin.

    triplet: rotations of a closed shell that are opposite for the two spins.
    """
    from pyscf import lib

    product, gaps = _hessian(mf, triplet, on_coarse_grid(mf, grid))
    if gaps.size == 0:
        return 0.0, gaps
    starts = [np.eye(1, gaps.size, index).ravel() for index in np.argsort(gaps, kind="stable")[:3]]
    starts.append(np.random.default_rng(0).standard_normal(gaps.size) / gaps)  # reaches every symmetry
    for residual in RESIDUALS:
        _, values, vectors = lib.davidson1(
            lambda xs: list(product(np.asarray(xs))),
            starts,
            lambda r, value, _: r / np.where(abs(gaps - value) < 1e-8, 1e-8, gaps - value),
            tol=residual / 20, tol_residual=residual, nroots=1, max_cycle=40, max_space=40, verbose=0,
        )  # fmt: skip
        if values[0] > CLEARLY_STABLE:
            break
        starts = vectors
    mode = vectors[0] * np.sign(vectors[0][np.argmax(abs(vectors[0]))])
    return float(values[0]), mode


def _hessian(mf: Any, triplet: bool, coarse: Any) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Hessian times vectors (n, size) with the response of `coarse`, and virtual minus occupied levels (hartree)."""
    spins, closed = _spins(mf), np.ndim(mf.mo_occ) == 1
    gaps = np.concatenate([(v_e[:, None] - o_e[None, :]).ravel() for _, _, o_e, v_e in spins])
    if hasattr(coarse, "with_solvent"):
        if triplet:
            coarse = coarse.undo_solvent()  # a spin density without charge polarises nothing
        else:
            coarse.with_solvent = mf.with_solvent.copy().set(equilibrium_solvation=True)
    respond = coarse.gen_response(hermi=1, **({"singlet": False if triplet else None} if closed else {}))
    edges = np.cumsum([v.shape[1] * o.shape[1] for o, v, _, _ in spins])[:-1]

    def product(xs: np.ndarray) -> np.ndarray:
        densities, parts = [], []
        for (o, v, _, _), x in zip(spins, np.split(xs, edges, axis=1), strict=True):
            densities.append(v @ x.reshape(len(xs), v.shape[1], o.shape[1]) @ o.T * (2 if closed else 1))
        d = np.array(densities) + np.swapaxes(densities, -1, -2)
        for (o, v, _, _), a in zip(spins, np.reshape(respond(d[0] if closed else d), d.shape), strict=True):
            parts.append((v.T @ a @ o).reshape(len(xs), -1))
        return gaps * xs + np.concatenate(parts, axis=1)

    return product, gaps


def _spins(mf: Any) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Per spin (one entry for a closed shell): occupied and virtual orbitals, occupied and virtual levels."""
    occupations, levels = np.atleast_2d(mf.mo_occ), np.atleast_2d(mf.mo_energy)
    orbitals = np.reshape(mf.mo_coeff, (len(levels), mf.mol.nao, -1))
    return [(c[:, f], c[:, ~f], e[f], e[~f]) for c, f, e in zip(orbitals, occupations > 0, levels, strict=True)]


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
