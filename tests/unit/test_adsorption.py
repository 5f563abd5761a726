"""Rows of the adsorption and surfaces tables: sums of parts, minima, classes, what is asked for and what is not."""

import numpy as np
import pytest

from crosstalk import beef
from crosstalk.config import load
from crosstalk.errors import ConfigError
from crosstalk.observables.base import ENSEMBLE, observables
from crosstalk.record import Store
from crosstalk.thermochemistry import adsorption_correction

from .surfaces import config, entry, outcome, plan, row


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    return plan(tmp_path_factory.mktemp("films"))


def energies(**values):
    """role (underscores for spaces) -> outcome with that energy, a hundredth of it dispersion."""
    return {role.replace("_", " "): outcome(energy_ev=e, dispersion_ev=e / 100) for role, e in values.items()}


WHOLE = energies(slab=-100.0, molecule=-30.0, pose_1=-130.9, pose_2=-131.0, pose_3=-130.5)
MINIMA = {
    "relative_energies_ev": [0.0, 0.1],
    "weights": [0.9, 0.1],
    "found_by": [4, 2],
    "n_found": 2,
    "energy_ev": -131.0,
}


def test_the_parts_add_up_to_the_whole(planned, tmp_path):
    chosen = entry(planned, "adsorption", surface="sheet", level="pw")
    in_place = energies(slab_in_place=-99.8, molecule_in_place=-29.9)
    found = row(chosen, tmp_path, WHOLE | in_place | {"ensemble": outcome(**MINIMA)})
    assert found["e_ads_ev"] == pytest.approx(-1.0), "the lowest pose, not the filter's first"
    assert found["deformation_slab_ev"] == pytest.approx(0.2)
    assert found["deformation_molecule_ev"] == pytest.approx(0.1)
    parts = ("interaction_ev", "deformation_slab_ev", "deformation_molecule_ev")
    assert sum(found[part] for part in parts) == pytest.approx(found["e_ads_ev"])
    assert found["e_disp_ev"] + found["e_electronic_ev"] == pytest.approx(found["e_ads_ev"])
    assert found["e_disp_ev"] == pytest.approx(-0.01)
    assert found["counterpoise_ev"] is None and found["geometry_flag"] == ""


@pytest.mark.parametrize(("part", "energy"), [("slab_in_place", -100.2), ("molecule_in_place", -30.1)])
def test_a_part_that_is_lower_in_the_pose_than_alone_is_no_reference(planned, tmp_path, part, energy):
    chosen = entry(planned, "adsorption", surface="sheet", level="pw")
    in_place = energies(**({"slab_in_place": -99.8, "molecule_in_place": -29.9} | {part: energy}))
    assert row(chosen, tmp_path, WHOLE | in_place | {"ensemble": outcome(**MINIMA)})["geometry_flag"] == "reference"


@pytest.mark.parametrize(("energy", "flag"), [(-100.2, "reference"), (-99.9, "")])
def test_it_is_none_at_levels_without_parts_either(planned, tmp_path, energy, flag):
    chosen = {level: entry(planned, "adsorption", surface="sheet", level=level) for level in ("pw", "beef")}
    in_place = energies(slab_in_place=energy, molecule_in_place=-29.9)
    for found in chosen.values():
        row(found, tmp_path, WHOLE | in_place | {"ensemble": outcome(**MINIMA)})
    rows = observables()["adsorption"].rows(list(chosen.values()), Store(tmp_path / "store").find)
    assert [found["geometry_flag"] for found in rows] == [flag, flag]


def test_a_slab_that_settled_under_the_molecule_is_the_reference(planned, tmp_path):
    chosen = {level: entry(planned, "adsorption", surface="sheet", level=level) for level in ("pw", "beef", "local")}
    role = "slab from the pose"
    geometry = planned.specs[chosen["pw"].specs[role].inputs["geometry"]]
    assert geometry.step == "settled_slab" and geometry.inputs["geometry"] == chosen["pw"].specs["ensemble"].key
    assert geometry.inputs["bare"] == chosen["pw"].specs["slab"].key and role not in chosen["beef"].specs
    in_place = energies(slab_in_place=-100.2, molecule_in_place=-29.9, slab_from_the_pose=-100.3)
    found = row(chosen["pw"], tmp_path, WHOLE | in_place | {"ensemble": outcome(**MINIMA)})
    assert found["e_ads_ev"] == pytest.approx(-0.7) and found["deformation_slab_ev"] == pytest.approx(0.1)
    assert found["geometry_flag"] == "" and found["status"] == "ok"
    row(chosen["beef"], tmp_path, WHOLE | {"ensemble": outcome(**MINIMA)})
    rows = observables()["adsorption"].rows([chosen["pw"], chosen["beef"]], Store(tmp_path / "store").find)
    assert [r["geometry_flag"] for r in rows] == ["", "reference"], "the other level has the bare slab alone"


def test_where_the_bare_slab_is_the_lower_one_nothing_is_wanted(planned, tmp_path):
    chosen = entry(planned, "adsorption", surface="sheet", level="pw")
    in_place = energies(slab_in_place=-99.9, molecule_in_place=-29.9)
    none = {"slab from the pose": outcome("absent", "no lower reference")}
    found = row(chosen, tmp_path, WHOLE | in_place | none | {"ensemble": outcome(**MINIMA)})
    assert found["e_ads_ev"] == pytest.approx(-1.0) and (found["status"], found["reason"]) == ("ok", "")
    sunk = energies(slab_in_place=-100.2, molecule_in_place=-29.9)
    failed = {"slab from the pose": outcome("not_converged", "out of steps")}
    found = row(chosen, tmp_path, WHOLE | sunk | failed | {"ensemble": outcome(**MINIMA)})
    assert found["geometry_flag"] == "reference" and found["status"] == "not_converged"


def test_a_slab_is_settled_only_when_the_pose_has_it_lower(tmp_path):
    from ase import Atoms

    from crosstalk.engines import gpaw_relax
    from crosstalk.record import Record
    from crosstalk.spec import Spec
    from crosstalk.steps import Input

    def known(energy):
        spec = Spec("surface_energy", "gpaw", {}, {}, 1)
        return Input(Record(spec, "ok", "", {"energy_ev": energy}, (), (), {}, {}), [])

    pose = Atoms("CH", [[0, 0, 5], [0, 0, 8]], cell=[5, 5, 20], pbc=(True, True, False), tags=[0, 1])
    spec = Spec("settled_slab", "gpaw", {"index": 0, "lower_by_ev": 0.03}, {}, 1)
    inputs = {"geometry": Input(known(0.0).record, [pose]), "bare": known(-100.0), "in_place": known(-100.02)}
    found = gpaw_relax.settled_slab(spec, inputs, tmp_path)
    assert found.status == "absent" and "-0.020 eV from the bare one" in found.reason
    with pytest.raises(KeyError, match="level"):  # goes on to relax it
        gpaw_relax.settled_slab(spec, inputs | {"in_place": known(-100.2)}, tmp_path)


def test_distinct_minima_are_averaged_and_name_their_starts(planned, tmp_path):
    chosen = entry(planned, "adsorption", surface="sheet", level="pw")
    search = outcome(n_starts=6, n_atoms=35, starts_by_class=[4, 1, 0, 0, 0, 0, 1])
    found = row(chosen, tmp_path, WHOLE | {"ensemble": outcome(**MINIMA, rank_correlation=0.5), "poses": search})
    assert found["e_ads_average_ev"] == pytest.approx(0.9 * -1.0 + 0.1 * -0.9)
    assert found["minima"] == "-1.000 (4 starts); -0.900 (2 starts)"
    assert found["starts"] == "4 bound, 1 desorbed, 1 without SCF"
    assert found["rank_correlation"] == 0.5


def test_a_row_says_when_the_search_knew_what_it_knows(planned, tmp_path):
    chosen = entry(planned, "adsorption", surface="sheet", level="pw")
    known = {"discovery": [0, 1, 2, 3, 3, 3], "lowest_after_ev": [0.0, -0.1, -0.295, -0.295, -0.3, -0.3]}
    search = outcome(n_starts=6, n_atoms=35, **known)
    found = row(chosen, tmp_path, WHOLE | {"ensemble": outcome(**MINIMA), "poses": search})
    assert found["search"] == "3 minima, the last at start 4, the lowest at 3", "5 meV lower is the same"
    before = row(chosen, tmp_path / "before", WHOLE | {"ensemble": outcome(**MINIMA)})
    assert not before["search"]


def test_each_stage_of_the_funnel_is_ranked_against_the_next(planned, tmp_path):
    chosen = entry(planned, "adsorption", surface="sheet", level="pw")
    relaxed = energies(pose_1_geometry=-130.0, pose_2_geometry=-130.3, pose_3_geometry=-130.2)
    search = outcome(pose_energies_ev=[-0.9, -0.8, -0.7])
    held = {"hydrogen_bonds": [1, 0], "bonds_to_slab": [0, 0], "metal_contacts": [0, 2], "nearest_contact_angstrom": [1.8, 3.0]}  # fmt: skip
    found = row(chosen, tmp_path, WHOLE | relaxed | {"poses": search, "ensemble": outcome(**MINIMA, **held)})
    assert found["rank_relaxed"] == pytest.approx(-0.5), "-0.9, -0.8, -0.7 became -130.0, -130.3, -130.2"
    assert found["rank_final"] == pytest.approx(0.5), "and these -130.9, -131.0, -130.5"
    assert (found["hydrogen_bonds"], found["metal_contacts"], found["nearest_contact_angstrom"]) == (1, 0, 1.8)
    lost = {"pose 3": outcome("not_converged", "SCF"), "poses": search, "ensemble": outcome(**MINIMA)}
    few = row(chosen, tmp_path / "few", WHOLE | relaxed | lost)
    assert few["rank_final"] is None, "two ranks say nothing"


def test_the_free_energy_is_the_lowest_poses_with_its_rigid_body_vibrations(planned, tmp_path):
    assert all(spec.step != "surface_modes" for spec in planned.specs.values()), "nobody asked"
    asked = {"tiers": {"films": {"observables": {"adsorption": {"modes": True}}}}}
    chosen = entry(plan(tmp_path / "config", levels=asked), "adsorption", surface="sheet", level="pw")
    modes = chosen.specs["modes"]
    assert modes.inputs["geometry"] == chosen.specs["ensemble"].key
    assert modes.settings["level"]["mode"] == "lcao", "where the forces vanish"
    rotor = {"inertia_amu_angstrom2": [1.0, 2.0, 3.0], "symmetry_number": 2, "mass_amu": 18.0}
    vibrations = outcome(frequencies_cm1=[30.0, 60.0, 90.0, 150.0, 200.0, 300.0], **rotor)
    found = row(chosen, tmp_path, WHOLE | {"ensemble": outcome(**MINIMA), "modes": vibrations})
    correction = adsorption_correction(vibrations.quantities)
    assert correction > 0.2, "a gas at 1 bar loses more than it gains"
    assert found["g_ads_ev"] == pytest.approx(-1.0 + correction)


def test_an_average_of_one_minimum_is_that_minimum(planned, tmp_path):
    chosen = entry(planned, "adsorption", surface="sheet", level="pw")
    single = {"relative_energies_ev": [0.0], "weights": [1.0], "n_found": 1}
    found = row(chosen, tmp_path, WHOLE | {"ensemble": outcome(**single)})
    assert found["e_ads_average_ev"] == found["e_ads_ev"] and found["minima"] == "-1.000"


def test_the_spread_is_that_of_the_difference(planned, tmp_path):
    chosen = entry(planned, "adsorption", surface="sheet", level="beef")
    slab, molecule, own = np.random.default_rng(1).normal(0, 1, (3, 32)).round(6)
    terms = {"slab": slab, "molecule": molecule, "pose 1": slab + molecule + own}
    made = {role: outcome(energy_ev=0.0, ensemble_contributions_ev=its) for role, its in terms.items()}
    absent = {"pose 2": outcome("absent", "structure 2 of 1"), "pose 3": outcome("absent", "structure 3 of 1")}
    found = row(chosen, tmp_path, made | absent | {"ensemble": outcome(relative_energies_ev=[0.0], weights=[1.0])})
    assert found["e_ads_spread_ev"] == pytest.approx(beef.spread(own), rel=1e-5)
    assert found[ENSEMBLE]["e_ads_ev"] == pytest.approx(own, abs=1e-5)
    assert found["e_disp_ev"] is None, "non-local correlation is no part that could be listed apart"


def test_levels_without_an_ensemble_carry_none(planned, tmp_path):
    found = row(
        entry(planned, "adsorption", surface="sheet", level="pw"), tmp_path, WHOLE | {"ensemble": outcome(**MINIMA)}
    )
    assert ENSEMBLE not in found and found["e_ads_spread_ev"] is None
    assert set(found) == set(observables()["adsorption"].columns)


def test_a_functional_on_anothers_density_shares_its_calculations(tmp_path):
    on_pw = {
        "engine": "gpaw",
        "mode": "pw",
        "cutoff_ev": 300,
        "functional": "BEEF-vdW",
        "dispersion": None,
        "density": "pw",
    }
    changes = {"levels": {"levels": {"beef@pw": on_pw}, "tiers": {"films": {"observables": {"adsorption": {"levels": ["pw", "beef@pw", "local"]}}}}}}  # fmt: skip
    made_of = plan(tmp_path / "config", **changes)
    own, other = (entry(made_of, "adsorption", surface="sheet", level=level) for level in ("pw", "beef@pw"))
    assert all(own.specs[role] == spec for role, spec in other.specs.items())
    assert own.specs["pose 1"].settings["functionals"] == ["BEEF-vdW"]
    assert "functionals" not in own.specs["slab in place"].settings
    terms = np.random.default_rng(1).normal(0, 1, (3, 32)).round(6)
    seen = zip(("slab", "molecule", "pose 1"), (-100.0, -30.0, -131.0), (-200.0, -60.0, -260.7), terms, strict=True)
    made = {r: outcome(energy_ev=e, dispersion_ev=e / 100, functional_energies_ev=[f], ensemble_contributions_ev=t) for r, e, f, t in seen}  # fmt: skip
    made |= {"pose 2": outcome("absent", "structure 2 of 1"), "pose 3": outcome("absent", "structure 3 of 1")}
    made |= {"ensemble": outcome(relative_energies_ev=[0.0], weights=[1.0])}
    plain, crossed = row(own, tmp_path, made), row(other, tmp_path, made)
    assert (plain["e_ads_ev"], crossed["e_ads_ev"]) == (pytest.approx(-1.0), pytest.approx(-0.7))
    assert plain["e_disp_ev"] == pytest.approx(-0.01) and crossed["e_disp_ev"] is None
    assert plain["e_ads_spread_ev"] is None and crossed["e_ads_spread_ev"] > 0
    assert ENSEMBLE in crossed and ENSEMBLE not in plain


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ({"density": "pww"}, ["'density'", "unknown level 'pww'", "did you mean 'pw'"]),
        ({"density": "gfn1"}, ["'density'", "'gfn1' has no density of its own"]),
        ({"density": "pw", "cutoff_ev": 350}, ["'density'", "'pw' differs in cutoff_ev"]),
        ({"density": "pw", "functional": "RPBE", "dispersion": "d3bj"}, ["'dispersion' has to be null"]),
    ],
)
def test_a_density_that_does_not_fit_is_one_line(tmp_path, level, words):
    with pytest.raises(ConfigError) as caught:
        load(config(tmp_path, levels={"levels": {"beef": level}}))
    (line,) = caught.value.problems
    assert all(word in line for word in ["levels.yaml", "'beef'", *words])


@pytest.mark.parametrize(
    ("section", "wanted"), [("adsorption", {"decompose": ["beef", "local"]}), ("surfaces", {"levels": ["beef"]})]
)
def test_only_adsorption_energies_use_anothers_density(tmp_path, section, wanted):
    changes = {"levels": {"beef": {"density": "pw"}}, "tiers": {"films": {"observables": {section: wanted}}}}
    with pytest.raises(ConfigError) as caught:
        load(config(tmp_path, levels=changes))
    (line,) = caught.value.problems
    assert "'beef'" in line and "density" in line


def test_a_local_basis_shows_its_superposition_and_is_no_evidence(planned, tmp_path):
    chosen = entry(planned, "adsorption", surface="sheet", level="local")
    made = energies(slab_in_place=-99.8, molecule_in_place=-29.9, slab_with_ghosts=-99.9, molecule_with_ghosts=-29.95)
    found = row(chosen, tmp_path, WHOLE | made | {"ensemble": outcome(**MINIMA)})
    assert found["counterpoise_ev"] == pytest.approx(0.1 + 0.05)
    assert found["geometry_flag"] == "superposition"
    ghosts = [spec.settings for role, spec in chosen.specs.items() if role.endswith("with ghosts")]
    assert [s["part"] for s in ghosts] == ["slab", "molecule"] and all(s["ghosts"] for s in ghosts)


@pytest.mark.parametrize(
    ("ends", "best", "poses"),
    [
        ({"pose 1": "ok", "pose 2": "ok", "pose 3": "ok"}, "bound", "3 bound"),
        ({"pose 1": "desorbed", "pose 2": "ok", "pose 3": "rearranged"}, "bound", "1 desorbed, 1 bound, 1 rearranged"),
        ({"pose 1": "ok", "pose 2": "unconverged", "pose 3": "ok"}, "unconverged", "2 bound, 1 unconverged"),
        ({"pose 1": "ok", "pose 2": "ok", "pose 3": "absent"}, "bound", "2 bound"),
        ({"pose 1": "surface_changed", "pose 2": "surface_changed", "pose 3": "dissociated"}, "dissociated, surface changed",
         "2 surface changed, 1 dissociated"),
        ({"pose 1": "not_converged", "pose 2": "ok", "pose 3": "ok"}, "bound", "1 unconverged, 2 bound"),
    ],
)  # fmt: skip
def test_every_pose_is_kept_and_shown(planned, tmp_path, ends, best, poses):
    chosen = entry(planned, "adsorption", surface="sheet", level="beef")
    made = dict(WHOLE) | {"ensemble": outcome(**MINIMA)}
    for role, end in ends.items():
        if end in ("ok", "unconverged"):
            made[f"{role} geometry"] = outcome(energy_ev=0.0, missed="geometry_converged" if end != "ok" else "")
        else:
            made |= {f"{role} geometry": outcome(end, "told why"), role: outcome("blocked", "its geometry")}
    found = row(chosen, tmp_path, made)
    assert (found["class"], found["poses"]) == (best, poses)
    usable = {"ok", "unconverged"} & set(ends.values())
    assert (found["e_ads_ev"] is not None) == bool(usable)


@pytest.mark.parametrize(("status", "expected"), [("missing", "missing"), ("not_converged", "ok")])
def test_a_pose_that_is_not_computed_yet_may_be_lower(planned, tmp_path, status, expected):
    chosen = entry(planned, "adsorption", surface="sheet", level="beef")
    found = row(chosen, tmp_path, WHOLE | {"ensemble": outcome(**MINIMA), "pose 3": outcome(status, "told why")})
    assert found["e_ads_ev"] == pytest.approx(-1.0) and found["status"] == expected
    assert "pose 3: " in found["reason"]


def test_a_filter_that_did_not_converge_is_unconverged(tmp_path):
    unrelaxed = {"geometry": None, "decompose": [], "charges": None, "levels": ["pw"]}
    changes = {"levels": {"tiers": {"films": {"observables": {"adsorption": unrelaxed}}}}}
    chosen = entry(plan(tmp_path, **changes), "adsorption", surface="sheet")
    found = row(chosen, tmp_path, WHOLE | {"poses": outcome(missed="filter_converged"), "ensemble": outcome(**MINIMA)})
    assert found["class"] == "unconverged" and found["geometry_flag"] == "unrelaxed"


def test_a_positive_energy_is_not_bound(planned, tmp_path):
    chosen = entry(planned, "adsorption", surface="sheet", level="beef")
    found = row(
        chosen, tmp_path, energies(slab=-100.0, molecule=-30.0, pose_1=-129.0) | {"ensemble": outcome(**MINIMA)}
    )
    assert found["e_ads_ev"] == pytest.approx(1.0) and found["class"] == "not bound"


# -- the plan --------------------------------------------------------------------------------------------------------


def test_what_nobody_asks_for_is_no_part_of_an_identity(tmp_path):
    plain = {"geometry": None, "decompose": None, "charges": None, "levels": ["pw"]}
    changes = {"levels": {"tiers": {"films": {"poses": {"keep": 1}, "observables": {"adsorption": plain}}}}}
    specs = entry(plan(tmp_path, **changes), "adsorption", surface="sheet").specs
    assert list(specs) == ["poses", "slab", "molecule", "pose 1"]
    assert all(set(specs[role].settings) == {"index", "level"} for role in ("slab", "molecule", "pose 1"))


def test_parts_are_of_the_lowest_pose_and_no_calculation_is_planned_twice(planned):
    chosen = entry(planned, "adsorption", surface="sheet", level="pw")
    assert chosen.specs["slab in place"].inputs["geometry"] == chosen.specs["ensemble"].key
    assert set(chosen.specs["ensemble"].inputs) == {"search 0", "pose 1", "pose 2", "pose 3"}
    other = entry(planned, "adsorption", surface="sheet", level="beef")
    assert "slab in place" not in other.specs
    assert all(chosen.specs[f"{r} geometry"] == other.specs[f"{r} geometry"] for r in ("slab", "molecule", "pose 1"))


def test_one_pose_is_its_own_lowest(tmp_path):
    changes = {"levels": {"tiers": {"films": {"poses": {"keep": 1}}}}}
    specs = entry(plan(tmp_path, **changes), "adsorption", surface="sheet", level="pw").specs
    assert "ensemble" not in specs
    assert specs["slab in place"].inputs["geometry"] == specs["pose 1 geometry"].key


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"decompose": ["pw", "local", "beeef"]}, ["decompose", "'beeef'", "did you mean 'beef'"]),
        ({"decompose": ["pw"]}, ["'local' is LCAO", "counterpoise", "decompose"]),
    ],
)
def test_decompositions_that_cannot_be_are_one_line(tmp_path, wanted, words):
    with pytest.raises(ConfigError) as caught:
        load(config(tmp_path, levels={"tiers": {"films": {"observables": {"adsorption": wanted}}}}))
    (line,) = caught.value.problems
    assert all(word in line for word in words)


# -- work functions --------------------------------------------------------------------------------------------------

EDGES = {"vbm_ev": -7.0, "cbm_ev": -1.0, "gap_ev": 6.0, "energy_ev": 0.0}


@pytest.mark.parametrize(
    ("lower", "sides"), [(5.0, "alike"), (5.04, "alike"), (5.2, "asymmetric"), (4.0, "asymmetric")]
)
def test_both_sides_and_the_step_between_them(planned, tmp_path, lower, sides):
    for name, upper in (("sheet", 5.0), ("pair", 4.0)):
        values = EDGES | {"work_function_ev": 5.0, "work_function_bottom_ev": lower}
        found = row(entry(planned, "surfaces", surface=name), tmp_path / name, {"levels": outcome(**values)})
        assert found["sides"] == sides and found["vacuum_step_ev"] == pytest.approx(5.0 - lower)
        assert found["work_function_ev"] == pytest.approx(upper), "mid-gap for the one that is no conductor"
        assert found["work_function_ev"] - found["work_function_bottom_ev"] == pytest.approx(found["vacuum_step_ev"])
        assert (found["work_function_flag"] or "") == ("" if name == "sheet" else "mid-gap")


def test_a_slab_without_a_gap_has_a_work_function_whatever_the_config_expects(planned, tmp_path):
    for gap, flag in ((0.0, ""), (0.05, ""), (0.3, "mid-gap")):
        values = {"vbm_ev": -4.0 - gap, "cbm_ev": -4.0, "gap_ev": gap, "energy_ev": 0.0, "work_function_ev": 4.0, "work_function_bottom_ev": 4.0}  # fmt: skip
        found = row(entry(planned, "surfaces", surface="pair"), tmp_path / str(gap), {"levels": outcome(**values)})
        assert (found["work_function_flag"] or "") == flag
        assert flag or found["work_function_ev"] == 4.0


def test_a_sloping_plateau_marks_the_row(planned, tmp_path):
    sloped = outcome(**EDGES, work_function_ev=5.0, work_function_bottom_ev=5.0, missed="vacuum_flat_bottom")
    found = row(entry(planned, "surfaces", surface="sheet"), tmp_path, {"levels": sloped})
    assert found["status"] == "gated" and "vacuum_flat_bottom MISSED" in found["gates"]
