"""Given structures, relaxed conformers gathered, and steps whose inputs may fail."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from crosstalk.errors import PhysicsFailure
from crosstalk.record import Gate, Outcome, Store
from crosstalk.runner import gather_inputs
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.structures import ensembles
from crosstalk.units import BOLTZMANN_EV_PER_K, ROOM_TEMPERATURE_K

KT = BOLTZMANN_EV_PER_K * ROOM_TEMPERATURE_K


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def search(store, n, degeneracies=None):
    spec = Spec("rerank", "pyscf", {"keep": n}, {}, 1, label="search")
    quantities = {"energy_ev": -10.0, "degeneracies": degeneracies or [1] * n}
    store.save(spec, Outcome(quantities=quantities, structures=[molecule("H2O")] * n), {}, {})
    return spec


def relaxed(store, index, energy, atoms, gates=()):
    spec = Spec("molecule_relax", "pyscf", {"index": index}, {}, 1, label=f"conformer {index}")
    store.save(spec, Outcome(quantities={"energy_ev": energy}, structures=[atoms], gates=list(gates)), {}, {})
    return spec


def failed(store, index, status="absent"):
    spec = Spec("molecule_relax", "pyscf", {"index": index}, {"geometry": "search"}, 1, label=f"conformer {index}")
    store.save(spec, Outcome(status, "no such structure"), {}, {})
    return spec


def gathered(store, *specs):
    """Outcome of step `ensemble` of a search and its relaxed conformers, by way of the runner."""
    first, *others = specs
    inputs = {"search 0": first.key} | {f"relaxed {k}": spec.key for k, spec in enumerate(others)}
    spec = Spec("ensemble", "none", {}, inputs, 1)
    return ensembles.ensemble(spec, gather_inputs(spec, store), store.root)


def bent(degrees):
    """Peroxide-like chain: its dihedral is its shape."""
    atoms = Atoms("HOOH", [[1, 0, 0], [0, 0, 0], [0, 0, 1.45], [1, 0, 1.45]])
    atoms.set_dihedral(0, 1, 2, 3, degrees, mask=[0, 0, 0, 1])
    return atoms


def test_a_given_structure_is_used_as_it_is(tmp_path):
    water = molecule("H2O")
    species = {"symbols": list(water.symbols), "positions": water.positions.tolist(), "charge": 0, "multiplicity": 1}
    outcome = ensembles.given(Spec("given", "none", {"species": species}, {}, 1), {}, tmp_path)
    assert outcome.structures[0].get_chemical_formula() == "H2O" and not outcome.quantities
    assert np.array_equal(outcome.structures[0].positions, water.positions)


def test_conformers_come_from_the_lowest_up_with_boltzmann_s_weights(store):
    found = search(store, 2, [1, 2])
    outcome = gathered(store, found, relaxed(store, 0, -10.0, bent(60)), relaxed(store, 1, -10.05, bent(150)))
    assert outcome.quantities["energy_ev"] == -10.05
    assert outcome.quantities["relative_energies_ev"] == pytest.approx([0, 0.05])
    assert outcome.quantities["degeneracies"] == [2, 1]  # each takes its own along when the order turns
    weights = outcome.quantities["weights"]
    assert sum(weights) == pytest.approx(1) and weights[1] / weights[0] == pytest.approx(np.exp(-0.05 / KT) / 2)
    assert outcome.structures[0].get_dihedral(0, 1, 2, 3) == pytest.approx(150, abs=0.01)


@pytest.mark.parametrize(
    ("energy", "shape", "count"),
    [(-10.001, bent(60), 1), (-10.001, bent(300), 1), (-10.001, bent(150), 2), (-10.02, bent(60), 2)],
    ids=["same", "mirror image", "same energy, other shape", "same shape, other energy"],
)
def test_conformers_that_became_one_count_once(store, energy, shape, count):
    turned = shape.copy()
    turned.rotate(40, (1, 2, 3))
    turned.translate([1, -2, 3])
    outcome = gathered(store, search(store, 2), relaxed(store, 0, -10.0, bent(60)), relaxed(store, 1, energy, turned))
    assert outcome.quantities["n_found"] == count == len(outcome.structures)


def test_linear_molecules_and_atoms_have_one_shape(store):
    pair = [Atoms("N2", [[0, 0, 0], [0, 0, 1.1]]), Atoms("N2", [[0, 0, 0], [1.1, 0, 0]])]
    assert gathered(store, search(store, 2), *(relaxed(store, k, -1.0, a) for k, a in enumerate(pair))).quantities["n_found"] == 1  # fmt: skip
    atom = [Atoms("Li"), Atoms("Li", [[1, 2, 3]])]
    assert gathered(store, search(store, 2), *(relaxed(store, k, -2.0, a) for k, a in enumerate(atom))).quantities["n_found"] == 1  # fmt: skip


@pytest.mark.parametrize("status", ["absent", "not_converged", "rearranged"])
def test_conformers_that_failed_are_left_out(store, status):
    specs = [relaxed(store, 0, -10.0, bent(60)), failed(store, 1, status), relaxed(store, 2, -9.9, bent(150))]
    outcome = gathered(store, search(store, 3, [3, 2, 1]), *specs)
    assert outcome.quantities["n_found"] == 2 and outcome.quantities["degeneracies"] == [3, 1]


def test_without_any_conformer_the_ensemble_is_blocked(store):
    with pytest.raises(PhysicsFailure, match="relaxed") as failure:
        gathered(store, search(store, 2), failed(store, 0, "not_converged"), failed(store, 1))
    assert failure.value.status == "blocked"


def test_a_failed_search_blocks_even_a_step_with_optional_inputs(store):
    spec = Spec("rerank", "pyscf", {"keep": 1}, {}, 1, label="search")
    store.save(spec, Outcome("not_converged", "SCF"), {}, {})
    with pytest.raises(PhysicsFailure, match="search"):
        gathered(store, spec, relaxed(store, 0, -10.0, bent(60)))


def test_other_steps_need_all_of_their_inputs(store):
    spec = Spec("molecule_energy", "pyscf", {}, {"geometry": failed(store, 0, "rearranged").key}, 1)
    with pytest.raises(PhysicsFailure, match="conformer 0: rearranged") as failure:
        gather_inputs(spec, store)
    assert failure.value.status == "blocked"


def test_what_needs_a_structure_that_was_not_found_is_absent_too(store):
    second = failed(store, 1, "absent")
    third = Spec("molecule_energy", "pyscf", {}, {"geometry": second.key}, 1)
    with pytest.raises(PhysicsFailure, match="conformer 1: absent") as failure:
        gather_inputs(third, store)
    assert failure.value.status == "absent"
    search_itself = Spec("ion_pairs", "xtb", {}, {}, 1, label="pair")
    store.save(search_itself, Outcome("absent", "no room"), {}, {})
    with pytest.raises(PhysicsFailure, match="no room") as failure:
        gather_inputs(Spec("molecule_relax", "pyscf", {}, {"geometry": search_itself.key}, 1), store)
    assert failure.value.status == "blocked"


def test_the_gates_are_those_of_the_lowest(store):
    doubtful = relaxed(store, 0, -10.0, bent(60), [Gate("stable", False, "internal", "none")])
    sound = relaxed(store, 1, -10.1, bent(150), [Gate("stable", True, "none", "none")])
    outcome = gathered(store, search(store, 2), doubtful, sound)
    assert [gate.passed for gate in outcome.gates] == [True]
    assert [gate.passed for gate in gathered(store, search(store, 2), doubtful).gates] == [False]


def test_inputs_are_taken_by_number_not_by_letter(store):
    specs = [relaxed(store, k, -10.0 - 0.01 * (k == 10), bent(60 + 10 * k)) for k in range(11)]
    inputs = {f"relaxed {k}": Input(store.find(spec), store.structures(store.find(spec))) for k, spec in enumerate(specs)}  # fmt: skip
    first = search(store, 11, [*range(1, 12)])
    inputs["search 0"] = Input(store.find(first), store.structures(store.find(first)))
    outcome = ensembles.ensemble(Spec("ensemble", "none", {}, {}, 1), dict(sorted(inputs.items())), store.root)
    assert outcome.quantities["degeneracies"][0] == 11
