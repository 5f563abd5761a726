"""What a slab is, in numbers and words that can be counted by hand: for the summary and the table of slabs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from crosstalk.structures import valence
from crosstalk.structures.frame import ANGSTROM2_PER_NM2, area
from crosstalk.structures.molecules import COVALENT
from crosstalk.structures.slabs import frozen
from crosstalk.units import DENSITY_G_CM3


def description(atoms: Atoms, surface: Mapping[str, Any], freeze_below: float) -> dict[str, Any]:
    """Facts of a slab (tag 0), declared quantities and texts.

    surface       settings of its builder: number of layers and density of the bulk come from there
    freeze_below  fraction of the thickness, from below, that is held fixed
    """
    body = atoms[atoms.get_tags() == 0]
    metal = [symbol not in COVALENT for symbol in body.symbols]
    bonds = [
        bond for bond in valence.bonds_of(body) if not (metal[bond[0]] and metal[bond[1]])
    ]  # of a salt those between its ions
    z = body.positions[:, 2]
    per_nm2 = ANGSTROM2_PER_NM2 / area(body)
    facts: dict[str, Any] = {
        "formula": body.get_chemical_formula(),
        "n_atoms": len(body),
        "layers": str(surface.get("layers") or surface.get("rows") or ""),
        "area_angstrom2": area(body),
        "thickness_angstrom": float(np.ptp(z)),
        "oh_per_nm2": len(_hydroxyls(body, bonds, True)) * per_nm2,
        "oh_bottom_per_nm2": len(_hydroxyls(body, bonds, False)) * per_nm2,
        "hydroxyls": hydroxyl_kinds(body, bonds),
        "coordination": coordination(body, bonds),
        "by_oxygen": by_oxygen(body, bonds),
        "frozen": held(body, freeze_below),
    }
    if (least := tetrahedral_order(body, bonds)) is not None:
        facts["least_tetrahedral_order"] = least
    density = bulk_density(surface)
    return facts | ({"bulk_density_g_cm3": density} if density is not None else {})


def _hydroxyls(atoms: Atoms, bonds: list[valence.Bond], upper: bool) -> list[int]:
    """Oxygens of the hydroxyls of a side: those with hydrogen and one neighbour that is none."""
    z = atoms.positions[:, 2]
    middle = (z.min() + z.max()) / 2
    found = []
    for i, own in enumerate(valence.neighbours(len(atoms), bonds)):
        others = [atoms.symbols[bond[1]] for bond in own]
        if atoms.symbols[i] == "O" and others.count("H") == 1 and len(others) > 1 and (z[i] > middle) == upper:
            found.append(i)
    return found


def hydroxyl_kinds(atoms: Atoms, bonds: list[valence.Bond]) -> str:
    """Hydroxyls by how many of them one atom carries, both sides: "4 single", "2 single, 4 geminal"."""
    around = valence.neighbours(len(atoms), bonds)
    carriers: Counter[int] = Counter()
    for upper in (True, False):
        for oxygen in _hydroxyls(atoms, bonds, upper):
            carriers.update({bond[1] for bond in around[oxygen] if atoms.symbols[bond[1]] != "H"})
    kinds = Counter(carriers.values())
    names = {1: "single", 2: "geminal", 3: "triple"}
    return ", ".join(f"{n * kinds[n]} {names.get(n, f'{n}-fold')}" for n in sorted(kinds))


def coordination(atoms: Atoms, bonds: list[valence.Bond]) -> str:
    """Atoms of each element by their number of bonds: "Si 4: 8; O 1: 2, 2: 14"."""
    counts: dict[str, Counter[int]] = {}
    for symbol, own in zip(atoms.symbols, valence.neighbours(len(atoms), bonds), strict=True):
        counts.setdefault(symbol, Counter())[len(own)] += 1
    return "; ".join(f"{symbol} {_histogram(found)}" for symbol, found in sorted(counts.items()))


def by_oxygen(atoms: Atoms, bonds: list[valence.Bond]) -> str:
    """Atoms of each element that forms several bonds, by how many of them go to oxygen.

    Of silicon these are its oxidation states, Si0 to Si4+.
    """
    counts: dict[str, Counter[int]] = {}
    for symbol, own in zip(atoms.symbols, valence.neighbours(len(atoms), bonds), strict=True):
        if symbol not in ("H", "O"):
            counts.setdefault(symbol, Counter())[sum(atoms.symbols[bond[1]] == "O" for bond in own)] += 1
    return "; ".join(f"{symbol} {_histogram(found)}" for symbol, found in sorted(counts.items()))


def tetrahedral_order(atoms: Atoms, bonds: list[valence.Bond]) -> float | None:
    """The least order of an atom with four bonds (not lithium, whose contacts are none); None where there is no such atom.

    q = 1 - 3/8 sum over pairs of bonds (cos angle + 1/3)^2: 1 for a tetrahedron, 0.5 for a flat square, less for worse
    (Errington and Debenedetti, Nature 2001, 409, 318).
    """
    orders = []
    for i, own in enumerate(valence.neighbours(len(atoms), bonds)):
        if len(own) != 4 or atoms.symbols[i] == "Li":
            continue
        ways = np.array([atoms.positions[j] + shift @ atoms.cell - atoms.positions[i] for _, j, *shift in own])
        ways /= np.linalg.norm(ways, axis=1)[:, None]
        cosines = (ways @ ways.T)[np.triu_indices(4, 1)]
        orders.append(1 - 3 / 8 * float(((cosines + 1 / 3) ** 2).sum()))
    return min(orders, default=None)


def _histogram(found: Mapping[int, int]) -> str:
    return ", ".join(f"{n}: {found[n]}" for n in sorted(found))


def held(atoms: Atoms, freeze_below: float) -> str:
    """What is held fixed: "none", or how many atoms and which."""
    fixed = frozen(atoms, freeze_below)
    return f"{len(fixed)} of {len(atoms)} ({atoms[fixed].get_chemical_formula()})" if fixed else "none"


def density(symbols: Sequence[str], cell: np.ndarray) -> float:
    """Density of these atoms in a cell (3, 3) in Angstrom, g/cm^3."""
    mass = sum(atomic_masses[atomic_numbers[symbol]] for symbol in symbols)
    return float(mass / abs(np.linalg.det(cell)) * DENSITY_G_CM3)


def bulk_density(surface: Mapping[str, Any]) -> float | None:
    """Density of the bulk that a slab was made from, g/cm^3; None where the settings do not tell."""
    if "crystal" in surface:
        crystal = surface["crystal"]
        return density(crystal["symbols"], np.array(crystal["cell"], float))
    if "interlayer_angstrom" in surface:  # two carbon atoms in a layer's cell
        cell = surface["lattice_angstrom"] ** 2 * np.sqrt(0.75) * surface["interlayer_angstrom"]
        return float(2 * atomic_masses[atomic_numbers["C"]] / cell * DENSITY_G_CM3)
    return None
