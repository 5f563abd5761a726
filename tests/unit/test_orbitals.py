"""Orbitals on grids and their pictures, against spheres and Gaussians that are known in closed form."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io.cube import read_cube
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.special import gammainc

from crosstalk.config import Config
from crosstalk.config import models as m
from crosstalk.engines import pyscf_orbitals as engine
from crosstalk.plan import Plan
from crosstalk.record import Outcome, Store
from crosstalk.reporting import orbitals, style
from crosstalk.reporting.isosurfaces import OPACITY, Canvas, Field
from crosstalk.spec import Spec
from crosstalk.structures import envelope
from crosstalk.units import BOHR_ANGSTROM

WIDTH = 1.2  # standard deviation of the Gaussian orbitals' density along an axis, Angstrom
FAR = -100.0
COLOURS = {1: np.array([0.0, 0.0, 1.0]), -1: np.array([1.0, 0.0, 0.0])}


def gaussian(centre=(0.0, 0.0, 0.0), width=WIDTH, along=None, spacing=0.25):
    """A normalised s orbital, or a p orbital along an axis, with its grid."""
    grid = engine.Grid.around(np.array([centre], float), 6 * width, spacing)
    apart = (grid.points() - centre) / BOHR_ANGSTROM
    sigma = width / BOHR_ANGSTROM
    values = (2 * np.pi * sigma**2) ** -0.75 * np.exp(-(apart**2).sum(axis=1) / (4 * sigma**2))
    if along is not None:
        values = values * apart[:, along] / sigma
    return grid, values.reshape(grid.shape)


def field(*arguments, **settings):
    grid, values = gaussian(*arguments, **settings)
    return Field(values, grid.origin, np.eye(3) * grid.spacing)


def canvas(half=4.0, pixel=0.05, depth=FAR):
    side = np.arange(-half, half + pixel / 2, pixel)
    return Canvas(side, side, np.full((len(side), len(side)), depth))


def turn(degrees=40.0):
    angle = np.radians(degrees)
    about_z = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    return about_z @ about_x


def sphere_of(enclosed):
    """Radius of the sphere that holds a share of the s orbital's density, Angstrom."""
    radii = np.linspace(0, 10, 100_001)
    return radii[np.searchsorted(gammainc(1.5, radii**2 / (2 * WIDTH**2)), enclosed)]


# -- isosurfaces ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enclosed", [0.5, 0.8, 0.95])
def test_an_isosurface_encloses_what_it_says(enclosed):
    expected = field().values.max() * np.exp(-(sphere_of(enclosed) ** 2) / (4 * WIDTH**2))
    assert field().isovalue(enclosed) == pytest.approx(expected, rel=0.01)


def test_an_orbital_that_its_box_lacks_has_no_isovalue():
    given = field()
    assert Field(given.values * 0.8, given.origin, given.steps).isovalue(0.8) == 0.0


@pytest.mark.parametrize("rotation", [np.eye(3), turn()])
def test_the_picture_of_a_sphere_is_a_disc_of_its_radius(rotation):
    centre = np.array([0.7, -0.4, 0.3])
    drawn = canvas()
    drawn.films(field(centre), rotation, field().isovalue(), COLOURS)
    covered = drawn.front[..., 3] > 0
    radius = sphere_of(0.8)
    assert covered.sum() * 0.05**2 == pytest.approx(np.pi * radius**2, rel=0.02)
    rows, columns = np.nonzero(covered)
    middle = [drawn.right[columns].mean(), drawn.up[rows].mean()]
    np.testing.assert_allclose(middle, (centre @ rotation)[:2], atol=0.02)


def test_two_films_cover_each_other_and_are_denser_towards_the_rim():
    drawn = canvas()
    drawn.films(field(), np.eye(3), field().isovalue(), COLOURS)
    middle, near_rim = (drawn.front[len(drawn.up) // 2, np.abs(drawn.right - x).argmin(), 3] for x in (0.0, 2.4))
    assert middle == pytest.approx(1 - (1 - OPACITY) ** 2, abs=0.01)
    assert near_rim > middle + 0.1


def test_what_is_solid_parts_front_from_back():
    radius = sphere_of(0.8)
    for depth, in_front in ((-2 * radius, 2), (0.0, 1), (2 * radius, 0)):
        drawn = canvas(depth=depth)
        drawn.films(field(), np.eye(3), field().isovalue(), COLOURS)
        at = len(drawn.up) // 2
        films = [np.log(1 - layer[at, at, 3]) / np.log(1 - OPACITY) for layer in (drawn.front, drawn.back)]
        assert [round(float(n), 1) for n in films] == [in_front, 2 - in_front]


def test_a_ball_is_as_deep_as_its_surface():
    drawn = canvas()
    drawn.ball(np.array([1.0, 0.0, 0.5]), 0.6)
    row, column = np.abs(drawn.up).argmin(), np.abs(drawn.right - 1.0).argmin()
    assert drawn.depth[row, column] == pytest.approx(1.1)
    assert (drawn.depth > FAR).sum() * 0.05**2 == pytest.approx(np.pi * 0.6**2, rel=0.03)


def test_both_signs_of_a_p_orbital_have_their_colour():
    given = field(along=0)
    drawn = canvas()
    drawn.films(given, np.eye(3), given.isovalue(), COLOURS)
    colour = drawn.front[len(drawn.up) // 2]
    right, left = (colour[np.abs(drawn.right - x).argmin()] for x in (2.0, -2.0))
    assert right[2] > 2 * right[0] and left[0] > 2 * left[2]
    assert colour[np.abs(drawn.right).argmin(), 3] == 0  # the nodal plane


# -- grids and files -----------------------------------------------------------------------------------------


def test_a_grid_is_normalised_and_symmetric_about_the_molecule():
    grid, values = gaussian((0.3, 0.2, 0.1))
    assert grid.integral(values**2) == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(grid.points().mean(axis=0), (0.3, 0.2, 0.1), atol=1e-6)
    np.testing.assert_allclose(
        grid.points().reshape(*grid.shape, 3)[1, 2, 3] - grid.origin, grid.spacing * np.array([1, 2, 3])
    )


@pytest.mark.parametrize("along", [None, 0, 1, 2])
def test_the_sign_does_not_depend_on_the_solver(along):
    _, values = gaussian(along=along)
    noise = 1e-12 * np.random.default_rng(0).standard_normal((4, *values.shape))
    found = [engine.signed(sign * values + n) for sign, n in zip((1, -1, 1, -1), noise, strict=True)]
    assert all((f == found[0]).all() for f in found)
    assert found[0].max() == pytest.approx(np.abs(values).max(), abs=1e-5)


def test_a_cube_file_says_where_and_how_much(tmp_path):
    water = molecule("H2O")
    grid = engine.Grid.around(water.positions, 3.0, 0.4)
    values = engine.signed(np.random.default_rng(1).standard_normal(grid.shape))
    path = tmp_path / "homo.cube.gz"
    path.write_bytes(engine.compressed(engine.cube(water, grid, values, "HOMO")))
    with gzip.open(path, "rt") as file:
        read = read_cube(file)
    np.testing.assert_allclose(read["atoms"].positions, water.positions, atol=1e-6)
    assert (read["atoms"].numbers == water.numbers).all()
    np.testing.assert_allclose(read["data"], values, atol=1e-5)
    given = Field.read(path)
    np.testing.assert_allclose(given.origin, grid.origin, atol=1e-8)
    np.testing.assert_allclose(given.steps, np.eye(3) * grid.spacing, atol=1e-8)
    assert max(map(len, gzip.decompress(path.read_bytes()).decode().splitlines())) <= 80


def test_equal_data_are_equal_files():
    assert engine.compressed(b"data") == engine.compressed(b"data")
    assert engine.compressed(b"data")[4:8] == bytes(4)  # no time


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_the_share_outside_a_sphere_is_the_chi_distribution(width):
    grid, values = gaussian(width=width)
    radius = envelope.radii(np.array([8]))[0]
    expected = 1 - gammainc(1.5, radius**2 / (2 * width**2))
    assert engine.outside(Atoms("O", [[0, 0, 0]]), grid, values) == pytest.approx(expected, abs=2e-3)


def test_the_envelope_is_the_nearest_sphere_and_every_element_has_one():
    pair = Atoms("OH", [[0, 0, 0], [3.0, 0, 0]])
    oxygen, hydrogen = envelope.radii(pair.numbers)
    points = np.array([[0, 0, 0], [3.0, 0, 0], [-5.0, 0, 0]])
    found = envelope.depth(points, pair.positions, pair.numbers)
    np.testing.assert_allclose(found, [oxygen, hydrogen, oxygen - 5.0])
    known = np.isfinite(envelope.radii(np.arange(1, 93)))
    assert set(np.flatnonzero(~known) + 1) == {61}  # nobody measured promethium


# -- figures -------------------------------------------------------------------------------------------------


@pytest.fixture
def coarse(monkeypatch):
    """Surfaces with fewer pixels: what is tested does not depend on them."""
    monkeypatch.setattr(orbitals, "PIXELS", 60)
    monkeypatch.setattr(orbitals, "FINER", 1)


def words(drawn: Figure) -> str:
    return "\n".join(text.get_text() for text in drawn.findobj(Text))


def campaign(store, atoms, energies, files=True):
    """A plan with one calculation of orbitals, and its records in `store`."""
    source = Spec("conformers", "xtb", {}, {}, 1, label="water")
    settings = {"charge": 0, "multiplicity": 1, "index": 0, "real_atoms": None, "level": {}}
    spec = Spec("orbitals", "pyscf", settings, {"geometry": source.key}, 1, label="water at small basis")
    store.save(source, Outcome(structures=[atoms]), {}, {})
    if energies is not None:
        outcome, folder = Outcome(quantities=dict(energies)), store.work(spec)
        folder.mkdir(parents=True)
        for k, name in enumerate(("homo", "lumo") if files else ()):
            grid, values = gaussian(width=0.6 + k)
            outcome.files[name] = folder / f"{name}.cube.gz"
            outcome.files[name].write_bytes(engine.compressed(engine.cube(atoms, grid, values, name)))
        store.save(spec, outcome, {}, {})
    parts: dict[str, Any] = {
        name: {} for name in ("species", "surfaces", "levels", "environments", "tiers", "references", "claims")
    }
    config = Config(folder=Path(), default="c", campaigns={"c": m.Campaign(tier="t", observables={})}, **parts)
    return spec, Plan("c", config, (), {source.key: source, spec.key: spec})


ENERGIES = {"homo_ev": -7.25, "lumo_ev": 1.5, "homo_outside": 0.021, "lumo_outside": 0.68}


def panels_of(store, energies=ENERGIES, **settings):
    spec, plan = campaign(store, molecule("H2O"), energies, **settings)
    return [orbitals.panel(spec, name, plan, store) for name in orbitals.NAMES]


def test_every_orbital_has_its_panel_level_and_share(tmp_path, coarse):
    text = words(orbitals.figure(panels_of(Store(tmp_path))))
    for expected in (
        "water",
        "small basis",
        "HOMO",
        "LUMO",
        "−7.25 eV",
        "+1.50 eV",
        "2 % outside",
        "68 % outside",
        "2 Å",
        "80 %",
    ):
        assert expected in text
    assert "file" not in text


def test_a_record_without_its_files_keeps_its_numbers_and_says_so(tmp_path):
    store = Store(tmp_path)
    items = panels_of(store)
    for item in items:
        assert item.cube is not None
        item.cube.write_bytes(b"another calculation's")
    spec, plan = campaign(Store(tmp_path / "bare"), molecule("H2O"), ENERGIES, files=False)
    for found in (items[0], orbitals.panel(spec, "homo", plan, Store(tmp_path / "bare"))):
        assert found.energy_ev == -7.25
    changed = [orbitals.panel(spec, name, plan, store) for name in orbitals.NAMES]
    text = words(orbitals.figure(changed))
    assert text.count("no cube file here") == 2 and "−7.25 eV" in text


def test_what_has_no_number_says_why(tmp_path):
    assert "not computed" in words(orbitals.figure(panels_of(Store(tmp_path / "a"), None)))
    only_homo = {"homo_ev": -24.0, "homo_outside": 0.0}
    text = words(orbitals.figure(panels_of(Store(tmp_path / "b"), only_homo, files=False)))
    assert "none in this basis" in text and "no cube file here" in text


def test_an_orbital_larger_than_its_box_is_not_drawn_but_named(tmp_path):
    grid, values = gaussian(width=2.0)
    path = tmp_path / "lumo.cube"
    path.write_bytes(engine.cube(molecule("H2O"), grid, values * 0.5, "LUMO"))
    item = orbitals.Panel("water", "level", "lumo", molecule("H2O"), path, 0.1, 0.9)
    assert "reaches beyond its box" in words(orbitals.figure([item]))


def test_all_panels_have_one_scale_and_hold_their_orbitals(tmp_path, coarse):
    drawn = orbitals.figure(panels_of(Store(tmp_path)))
    scales = {
        round(np.ptp(axes.get_xlim()) / (axes.get_position().width * drawn.get_figwidth()), 6) for axes in drawn.axes
    }
    assert len(drawn.axes) == 2 and len(scales) == 1
    larger = 1.6 / WIDTH * sphere_of(0.8)
    assert all(np.ptp(axes.get_xlim()) > 2 * larger for axes in drawn.axes)


def test_the_figure_is_written_twice_alike_and_small(tmp_path, coarse):
    _, plan = campaign(Store(tmp_path), molecule("H2O"), ENERGIES)
    first, second = (orbitals.draw(plan, Store(tmp_path), tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in first] == ["orbitals.svg", "orbitals.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_size < 1_500_000
    assert "<dc:date>" not in first[0].read_text()


def test_many_species_make_many_pages():
    items = [orbitals.Panel(f"chain {i}", "any", name) for i in range(2 * orbitals.ROWS + 1) for name in orbitals.NAMES]
    pages = orbitals.pages(items)
    assert [len(page) for page in pages] == [2 * orbitals.ROWS, 2 * orbitals.ROWS, 2]
    assert [item for page in pages for item in page] == items
    assert orbitals.pages([]) == [[]]


def test_a_number_that_missed_a_gate_is_starred():
    item = orbitals.Panel("water", "level", "homo", None, None, -7.0, 0.1)
    assert "gate" not in words(orbitals.figure([item]))
    text = words(orbitals.figure([replace(item, mark="*")]))
    assert "−7.00 eV*" in text and "* missed a gate" in text


def test_a_campaign_without_orbitals_says_so_and_fake_numbers_are_marked():
    assert "no orbitals in this campaign" in words(orbitals.figure([]))
    assert orbitals.TITLE in words(orbitals.figure([]))
    item = orbitals.Panel("water", "level", "homo", None, note="not computed")
    assert style.WARNING in words(orbitals.figure([item], style.WARNING))
    assert style.WARNING in words(orbitals.figure([], style.WARNING))
