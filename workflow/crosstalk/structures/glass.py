"""Glasses by a seeded melt-quench: random atoms at a given density, melted, cooled and brought to rest.

Langevin dynamics (BAOAB: Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34) with the potential of `tersoff`.
While the atoms move, each pays for neighbours that its valence does not allow (`tersoff`, `valence_ev`): the potential
alone likes threefold oxygen beside threefold silicon, the better the slower it is cooled. The end is at rest without it.

The last digits decide between trajectories, so a glass is made once, by `crosstalk glass`, and its file is what surfaces
are cleaved from.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from crosstalk.structures import valence
from crosstalk.structures.description import by_oxygen, coordination, density
from crosstalk.structures.tersoff import CENTRES, Tersoff
from crosstalk.units import BOLTZMANN_EV_PER_K, DENSITY_G_CM3, FEMTOSECOND

#: Atoms of the random start are at least this far apart, Angstrom.
APART = 1.7
#: Largest force component at rest, eV/Angstrom.
REST = 1e-3

Say = Callable[[str], None]


@dataclass(frozen=True)
class Glass:
    """What came of a seed: atoms at rest, energy per atom in eV (of the potential alone: for choosing, nothing else)."""

    seed: int
    atoms: Atoms
    energy_ev: float

    @property
    def defects(self) -> int:
        """Atoms whose number of bonds is not their valence, and bonds between two atoms of oxygen."""
        bonds = valence.bonds_of(self.atoms)
        own = valence.neighbours(len(self.atoms), bonds)
        wrong = sum(len(b) != CENTRES[s].valence for b, s in zip(own, self.atoms.symbols, strict=True))
        return wrong + sum({self.atoms.symbols[i], self.atoms.symbols[j]} == {"O"} for i, j, *_ in bonds)

    def facts(self) -> str:
        """One line: defects, coordination, neighbours that are oxygen, bonds by kind, energy."""
        bonds = valence.bonds_of(self.atoms)
        kinds = Counter("-".join(sorted((self.atoms.symbols[i], self.atoms.symbols[j]))) for i, j, *_ in bonds)
        return (
            f"seed {self.seed}: {self.defects} defects; coordination {coordination(self.atoms, bonds)}; by oxygen "
            f"{by_oxygen(self.atoms, bonds)}; bonds {', '.join(f'{k} {n}' for k, n in sorted(kinds.items()))}; "
            f"{self.energy_ev:.3f} eV per atom"
        )


def made(recipe: Mapping[str, Any], say: Say = lambda text: None) -> list[Glass]:
    """A glass for each seed of a recipe, the best first: fewest defects, then lowest energy."""
    glasses = []
    for seed in recipe["seeds"]:
        glasses.append(quenched(recipe, seed))
        say(glasses[-1].facts())
    return sorted(glasses, key=lambda glass: (glass.defects, glass.energy_ev))


def quenched(recipe: Mapping[str, Any], seed: int) -> Glass:
    """The glass of one seed. Recipe: composition (element -> atoms in the box), density_g_cm3, shape (edges of the box,
    relative to each other), stages ({ps, from_k, to_k}, one after the other), timestep_fs, friction_per_ps, valence_ev."""
    rng = np.random.default_rng(seed)
    symbols = [symbol for symbol, count in recipe["composition"].items() for _ in range(count)]
    edges = box(recipe)
    guided, alone = Tersoff(symbols, edges, recipe["valence_ev"]), Tersoff(symbols, edges)
    xyz, _ = at_rest(guided, scattered(len(symbols), edges, rng), 100)
    masses = atomic_masses[[atomic_numbers[symbol] for symbol in symbols]]
    xyz = moved(guided, xyz, masses, recipe, rng)
    xyz, _ = at_rest(guided, xyz)
    xyz, energy = at_rest(alone, xyz)
    atoms = Atoms(symbols, xyz, cell=edges, pbc=True)
    atoms.wrap()
    return Glass(seed, atoms, energy / len(atoms))


def box(recipe: Mapping[str, Any]) -> np.ndarray:
    """Edges of the box, Angstrom."""
    mass = sum(atomic_masses[atomic_numbers[symbol]] * count for symbol, count in recipe["composition"].items())
    shape = np.array(recipe["shape"], float)
    volume = mass * DENSITY_G_CM3 / recipe["density_g_cm3"]
    return np.asarray(shape * (volume / shape.prod()) ** (1 / 3))


def scattered(count: int, edges: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random places (n, 3) in a periodic box, no two nearer than APART; Angstrom."""
    places = np.empty((0, 3))
    while len(places) < count:
        trial = rng.random(3) * edges
        vectors = places - trial
        vectors -= np.round(vectors / edges) * edges
        if not len(places) or np.linalg.norm(vectors, axis=1).min() >= APART:
            places = np.vstack([places, trial])
    return places


def at_rest(field: Tersoff, xyz: np.ndarray, steps: int = 2000) -> tuple[np.ndarray, float]:
    """Positions where the forces vanish, Angstrom, and the energy there, eV; after `steps` as far as it came."""
    from scipy.optimize import minimize

    def slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        energy, forces = field(flat.reshape(-1, 3))
        return energy, -forces.ravel()

    found = minimize(slope, xyz.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": steps, "gtol": REST})
    return found.x.reshape(-1, 3), float(found.fun)


def moved(
    field: Tersoff, xyz: np.ndarray, masses: np.ndarray, recipe: Mapping[str, Any], rng: np.random.Generator
) -> np.ndarray:
    """Positions after Langevin dynamics through the stages of a recipe; masses in amu."""
    step, mass = recipe["timestep_fs"] * FEMTOSECOND, masses[:, None]
    keep = np.exp(-recipe["friction_per_ps"] * recipe["timestep_fs"] / 1000)
    speed = np.sqrt(BOLTZMANN_EV_PER_K * recipe["stages"][0]["from_k"] / mass) * rng.standard_normal(xyz.shape)
    _, forces = field(xyz)
    for temperature in temperatures(recipe):
        speed = speed + 0.5 * step * forces / mass
        xyz = xyz + 0.5 * step * speed
        kick = np.sqrt((1 - keep**2) * BOLTZMANN_EV_PER_K * temperature / mass)
        speed = keep * speed + kick * rng.standard_normal(xyz.shape)
        xyz = xyz + 0.5 * step * speed
        _, forces = field(xyz)
        speed = speed + 0.5 * step * forces / mass
    return xyz


def temperatures(recipe: Mapping[str, Any]) -> np.ndarray:
    """The temperature of every step, kelvin: each stage goes evenly from its first to its last."""
    steps = [(round(stage["ps"] * 1000 / recipe["timestep_fs"]), stage) for stage in recipe["stages"]]
    return np.concatenate([np.linspace(stage["from_k"], stage["to_k"], n, endpoint=False) for n, stage in steps])


def header(name: str, recipe: Mapping[str, Any], glasses: list[Glass], version: str) -> str:
    """What goes before the structure in the file: where it comes from and what it is, as comments of a CIF."""
    best = glasses[0]
    lines = [
        f"{name}: made by `crosstalk glass {name}` (crosstalk {version}, NumPy {np.__version__}); do not edit",
        "potential: Munetoh et al., Comput. Mater. Sci. 2007, 39, 334; see workflow/crosstalk/structures/glass.py",
        f"recipe: {json.dumps(recipe)}",
        f"seed {best.seed}, {density(list(best.atoms.symbols), best.atoms.cell.array):.3f} g/cm3",
        *(glass.facts() for glass in glasses),
    ]
    return "".join(f"# {line}\n" for line in lines)


def text(name: str, recipe: Mapping[str, Any], glasses: list[Glass], version: str) -> str:
    """The file of a glass: a CIF with its history."""
    import io

    from ase.io import write

    buffer = io.BytesIO()
    write(buffer, glasses[0].atoms, format="cif")
    return header(name, recipe, glasses, version) + buffer.getvalue().decode()


def recipe_of(text: str) -> dict[str, Any]:
    """The recipe in the header of a glass's file."""
    line = next(line for line in text.splitlines() if line.startswith("# recipe: "))
    return dict(json.loads(line.removeprefix("# recipe: ")))
