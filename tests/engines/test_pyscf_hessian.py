"""Laws of vibrations: sum rules, masses, symmetry, and minima that are minima."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from crosstalk.engines import pyscf as engine
from crosstalk.engines import pyscf_hessian as hessians
from crosstalk.engines import pyscf_relax as relaxation
from crosstalk.errors import PhysicsFailure
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.structures import rotor
from crosstalk.units import FORCE_CONSTANT_CM1

from .test_pyscf import relax, settings_of

PBE = {"functional": "pbe", "basis": "sto-3g", "dispersion": "d3bj", "stability": False, "scf_tolerance_ha": 1e-10}
BETTER = PBE | {"basis": "def2-svp"}
H2 = Atoms("H2", [[0, 0, 0], [0, 0, 0.78]])


def run(folder, atoms, level=PBE, others=(), **settings):
    """Outcome of step `hessian` of the first of some structures."""
    folder.mkdir(exist_ok=True)
    full = settings_of(level, index=0, fmax_ev_per_angstrom=0.02, max_steps=40, **settings)
    spec = Spec("hessian", "pyscf", full, {"geometry": "x"}, 1)
    return hessians.hessian(spec, {"geometry": Input(None, [atoms, *others])}, folder)


def planar_ammonia():
    angles = np.radians([0, 120, 240])
    return Atoms("NH3", [[0, 0, 0], *([1.01 * np.cos(a), 1.01 * np.sin(a), 0] for a in angles)])


def springs(atoms, strength=30.0):
    """Hessian of springs between all pairs of atoms (eV/Angstrom^2): it knows no translation and no rotation."""
    n = len(atoms)
    matrix = np.zeros((n, 3, n, 3))
    for i in range(n):
        for j in range(i):
            along = atoms.positions[i] - atoms.positions[j]
            block = strength * np.outer(along, along) / (along @ along)
            matrix[i, :, i] += block
            matrix[j, :, j] += block
            matrix[i, :, j] -= block
            matrix[j, :, i] -= block
    return matrix.reshape(3 * n, 3 * n)


# -- normal modes of known Hessians --------------------------------------------------------------------------------


def test_four_times_the_mass_is_half_the_frequency():
    light, heavy = molecule("NH3"), molecule("NH3")
    heavy.set_masses(4 * light.get_masses())
    frequencies = [hessians.normal_modes(atoms, springs(light))[0] for atoms in (light, heavy)]
    assert frequencies[1] == pytest.approx(frequencies[0] / 2)
    stiffer, _ = hessians.normal_modes(light, springs(light, 120.0))
    assert stiffer == pytest.approx(2 * frequencies[0])


def test_a_diatomic_is_a_spring_with_the_reduced_mass():
    atoms = Atoms("HF", [[0, 0, 0], [0, 0, 0.92]])
    one, two = atoms.get_masses()
    (frequency,), (mode,) = hessians.normal_modes(atoms, springs(atoms, 50.0))
    assert frequency == pytest.approx(np.sqrt(50.0 * (1 / one + 1 / two)) * FORCE_CONSTANT_CM1)
    assert mode[0, 2] / mode[1, 2] == pytest.approx(-two / one)  # the centre of mass rests
    assert np.linalg.norm(mode) == pytest.approx(1)


@pytest.mark.parametrize(("name", "count"), [("CO2", 4), ("C2H2", 7), ("H2O", 3), ("CH4", 9)])
def test_linear_molecules_have_a_mode_more(name, count):
    atoms = molecule(name)
    atoms.rotate(33, (1, 2, 3))
    frequencies, displacements = hessians.normal_modes(atoms, springs(atoms))
    assert len(frequencies) == count == len(displacements)
    assert (count == 3 * len(atoms) - 5) == rotor.is_linear(atoms)


def test_modes_do_not_care_how_the_molecule_lies():
    one, two = molecule("H2O"), molecule("H2O")
    two.rotate(50, (1, 1, 3))
    two.translate([3, -2, 1])
    assert hessians.normal_modes(two, springs(two))[0] == pytest.approx(hessians.normal_modes(one, springs(one))[0])


def test_a_negative_curvature_is_an_imaginary_mode():
    frequencies, _ = hessians.normal_modes(H2, -springs(H2))
    assert frequencies[0] == pytest.approx(-hessians.normal_modes(H2, springs(H2))[0][0])


@pytest.mark.parametrize(
    ("name", "sigma"), [("H2O", 2), ("NH3", 3), ("CH4", 12), ("HCl", 1), ("N2", 2), ("CH3OH", 1), ("CO2", 2), ("Li", 1)]
)
def test_symmetry_numbers(name, sigma):
    atoms = molecule(name)
    atoms.rattle(stdev=0.002, seed=1)  # as relaxed as forces of 0.02 eV/Angstrom leave it
    assert rotor.symmetry_number(atoms) == sigma


# -- with the engine -----------------------------------------------------------------------------------------------


def test_a_hessian_has_no_translation_and_is_symmetric(tmp_path):
    energy, matrix = hessians.second_derivatives(settings_of(PBE), molecule("H2O"), tmp_path)
    assert np.allclose(matrix, matrix.T)
    # the weights' response to the nuclei is left out: on HESSIAN_GRID some hundredths of the largest, 50 eV/Angstrom^2
    rows = matrix.reshape(9, 3, 3).sum(axis=1)
    assert abs(rows).max() < 0.1  # eV/Angstrom^2: what the weights of grid 3 leave out
    assert matrix.max() > 20
    assert energy == pytest.approx(relaxation.Surface(settings_of(PBE), molecule("H2O"), tmp_path).at(molecule("H2O").positions).energy, abs=1e-6)  # fmt: skip


@pytest.mark.parametrize(
    ("atoms", "level", "settings"),
    [(H2, PBE, {}), (Atoms("LiH", [[0, 0, 0], [0, 0, 1.6]]), PBE | {"functional": "r2scan"}, {}),
     (Atoms("OH", [[0, 0, 0], [0, 0, 0.98]]), PBE, {"multiplicity": 2})],
    ids=["H2", "LiH meta-GGA", "OH doublet"],
)  # fmt: skip
def test_a_stretch_is_the_slope_of_the_forces(tmp_path, atoms, level, settings):
    _, matrix = hessians.second_derivatives(settings_of(level, **settings), atoms, tmp_path)
    (analytic,), _ = hessians.normal_modes(atoms, matrix)
    surface = relaxation.Surface(settings_of(level, **settings), atoms, tmp_path)
    step, slopes = 5e-3, []
    for sign in (1, -1):
        moved = atoms.positions.copy()
        moved[1, 2] += sign * step
        slopes.append(surface.at(moved).gradient[1, 2])
    constant = (slopes[0] - slopes[1]) / (2 * step)
    stretch = np.sqrt(constant * (1 / atoms.get_masses()).sum()) * FORCE_CONSTANT_CM1
    assert analytic == pytest.approx(stretch, abs=10.0)  # 7/cm are the weights' response on HESSIAN_GRID


def test_a_meta_gga_gets_the_differences_of_its_forces(tmp_path):
    """Forward differences along guessed modes, straightened by GFN2, against central ones of every coordinate, with all corrections."""
    level = {"functional": "r2scan", "basis": "def2-svp", "dispersion": "d3bj", "stability": False, "grid_level": 2}
    atoms = molecule("H2O")
    settings = settings_of(level, index=0, fmax_ev_per_angstrom=0.02, max_steps=40)
    _, matrix = hessians.second_derivatives(settings, atoms, tmp_path)
    assert not (tmp_path / "differences").exists(), "a finished Hessian leaves nothing to go on from"
    (tmp_path / "plain").mkdir()
    surface = relaxation.Surface(settings, atoms, tmp_path / "plain")
    step, rows = 0.005, []
    for index in range(9):
        shift = np.zeros((3, 3))
        shift.flat[index] = step
        sides = [surface.at(atoms.positions + sign * shift).gradient.ravel() for sign in (1, -1)]
        rows.append((sides[0] - sides[1]) / (2 * step))
    plain, ours = (hessians.normal_modes(atoms, m)[0] for m in ((np.array(rows) + np.array(rows).T) / 2, matrix))
    assert ours == pytest.approx(plain, abs=6.0), "1/cm: what GFN2 does not know of the anharmonicity"


def test_the_corrections_hessian_is_that_of_their_energy(tmp_path):
    atoms = Atoms("HF", [[0, 0, 0], [0, 0, 0.92]])
    matrix = hessians._of_corrections(settings_of(PBE), atoms, tmp_path)
    energies, step = [], 0.02
    for shift in (-step, 0.0, step):
        moved = atoms.copy()
        moved.positions[1, 2] += shift
        energies.append(engine.Problem.of(settings_of(PBE), moved, tmp_path).corrections()[0]["dispersion_ev"])
    curvature = (energies[0] - 2 * energies[1] + energies[2]) / step**2
    assert matrix[5, 5] == pytest.approx(curvature, abs=1e-3)
    assert np.allclose(matrix.reshape(6, 2, 3).sum(axis=1), 0, atol=1e-8)


def test_a_relaxed_molecule_is_a_minimum_with_its_shape(tmp_path):
    water = relax(tmp_path / "a", molecule("H2O"), PBE).structures[0]
    other = molecule("H2O")
    outcome = run(tmp_path / "b", water, others=[other])
    found = outcome.quantities
    assert outcome.rungs == [] and all(gate.passed for gate in outcome.gates)
    assert {gate.name for gate in outcome.gates} == {"true_minimum", "connectivity"}
    assert len(found["frequencies_cm1"]) == 3 and found["frequencies_cm1"] == sorted(found["frequencies_cm1"])
    assert found["frequencies_cm1"][0] > 1000 and found["n_imaginary"] == 0
    assert found["symmetry_number"] == 2 and found["mass_amu"] == pytest.approx(18.015)
    assert found["inertia_amu_angstrom2"] == pytest.approx(water.get_moments_of_inertia())
    assert len(outcome.structures) == 2
    assert np.array_equal(outcome.structures[0].positions, water.positions)
    assert np.array_equal(outcome.structures[1].positions, other.positions)


def test_an_atom_has_no_modes_and_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(hessians, "second_derivatives", None)
    outcome = run(tmp_path, Atoms("Li"), charge=1)
    assert outcome.quantities["frequencies_cm1"] == [] and outcome.quantities["symmetry_number"] == 1
    assert outcome.quantities["inertia_amu_angstrom2"] == [0, 0, 0]


def test_no_such_structure_is_absent(tmp_path):
    full = settings_of(PBE, index=2, fmax_ev_per_angstrom=0.02, max_steps=10)
    spec = Spec("hessian", "pyscf", full, {"geometry": "x"}, 1)
    assert hessians.hessian(spec, {"geometry": Input(None, [H2])}, tmp_path).status == "absent"


def test_planar_ammonia_goes_downhill_to_the_pyramid(tmp_path):
    outcome = run(tmp_path, planar_ammonia(), BETTER)
    final = outcome.structures[0]
    assert outcome.rungs == ["imaginary_mode_followed"]
    assert all(gate.passed for gate in outcome.gates)
    assert outcome.quantities["n_imaginary"] == 0 and min(outcome.quantities["frequencies_cm1"]) > 500
    centre = final.positions[1:].mean(axis=0)
    assert np.linalg.norm(final.positions[0] - centre) > 0.25  # 0.38 Angstrom in nature
    assert outcome.quantities["symmetry_number"] == 3


def stand_in(monkeypatch, frequency, ends=None):
    """Vibrations and descents without an engine: every structure has one mode of `frequency`, and `ends` says what
    the two ways lead to (energy, or None for a failure)."""
    along = np.zeros((1, 2, 3))
    along[0, 1, 2] = 1.0
    seen = []

    def vibrations(settings, atoms, folder, attempt):
        seen.append(attempt)
        return hessians.Vibrations(-1.0, np.array([frequency]), along)

    def minimise(surface, fmax, max_steps):
        energy = ends[int(surface.start.get_distance(0, 1) < 0.78)] if ends else -2.0
        if energy is None:
            raise PhysicsFailure("not_converged", "geometry")
        surface.points.append(relaxation.Point(surface.start.positions, energy, np.zeros((2, 3))))

    monkeypatch.setattr(hessians, "_vibrations", vibrations)
    monkeypatch.setattr(relaxation, "minimise", minimise)
    return seen


def test_what_stays_imaginary_is_marked(tmp_path, monkeypatch):
    seen = stand_in(monkeypatch, -400.0)
    outcome = run(tmp_path, H2)
    gate = next(gate for gate in outcome.gates if gate.name == "true_minimum")
    assert (gate.passed, gate.value) == (False, -400.0)
    assert outcome.quantities["n_imaginary"] == 1
    assert seen == [*range(hessians.MAX_FOLLOWED + 1)]


def test_noise_on_a_flat_surface_counts_as_a_soft_mode(tmp_path, monkeypatch):
    stand_in(monkeypatch, -12.0)
    outcome = run(tmp_path, H2)
    assert outcome.rungs == [] and outcome.quantities["frequencies_cm1"] == [12.0]
    assert outcome.quantities["n_imaginary"] == 0 and all(gate.passed for gate in outcome.gates)


@pytest.mark.parametrize(("ends", "longer"), [((-2.0, -3.0), False), ((-3.0, -2.0), True), ((None, -1.0), False)])
def test_the_lower_end_is_taken(tmp_path, monkeypatch, ends, longer):
    stand_in(monkeypatch, -400.0, ends)
    monkeypatch.setattr(hessians, "MAX_FOLLOWED", 1)
    assert (run(tmp_path, H2).structures[0].get_distance(0, 1) > 0.78) == longer


def test_no_end_is_no_number(tmp_path, monkeypatch):
    stand_in(monkeypatch, -400.0, (None, None))
    with pytest.raises(PhysicsFailure, match="imaginary mode of -400/cm") as failure:
        run(tmp_path, H2)
    assert failure.value.status == "not_converged"


def test_a_finished_hessian_survives_a_kill(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", H2)
    assert not list((tmp_path / "whole").glob("hessian-*")), "a finished calculation repeated starts cold"
    settings = settings_of(PBE, index=0, fmax_ev_per_angstrom=0.02, max_steps=40)
    hessians._vibrations(settings, H2, tmp_path, 0)  # what is there when the kill comes
    monkeypatch.setattr(hessians, "second_derivatives", None)
    moved = Atoms("H2", [[0, 0, 0], [0, 0, 0.79]])
    with pytest.raises(TypeError):
        run(tmp_path, moved)  # another geometry is no match for what is stored
    assert run(tmp_path, H2).quantities == whole.quantities
