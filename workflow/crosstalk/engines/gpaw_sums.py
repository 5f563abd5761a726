"""Sums over atomic functions in GPAW's plane waves, for one density or potential at a time: compensation charges above all.

GPAW writes down every function at every plane wave and multiplies that matrix, hundreds of columns wide, with one vector, twice in each iteration: a
third of the time of an SCF of 60 to 80 atoms. Functions of one kind differ in the phase of their atom's place alone. So here the phases of
all atoms of a kind, which stay while the atoms do, are multiplied with their coefficients (or with the density), nine columns
at most, and radial functions and spherical harmonics come in once for a kind. The same sums in another order.

Projectors at the Gamma point, which meet hundreds of orbitals at a time, are written down as GPAW does, but once for a geometry and
not a dozen times in each iteration.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

#: Phases and projectors are kept, from their second use on, where they take no more than this; MB.
KEPT_MB = 1000
#: Plane waves taken at a time.
BLOCK = 5000


class Kind(NamedTuple):
    """Atoms with the same functions."""

    atoms: np.ndarray  # (atoms)
    columns: np.ndarray  # (atoms, functions): places in the vector of all coefficients
    splines: np.ndarray  # (functions): radial function of each
    harmonics: np.ndarray  # (functions): spherical harmonic of each
    turns: np.ndarray  # (functions): (-i)^l


@cache
def install() -> dict[str, Callable[..., Any]]:
    """Have GPAW sum this way, in this process; returns its own way: `add`, `integrate`, `derivative` and `expand`."""
    from gpaw.core.pwacf import PWLFC

    theirs = {name: getattr(PWLFC, name) for name in ("add", "integrate", "derivative", "expand")}

    def either(ours: Callable[..., Any]) -> Callable[..., Any]:
        def chosen(self: Any, a_xG: Any, *more: Any, **named: Any) -> Any:
            single = self.nI and self.real and self.xp is np and a_xG.size == a_xG.shape[-1]
            return (ours if single else theirs[ours.__name__])(self, a_xG, *more, **named)

        return chosen

    for ours in (add, integrate, derivative):
        setattr(PWLFC, ours.__name__, either(ours))

    def expand(self: Any, G1: int = 0, G2: int | None = None, cc: bool = False) -> np.ndarray:
        return kept_blocks(self, theirs["expand"], slice(G1, len(self.Y_GL) if G2 is None else G2), cc)

    PWLFC.expand = expand  # type: ignore[method-assign]
    return theirs


def kept_blocks(collection: Any, expand: Callable[..., Any], part: slice, cc: bool) -> np.ndarray:
    """The functions of a collection at some plane waves; kept, where all of them fit, until atoms move.

    The first row is given back as it was: GPAW halves it in place where all other plane waves stand for a pair.
    """
    projectors = collection.real and not collection.save_memory
    if not projectors or 16e-6 * len(collection.Y_GL) * collection.nI > KEPT_MB:
        return np.asarray(expand(collection, part.start, part.stop, cc))
    if getattr(collection, "blocks_at", None) is not collection.pos_av:  # atoms moved
        collection.blocks_at, collection.blocks_kept = collection.pos_av, {}
    kept, key = collection.blocks_kept, (part.start, part.stop, cc)
    if kept.get(key) is None:
        found = np.asarray(expand(collection, part.start, part.stop, cc))
        kept[key] = (found, found[0].copy()) if key in kept else None
        return found
    block: np.ndarray
    block, first = kept[key]
    block[0] = first
    return block


def add(collection: Any, a_xG: np.ndarray, c_axi: Any = 1.0, q: Any = None) -> None:
    """Add the functions times their coefficients to one array of plane waves."""
    coefficients = np.zeros(collection.nI)
    if isinstance(c_axi, float):
        coefficients[:] = c_axi
    else:
        for a, start, end in collection.my_indices:
            coefficients[start:end] = np.ravel(c_axi[a])
        collection.comm.sum(coefficients)
    out = a_xG.reshape(-1)
    for kind in _kinds(collection):
        its = coefficients[kind.columns]
        for part, phases in _phases(collection, kind):
            parts = (phases @ its).reshape(-1, 2, len(kind.splines)) * _shapes(collection, kind, part)[:, None]
            real, imaginary = parts @ kind.turns.real, parts @ kind.turns.imag
            out[part] += ((real[:, 0] - imaginary[:, 1]) + 1j * (real[:, 1] + imaginary[:, 0])) / collection.pw.dv


def integrate(collection: Any, a_xG: np.ndarray, c_axi: Any = None, q: Any = -1, add_to: bool = False) -> Any:
    """Integrals of the functions times one array of plane waves, a real function of space."""
    if c_axi is None:
        c_axi = collection.dict(a_xG.shape[:-1])
    integrals = np.zeros(collection.nI)
    for kind in _kinds(collection):
        total = np.zeros(kind.columns.shape)
        for part, phases in _phases(collection, kind):
            turned = _turned(collection, kind, part, a_xG)
            if part.start == 0 and collection.comm.rank == 0:
                turned[0] *= 0.5  # all others stand for a pair
            total += phases.T @ _in_turn(turned.real, turned.imag)
        integrals[kind.columns] = 2 * total
    collection.comm.sum(integrals)
    for a, start, end in collection.my_indices:
        c_axi[a][:] = integrals[start:end].reshape(c_axi[a].shape) + (c_axi[a] if add_to else 0)
    return c_axi


def derivative(collection: Any, a_xG: np.ndarray, c_axiv: Any = None, q: Any = -1) -> Any:
    """Derivatives of the integrals with the places of the functions' atoms."""
    if c_axiv is None:
        c_axiv = collection.dict(a_xG.shape[:-1], derivative=True)
    slopes = np.zeros((3, collection.nI))
    for kind in _kinds(collection):
        total = np.zeros((3, *kind.columns.shape))
        for part, phases in _phases(collection, kind):
            turned = _turned(collection, kind, part, a_xG)
            for v, along in enumerate(collection.G_plus_k_Gv[part].T):
                total[v] += phases.T @ (_in_turn(turned.imag, -turned.real) * np.repeat(along, 2)[:, None])
        slopes[:, kind.columns] = 2 * total
    collection.comm.sum(slopes)
    for a, start, end in collection.my_indices:
        c_axiv[a][:] = slopes[:, start:end].T.reshape(c_axiv[a].shape)
    return c_axiv


def _kinds(collection: Any) -> list[Kind]:
    """The atoms of a collection of functions by what functions they have."""
    if not hasattr(collection, "kinds_of_atoms"):
        functions: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for a, s, start in zip(collection.a_J, collection.s_J, collection.I_J, strict=True):
            functions[int(a)].append((int(s), int(start)))
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for a, its in functions.items():
            alike[tuple(s for s, _ in its)].append(a)
        collection.kinds_of_atoms = [_kind(collection, atoms, splines, functions) for splines, atoms in alike.items()]
    found: list[Kind] = collection.kinds_of_atoms
    return found


def _kind(collection: Any, atoms: list[int], splines: tuple[int, ...], functions: dict[int, Any]) -> Kind:
    angular = [int(collection.l_s[s]) for s in splines]
    columns = [[start + m for (_, start), order in zip(functions[a], angular, strict=True) for m in range(2 * order + 1)] for a in atoms]  # fmt: skip
    return Kind(
        np.array(atoms),
        np.array(columns),
        np.repeat(splines, [2 * order + 1 for order in angular]),
        np.array([order * order + m for order in angular for m in range(2 * order + 1)]),
        np.array([(-1j) ** order for order in angular for _ in range(2 * order + 1)]),
    )


def _turned(collection: Any, kind: Kind, part: slice, a_xG: np.ndarray) -> np.ndarray:
    """Plane waves times the functions' complex conjugates without their phases, (plane waves, functions)."""
    turned: np.ndarray = a_xG.reshape(-1)[part, None] * (_shapes(collection, kind, part) * kind.turns.conj())
    return turned


def _in_turn(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rows of two arrays, one after the other, as phases have real and imaginary parts."""
    return np.stack([first, second], axis=1).reshape(2 * len(first), -1)


def _shapes(collection: Any, kind: Kind, part: slice) -> np.ndarray:
    """Radial functions times spherical harmonics, (plane waves, functions)."""
    shapes: np.ndarray = collection.f_Gs[part][:, kind.splines] * collection.Y_GL[part][:, kind.harmonics]
    return shapes


def _phases(collection: Any, kind: Kind) -> Iterator[tuple[slice, np.ndarray]]:
    """exp(-iG.R) of the atoms of a kind block by block, real and imaginary parts in turn: (2 plane waves, atoms)."""
    n = len(collection.Y_GL)
    key = int(kind.atoms[0])
    if getattr(collection, "phases_at", None) is not collection.pos_av:  # atoms moved
        collection.phases_at, collection.phases_kept = collection.pos_av, {}
    kept = collection.phases_kept.get(key)
    keep = key in collection.phases_kept and 16e-6 * n * len(collection.pos_av) <= KEPT_MB
    collection.phases_kept.setdefault(key, None)
    if keep and kept is None:
        kept = np.empty((2 * n, len(kind.atoms)))
        for start in range(0, n, BLOCK):
            part = slice(start, min(start + BLOCK, n))
            kept[2 * part.start : 2 * part.stop] = _turns(collection, kind, part)
        collection.phases_kept[key] = kept
    for start in range(0, n, BLOCK):
        part = slice(start, min(start + BLOCK, n))
        yield part, _turns(collection, kind, part) if kept is None else kept[2 * part.start : 2 * part.stop]


def _turns(collection: Any, kind: Kind, part: slice) -> np.ndarray:
    angles = collection.G_plus_k_Gv[part] @ collection.pos_av[kind.atoms].T
    found = np.empty((2 * len(angles), len(kind.atoms)))
    np.cos(angles, out=found[::2])
    np.sin(angles, out=found[1::2])
    found[1::2] *= -1
    return found
