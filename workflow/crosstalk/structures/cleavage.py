"""Crystals cleaved where it costs the fewest bonds, and the caps that saturate what was cut.

Salts and metals are left bare. Of a crystal with a bare element covalent bonds are cut last (a carbonate stays whole), and a slab
whose formal charges add up to a dipole is refused: its energy would grow with its thickness (Tasker, J. Phys. C 1979, 12, 4977).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import natural_cutoffs, neighbor_list

from crosstalk.errors import CrosstalkError
from crosstalk.structures import valence
from crosstalk.structures.frame import ANGSTROM2_PER_NM2, BOND_FACTOR, VACUUM, area, finish, in_box
from crosstalk.structures.molecules import COVALENT

#: Atoms nearer in height than this are one plane, between which no cut is tried. Angstrom.
SAME_PLANE = 0.05
#: What a cut bond gets: hydrogen, a hydroxyl group, nothing.
CAPS = ("H", "OH", "bare")
#: A slab of formal charges with a larger dipole along its normal is polar; elementary charges times Angstrom in a cell.
POLAR = 0.05
#: Angle at the oxygen of a new hydroxyl group, degrees. As in silanols; a straight one would sit on a saddle point.
HYDROXYL_ANGLE = 115.0
#: Caps nearer than this to each other, or to an atom that does not carry them, touch: those of geminal silanols are built
#: 1.4 apart. Angstrom.
CAP_DISTANCE = 1.3


def cleaved_crystal(crystal: Mapping[str, Any], miller: Sequence[int], layers: int, caps: Mapping[str, str]) -> Atoms:
    """A crystal cleaved where it costs the fewest bonds, every cut bond saturated; see `_parted` for caps that touch.

    crystal  symbols, cell (3, 3) and positions or scaled_positions (n, 3), of a glass too; `miller` refers to this cell
    layers   lattice planes: the slab holds that many primitive cells of the crystal (stoichiometric), and the caps
    caps     element -> "H", "OH" or "bare": what saturates a cut bond of that element, along the bond
    """
    oriented = _oriented(crystal, miller)
    options = _cuts(oriented)
    if not options:
        raise CrosstalkError(f"the crystal has one atomic plane only along {list(miller)}: no cut was found")
    if "bare" in caps.values():
        options = _between_ions(oriented, options, uncharged=set(caps.values()) == {"bare"})
        if not options:
            raise CrosstalkError(
                f"every cut along {list(miller)} that breaks no more covalent bonds than it must leaves a polar slab (a dipole of formal "
                "charges along the normal): choose another plane, or build a reconstructed slab and give it as a file"
            )
    for _, _, offset in options:
        found = _cut_out(_shifted(oriented, offset), layers, caps)
        if found is not None:
            return found
    raise CrosstalkError("caps of every cut come too close to each other: choose another plane or caps")


def _between_ions(
    oriented: Atoms, options: Sequence[tuple[int, float, float]], uncharged: bool
) -> list[tuple[int, float, float]]:
    """The cuts through the fewest covalent bonds, best first; `uncharged`: those whose slabs have no dipole of formal charges."""
    from pymatgen.core import Composition

    guesses = Composition(oriented.get_chemical_formula()).oxi_state_guesses()
    charges = np.array([float(guesses[0][symbol]) if guesses else 0.0 for symbol in oriented.symbols])
    is_covalent = np.array([symbol in COVALENT for symbol in oriented.symbols], dtype=bool)
    found = []
    for option in options:
        moved = _shifted(oriented, option[2])
        i, j, shifts = neighbor_list("ijS", moved, natural_cutoffs(moved, mult=BOND_FACTOR))
        torn = int(np.abs(shifts[is_covalent[i] & is_covalent[j], 2]).sum()) // 2
        found.append((torn, uncharged and abs(float(charges @ moved.positions[:, 2])) > POLAR, option))
    least = min(torn for torn, _, _ in found)
    return [option for torn, polar, option in found if torn == least and not polar]


def _cut_out(oriented: Atoms, layers: int, caps: Mapping[str, str]) -> Atoms | None:
    """The saturated slab from the lower face of the cell to that of its image `layers` above; None without room."""
    i, j, vectors, shifts = neighbor_list("ijDS", oriented, natural_cutoffs(oriented, mult=BOND_FACTOR))
    body = Atoms(cell=oriented.cell, pbc=(True, True, False))
    for layer in range(layers):
        body += Atoms(oriented.symbols, oriented.positions + layer * oriented.cell[2])
    slab_atoms = finish(list(body.symbols), body.positions, oriented.cell.array[:2])
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
    surface = area(oriented)
    return [
        {
            "bonds": n,
            "bonds_per_nm2": n / surface * ANGSTROM2_PER_NM2,
            "gap_angstrom": -gap,
            "offset": offset,
            "area_angstrom2": surface,
        }
        for n, gap, offset in _cuts(oriented)
    ]


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
) -> Atoms | None:
    """`atoms` with a cap on every broken bond (atom, element lost, vector to it in Angstrom); None without room."""
    capped = atoms.copy()
    hydrogens: list[tuple[int, np.ndarray]] = []
    carriers: list[int] = []
    for atom, lost, vector in broken:
        symbol = atoms.symbols[atom]
        cap = caps.get(symbol)
        if cap not in CAPS:
            raise CrosstalkError(f"a cut bond of {symbol} needs a cap, {', '.join(CAPS)}; the surface names {cap!r}")
        if cap == "bare":
            continue
        unit = vector / np.linalg.norm(vector)
        if cap == "OH":
            length = np.linalg.norm(vector) if lost == "O" else _bond_length(crystal, symbol, "O")
            capped += Atoms("O", [capped.positions[atom] + length * unit])
            carriers.append(atom)
            hydrogens.append((len(capped) - 1, unit))
        elif symbol == "O":
            hydrogens.append((atom, unit))
        else:
            capped += Atoms("H", [capped.positions[atom] + _bond_length(crystal, symbol, "H") * unit])
            carriers.append(atom)
    for oxygen, unit in hydrogens:
        capped += Atoms("H", [hydroxyl_hydrogen(capped, oxygen, unit)])
        carriers.append(oxygen)
    return _parted(in_box(capped, VACUUM), carriers) if carriers else in_box(capped, VACUUM)


def _parted(capped: Atoms, carriers: Sequence[int]) -> Atoms | None:
    """The slab, at rest in the valence force field where its caps touch others; None when they do even then.

    `carriers` are the atoms that hold the caps, which are the last atoms. Where nothing touches nothing is moved.
    """
    n_atoms = len(capped) - len(carriers)
    own = {(carrier, n_atoms + k, 0, 0, 0) for k, carrier in enumerate(carriers)}
    bonds = {bond for bond in valence.bonds_of(capped) if max(bond[:2]) < n_atoms} | own
    if _touches(capped, n_atoms, bonds):
        capped, _ = valence.relaxed(capped, sorted(bonds))
        capped = in_box(capped, VACUUM)
    return None if _touches(capped, n_atoms, bonds) else capped


def _touches(atoms: Atoms, n_atoms: int, bonds: set[valence.Bond]) -> bool:
    """Whether caps, the atoms beyond `n_atoms`, are nearer to each other than CAP_DISTANCE, or atoms bonded otherwise
    than they should be."""
    i, j = neighbor_list("ij", atoms, CAP_DISTANCE)
    hydroxyl = atoms.numbers[i] + atoms.numbers[j] == 1 + atomic_numbers["O"]
    return bool(((np.minimum(i, j) >= n_atoms) & ~hydroxyl).any()) or set(valence.bonds_of(atoms)) != bonds


def _bond_length(crystal: Atoms, symbol: str, other: str) -> float:
    """Mean bond length symbol-other in the crystal, else the sum of covalent radii; Angstrom."""
    i, j, d = neighbor_list("ijd", crystal, natural_cutoffs(crystal, mult=BOND_FACTOR))
    like = (crystal.numbers[i] == atomic_numbers[symbol]) & (crystal.numbers[j] == atomic_numbers[other])
    if like.any():
        return float(d[like].mean())
    return float(covalent_radii[atomic_numbers[symbol]] + covalent_radii[atomic_numbers[other]])


def hydroxyl_hydrogen(atoms: Atoms, oxygen: int, outward: np.ndarray) -> np.ndarray:
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
