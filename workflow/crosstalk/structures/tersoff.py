"""The potential of Munetoh et al., Comput. Mater. Sci. 2007, 39, 334, for silicon, oxygen and what they form.

Tersoff's form (Phys. Rev. B 1989, 39, 5566), with cutoff f(r), angle t at atom i and all quantities of atom i in b:

    E = 1/2 sum_ij f(r_ij) [A exp(-l r_ij) - b_ij B exp(-m r_ij)],   b_ij = (1 + (beta z_ij)^n)^(-1/2n)
    z_ij = sum_k f(r_ik) g(t_ijk),   g = 1 + c^2/d^2 - c^2 / (d^2 + (h - cos t)^2)

It melts and quenches networks; its energies are never reported. Everything is in NumPy, for one atom's neighbours at a
time in rows of one length, because a call for a hundred atoms is all overhead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crosstalk.errors import CrosstalkError

#: Pairs are listed this far beyond the cutoff, and listed anew when an atom has moved half of it. Angstrom.
SKIN = 0.5


@dataclass(frozen=True)
class Centre:
    """Parameters of the atom whose bonds are weighed."""

    beta: float
    n: float
    c: float
    d: float
    h: float
    valence: int


@dataclass(frozen=True)
class Pair:
    """A and B in eV, decays in 1/Angstrom; the cutoff falls from 1 to 0 within `half_width` of `radius`, Angstrom."""

    repulsion: float
    attraction: float
    repulsion_decay: float
    attraction_decay: float
    radius: float
    half_width: float


#: As in LAMMPS' file potentials/SiO.tersoff, which follows the paper.
CENTRES = {
    "Si": Centre(beta=1.1e-6, n=0.78734, c=100390.0, d=16.217, h=-0.59825, valence=4),
    "O": Centre(beta=1.1632e-7, n=1.04968, c=64692.1, d=4.11127, h=-0.845922, valence=2),
}
PAIRS = {
    frozenset({"Si"}): Pair(1830.8, 471.18, 2.4799, 1.73222, 2.65, 0.15),
    frozenset({"Si", "O"}): Pair(1856.495, 378.69, 3.32549, 2.04456, 2.215, 0.155),
    frozenset({"O"}): Pair(1882.55, 218.787, 4.17108, 2.35692, 1.85, 0.15),
}


class Tersoff:
    """Energy and forces of atoms in a rectangular box, periodic in all directions.

    Raises CrosstalkError for elements without parameters, and for a box in which an atom could meet another one twice.
    """

    def __init__(self, symbols: Sequence[str], box: Sequence[float] | np.ndarray, valence_ev: float = 0.0):
        if unknown := sorted(set(symbols) - set(CENTRES)):
            raise CrosstalkError(f"no parameters for {', '.join(unknown)}; there are some for {', '.join(CENTRES)}")
        self.box = np.array(box, float)
        pairs = [[PAIRS[frozenset({a, b})] for b in symbols] for a in symbols]
        names = ("repulsion", "attraction", "repulsion_decay", "attraction_decay", "radius", "half_width")
        self.table = np.array([[[getattr(pair, name) for pair in row] for row in pairs] for name in names])
        self.reach = self.table[4] + self.table[5] + SKIN
        if self.box.min() < 2 * self.reach.max():
            raise CrosstalkError(f"a box of {self.box.min():.1f} Angstrom is too narrow: {2 * self.reach.max():.1f}")
        centres = [CENTRES[symbol] for symbol in symbols]
        self.beta, self.n = (np.array([getattr(c, name) for c in centres])[:, None] for name in ("beta", "n"))
        c, d, self.h = (np.array([getattr(x, name) for x in centres])[:, None, None] for name in ("c", "d", "h"))
        self.c2, self.d2 = c**2, d**2
        self.valence_ev = valence_ev
        self.valence = np.array([centre.valence for centre in centres], float)
        self._listed_at: np.ndarray | None = None

    def __call__(self, xyz: np.ndarray) -> tuple[float, np.ndarray]:
        """Energy in eV and forces (n, 3) in eV/Angstrom at positions (n, 3) in Angstrom."""
        if self._listed_at is None or ((xyz - self._listed_at) ** 2).sum(axis=1).max() > (SKIN / 2) ** 2:
            self._list(xyz)
        vectors = xyz[self.neighbour] - xyz[:, None] + self.offset
        lengths = np.sqrt((vectors**2).sum(axis=2))
        units = vectors / lengths[..., None]
        cut, slope = self._cutoff(lengths)
        # Bond orders: rows are atoms, columns their neighbours j, third axis their neighbours k.
        cosines = units @ units.transpose(0, 2, 1)
        off = self.h - cosines
        inverse = 1.0 / (self.d2 + off**2)
        angular = (1.0 + self.c2 / self.d2 - self.c2 * inverse) * self.others
        z = (angular @ cut[..., None])[..., 0]
        scaled = self.beta * z
        power = scaled**self.n
        order = (1.0 + power) ** (-0.5 / self.n)
        repulsion = self.pair[0] * np.exp(-self.pair[2] * lengths)
        attraction = -self.pair[1] * np.exp(-self.pair[3] * lengths)
        bracket = repulsion + order * attraction
        energy = 0.5 * float((cut * bracket).sum())
        excess = cut.sum(axis=1) - self.valence
        energy += self.valence_ev * float((excess**2).sum())
        # Slopes: by each distance, then by each cosine. Where no third atom is near, the order does not change.
        near = np.maximum(z, 1e-12)
        by_z = np.where(z > 1e-12, -0.25 * cut * attraction * order * power / (1.0 + power) / near, 0.0)
        by_length = 0.5 * slope * bracket
        by_length -= 0.5 * cut * (self.pair[2] * repulsion + self.pair[3] * order * attraction)
        by_length += slope * ((by_z[:, None] @ angular)[:, 0] + 2.0 * self.valence_ev * excess[:, None])
        by_cosine = by_z[..., None] * cut[:, None] * (-2.0 * self.c2 * off * inverse**2) * self.others
        by_cosine += by_cosine.transpose(0, 2, 1)
        along = by_length - (by_cosine * cosines).sum(axis=2) / lengths
        gradient = along[..., None] * units + (by_cosine @ units) / lengths[..., None]
        forces = gradient.sum(axis=1)
        forces -= np.bincount(self.flat, gradient.ravel(), forces.size).reshape(forces.shape)
        return energy, forces

    def _cutoff(self, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cutoff and its slope, 1/Angstrom."""
        phase = np.clip((lengths - self.pair[4]) / self.pair[5], -1.0, 1.0) * (np.pi / 2)
        return 0.5 - 0.5 * np.sin(phase), -0.25 * np.pi / self.pair[5] * np.cos(phase)

    def _list(self, xyz: np.ndarray) -> None:
        """Rows of neighbours (nearest images), filled up with places that are too far away to count."""
        vectors = xyz[None] - xyz[:, None]
        offset = -np.round(vectors / self.box) * self.box
        near = np.linalg.norm(vectors + offset, axis=2) < self.reach
        np.fill_diagonal(near, False)
        i, j = np.nonzero(near)
        counts = np.bincount(i, minlength=len(xyz))
        column = np.arange(len(i)) - (np.cumsum(counts) - counts)[i]
        width = max(int(counts.max()), 1)
        self.neighbour = np.repeat(np.arange(len(xyz))[:, None], width, axis=1)
        self.neighbour[i, column] = j
        self.offset = np.full((len(xyz), width, 3), self.box.max())
        self.offset[i, column] = offset[i, j]
        self.pair = self.table[:, np.arange(len(xyz))[:, None], self.neighbour]
        self.others = 1.0 - np.eye(width)
        self.flat = (self.neighbour[..., None] * 3 + np.arange(3)).ravel()
        self._listed_at = xyz.copy()
