"""Relaxations on surfaces: springs, the learnt correction, and the way to the minimum, on potentials that cost nothing."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, fcc111, molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.io import read
from ase.optimize import BFGS

from crosstalk.engines import gpaw_relax, surface_guides
from crosstalk.engines import surface_hessian as hessians
from crosstalk.engines import surface_optimiser as optimiser
from crosstalk.structures import rotor, slabs

FMAX = 0.02


def posed() -> Atoms:
    """A dimer that lies askew on two layers of copper."""
    slab = fcc111("Cu", (2, 2, 2), a=3.65, vacuum=8.0)
    slab.pbc = (True, True, False)
    add_adsorbate(slab, Atoms("Ag2", [[0, 0, 0], [0.3, 2.5, 0.4]]), 2.1, "bridge")
    slab.set_tags([0] * 8 + [1, 1])
    return slab


def silica() -> Atoms:
    """Two tetrahedra that share an oxygen, straight Si-O-Si, in a periodic cell."""
    half = [[0, 0, 0], [1.5, 0, -0.5], [-0.75, 1.3, -0.5], [-0.75, -1.3, -0.5]]
    upper = [[x, y, 3.2 - z] for x, y, z in half]
    return Atoms("SiO3OSiO3", [*half, [0, 0, 1.6], *upper], cell=[5.0, 5.0, 12.0], pbc=(True, True, False))


def longest(x: np.ndarray, gradient: np.ndarray) -> float:
    return optimiser.longest(gradient)


def emt(atoms: Atoms) -> EMT:
    return EMT()


def relaxed(atoms: Atoms, path: Path, max_steps: int = 100, frozen: float = 0.3) -> tuple[Atoms, int]:
    return gpaw_relax.relax(atoms, emt, FMAX, max_steps, frozen, path, guided=False)


# -- springs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("atoms", [posed(), silica(), molecule("CH3OH")], ids=["pose", "silica", "molecule"])
def test_the_model_hessian_is_positive_definite_symmetric_and_blind_to_position(atoms):
    hessian = hessians.model_hessian(atoms)
    assert np.allclose(hessian, hessian.T)
    assert np.linalg.eigvalsh(hessian)[0] > 0.9 * min(hessians.RIGID, hessians.SOFT)
    moved = atoms.copy()
    moved.positions += (0.7, -1.9, 0.4)
    assert np.allclose(hessians.model_hessian(moved), hessian, atol=1e-8)


@pytest.mark.parametrize("atoms", [posed(), silica()], ids=["pose", "silica"])
def test_images_of_an_atom_are_the_atom(atoms):
    other = atoms.copy()
    other.positions[[1, 2]] += 2 * other.cell[0] - other.cell[1]  # atoms of the slab: the adsorbate has to be whole
    assert np.allclose(hessians.model_hessian(other), hessians.model_hessian(atoms), atol=1e-8)


def test_a_repeat_has_the_springs_of_its_parts():
    single, double = (hessians.springs(a) for a in (silica(), silica().repeat((2, 1, 1))))
    assert double.strength.sum() == pytest.approx(2 * single.strength.sum(), rel=1e-6)


def test_springs_are_at_rest_where_they_were_made_and_have_their_hessian():
    atoms = silica()
    network, x, step = hessians.springs(atoms), atoms.positions, 1e-4
    energy, gradient = network.energy(x)
    assert energy == pytest.approx(0, abs=1e-12) and np.abs(gradient).max() < 1e-9
    hessian = network.hessian(x)
    random = np.random.default_rng(3)
    for _ in range(3):
        move = random.normal(size=x.shape)
        up, down = (network.energy(x + sign * step * move)[1] for sign in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(hessian @ move.ravel(), abs=1e-3)
        moved = x + 0.1 * move
        slope = (network.energy(moved + step * move)[0] - network.energy(moved - step * move)[0]) / (2 * step)
        assert slope == pytest.approx(float(network.energy(moved)[1] @ move.ravel()), rel=1e-5)


def test_bonds_are_stiff_and_the_adsorbate_as_a_whole_is_soft():
    slab = slabs.in_box(slabs.graphite_basal(2.46, 3.35, 1), 16.0).repeat((3, 3, 1))
    water = molecule("H2O")
    water.positions += slab.positions.mean(axis=0) + np.array([0, 0, 3.2])
    atoms = slab + water
    atoms.set_tags([0] * 18 + [1] * 3)
    hessian = hessians.model_hessian(atoms)
    stretch, away, bulge = np.zeros((3, 21, 3))
    stretch[18], stretch[19] = (way := water.positions[1] - water.positions[0]), -way
    away[18:, 2] = bulge[4, 2] = 1.0
    stiff, soft, free = (v.ravel() @ hessian @ v.ravel() / (v**2).sum() for v in (stretch, away, bulge))
    assert 30 < stiff < 150
    assert soft == pytest.approx(hessians.RIGID, rel=0.3)
    assert free == pytest.approx(hessians.SOFT, rel=0.1)  # nothing holds an atom of a flat sheet in it, to second order


def test_rigid_modes_are_all_motions_without_strain():
    water = molecule("H2O")
    modes = rotor.rigid_modes(water.positions)
    assert modes.shape == (6, 9)
    assert modes @ modes.T == pytest.approx(np.eye(6), abs=1e-10)
    for mode in modes:
        moved = water.copy()
        moved.positions += 1e-4 * mode.reshape(-1, 3)
        assert moved.get_all_distances() == pytest.approx(water.get_all_distances(), abs=1e-7)
    assert len(rotor.rigid_modes(molecule("CO").positions)) == 5


def test_small_forces_that_all_pull_one_way_are_no_convergence():
    atoms = posed()
    forces = np.zeros((10, 3))
    forces[8:, 2] = 0.04
    assert 0.05 < gpaw_relax.force_left(atoms, forces, []) <= 0.04 * np.sqrt(2) + 1e-9
    bond = atoms.positions[9] - atoms.positions[8]
    forces[8:] = 0.04 * np.array([[1], [-1]]) * bond / np.linalg.norm(bond)
    assert gpaw_relax.force_left(atoms, forces, []) == pytest.approx(
        0.04
    )  # what strains the adsorbate moves it nowhere
    alone = atoms[8:]
    assert gpaw_relax.force_left(alone, np.full((2, 3), 0.01), []) == pytest.approx(0.01 * np.sqrt(3))  # free to drift


def two_layers(apart: float = 3.35) -> Atoms:
    """Graphite, 2x2, two layers."""
    return slabs.in_box(slabs.graphite_basal(2.46, apart, 2), 20.0).repeat((2, 2, 1))


def test_a_layer_as_a_whole_is_held_to_the_limit():
    atoms = two_layers()
    lower = slabs.frozen(atoms, 0.4)
    forces = np.zeros((16, 3))
    forces[np.setdiff1d(np.arange(16), lower), 2] = 0.02
    assert len(lower) == 8
    assert gpaw_relax.force_left(atoms, forces, lower) == pytest.approx(0.02 * np.sqrt(8))
    forces[:, 2] -= forces[:, 2].mean()  # none held: two layers that pull at each other
    assert gpaw_relax.force_left(atoms, forces, []) == pytest.approx(0.01 * np.sqrt(8))
    bonded = silica().repeat((2, 2, 1))
    pulled = np.full((len(bonded), 3), 0.01)
    assert gpaw_relax.force_left(bonded, pulled, [0]) > 0.01 * np.sqrt(3) + 1e-6  # another piece is free
    joined = slabs.in_box(slabs.graphite_basal(2.46, 3.35, 1), 20.0).repeat((2, 2, 1))
    held = gpaw_relax.force_left(joined, np.full((8, 3), 0.01), [0])
    assert held == pytest.approx(0.01 * np.sqrt(3))  # what is bonded to a held atom moves nowhere as a whole


def test_layers_find_their_distance(tmp_path):
    class Glue(Calculator):
        """Springs within the layers (none) and a soft one between their means."""

        implemented_properties = ["energy", "forces"]

        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            network, x = hessians.springs(two_layers()), self.atoms.positions
            network = network.stronger(5)
            energy, gradient = network.energy(x)
            upper = x[:, 2] > x[:, 2].mean()
            apart = x[upper, 2].mean() - x[~upper, 2].mean() - 3.35
            pull = 0.5 * 1.5 * apart  # 1.5 eV/Angstrom^2 between layers of 8 atoms, as graphite has
            forces = -gradient.reshape(-1, 3)
            forces[upper, 2] -= 2 * pull / upper.sum()
            forces[~upper, 2] += 2 * pull / upper.sum()
            self.results = {"energy": energy + 0.5 * 1.5 * apart**2, "forces": forces}

    start = two_layers(3.5)
    final, _ = gpaw_relax.relax(start, lambda atoms: Glue(), 0.02, 30, 0.4, tmp_path / "relax.traj", guided=False)
    assert np.ptp(final.positions[:, 2]) == pytest.approx(3.35, abs=0.05)
    assert (
        np.ptp(start.positions[:, 2]) > 3.49
    )  # whose forces on atoms, 0.03, would have shrunk below the limit at 3.46


# -- the correction ----------------------------------------------------------------------------------------------------


def bowl(z: np.ndarray) -> tuple[float, np.ndarray]:
    """Something smooth on the scale of the process: a tilted cosine."""
    direction = 2 / optimiser.LENGTH * np.arange(1, len(z) + 1) / len(z)
    return float(np.cos(z @ direction) + 0.3 * z.sum()), -np.sin(z @ direction) * direction + 0.3


def test_the_process_goes_through_its_data_and_has_its_own_gradient():
    random = np.random.default_rng(1)
    points = random.normal(scale=0.5, size=(4, 9))
    seen = [bowl(z) for z in points]
    correction = optimiser.Process(points, np.array([e for e, _ in seen]), np.array([g for _, g in seen]))
    for z, (value, gradient) in zip(points, seen, strict=True):
        found, slope = correction(z)
        assert found == pytest.approx(value, abs=2 * optimiser.VALUE_NOISE)
        assert slope == pytest.approx(gradient, abs=1e-2)
    z, move = random.normal(scale=0.5, size=(2, 9))
    numerical = (correction(z + 1e-5 * move)[0] - correction(z - 1e-5 * move)[0]) / 2e-5
    assert correction(z)[1] @ move == pytest.approx(numerical, rel=1e-5)


def test_one_point_gives_a_slope_and_nothing_across_it():
    gradient = np.array([0.5, 0, 0, 0, 0, 0])
    correction = optimiser.Process(np.zeros((1, 6)), np.array([2.0]), gradient[None])
    assert correction(np.zeros(6))[0] == pytest.approx(2.0)
    assert correction(np.array([0, 0.3, 0, 0, 0, 0]))[1][1:] == pytest.approx(0, abs=1e-12)
    assert correction(np.array([0.1, 0, 0, 0, 0, 0]))[0] > 2.04


def test_pulls_along_bonds_turn_with_them():
    """A guide whose bond is too short is mended for every direction of the bond by a gradient in one of them."""
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.2]])
    free = np.arange(2)
    short, long = (surface_guides.springs(a, free) for a in (atoms, Atoms("CO", [[0, 0, 0], [0, 0, 1.23]])))

    def unanchored(surface, x):
        rest = surface_guides.surface_hessian.springs(
            atoms if surface is short else Atoms("CO", [[0, 0, 0], [0, 0, 1.23]])
        )
        return rest.energy(x.reshape(-1, 3))

    start = atoms.positions.ravel()
    points = [optimiser.Point(start, *unanchored(long, start))]
    units = np.eye(6) * 5, np.eye(6) / 5
    internal = surface_guides.bonds(atoms, free)
    x = np.array([0, 0, 0, 1.2, 0, 0])
    errors = []
    for known in (internal, None):
        model = optimiser.corrected(lambda y: unanchored(short, y), known, points, [unanchored(short, start)], units)
        errors.append(np.abs(model(x)[1] - unanchored(long, x)[1]).max())
    assert errors[0] < 0.1 * errors[1]


def test_what_one_bond_shows_of_its_kind_holds_for_the_others():
    """A guide that is too soft in C-O, stretched in one molecule, is mended in the other, too far away to be near it."""
    atoms = Atoms("CO2CO", [[0, 0, 0], [0, 0, 1.2], [0, 0, -1.2], [9, 0, 0], [9, 0, 1.2]])
    free, start = np.arange(5), atoms.positions.ravel()

    def right(x):
        return surface_guides.surface_hessian.springs(atoms).energy(x.reshape(-1, 3))

    def soft(x):
        energy, gradient = right(x)
        return 0.8 * energy, 0.8 * gradient

    stretched, other = start.copy(), start.copy()
    stretched[5], other[14] = 1.3, 1.25
    points = [optimiser.Point(x, *right(x)) for x in (start, stretched)]
    units, errors = (np.eye(15) * 5, np.eye(15) / 5), []
    for known in (surface_guides.bonds(atoms, free), None):
        model = optimiser.corrected(soft, known, points, [soft(point.x) for point in points], units)
        errors.append(np.abs(model(other)[1] - right(other)[1]).max())
    assert errors[1] > 0.9 * np.abs(0.2 * right(other)[1]).max()
    assert errors[0] < 0.3 * errors[1]


def test_the_corrected_surface_has_its_own_gradient():
    atoms, random = posed(), np.random.default_rng(3)
    free, guide = np.array([5, 8, 9]), surface_guides.springs(atoms, np.array([5, 8, 9]))
    units = np.eye(9) * 5, np.eye(9) / 5
    points = [
        optimiser.Point(x, float(random.normal()), random.normal(size=9))
        for x in atoms.positions[free].ravel() + random.normal(scale=0.1, size=(3, 9))
    ]
    model = optimiser.corrected(
        guide, surface_guides.bonds(atoms, free), points, [guide(point.x) for point in points], units
    )
    x, move = atoms.positions[free].ravel() + random.normal(scale=0.1, size=9), random.normal(size=9)
    numerical = (model(x + 1e-5 * move)[0] - model(x - 1e-5 * move)[0]) / 2e-5
    assert model(x)[1] @ move == pytest.approx(numerical, rel=1e-4)


# -- the way -----------------------------------------------------------------------------------------------------------


def test_a_guide_that_is_right_up_to_a_slope_leads_there_at_once():
    random = np.random.default_rng(5)
    root = random.normal(size=(9, 9))
    curved, slope = root @ root.T + np.eye(9), random.normal(scale=0.1, size=9)

    def guide(x):
        return 0.5 * float(x @ curved @ x), curved @ x

    def surface(x):
        energy, gradient = guide(x)
        return energy + float(slope @ x), gradient + slope

    start = optimiser.Point(np.zeros(9), *surface(np.zeros(9)))
    points = optimiser.descend(surface, lambda _: guide, lambda _: (None, curved), [start], longest, 1e-3, 20)
    assert len(points) <= 5
    assert points[-1].x == pytest.approx(-np.linalg.solve(curved, slope), abs=1e-3)


def test_the_trust_grows_with_success_and_shrinks_with_failure_and_near_the_minimum():
    def trust(step, *energies):
        points = [optimiser.Point(np.array([step * k, 0, 0]), e, np.zeros(3)) for k, e in enumerate(energies)]
        here, radius = optimiser.trust(points)
        return points.index(here), radius

    (_, first), (start, worse), (second, better) = trust(0.2, 0), trust(0.2, 0, 1), trust(0.2, 0, -1)
    assert (start, second) == (0, 1) and worse < first < better
    assert trust(0.2, 0, -1e-3, 0)[0] == 2  # as good as the one before: no failure
    assert trust(0.01, 0, -1, -2)[1] < first
    assert trust(1.0, *range(0, -30, -1))[1] == optimiser.LARGEST
    assert trust(0.1, *range(30))[1] == optimiser.SMALLEST


def test_a_step_after_which_the_slope_has_turned_round_was_too_long():
    def trust(after):
        points = [
            optimiser.Point(np.array([0.1 * k, 0, 0]), 0.0, np.array([g, 0, 0])) for k, g in enumerate((-1, after))
        ]
        return optimiser.trust(points)

    assert trust(0.5)[1] > trust(0.9)[1]
    assert trust(0.9)[0].x[0] == 0.1  # no failure: it goes on from there


def test_nothing_drifts_when_nothing_is_held(tmp_path):
    class Waves(EMT):
        """Energies and forces that wave with the place of the whole, as on a grid."""

        def calculate(self, *arguments, **more):
            super().calculate(*arguments, **more)
            phase = 4 * self.atoms.positions.mean(axis=0)
            self.results["energy"] += 0.1 * np.cos(phase).sum()
            self.results["forces"] = self.results["forces"] + 0.1 * 4 * np.sin(phase) / len(self.atoms)

    start = posed()
    final, steps = gpaw_relax.relax(start, lambda atoms: Waves(), FMAX, 60, 0.0, tmp_path / "relax.traj", guided=False)
    assert np.abs((final.positions - start.positions).mean(axis=0)).max() < 1e-8
    assert gpaw_relax.force_left(final, final.get_forces(), []) <= FMAX and steps < 60


def test_a_guide_without_an_answer_somewhere_is_not_followed_there():
    def walled(x):
        return (np.inf, np.zeros_like(x)) if x[0] > 0.1 else (-float(x[0]), np.array([-1.0, 0, 0]))

    found = optimiser.nearby_minimum(walled, np.zeros(3), np.eye(3), 0.5, 0.01, longest)
    assert 0.05 < found[0] <= 0.1


def test_a_search_that_its_guide_leads_nowhere_is_given_back():
    def surface(x):
        return 0.5 * float(x @ x), x

    def alone(x):
        return (0.0, np.zeros(3)) if not x.any() else (np.inf, np.zeros(3))

    start = optimiser.Point(np.ones(3), *surface(np.ones(3)))
    for guide in (alone, lambda x: (0.0, np.zeros(3)) if (x == 1).all() else (np.inf, np.zeros(3))):
        found = optimiser.descend(
            surface, partial(_same, guide), lambda _: (None, np.eye(3)), [start], longest, 1e-3, 20
        )
        assert found == [start]


def _same(guide, _):
    return guide


def test_a_guide_is_asked_for_where_the_search_stands():
    """Springs at rest in the last good point, not where the search began: it has what all points taught it on top."""
    asked: list[np.ndarray] = []

    def surface(x):
        return float((1 - np.cos(x)).sum()), np.sin(x)

    def springs(rest):
        asked.append(rest)
        return lambda x: (0.5 * float((x - rest) @ (x - rest)), x - rest)

    start = optimiser.Point(np.ones(3) * 0.9, *surface(np.ones(3) * 0.9))
    points = optimiser.descend(surface, springs, lambda _: (None, np.eye(3)), [start], longest, 1e-3, 30)
    assert longest(points[-1].x, points[-1].gradient) <= 1e-3
    stood = [optimiser.trust(points[: k + 1])[0].x for k in range(len(points) - 1)]
    assert len(asked) == len(stood) and all(np.array_equal(*pair) for pair in zip(asked, stood, strict=True))
    assert len({tuple(x) for x in asked}) > 1


def test_springs_are_at_rest_in_the_place_they_are_asked_for():
    atoms, free = posed(), np.array([5, 8, 9])
    x = atoms.positions[free].ravel() + 0.2
    energy, gradient = surface_guides.by_springs(atoms, free)(x)(x)
    assert energy == 0 and gradient == pytest.approx(0, abs=1e-12)


def test_a_guide_that_falls_without_end_is_not_followed():
    def surface(x):
        return 0.5 * float(x @ x), x

    def mad(x):
        return (-6e4, np.zeros(3)) if x[0] < 0.9 else surface(x)

    start = optimiser.Point(np.ones(3), *surface(np.ones(3)))
    points = optimiser.descend(surface, lambda _: mad, lambda _: (None, np.eye(3)), [start], longest, 1e-3, 20)
    assert all(point.x[0] >= 0.9 for point in points) and len(points) < 20


def test_a_guide_that_has_fallen_without_end_is_given_back():
    """Where the field that converged around the last step is another one: what it says there is not believed, nor what it says from there on."""

    def surface(x):
        seen.append(x)
        return 0.5 * float(x @ x), x

    def wrecked(x):
        return (-6e4 + 0.1 * float(x.sum()), np.full(3, 0.1)) if len(seen) > 2 else (0.0, np.full(3, 0.5))

    seen: list[np.ndarray] = []
    start = optimiser.Point(np.ones(3), *surface(np.ones(3)))
    points = optimiser.descend(surface, lambda _: wrecked, lambda _: (None, np.eye(3)), [start], longest, 1e-3, 20)
    assert 2 <= len(points) <= 3


def test_a_model_that_is_content_where_the_measurement_is_not_is_asked_for_more(monkeypatch):
    """It takes some of a gradient for noise, and may see less than 0.7 of the wanted force where more than all of it is left."""

    def surface(x):
        return 0.5 * float(x @ x), x

    def content(model, start, curved, radius, tolerance, *more):
        return start if tolerance > 5e-3 else closer(model, start, curved, radius, tolerance, *more)

    closer = optimiser.nearby_minimum
    monkeypatch.setattr(optimiser, "nearby_minimum", content)
    start = optimiser.Point(np.ones(3), *surface(np.ones(3)))
    points = optimiser.descend(surface, lambda _: surface, lambda _: (None, np.eye(3)), [start], longest, 0.01, 20)
    assert longest(points[-1].x, points[-1].gradient) <= 0.01


def test_the_next_guide_goes_on_where_one_leads_nowhere(tmp_path, monkeypatch):
    asked = []

    def field(atoms, free, repeat, temperature_k):
        springs, begun = surface_guides.springs(atoms, free), len(asked)
        asked.append(temperature_k)

        def surface(x):
            seen.append(0)
            return (np.inf, np.zeros_like(x)) if begun == 0 and len(seen) > 30 else springs(x)

        seen: list[int] = []
        return surface

    monkeypatch.setattr(surface_guides, "_tight_binding", field)
    final, _ = gpaw_relax.relax(posed(), emt, FMAX, 100, 0.3, tmp_path / "relax.traj")
    assert asked == list(surface_guides.TEMPERATURES_K)
    assert gpaw_relax.force_left(final, final.get_forces(), []) <= FMAX


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Atoms, int, Path]:
    path = tmp_path_factory.mktemp("whole") / "relax.traj"
    return *relaxed(posed(), path), path


def test_it_ends_where_bfgs_ends_with_half_the_gradients(whole):
    final, steps, _ = whole
    assert gpaw_relax.force_left(final, final.get_forces(), []) <= FMAX
    plain = posed()
    plain.set_constraint(final.constraints)
    plain.calc = EMT()
    bfgs = BFGS(plain, logfile=None)
    bfgs.run(fmax=FMAX, steps=300)
    assert steps <= bfgs.nsteps / 2
    bfgs.run(fmax=FMAX / 4, steps=300)
    assert final.get_potential_energy() == pytest.approx(plain.get_potential_energy(), abs=2e-3)
    assert np.abs(final.positions - plain.positions).max() < 0.05


def test_what_is_frozen_stays_and_the_result_knows_its_forces(whole):
    final, start = whole[0], posed()
    held = slabs.frozen(start, 0.3)
    assert len(held) == 4
    assert np.array_equal(final.positions[held], start.positions[held])
    assert np.abs(final.positions - start.positions)[8:].max() > 0.01
    check = final.copy()
    check.calc = EMT()
    assert final.get_potential_energy() == pytest.approx(check.get_potential_energy())
    assert final.get_forces() == pytest.approx(check.get_forces())


def frames(path: Path) -> np.ndarray:
    return np.array([frame.positions for frame in read(path, ":")])


def test_a_killed_relaxation_goes_on_with_all_that_it_had_computed(whole, tmp_path):
    final, steps, path = whole
    part = tmp_path / "part.traj"
    _, first = relaxed(posed(), part, max_steps=4)
    assert first == 4
    resumed, total = relaxed(posed(), part)
    assert abs(total - steps) <= 4  # what the minimisation on the cheap surface had learnt is lost
    assert np.array_equal(frames(part)[:5], frames(path)[:5])
    assert resumed.get_potential_energy() == pytest.approx(final.get_potential_energy(), abs=2e-3)
    assert np.abs(resumed.positions - final.positions).max() < 0.05


def test_a_cut_frame_costs_one_gradient_and_no_more(whole, tmp_path):
    final, _, path = whole
    cut = tmp_path / "cut.traj"
    relaxed(posed(), cut, max_steps=4)
    cut.write_bytes(cut.read_bytes()[:-40])
    resumed, total = relaxed(posed(), cut)
    assert np.array_equal(frames(cut)[:4], frames(path)[:4])
    assert len(frames(cut)) == total + 1
    assert resumed.get_potential_energy() == pytest.approx(final.get_potential_energy(), abs=2e-3)


def test_the_same_start_goes_the_same_way(whole, tmp_path):
    final, steps, path = whole
    again, total = relaxed(posed(), tmp_path / "again.traj")
    assert total == steps and np.array_equal(frames(path), frames(tmp_path / "again.traj"))
    assert again.get_potential_energy() == final.get_potential_energy()


def test_what_had_converged_before_the_kill_is_not_computed_again(whole):
    def refuses(atoms):
        raise AssertionError("there is nothing left to compute")

    final, total = gpaw_relax.relax(posed(), refuses, FMAX, 100, 0.3, whole[2], guided=False)
    assert total == whole[1]
    assert final.get_potential_energy() == whole[0].get_potential_energy()


def test_out_of_steps_it_ends_at_its_lowest_point(tmp_path):
    final, steps = relaxed(posed(), tmp_path / "relax.traj", max_steps=2)
    assert steps == 2
    energies = [frame.get_potential_energy() for frame in read(tmp_path / "relax.traj", ":")]
    assert final.get_potential_energy() == min(energies)


# -- guides ------------------------------------------------------------------------------------------------------------


def test_springs_guide_where_tight_binding_has_no_answer(monkeypatch):
    atoms, free = posed(), np.arange(10)
    monkeypatch.setattr(surface_guides, "_tight_binding", lambda *_: lambda x: (np.inf, np.zeros_like(x)))
    *hot, last = surface_guides.guides(atoms, free)
    assert [way(atoms) for way in hot] == [None] * len(surface_guides.TEMPERATURES_K)
    springs = last(atoms)
    assert springs is not None
    guide = springs(atoms.positions.ravel())
    x = atoms.positions.ravel() + np.random.default_rng(2).normal(scale=0.05, size=30)
    found, expected = guide(x), surface_guides.springs(atoms, free)(x)
    assert found[0] == expected[0] > 0
    assert np.array_equal(found[1], expected[1])


def test_bonds_and_metric_are_those_of_the_place():
    atoms, free = posed(), np.array([5, 8, 9])
    place, x = surface_guides.place(atoms, free), atoms.positions[free].ravel()
    (internal, hessian), (elsewhere, other) = place(x), place(x + np.tile([0, 0, 0.3], 3))
    assert internal.functions(x)[0] == pytest.approx(0)  # lengths and strain count from here
    assert elsewhere.functions(x + np.tile([0, 0, 0.3], 3))[0] == pytest.approx(0)
    assert hessian.shape == other.shape == (9, 9) and np.abs(hessian - other).max() > 1e-3
    assert np.linalg.eigvalsh(hessian).min() > 0 < np.linalg.eigvalsh(other).min()


@pytest.mark.parametrize("start", [1.2, 0.8])
def test_a_guide_keeps_atoms_apart(start):
    """Nearer than any bond there is no answer, unless they began there."""
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, start]], cell=[8, 8, 8])
    guide = surface_guides.by_springs(atoms, np.arange(2))(atoms.positions.ravel())
    assert np.isfinite(guide(atoms.positions.ravel())[0])
    assert guide(np.array([0, 0, 0, 0, 0, 0.7]))[0] == np.inf


def test_a_point_far_above_teaches_nothing():
    """After a collapse the next step is what it would have been without it, but shorter."""

    def guide(x):
        return 0.5 * float(x @ x), x

    def surface(x):
        seen.append(x.copy())
        return (80.0, np.full(3, -500.0)) if len(seen) == 2 else (guide(x - 3.0)[0], x - 3.0)

    seen: list[np.ndarray] = []
    start = optimiser.Point(np.zeros(3), *surface(np.zeros(3)))
    points = optimiser.descend(surface, lambda _: guide, lambda _: (None, np.eye(3)), [start], longest, 1e-3, 40)
    assert points[1].energy == 80.0 and points[2].energy < points[0].energy
    assert points[2].x / longest(points[2].x, points[2].x) == pytest.approx(
        points[1].x / longest(points[1].x, points[1].x), abs=1e-6
    )
    assert points[-1].x == pytest.approx(3.0, abs=1e-2)


def test_the_gradient_of_the_springs_guide_is_one_of_its_energy():
    atoms, free = posed(), np.array([5, 8, 9])
    guide = surface_guides.springs(atoms, free)
    random = np.random.default_rng(2)
    x, move = atoms.positions[free].ravel() + random.normal(scale=0.1, size=9), random.normal(size=9)
    numerical = (guide(x + 1e-5 * move)[0] - guide(x - 1e-5 * move)[0]) / 2e-5
    assert guide(x)[1] @ move == pytest.approx(numerical, rel=1e-5)
