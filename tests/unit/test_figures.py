"""Figures: complete (a missing number is written out), deterministic, and legible without colour."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from crosstalk.config import Config
from crosstalk.config import models as m
from crosstalk.plan import Plan
from crosstalk.record import Store
from crosstalk.reporting import balls, figures, plots, profiles, structures, style
from crosstalk.units import ev_to_kcal_mol

FRONTIER = [
    {"species": s, "level": level, "homo_ev": -8.0 - k, "lumo_ev": lumo, "lumo_flag": flag, "status": "ok"}
    for level in ("small", "large")
    for k, (s, lumo, flag) in enumerate(
        [("A", -0.5, ""), ("B", 1.1, "unbound"), ("C", -0.2, "diffuse"), ("D", 0.3, "unbound diffuse")]
    )
]
BINDING = [
    {
        "species": s,
        "level": "l",
        "environment": e,
        "e_bind_ev": v,
        "counterpoise_ev": 0.1 if e == "gas" else None,
        "status": "ok",
    }
    for s in "AB"
    for e, v in (("gas", 8.0), ("wet", 2.0))
]
ADSORPTION = [
    {
        "adsorbate": "A",
        "surface": f"surface-{k}",
        "level": "l",
        "e_ads_ev": -0.4 - k / 10,
        "e_disp_ev": -0.5,
        "status": "ok",
    }
    for k in range(3)
]
TABLES = [
    (figures.frontier, FRONTIER, "homo_ev"),
    (figures.binding, BINDING, "e_bind_ev"),
    (figures.adsorption, ADSORPTION, "e_ads_ev"),
]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def bars(figure: Figure) -> list[float]:
    containers = [c for axes in figure.findobj(lambda a: hasattr(a, "containers")) for c in axes.containers]
    return [float(v) for c in containers if isinstance(c, BarContainer) for v in c.datavalues]


@pytest.mark.parametrize(("draw", "rows", "quantity"), TABLES)
def test_a_missing_number_is_written_at_its_place(draw, rows, quantity):
    gap = rows[1] | {quantity: None, "lumo_ev": None, "e_disp_ev": None, "status": "not_converged"}
    assert "not converged" not in words(draw(rows)).replace("\n", " ")
    assert "not converged" in words(draw([rows[0], gap, *rows[2:]])).replace("\n", " ")
    none = [row | {quantity: None, "lumo_ev": None, "e_disp_ev": None, "status": "missing"} for row in rows]
    assert words(draw(none)).replace("\n", " ").count("not computed") >= len(rows)


@pytest.mark.parametrize(("draw", "rows", "quantity"), TABLES)
def test_an_empty_table_says_so(draw, rows, quantity):
    assert "no rows" in words(draw([]))


@pytest.mark.parametrize(("draw", "rows", "quantity"), TABLES)
def test_fake_numbers_and_missed_gates_are_marked(draw, rows, quantity):
    assert style.WARNING in words(draw(rows, style.WARNING))
    assert "missed a gate" not in words(draw(rows))
    assert "missed a gate" in words(draw([rows[0] | {"status": "gated"}, *rows[1:]]))


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        style.save(figures.adsorption(ADSORPTION), tmp_path / name)
    for kind in ("svg", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert "<dc:date>" not in (tmp_path / "a.svg").read_text()


def test_bars_are_the_numbers():
    assert sorted(bars(figures.binding(BINDING))) == pytest.approx(
        sorted(ev_to_kcal_mol(row["e_bind_ev"]) for row in BINDING)
    )
    expected = [row[c] for row in ADSORPTION for c in ("e_ads_ev", "e_disp_ev")]
    assert sorted(bars(figures.adsorption(ADSORPTION))) == pytest.approx(sorted(expected))


def test_levels_lie_where_the_numbers_say_and_within_the_axes():
    drawn = figures.frontier(FRONTIER)
    for column in ("homo_ev", "lumo_ev"):
        for row in FRONTIER:
            at = [
                axes
                for axes in drawn.findobj(lambda a: hasattr(a, "get_lines"))
                for line in axes.get_lines()
                if len(set(line.get_ydata())) == 1 and line.get_ydata()[0] == row[column]
            ]
            assert at, row
            assert all(axes.get_ylim()[0] < row[column] < axes.get_ylim()[1] for axes in at)


def test_every_difference_of_colour_is_one_of_style_too():
    flags = ("", "unbound", "diffuse", "unbound diffuse")
    styles = [figures._line_styles("lumo_ev", flag) for flag in flags]
    shapes = [tuple((str(s.get("ls")), s["lw"]) for s in style) for style in styles]
    assert len(set(shapes)) == len(flags)
    hatches = [hatch for _, hatch in style.SERIES]
    assert len(set(hatches)) == len(hatches)


# -- structures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["side", "top", "molecule"])
def test_views_are_proper_rotations(view):
    rotation = balls.project(molecule("CH3CH2OH"), view)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_a_molecule_looks_the_same_wherever_it_lies():
    given = molecule("CH3CH2OH")
    moved = given.copy()
    moved.rotate(70, (1, 2, 3))
    moved.translate((3, -1, 2))
    pictures = [a.positions @ balls.project(a, "molecule") for a in (given, moved)]
    pictures = [p - p.mean(axis=0) for p in pictures]
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-2)


def test_bonds_are_covalent_or_ionic_and_drawn_from_both_ends():
    salt = Atoms("COHLi", [[0, 0, 0], [1.4, 0, 0], [-0.5, 1.0, 0], [3.0, 0, 0]])
    found = list(balls.half_bonds(salt))
    assert sorted((i, ionic) for i, _, ionic in found) == [
        (0, False),
        (0, False),
        (1, False),
        (1, True),
        (2, False),
        (3, True),
    ]
    np.testing.assert_allclose(sum(vector for _, vector, _ in found), 0.0, atol=1e-12)


def test_cations_touch_donors_only():
    near_carbon = Atoms("CLi", [[0, 0, 0], [2.1, 0, 0]])
    near_oxygen = Atoms("OLi", [[0, 0, 0], [2.1, 0, 0]])
    assert not list(balls.half_bonds(near_carbon))
    assert all(ionic for _, _, ionic in balls.half_bonds(near_oxygen))


def test_what_hangs_over_the_edge_of_a_cell_is_drawn_in_one_piece():
    slab = Atoms("OH", [[0.3, 1, 5], [7.9, 1, 5.9]], cell=[8, 8, 20], pbc=(True, True, False))
    water = Atoms("OHH", [[7.8, 4, 9], [0.5, 4, 9.6], [7.0, 4, 9.6]], tags=1)
    whole = balls.gathered(slab + water)
    assert whole.get_distance(0, 1) == pytest.approx((slab + water).get_distance(0, 1, mic=True))
    assert [whole.get_distance(2, k) for k in (3, 4)] == pytest.approx(
        [(slab + water).get_distance(2, k, mic=True) for k in (3, 4)]
    )
    assert whole.positions[[0, 2]] == pytest.approx((slab + water).positions[[0, 2]])
    assert balls.gathered(water) is water


def test_levels_that_show_one_structure_share_a_picture(tmp_path):
    from crosstalk.record import Store

    from .surfaces import BOX, entry, outcome
    from .surfaces import plan as planned

    plan, store = planned(tmp_path), Store(tmp_path / "store")

    def titles():
        return [p.title for p in structures.pictures(plan, store) if " on " in p.title]

    assert titles() == ["water on sheet", "water on pair"]
    other = BOX.copy()
    other.positions[1, 0] += 1.0
    for pose, atoms in (("pose 1", BOX), ("pose 2", other)):
        geometry = outcome(energy_ev=0.0)
        geometry.structures = [atoms]
        store.save(entry(plan, "adsorption", surface="sheet").specs[f"{pose} geometry"], geometry, {"x": "1"}, {})
    for level, lowest in (("pw", "pose 1"), ("beef", "pose 1"), ("local", "pose 2")):
        specs = entry(plan, "adsorption", surface="sheet", level=level).specs
        for role in ("slab", "molecule", "pose 1", "pose 2", "pose 3"):
            store.save(specs[role], outcome(energy_ev=-1.0 if role == lowest else 0.0), {"x": "1"}, {})
    assert titles() == [*(f"water on sheet\n{level}" for level in ("pw", "beef", "local")), "water on pair"]
    specs = entry(plan, "adsorption", surface="sheet", level="local").specs
    for role in ("pose 1", "pose 2"):
        store.save(specs[role], outcome(energy_ev=-1.0 if role == "pose 1" else 0.0), {"x": "1"}, {})
    assert titles() == ["water on sheet", "water on pair"]


def test_paths_of_a_vector_figure_are_told_to_a_hundredth_of_a_point():
    from crosstalk.reporting.style import shorter

    svg = b'<use x="1.234567" transform="scale(0.015625)"/><path d="M 1.234567 -0.500001 \nL 3 4.5 \nz"/>'
    assert shorter(svg) == b'<use x="1.234567" transform="scale(0.015625)"/><path d="M 1.23 -0.50 \nL 3 4.5 \nz"/>'


def test_a_ball_is_round():
    curves = [curve for curve, code in balls._circle().iter_bezier() if code == 4]
    points = np.vstack([curve(np.linspace(0, 1, 21)) for curve in curves])
    assert len(curves) == 4 and np.linalg.norm(points, axis=1) == pytest.approx(1.0, abs=5e-4)
    assert np.ptp(points, axis=0) == pytest.approx(2.0, abs=1e-3)


def test_bonds_over_the_edge_of_a_cell_are_stubs():
    chain = Atoms("C2", [[0, 0, 5], [1.4, 0, 5]], cell=[2.8, 9, 10], pbc=(True, True, False))
    assert len(list(balls.half_bonds(chain))) == 4


def test_contact_sheet_shows_every_picture_and_says_what_is_missing():
    shown = [
        structures.Picture("water", "molecule", molecule("H2O")),
        structures.Picture("lost", "molecule", None, "not converged"),
        structures.Picture("chain", "slab", Atoms("C", [[0, 0, 5]], cell=[1.4, 9, 10], pbc=(True, True, False))),
    ]
    text = words(structures.contact_sheet(shown))
    for expected in ("water", "lost", "not converged", "chain (side, top)", "5 Å"):
        assert expected in text
    assert "no rows" in words(structures.contact_sheet([]))


def test_a_campaign_without_entries_still_has_all_its_figures(tmp_path):
    parts: dict[str, Any] = {
        name: {} for name in ("species", "surfaces", "levels", "environments", "tiers", "references", "claims")
    }
    config = Config(folder=Path(), default="c", campaigns={"c": m.Campaign(tier="t", observables={})}, **parts)
    paths = figures.draw(Plan("c", config, (), {}), Store(tmp_path), tmp_path)
    names = (
        "frontier",
        "redox",
        "binding",
        "adsorption",
        "convergence",
        "density",
        "potential",
        "validation",
        "structures",
        "orbitals",
    )
    assert {str(p.relative_to(tmp_path)) for p in paths} == {f"figures/{n}.{k}" for n in names for k in ("svg", "png")}


def test_a_scan_goes_from_coarse_to_fine_whatever_was_computed_first():
    scanned = [("cutoff_ev", "500", 0.0), ("cutoff_ev", "650", 0.001), ("cutoff_ev", "400", -0.014), ("grid_spacing_angstrom", "0.15", 0.002), ("grid_spacing_angstrom", "0.2", 0.004)]  # fmt: skip
    rows = [
        {"adsorbate": "A", "surface": "S", "level": "l", "setting": name, "value": value, "e_ads_change_ev": change}
        for name, value, change in scanned
    ]
    cutoff, grid, *_ = plots.convergence(rows).axes
    assert [label.get_text() for label in cutoff.get_xticklabels()] == ["400", "500", "650"]
    assert cutoff.lines[0].get_xydata().tolist() == [[0, -14], [1, 0], [2, 1]]
    assert [label.get_text() for label in grid.get_xticklabels()] == ["0.2", "0.15"]


HEIGHTS = np.linspace(0, 20, 101)
MOVED = np.exp(-((HEIGHTS - 11) ** 2)) - np.exp(-((HEIGHTS - 9) ** 2))
ALONG = {
    "adsorbate": "A",
    "surface": "S",
    "level": "l",
    "work_function_ev": 4.5,
    "work_function_flag": "",
    "vbm_ev": -7.0,
    "cbm_ev": -2.0,
    "profiles": {
        "profile_heights_angstrom": HEIGHTS.tolist(),
        "profile_electrons_per_angstrom": MOVED.tolist(),
        "profile_potential_ev": (-10 * np.exp(-((HEIGHTS - 7) ** 2))).tolist(),
        "slab_extent_angstrom": [6.0, 8.0],
        "adsorbate_extent_angstrom": [10.0, 12.0],
    },
}


def test_profiles_lie_above_the_slab_and_say_where_electrons_went():
    figure = profiles.density([ALONG, ALONG | {"surface": "T"}, {"adsorbate": "B", "surface": "S", "level": "l"}])
    panels = [axes for axes in figure.axes if axes.get_visible()]
    left, right = panels[0], next(a for a in panels if a.get_title() == "" and a.lines)
    assert "A on S" in words(figure) and "A on T" in words(figure) and "B on S" not in words(figure)
    crossed = right.lines[0].get_ydata()
    assert crossed[np.abs(HEIGHTS - 10).argmin()] < -1, "lost below, gained above: moved up"
    assert crossed[-1] == pytest.approx(0, abs=1e-6)
    assert left.get_ylim()[0] == -left.get_ylim()[1] and right.get_ylim()[0] == -right.get_ylim()[1]


def test_the_potential_has_the_fermi_level_of_conductors_and_edges_of_others():
    def levels(row):
        return sorted(float(line.get_ydata()[0]) for line in profiles.potential([row]).axes[0].lines[1:])

    assert levels(ALONG) == [-4.5]
    assert levels(ALONG | {"work_function_flag": "mid-gap"}) == [-7.0, -2.0]
    assert "no rows" in words(profiles.potential([{"surface": "S"}]))


def test_of_many_adsorption_energies_those_that_wait_are_only_named():
    waiting = [{**ADSORPTION[0], "adsorbate": "B", "surface": f"s{k}", "e_ads_ev": None, "e_disp_ev": None, "status": "missing"} for k in range(12)]  # fmt: skip
    figure = figures.adsorption([*ADSORPTION, *waiting])
    assert [axes.get_title() for axes in figure.axes] == ["A, l"]
    assert "not computed yet: B on s0, B on s1" in words(figure).replace("\n", " ")
    assert len(figures.adsorption([*ADSORPTION, *waiting[:2]]).axes) == 2, "a few have their places"
    assert len(figures.adsorption(waiting).axes) == 1, "and where nothing is there yet all have"
