"""Glasses: the potential is Tersoff's, the dynamics Langevin's, the committed files are what their headers say."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators import tersoff as reference
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list

from crosstalk.cli import main
from crosstalk.config import load
from crosstalk.config.structures import inline, slab_settings
from crosstalk.errors import CrosstalkError
from crosstalk.structures import glass, slabs, valence
from crosstalk.structures.description import by_oxygen, density, description
from crosstalk.structures.tersoff import CENTRES, PAIRS, Tersoff
from crosstalk.units import BOLTZMANN_EV_PER_K, FEMTOSECOND

CONFIG = load(Path(__file__).parents[2] / "config")
RECIPE: dict[str, Any] = {
    "composition": {"Si": 12, "O": 12},
    "density_g_cm3": 2.15,
    "shape": [1, 1, 1],
    "stages": [{"ps": 0.02, "from_k": 3000.0, "to_k": 3000.0}, {"ps": 0.03, "from_k": 3000.0, "to_k": 300.0}],
    "timestep_fs": 1.0,
    "friction_per_ps": 5.0,
    "valence_ev": 1.0,
    "seeds": [1],
}
#: Surfaces that are cleaved from glasses: the entries whose crystal is a glass's file.
CLEAVED = [name for name, s in CONFIG.surfaces.items() if getattr(s, "crystal", "") in {g.file for g in CONFIG.glasses.values()}]  # fmt: skip
VALENCE = {"H": 1, "O": 2, "Si": 4}


def disorder(seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    edges = glass.box(RECIPE)
    symbols = ["Si"] * 12 + ["O"] * 12
    return symbols, edges, glass.scattered(24, edges, np.random.default_rng(seed))


def structure(name: str) -> Atoms:
    given = inline(CONFIG, CONFIG.glasses[name].file)
    return Atoms(given["symbols"], given["positions"], cell=given["cell"], pbc=True)


# -- the potential -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("valence_ev", [0.0, 0.7])
def test_forces_are_the_slope_of_the_energy(valence_ev: float) -> None:
    symbols, edges, xyz = disorder()
    field = Tersoff(symbols, edges, valence_ev)
    _, forces = field(xyz)
    assert forces.sum(axis=0) == pytest.approx(0, abs=1e-9)
    for atom, axis in ((0, 0), (5, 1), (13, 2), (23, 0)):
        ahead, behind = xyz.copy(), xyz.copy()
        ahead[atom, axis] += 1e-5
        behind[atom, axis] -= 1e-5
        slope = (field(ahead)[0] - field(behind)[0]) / 2e-5
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-5)


def test_energy_and_forces_are_those_of_the_general_potential_of_ase() -> None:
    parameters = {}
    for a, centre in CENTRES.items():
        for b in CENTRES:
            for c in CENTRES:
                bond, third = PAIRS[frozenset({a, b})], PAIRS[frozenset({a, c})]
                parameters[a, b, c] = reference.TersoffParameters(
                    m=3.0, gamma=1.0, lambda3=0.0, c=centre.c, d=centre.d, h=centre.h, n=centre.n, beta=centre.beta,
                    lambda2=bond.attraction_decay, B=bond.attraction, R=third.radius, D=third.half_width,
                    lambda1=bond.repulsion_decay, A=bond.repulsion)  # fmt: skip
    atoms = bulk("Si", cubic=True, a=4.6).repeat(2)  # dense: ASE divides by zero where an atom has one neighbour
    atoms.symbols[np.random.default_rng(0).permutation(64)[:32]] = "O"
    atoms.rattle(0.15, seed=1)
    energy, forces = Tersoff(list(atoms.symbols), atoms.cell.lengths())(atoms.positions)
    atoms.calc = reference.Tersoff(parameters)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert forces == pytest.approx(atoms.get_forces(), abs=1e-9)


def test_unlike_pairs_are_mixed_as_tersoff_does() -> None:
    """Phys. Rev. B 1989, 39, 5566: means of the elements' parameters, and one factor for the attraction, here 1.17945."""
    silicon, oxygen, mixed = (PAIRS[frozenset(pair)] for pair in ({"Si"}, {"O"}, {"Si", "O"}))
    assert mixed.repulsion == pytest.approx(math.sqrt(silicon.repulsion * oxygen.repulsion), rel=1e-5)
    assert mixed.attraction == pytest.approx(1.17945 * math.sqrt(silicon.attraction * oxygen.attraction), rel=1e-5)
    assert mixed.repulsion_decay == pytest.approx((silicon.repulsion_decay + oxygen.repulsion_decay) / 2, rel=1e-5)
    assert mixed.attraction_decay == pytest.approx((silicon.attraction_decay + oxygen.attraction_decay) / 2, rel=1e-5)
    for sign in (-1, 1):
        inner, outer, both = (pair.radius + sign * pair.half_width for pair in (silicon, oxygen, mixed))
        assert both == pytest.approx(math.sqrt(inner * outer), abs=0.005)


def test_silicon_has_the_cohesive_energy_and_lattice_constant_that_it_was_fitted_to() -> None:
    energies = {}
    for a in (5.40, 5.432, 5.46):
        crystal = bulk("Si", cubic=True, a=a).repeat(2)
        energy, forces = Tersoff(list(crystal.symbols), crystal.cell.lengths())(crystal.positions)
        energies[a] = energy / len(crystal)
        assert forces == pytest.approx(0, abs=1e-9)
    assert energies[5.432] == pytest.approx(-4.63, abs=0.005)
    assert energies[5.432] < min(energies[5.40], energies[5.46])


def test_the_list_of_neighbours_follows_the_atoms() -> None:
    symbols, edges, xyz = disorder()
    walking = Tersoff(symbols, edges)
    for _ in range(8):
        xyz = xyz + np.random.default_rng(3).normal(0, 0.15, xyz.shape)
        assert walking(xyz)[0] == pytest.approx(Tersoff(symbols, edges)(xyz % edges)[0], abs=1e-8)


def test_closed_valences_pay_nothing() -> None:
    crystal = bulk("Si", cubic=True, a=5.432).repeat(2)
    lattice = list(crystal.symbols), crystal.cell.lengths()
    assert Tersoff(*lattice, 3.0)(crystal.positions)[0] == pytest.approx(Tersoff(*lattice)(crystal.positions)[0])
    hole = crystal.copy()
    del hole[0]  # four neighbours lack one each
    lattice = list(hole.symbols), hole.cell.lengths()
    paid = Tersoff(*lattice, 3.0)(hole.positions)[0] - Tersoff(*lattice)(hole.positions)[0]
    assert paid == pytest.approx(4 * 3.0)


def test_what_the_potential_cannot_do_is_said() -> None:
    with pytest.raises(CrosstalkError, match="no parameters for Ge"):
        Tersoff(["Si", "Ge"], [9.0, 9.0, 9.0])
    with pytest.raises(CrosstalkError, match="too narrow"):
        Tersoff(["Si"], [9.0, 9.0, 5.0])


# -- the dynamics ------------------------------------------------------------------------------------------------


class Nothing:
    """No forces."""

    def __call__(self, xyz: np.ndarray) -> tuple[float, np.ndarray]:
        return 0.0, np.zeros_like(xyz)


def test_free_atoms_wander_as_langevin_said() -> None:
    """Mean square displacement 6 kT/(m g) [t - (1 - exp(-g t))/g] of atoms that start in equilibrium."""
    mass, kelvin, friction, ps = 28.0, 1000.0, 20.0, 0.4
    recipe = RECIPE | {"stages": [{"ps": ps, "from_k": kelvin, "to_k": kelvin}], "friction_per_ps": friction}
    start = np.zeros((8000, 3))
    end = glass.moved(Nothing(), start, np.full(8000, mass), recipe, np.random.default_rng(0))  # type: ignore[arg-type]
    rate = friction / (1000 * FEMTOSECOND)
    time = ps * 1000 * FEMTOSECOND
    expected = 6 * BOLTZMANN_EV_PER_K * kelvin / (mass * rate) * (time - (1 - math.exp(-rate * time)) / rate)
    assert (end**2).sum(axis=1).mean() == pytest.approx(expected, rel=0.03)


def test_a_femtosecond_is_that_of_ase() -> None:
    from ase import units

    assert pytest.approx(units.fs, rel=1e-6) == FEMTOSECOND


def test_temperatures_go_evenly_through_the_stages() -> None:
    course = glass.temperatures(RECIPE)
    assert len(course) == 50 and (course[:20] == 3000).all()
    assert np.diff(course[20:]) == pytest.approx(-90.0)


def test_a_seed_gives_one_glass_and_another_seed_another() -> None:
    first, again, other = (glass.quenched(RECIPE, seed) for seed in (1, 1, 2))
    assert first.atoms.positions.tobytes() == again.atoms.positions.tobytes()
    assert first.energy_ev != other.energy_ev
    assert density(list(first.atoms.symbols), first.atoms.cell.array) == pytest.approx(2.15)
    assert Counter(first.atoms.symbols) == RECIPE["composition"]
    _, forces = Tersoff(list(first.atoms.symbols), first.atoms.cell.lengths())(first.atoms.positions)
    assert np.abs(forces).max() < 0.05


def test_defects_are_counted() -> None:
    crystal = bulk("Si", cubic=True, a=5.432).repeat(2)
    assert glass.Glass(0, crystal, 0.0).defects == 0
    del crystal[0]
    assert glass.Glass(0, crystal, 0.0).defects == 4
    peroxide = Atoms("O2", [[0, 0, 0], [0, 0, 1.3]], cell=[9, 9, 9], pbc=True)
    assert glass.Glass(0, peroxide, 0.0).defects == 3  # two atoms that lack a bond, and the bond between them


def test_the_command_writes_the_best_glass_with_its_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, entry = next(iter(CONFIG.glasses.items()))
    made = [glass.quenched(RECIPE, seed) for seed in (3, 4)]
    monkeypatch.setattr(glass, "quenched", lambda recipe, seed: made[seed % 2])
    arguments = ["glass", name, "--to", str(tmp_path / "made.cif"), "--config-dir", str(CONFIG.folder)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    text = (tmp_path / "made.cif").read_text()
    best = min(made, key=lambda one: (one.defects, one.energy_ev))
    assert glass.recipe_of(text) == entry.recipe() and best.facts() in text
    with pytest.raises(SystemExit, match="did you mean"):
        main(["glass", name[:-1], "--config-dir", str(CONFIG.folder)])


# -- what is committed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIG.glasses)
def test_a_committed_glass_is_what_its_header_says(name: str) -> None:
    entry, atoms = CONFIG.glasses[name], structure(name)
    text = (CONFIG.folder / entry.file).read_text()
    assert glass.recipe_of(text) == entry.recipe(), f"the recipe changed: crosstalk glass {name}"
    energy, forces = Tersoff(list(atoms.symbols), atoms.cell.lengths())(atoms.positions)
    best = glass.recipe_of(text)["seeds"].index(int(text.split("# seed ")[1].split(",")[0]))
    found = glass.Glass(entry.seeds[best], atoms, energy / len(atoms))
    assert f"# {found.facts()}\n" in text
    assert np.abs(forces).max() < 0.01
    assert density(list(atoms.symbols), atoms.cell.array) == pytest.approx(entry.density_g_cm3, abs=1e-4)


@pytest.mark.parametrize("name", CONFIG.glasses)
def test_a_committed_glass_is_a_network_of_closed_valences(name: str) -> None:
    atoms = structure(name)
    bonds = valence.bonds_of(atoms)
    assert [len(own) for own in valence.neighbours(len(atoms), bonds)] == [VALENCE[s] for s in atoms.symbols]
    assert not any(atoms.symbols[i] == atoms.symbols[j] == "O" for i, j, *_ in bonds)
    # Each oxygen is counted by two atoms of silicon: the mean oxidation state follows from the composition.
    states = {int(k): int(n) for k, n in (part.split(": ") for part in by_oxygen(atoms, bonds)[3:].split(", "))}
    count = Counter(atoms.symbols)
    assert sum(states.values()) == count["Si"]
    assert sum(k * n for k, n in states.items()) == 2 * count["O"]
    assert neighbor_list("d", atoms, 4.0).min() > 1.5


@pytest.mark.parametrize("name", CLEAVED)
def test_a_slab_of_a_glass_has_closed_shells_and_touches_nothing(name: str) -> None:
    settings = slab_settings(CONFIG, CONFIG.surfaces[name])
    atoms = slabs.build(settings)
    bonds = valence.bonds_of(atoms)
    assert [len(own) for own in valence.neighbours(len(atoms), bonds)] == [VALENCE[s] for s in atoms.symbols]
    assert sum(atomic_numbers[s] for s in atoms.symbols) % 2 == 0
    bonded = {bond[:2] for bond in bonds}
    i, j, d = neighbor_list("ijd", atoms, 2.0)
    apart = [x for a, b, x in zip(i.tolist(), j.tolist(), d, strict=True) if (min(a, b), max(a, b)) not in bonded]
    assert min(apart, default=2.0) > 1.1
    assert len(atoms) <= 110 and atoms.cell.lengths()[:2].min() > 11.5
    body = list(settings["crystal"]["symbols"])
    facts = description(atoms, settings, 0.0)
    assert facts["bulk_density_g_cm3"] == pytest.approx(density(body, np.array(settings["crystal"]["cell"])))
    silicon = sum(int(part.split(": ")[1]) for part in facts["by_oxygen"][3:].split(", "))
    assert silicon == body.count("Si") and facts["oh_per_nm2"] + facts["oh_bottom_per_nm2"] > 0


def test_there_are_slabs_of_glass() -> None:
    assert len(CLEAVED) >= 1
