"""Laws of the molecular engine on small molecules: derivatives, ghosts, size, spin, solvation, resuming."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from pyscf import dft, gto

from crosstalk.config import load
from crosstalk.engines import fields, scf, stability
from crosstalk.engines import pyscf as engine
from crosstalk.engines import pyscf_relax as relaxation
from crosstalk.errors import EngineError, PhysicsFailure
from crosstalk.quantities import rounded
from crosstalk.record import Gate, Record
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.units import HARTREE_EV

ROOT = Path(__file__).parents[2]
LEVEL = {
    "engine": "pyscf",
    "functional": "b3lyp",
    "basis": "6-31g(d)",
    "dispersion": "d3bj",
    "basis_correction": None,
    "density_fit": "def2-universal-jkfit",
    "grid_level": 3,
    "scf_tolerance_ha": 1e-9,
    "max_cycles": 100,
    "stability": True,
}
R2SCAN_3C = {
    "functional": "r2scan",
    "basis": "def2-mtzvpp",
    "dispersion": "d4:r2scan-3c",
    "basis_correction": "r2scan3c",
}
PCM = {"model": "ief-pcm", "epsilon": 18.5}
SMD = {
    "model": "smd",
    "epsilon": 18.5,
    "smd_descriptors": {"n": 1.415, "alpha": 0.0, "beta": 0.735, "gamma": 20.2, "phi": 0.0, "psi": 0.0},
}


def energy(folder, atoms, level=None, **settings):
    """Outcome of a molecule_energy."""
    folder.mkdir(exist_ok=True)
    defaults = {"charge": 0, "multiplicity": 1, "environment": None, "index": 0, "real_atoms": None, "ghost_atoms": []}
    full = {**defaults, "level": LEVEL | (level or {}), **settings}
    spec = Spec("molecule_energy", "pyscf", full, {"geometry": "x"}, 1)
    return engine.molecule_energy(spec, {"geometry": Input(None, [atoms])}, folder)


def relax_spec(level=None, **settings):
    defaults = {"charge": 0, "multiplicity": 1, "environment": None, "index": 0, "fmax_ev_per_angstrom": 0.02}
    full = {**defaults, "max_steps": 50, "level": LEVEL | (level or {}), **settings}
    return Spec("molecule_relax", "pyscf", full, {"geometry": "x"}, 1)


def relax(folder, atoms, level=None, **settings):
    folder.mkdir(exist_ok=True)
    return relaxation.molecule_relax(relax_spec(level, **settings), {"geometry": Input(None, [atoms])}, folder)


def settings_of(level=None, **settings):
    return {"charge": 0, "multiplicity": 1, "environment": None, "level": LEVEL | (level or {}), **settings}


def lithium_hydride():
    return Atoms("LiH", [[0, 0, 0], [0, 0, 1.6]])


def stored(outcome):
    """What a record would hold."""
    return {name: rounded(name, value) for name, value in outcome.quantities.items()}


def test_density_fitting_costs_less_than_a_tenth_of_a_millihartree(tmp_path):
    found = {}
    for name in ("cc-pvtz-jkfit", None):
        level = LEVEL | {"basis": "6-311++g(d,p)", "density_fit": name, "grid_level": 1, "stability": False}
        surface = relaxation.Surface(settings_of(level), molecule("HCOOH"), tmp_path / str(name))
        surface.folder.mkdir()
        found[name] = surface.at(surface.start.positions).energy
    assert abs(found["cc-pvtz-jkfit"] - found[None]) < 1e-4 * HARTREE_EV
    assert found["cc-pvtz-jkfit"] != found[None]


@pytest.mark.parametrize("name", ["wb97m-v/def2-tzvppd", "wb97m-v/def2-qzvppd"])
def test_the_accurate_levels_are_plain_pyscf_s(tmp_path, name):
    """Neon: VV10 and the meta-GGA with the grids, fits and shortcuts that the config's levels take."""
    level = load(ROOT / "config").levels[name].identity()
    atoms = Atoms("Ne")
    found = energy(tmp_path, atoms, level).quantities
    mol = gto.M(atom=[*zip(atoms.symbols, atoms.positions, strict=True)], basis=level["basis"], verbose=0)
    plain = dft.RKS(mol, xc=level["functional"])
    plain.grids.level = level["grid_level"]
    reference = plain.kernel()
    assert found["energy_ev"] / HARTREE_EV == pytest.approx(reference, abs=1e-4)
    assert found["homo_ev"] / HARTREE_EV == pytest.approx(plain.mo_energy[mol.nelectron // 2 - 1], abs=3e-5)


def test_elements_that_an_auxiliary_basis_lacks_take_the_general_one():
    from pyscf import gto
    from pyscf.gto import basis

    mol = gto.M(atom="Li 0 0 0; GHOST-F 0 0 1.6", basis="6-31g", charge=1)
    found = fields.auxiliary_basis(mol, "cc-pvtz-jkfit")  # has none for lithium
    assert found["Li"] == basis.load("def2-universal-jkfit", "Li")
    assert found["F"] == basis.load("cc-pvtz-jkfit", "F")


@pytest.mark.parametrize(
    ("level", "settings"),
    [
        ({}, {}),
        ({"density_fit": None}, {}),
        (R2SCAN_3C, {}),
        ({"functional": "wb97x-v", "dispersion": None, "grid_level": 3}, {}),
        ({}, {"charge": 1, "multiplicity": 2}),
        ({}, {"environment": PCM}),
    ],
    ids=["b3lyp-d3", "exact-integrals", "r2scan-3c", "vv10-range-separated", "cation", "continuum"],
)
def test_gradient_is_the_slope_of_the_energy(tmp_path, level, settings):
    atoms = molecule("H2O")
    atoms.positions[1] += [0.0, 0.03, -0.02]  # away from the minimum and from symmetry
    finer = {"grid_level": 5, "scf_tolerance_ha": 1e-11, "stability": False, **level}
    surface = relaxation.Surface(settings_of(finer, **settings), atoms, tmp_path)
    gradient = surface.at(atoms.positions).gradient
    step, values = 2e-3, []
    for sign in (1, -1):
        shifted = atoms.positions.copy()
        shifted[1, 1] += sign * step
        values.append(surface.at(shifted).energy)
    # grid weights follow the atoms and PySCF's gradients leave that out: some meV/Angstrom, far below any fmax in use
    assert gradient[1, 1] == pytest.approx((values[0] - values[1]) / (2 * step), abs=5e-3)
    assert abs(gradient[1, 1]) > 0.1


def test_the_gradient_contains_the_dispersion_term(tmp_path):
    atoms = molecule("H2O")
    gradients = {}
    for name in ("d3bj", None):
        folder = tmp_path / str(name)
        folder.mkdir()
        problem = engine.Problem.of(settings_of({"dispersion": name}), atoms, folder)
        gradients[name] = (
            relaxation.Surface(settings_of({"dispersion": name}), atoms, folder).at(atoms.positions).gradient
        )
    _, term = engine.Problem.of(settings_of(), atoms, tmp_path).corrections()
    assert problem.corrections()[0]["dispersion_ev"] == 0
    assert np.allclose(gradients["d3bj"] - gradients[None], term, atol=1e-5)
    assert abs(term).max() > 1e-4


def test_ghosts_lower_the_energy_and_nothing_else(tmp_path):
    pair = molecule("H2O") + Atoms("Li", [[0, 0, 2.0]])
    alone = energy(tmp_path / "a", pair, real_atoms=[0, 1, 2])
    ghost = energy(tmp_path / "b", pair, real_atoms=[0, 1, 2], ghost_atoms=[3])
    assert ghost.quantities["energy_ev"] < alone.quantities["energy_ev"] - 1e-4
    assert ghost.quantities["dispersion_ev"] == alone.quantities["dispersion_ev"]
    assert ghost.quantities["n_basis"] > alone.quantities["n_basis"]


def test_ghosts_in_a_continuum_are_refused(tmp_path):
    pair = molecule("H2O") + Atoms("Li", [[0, 0, 2.0]])
    with pytest.raises(EngineError, match="ghost"):
        energy(tmp_path, pair, real_atoms=[0, 1, 2], ghost_atoms=[3], environment=PCM)


def test_an_unconverged_field_is_no_number(tmp_path):
    stretched = Atoms("Cr2", [[0, 0, 0], [0, 0, 1.7]])
    with pytest.raises(PhysicsFailure, match="diis, level_shift, second_order") as failure:
        energy(tmp_path, stretched, {"max_cycles": 2, "dispersion": None, "basis": "def2-svp", "grid_level": 0})
    assert failure.value.status == "not_converged"
    assert "nan" not in failure.value.reason
    assert not (tmp_path / "scf.chk").exists()  # it has ended: a repetition must not go on from here and end elsewhere


def test_the_ladder_stops_at_the_rung_that_works(tmp_path):
    outcome = energy(tmp_path, molecule("H2O"))
    assert outcome.rungs == ["diis"]
    assert all(gate.passed for gate in outcome.gates)


@pytest.mark.parametrize("rung", ["level_shift", "second_order"])
def test_every_rung_arrives_at_the_same_field(tmp_path, rung):
    problem = engine.Problem.of(settings_of(), molecule("H2O"), tmp_path)
    reference, other = problem.mean_field(), problem.mean_field()
    scf.climb(reference, None, scf.Journal())
    scf.climb(other, None, scf.Journal(), [rung])
    assert reference.converged
    assert other.converged
    assert other.e_tot == pytest.approx(reference.e_tot, abs=1e-8)


def test_an_open_shell_has_the_levels_of_its_own_fock_matrix(tmp_path):
    problem = engine.Problem.of(settings_of(charge=1, multiplicity=2), molecule("H2O"), tmp_path)
    mf = problem.mean_field()
    scf.climb(mf, None, scf.Journal())
    levels = np.einsum("smi,smn,sni->si", mf.mo_coeff, mf.get_fock(), mf.mo_coeff)
    assert mf.converged and mf.mo_energy == pytest.approx(levels, abs=1e-5)


def test_a_doublet_starts_from_the_orbitals_of_its_closed_shell(tmp_path):
    for charge in (1, -1):
        level = settings_of(charge=charge, multiplicity=2)["level"]
        mf = engine.Problem.of(settings_of(charge=charge, multiplicity=2), molecule("H2O"), tmp_path).mean_field()
        density = scf._one_electron_off(mf, level)
        overlap = mf.get_ovlp()
        assert [np.vdot(overlap, d) for d in density] == pytest.approx(mf.nelec)
        for d in density:
            assert d @ overlap @ d == pytest.approx(d, abs=1e-8)


def test_a_molecule_twice_is_twice_a_molecule(tmp_path):
    one = molecule("LiF")
    far = one.copy()
    far.translate([50.0, 0, 0])
    single = energy(tmp_path / "a", one).quantities
    double = energy(tmp_path / "b", one + far).quantities
    # two parallel dipoles of 6 debye at 50 Angstrom repel by mu^2/R^3 = 2e-4 eV
    assert double["energy_ev"] == pytest.approx(2 * single["energy_ev"], abs=5e-4)
    assert double["homo_ev"] == pytest.approx(single["homo_ev"], abs=2e-2)  # each feels the other's dipole: mu/R^2
    assert double["dipole_debye"] == pytest.approx(2 * single["dipole_debye"], rel=1e-2)


def test_a_continuum_stabilises_a_dipole_and_an_ion_more(tmp_path):
    gas = energy(tmp_path / "a", lithium_hydride()).quantities
    solution = energy(tmp_path / "b", lithium_hydride(), environment=PCM).quantities
    ion = energy(tmp_path / "c", Atoms("Li"), charge=1, environment=PCM).quantities
    assert solution["energy_ev"] < gas["energy_ev"]
    assert solution["dipole_debye"] > gas["dipole_debye"]
    assert ion["solvation_ev"] < solution["solvation_ev"] < 0


def test_a_charged_sphere_is_born_s(tmp_path):
    from pyscf.solvent.pcm import modified_Bondi

    proton = energy(tmp_path, Atoms("H"), charge=1, environment={"model": "c-pcm", "epsilon": 18.5})
    born_ha = -0.5 * (1 - 1 / 18.5) / (1.2 * modified_Bondi[1])
    assert proton.quantities["solvation_ev"] == pytest.approx(born_ha * engine.HARTREE_EV, rel=5e-3)
    assert "homo_ev" not in proton.quantities


def test_smd_takes_its_descriptors(tmp_path):
    acid = {**SMD, "smd_descriptors": {**SMD["smd_descriptors"], "alpha": 0.8}}
    values = [energy(tmp_path / str(i), molecule("H2O"), environment=e).quantities for i, e in enumerate((SMD, acid))]
    assert values[0]["solvation_ev"] < 0
    assert values[0]["energy_ev"] != pytest.approx(values[1]["energy_ev"], abs=1e-3)


def test_what_a_continuum_keeps_changes_nothing(tmp_path):
    problem = engine.Problem.of(settings_of(environment=PCM), lithium_hydride(), tmp_path)
    kept = problem.mean_field().with_solvent
    plain = type(kept)(problem.molecule)
    plain.method, plain.eps = kept.method, kept.eps
    density = problem.mean_field().get_init_guess()
    for mine, theirs in zip(kept.kernel(density), plain.kernel(density), strict=True):
        assert np.allclose(mine, theirs, atol=1e-10)
    assert np.allclose(kept._B_dot_x(density), plain._B_dot_x(density), atol=1e-10)
    both = np.array([density, 0.5 * density])
    assert np.allclose(kept.kernel(both)[1], plain.kernel(both)[1], atol=1e-10)
    assert np.allclose(kept._B_dot_x(both), plain._B_dot_x(both), atol=1e-10)


@pytest.mark.parametrize("environment", [PCM, SMD], ids=["pcm", "smd"])
def test_forces_of_a_continuum_are_the_library_s(tmp_path, environment):
    problem = engine.Problem.of(settings_of(environment=environment), lithium_hydride(), tmp_path)
    mine = problem.mean_field().with_solvent
    density = problem.mean_field().get_init_guess()
    assert np.allclose(mine.grad(density), type(mine).grad(mine, density), atol=1e-9)


def test_spin_on_a_partner_tells_who_took_the_electron(tmp_path):
    water = molecule("H2O")
    beside = water + Atoms("Li", [water.positions[0] + [0, 0, 1.9]])  # holds its electron itself
    superoxide = Atoms("O2Li", [[0, 0, 0.67], [0, 0, -0.67], [0, 1.65, 0]])  # gave it away
    on_lithium = [
        energy(tmp_path / str(i), atoms, multiplicity=2, partner=[len(atoms) - 1]).quantities["partner_spin"]
        for i, atoms in enumerate((beside, superoxide))
    ]
    assert on_lithium[0] == pytest.approx(1.0, abs=0.2) and on_lithium[1] == pytest.approx(0.0, abs=0.1)


def test_triplet_oxygen_has_its_spin(tmp_path):
    outcome = energy(tmp_path, molecule("O2"), multiplicity=3)
    assert outcome.quantities["s_squared"] == pytest.approx(2.0, abs=0.02)
    assert {gate.name: gate.passed for gate in outcome.gates} == {"scf_converged": True, "stable": True, "spin": True}


def test_a_closed_shell_that_wants_to_separate_is_marked(tmp_path):
    outcome = energy(tmp_path, Atoms("H2", [[0, 0, 0], [0, 0, 3.0]]))
    stable = next(gate for gate in outcome.gates if gate.name == "stable")
    assert (stable.passed, stable.value) == (False, "unrestricted")


def test_the_lowest_mode_agrees_with_the_library(tmp_path):
    problem = engine.Problem.of(settings_of(), Atoms("H2", [[0, 0, 0], [0, 0, 3.0]]), tmp_path)
    mf = problem.mean_field()
    mf.kernel()
    mf.verbose = 0
    _, _, internal, external = mf.stability(external=True, return_status=True)
    assert internal == (stability.lowest_mode(mf)[0] > stability.UNSTABLE_BELOW)
    assert external == (stability.lowest_mode(mf, triplet=True)[0] > stability.UNSTABLE_BELOW)


def test_an_instability_is_followed_downhill(tmp_path):
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 3.0]])
    problem = engine.Problem.of(settings_of(), atoms, tmp_path)
    mf = problem.mean_field().to_uks()
    closed = np.asarray(mf.get_init_guess())
    mf.kernel(dm0=np.array([closed.sum(axis=0) / 2] * 2))  # equal spins: a saddle between two broken-symmetry minima
    before, journal = mf.e_tot, scf.Journal()
    scf.settle(mf, journal)
    assert journal.rungs[0] == "stability_followed"  # then the ladder, from where that led
    assert mf.e_tot < before - 0.01


def test_one_electron_and_none(tmp_path):
    atom = energy(tmp_path / "a", Atoms("H"), multiplicity=2, level={"dispersion": None})
    assert atom.quantities["s_squared"] == pytest.approx(0.75, abs=1e-6)
    proton = energy(tmp_path / "b", Atoms("H"), charge=1)
    assert proton.quantities["energy_ev"] == 0


def test_no_such_structure_is_absent(tmp_path):
    assert energy(tmp_path, molecule("H2O"), index=3).status == "absent"


def test_the_same_spec_twice_is_the_same_record(tmp_path):
    first, second = (energy(tmp_path, molecule("H2O")) for _ in range(2))
    assert stored(first) == stored(second)
    assert first.rungs == second.rungs


class _Killed(BaseException):
    """Stands for a signal."""


def test_a_killed_energy_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    whole = energy(tmp_path / "a", molecule("H2O"))
    cycles, dump = [], scf.climb

    def killed(mf, density, journal, first=scf.RUNGS[0], check=True, pairs=None):
        if mf.chkfile is None or not str(mf.chkfile).startswith(str(tmp_path)):
            return dump(mf, density, journal, first)
        mf.max_cycle = 6
        journal.add("diis")
        mf.kernel(dm0=density)
        raise _Killed

    monkeypatch.setattr(scf, "climb", killed)
    with pytest.raises(_Killed):
        energy(tmp_path / "b", molecule("H2O"))
    assert (tmp_path / "b" / "scf.chk").exists()
    monkeypatch.setattr(scf, "climb", dump)
    monkeypatch.setattr(scf, "_coarse_density", lambda *_: cycles.append("cold start"))
    resumed = energy(tmp_path / "b", molecule("H2O"))
    assert not cycles
    assert resumed.quantities["energy_ev"] == pytest.approx(whole.quantities["energy_ev"], abs=1e-6)
    assert resumed.rungs == whole.rungs
    assert not (tmp_path / "b" / "scf.chk").exists()


def test_a_checkpoint_cut_short_is_thrown_away(tmp_path):
    (tmp_path / "scf.chk").write_bytes(b"\x89HDF cut short")
    assert energy(tmp_path, molecule("H2O")).status == "ok"


def test_relaxed_water_is_a_minimum(tmp_path):
    start = molecule("H2O")
    start.positions[1] *= 1.1
    outcome = relax(tmp_path, start)
    final = outcome.structures[0]
    assert outcome.status == "ok"
    assert outcome.quantities["max_force_ev_per_angstrom"] <= 0.02
    assert outcome.quantities["energy_ev"] < energy(tmp_path, start).quantities["energy_ev"]
    assert outcome.quantities["energy_ev"] == pytest.approx(energy(tmp_path, final).quantities["energy_ev"], abs=1e-5)
    assert final.get_distance(0, 1) == pytest.approx(final.get_distance(0, 2), abs=0.005)  # symmetry comes back


def test_too_few_steps_are_no_geometry(tmp_path):
    start = molecule("H2O")
    start.positions[1] *= 1.2
    with pytest.raises(PhysicsFailure, match="after 1 steps") as failure:
        relax(tmp_path, start, max_steps=1)
    assert failure.value.status == "not_converged"


def test_a_molecule_that_falls_apart_is_named(tmp_path):
    triplet = Atoms("H2", [[0, 0, 0], [0, 0, 0.75]])  # no bond in it
    hydrogen = relax(tmp_path, triplet, multiplicity=3, fmax_ev_per_angstrom=0.3)
    assert hydrogen.status == "dissociated"
    assert "H0-H1" in hydrogen.reason


def test_an_ion_alone_has_nothing_to_relax(tmp_path):
    outcome = relax(tmp_path, Atoms("Li"), charge=1)
    assert outcome.quantities["n_steps"] == 0
    assert outcome.quantities["max_force_ev_per_angstrom"] == pytest.approx(0, abs=1e-6)


def test_a_killed_relaxation_goes_on_from_its_last_step(tmp_path, monkeypatch):
    start = molecule("H2O")
    start.positions[1] *= 1.1
    whole = relax(tmp_path / "a", start)
    compute, done = relaxation.Surface._compute, []

    def killed(self, positions):
        if len(done) == 3:
            raise _Killed
        done.append(positions)
        return compute(self, positions)

    monkeypatch.setattr(relaxation.Surface, "_compute", killed)
    with pytest.raises(_Killed):
        relax(tmp_path / "b", start)
    path = tmp_path / "b" / "relax.jsonl"
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 3
    monkeypatch.setattr(relaxation.Surface, "_compute", lambda self, p: (done.append(p), compute(self, p))[1])
    resumed = relax(tmp_path / "b", start)
    assert len(done) == whole.quantities["n_steps"] + 1  # nothing was computed twice
    assert np.allclose(resumed.structures[0].positions, whole.structures[0].positions, atol=1e-4)
    assert resumed.quantities["energy_ev"] == pytest.approx(whole.quantities["energy_ev"], abs=1e-6)


# -- forces with the grid's response -------------------------------------------------------------------------------

R2SCAN = {
    "functional": "r2scan",
    "basis": "def2-svp",
    "dispersion": "d4",
    "stability": False,
    "scf_tolerance_ha": 1e-11,
}


@pytest.mark.parametrize("name", ["HF", "H2O"])
def test_forces_of_a_meta_gga_are_the_slope_of_its_energy(tmp_path, name):
    """On the grid that is used: with the response of its weights the gradient is that of the energy as it is computed."""
    atoms = Atoms("HF", [[0, 0, 0], [0.1, 0.05, 0.95]]) if name == "HF" else molecule(name)
    surface = relaxation.Surface(settings_of(R2SCAN), atoms, tmp_path)
    gradient = surface.at(atoms.positions).gradient
    step, slopes = 2e-3, []
    for axis in (1, 2):
        ends = []
        for sign in (1, -1):
            moved = atoms.positions.copy()
            moved[1, axis] += sign * step
            ends.append(surface.at(moved).energy)
        slopes.append((ends[0] - ends[1]) / (2 * step))
    # third derivatives of a stretch, some 500 eV/Angstrom^3, leave step^2/6 of that: 3e-4 eV/Angstrom; the energies'
    # tolerance on two grids, 3e-10 eV, nothing. Without the response the forces of r2SCAN are off by up to 0.02.
    assert gradient[1, 1:] == pytest.approx(slopes, abs=1e-3)
    assert abs(gradient.sum(axis=0)).max() < 1e-4  # translation costs nothing: the grid goes along
    assert abs(gradient).max() > 0.05


def test_without_the_grid_s_response_forces_do_not_add_up(tmp_path):
    problem = engine.Problem.of(settings_of(R2SCAN), molecule("H2O"), tmp_path)
    mf = problem.mean_field()
    scf.solve(mf, problem.level, tmp_path)
    sums = {}
    for response in (False, True):
        slope = mf.nuc_grad_method()
        slope.grid_response = response
        sums[response] = abs(np.asarray(slope.kernel()).sum(axis=0)).max()
    assert sums[True] < 1e-5 < 1e-4 < sums[False]


# -- conformers in order -------------------------------------------------------------------------------------------

CHEAP = {"functional": "pbe", "basis": "sto-3g", "dispersion": None, "stability": False, "grid_level": 1}


def rerank(folder, structures, relative, degeneracies=None, **changes):
    folder.mkdir(exist_ok=True)
    settings = settings_of(CHEAP, **{"window_ev": 0.2, "keep": 2, **changes})
    quantities = {"relative_energies_ev": relative, "degeneracies": degeneracies or [1] * len(relative)}
    search = Record(Spec("conformers", "xtb", {}, {}, 1), "ok", "", quantities, (), (), {}, {})
    return engine.rerank(Spec("rerank", "pyscf", settings, {"geometry": "x"}, 1), {"geometry": Input(search, structures)}, folder)  # fmt: skip


def stretched(*lengths):
    return [Atoms("HF", [[0, 0, 0], [0, 0, length]]) for length in lengths]


def test_conformers_are_put_in_the_order_of_the_better_level(tmp_path):
    found = stretched(1.3, 0.95, 1.1, 0.96)
    outcome = rerank(tmp_path, found, [0.0, 0.1, 0.15, 0.3], [1, 2, 3, 4])
    bonds = [atoms.get_distance(0, 1) for atoms in outcome.structures]
    assert bonds == pytest.approx([0.95, 1.1])  # 1.3 was the lowest of the search; 0.96 lay outside its window
    q = outcome.quantities
    assert (q["n_found"], q["n_reranked"], q["degeneracies"]) == (2, 3, [2, 3])
    assert q["relative_energies_ev"][0] == 0 < q["relative_energies_ev"][1]
    single = energy(tmp_path / "x", found[1], CHEAP).quantities["energy_ev"]
    assert q["energy_ev"] == pytest.approx(single, abs=1e-6)
    assert sum(q["weights"]) == pytest.approx(1) and all(gate.passed for gate in outcome.gates)


def test_a_killed_rerank_ends_as_if_nothing_had_happened(tmp_path, monkeypatch):
    calls = []

    def doubtful(mf):
        """The first conformer misses a gate; the kill comes in the third."""
        calls.append(mf)
        return Gate("spin", len(calls) > 1, 0.2, 0.1)

    monkeypatch.setattr(engine, "spin_gate", doubtful)
    whole = rerank(tmp_path / "a", stretched(0.9, 1.0, 1.1), [0.0, 0.1, 0.15])
    calls.clear()
    solve = scf.solve
    monkeypatch.setattr(scf, "solve", lambda *a: solve(*a) if len(calls) < 2 else (_ for _ in ()).throw(_Killed))
    with pytest.raises(_Killed):
        rerank(tmp_path / "b", stretched(0.9, 1.0, 1.1), [0.0, 0.1, 0.15])
    monkeypatch.setattr(scf, "solve", solve)
    resumed = rerank(tmp_path / "b", stretched(0.9, 1.0, 1.1), [0.0, 0.1, 0.15])
    assert len(calls) == 3  # nothing was computed twice
    assert stored(resumed) == stored(whole)
    assert resumed.gates == whole.gates and not whole.gates[0].passed
    assert resumed.rungs == whole.rungs


# -- bonds ---------------------------------------------------------------------------------------------------------


def test_a_changed_connectivity_is_a_failure_or_a_result(tmp_path):
    bound, apart = molecule("H2O"), molecule("H2O")
    apart.positions[1] += [0, 4.0, 0]
    status, gates = relaxation.kept_bonds(bound, apart, "kept")
    assert status[0] == "dissociated" and not gates[0].passed
    reported, same = relaxation.kept_bonds(bound, apart, "reported")
    assert reported == ("ok", "") and same == gates
    assert "dissociated" in gates[0].value and "now" in gates[0].value and "H" in gates[0].value
    kept, passed = relaxation.kept_bonds(bound, bound, "kept")
    assert kept == ("ok", "") and passed[0].passed


def test_an_ion_that_falls_apart_is_a_result_where_that_is_asked(tmp_path):
    triplet = Atoms("H2", [[0, 0, 0], [0, 0, 0.75]])
    outcome = relax(tmp_path, triplet, CHEAP, multiplicity=3, fmax_ev_per_angstrom=0.3, connectivity="reported")
    gate = next(gate for gate in outcome.gates if gate.name == "connectivity")
    assert outcome.status == "ok" and not gate.passed and gate.value.startswith("dissociated")
    assert outcome.structures[0].get_distance(0, 1) > 1.2


def test_open_d_shells_take_the_lowest_of_several_guesses(tmp_path, monkeypatch):
    """Of NiO (PBE0) superposed atoms lead to a stable solution that is no ground state; the journal names the better guess."""
    oxide = Atoms("NiO", [[0, 0, 0], [0, 0, 1.627]])
    level = {"functional": "pbe0", "basis": "def2-svpd", "dispersion": None, "scf_tolerance_ha": 1e-8, "grid_level": 0}
    energies = []
    for guesses in (scf.GUESSES, scf.GUESSES[:1]):
        monkeypatch.setattr(scf, "GUESSES", guesses)
        folder = tmp_path / str(len(guesses))
        folder.mkdir()
        problem = engine.Problem.of(settings_of(level, multiplicity=3), oxide, folder)
        solution = scf.solve(problem.mean_field(), problem.level, folder)
        assert next(gate for gate in solution.gates if gate.name == "stable").passed
        energies.append(float(solution.field.e_tot))
        assert any(rung.startswith("guess_") for rung in solution.rungs) == (len(guesses) > 1)
    assert energies[0] < energies[1] - 1e-3
