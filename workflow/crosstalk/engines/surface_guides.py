"""Cheap surfaces of potential energy that guide the relaxation of an expensive one (`surface_optimiser`).

GFN1-xTB where it has an answer, springs where it has none. A guide decides how many gradients a relaxation takes and never
where it ends: that is where the expensive forces vanish.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed
from ase.data import covalent_radii
from ase.neighborlist import natural_cutoffs, neighbor_list

from crosstalk.engines import surface_hessian
from crosstalk.engines.surface_optimiser import Guide, Internal, Place, Surface
from crosstalk.structures import slabs

LEVEL = {"method": "GFN1-xTB", "accuracy": 1.0}
TEMPERATURES_K = (300.0, 3000.0)
#: Narrowest repeat in which the Gamma point is good enough for a guide, Angstrom.
WIDTH = 8.0
#: A surface cell that would need a repeat of more atoms is guided by springs: a guide has to cost less than what it saves.
LARGEST_REPEAT = 60
#: Springs of at least this force constant belong to bonds and angles, eV/Angstrom^2.
BOND = 1.0
#: No two atoms come nearer than this share of the sum of their covalent radii (the shortest bonds, V=O and C=O, are at 0.72 and
#: 0.80), or than NEARER times their nearest at the start.
CLOSEST, NEARER = 0.65, 0.95
#: How wrong the guide may be (standard deviations): pulls along a bond or an angle, eV/Angstrom, and the share by which all of
#: a kind are too soft or too stiff.
PULL, SHARE = 3.0, 0.3


def guides(atoms: Atoms, free: np.ndarray) -> list[Callable[[Atoms], Guide | None]]:
    """Ways to guides over the coordinates of the atoms `free`, the best first, each from a structure like `atoms`.

    GFN1-xTB, the same with hot electrons (where lithium's electron finds several places its field does not settle), springs.
    None from a structure for which GFN1-xTB has no answer; it is left out where it is too much work.
    """
    repeat = slabs.repeat_to(atoms, WIDTH) if (atoms.get_tags() == 0).any() else (1, 1)
    if repeat != (1, 1) and math.prod(repeat) * len(atoms) > LARGEST_REPEAT:
        return [partial(by_springs, free=free)]
    hot = [partial(_by_tight_binding, free=free, repeat=repeat, temperature_k=kelvin) for kelvin in TEMPERATURES_K]
    return [*hot, partial(by_springs, free=free)]


def _by_tight_binding(atoms: Atoms, free: np.ndarray, repeat: tuple[int, int], temperature_k: float) -> Guide | None:
    tight_binding = _tight_binding(atoms, free, repeat, temperature_k)
    there = atoms.positions[free].ravel()
    if not np.isfinite(tight_binding(there)[0]):
        return None
    surface = apart(tight_binding, atoms, free)
    return lambda _: surface


def by_springs(atoms: Atoms, free: np.ndarray) -> Guide:
    """Springs over the coordinates of the atoms `free`, at rest where the search stands: bonds break and form on its way."""

    def resting(x: np.ndarray) -> Surface:
        return apart(springs(placed(atoms, free, x), free), atoms, free)

    return resting


def placed(atoms: Atoms, free: np.ndarray, x: np.ndarray) -> Atoms:
    """A copy with the atoms `free` at coordinates x."""
    copied = atoms.copy()
    copied.positions[free] = x.reshape(-1, 3)
    return copied


def apart(surface: Surface, atoms: Atoms, free: np.ndarray) -> Surface:
    """A surface that is infinite where atoms come nearer than any bond: what corrects it is learnt where they do not."""
    probe = atoms.copy()
    closest = min(CLOSEST, NEARER * float(_ratios(probe, 1.0).min(initial=1.0)))

    def kept_apart(x: np.ndarray) -> tuple[float, np.ndarray]:
        probe.positions[free] = x.reshape(-1, 3)
        if len(_ratios(probe, closest)):
            return np.inf, np.zeros_like(x)
        return surface(x)

    return kept_apart


def _ratios(atoms: Atoms, below: float) -> np.ndarray:
    """Distances over sums of covalent radii of pairs for which that is less than `below`."""
    i, j, lengths = neighbor_list("ijd", atoms, natural_cutoffs(atoms, mult=below))
    return lengths / (covalent_radii[atoms.numbers[i]] + covalent_radii[atoms.numbers[j]])


def place(atoms: Atoms, free: np.ndarray) -> Place:
    """The bonds and angles that a guide may be wrong about, and the model Hessian, of the atoms `free` where they are."""
    coordinates = (3 * free[:, None] + np.arange(3)).ravel()

    def at(x: np.ndarray) -> tuple[Internal, np.ndarray]:
        there = placed(atoms, free, x)
        hessian = surface_hessian.model_hessian(there)[np.ix_(coordinates, coordinates)]
        return bonds(there, free), hessian

    return at


def bonds(atoms: Atoms, free: np.ndarray) -> Internal:
    """What the guide may be wrong about: the length of every bond and angle, and the stiffness of each kind of them.

    The functions are how much longer than in `atoms` each spring is (Angstrom), then the energy of all springs of a kind (eV).
    """
    network, start = surface_hessian.springs(atoms).stronger(BOND), atoms.positions.copy()
    coordinates = (3 * free[:, None] + np.arange(3)).ravel()
    kinds = network.kinds(atoms.numbers)
    share = network.strength * (kinds == np.arange(kinds.max(initial=-1) + 1)[:, None])

    def functions(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        positions = start.copy()
        positions[free] = x.reshape(-1, 3)
        stretches, slopes = network.stretches(positions)
        slopes = slopes[:, coordinates]
        return np.hstack([stretches, 0.5 * share @ stretches**2]), np.vstack([slopes, (share * stretches) @ slopes])

    return Internal(functions, np.repeat([PULL, SHARE], [len(kinds), len(share)]))


def springs(atoms: Atoms, free: np.ndarray) -> Surface:
    """Springs at rest in the structure as it is, and anchors where they leave it free."""
    network, held = surface_hessian.springs(atoms), surface_hessian.anchors(atoms)
    start = atoms.positions.copy()

    def surface(x: np.ndarray) -> tuple[float, np.ndarray]:
        positions = start.copy()
        positions[free] = x.reshape(-1, 3)
        energy, gradient = network.energy(positions)
        move = (positions - start).ravel()
        pull = held @ move
        return energy + 0.5 * float(move @ pull), (gradient + pull).reshape(-1, 3)[free].ravel()

    return surface


def _tight_binding(atoms: Atoms, free: np.ndarray, repeat: tuple[int, int], temperature_k: float) -> Surface:
    """GFN1-xTB at the Gamma point of a repeat; infinite where its self-consistent field does not converge."""
    from crosstalk.engines.xtb import calculator
    from crosstalk.engines.xtb_surfaces import Folded, tall

    probe = tall(atoms)
    inner = calculator(LEVEL | {"electronic_temperature_k": temperature_k}, 0, 1)
    probe.calc = inner if repeat == (1, 1) else Folded(inner, repeat)

    def surface(x: np.ndarray) -> tuple[float, np.ndarray]:
        probe.positions[free] = x.reshape(-1, 3)
        try:
            return float(probe.get_potential_energy()), -probe.get_forces()[free].ravel()
        except CalculationFailed:
            return np.inf, np.zeros_like(x)

    return surface
