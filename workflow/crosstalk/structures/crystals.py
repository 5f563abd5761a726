"""Bulk crystals: the primitive cell and back, symmetry, layers, what a lattice is in numbers, and surfaces cut from one."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import natural_cutoffs, neighbor_list

from crosstalk.errors import CrosstalkError
from crosstalk.structures.frame import BOND_FACTOR, area, finish
from crosstalk.units import DENSITY_G_CM3


def atoms_of(crystal: Mapping[str, Any]) -> Atoms:
    """A crystal from its symbols, cell (3, 3; Angstrom) and scaled_positions (n, 3)."""
    return Atoms(crystal["symbols"], cell=crystal["cell"], scaled_positions=crystal["scaled_positions"], pbc=True)


def settings_of(atoms: Atoms) -> dict[str, Any]:
    """The opposite of `atoms_of`."""
    cell, scaled = atoms.cell.array.tolist(), atoms.get_scaled_positions().tolist()
    return {"symbols": list(atoms.symbols), "cell": cell, "scaled_positions": scaled}


# -- symmetry ----------------------------------------------------------------------------------------------------


def _of_spglib(atoms: Atoms) -> Any:
    return atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers


def space_group(atoms: Atoms, tolerance: float) -> str:
    """Space group as symbol and number, of positions that are right to `tolerance` (Angstrom): "Fd-3m (227)"."""
    import spglib

    found = spglib.get_spacegroup(_of_spglib(atoms), symprec=tolerance)
    if found is None:
        raise CrosstalkError("the crystal has no recognisable symmetry: are two atoms on one place?")
    return str(found)


def primitive(atoms: Atoms, tolerance: float) -> tuple[Atoms, np.ndarray]:
    """The primitive cell, not turned in space, and the integers (3, 3) that make the given cell's vectors of its own.

    A cell that is primitive already is returned as it is.
    """
    import spglib

    found = spglib.standardize_cell(_of_spglib(atoms), to_primitive=True, no_idealize=True, symprec=tolerance)
    if found is None or len(found[2]) == len(atoms):
        return atoms.copy(), np.eye(3, dtype=int)
    cell, scaled, numbers = found
    integers = np.round(atoms.cell.array @ np.linalg.inv(cell)).astype(int)
    return Atoms(numbers, scaled_positions=scaled, cell=cell, pbc=True), integers


def in_setting(atoms: Atoms, integers: np.ndarray) -> Atoms:
    """A primitive cell repeated to the cell whose vectors `integers` make of its own: the opposite of `primitive`."""
    from ase.build import make_supercell

    return atoms.copy() if np.array_equal(integers, np.eye(3)) else make_supercell(atoms, integers, order="atom-major")


# -- layers ------------------------------------------------------------------------------------------------------


def _layers(atoms: Atoms) -> list[tuple[list[int], np.ndarray]]:
    """Atoms that bonds connect, and the lattice vectors (n, 3) that bring each to the others of its layer.

    Raises CrosstalkError unless all bonds stay within layers that run along the first two cell vectors.
    """
    i, j, shifts = neighbor_list("ijS", atoms, natural_cutoffs(atoms, mult=BOND_FACTOR))
    around: dict[int, list[tuple[int, np.ndarray]]] = {}
    for a, b, shift in zip(i, j, shifts, strict=True):
        around.setdefault(int(a), []).append((int(b), shift))
    offsets: dict[int, np.ndarray] = {}
    found = []
    for start in range(len(atoms)):
        if start in offsets:
            continue
        offsets[start] = np.zeros(3, dtype=int)
        members, loops = [start], []
        for a in members:  # grows while it is read
            for b, shift in around.get(a, []):
                place = offsets[a] + shift
                if b not in offsets:
                    offsets[b] = place
                    members.append(b)
                elif (place != offsets[b]).any():
                    loops.append(place - offsets[b])
        if any(loop[2] for loop in loops):
            raise CrosstalkError("no layered crystal: bonds run through it along its third cell vector")
        if not loops or np.linalg.matrix_rank(np.array(loops)) < 2:
            raise CrosstalkError(
                "no layered crystal: bonds do not connect the atoms to planes of the first two cell vectors"
            )
        found.append((members, np.array([offsets[a] for a in members])))
    return found


def interlayer(atoms: Atoms) -> float:
    """Mean distance of neighbouring layers, Angstrom."""
    return float(atoms.get_volume() / area(atoms) / len(_layers(atoms)))


def layer(atoms: Atoms) -> Atoms:
    """One layer of a crystal alone, as it is there, in the frame of a slab: the same lattice in its plane.

    Raises CrosstalkError when the layers differ in composition: there is then no one energy of a layer.
    """
    every = _layers(atoms)
    if len({atoms[members].get_chemical_formula() for members, _ in every}) > 1:
        raise CrosstalkError("no layered crystal of one kind: its layers differ in composition")
    flat = in_frame(atoms)
    members, offsets = every[0]
    return finish(list(flat.symbols[members]), flat.positions[members] + offsets @ flat.cell.array, flat.cell.array[:2])


def in_frame(atoms: Atoms) -> Atoms:
    """A copy turned so that the first cell vector is along x and the second in the xy plane."""
    turned = atoms.copy()
    turned.set_cell(turned.cell.standard_form()[0], scale_atoms=True)
    return turned


# -- numbers -----------------------------------------------------------------------------------------------------


def formula_units(atoms: Atoms) -> int:
    """Formula units in the cell."""
    return math.gcd(*Counter(atoms.symbols).values())


def describe(atoms: Atoms, layered: bool) -> dict[str, float]:
    """Lattice constants of the cell as it is given, volume of a formula unit, density; of a layered crystal the distance of layers."""
    names = ("lattice_a_angstrom", "lattice_b_angstrom", "lattice_c_angstrom", "lattice_alpha_deg", "lattice_beta_deg", "lattice_gamma_deg")  # fmt: skip
    volume = float(atoms.get_volume())
    facts = {name: float(value) for name, value in zip(names, atoms.cell.cellpar(), strict=True)} | {
        "n_atoms": len(atoms),
        "formula_volume_angstrom3": volume / formula_units(atoms),
        "bulk_density_g_cm3": float(atoms.get_masses().sum()) / volume * DENSITY_G_CM3,
    }
    return facts | ({"interlayer_angstrom": interlayer(atoms)} if layered else {})


# -- surfaces ----------------------------------------------------------------------------------------------------


def cut_from(surface: Mapping[str, Any], crystal: Atoms) -> dict[str, Any]:
    """Settings of a surface's builder with the lattice of a crystal: all of it for a cleavage, two distances for graphite.

    Raises CrosstalkError for graphite's builders when the crystal has no layers, or its plane is not hexagonal.
    """
    if surface["builder"] == "cleaved_crystal":
        return {**surface, "crystal": settings_of(crystal)}
    a, b, _, _, _, gamma = crystal.cell.cellpar()
    if abs(a - b) > 1e-3 or min(abs(gamma - 120), abs(gamma - 60)) > 0.05:
        raise CrosstalkError(f"builder {surface['builder']}: the crystal's plane is not hexagonal: {a:.3f}, {b:.3f} Angstrom, {gamma:.2f} degrees")  # fmt: skip
    return {**surface, "lattice_angstrom": float(a), "interlayer_angstrom": interlayer(crystal)}
