"""Weights of a molecular integration grid, and what they pull when the atoms move.

Becke's partition: a point of atom A weighs w = v P_A / Z, with v its share of A's own grid, P_B = prod_C s(nu_BC), Z = sum_B P_B,
s(nu) = (1 - f(f(f(nu)))) / 2, f(x) = (3 x - x^3) / 2, nu = mu + a_BC (1 - mu^2), mu_BC = (r_B - r_C) / R_BC.
A. D. Becke, J. Chem. Phys. 88, 2547 (1988); radii: Treutler and Ahlrichs, J. Chem. Phys. 102, 346 (1995).

Of a sum over points, sum_g f_g w_g, only dw/dR contracted with f is wanted:

    d ln w = sum_{B<C} k_BC dmu_BC,  k_BC = e_B q_BC - e_C q_CB,  e_B = delta_AB - P_B / Z,  q_BC = d ln s(nu_BC) / dmu_BC,

so pairs of atoms need one number at each point, and vectors come in once for each atom. PySCF makes dw/dR_B of every B and pair
(B. G. Johnson, P. M. W. Gill and J. A. Pople, J. Chem. Phys. 98, 5612 (1993)) for the same numbers to rounding.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

#: Keeps logarithms finite where a point sits on another atom.
TINY = 1e-200


class Partition:
    """Becke's partition among the atoms of a PySCF grid (its default scheme and radii)."""

    def __init__(self, grids: Any):
        mol = grids.mol
        self.grids, self.mol, self.atoms = grids, mol, np.asarray(mol.atom_coords())
        self.first, self.second = np.triu_indices(mol.natm, 1)
        between = self.atoms[self.first] - self.atoms[self.second]
        self.apart = np.linalg.norm(between, axis=1)
        self.axes = between / self.apart[:, None]
        size = np.sqrt(grids.atomic_radii[mol.atom_charges()]) + TINY
        ratio = size[self.first] / size[self.second]
        self.shift = np.clip((1 / ratio - ratio) / 4, -0.5, 0.5)[:, None]

    def shares(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Points (bohr) and volumes (bohr^3) of each atom's own grid."""
        grids = self.grids
        table = grids.gen_atomic_grids(self.mol, grids.atom_grid, grids.radi_method, grids.level, grids.prune)
        for atom, centre in enumerate(self.atoms):
            points, volumes = table[self.mol.atom_symbol(atom)]
            yield points + centre, volumes

    def weigh(self, atom: int, points: np.ndarray, volumes: np.ndarray) -> "Weights":
        """Weights of some points of an atom."""
        return Weights(self, atom, points, volumes)


class Weights:
    """Weights (bohr^3) of some points of an atom."""

    def __init__(self, partition: Partition, atom: int, points: np.ndarray, volumes: np.ndarray):
        self.partition, self.atom = partition, atom
        first, second = partition.first, partition.second
        self.lines = points[None] - partition.atoms[:, None]
        self.distances = np.linalg.norm(self.lines, axis=2) + TINY
        self.mu = (self.distances[first] - self.distances[second]) / partition.apart[:, None]
        nu = self.mu + partition.shift * (1 - self.mu**2)
        slope = np.full_like(nu, -0.5)
        for _ in range(3):
            slope *= 1.5 * (1 - nu**2)
            nu = (1.5 - 0.5 * nu**2) * nu
        slope *= 1 - 2 * partition.shift * self.mu
        near, far = (1 - nu + TINY) / 2, (1 + nu + TINY) / 2
        products = np.ones_like(self.distances)
        for pair, (b, c) in enumerate(zip(first, second, strict=True)):
            products[b] *= near[pair]
            products[c] *= far[pair]
        self.shares = products / products.sum(axis=0)
        self.values = volumes * self.shares[atom]
        #: d ln s by mu of a pair's first atom and, by the same mu, of its second one
        self.slopes = slope / near, -slope / far

    def pulls(self, density: np.ndarray) -> np.ndarray:
        """sum_g f_g dw_g/dR of a density f at the points, which move with their atom: (atoms, 3)."""
        partition, atom = self.partition, self.atom
        first, second = partition.first, partition.second
        whole = density * self.values
        stakes = -whole * self.shares
        stakes[atom] += whole
        strain = stakes[first] * self.slopes[0] + stakes[second] * self.slopes[1]
        stretch = (np.einsum("pg,pg->p", strain, self.mu) / partition.apart)[:, None] * partition.axes
        strain /= partition.apart[:, None]
        towards = np.zeros_like(self.distances)
        for pair, (b, c) in enumerate(zip(first, second, strict=True)):
            towards[b] += strain[pair]
            towards[c] -= strain[pair]
        pulls = -np.einsum("ag,agx->ax", towards / self.distances, self.lines)
        pulls[atom] = 0
        pulls[atom] = -pulls.sum(axis=0)
        np.subtract.at(pulls, first, stretch)
        np.add.at(pulls, second, stretch)
        return pulls
