"""Start poses of an adsorbate on a slab: site x facing group x azimuth x conformer, and which of them are the same.

Start number i depends on the seed and on i alone, never on how many starts there are: adding starts changes no earlier
one. Facings are gone through in turn, then the next conformer's, and so on over all sites; many sites (a slab without
symmetry) are gone through start by start, in strides, so that any few starts lie all over the cell. Azimuth and tilt come
from the start's own random stream. Slab atoms carry tag 0, adsorbate atoms tag 1. Lengths in Angstrom.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import get_distances

from crosstalk.errors import CrosstalkError

#: Atoms this far below the highest one still belong to the upper side: a hydroxyl group is 1.9 high.
UPPER_SIDE = 2.5
#: An atom with another one above it within this lateral distance is covered.
COVERED = 0.8
#: Sites nearer than this are one site.
SAME_SITE = 0.6
#: Lateral distance within which slab atoms make the local top.
LOCAL = 2.0
#: Adsorbate and slab start at least the sum of covalent radii plus this apart: a short hydrogen bond.
CLEARANCE = 0.7
#: Adsorbate images nearer than this touch: the repeat is impossible.
IMAGE_DISTANCE = 2.0
#: Largest random tilt of a start, degrees: breaks symmetries in which a relaxation would get stuck.
TILT = 10.0
#: A facing atom nearer to the middle of the molecule than this points nowhere.
CENTRAL = 0.8
LIFT = 0.1
#: Sites are few when there are at most so many for each facing.
FEW = 2


@dataclass(frozen=True)
class Facing:
    """What points down: a direction in the molecule's frame; the atom over the site (None: the centroid)."""

    name: str
    direction: tuple[float, float, float]
    atom: int | None


@dataclass(frozen=True)
class Start:
    """A start pose: where it came from and the whole structure (slab first, then the adsorbate, tag 1)."""

    index: int
    site: str
    facing: str
    conformer: int
    atoms: Atoms


def sites(slab: Atoms) -> list[tuple[str, np.ndarray]]:
    """Symmetry-distinct high-symmetry points (kind, xy) of the upper side: atoms, bridges between them, hollows.

    `slab` is the primitive slab. Hollows are the points with three or more equally near atoms (Delaunay circumcentres).
    """
    from scipy.spatial import Delaunay

    upper = _exposed(slab)
    cell = slab.cell.array[:2, :2]
    shifts = np.array([(n, m) for n in range(-2, 3) for m in range(-2, 3)])
    tiled = (upper[None, :, :] + (shifts @ cell)[:, None, :]).reshape(-1, 2)
    simplices = tiled[Delaunay(tiled).simplices]
    edges = np.concatenate([simplices[:, [0, 1]], simplices[:, [1, 2]], simplices[:, [0, 2]]])
    lengths = np.linalg.norm(edges[:, 0] - edges[:, 1], axis=1)
    hollows, radii = _circumcentres(simplices)
    inner = _nearby(hollows, cell) & (radii < np.linalg.norm(cell, axis=1).sum())
    # An edge is a bridge when its two ends alone are nearest to its middle: the diagonals of a ring are none.
    middles = edges.mean(axis=1)
    distances = np.linalg.norm(middles[:, None] - tiled[None], axis=2)
    bridge = _nearby(middles, cell) & ((distances < lengths[:, None] / 2 + 0.1).sum(axis=1) == 2)
    found: list[tuple[str, np.ndarray]] = []
    operations = plane_operations(slab)
    for kind, points in (("top", upper), ("bridge", middles[bridge]), ("hollow", hollows[inner])):
        home = np.mod(np.round(points @ np.linalg.inv(cell), 6), 1.0) @ cell
        if kind != "top":  # tops come from the highest down
            home = home[np.lexsort(np.round(home, 3).T)]
        for point in home:
            if not any(_equivalent(point, other, cell, operations) for _, other in found):
                found.append((kind, point))
    return found


def facings(molecule: Atoms) -> list[Facing]:
    """Distinct ways to face a surface: each heteroatom and each chain end down, and the two flat sides.

    Atoms that the molecular graph cannot tell apart count once, and saturated centres (four bonds) not at all.
    Terminal heteroatoms come first, then the flat sides, inner heteroatoms, and chain ends.
    """
    from crosstalk.structures.graphs import connectivity

    bonds = [pair for pair in connectivity(molecule) if pair[0] != pair[1]]
    numbers = molecule.numbers
    heavy: dict[int, int] = {int(a): 0 for a in np.flatnonzero(numbers > 1)}
    valence = np.bincount(np.array(bonds, dtype=int).ravel(), minlength=len(molecule))
    for i, j in bonds:
        if i in heavy and j in heavy:
            heavy[i] += 1
            heavy[j] += 1
    classes = graph_classes(numbers, bonds)
    centroid = molecule.positions.mean(axis=0)
    offsets = molecule.positions - centroid
    seen: set[int] = set()
    groups: list[tuple[int, float, int]] = []
    for atom, degree in heavy.items():
        hetero = numbers[atom] != 6 and valence[atom] < 4
        if (hetero or degree == 1) and classes[atom] not in seen and np.linalg.norm(offsets[atom]) > CENTRAL:
            seen.add(classes[atom])
            rank = 0 if hetero and degree == 1 else 2 if hetero else 3
            groups.append((rank, -float(numbers[atom]), atom))
    _, axes = np.linalg.eigh(offsets.T @ offsets)
    thin = axes[:, 0] * (1 if axes[np.abs(axes[:, 0]).argmax(), 0] > 0 else -1)
    ranked = [(r, z, Facing(f"{molecule.symbols[a]}{a}", _unit(offsets[a]), a)) for r, z, a in groups]
    ranked += [(1, 0.0, Facing("flat", _unit(thin), None)), (1, 1.0, Facing("flat, turned over", _unit(-thin), None))]
    return [facing for _, _, facing in sorted(ranked, key=lambda entry: entry[:2])]


def stream(seed: int, index: int) -> np.random.Generator:
    """The random numbers of one start: from the seed and its own index."""
    return np.random.default_rng(int(hashlib.sha256(f"{seed}:{index}".encode()).hexdigest()[:16], 16))


def start(
    index: int, slab: Atoms, repeat: Sequence[int], conformers: Sequence[Atoms], seed: int, height_angstrom: float
) -> Start:
    """Start pose number `index` (from 0) on the repeated slab. Raises CrosstalkError for a repeat too small for it."""
    random = stream(seed, index)
    places = sites(slab)
    n_ways = len(facings(conformers[0]))
    turn, way = divmod(index, n_ways)
    moved, chosen = divmod(turn, len(conformers))
    molecule = conformers[chosen]
    ways = facings(molecule)  # may be fewer or more in another shape
    facing = ways[way % len(ways)]
    few = len(places) <= FEW * n_ways
    kind, point = places[(way + moved + chosen if few else index * _stride(len(places))) % len(places)]
    turned = _turn(molecule.positions, facing, random)
    bare = slab.repeat((int(repeat[0]), int(repeat[1]), 1))
    bare.set_tags(0)
    middle = np.array([int(repeat[0]) // 2, int(repeat[1]) // 2]) @ slab.cell.array[:2, :2]
    anchor = turned[facing.atom] if facing.atom is not None else turned.mean(axis=0)
    turned[:, :2] += point + middle - anchor[:2]
    turned[:, 2] += _local_top(bare, point + middle) + height_angstrom - turned[:, 2].min()
    adsorbate = Atoms(molecule.symbols, turned, tags=1)
    _check_images(adsorbate, bare, repeat)
    return Start(index, kind, facing.name, chosen, bare + _lifted(adsorbate, bare))


def boxed(bare: Atoms, molecule: Atoms, poses: Sequence[Atoms], vacuum_angstrom: float) -> list[Atoms]:
    """Bare slab, molecule alone (centred) and poses, all in one cell.

    `vacuum_angstrom` lies between the highest atom of any of them and the periodic image of the slab's lower side; half
    of it is below the slab. The height is rounded up to 0.1 Angstrom, so that noise does not change the cell.
    """
    low = float(bare.positions[:, 2].min())
    heights = [a.positions[:, 2].max() - low for a in (bare, *poses)] + [np.ptp(molecule.positions[:, 2])]
    cell = bare.cell.array.copy()
    cell[2] = (0, 0, math.ceil(round((max(heights) + vacuum_angstrom) * 10, 3)) / 10)
    alone = Atoms(molecule.symbols, molecule.positions, tags=1)
    alone.positions += cell.sum(axis=0) / 2 - (alone.positions.max(axis=0) + alone.positions.min(axis=0)) / 2
    result = []
    for atoms in (bare, alone, *poses):
        moved = atoms.copy()
        moved.set_constraint()
        moved.set_cell(cell)
        moved.pbc = (True, True, False)
        if atoms is not alone:
            moved.positions[:, 2] += vacuum_angstrom / 2 - low
        result.append(moved)
    return result


def _stride(count: int) -> int:
    """Step with which `count` things are all visited, each far from the ones before: coprime, next to the golden section."""
    golden = count * (math.sqrt(5) - 1) / 2
    return min((s for s in range(1, count + 1) if math.gcd(s, count) == 1), key=lambda s: abs(s - golden))


# -- geometry ----------------------------------------------------------------------------------------------------


def _unit(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = vector / np.linalg.norm(vector)
    return (float(x), float(y), float(z))


def _turn(positions: np.ndarray, facing: Facing, random: np.random.Generator) -> np.ndarray:
    """Positions about the centroid with the facing direction down, then a small tilt, then an azimuth."""
    from scipy.spatial.transform import Rotation

    azimuth, about = random.uniform(0, 2 * math.pi, size=2)
    tilt = math.radians(random.uniform(0, TILT))
    face, _ = Rotation.align_vectors([[0.0, 0.0, -1.0]], [facing.direction])
    lean = Rotation.from_rotvec(tilt * np.array([math.cos(about), math.sin(about), 0.0]))
    spin = Rotation.from_rotvec([0.0, 0.0, azimuth])
    return np.asarray((spin * lean * face).apply(positions - positions.mean(axis=0)))


def _local_top(slab: Atoms, point: np.ndarray) -> float:
    """Height of the highest slab atom near a lateral point (of any atom when none is near)."""
    _, lateral = get_distances(
        [[point[0], point[1], 0.0]], slab.positions * (1, 1, 0), cell=slab.cell, pbc=(True, True, False)
    )
    near = lateral[0] < LOCAL
    return float(slab.positions[near if near.any() else slice(None), 2].max())


def _lifted(adsorbate: Atoms, slab: Atoms) -> Atoms:
    """The adsorbate raised until it overlaps no slab atom."""
    radii = covalent_radii[adsorbate.numbers][:, None] + covalent_radii[slab.numbers][None, :] + CLEARANCE
    raised = adsorbate.copy()
    while True:
        _, lengths = get_distances(raised.positions, slab.positions, cell=slab.cell, pbc=(True, True, False))
        if (lengths >= radii).all():
            return raised
        raised.positions[:, 2] += LIFT


def image_gap(adsorbate: Atoms, cell: np.ndarray) -> float:
    """Shortest distance of an atom of an adsorbate from one of a lateral image, Angstrom."""
    across = adsorbate.positions[:, None] - adsorbate.positions[None]
    shifts = np.array([(1, 0, 0), (0, 1, 0), (1, 1, 0), (1, -1, 0)]) @ cell
    return min(float(np.linalg.norm(across - shift, axis=2).min()) for shift in shifts)


def _check_images(adsorbate: Atoms, slab: Atoms, repeat: Sequence[int]) -> None:
    gap = image_gap(adsorbate, slab.cell.array)
    if gap < IMAGE_DISTANCE:
        formula = adsorbate.get_chemical_formula()
        raise CrosstalkError(f"repeat {list(repeat)} is too small: {formula} comes within {gap:.1f} A of its image")


def _exposed(slab: Atoms) -> np.ndarray:
    """Lateral positions of the atoms of the upper side that nothing covers, the highest first."""
    z = slab.positions[:, 2]
    flat = slab.positions * (1, 1, 0)
    kept: list[int] = []
    for i in np.argsort(-np.round(z, 3), kind="stable"):
        if z[i] <= z.max() - UPPER_SIDE:
            break
        near = get_distances(flat[[i]], flat[kept], cell=slab.cell, pbc=(True, True, False))[1] if kept else np.inf
        if np.min(near) >= COVERED:
            kept.append(int(i))
    return slab.positions[kept][:, :2]


def _circumcentres(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Circumcentres (n, 2) and radii (n) of triangles (n, 3, 2); degenerate ones get an infinite radius."""
    a, b, c = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    d = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    flat = np.abs(d) < 1e-6
    d = np.where(flat, 1.0, d)
    bb, cc = (b**2).sum(axis=1), (c**2).sum(axis=1)
    local = np.stack([(c[:, 1] * bb - b[:, 1] * cc) / d, (b[:, 0] * cc - c[:, 0] * bb) / d], axis=1)
    return a + local, np.where(flat, np.inf, np.linalg.norm(local, axis=1))


def _nearby(points: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Which lateral points lie in the surface cell or in a neighbouring one."""
    return np.asarray((np.abs(points @ np.linalg.inv(cell) - 0.5) < 1.5).all(axis=1))


def plane_operations(slab: Atoms) -> list[tuple[np.ndarray, np.ndarray]]:
    """Symmetry operations (rotation, translation; fractional) of a slab that leave its normal alone."""
    import spglib

    boxed_slab = slab.copy()
    cell = slab.cell.array.copy()
    cell[2] = (0, 0, float(np.ptp(slab.positions[:, 2])) + 20.0)
    boxed_slab.set_cell(cell)
    found = spglib.get_symmetry((cell, boxed_slab.get_scaled_positions(), slab.numbers), symprec=0.05)
    if found is None:  # atoms of the slab overlap: the identity is left
        return [(np.eye(3), np.zeros(3))]
    keep_z = np.array([0, 0, 1])
    pairs = []
    for rotation, translation in zip(found["rotations"], found["translations"], strict=True):
        if (
            (rotation[2] == keep_z).all()
            and (rotation[:, 2] == keep_z).all()
            and abs(np.round(translation[2]) - translation[2]) < 1e-2
        ):
            pairs.append((rotation.astype(float), np.array([*translation[:2], 0.0])))
    return pairs


def _equivalent(
    point: np.ndarray, other: np.ndarray, cell: np.ndarray, operations: Sequence[tuple[np.ndarray, np.ndarray]]
) -> bool:
    """Whether a symmetry operation brings one lateral point onto the other."""
    inverse = np.linalg.inv(cell)
    for rotation, translation in operations:
        delta = rotation[:2, :2] @ (point @ inverse) + translation[:2] - other @ inverse
        if np.linalg.norm((delta - np.round(delta)) @ cell) < SAME_SITE:
            return True
    return False


def graph_classes(numbers: np.ndarray, bonds: Sequence[tuple[int, int]]) -> list[int]:
    """A number for each atom, the same for atoms that the graph cannot tell apart (Weisfeiler-Lehman refinement)."""
    neighbours: list[list[int]] = [[] for _ in numbers]
    for i, j in bonds:
        neighbours[i].append(j)
        neighbours[j].append(i)
    colours = [int(z) for z in numbers]
    for _ in range(len(numbers)):
        signatures = [(colours[i], tuple(sorted(colours[j] for j in neighbours[i]))) for i in range(len(numbers))]
        names = {signature: rank for rank, signature in enumerate(sorted(set(signatures)))}
        refined = [names[signature] for signature in signatures]
        if len(set(refined)) == len(set(colours)):
            return refined
        colours = refined
    return colours
