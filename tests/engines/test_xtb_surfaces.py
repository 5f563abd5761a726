"""xTB on surfaces: folding is exact, the filter finds bound poses, goes on after a kill, and says when it could not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed
from ase.calculators.emt import EMT

from crosstalk import runner
from crosstalk.engines import xtb_surfaces
from crosstalk.errors import CrosstalkError, EngineError
from crosstalk.record import Outcome, Record
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.structures import slabs

LEVEL = {"engine": "xtb", "method": "GFN1-xTB", "accuracy": 1.0, "electronic_temperature_k": 300.0}
SAMPLING = {
    "n_poses": 3,
    "seed": 7,
    "energy_window_ev": 0.5,
    "height_angstrom": 2.4,
    "fmax_ev_per_angstrom": 0.3,
    "max_steps": 40,
}
GRAPHENE = slabs.graphite_basal(2.46, 3.35, 1)


def record(settings: dict[str, Any], quantities: dict[str, Any]) -> Record:
    spec = Spec("conformers", "xtb", settings, {}, 1, label="methanol")
    return Record(spec, "ok", "", quantities, (), (), {}, {})


def inputs(charge: int = 0) -> dict[str, Input]:
    species = {"species": {"smiles": "CO", "charge": charge, "multiplicity": 1}}
    adsorbate = Input(record(species, {"relative_energies_ev": [0.0]}), [molecule("CH3OH")])
    return {"slab": Input(record({}, {}), [GRAPHENE]), "adsorbate": adsorbate}


def search(folder: Path, charge: int = 0, level: dict[str, Any] = LEVEL, **changed: Any) -> Outcome:
    folder.mkdir(exist_ok=True)
    settings = {"sampling": SAMPLING | changed, "repeat": [3, 3], "vacuum_angstrom": 8.0, "level": level}
    spec = Spec("poses", level["engine"], settings, {"slab": "0", "adsorbate": "1"}, 1)
    return xtb_surfaces.poses(spec, inputs(charge), folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    folder = tmp_path_factory.mktemp("poses")
    return search(folder), folder


def test_methanol_is_bound_to_graphene(found: tuple[Outcome, Path]) -> None:
    outcome, _ = found
    energies = outcome.quantities["pose_energies_ev"]
    assert energies == sorted(energies)
    assert -0.6 < energies[0] < -0.05  # physisorbed; measured values for alcohols are 0.2 to 0.4 eV
    assert outcome.quantities["n_found"] == len(energies) == len(outcome.structures) - 2
    assert outcome.quantities["n_starts"] == 3
    assert outcome.gates[0].passed


def test_both_references_stand_in_the_box_of_the_poses(found: tuple[Outcome, Path]) -> None:
    bare, alone, *poses = found[0].structures
    assert len({a.cell.array.tobytes() for a in found[0].structures}) == 1
    assert not bare.get_tags().any() and (alone.get_tags() == 1).all()
    for pose in poses:
        assert len(pose) == len(bare) + len(alone)
        assert np.array_equal(pose.positions[: len(bare)], bare.positions)  # the slab was frozen


def test_a_finished_start_is_not_done_again(
    found: tuple[Outcome, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, folder = found
    for name in ("references.json", "pose_000.json", "pose_002.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    done = []
    original = xtb_surfaces._relaxed
    monkeypatch.setattr(xtb_surfaces, "_relaxed", lambda *a: done.append(1) or original(*a))
    resumed = search(tmp_path)
    assert len(done) == 1
    assert resumed.quantities["pose_energies_ev"] == pytest.approx(outcome.quantities["pose_energies_ev"], abs=1e-6)


def test_more_starts_keep_the_earlier_ones(found: tuple[Outcome, Path], tmp_path: Path) -> None:
    _, folder = found
    search(tmp_path, n_poses=1)
    first, again = (json.loads((f / "pose_000.json").read_text()) for f in (folder, tmp_path))
    assert again["energy"] == pytest.approx(first["energy"], abs=1e-6)


def test_the_record_says_what_was_known_after_each_start(found: tuple[Outcome, Path]) -> None:
    quantities = found[0].quantities
    discovery, lowest = quantities["discovery"], quantities["lowest_after_ev"]
    assert len(discovery) == len(lowest) == quantities["n_starts"]
    assert discovery == sorted(discovery) and discovery[-1] == quantities["n_found"]
    assert lowest == sorted(lowest, reverse=True) and lowest[-1] == quantities["pose_energies_ev"][0]
    assert [gate.name for gate in found[0].gates] == ["filter_converged"], "nobody asked for patience"


# -- until nothing new comes ------------------------------------------------------------------------------------------

#: A letter for each minimum: eV above -0.3 and how high the molecule stands; "-" flew away, "u" ran out of steps, "x" had no SCF.
MINIMA = {"a": 0.0, "b": 0.05, "c": 0.10, "d": 0.15, "e": 0.20, "f": 0.60}


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Any:
    """made_up("abba"): starts 0, 1, 2, 3 end in these minima. Returns the heights (Angstrom) of the cells that they are relaxed in."""
    heights: list[float] = []

    def tell(ends: str) -> list[float]:
        todo = iter(ends)

        def relaxed(start: Any, level: Any, height: float, fmax: float, max_steps: int) -> xtb_surfaces.End:
            heights.append(height)
            letter = next(todo)
            if letter not in MINIMA:
                status = {"-": "desorbed", "u": "unconverged", "x": "failed"}[letter]
                return xtb_surfaces.End(status, "made up", None if letter == "x" else -10.0, start)
            final = start.copy()
            mine = final.get_tags() == 1
            final.positions[mine] = molecule("CH3OH").positions
            final.positions[mine] += (3.0, 3.0, 4.0 + 6 * MINIMA[letter])
            return xtb_surfaces.End("bound", "", -10.3 + MINIMA[letter], final)

        monkeypatch.setattr(xtb_surfaces, "_relaxed", relaxed)
        monkeypatch.setattr(xtb_surfaces, "_references", lambda *_: (-10.0, molecule("CH3OH")))
        return heights

    return tell


def saturation(outcome: Outcome) -> tuple[bool, int] | None:
    return next(((g.passed, g.value) for g in outcome.gates if g.name == "search_saturated"), None)


@pytest.mark.parametrize(
    ("ends", "discovery", "patience"),
    [
        ("abab", [1, 2, 2, 2], 2),
        ("bacb", [1, 2, 3, 3], 2),  # c is a minimum, and no candidate
        ("abcbb", [1, 2, 3, 3, 3], 3),
        ("b-xaxb-", [1, 1, 1, 2, 2, 2, 2], 3),  # what comes to no pose changes nothing, and counts
        ("dcba-dd", [1, 2, 3, 4, 4, 4, 4], 3),
        ("f-aff", [0, 0, 1, 1, 1], 2),  # f lies above the window of a
    ],
)
def test_the_search_ends_when_patience_starts_changed_no_candidate(
    tmp_path: Path, made_up: Any, ends: str, discovery: list[int], patience: int
) -> None:
    made_up(ends)
    outcome = search(tmp_path, n_poses=4, patience=patience, keep=2)
    assert outcome.quantities["discovery"] == discovery
    assert saturation(outcome) == (True, patience)
    assert len(list(tmp_path.glob("pose_*.json"))) == outcome.quantities["n_starts"] == len(discovery)


def test_candidates_that_change_to_the_end_leave_the_search_unfinished(tmp_path: Path, made_up: Any) -> None:
    heights = made_up("edcba")
    outcome = search(tmp_path, n_poses=1, patience=2, keep=3)
    assert outcome.quantities["discovery"] == [1, 2, 3, 4, 5], "five times what was asked for"
    assert outcome.quantities["lowest_after_ev"] == pytest.approx([-0.10, -0.15, -0.20, -0.25, -0.30])
    assert saturation(outcome) == (False, 0)
    assert len(set(heights)) == 1
    made_up("aaaaaaaa")
    search(tmp_path / "many", n_poses=8)
    assert len(heights) == 13 and len(set(heights)) == 1, "one cell, however many starts"


def test_a_killed_search_goes_on_to_the_same_end(tmp_path: Path, made_up: Any) -> None:
    made_up("bcabac")
    whole = search(tmp_path / "whole", n_poses=2, patience=3, keep=2)
    made_up("bca")
    with pytest.raises(StopIteration):
        search(tmp_path / "killed", n_poses=2, patience=3, keep=2)
    made_up("bac")
    resumed = search(tmp_path / "killed", n_poses=2, patience=3, keep=2)
    assert (resumed.quantities, resumed.gates) == (whole.quantities, whole.gates)
    assert whole.quantities["n_starts"] == 6


def test_a_search_without_a_converged_pose_is_not_saturated(tmp_path: Path, made_up: Any) -> None:
    made_up("u-u")
    outcome = search(tmp_path, n_poses=2, patience=3, keep=2)
    assert [gate.name for gate in outcome.gates if not gate.passed] == ["filter_converged", "search_saturated"]
    made_up("xxx")
    unranked = search(tmp_path / "failed", n_poses=2, patience=3, keep=2)
    assert [gate.name for gate in unranked.gates] == ["filter_converged"] and len(unranked.structures) == 2 + 3


def test_without_any_scf_the_starts_go_on_unranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> Any:
        raise CalculationFailed("no SCF today")

    monkeypatch.setattr(xtb_surfaces, "_calculator", refuses)
    outcome = search(tmp_path)
    assert [gate.name for gate in outcome.gates if not gate.passed] == ["filter_converged"]
    assert "no SCF today" in outcome.reason
    assert len(outcome.structures) == 2 + 3
    assert "pose_energies_ev" not in outcome.quantities


def test_any_calculator_that_can_be_imported_is_a_filter(found: tuple[Outcome, Path], tmp_path: Path) -> None:
    parameters = {"method": "GFN1-xTB", "verbosity": 0}
    level = {"engine": "ase", "calculator": "tblite.ase:TBLite", "parameters": parameters}
    same = search(tmp_path / "same", level=level)
    expected = found[0].quantities["pose_energies_ev"]
    assert same.quantities["pose_energies_ev"] == pytest.approx(expected, abs=2e-3)
    spec = Spec("poses", "ase", {"level": level}, {}, 1)
    assert {"tblite", "ase"} <= set(runner.versions(spec))


@pytest.mark.parametrize(
    ("calculator", "parameters", "word"),
    [("tblite.ase:TBLight", {}, "TBLight"), ("nowhere:Best", {}, "nowhere"), ("tblite.ase:TBLite.name", {}, "TBLite")],
)
def test_a_calculator_that_cannot_be_made_is_named(calculator: str, parameters: dict[str, Any], word: str) -> None:
    level = {"engine": "ase", "calculator": calculator, "parameters": parameters}
    with pytest.raises(EngineError, match=word):
        xtb_surfaces._calculator(level)


def test_an_ion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CrosstalkError, match="periodic cell"):
        search(tmp_path, charge=-1)


def test_folding_a_repeat_is_exact() -> None:
    """With a short-ranged potential the folded repeat is the crystal itself: energy per cell and forces agree."""
    from ase.build import fcc111

    slab = fcc111("Cu", (1, 1, 3), vacuum=8.0, periodic=True)
    slab.positions[1] += (0.1, -0.05, 0.08)
    folded, direct = slab.copy(), slab.copy()
    folded.calc, direct.calc = xtb_surfaces.Folded(EMT(), (2, 3)), EMT()
    assert folded.get_potential_energy() == pytest.approx(direct.get_potential_energy(), abs=1e-8)
    assert folded.get_forces() == pytest.approx(direct.get_forces(), abs=1e-8)


def test_a_slab_relaxes_and_keeps_its_bonds(tmp_path: Path) -> None:
    from ase.build import bulk

    crystal = bulk("Si", cubic=True)
    given = {"symbols": list(crystal.symbols), "cell": crystal.cell.tolist(), "positions": crystal.positions.tolist()}
    surface = {"builder": "cleaved_crystal", "crystal": given, "miller": [1, 1, 1], "layers": 1, "caps": {"Si": "H"}}
    relax = {"fmax_ev_per_angstrom": 0.1, "max_steps": 40, "freeze_below": 0.0}
    spec = Spec("slab", "xtb", {"surface": surface, "level": LEVEL, "relax": relax}, {}, 1)
    outcome = xtb_surfaces.slab(spec, {}, tmp_path)
    assert outcome.quantities["max_force_ev_per_angstrom"] <= 0.1
    assert outcome.quantities["n_atoms"] == 4
    relaxed = outcome.structures[0]
    assert relaxed.get_distance(0, 1, mic=True) == pytest.approx(2.35, abs=0.1)  # silicon's bond


def test_a_relaxation_at_another_level_needs_few_gradients_where_tight_binding_guides(tmp_path: Path) -> None:
    """GFN2 stands for DFT: a molecule whose bonds are too long and whose methyl group is turned.

    Six starts: how many gradients a nearly free methyl group takes from one start is chance (2 to 12).
    """
    from crosstalk.engines import gpaw_relax, xtb

    def start(seed: int) -> Any:
        atoms = molecule("CH3OH", vacuum=4.0)
        atoms.positions = 1.03 * atoms.positions + np.random.default_rng(seed).normal(scale=0.05, size=(6, 3))
        atoms.set_tags(1)
        return atoms

    def gfn2(atoms: Any) -> Any:
        return xtb.calculator(LEVEL | {"method": "GFN2-xTB"}, 0, 1)

    def relaxed(seed: int, guided: bool) -> tuple[float, int]:
        final, steps = gpaw_relax.relax(start(seed), gfn2, 0.02, 60, 0.0, tmp_path / f"{seed}-{guided}.traj", guided)
        assert np.linalg.norm(final.get_forces(), axis=1).max() <= 0.02
        return final.get_potential_energy(), steps

    pairs = [(relaxed(seed, True), relaxed(seed, False)) for seed in range(6)]
    for (energy, _), (same, _) in pairs:
        assert energy == pytest.approx(same, abs=3e-3)
    few, more = (sum(steps for _, steps in column) for column in zip(*pairs, strict=True))
    assert few <= 6 * len(pairs) and few < 0.75 * more, [(a, b) for (_, a), (_, b) in pairs]
