"""Rows with free energies: redox, reactions, binding. Records are made by hand, so every sum can be checked."""

import numpy as np
import pytest
from ase import Atoms

from crosstalk.config import load
from crosstalk.errors import ConfigError, UnlikeError
from crosstalk.observables.base import observables
from crosstalk.observables.free_energy import sums
from crosstalk.plan import make
from crosstalk.record import Gate, Outcome, Store
from crosstalk.thermochemistry import corrections
from crosstalk.units import BOLTZMANN_EV_PER_K, ROOM_TEMPERATURE_K

from .small import PYSCF, molecular

KT = BOLTZMANN_EV_PER_K * ROOM_TEMPERATURE_K
COMPRESSION = KT * np.log(24.79)
LI = 1.4
ATOM = Atoms("H")
#: A shape whose thermal corrections are those of an atom: it moves and nothing else.
POINT = {"frequencies_cm1": [], "inertia_amu_angstrom2": [0, 0, 0], "symmetry_number": 1, "mass_amu": 10.0}


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """ions (own, neutral, none) -> plan."""
    return {ions: make(load(molecular(tmp_path_factory.mktemp(ions), ions))) for ions in ("own", "neutral", "none")}


def entry(plan, table, **subject):
    (found,) = [e for e in plan.table(table) if all(e.subject[k] == v for k, v in subject.items())]
    return found


def row(found, folder, energies=None, shapes=None, versions=None, outcomes=None):
    """The row of an entry.

    energies: role -> energy_ev (others 0); shapes: role of thermal corrections -> quantities beside POINT;
    versions: role -> versions; outcomes: role -> whole outcome.
    """
    store = Store(folder)
    for role, spec in found.specs.items():
        quantities = {"energy_ev": (energies or {}).get(role, 0.0)} | (POINT if spec.step == "hessian" else {})
        outcome = Outcome(quantities=quantities | (shapes or {}).get(role, {}), structures=[ATOM])
        store.save(spec, (outcomes or {}).get(role, outcome), (versions or {}).get(role, {"x": "1"}), {})
    return observables()[found.table].row(found, store.find)


def free(multiplicity=1, state="1 bar", **changes):
    return corrections(POINT | changes, multiplicity, state=state).free_energy


# -- redox ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("process", "after"), [("oxidation", -5.0), ("reduction", -12.0)])
def test_removing_costs_and_binding_releases(plans, tmp_path, process, after):
    found = row(entry(plans["none"], "redox", process=process, environment="gas"), tmp_path,
                {"before": -10.0, "after": after, "vertical": after + 0.5})  # fmt: skip
    assert found["status"] == "ok" and found["partner"] == "bare"
    assert found["adiabatic_ev"] == pytest.approx({"oxidation": 5.0, "reduction": 2.0}[process])
    # the ion at the neutral's geometry lies higher: more to remove, less gained
    assert found["vertical_ev"] - found["adiabatic_ev"] == pytest.approx(0.5 if process == "oxidation" else -0.5)


def test_an_unbound_electron_is_negative(plans, tmp_path):
    found = row(entry(plans["none"], "redox", process="reduction", environment="gas"), tmp_path, {"before": -10.0, "after": -9.0})  # fmt: skip
    assert found["adiabatic_ev"] == pytest.approx(-1.0)


@pytest.mark.parametrize(("process", "after"), [("oxidation", -4.0), ("reduction", -12.5)])
def test_the_potential_is_the_difference_less_lithium_s(plans, tmp_path, process, after):
    found = row(entry(plans["none"], "redox", process=process, environment="continuum"), tmp_path, {"before": -10.0, "after": after})  # fmt: skip
    assert found["potential_v"] == pytest.approx(found["adiabatic_ev"] - LI)
    assert found["potential_v"] == pytest.approx({"oxidation": 4.6, "reduction": 1.1}[process])
    assert found["li_reference_v"] == LI and found["thermal"] == "none"
    assert found["vertical_ev"] is None  # the continuum would have relaxed


def test_there_is_no_potential_in_the_gas_phase(plans, tmp_path):
    for plan in plans.values():
        for found in plan.table("redox"):
            if found.subject["environment"] == "gas":
                made = row(found, tmp_path / found.specs["after"].key, {"before": -10.0, "after": -5.0})
                assert made["potential_v"] is None and made["li_reference_v"] is None
                assert made["adiabatic_ev"] is not None and "vertical" in found.specs


@pytest.mark.parametrize("process", ["oxidation", "reduction"])
def test_own_vibrations_enter_the_potential(plans, tmp_path, process):
    found = entry(plans["own"], "redox", process=process, environment="continuum")
    sign = 1 if process == "oxidation" else -1
    soft = {"frequencies_cm1": [500.0, 2000.0]}
    made = row(found, tmp_path, {"before": -10.0, "after": -8.0}, {"thermal after": soft})
    # the ion is a doublet
    thermal = free(2, "1 M", **soft) - free(1, "1 M")
    assert made["thermal"] == "own"
    assert made["potential_v"] == pytest.approx(sign * (2.0 + thermal) - LI)
    assert made["adiabatic_ev"] == pytest.approx(sign * 2.0), "electronic, whatever the vibrations are"


def test_an_atom_has_the_spin_of_its_ion(tmp_path):
    """There is nothing to relax, so both sides share a geometry; the spin is another one all the same."""
    sections = {"campaigns": {"free": {"observables": {"redox": {"species": ["lithium ion"]}}}}}
    found = entry(
        make(load(molecular(tmp_path, config=sections))), "redox", process="reduction", environment="continuum"
    )
    assert found.specs["thermal before"] == found.specs["thermal after"] == found.specs["relaxed"]
    made = row(found, tmp_path, {"before": -10.0, "after": -12.0})
    assert made["potential_v"] == pytest.approx(2.0 + KT * np.log(2) - LI)
    assert made["mechanism"] == "direct"


def test_neutral_vibrations_cancel(plans, tmp_path):
    found = entry(plans["neutral"], "redox", process="oxidation", environment="continuum")
    assert found.specs["thermal before"] == found.specs["thermal after"]
    assert found.specs["relaxed"].step == "molecule_relax"
    made = row(found, tmp_path, {"before": -10.0, "after": -4.0}, {"thermal after": {"frequencies_cm1": [500.0]}})
    assert made["thermal"] == "neutral" and made["potential_v"] == pytest.approx(6.0 - LI)


def test_a_failed_hessian_leaves_no_potential(plans, tmp_path):
    found = entry(plans["own"], "redox", process="oxidation", environment="continuum")
    made = row(found, tmp_path, {"before": -10.0, "after": -4.0}, outcomes={"thermal before": Outcome("not_converged", "SCF")})  # fmt: skip
    assert made["potential_v"] is None and made["adiabatic_ev"] == pytest.approx(6.0)
    assert made["status"] == "not_converged" and "thermal before" in made["reason"]


@pytest.mark.parametrize("ions", ["own", "neutral", "none"])
def test_an_ion_that_lost_its_bonds_is_coupled(plans, tmp_path, ions):
    found = entry(plans[ions], "redox", process="oxidation", environment="continuum")
    quantities = {"energy_ev": -1.0}
    kept, lost = (
        Outcome(quantities=quantities, gates=[Gate("connectivity", ok, text, "kept")], structures=[ATOM])
        for ok, text in ((True, "kept"), (False, "dissociated: broken O0-H2; now HO + H"))
    )
    energies = {"before": -10.0, "after": -4.0}
    direct = row(found, tmp_path / "a", energies, outcomes={"relaxed": kept})
    coupled = row(found, tmp_path / "b", energies, outcomes={"relaxed": lost})
    assert (direct["mechanism"], direct["product"]) == ("direct", "")
    assert (coupled["mechanism"], coupled["product"]) == ("coupled", "dissociated: broken O0-H2; now HO + H")
    assert coupled["potential_v"] == direct["potential_v"] and coupled["status"] == "ok"
    assert "connectivity MISSED" in coupled["gates"], "what the ion became is a result, and no doubt about the number"


def test_bonds_lost_along_an_imaginary_mode_count_too(plans, tmp_path):
    found = entry(plans["own"], "redox", process="oxidation", environment="continuum")
    gate = Gate("connectivity", False, "rearranged: formed H1-H2; now H2 + O", "kept")
    followed = Outcome(quantities={"energy_ev": -1.0} | POINT, gates=[gate], structures=[ATOM])
    made = row(found, tmp_path, outcomes={"thermal after": followed})
    assert made["mechanism"] == "coupled" and "H2 + O" in made["product"]


def test_the_ion_is_relaxed_from_the_neutral_and_its_bonds_are_reported(plans):
    for ions, plan in plans.items():
        found = entry(plan, "redox", process="reduction", environment="gas").specs
        assert found["relaxed"].step == "molecule_relax"
        assert found["relaxed"].settings["connectivity"] == "reported"
        assert (found["relaxed"].settings["charge"], found["relaxed"].settings["multiplicity"]) == (-1, 2)
        assert found["vertical"].inputs == found["before"].inputs  # the neutral's geometry
        assert found["vertical"].settings == found["after"].settings
        after = plan.specs[found["after"].inputs["geometry"]]
        assert after.step == ("hessian" if ions == "own" else "molecule_relax")
        assert after is found["relaxed"] or after.inputs["geometry"] == found["relaxed"].key


def test_a_process_and_a_partner_can_be_kept_to_what_they_are_for(tmp_path):
    redox = {"partners": {"oxidation": ["hydroxide"]}, "partner_environments": ["continuum"], "only": {"reduction": ["hydrogen"]}}  # fmt: skip
    changes = {"levels": {"tiers": {"free": {"observables": {"redox": redox}, "geometry": {"rerank_window_ev": 0.1, "rerank_keep": 2}}}}}  # fmt: skip
    plan = make(load(molecular(tmp_path, **changes)))
    asked = [[e.subject[k] for k in ("partner", "process", "environment")] for e in plan.table("redox")]
    assert asked == [["bare", "oxidation", "gas"], ["bare", "oxidation", "continuum"], ["hydroxide", "oxidation", "continuum"]]  # fmt: skip
    relaxed = [s.settings["index"] for s in plan.specs.values() if s.step == "molecule_relax" and s.label.startswith("water + hydroxide at")]  # fmt: skip
    assert relaxed == [0], "only the lowest pose of a complex is relaxed"


def test_a_partner_makes_a_row_and_a_complex_of_its_own(tmp_path):
    changes = {"levels": {"tiers": {"free": {"observables": {"redox": {"partners": {"reduction": ["lithium ion"], "oxidation": ["hydroxide"]}}}}}}}  # fmt: skip
    plan = make(load(molecular(tmp_path, **changes)))
    lithium = entry(plan, "redox", partner="lithium ion", environment="gas")
    assert lithium.subject["process"] == "reduction"
    assert (lithium.specs["before"].settings["charge"], lithium.specs["after"].settings["charge"]) == (1, 0)
    steps = {spec.step for spec in plan.specs.values()}
    assert {"ion_pairs", "complexes"} <= steps
    search = next(spec for spec in plan.specs.values() if spec.step == "complexes")
    assert search.settings["species"]["smiles"] == ["O", "[OH-]"]
    assert search.settings["species"]["charge"] == -1
    anion = entry(plan, "redox", partner="hydroxide", environment="gas")
    assert (anion.specs["before"].settings["charge"], anion.specs["after"].settings["charge"]) == (-1, 0)


def looked_at(folder, ions, asked):
    """A plan whose redox rows look at the lowest vibration of what they are asked to."""
    redox = {
        "partners": {"reduction": ["lithium ion"]},
        "partner_geometry": {"reduction": "continuum"},
        "minima": {"reduction": asked},
    }
    return make(load(molecular(folder, ions, levels={"tiers": {"free": {"observables": {"redox": redox}}}})))


def test_complexes_without_frequencies_are_looked_at_along_their_lowest_mode(tmp_path):
    plan = looked_at(tmp_path, "neutral", ["water"])
    found = entry(plan, "redox", process="reduction", partner="lithium ion", environment="continuum").specs
    for role in ("before", "after"):
        look = plan.specs[found[role].inputs["geometry"]]
        start = plan.specs[look.inputs["geometry"]]
        assert (look.step, start.step) == ("lowest_mode", "molecule_relax")
        assert look.settings == start.settings
    assert found["minimum"].key == found["after"].inputs["geometry"] and found["relaxed"].step == "molecule_relax"
    bare = entry(plan, "redox", process="reduction", partner="bare", environment="continuum").specs
    assert "minimum" not in bare and plan.specs[bare["after"].inputs["geometry"]].step == "molecule_relax"


def test_what_has_frequencies_needs_no_look(tmp_path):
    plan = looked_at(tmp_path, "own", ["water"])
    assert not [spec for spec in plan.specs.values() if spec.step == "lowest_mode"]


def test_a_way_down_from_a_saddle_may_change_the_bonds(tmp_path):
    plan = looked_at(tmp_path / "config", "neutral", ["water"])
    found = entry(plan, "redox", process="reduction", partner="lithium ion", environment="continuum")
    gates = [Gate("true_minimum", True, 80.0), Gate("connectivity", False, "dissociated: now H2 + O", "kept")]
    quantities = {"lowest_mode_cm1": 80.0, "max_force_ev_per_angstrom": 0.03}
    went = Outcome(quantities=quantities, gates=gates, rungs=["imaginary_mode_followed"], structures=[ATOM])
    made = row(found, tmp_path, outcomes={"minimum": went})
    assert made["mechanism"] == "coupled" and "H2 + O" in made["product"]
    assert made["lowest_mode_cm1"] == 80.0 and made["max_force_ev_per_angstrom"] == 0.03
    assert made["status"] == "ok", "bonds of an ion are reported, not gated"
    saddle = Outcome(
        quantities=quantities, gates=[Gate("true_minimum", False, -80.0, -30.0, "1/cm")], structures=[ATOM]
    )
    assert row(found, tmp_path / "b", outcomes={"minimum": saddle})["status"] == "gated"


def test_only_named_species_are_looked_at_and_unknown_ones_refused(tmp_path):
    plan = looked_at(tmp_path / "a", "neutral", [])
    assert not [spec for spec in plan.specs.values() if spec.step == "lowest_mode"]
    with pytest.raises(ConfigError, match=r"minima.reduction: unknown species or group 'watter'.*did you mean 'water'"):
        looked_at(tmp_path / "b", "neutral", ["watter"])


def test_a_bound_ion_is_searched_for_on_its_own_in_a_continuum(tmp_path):
    redox = {"partners": {"reduction": ["lithium ion"]}, "partner_geometry": {"reduction": "continuum"}}
    plan = make(load(molecular(tmp_path, levels={"tiers": {"free": {"observables": {"redox": redox}}}})))
    found = entry(plan, "redox", partner="lithium ion", environment="continuum").specs
    ion = found["relaxed"]
    assert ion.settings["environment"]["model"] == "ief-pcm" and ion.settings["connectivity"] == "reported"
    assert found["after"].settings["partner"] == [3] and "partner" not in found["before"].settings
    before = plan.specs[found["before"].inputs["geometry"]]
    assert before.settings["environment"] == ion.settings["environment"]
    search = plan.specs[ion.inputs["geometry"]]
    assert search.step == "ion_pairs"
    assert (search.settings["species"]["charge"], search.settings["species"]["multiplicity"]) == (0, 2)
    bare = entry(plan, "redox", partner="bare", process="reduction", environment="continuum").specs
    assert bare["relaxed"].settings["environment"] is None and "partner" not in bare["after"].settings


def test_a_bound_species_and_its_ion_may_have_a_level_of_their_own(tmp_path):
    redox = {"partners": {"oxidation": ["hydroxide"]}, "partner_level": {"oxidation": "hybrid"}}
    changes = {
        "levels": {"hybrid": PYSCF | {"functional": "pbe0"}},
        "tiers": {"free": {"observables": {"redox": redox}}},
    }
    plan = make(load(molecular(tmp_path, levels=changes)))
    found = entry(plan, "redox", partner="hydroxide", process="oxidation", environment="gas").specs
    ion = found["relaxed"]
    before = plan.specs[ion.inputs["geometry"]]
    assert found["before"].inputs["geometry"] == before.key
    assert {spec.settings["level"]["functional"] for spec in (ion, before)} == {"pbe0"}
    bare = entry(plan, "redox", partner="bare", process="oxidation", environment="gas").specs
    tier = plan.config.tiers["free"].geometry
    assert bare["relaxed"].settings["level"] == plan.config.levels[tier.level].identity()
    assert plan.config.levels[tier.level].functional != "pbe0"


def posed(folder):
    """The entry of water beside hydroxide that loses an electron in each of two kept poses."""
    redox = {"partners": {"oxidation": ["hydroxide"]}, "poses": {"oxidation": ["water"]}}
    tier = {"observables": {"redox": redox}, "geometry": {"rerank_window_ev": 0.1, "rerank_keep": 2}}
    plan = make(load(molecular(folder, "neutral", levels={"tiers": {"free": tier}})))
    bare = entry(plan, "redox", partner="bare", process="oxidation", environment="continuum")
    assert not any("#" in role for role in bare.specs), "a species alone has its conformers"
    return plan, entry(plan, "redox", partner="hydroxide", process="oxidation", environment="continuum")


def test_each_kept_pose_of_a_complex_loses_the_electron(tmp_path):
    plan, found = posed(tmp_path)
    assert set(found.specs) >= {"before", "before #2", "after #2", "relaxed #2"} and "after #3" not in found.specs
    for role, index in (("before", 0), ("before #2", 1)):
        geometry = plan.specs[found.specs[role].inputs["geometry"]]
        ion = found.specs[role.replace("before", "relaxed")]
        assert geometry.settings["index"] == index and ion.inputs["geometry"] == geometry.key


def test_the_lowest_pose_before_and_the_lowest_after_count(tmp_path):
    _, found = posed(tmp_path)
    moved = Outcome(
        gates=[Gate("connectivity", False, "a proton moved")], quantities={"energy_ev": 0.0}, structures=[ATOM]
    )
    energies = {"before": -10.0, "before #2": -10.5, "after": -4.0, "after #2": -4.2}
    both = row(found, tmp_path / "both", energies, outcomes={"relaxed #2": moved})
    assert both["potential_v"] == pytest.approx(10.5 - 4.2 - LI) and both["n_poses"] == 2
    assert both["product"] == "a proton moved"
    energies["after #2"] = -3.8
    assert row(found, tmp_path / "first", energies, outcomes={"relaxed #2": moved})["mechanism"] == "direct"


@pytest.mark.parametrize(("status", "of_row"), [("absent", "ok"), ("not_converged", "ok"), ("missing", "missing")])
def test_a_pose_without_an_energy_is_left_out_but_waited_for(tmp_path, status, of_row):
    _, found = posed(tmp_path)
    lost = {role: Outcome(status, "x") for role in ("before #2", "after #2", "relaxed #2")}
    one = row(found, tmp_path / "one", {"before": -10.0, "after": -4.0}, outcomes=lost)
    assert one["potential_v"] == pytest.approx(6.0 - LI) and one["n_poses"] == 1 and one["status"] == of_row


def test_a_partner_that_took_the_electron_is_flagged(plans, tmp_path):
    found = entry(plans["none"], "redox", process="reduction", environment="gas")
    on = Outcome(quantities={"energy_ev": -1.0, "partner_spin": 0.9} | POINT, gates=[], structures=[ATOM])
    assert row(found, tmp_path, outcomes={"after": on})["mechanism_flag"] == "the partner was reduced"
    assert not row(found, tmp_path)["mechanism_flag"]


# -- reactions -----------------------------------------------------------------------------------------------------


def test_a_reaction_is_products_minus_reactants(plans, tmp_path):
    found = entry(plans["none"], "reactions", reaction="burning", environment="gas")
    assert found.subject["equation"] == "2 hydrogen + oxygen -> 2 water"
    made = row(found, tmp_path, {"hydrogen": -1.0, "oxygen": -3.0, "water": -4.0})
    assert made["delta_e_ev"] == pytest.approx(2 * -4.0 - 2 * -1.0 - -3.0)
    assert made["delta_e_kcal_mol"] == pytest.approx(made["delta_e_ev"] * 23.0605, rel=1e-5)
    assert made["delta_g_ev"] is None and made["delta_h_ev"] is None


def test_what_stands_on_both_sides_cancels(plans, tmp_path):
    found = entry(plans["none"], "reactions", reaction="spectated", environment="gas")
    assert found.facts["coefficients"] == {"lithium hydroxide": 1, "hydroxide": -1, "lithium ion": -1}
    made = row(found, tmp_path, {"lithium hydroxide": -9.0, "hydroxide": -5.0, "lithium ion": -2.0})
    assert made["delta_e_ev"] == pytest.approx(-2.0)


def test_an_electron_counts_nothing(plans, tmp_path):
    found = entry(plans["own"], "reactions", reaction="ionisation", environment="gas")
    assert set(found.facts["coefficients"]) == {"water", "water cation"}
    made = row(found, tmp_path, {"water": -10.0, "water cation": 2.5})
    assert made["delta_e_ev"] == pytest.approx(12.5)
    assert made["delta_g_ev"] == pytest.approx(12.5 - KT * np.log(2)), "the cation's doublet is all that differs"


@pytest.mark.parametrize(("environment", "state"), [("gas", "1 bar"), ("continuum", "1 M")])
def test_free_energies_have_their_standard_state(plans, tmp_path, environment, state):
    found = entry(plans["own"], "reactions", reaction="burning", environment=environment)
    shapes = {"thermal water": {"frequencies_cm1": [1600.0, 3700.0, 3800.0]}}
    made = row(found, tmp_path, {"hydrogen": -1.0, "oxygen": -3.0, "water": -4.0}, shapes)
    water = free(1, state, **shapes["thermal water"])
    thermal = 2 * water - 2 * free(1, state) - free(3, state)
    assert made["delta_g_ev"] == pytest.approx(made["delta_e_ev"] + thermal)
    if environment == "gas":
        quanta = corrections(POINT | shapes["thermal water"], 1).zero_point
        # three particles become two: pV and translation go, the vibrations come
        assert made["delta_h_ev"] == pytest.approx(made["delta_e_ev"] + 2 * quanta - 2.5 * KT, abs=1e-3)
    else:
        assert made["delta_h_ev"] is None


def test_three_particles_that_become_two_gain_in_solution(plans, tmp_path):
    made = {e: row(entry(plans["own"], "reactions", reaction="burning", environment=e), tmp_path / e) for e in ("gas", "continuum")}  # fmt: skip
    assert made["gas"]["delta_g_ev"] - made["continuum"]["delta_g_ev"] == pytest.approx(COMPRESSION, rel=1e-4)


def test_unlike_records_are_refused(plans, tmp_path):
    found = entry(plans["none"], "reactions", reaction="burning", environment="gas")
    with pytest.raises(UnlikeError, match="versions"):
        row(found, tmp_path, versions={"oxygen": {"x": "2"}})
    gas, continuum = (entry(plans["own"], "reactions", reaction="burning", environment=e) for e in ("gas", "continuum"))
    store = Store(tmp_path / "b")
    specs = {"water": gas.specs["water"], "hydrogen": continuum.specs["hydrogen"],
             **{role: gas.specs[role] for role in ("thermal water", "thermal hydrogen")}}  # fmt: skip
    records = {r: store.save(s, Outcome(quantities={"energy_ev": 0.0} | POINT), {}, {}) for r, s in specs.items()}
    with pytest.raises(UnlikeError, match="environment"):
        sums([(1, "water"), (-1, "hydrogen")], records, ROOM_TEMPERATURE_K, solution=False)


def test_levels_do_not_mix(plans, tmp_path):
    one = entry(plans["none"], "reactions", reaction="burning", environment="gas")
    other = {"levels": {"levels": {"small": {"basis": "sto-3g"}}}}
    two = entry(make(load(molecular(tmp_path / "x", "none", **other))), "reactions", reaction="burning", environment="gas")  # fmt: skip
    mixed = type(one)(one.table, one.subject, {**one.specs, "oxygen": two.specs["oxygen"]}, one.facts)
    with pytest.raises(UnlikeError, match="level"):
        row(mixed, tmp_path)


def test_a_failed_species_empties_the_reaction(plans, tmp_path):
    found = entry(plans["own"], "reactions", reaction="burning", environment="gas")
    made = row(found, tmp_path, outcomes={"oxygen": Outcome("not_converged", "SCF")})
    assert made["delta_e_ev"] is None and made["delta_g_ev"] is None and made["reason"] == "oxygen: SCF"
    made = row(found, tmp_path / "b", outcomes={"thermal oxygen": Outcome("not_converged", "geometry")})
    assert made["delta_e_ev"] == 0 and made["delta_g_ev"] is None


# -- binding -------------------------------------------------------------------------------------------------------


def binding(plan, folder, environment="gas", **more):
    found = entry(plan, "binding", environment=environment)
    energies = {"whole": -20.0, "ion": -5.0, "remainder": -12.0, "solvent whole": -16.5, "solvent remainder": -10.0, "solvent ion": -5.0}  # fmt: skip
    return row(found, folder, energies, **more)


@pytest.mark.parametrize("environment", ["gas", "continuum"])
def test_exchange_is_the_difference_of_two_bindings(plans, tmp_path, environment):
    made = binding(plans["own"], tmp_path, environment)
    salt, solvent = made["e_bind_ev"], -10.0 - 5.0 + 16.5
    assert salt == pytest.approx(3.0)
    assert made["exchange_ev"] == pytest.approx(salt - solvent)
    # four equal shapes, two on either side: nothing thermal is left
    assert made["g_exchange_ev"] == pytest.approx(made["exchange_ev"])


def test_a_solute_binds_at_one_molar(plans, tmp_path):
    gas, solution = (binding(plans["own"], tmp_path / e, e) for e in ("gas", "continuum"))
    # whole -> two particles: the gas at 1 bar is the thinner one, and there they part more readily
    assert solution["g_bind_ev"] - gas["g_bind_ev"] == pytest.approx(COMPRESSION, rel=1e-4)
    assert gas["g_bind_ev"] == pytest.approx(gas["e_bind_ev"] + free())
    assert gas["h_bind_ev"] == pytest.approx(gas["e_bind_ev"] + 2.5 * KT)
    assert gas["g_bind_kcal_mol"] == pytest.approx(gas["g_bind_ev"] * 23.0605, rel=1e-5)
    assert solution["h_bind_ev"] is None
    assert gas["counterpoise_ev"] is not None and solution["counterpoise_ev"] is None


def test_vibrations_of_the_whole_weaken_the_bond(plans, tmp_path):
    modes = {"frequencies_cm1": [600.0, 3700.0]}
    made = binding(plans["own"], tmp_path, shapes={"thermal whole": modes})
    assert made["g_bind_ev"] == pytest.approx(made["e_bind_ev"] + 2 * free() - free(**modes))
    assert made["h_bind_ev"] < made["e_bind_ev"]


def test_without_thermochemistry_there_are_electronic_energies_alone(plans, tmp_path):
    made = binding(plans["none"], tmp_path)
    assert made["g_bind_ev"] is None and made["g_exchange_ev"] is None and made["h_bind_ev"] is None
    assert made["e_bind_ev"] == pytest.approx(3.0) and made["exchange_ev"] == pytest.approx(1.5)


def test_without_an_exchange_there_is_none(tmp_path):
    plan = make(load(molecular(tmp_path, levels={"tiers": {"free": {"observables": {"binding": {"exchange": None}}}}})))
    assert binding(plan, tmp_path)["exchange_ev"] is None


def test_a_failed_solvent_leaves_the_binding(plans, tmp_path):
    made = binding(plans["own"], tmp_path, outcomes={"solvent whole": Outcome("not_converged", "SCF")})
    assert made["exchange_ev"] is None and made["g_exchange_ev"] is None
    assert made["g_bind_ev"] is not None
