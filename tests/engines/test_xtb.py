"""GFN2-xTB searches on real molecules and salts of battery electrolytes."""

import numpy as np
import pytest
from ase import Atoms

from crosstalk.engines import xtb, xtb_search
from crosstalk.errors import PhysicsFailure
from crosstalk.record import Store
from crosstalk.runner import run_one
from crosstalk.spec import Spec
from crosstalk.structures import complexes, conformers, graphs, ion_pairs, molecules
from crosstalk.units import BOLTZMANN_EV_PER_K, ROOM_TEMPERATURE_K, kcal_mol_to_ev

LEVEL = {"engine": "xtb", "method": "GFN2-xTB", "accuracy": 1.0, "electronic_temperature_k": 300.0}
SAMPLING = {"max_embeddings": 12, "seed": 7, "energy_window_ev": 0.3, "fmax_ev_per_angstrom": 0.01, "max_steps": 500}
EC, EMC, PHOSPHATE = "O=C1OCCO1", "CCOC(=O)OC", "COP(=O)(F)OC"
CARBONATE, LMC = "[Li+].[Li+].[O-]C([O-])=O", "[Li+].COC([O-])=O"
DICARBONATE = "[Li+].[Li+].[O-]C(=O)OCCOC([O-])=O"


def spec_of(species: str | list[str] | Atoms, charge: int | None = None, multiplicity: int = 1, **sampling) -> Spec:
    if isinstance(species, str):
        described = {"smiles": species}
        charge = molecules.charge_of(species) if charge is None else charge
        step = "ion_pairs" if molecules.is_ion_pair(species) else "conformers"
    elif isinstance(species, list):
        described = {"smiles": species}
        charge, step = complexes.charge_of_complex(species), "complexes"
    else:
        described = {"symbols": species.get_chemical_symbols(), "positions": species.positions.tolist()}
        step = "conformers"
    described |= {"charge": charge or 0, "multiplicity": multiplicity}
    settings = {"species": described, "level": LEVEL, "sampling": SAMPLING | sampling}
    return Spec(step=step, engine="xtb", settings=settings, inputs={}, revision=1, label=str(species))


def run(folder, *args, **kwargs):
    spec = spec_of(*args, **kwargs)
    return getattr(xtb_search, spec.step)(spec, {}, folder)


def energy_of(atoms: Atoms, charge: int, multiplicity: int = 1) -> float:
    atoms = atoms.copy()
    atoms.calc = xtb.calculator(LEVEL, charge, multiplicity)
    return atoms.get_potential_energy()


@pytest.mark.parametrize("smiles", ["O", EC, EMC, PHOSPHATE, CARBONATE, LMC, "[Li+].[F-]", "[Li+].O=C1OCCO1"])
def test_minima_keep_their_bonds_and_are_told_apart(smiles, tmp_path):
    outcome = run(tmp_path, smiles, max_embeddings=8)
    quantities, found = outcome.quantities, outcome.structures
    relative = quantities["relative_energies_ev"]
    assert outcome.status == "ok"
    assert all(gate.passed for gate in outcome.gates)
    assert len(found) == quantities["n_found"] == len(relative) == len(quantities["weights"])
    assert relative[0] == 0.0
    assert relative == sorted(relative)
    assert relative[-1] <= SAMPLING["energy_window_ev"]
    assert sum(quantities["weights"]) == pytest.approx(1.0)
    for atoms, energy in zip(found, relative, strict=True):
        assert atoms.get_chemical_symbols() == molecules.symbols_of(smiles)
        assert graphs.against(molecules.bonds_of(smiles), atoms).status == "ok"
        assert not atoms.get_tags().any()
        assert atoms.get_center_of_mass() == pytest.approx(0.0, abs=1e-8)
        assert energy_of(atoms, molecules.charge_of(smiles)) == pytest.approx(
            quantities["energy_ev"] + energy, abs=1e-5
        )


@pytest.mark.parametrize("smiles", [PHOSPHATE, LMC])
def test_same_spec_same_bytes(smiles, tmp_path):
    spec = spec_of(smiles, max_embeddings=4)
    stores = [Store(tmp_path / name) for name in ("one", "two")]
    records = [run_one(spec, store)[0] for store in stores]
    assert records[0].to_bytes() == records[1].to_bytes()
    assert len({store.structure_path(spec).read_bytes() for store in stores}) == 1


def test_all_twists_of_a_ring_lead_to_one_minimum(tmp_path):
    """Embeddings are twisted to both sides; GFN2 flattens the ring (its lowest vibration is real there)."""
    twists = [atoms.get_dihedral(2, 3, 4, 5) for atoms in conformers.starts(EC, 12, SAMPLING["seed"])]
    assert min(twists) < 90
    assert max(twists) > 270
    assert run(tmp_path, EC).quantities["n_found"] == 1


def test_ethyl_methyl_carbonate_has_trans_and_gauche_ethyl_groups(tmp_path):
    """Both lie within 1 kcal/mol in the literature; the carbonate itself is cis-cis in the lowest."""
    found = run(tmp_path, EMC, energy_window_ev=kcal_mol_to_ev(1.0)).structures
    twists = {min(abs(t), 360 - abs(t)) for t in (round(atoms.get_dihedral(0, 1, 2, 3)) for atoms in found)}
    assert any(t > 150 for t in twists)
    assert any(60 < t < 110 for t in twists)
    for twist in (found[0].get_dihedral(1, 2, 3, 4), found[0].get_dihedral(6, 5, 3, 4)):
        assert min(twist, 360 - twist) < 30


def test_conformers_of_the_phosphate_do_not_depend_on_the_seed(tmp_path):
    """A chiral one and one about 1.3 kcal/mol above; a torsion scan in steps of 40 degrees finds no other below 4."""
    one, two = (run(tmp_path, PHOSPHATE, seed=seed, energy_window_ev=0.15) for seed in (7, 8))
    assert one.quantities["energy_ev"] == pytest.approx(two.quantities["energy_ev"], abs=1e-4)
    assert one.quantities["relative_energies_ev"] == pytest.approx(two.quantities["relative_energies_ev"], abs=1e-3)
    assert 0.5 < one.quantities["relative_energies_ev"][1] / kcal_mol_to_ev(1.0) < 2.0
    assert conformers.is_chiral(molecules.whole(PHOSPHATE), one.structures[0].positions)


def test_lithium_carbonate_is_flat_with_each_cation_between_two_oxygens(tmp_path):
    outcome = run(tmp_path, CARBONATE)
    atoms = outcome.structures[0]
    assert np.ptp(atoms.positions[:, 2]) < 0.1  # z is the axis of the largest moment of inertia
    for cation in (4, 5):
        assert sum(atoms.get_distance(cation, oxygen) < 2.1 for oxygen in (0, 2, 3)) == 2


def test_more_starts_find_nothing_lower_for_the_chelating_dicarbonate(tmp_path):
    few = run(tmp_path, DICARBONATE, max_embeddings=10, seed=7).quantities["energy_ev"]
    others = run(tmp_path, DICARBONATE, max_embeddings=10, seed=11).quantities["energy_ev"]
    assert few == pytest.approx(others, abs=kcal_mol_to_ev(0.5))


def test_ions_attract_and_their_energies_add_when_far(tmp_path):
    pair = run(tmp_path, "[Li+].[F-]")
    cation, anion = run(tmp_path, "[Li+]"), run(tmp_path, "[F-]")
    apart = cation.quantities["energy_ev"] + anion.quantities["energy_ev"]
    assert cation.quantities["n_starts"] == cation.quantities["n_found"] == 1
    assert pair.quantities["energy_ev"] < apart - 5.0
    assert pair.structures[0].get_distance(0, 1) == pytest.approx(1.56, abs=0.15)  # experiment 1.564 Angstrom


@pytest.mark.parametrize(("smiles", "charge", "multiplicity"), [("[CH3]", 0, 2), ("[O][O]", 0, 3), ("C[O-]", -1, 1)])
def test_open_shells_and_ions(smiles, charge, multiplicity, tmp_path):
    outcome = run(tmp_path, smiles, charge, multiplicity)
    assert outcome.status == "ok"
    assert energy_of(outcome.structures[0], charge, multiplicity) == pytest.approx(
        outcome.quantities["energy_ev"], abs=1e-5
    )


def test_multiplicity_and_charge_reach_the_engine():
    water = Atoms("OHH", [[0, 0, 0], [0, 0, 0.96], [0, 0.93, -0.24]])
    neutral = energy_of(water, 0)
    assert energy_of(water, 0, 3) > neutral + 3.0  # electronic excitation
    assert energy_of(water, 1, 2) > neutral + 8.0  # ionisation


def test_a_given_geometry_is_relaxed_once(tmp_path):
    water = Atoms("OHH", [[0, 0, 0], [0, 0, 1.05], [0, 1.0, -0.2]])
    given, searched = run(tmp_path, water), run(tmp_path, "O")
    assert given.quantities["n_starts"] == given.quantities["n_found"] == 1
    assert given.quantities["energy_ev"] == pytest.approx(searched.quantities["energy_ev"], abs=1e-4)


def test_a_geometry_that_falls_apart_says_so(tmp_path):
    """F2 with two more electrons has no bond left."""
    with pytest.raises(PhysicsFailure) as failure:
        run(tmp_path, Atoms("F2", [[0, 0, 0], [0, 0, 1.42]]), charge=-2)
    assert failure.value.status == "dissociated"
    assert "broken F0-F1" in failure.value.reason


def test_a_relaxation_that_runs_out_of_steps_says_so(tmp_path):
    with pytest.raises(PhysicsFailure) as failure:
        run(tmp_path, EMC, max_embeddings=2, max_steps=2)
    assert failure.value.status == "not_converged"
    assert "2 of 2 starts" in failure.value.reason


def test_butane_has_one_anti_and_two_gauche_forms(tmp_path):
    quantities = run(tmp_path, "CCCC", energy_window_ev=0.1).quantities
    assert quantities["degeneracies"] == [1, 2]
    ratio = np.exp(-quantities["relative_energies_ev"][1] / (BOLTZMANN_EV_PER_K * ROOM_TEMPERATURE_K))
    assert quantities["weights"][1] / quantities["weights"][0] == pytest.approx(2 * ratio)


# -- until nothing new comes ------------------------------------------------------------------------------------------


def test_the_search_ends_when_patience_starts_found_nothing_new(tmp_path):
    outcome = run(tmp_path, "CCCC", patience=4, max_embeddings=40)
    discovery = outcome.quantities["discovery"]
    assert discovery == sorted(discovery)
    assert len(discovery) == outcome.quantities["n_starts"] < 40
    assert len(discovery) >= conformers.n_starts("CCCC", 40)
    assert discovery[-1] == discovery[-5] == outcome.quantities["n_found"] == 2
    assert all(gate.passed for gate in outcome.gates)
    longer = run(tmp_path, "CCCC", patience=8, max_embeddings=40).quantities["discovery"]
    assert longer[: len(discovery)] == discovery


def test_a_search_that_runs_out_of_starts_says_so(tmp_path):
    outcome = run(tmp_path, "CCCC", patience=20, max_embeddings=3)
    assert outcome.quantities["n_starts"] == 15, "five times what was asked for, since the last starts may be new"
    assert [gate.name for gate in outcome.gates if not gate.passed] == ["search_saturated"]


def test_a_single_atom_needs_no_patience(tmp_path):
    outcome = run(tmp_path, "[Li+]", patience=5)
    assert outcome.quantities["n_starts"] == 1
    assert all(gate.passed for gate in outcome.gates)


def test_a_patient_search_finds_the_e_form_of_an_ester(tmp_path):
    """Methyl formate: E lies 4 to 6 kcal/mol above Z by experiment and theory."""
    outcome = run(tmp_path, "COC=O", patience=6, max_embeddings=20, energy_window_ev=0.5)
    twists = [atoms.get_dihedral(0, 1, 2, 3) for atoms in outcome.structures]
    trans = [
        energy for energy, t in zip(outcome.quantities["relative_energies_ev"], twists, strict=True) if 90 < t < 270
    ]
    assert not 90 < twists[0] < 270
    assert 3.0 < min(trans) / kcal_mol_to_ev(1.0) < 7.0


def test_a_saddle_point_is_told_from_a_minimum_and_left(tmp_path):
    """Eclipsed ethane falls along its torsion; what it falls to is staggered, and a minimum."""
    atoms = conformers.start("CC", 7, 0)
    atoms.positions -= atoms.positions[[0, 1]].mean(axis=0)
    atoms.positions[5:] = _reflected(atoms)
    assert xtb.relax(atoms, xtb.calculator(LEVEL, 0, 1), 0.0005, 200)
    way = xtb.downhill(atoms, LEVEL, 0, 1)
    assert way is not None
    assert np.abs(way).max() == pytest.approx(1.0)
    energy = atoms.get_potential_energy()
    atoms.positions += 0.15 * way
    assert xtb.relax(atoms, xtb.calculator(LEVEL, 0, 1), 0.0005, 200)
    assert atoms.get_potential_energy() < energy - kcal_mol_to_ev(1.0)
    assert xtb.downhill(atoms, LEVEL, 0, 1) is None


def _reflected(atoms: Atoms) -> np.ndarray:
    """Hydrogens of the first carbon, seen in the plane that halves the C-C bond."""
    axis = atoms.positions[1] - atoms.positions[0]
    axis /= np.linalg.norm(axis)
    mine = atoms.positions[[2, 3, 4]]
    return mine - 2 * (mine @ axis)[:, None] * axis


@pytest.mark.parametrize("atoms", [Atoms("H2", [[0, 0, 0], [0, 0, 0.77]]), Atoms("Li", [[0, 0, 0]])])
def test_a_line_and_a_point_have_no_way_down(atoms):
    charge = 1 if len(atoms) == 1 else 0
    assert xtb.downhill(atoms, LEVEL, charge, 1) is None


class Killed(BaseException):
    """Stands for a signal."""


@pytest.mark.parametrize(("smiles", "sampling"), [("CCCC", {}), ("CCO", {"patience": 3}), (LMC, {"max_embeddings": 4})])
def test_a_killed_search_goes_on_to_the_same_bytes(smiles, sampling, tmp_path, monkeypatch):
    spec, whole, torn = spec_of(smiles, **sampling), Store(tmp_path / "whole"), Store(tmp_path / "torn")
    relaxed, minimum = [], xtb_search._minimum

    def counted(*args, **kwargs):
        if len(relaxed) == 3:
            raise Killed
        relaxed.append(args)
        return minimum(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(xtb_search, "_minimum", counted)
        with pytest.raises(Killed):
            run_one(spec, torn)
    notes = torn.work(spec) / xtb_search.NOTES
    assert len(notes.read_text().splitlines()) == 3
    with notes.open("a") as file:
        file.write('{"what":"start 3","ener')  # the kill came here
    relaxed.clear()
    with monkeypatch.context() as patch:
        patch.setattr(xtb_search, "_minimum", lambda *a, **k: (relaxed.append(a), minimum(*a, **k))[1])
        again, afresh = run_one(spec, torn)[0], len(relaxed)
        straight = run_one(spec, whole)[0]
    assert afresh == len(relaxed) - afresh - 3  # the second run did three relaxations more
    assert again.to_bytes() == straight.to_bytes()
    assert torn.structure_path(spec).read_bytes() == whole.structure_path(spec).read_bytes()
    assert not notes.exists()


def test_diastereomers_are_not_mixed(tmp_path):
    with pytest.raises(ValueError, match="diastereomers"):
        run(tmp_path, "CC(O)C(F)Cl")


# -- complexes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smiles", [["O", "F"], ["O", "[Na+]"], ["O", "[F-]"]])
def test_complexes_are_bound_keep_their_bonds_and_their_order(smiles, tmp_path):
    outcome = run(tmp_path, smiles, max_embeddings=6)
    alone = sum(run(tmp_path, one, max_embeddings=2).quantities["energy_ev"] for one in smiles)
    assert outcome.status == "ok"
    assert -2.0 < outcome.quantities["energy_ev"] - alone < -0.1
    for atoms in outcome.structures:
        assert atoms.get_chemical_symbols() == complexes.symbols_of_complex(smiles)
        assert graphs.against(complexes.bonds_of_complex(smiles), atoms).status == "ok"
        assert complexes.parted(smiles, atoms) == ""
    assert outcome.quantities["discovery"][-1] == outcome.quantities["n_found"] == len(outcome.structures)


def test_sodium_and_water_meet_at_the_oxygen(tmp_path):
    atoms = run(tmp_path, ["O", "[Na+]"], max_embeddings=4).structures[0]
    assert atoms.get_distance(0, 3) < min(atoms.get_distance(1, 3), atoms.get_distance(2, 3))


def test_what_reacts_is_no_complex(tmp_path):
    """Hydronium gives its proton to hydroxide."""
    with pytest.raises(PhysicsFailure) as failure:
        run(tmp_path, ["[OH3+]", "[OH-]"], max_embeddings=3)
    assert failure.value.status == "rearranged"


# -- the engine ---------------------------------------------------------------------------------------------------


def test_relaxations_follow_the_forces_downhill(tmp_path):
    atoms = ion_pairs.starts(LMC, 1, 7)[0]
    before = energy_of(atoms, 0)
    assert xtb.relax(atoms, xtb.calculator(LEVEL, 0, 1), 0.02, 300, tmp_path / "relax.traj")
    assert atoms.get_potential_energy() < before
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() <= 0.02
    assert (tmp_path / "relax.traj").stat().st_size > 0


def test_the_model_hessian_is_symmetric_positive_and_blind_to_translation():
    atoms = conformers.starts(PHOSPHATE, 1, 7)[0]
    hessian = xtb.model_hessian(atoms)
    assert hessian == pytest.approx(hessian.T)
    assert np.linalg.eigvalsh(hessian).min() == pytest.approx(xtb.SOFT_MODE)
    shift = np.tile([1.0, 0.0, 0.0], len(atoms))
    assert hessian @ shift == pytest.approx(xtb.SOFT_MODE * shift)


def test_a_field_that_failed_is_no_start_of_the_next():
    from ase.build import molecule
    from ase.calculators.calculator import CalculationFailed

    atoms = molecule("CH3CH2OH")
    atoms.calc = xtb.calculator(LEVEL, 0, 1)
    energy = atoms.get_potential_energy()
    assert atoms.calc._res is not None
    atoms.calc.set(max_iterations=1)
    atoms.rattle(0.05)
    with pytest.raises(CalculationFailed):
        atoms.get_potential_energy()
    assert atoms.calc._res is None and atoms.calc._xtb is None
    atoms.calc.set(max_iterations=250)
    fresh = atoms.copy()
    fresh.calc = xtb.calculator(LEVEL, 0, 1)
    assert atoms.get_potential_energy() == fresh.get_potential_energy() != energy
