"""An adsorbate on another model of its surface: moved there, or with more layers below."""

import numpy as np
import pytest
from ase import Atoms

from crosstalk.errors import PhysicsFailure
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.structures import slabs, transplants

from .surfaces import SHEET, entry, plan


def layers(count):
    return slabs.graphite_basal(2.467, 3.35, count)


def posed(slab, repeat=(4, 4)):
    """Bare slab, molecule and pose in one box, as a pose search leaves them; the molecule 3 Angstrom above an atom."""
    from crosstalk.structures.poses import boxed

    bare = slab.repeat((*repeat, 1))
    bare.set_tags(0)
    top = bare[int(bare.positions[:, 2].argmax())].position
    molecule = Atoms("CO", [top + np.array([0, 0, height]) for height in (3.0, 4.1)], tags=1)
    return boxed(bare, molecule, [bare + molecule], 10.0)


def transplanted(pose, bare, molecule, slab, folder, repeat=(4, 4), more=0.0):
    settings = {"index": 0, "bare_index": 0, "molecule_index": 0, "repeat": list(repeat), "more_vacuum_angstrom": more}
    given = {"geometry": pose, "bare": bare, "molecule": molecule, "slab": slab}
    spec = Spec("transplant", "none", settings, dict.fromkeys(given, "x"), 1)
    return transplants.transplant(spec, {role: Input(None, [its]) for role, its in given.items()}, folder)


@pytest.mark.parametrize(("count", "repeat"), [(1, (4, 4)), (2, (5, 5)), (3, (4, 4)), (2, (8, 4))])
def test_a_moved_adsorbate_stands_over_the_same_place(tmp_path, count, repeat):
    old, molecule, on_it = posed(layers(2))
    bare, alone, pose = transplanted(on_it, old, molecule, layers(count), tmp_path, repeat, 2.0).structures
    assert len(bare) == 2 * count * repeat[0] * repeat[1] and len(alone) == 2
    carbon = pose[pose.get_tags() == 1][0]
    slab = pose[pose.get_tags() == 0]
    apart = slab.positions - carbon.position
    scaled = np.linalg.solve(pose.cell.array.T, apart.T).T
    scaled[:, :2] -= np.round(scaled[:, :2])
    assert np.linalg.norm(scaled @ pose.cell.array, axis=1).min() == pytest.approx(3.0, abs=1e-6)
    assert 0 <= carbon.position[0] / pose.cell[0, 0] <= 1.0
    assert np.allclose(bare.cell, pose.cell) and np.allclose(alone.cell, pose.cell)
    assert pose.cell[2, 2] == pytest.approx(on_it.cell[2, 2] + (count - 2) * 3.35 + 2.0), (
        "as much higher as the slab is"
    )
    low, top = bare.positions[:, 2].min(), bare.cell[2, 2] - pose.positions[:, 2].max()
    assert low == pytest.approx(old.positions[:, 2].min() + 1.0)
    assert top == pytest.approx(old.cell[2, 2] - on_it.positions[:, 2].max() + 1.0)


def test_in_a_taller_box_nothing_moves_against_anything(tmp_path):
    old, molecule, on_it = posed(layers(2))
    random = np.random.default_rng(1)
    old.positions += 0.03 * random.normal(size=old.positions.shape)  # relaxed in its box
    on_it.positions += 0.05 * random.normal(size=on_it.positions.shape)
    bare, alone, pose = transplanted(on_it, old, molecule, layers(2), tmp_path, more=4.0).structures

    def between(atoms):
        return np.sort(atoms.get_all_distances(mic=True)[atoms.get_tags() == 1].ravel())

    drift = np.median((on_it.positions - np.vstack([old.positions, on_it.positions[64:]]))[:64], axis=0)
    assert np.abs(drift).max() < 0.02
    assert between(pose) == pytest.approx(between(on_it), abs=1e-9)
    apart = [np.sort(a.get_all_distances(mic=True).ravel()) for a in (bare, old)]
    assert apart[0] == pytest.approx(apart[1], abs=1e-9), "the bare slab is as it was relaxed"
    assert alone.get_distance(0, 1) == pytest.approx(molecule.get_distance(0, 1))


def test_in_a_wider_cell_only_the_place_of_the_molecule_is_displaced(tmp_path):
    old, molecule, on_it = posed(layers(2))
    below = int(np.argmin(np.linalg.norm(on_it.positions[:64] - on_it.positions[64], axis=1)))
    on_it.positions[below] += [0, 0, 0.2]
    bare, _, pose = transplanted(on_it, old, molecule, layers(2), tmp_path, (8, 4)).structures
    moved = np.linalg.norm(pose.positions[:128] - bare.positions, axis=1)
    assert sorted(moved)[-2:] == pytest.approx([0.0, 0.2], abs=1e-9)
    nearest = int(np.argmin(pose.get_distances(128, range(128), mic=True)))
    assert moved.argmax() == nearest


def test_a_pose_that_is_not_there_is_absent(tmp_path):
    old, molecule, on_it = posed(layers(2))
    settings = {"index": 1, "bare_index": 0, "molecule_index": 0, "repeat": [4, 4], "more_vacuum_angstrom": 0.0}
    spec = Spec("transplant", "none", settings, {}, 1)
    given = {"geometry": on_it, "bare": old, "molecule": molecule, "slab": layers(2)}
    outcome = transplants.transplant(spec, {role: Input(None, [its]) for role, its in given.items()}, tmp_path)
    assert outcome.status == "absent" and "structure 2 asked for, 1 found" in outcome.reason
    with pytest.raises(PhysicsFailure, match="not the atoms of the bare one"):
        transplanted(on_it, layers(2), molecule, layers(2), tmp_path)


def test_surfaces_that_differ_are_no_models_of_one_another():
    other = layers(2)
    other.symbols[:] = "Si"
    with pytest.raises(PhysicsFailure, match="do not share their top"):
        transplants.offset(posed(layers(2))[0], other)
    lifted = layers(1)
    lifted.positions[1] += [0, 0, -1.0]
    with pytest.raises(PhysicsFailure, match=r"differ by up to 1\.0"):
        transplants.offset(posed(layers(1))[0], lifted)


# -- relaxed on a thin model ---------------------------------------------------------------------------------------


def thickened(geometry, bare, folder, more=2.0):
    spec = Spec("thicken", "none", {"repeat": [4, 4], "more_vacuum_angstrom": more}, {}, 1)
    inputs = {"geometry": geometry, "bare": bare, "slab": layers(2)}
    (found,) = transplants.thicken(spec, {r: Input(None, [a.copy()]) for r, a in inputs.items()}, folder).structures
    return found


def test_the_layers_below_follow_those_that_relaxed(tmp_path):
    bare, alone, pose = posed(layers(1))
    pose.positions[5] += [0.05, 0, 0.1]  # a carbon that the molecule pulls at
    drift = np.array([0.4, -0.2, 0.15])
    pose.positions += drift
    whole, thick, molecule = (thickened(atoms, bare, tmp_path) for atoms in (pose, bare, alone))
    assert len(whole) == 2 * 32 + 2 and len(thick) == 2 * 32 and len(molecule) == 2
    assert np.allclose(whole.cell, thick.cell) and np.allclose(molecule.cell, thick.cell)
    assert thick.cell[2, 2] == pytest.approx(bare.cell[2, 2] + 3.35 + 2.0)
    assert whole.positions[32:, :2] == pytest.approx(pose.positions[:, :2]), "in the plane nothing moved"
    assert whole.get_tags().tolist() == [0] * 64 + [1, 1]
    below, above = whole.positions[:32].mean(axis=0), whole.positions[32:64].mean(axis=0)
    assert above[2] - below[2] == pytest.approx(3.35, abs=1e-6)
    assert (whole[:32].positions - thick[:32].positions).mean(axis=0)[:2] == pytest.approx(
        (pose.positions[:32] - bare.positions).mean(axis=0)[:2]
    )
    heights = thick.positions[:, 2]
    assert heights.min() == pytest.approx(5.0 + 1.0)  # half of each box's vacuum is below the slab
    stacked = layers(2).repeat((4, 4, 1))
    apart = [np.sort(a.get_all_distances(mic=True).ravel()) for a in (thick, slabs.in_box(stacked, thick.cell[2, 2]))]
    assert apart[0] == pytest.approx(apart[1], abs=1e-5), "stacked as in the thick slab"


def test_a_thin_model_is_the_top_of_the_thick_one(tmp_path):
    with pytest.raises(PhysicsFailure, match="as thick as"):
        transplants.layers_below(layers(2), layers(2), (1, 1))
    other = layers(3)
    other.symbols[other.positions[:, 2] < other.positions[:, 2].mean() - 1] = "Si"
    with pytest.raises(PhysicsFailure, match="is not the top of the thick one"):
        transplants.layers_below(other, layers(3), (1, 1))


def test_poses_are_shared_with_the_thin_model_and_energies_are_not(tmp_path):
    thick = {"pair": {"relax_on": "sheet"}}
    made = plan(tmp_path, surfaces={"surfaces": thick})
    thin, whole = (entry(made, "adsorption", surface=s, level="pw") for s in ("sheet", "pair"))
    for role in ("poses", "slab geometry", "molecule geometry", "pose 2 geometry"):
        assert thin.specs[role] == whole.specs[role]
    assert whole.facts["n_atoms"] == 2 * 32 + 3 and "n_atoms" not in thin.facts
    for role in ("slab", "molecule", "pose 1"):
        geometry = made.specs[whole.specs[role].inputs["geometry"]]
        assert geometry.step == "thicken" and geometry.inputs["bare"] == thin.specs["slab geometry"].key
        assert whole.specs[role].cost_s > thin.specs[role].cost_s
    assert "relax_on" not in made.specs[geometry.inputs["slab"]].settings["surface"]


def test_energies_at_the_filters_geometries_stand_on_the_surface_itself(tmp_path):
    unrelaxed = {"geometry": None, "decompose": [], "charges": None, "levels": ["pw"]}
    tiers = {"tiers": {"films": {"observables": {"adsorption": unrelaxed}}}}
    made = plan(tmp_path, levels=tiers, surfaces={"surfaces": {"pair": {"relax_on": "sheet"}}})
    assert not any(spec.step == "thicken" for spec in made.specs.values())
    assert (
        entry(made, "adsorption", surface="pair").specs["poses"].inputs["slab"]
        == made.specs[entry(made, "surfaces", surface="pair").specs["levels"].inputs["geometry"]].key
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pair": {"relax_on": "sheeet"}}, ["unknown surface 'sheeet'", "did you mean 'sheet'"]),
        ({"pair": {"relax_on": "sheet", "repeat": [5, 5]}}, ["'sheet' is repeated [4, 4] and not [5, 5]"]),
        ({"pair": {"relax_on": "sheet", "lattice_angstrom": 2.5}}, ["'sheet'", "cells differ"]),
        ({"sheet": {"relax_on": "pair"}}, ["'pair'", "is not the top"]),
        ({"pair": {"relax_on": "sheet"}, "third": {**SHEET, "layers": 3, "relax_on": "pair"}}, ["'pair' has one of its own"]),
    ],
)  # fmt: skip
def test_a_thin_model_that_does_not_fit_is_one_line(tmp_path, changes, words):
    from crosstalk.config import load
    from crosstalk.errors import ConfigError

    from .surfaces import config

    with pytest.raises(ConfigError) as caught:
        load(config(tmp_path, surfaces={"surfaces": changes}))
    (line,) = caught.value.problems
    assert all(word in line for word in ["surfaces.yaml", "'relax_on'", *words])
