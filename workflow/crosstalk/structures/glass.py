"""Amorphous networks by seeded bond switching (Wooten, Winer and Weaire, Phys. Rev. Lett. 1985, 54, 1392), at constant density.

The network starts as the diamond lattice of a four-valent element; a two-valent one sits in some of its bonds. A move exchanges two bonds of neighbouring
atoms, or lets a bridging atom change its bond; the network is relaxed after every move (`valence.relaxed`), and Metropolis' rule decides. Random
moves melt the lattice, then the temperature falls. Every atom keeps its valence: there are no dangling bonds, by construction.

The energy is the strain of the network and, for Si with 1, 2 and 3 oxygen neighbours, the penalties of D. R. Hamann, Phys. Rev. B 2000, 61, 9899.

Numbers in the last digits decide between moves, so a glass is made once by `crosstalk glass`, and its file is what surfaces are built from.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from crosstalk.structures import valence
from crosstalk.units import BOLTZMANN_EV_PER_K, DENSITY_G_CM3

#: Penalty of a node by its bridges, eV: relative to the elements' own network and the one with a bridge in every bond.
SUBOXIDE = (0.0, 0.47, 0.51, 0.24, 0.0)
#: Relaxation of a trial: few steps, on one list of contacts.
TRIAL_STEPS = 60

Link = tuple[int, int, int, int, int]  # node, node, cell of the second


class Network:
    """Nodes, the links between them, and which links hold a bridge; positions of all of them."""

    def __init__(self, nodes: str, bridge: str, links: list[Link], bridged: list[bool], atoms: Atoms):
        self.nodes, self.bridge, self.links, self.bridged, self.atoms = nodes, bridge, links, bridged, atoms
        self.n_nodes = list(atoms.symbols).count(nodes)

    def bonds(self) -> list[valence.Bond]:
        """Bonds of the atoms: nodes first, then the bridges in the order of their links."""
        found: list[valence.Bond] = []
        number = self.n_nodes
        for link, has in zip(self.links, self.bridged, strict=True):
            i, j, *cell = link
            if has:
                shift = self._cell_of_bridge(number, i)
                found.append((i, number, *shift))
                found.append((number, j, *(a - b for a, b in zip(cell, shift, strict=True))))
                number += 1
            else:
                found.append(link)
        return [min(bond, valence.reverse(bond)) for bond in found]

    def _cell_of_bridge(self, bridge: int, node: int) -> tuple[int, int, int]:
        """The cell in which a bridge is nearest to its first node."""
        vector = self.atoms.positions[node] - self.atoms.positions[bridge]
        a, b, c = np.round(vector @ np.linalg.inv(self.atoms.cell.array)).astype(int).tolist()
        return a, b, c

    def penalty(self) -> float:
        """Energy of the nodes' bridges, eV."""
        counts = np.zeros(self.n_nodes, dtype=int)
        for (i, j, *_), has in zip(self.links, self.bridged, strict=True):
            counts[i] += has
            counts[j] += has
        return float(np.take(SUBOXIDE, counts).sum())

    def with_links(self, links: list[Link], bridged: list[bool]) -> "Network":
        """The network with other links; bridges of changed links are put into the middle of them."""
        atoms = self.atoms.copy()
        places, number = [], self.n_nodes
        old: dict[Link, np.ndarray] = {}
        for link, has in zip(self.links, self.bridged, strict=True):
            if has:
                old[link] = self.atoms.positions[number]
                number += 1
        for link, has in zip(links, bridged, strict=True):
            if has:
                places.append(old[link] if link in old else self._middle(link))
        atoms.positions[self.n_nodes :] = places
        return Network(self.nodes, self.bridge, links, bridged, atoms)

    def _middle(self, link: Link) -> np.ndarray:
        i, j, *cell = link
        return (self.atoms.positions[i] + self.atoms.positions[j] + np.array(cell) @ self.atoms.cell.array) / 2

    def relaxed(self, rounds: int = 1, steps: int = TRIAL_STEPS) -> tuple["Network", float]:
        """The network at rest, and its energy, eV."""
        atoms, strain = valence.relaxed(self.atoms, self.bonds(), rounds, steps)
        return Network(self.nodes, self.bridge, self.links, self.bridged, atoms), strain + self.penalty()


def grown(recipe: Mapping[str, Any], say: Callable[[str], None] = lambda text: None) -> Atoms:
    """The glass of a recipe: node, bridge (elements), bridges_per_node, cells (of the diamond lattice), density_g_cm3, seed,
    melt_moves, anneal_moves, hot_k, cold_k."""
    rng = np.random.default_rng(recipe["seed"])
    network, energy = _lattice(recipe, rng).relaxed()
    for _ in range(recipe["melt_moves"]):
        network, energy = (_moved(network, rng) or network).relaxed()
    say(f"molten: {energy / network.n_nodes:.3f} eV per node")
    temperatures = np.geomspace(recipe["hot_k"], recipe["cold_k"], recipe["anneal_moves"])
    taken = 0
    for number, temperature in enumerate(temperatures):
        trial = _moved(network, rng)
        chance = rng.random()
        if trial is None:
            continue
        trial, found = trial.relaxed()
        if found - energy <= -BOLTZMANN_EV_PER_K * temperature * math.log(chance):
            network, energy, taken = trial, found, taken + 1
        if number % 100 == 99:
            say(f"{number + 1} moves, {taken} taken, {temperature:.0f} K: {energy / network.n_nodes:.3f} eV per node")
    network, energy = network.relaxed(rounds=4, steps=1000)
    say(f"at rest: {energy / network.n_nodes:.3f} eV per node, penalties {network.penalty() / network.n_nodes:.3f}")
    network.atoms.wrap()
    return network.atoms


def _lattice(recipe: Mapping[str, Any], rng: np.random.Generator) -> Network:
    """The diamond lattice at the glass's density, with bridges in random bonds."""
    from ase.build import bulk, make_supercell

    node, bridge = recipe["node"], recipe["bridge"]
    lattice = make_supercell(bulk(node, "diamond", a=1.0, cubic=True), np.diag(recipe["cells"]), order="cell-major")
    n_bridges = round(recipe["bridges_per_node"] * len(lattice))
    mass = len(lattice) * atomic_masses[atomic_numbers[node]] + n_bridges * atomic_masses[atomic_numbers[bridge]]
    lattice.set_cell(
        lattice.cell * (mass * DENSITY_G_CM3 / recipe["density_g_cm3"] / lattice.get_volume()) ** (1 / 3),
        scale_atoms=True,
    )
    links = _nearest(lattice)
    bridged = [False] * len(links)
    for chosen in rng.permutation(len(links))[:n_bridges]:
        bridged[chosen] = True
    atoms = lattice + Atoms([bridge] * n_bridges, np.zeros((n_bridges, 3)))
    return Network(node, bridge, links, [False] * len(links), atoms).with_links(links, bridged)


def _nearest(lattice: Atoms) -> list[Link]:
    from ase.neighborlist import neighbor_list

    edge = float(lattice.get_volume() / (len(lattice) / 8)) ** (1 / 3)
    i, j, shifts = neighbor_list("ijS", lattice, 0.5 * edge)  # bonds are sqrt(3)/4 of an edge, the next ones sqrt(2)/2
    found = {(a, b, *s) for a, b, s in zip(i.tolist(), j.tolist(), shifts.tolist(), strict=True)}
    return sorted(link for link in found if link <= valence.reverse(link))


def _moved(network: Network, rng: np.random.Generator) -> Network | None:
    """The network after a random move, not at rest; None when the move drawn is not allowed."""
    hop = rng.random() < 0.5 and 0 < sum(network.bridged) < len(network.bridged)
    return _hop(network, rng) if hop else _switch(network, rng)


def _hop(network: Network, rng: np.random.Generator) -> Network:
    """A bridge goes from its link to an empty one of one of its two nodes."""
    bridged = list(network.bridged)
    full = [k for k, has in enumerate(bridged) if has]
    source = full[rng.integers(len(full))]
    ends = set(network.links[source][:2])
    free = [k for k, link in enumerate(network.links) if not bridged[k] and ends & set(link[:2])]
    if free:
        bridged[source], bridged[free[rng.integers(len(free))]] = False, True
    return network.with_links(network.links, bridged)


def _switch(network: Network, rng: np.random.Generator) -> Network | None:
    """A-B-C-D becomes A-C and B-D: the links A-B and C-D change places, bridges go with them."""
    around = valence.neighbours(network.n_nodes, network.links)
    centre = network.links[rng.integers(len(network.links))]
    b, c, *shift = centre
    ab = around[b][rng.integers(len(around[b]))]
    cd = around[c][rng.integers(len(around[c]))]
    if {min(ab, valence.reverse(ab)), min(cd, valence.reverse(cd))} & {min(centre, valence.reverse(centre))}:
        return None
    # Seen from b in cell 0: a in cell of ab, c in `shift`, d in shift + cell of cd.
    a_cell, d_cell = np.array(ab[2:]), np.array(shift) + cd[2:]
    new_ac = _link(c, ab[1], a_cell - shift)
    new_bd = _link(b, cd[1], d_cell)
    removed = {min(ab, valence.reverse(ab)), min(cd, valence.reverse(cd))}
    pairs = {link[:2] for link in network.links if link not in removed}
    fresh = [new_ac, new_bd]
    if len(removed) < 2 or any(i == j or (i, j) in pairs for i, j, *_ in fresh) or new_ac[:2] == new_bd[:2]:
        return None  # no ring of two nodes, no atom bonded to its own image
    replaced = {min(ab, valence.reverse(ab)): new_ac, min(cd, valence.reverse(cd)): new_bd}
    links = [replaced.get(link, link) for link in network.links]
    return network.with_links(links, network.bridged)


def _link(i: int, j: int, cell: np.ndarray) -> Link:
    a, b, c = (int(x) for x in cell)
    link = (i, j, a, b, c)
    return min(link, valence.reverse(link))
