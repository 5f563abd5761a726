"""A calculation on a structure that was computed already, from another search or as another rank, is not done again."""

import pytest
from ase import Atoms

from crosstalk import runner
from crosstalk.record import Outcome, Store, blocks, extxyz, read_extxyz
from crosstalk.spec import Spec
from crosstalk.steps import STEPS

SHORT, LONG = (Atoms("H2", [[0, 0, 0], [0, 0, length]]) for length in (0.74, 0.90))
LEVEL = {"level": {"functional": "pbe0"}, "charge": 0}


def search(store, structures, seed):
    """The record of a search that found these."""
    spec = Spec("conformers", "xtb", {"seed": seed}, {}, STEPS["conformers"].revision, label=f"search {seed}")
    store.save(spec, Outcome(structures=structures), {}, {})
    return spec


def relaxation(found, index, engine="pyscf", **settings):
    given = {"geometry": found.key}
    return Spec("molecule_relax", engine, LEVEL | {"index": index} | settings, given, STEPS["molecule_relax"].revision)


@pytest.fixture
def counted(monkeypatch):
    """Keys of the specs that were computed."""
    done = []

    def compute(spec, inputs, folder):
        done.append(spec.key)
        atoms = inputs["geometry"].structures[spec.settings["index"]]
        return Outcome(quantities={"energy_ev": -atoms.get_distance(0, 1)}, structures=[atoms])

    monkeypatch.setattr(runner, "function", lambda spec: compute)
    monkeypatch.setattr(runner, "versions", lambda spec: {"x": "1", "crosstalk": "1"})
    return done


def test_the_same_structure_from_elsewhere_is_taken_up(tmp_path, counted):
    store = Store(tmp_path)
    first = relaxation(search(store, [SHORT, LONG], 1), 1)
    runner.run_one(first, store)
    second = relaxation(search(store, [LONG], 2), 0)
    record, computed = runner.run_one(second, store)
    assert not computed and counted == [first.key]
    assert record.spec == second and record.quantities["energy_ev"] == pytest.approx(-0.90)
    assert store.structures(record)[0].get_distance(0, 1) == pytest.approx(0.90)
    assert second.key in record.artefacts["structure"]["path"] and store.cost(second) == store.cost(first)
    assert store.find(second).to_bytes() == record.to_bytes(), "and from then on it is there by its key"


@pytest.mark.parametrize("change", [{"charge": 1}, {"engine": "fake"}, {"index": 1}])
def test_anything_else_is_computed(tmp_path, counted, change):
    store = Store(tmp_path)
    runner.run_one(
        relaxation(search(store, [SHORT, LONG], 1), 0, **{k: v for k, v in change.items() if k == "engine"}), store
    )
    other = relaxation(search(store, [SHORT, LONG], 2), **{"index": 0} | change)
    assert runner.run_one(other, store)[1] and len(counted) == 2


def test_fresh_takes_nothing_up_and_a_published_store_is_read(tmp_path, counted):
    published = Store(tmp_path / "published")
    runner.run_one(relaxation(search(published, [SHORT], 1), 0), published)
    store = Store(tmp_path / "mine", (published.root,))
    again = relaxation(search(store, [SHORT], 2), 0)
    assert not runner.run_one(again, store)[1]
    assert store.structure_path(again).exists()
    assert runner.run_one(again, store, fresh=True)[1]


def test_what_was_absent_or_left_files_is_not_taken_up(tmp_path, counted):
    store = Store(tmp_path)
    first, second = (relaxation(search(store, [SHORT], seed), 0) for seed in (1, 2))
    store.save(first, Outcome("blocked", "x"), {}, {})
    assert runner.run_one(second, store)[1]
    cube = tmp_path / "homo.cube"
    cube.write_text("a file that stays in the work folder of its own calculation")
    third, fourth = (relaxation(search(store, [SHORT], seed), 0, charge=1) for seed in (3, 4))
    store.save(third, Outcome(files={"homo": cube}), {}, {})
    assert runner.run_one(fourth, store)[1]


def test_what_another_version_computed_is_not_taken_up(tmp_path, counted):
    store = Store(tmp_path)
    first, second, third = (relaxation(search(store, [SHORT], seed), 0) for seed in (1, 2, 3))
    store.save(first, Outcome(), {"x": "0", "crosstalk": "0.0"}, {})
    assert runner.run_one(second, store)[1], "versions differ"
    assert not runner.run_one(third, store)[1], "those of the second do not"


def test_steps_that_read_more_than_one_structure_are_left_alone():
    assert not any(
        STEPS[name].of_one
        for name in ("rerank", "hessian", "ensemble", "poses", "pose_ensemble", "thicken", "surface_modes")
    )


def test_blocks_are_the_frames():
    text = extxyz(SHORT) + extxyz(LONG)
    assert blocks(text) == [extxyz(SHORT), extxyz(LONG)] and len(read_extxyz(text)) == 2
