"""Orbitals on grids from real fields: closed forms, agreement with the energies, symmetry, equal bytes."""

import gzip

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io.cube import read_cube
from scipy.spatial.transform import Rotation

from crosstalk.engines import pyscf as molecules
from crosstalk.engines import pyscf_orbitals as engine
from crosstalk.engines import scf
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.structures import envelope
from crosstalk.units import BOHR_ANGSTROM

LEVEL = {
    "engine": "pyscf",
    "functional": "b3lyp",
    "basis": "6-31g(d)",
    "dispersion": None,
    "basis_correction": None,
    "density_fit": "def2-universal-jkfit",
    "grid_level": 1,
    "scf_tolerance_ha": 1e-9,
    "max_cycles": 100,
    "stability": False,
}


def run(folder, atoms, step=engine.orbitals, level=None, **settings):
    folder.mkdir(exist_ok=True)
    defaults = {"charge": 0, "multiplicity": 1, "environment": None, "index": 0, "real_atoms": None, "ghost_atoms": []}
    full = {**defaults, "level": LEVEL | (level or {}), **settings}
    spec = Spec(step.__name__, "pyscf", full, {"geometry": "x"}, 1)
    return step(spec, {"geometry": Input(None, [atoms])}, folder)


def opened(outcome, name):
    with gzip.open(outcome.files[name], "rt") as file:
        return read_cube(file)


def solved(folder, atoms, level=None, **settings):
    folder.mkdir(exist_ok=True)
    full = {"charge": 0, "multiplicity": 1, "environment": None, "level": LEVEL | (level or {}), **settings}
    problem = molecules.Problem.of(full, atoms, folder)
    return scf.solve(problem.mean_field(), problem.level, folder).field


def test_levels_and_extent_are_those_of_the_energy(tmp_path):
    water = molecule("H2O")
    for name, settings in (("neutral", {}), ("cation", {"charge": 1, "multiplicity": 2})):
        found = run(tmp_path / name, water, **settings)
        energy = run(tmp_path / f"{name}-energy", water, molecules.molecule_energy, **settings)
        for quantity in ("homo_ev", "lumo_ev", "lumo_extent_angstrom"):
            assert found.quantities[quantity] == pytest.approx(energy.quantities[quantity], abs=1e-5)
        assert all(gate.passed for gate in found.gates)


def test_the_hydrogen_atom_has_what_its_wavefunction_has_outside(tmp_path):
    exact = {"functional": "hf", "basis": "aug-cc-pvqz", "density_fit": None}
    found = run(tmp_path, Atoms("H", [[0.3, 0.1, -0.2]]), level=exact, multiplicity=2)
    radius = envelope.radii(np.array([1]))[0] / BOHR_ANGSTROM
    expected = np.exp(-2 * radius) * (1 + 2 * radius + 2 * radius**2)  # of the 1s orbital
    # steps of the grid are as long as this density's decay: the worst case
    assert found.quantities["homo_outside"] == pytest.approx(expected, rel=0.05)
    amplitude = opened(found, "homo")["data"].max()
    assert 0.8 * np.pi**-0.5 < amplitude < np.pi**-0.5


def test_a_cube_is_the_orbital_in_the_frame_of_the_structure(tmp_path):
    water = molecule("H2O")  # in the plane x = 0, so that its HOMO, 2p of oxygen, points along x
    water.translate([3.0, -2.0, 1.0])
    found = opened(run(tmp_path, water), "homo")
    np.testing.assert_allclose(found["atoms"].positions, water.positions, atol=1e-5)
    values = found["data"]
    at = found["origin"] + np.argwhere(values == values.max())[0] @ found["spacing"]
    np.testing.assert_allclose(at[1:], water.positions[0, 1:], atol=0.2)
    assert 0.1 < abs(at[0] - 3.0) < 0.6
    np.testing.assert_allclose(values, -values[::-1], atol=2e-5)
    volume = np.linalg.det(found["spacing"] / BOHR_ANGSTROM)
    assert (values**2).sum() * volume == pytest.approx(1.0, abs=0.03)


def test_diffuse_functions_let_the_lumo_out_and_leave_the_homo_in(tmp_path):
    small, large = (
        run(tmp_path / str(k), molecule("H2CO"), level={"basis": basis})
        for k, basis in enumerate(("6-31g(d)", "6-311++g(d,p)"))
    )
    water = run(tmp_path / "w", molecule("H2O"), level={"basis": "6-31++g(d,p)"})
    assert small.quantities["lumo_outside"] < 0.1  # pi* of the carbonyl group, and still so in the larger set
    assert large.quantities["lumo_outside"] < 0.3
    assert water.quantities["lumo_outside"] > 0.6  # dipole-bound
    assert water.quantities["homo_outside"] < 0.05
    assert opened(water, "lumo")["data"].size > 2 * opened(water, "homo")["data"].size


def test_equal_calculations_write_equal_bytes(tmp_path):
    first, second = (run(tmp_path / name, molecule("H2O")) for name in "ab")
    for name in ("homo", "lumo"):
        assert first.files[name].read_bytes() == second.files[name].read_bytes()
    assert first.files["lumo"].parent == tmp_path / "a"
    assert not list((tmp_path / "a").glob("scf.*"))


def test_degenerate_orbitals_do_not_depend_on_how_they_came_out(tmp_path):
    nitrogen = molecule("N2")
    nitrogen.rotate(25, (1, 2, 3))
    field = solved(tmp_path, nitrogen)
    lumo = np.flatnonzero(field.mo_occ == 0)[:2]
    assert np.ptp(field.mo_energy[lumo]) < 1e-5
    _, chosen = engine.frontier(field)["lumo"]
    pair = field.mo_coeff[:, lumo]
    for degrees in (20, 75):
        turned = pair @ Rotation.from_euler("z", degrees, degrees=True).as_matrix()[:2, :2]
        field.mo_coeff[:, lumo] = turned
        _, found = engine.frontier(field)["lumo"]
        np.testing.assert_allclose(found * np.sign(found @ field.get_ovlp() @ chosen), chosen, atol=1e-6)


def test_ghosts_lend_functions_and_are_not_in_the_file(tmp_path):
    pair = molecule("H2O") + Atoms("Li", [[0, 0, 2.0]])
    found = run(tmp_path, pair, real_atoms=[0, 1, 2], ghost_atoms=[3])
    assert opened(found, "homo")["atoms"].get_chemical_formula() == "H2O"


def test_what_is_not_there(tmp_path):
    proton = run(tmp_path / "p", Atoms("H", [[0, 0, 0]]), charge=1)
    assert proton.status == "absent" and not proton.files
    helium = run(tmp_path / "he", Atoms("He", [[0, 0, 0]]), level={"basis": "sto-3g"})
    assert set(helium.files) == {"homo"} and "lumo_ev" not in helium.quantities
    assert run(tmp_path / "i", molecule("H2O"), index=1).status == "absent"
