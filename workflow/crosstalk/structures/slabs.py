"""Slabs from the `surface` settings: pure builders, the same settings give the same atoms.

Every builder returns a slab with pbc (True, True, False), the surface cell in the xy plane (reduced, first vector along
x), the third cell vector along z, tags 0, and a minimal vacuum; `in_box` sets the vacuum that a calculation wants.

Bonds are pairs nearer than BOND_FACTOR times the sum of covalent radii (Cordero 2008, ase.data.covalent_radii).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.geometry.minkowski_reduction import minkowski_reduce
from ase.neighborlist import natural_cutoffs, neighbor_list

from crosstalk.errors import CrosstalkError, nearest
from crosstalk.record import Outcome

if TYPE_CHECKING:
    from crosstalk.spec import Spec
    from crosstalk.steps import Input

BOND_FACTOR = 1.15
#: Vacuum that a builder puts on each side, Angstrom: the potential of a slab is flat 4 to 5 Angstrom above it.
VACUUM = 8.0
#: Atoms nearer in height than this are one plane, between which no cut is tried. Angstrom.
SAME_PLANE = 0.05
#: Angle at the oxygen of a new hydroxyl group, degrees. As in silanols; a straight one would sit on a saddle point.
HYDROXYL_ANGLE = 115.0
#: Caps nearer to each other than this cannot be real; Angstrom.
CAP_DISTANCE = 1.1
ANGSTROM2_PER_NM2 = 100.0


def build(surface: Mapping[str, Any]) -> Atoms:
    """The slab that the settings describe. Raises CrosstalkError for settings that describe none."""
    builders: dict[str, Callable[..., Atoms]] = {
        "graphite_basal": graphite_basal,
        "cleaved_crystal": cleaved_crystal,
        "file": from_file,
    }
    parameters = dict(surface)
    name = parameters.pop("builder", None)
    if name not in builders:
        raise CrosstalkError(
            f"surface builder '{name}' is unknown; allowed: {', '.join(builders)}{nearest(str(name), builders)}"
        )
    try:
        return builders[name](**parameters)
    except TypeError as error:
        raise CrosstalkError(f"surface builder '{name}': {error}") from error


def slab(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `slab` as built (level null): no relaxation, no energy."""
    atoms = build(spec.settings["surface"])
    return Outcome(quantities=describe(atoms), structures=[atoms])


def graphite_basal(lattice_angstrom: float, interlayer_angstrom: float, layers: int) -> Atoms:
    """Basal plane of graphite, AB stacking, two atoms per layer in the primitive surface cell."""
    a = lattice_angstrom
    cell = np.array([[a, 0, 0], [-a / 2, a * math.sqrt(3) / 2, 0]])
    scaled = [[(0, 0), (1 / 3, 2 / 3)], [(0, 0), (2 / 3, 1 / 3)]]
    positions = [
        (*(np.array(s) @ cell)[:2], layer * interlayer_angstrom) for layer in range(layers) for s in scaled[layer % 2]
    ]
    return _finish(["C"] * len(positions), np.array(positions, float), cell)


def from_file(structure: Mapping[str, Any]) -> Atoms:
    """A slab as the user made it: symbols, cell (3, 3), positions (n, 3); vacuum along the third vector, which is z.

    A slab that sticks through the lower or upper face of its cell is made whole at its widest gap.
    """
    symbols = structure["symbols"]
    box, xyz = np.array(structure["cell"], float), np.array(structure["positions"], float)
    if box.shape != (3, 3) or xyz.shape != (len(symbols), 3):
        raise CrosstalkError(f"slab from a file: a 3x3 cell and {len(symbols)} positions are needed")
    if np.abs(box[:2, 2]).max() > 1e-3 or np.abs(box[2, :2]).max() > 1e-3 or box[2, 2] <= 0:
        raise CrosstalkError(
            "slab from a file: the first two cell vectors must lie in the xy plane and the third along z"
        )
    heights = np.mod(xyz[:, 2], box[2, 2])
    order = np.sort(heights)
    gaps = np.diff(np.append(order, order[0] + box[2, 2]))
    lowest = order[(int(gaps.argmax()) + 1) % len(order)]
    xyz[:, 2] = np.mod(heights - lowest + 1e-6, box[2, 2])
    return _finish(list(symbols), xyz, box[:2])


def cleaved_crystal(crystal: Mapping[str, Any], miller: Sequence[int], layers: int, caps: Mapping[str, str]) -> Atoms:
    """A crystal cleaved where it costs the fewest bonds, every cut bond saturated.

    crystal  symbols, cell (3, 3) and positions or scaled_positions (n, 3); `miller` refers to this cell
    layers   lattice planes: the slab holds that many primitive cells of the crystal (stoichiometric), and the caps
    caps     element -> "H" or "OH": what saturates a cut bond of that element, along the bond
    """
    oriented = _oriented(crystal, miller)
    options = _cuts(oriented)
    if not options:
        raise CrosstalkError(f"the crystal has one atomic plane only along {list(miller)}: no cut was found")
    oriented = _shifted(oriented, options[0][2])
    i, j, vectors, shifts = neighbor_list("ijDS", oriented, natural_cutoffs(oriented, mult=BOND_FACTOR))
    body = Atoms(cell=oriented.cell, pbc=(True, True, False))
    for layer in range(layers):
        body += Atoms(oriented.symbols, oriented.positions + layer * oriented.cell[2])
    slab_atoms = _finish(list(body.symbols), body.positions, oriented.cell.array[:2])
    broken = [
        (layer * len(oriented) + int(a), oriented.symbols[int(b)], vector)
        for layer in range(layers)
        for a, b, vector, shift in zip(i, j, vectors, shifts[:, 2], strict=True)
        if not 0 <= layer + shift < layers
    ]
    broken.sort(key=lambda bond: (bond[0], *np.round(bond[2], 3)))
    return _saturate(slab_atoms, broken, caps, oriented)


def cuts(crystal: Mapping[str, Any], miller: Sequence[int]) -> list[dict[str, float]]:
    """The possible cuts of a plane, the fewest bonds first: bonds cut per surface cell, per nm^2, and the offset.

    Ties go to the wider gap between the atomic planes, then to the lower offset, so that the choice is reproducible.
    """
    oriented = _oriented(crystal, miller)
    area = _area(oriented)
    return [
        {
            "bonds": n,
            "bonds_per_nm2": n / area * ANGSTROM2_PER_NM2,
            "gap_angstrom": -gap,
            "offset": offset,
            "area_angstrom2": area,
        }
        for n, gap, offset in _cuts(oriented)
    ]


def describe(atoms: Atoms) -> dict[str, float]:
    """n_atoms, area_angstrom2, thickness_angstrom (nucleus to nucleus) and oh_per_nm2 (hydroxyls of the upper half)."""
    body = atoms[atoms.get_tags() == 0]
    z, area = body.positions[:, 2], _area(atoms)
    i, j = neighbor_list("ij", body, natural_cutoffs(body, mult=BOND_FACTOR))
    upper = np.flatnonzero((body.numbers == atomic_numbers["O"]) & (z > (z.min() + z.max()) / 2))
    bonded = [body.numbers[j[i == oxygen]] for oxygen in upper]
    hydroxyls = sum(len(others) > 1 and (others == 1).sum() == 1 for others in bonded)
    return {
        "n_atoms": len(body),
        "area_angstrom2": area,
        "thickness_angstrom": float(z.max() - z.min()),
        "oh_per_nm2": float(hydroxyls) / area * ANGSTROM2_PER_NM2,
    }


def repeat_to(atoms: Atoms, width_angstrom: float) -> tuple[int, int]:
    """The smallest repeats (n, m) of the surface cell whose shortest lattice vector is at least that long."""
    best: tuple[int, int, int] | None = None
    longest = math.ceil(width_angstrom / min(atoms.cell.lengths()[:2])) * 2 + 1
    for n in range(1, longest):
        for m in range(1, longest):
            cell = np.diag([n, m, 1]) @ atoms.cell.array
            reduced, _ = minkowski_reduce(cell, pbc=(True, True, False))
            shortest = np.linalg.norm(reduced[:2], axis=1).min()
            if shortest >= width_angstrom and (best is None or (n * m, abs(n - m)) < best[:2]):
                best = (n * m, abs(n - m), n)
    if best is None:
        raise CrosstalkError(f"no repeat of the surface cell keeps images {width_angstrom} Angstrom apart")
    return best[2], best[0] // best[2]


def in_box(atoms: Atoms, vacuum_angstrom: float) -> Atoms:
    """A copy in the middle of a box with that much vacuum on each side, Angstrom."""
    boxed = atoms.copy()
    z = boxed.positions[:, 2]
    cell = boxed.cell.array
    cell[2] = (0, 0, z.max() - z.min() + 2 * vacuum_angstrom)
    boxed.set_cell(cell)
    boxed.pbc = (True, True, False)
    boxed.positions[:, 2] += vacuum_angstrom - z.min()
    return boxed


def frozen(atoms: Atoms, fraction: float) -> list[int]:
    """Slab atoms (tag 0) within that fraction of the slab's thickness from its lower side; none for 0."""
    ours, z = np.flatnonzero(atoms.get_tags() == 0), atoms.positions[:, 2]
    if not len(ours) or fraction == 0:
        return []
    return [int(i) for i in ours if z[i] <= z[ours].min() + fraction * np.ptp(z[ours]) + 1e-6]


def _area(atoms: Atoms) -> float:
    return float(np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1])))


def _finish(symbols: Sequence[str], positions: np.ndarray, plane: np.ndarray) -> Atoms:
    """A slab with its surface cell reduced and turned (first vector along x), wrapped in plane, in minimal vacuum."""
    cell = np.array([plane[0], plane[1], np.cross(plane[0], plane[1])])
    atoms = Atoms(symbols, positions, cell=cell, pbc=(True, True, False))
    atoms.wrap(eps=1e-6)
    return in_box(atoms, VACUUM)


def _primitive(crystal: Mapping[str, Any]) -> Atoms:
    """The primitive cell of a crystal, not turned in space."""
    import spglib

    name = "scaled_positions" if "scaled_positions" in crystal else "positions"
    given = Atoms(crystal["symbols"], cell=crystal["cell"], pbc=True, **{name: crystal[name]})
    found = spglib.standardize_cell(
        (given.cell.array, given.get_scaled_positions(), given.numbers),
        to_primitive=True,
        no_idealize=True,
        symprec=1e-3,
    )
    if found is None:
        raise CrosstalkError("the crystal of a surface has no recognisable symmetry: are two atoms on one place?")
    cell, scaled, numbers = found
    return Atoms(numbers, scaled_positions=scaled, cell=cell, pbc=True)


def _oriented(crystal: Mapping[str, Any], miller: Sequence[int]) -> Atoms:
    """The primitive cell with its first two vectors in the plane, the first along x, and the third one plane up."""
    primitive = _primitive(crystal)
    normal = np.linalg.inv(np.array(crystal["cell"], float)) @ np.array(miller, float)
    indices = _coprime(primitive.cell.array @ normal)
    span = range(-max(map(abs, indices)) - 1, max(map(abs, indices)) + 2)
    lattice = [np.array((u, v, w)) for u in span for v in span for w in span]
    inside = [x @ primitive.cell.array for x in lattice if x @ indices == 0 and x.any()]
    inside.sort(key=lambda x: (round(float(np.linalg.norm(x)), 4), *np.round(-x, 4)))
    a = inside[0]
    b = next(x for x in inside if np.linalg.norm(np.cross(a, x)) > 1e-3)
    b = b if a @ b <= 1e-6 else -b  # an obtuse angle
    up = [x @ primitive.cell.array for x in lattice if x @ indices == 1]
    unit = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    if unit @ up[0] < 0:
        a, b, unit = b, a, -unit
    c = min(up, key=lambda x: (round(float(np.linalg.norm(x)), 4), *np.round(-x, 4)))
    x_axis = a / np.linalg.norm(a)
    turn = np.array([x_axis, np.cross(unit, x_axis), unit]).T
    oriented = Atoms(primitive.symbols, primitive.positions @ turn, cell=np.array([a, b, c]) @ turn, pbc=True)
    oriented.wrap(eps=1e-6)
    return oriented


def _coprime(values: np.ndarray) -> np.ndarray:
    """Proportional integers without a common divisor."""
    for factor in range(1, 13):
        integers = np.round(values * factor).astype(int)
        if np.abs(values * factor - integers).max() < 1e-3 and integers.any():
            return integers // np.gcd.reduce(integers)
    raise CrosstalkError(f"{values} are no Miller indices of the primitive cell")


def _cuts(oriented: Atoms) -> list[tuple[int, float, float]]:
    """(bonds cut per cell, minus the gap in Angstrom, offset as a fraction of the plane distance), best first."""
    distance = oriented.cell[2, 2]
    levels = np.sort(np.mod(oriented.get_scaled_positions()[:, 2], 1.0))
    gaps = np.diff(np.append(levels, levels[0] + 1.0))
    found = []
    for level, gap in zip(levels, gaps, strict=True):
        if gap * distance < SAME_PLANE:
            continue
        offset = float(np.mod(level + gap / 2, 1.0))
        moved = _shifted(oriented, offset)
        shifts = neighbor_list("S", moved, natural_cutoffs(moved, mult=BOND_FACTOR))
        found.append((int(np.abs(shifts[:, 2]).sum()) // 2, -round(float(gap * distance), 3), round(offset, 6)))
    return sorted(found)


def _shifted(oriented: Atoms, offset: float) -> Atoms:
    """The oriented cell with the plane at `offset` moved to its lower face."""
    moved = oriented.copy()
    moved.positions -= offset * moved.cell[2]
    moved.wrap()
    return moved


def _saturate(
    atoms: Atoms, broken: list[tuple[int, str, np.ndarray]], caps: Mapping[str, str], crystal: Atoms
) -> Atoms:
    """`atoms` with a cap on every broken bond (atom, element lost, vector to it in Angstrom)."""
    capped = atoms.copy()
    hydrogens: list[tuple[int, np.ndarray]] = []
    for atom, lost, vector in broken:
        symbol = atoms.symbols[atom]
        cap = caps.get(symbol)
        if cap not in ("H", "OH"):
            raise CrosstalkError(f"a cut bond of {symbol} needs a cap, H or OH; the surface names {cap!r}")
        unit = vector / np.linalg.norm(vector)
        if cap == "OH":
            length = np.linalg.norm(vector) if lost == "O" else _bond_length(crystal, symbol, "O")
            capped += Atoms("O", [capped.positions[atom] + length * unit])
            hydrogens.append((len(capped) - 1, unit))
        elif symbol == "O":
            hydrogens.append((atom, unit))
        else:
            capped += Atoms("H", [capped.positions[atom] + _bond_length(crystal, symbol, "H") * unit])
    for oxygen, unit in hydrogens:
        capped += Atoms("H", [_hydroxyl_hydrogen(capped, oxygen, unit)])
    capped = in_box(capped, VACUUM)
    i, j, d = neighbor_list("ijd", capped, CAP_DISTANCE)
    hydroxyl = capped.numbers[i] + capped.numbers[j] == 1 + atomic_numbers["O"]
    if (clash := (np.minimum(i, j) >= len(atoms)) & ~hydroxyl).any():
        raise CrosstalkError(f"caps of this cut come {d[clash].min():.2f} Angstrom close: choose another plane or caps")
    return capped


def _bond_length(crystal: Atoms, symbol: str, other: str) -> float:
    """Mean bond length symbol-other in the crystal, else the sum of covalent radii; Angstrom."""
    i, j, d = neighbor_list("ijd", crystal, natural_cutoffs(crystal, mult=BOND_FACTOR))
    like = (crystal.numbers[i] == atomic_numbers[symbol]) & (crystal.numbers[j] == atomic_numbers[other])
    if like.any():
        return float(d[like].mean())
    return float(covalent_radii[atomic_numbers[symbol]] + covalent_radii[atomic_numbers[other]])


def _hydroxyl_hydrogen(atoms: Atoms, oxygen: int, outward: np.ndarray) -> np.ndarray:
    """Where the hydrogen of a hydroxyl group goes: the right angle at O, the azimuth that is freest.

    `outward` is the direction of the bond that was cut; for a bent bond the azimuth of that bond is the first choice.
    """
    i, vectors = neighbor_list("iD", atoms, natural_cutoffs(atoms, mult=BOND_FACTOR))
    back = vectors[i == oxygen][0]
    axis = -back / np.linalg.norm(back)  # from the neighbour to O
    side = outward - (outward @ axis) * axis
    bent = np.linalg.norm(side) > 0.2
    if not bent:
        trial = np.array([1.0, 0, 0]) if abs(axis[0]) < 0.9 else np.array([0, 1.0, 0])
        side = trial - (trial @ axis) * axis
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    theta = math.pi - math.radians(HYDROXYL_ANGLE)
    length = covalent_radii[1] + covalent_radii[atomic_numbers["O"]]
    best, room = None, -1.0
    for k in range(1 if bent else 12):
        phi = 2 * math.pi * k / 12
        direction = math.cos(theta) * axis + math.sin(theta) * (math.cos(phi) * side + math.sin(phi) * other)
        position = atoms.positions[oxygen] + length * direction
        probe = atoms + Atoms("H", [position])
        i, j, d = neighbor_list("ijd", probe, 4.0)
        distances = d[(i == len(atoms)) & (j != oxygen)]
        free = round(float(distances.min()), 3) if len(distances) else 4.0
        if free > room:
            best, room = position, free
    assert best is not None
    return best
