"""Specs, records and quantities: identity, byte stability, and the refusal to subtract unlike things."""

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from crosstalk import units
from crosstalk.errors import UnlikeError
from crosstalk.quantities import QUANTITIES, combine, rounded
from crosstalk.record import Gate, Outcome, Record, Store
from crosstalk.spec import Spec

PACKAGE = Path(__file__).parents[2] / "workflow" / "crosstalk"


def spec(**changes):
    fields = {
        "step": "molecule_energy",
        "engine": "fake",
        "settings": {"level": {"basis": "a"}, "charge": 0},
        "inputs": {},
        "revision": 1,
    }
    return Spec(**(fields | changes))


def test_identity_is_settings_inputs_and_revision():
    base = spec()
    assert base.key == spec(label="other", cost_s=5.0).key
    assert base == spec(label="other")
    assert base.key == spec(settings={"charge": 0, "level": {"basis": "a"}}).key
    for change in (
        {"settings": {"level": {"basis": "b"}, "charge": 0}},
        {"inputs": {"geometry": "k"}},
        {"revision": 2},
        {"engine": "pyscf"},
    ):
        assert spec(**change).key != base.key


def test_specs_cannot_be_changed():
    with pytest.raises(TypeError):
        spec().settings["charge"] = 1
    with pytest.raises(AttributeError):
        spec().step = "slab"


def test_json_round_trip():
    assert Spec.from_json(spec(label="x").to_json()) == spec()


def test_a_number_of_numpy_in_a_gate_costs_no_record(tmp_path):
    gates = [Gate("a", np.True_, np.float64(1.5), np.int64(2))]
    Store(tmp_path).save(spec(), Outcome(gates=gates), {}, {})
    assert Store(tmp_path).load(spec().key).gates == (Gate("a", True, 1.5, 2),)
    with pytest.raises(TypeError, match="cannot hold"):
        Store(tmp_path).save(spec(revision=2), Outcome(gates=[Gate("a", True, object())]), {}, {})


def test_records_are_byte_stable(tmp_path):
    outcome = Outcome(
        quantities={"energy_ev": -1.23456789, "n_basis": 4.0},
        gates=[Gate("scf_converged", True)],
        structures=[Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]])],
    )
    stores = [Store(tmp_path / name) for name in ("a", "b")]
    for store in stores:
        store.save(spec(), outcome, {"x": "1"}, {"wall_s": np.random.default_rng().random()})
    assert stores[0].path(spec()).read_bytes() == stores[1].path(spec()).read_bytes()
    assert stores[0].structure_path(spec()).read_bytes() == stores[1].structure_path(spec()).read_bytes()
    record = stores[0].find(spec())
    assert Record.from_bytes(record.to_bytes()).to_bytes() == record.to_bytes()


def test_a_missed_gate_marks_the_record(tmp_path):
    record = Store(tmp_path).save(spec(), Outcome(gates=[Gate("spin", False, 0.9, 0.1)]), {}, {})
    assert record.status == "gated" and "spin" in record.reason


def test_undeclared_or_impossible_quantities_are_refused(tmp_path):
    with pytest.raises(KeyError):
        rounded("enrgy_ev", 1.0)
    with pytest.raises(ValueError, match="finite"):
        rounded("energy_ev", float("nan"))
    with pytest.raises(ValueError, match="dimensions"):
        rounded("energy_ev", [1.0])


def test_records_of_other_stores_are_taken_up(tmp_path):
    Store(tmp_path / "published").save(spec(), Outcome(quantities={"energy_ev": 1.0}), {}, {"wall_s": 1})
    store = Store(tmp_path / "mine", (tmp_path / "published",))
    assert store.find(spec()).quantities["energy_ev"] == 1.0
    assert store.path(spec()).exists() and store.cost(spec())["wall_s"] == 1
    assert store.find(spec(revision=2)) is None, "an older revision is never taken up"


def test_unlike_energies_are_not_subtracted(tmp_path):
    store = Store(tmp_path)

    def record(energy, level, environment=None, cell=10.0, revision=1):
        one = spec(settings={"level": level, "environment": environment, "at": energy}, revision=revision)
        atoms = Atoms("H", positions=[[0, 0, 0]], cell=[cell] * 3, pbc=True)
        return store.save(one, Outcome(quantities={"energy_ev": energy}, structures=[atoms]), {"pyscf": "1"}, {})

    base = record(3.0, "a")
    assert combine("energy_ev", [(1, base), (-1, record(1.0, "a"))]) == 2.0
    for other in (
        record(1.0, "b"),
        record(1.0, "a", environment="w"),
        record(1.0, "a", cell=11.0),
        record(1.0, "a", revision=2),
    ):
        with pytest.raises(UnlikeError, match="refused"):
            combine("energy_ev", [(1, base), (-1, other)])


def test_units():
    assert pytest.approx(27.2114, abs=1e-4) == units.HARTREE_EV
    assert units.ev_to_kcal_mol(1.0) == pytest.approx(23.0605, abs=1e-3)
    assert units.kcal_mol_to_ev(units.ev_to_kcal_mol(0.7)) == pytest.approx(0.7)
    assert pytest.approx(4.80320, abs=1e-4) == 1 / units.DEBYE_E_ANGSTROM
    assert pytest.approx(0.529177, abs=1e-6) == units.BOHR_ANGSTROM


def test_no_conversion_factor_outside_units():
    stray = re.compile(
        r"27\.211|0\.5291|1\.8897|23\.06|627\.5|0\.0433|96\.48|4\.184|2\.5417|8\.617e|219474|0\.2081|14\.399"
    )
    found = [
        f"{p.name}: {m.group()}"
        for p in PACKAGE.rglob("*.py")
        if p.name != "units.py"
        for m in stray.finditer(p.read_text())
    ]
    assert not found


def test_quantity_names_carry_their_units():
    suffix = {
        "eV": "_ev",
        "Angstrom": "_angstrom",
        "D": "_debye",
        "kcal/mol": "_kcal_mol",
        "Angstrom^2": "_angstrom2",
        "Angstrom^3": "_angstrom3",
        "deg": "_deg",
        "eV/Angstrom": "_ev_per_angstrom",
        "eV/Angstrom^3": "_ev_per_angstrom3",
    }
    for quantity in QUANTITIES.values():
        if quantity.unit in suffix:
            assert quantity.name.endswith(suffix[quantity.unit]), quantity.name


def test_constants_are_those_of_codata():
    from scipy import constants

    assert pytest.approx(constants.value("Hartree energy in eV"), rel=1e-11) == units.HARTREE_EV
    assert pytest.approx(constants.value("Bohr radius") * 1e10, rel=1e-11) == units.BOHR_ANGSTROM
    assert pytest.approx(constants.kilo * constants.calorie / constants.N_A / constants.e) == units.KCAL_MOL_EV
    assert pytest.approx(constants.kilo / constants.N_A / constants.e) == units.KJ_MOL_EV
    assert pytest.approx(constants.value("Boltzmann constant in eV/K")) == units.BOLTZMANN_EV_PER_K


def test_structures_are_read_back(tmp_path):
    slab = Atoms(
        "CLi",
        positions=[[0, 0, -0.123456], [1, 2, 3]],
        cell=[[2.5, 0, 0], [-1.25, 2.1, 0], [0, 0, 20]],
        pbc=(1, 1, 0),
        tags=[0, 1],
    )
    store = Store(tmp_path)
    record = store.save(spec(), Outcome(structures=[slab, Atoms("H", positions=[[0, 0, 0]])]), {}, {})
    first, second = store.structures(record)
    assert first == slab and (first.get_tags() == slab.get_tags()).all() and len(second) == 1
    import ase.io

    assert ase.io.read(store.structure_path(spec()), index=0, format="extxyz") == slab
