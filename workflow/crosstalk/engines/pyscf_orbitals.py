"""Frontier orbitals of molecules on regular grids, with PySCF: cube files that any viewer reads.

A LUMO may be a valence orbital (pi* of a carbonyl group) or the nearest thing to a free electron that the basis holds
(dipole-bound, continuum). Its picture tells them apart at once, and so does one number: the share of its density outside
the molecule's van der Waals envelope.

The same field gives the same bytes: the sign is fixed, degenerate orbitals are turned into a fixed orientation, and
amplitudes are written to an absolute precision that noise in their last bits hardly ever reaches.
"""

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines import pyscf as engine
from crosstalk.engines import scf
from crosstalk.record import Gate, Outcome, write_atomically
from crosstalk.structures import envelope
from crosstalk.units import BOHR_ANGSTROM, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Of the grid, Angstrom. The norm of a valence orbital comes out within 2 %; at 0.3 within 3 %.
SPACING = 0.25
#: The box ends this far from the outermost nuclei, Angstrom: just as far as it takes to hold SHARE of the density, in
#: steps (so that noise does not move it). Dipole-bound states of carbonates need 6 to 9.
LEAST_MARGIN, MOST_MARGIN, MARGIN_STEP = 2.0, 12.0, 0.5
SHARE = 0.99
#: A box that holds less, at the greatest margin, misleads, and is marked so.
LEAST_SHARE = 0.95
#: Orbitals this near to the frontier level belong to it, eV: far below what a level means, above a grid's noise.
DEGENERATE = 1e-3
#: Decimal places of the amplitudes, bohr^(-3/2). Isosurfaces are drawn at 1e-3 and above.
DECIMALS = 5
#: Points within this of the largest amplitude (relative) vie for the sign, so that of equal lobes always the same wins.
NEAR_LARGEST = 0.01
#: Grid points evaluated at a time; what the basis functions' values need is this times n_basis times 8 bytes.
BLOCK = 20_000


def orbitals(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `orbitals`: HOMO and LUMO of the field that `molecule_energy` solves, as files homo.cube.gz, lumo.cube.gz.

    Ends as "absent" without electrons; without virtual orbitals (a bare minimal basis) there is no LUMO.
    """
    atoms = engine.geometry_of(spec, inputs)
    if isinstance(atoms, Outcome):
        return atoms
    problem = engine.Problem.of(spec.settings, atoms, folder)
    if problem.molecule.nelectron == 0:
        return Outcome("absent", "no electrons, no orbitals")
    with engine.until_finished(folder):
        solution = scf.solve(problem.mean_field(), problem.level, folder)
    outcome = Outcome(rungs=solution.rungs, gates=[*solution.gates, engine.spin_gate(solution.field)])
    found = frontier(solution.field)
    for name, (level, orbital) in found.items():
        outcome.quantities[f"{name}_ev"] = level
        _on_grid(name, problem, orbital, folder, outcome)
    if "lumo" in found:
        extent = extent_angstrom(problem.molecule, found["lumo"][1], problem.real.positions)
        outcome.quantities["lumo_extent_angstrom"] = extent
    return outcome


def _on_grid(name: str, problem: engine.Problem, orbital: np.ndarray, folder: Path, outcome: Outcome) -> None:
    """Add an orbital's file, its share outside the envelope and the gate of its box to `outcome`."""
    mol, real = problem.molecule, problem.real
    margin, beyond = box(mol, orbital, real.positions)
    grid = Grid.around(real.positions, margin)
    values = signed(amplitudes(mol, orbital, grid.points()).reshape(grid.shape))
    held = round(1 - beyond, 3)
    outcome.quantities[f"{name}_outside"] = outside(real, grid, values) + beyond
    outcome.gates.append(Gate(f"{name}_in_box", held >= LEAST_SHARE, held, LEAST_SHARE))
    outcome.files[name] = folder / f"{name}.cube.gz"
    write_atomically(outcome.files[name], compressed(cube(real, grid, values, name.upper())))


# -- which orbital -----------------------------------------------------------------------------------------------


def frontier(mf: Any) -> dict[str, tuple[float, np.ndarray]]:
    """Level (eV) and coefficients of "homo" and, if there is one, "lumo": of both spins, the first of a degenerate set."""
    occupations, levels = np.atleast_2d(mf.mo_occ), np.atleast_2d(mf.mo_energy) * HARTREE_EV
    coefficients = np.reshape(mf.mo_coeff, (len(levels), mf.mol.nao, -1))
    found = {}
    for name, kind, sign in (("homo", occupations > 0, -1), ("lumo", occupations == 0, 1)):
        if kind.any():
            distance = np.where(kind, sign * levels, np.inf)
            # the first spin whose level comes that near, not the one that noise put in front
            spin = int(np.argmax(distance.min(axis=1) <= distance.min() + DEGENERATE))
            together = distance[spin] <= distance[spin].min() + DEGENERATE
            found[name] = sign * float(distance.min()), oriented(mf.mol, coefficients[spin][:, together])[:, 0]
    return found


def oriented(mol: Any, degenerate: np.ndarray) -> np.ndarray:
    """Degenerate orbitals (n_basis, n), turned among themselves so that <x^2 + 2 y^2 + 3 z^2> is diagonal, ascending.

    Any rotation of a degenerate set solves the field as well; this one does not depend on the solver. The three axes
    weigh differently so that no symmetry of the frame is left to choose from.
    """
    if degenerate.shape[1] == 1:
        return degenerate
    squares = mol.intor("int1e_rr", comp=9)[[0, 4, 8]]
    form = degenerate.T @ np.tensordot([1.0, 2.0, 3.0], squares, axes=1) @ degenerate
    return degenerate @ np.linalg.eigh(form)[1]


def extent_angstrom(mol: Any, orbital: np.ndarray, positions: np.ndarray) -> float:
    """Root mean square distance of an orbital's density from the centroid of `positions`, Angstrom."""
    with mol.with_common_origin(positions.mean(axis=0) / BOHR_ANGSTROM):
        return float(np.sqrt(orbital @ mol.intor("int1e_r2") @ orbital)) * BOHR_ANGSTROM


def amplitudes(mol: Any, orbital: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of an orbital (bohr^(-3/2)) at points (n, 3) in Angstrom."""
    blocks = (points[k : k + BLOCK] / BOHR_ANGSTROM for k in range(0, len(points), BLOCK))
    return np.concatenate([mol.eval_gto("GTOval", block) @ orbital for block in blocks])


def signed(values: np.ndarray) -> np.ndarray:
    """Values rounded as they are written, the largest positive; of several nearly largest, the first on the grid."""
    near = np.abs(values) >= (1 - NEAR_LARGEST) * np.abs(values).max()
    return np.round(values * np.sign(values[near][0]), DECIMALS) + 0.0


# -- where -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grid:
    """A regular grid along the axes: its first point and its spacing (Angstrom), points along x, y and z."""

    origin: np.ndarray
    spacing: float
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, positions: np.ndarray, margin: float, spacing: float = SPACING) -> "Grid":
        """Symmetric about the nuclei's bounding box, at numbers that a cube file writes without loss."""
        step = round(spacing / BOHR_ANGSTROM, 6) * BOHR_ANGSTROM
        low, high = positions.min(axis=0) - margin, positions.max(axis=0) + margin
        shape = np.ceil(np.round((high - low) / step, 6)).astype(int) + 1
        origin = np.round(((low + high) / 2 - (shape - 1) * step / 2) / BOHR_ANGSTROM, 6) * BOHR_ANGSTROM
        return cls(origin, step, (int(shape[0]), int(shape[1]), int(shape[2])))

    def points(self) -> np.ndarray:
        """(n, 3), Angstrom; z runs fastest."""
        axes = [self.origin[k] + self.spacing * np.arange(self.shape[k]) for k in range(3)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def integral(self, density: np.ndarray) -> float:
        """Integral of a density in bohr^-3 over the box."""
        return float(density.sum()) * (self.spacing / BOHR_ANGSTROM) ** 3


def box(mol: Any, orbital: np.ndarray, positions: np.ndarray) -> tuple[float, float]:
    """How far from the nuclei's bounding box (Angstrom) a box must end to hold SHARE of an orbital's density, and what
    share of it is left beyond. On atom-centred grids, which end nowhere."""
    from pyscf import dft

    grids = dft.gen_grid.Grids(mol).set(level=1).build()
    points = grids.coords * BOHR_ANGSTROM
    density = grids.weights * amplitudes(mol, orbital, points) ** 2
    distance = np.maximum(positions.min(axis=0) - points, points - positions.max(axis=0)).max(axis=1)
    order = np.argsort(distance, kind="stable")
    enough = min(int(np.searchsorted(np.cumsum(density[order]), SHARE)), len(order) - 1)
    steps = np.ceil(distance[order[enough]] / MARGIN_STEP)
    margin = float(np.clip(steps * MARGIN_STEP, LEAST_MARGIN, MOST_MARGIN))
    return margin, float(density[distance > margin].sum())


def outside(atoms: "Atoms", grid: Grid, values: np.ndarray) -> float:
    """Integral of an orbital's density over what of the box is outside the envelope. There it is smooth; inside, next to
    the nuclei, such a grid would be a per cent off. Up to a twentieth (relative) too large where it falls off steeply."""
    depth = envelope.depth(grid.points(), atoms.positions, atoms.numbers)
    within = np.clip(depth / grid.spacing + 0.5, 0.0, 1.0)  # voxels on the border count in part
    return grid.integral(values.ravel() ** 2 * (1 - within))


# -- files -------------------------------------------------------------------------------------------------------


def cube(atoms: "Atoms", grid: Grid, values: np.ndarray, name: str) -> bytes:
    """A Gaussian cube file: bohr and bohr^(-3/2), as the format has it; z runs fastest, six values in a line."""
    lines = [f"{name}, amplitude in bohr^(-3/2); lengths in bohr", "OUTER LOOP: X, MIDDLE LOOP: Y, INNER LOOP: Z"]
    lines.append(_line(len(atoms), grid.origin / BOHR_ANGSTROM))
    steps = np.eye(3) * (grid.spacing / BOHR_ANGSTROM)
    lines += [_line(n, step) for n, step in zip(grid.shape, steps, strict=True)]
    for number, position in zip(atoms.numbers, atoms.positions, strict=True):
        lines.append(_line(number, [float(number), *(position / BOHR_ANGSTROM)]))
    return "\n".join([*lines, *_table(values), ""]).encode()


def _line(count: int, numbers: Any) -> str:
    return f"{count:5d}" + "".join(f"{number:12.6f}" for number in numbers)


def _table(values: np.ndarray) -> Iterator[str]:
    for row in values.reshape(-1, values.shape[2]).tolist():
        for k in range(0, len(row), 6):
            part = row[k : k + 6]
            yield "%13.5E" * len(part) % tuple(part)


def compressed(data: bytes) -> bytes:
    """Without a name or a time, so that equal data are equal files."""
    return gzip.compress(data, compresslevel=9, mtime=0)
