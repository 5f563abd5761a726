"""What the shipped standard campaign spends its time on."""

from pathlib import Path

import pytest

from crosstalk.plan import load_plan


@pytest.fixture(scope="module")
def specs():
    return list(load_plan(Path(__file__).parents[2] / "config", "standard").specs.values())


def test_nothing_is_called_vertical_in_a_continuum(specs):
    vertical = [s for s in specs if "vertically" in s.label]
    assert len(vertical) > 20
    assert all(s.settings["environment"] is None or s.settings["environment"]["model"] is None for s in vertical)


def test_costly_ionisation_energies_are_those_of_named_species(specs):
    costly = {s.label.split(" at ")[0] for s in specs if "wb97x-v" in s.label and "vertically oxidised" in s.label}
    assert costly == {"EC", "EMC", "OPF(OCH3)2"}


def test_only_structures_without_vibrations_are_relaxed_loosely(specs):
    relaxed = [s for s in specs if s.step == "molecule_relax"]
    loose = {s.key for s in relaxed if s.settings["fmax_ev_per_angstrom"] == 0.05}
    assert loose == {s.key for s in relaxed if "ised at" in s.label or "reduced at" in s.label or " + " in s.label}
    assert loose and not any(s.inputs["geometry"] in loose for s in specs if s.step == "hessian")
