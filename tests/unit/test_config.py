"""The check at the door: every mistake gets one line that names file, entry, key, and what is allowed."""

import json
import time
from pathlib import Path

import pytest

from crosstalk.config import load, schema
from crosstalk.errors import ConfigError
from crosstalk.plan import make

ROOT = Path(__file__).parents[2]


def problems(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder)
    return caught.value.problems


def test_shipped_config_is_clean():
    config = load(ROOT / "config")
    assert config.default in config.campaigns


@pytest.mark.parametrize("name", load(ROOT / "config").campaigns)
def test_every_shipped_campaign_has_a_plan(name):
    plan = make(load(ROOT / "config"), name)
    assert plan.entries
    seen: set[str] = set()
    for key, spec in plan.specs.items():
        assert set(spec.inputs.values()) <= seen, "inputs come before those that need them"
        seen.add(key)


#: (file, path of the value, bad value, words that the one problem must hold)
MISTAKES = [
    ("species", "species.EC.smile", "C", ["species.yaml", "'EC'", "unknown key 'smile'", "did you mean 'smiles'"]),
    ("species", "species.EC.smiles", "C1CC", ["species.yaml", "'EC'", "smiles"]),
    ("species", "species.EC.charge", 1, ["'EC'", "charge", "0"]),
    ("species", "species.EC.multiplicity", 2, ["'EC'", "multiplicity", "electrons", "odd"]),
    ("species", "species.EC.multiplicity", "one", ["'EC'", "multiplicity", "integer"]),
    ("species", "species.ethylene", {"smiles": "C1COC(=O)O1"}, ["'ethylene'", "means the same as 'EC'"]),
    ("species", "species.LMC.dissociation.remainder", "LiCO3-", ["'LMC'", "do not balance"]),
    ("species", "species.LMC.dissociation.ion", "Li", ["'LMC'", "unknown species 'Li'", "did you mean", "'Li+'"]),
    ("species", "species.new", {"geometry": "nowhere.xyz", "charge": 0}, ["'new'", "nowhere.xyz", "cannot be read"]),
    ("species", "species.new", {"title": "nothing"}, ["'new'", "exactly one of smiles, geometry"]),
    ("levels", ["levels", "b3lyp-d3/6-31g*", "functional"], "b3lip", ["levels.yaml", "unknown functional 'b3lip'", "did you mean"]),
    ("levels", ["levels", "b3lyp-d3/6-31g*", "basis"], "6-31q", ["levels.yaml", "unknown basis '6-31q'"]),
    ("levels", ["levels", "b3lyp-d3/6-31g*", "basis"], "sto-3", ["levels.yaml", "unknown basis 'sto-3'", "did you mean"]),
    ("levels", ["levels", "pbe-d3/pw350", "cutoff_ry"], 40, ["unknown key 'cutoff_ry'", "did you mean 'cutoff_ev'"]),
    ("levels", ["levels", "pbe-d3/pw350", "cutoff_ev"], "350 eV", ["cutoff_ev", "number", "in eV"]),
    ("levels", ["levels", "pbe-d3/pw350", "functional"], "PEB", ["unknown functional 'PEB'", "did you mean 'PBE'"]),
    ("levels", ["levels", "pbe-d3/pw350", "engine"], "gpwa", ["engine", "'gpwa'", "allowed", "did you mean 'gpaw'"]),
    ("levels", "tiers.quick.poses.level", "gfn3", ["'quick'", "poses", "unknown level 'gfn3'", "did you mean"]),
    ("levels", "tiers.quick.poses.level", "b3lyp-d3/6-31g*", ["poses", "is for pyscf", "needs xtb or ase"]),
    ("levels", "levels.mine", {"engine": "ase", "calculator": "potentials.best:Mine"}, ["'mine'", "no module 'potentials.best'"]),
    ("levels", "levels.mine", {"engine": "ase", "calculator": "EMT"}, ["'mine'", "calculator", "pattern"]),
    ("levels", "tiers.quick.observables.adsorption.levels", ["pbe-d3/lcao-dzp"], ["LCAO", "counterpoise", "'decompose'"]),
    ("levels", "tiers.quick.observables.binding.environments", ["water"], ["unknown environment 'water'"]),
    ("levels", "tiers.quick.observables.frontier.level", ["gfn2"], ["unknown key 'level'", "did you mean 'levels'"]),
    ("levels", "environments.gas2", {"model": None, "epsilon": None}, ["'gas2'", "means the same as 'gas'"]),
    ("config", "campaigns.quick.tier", "qick", ["config.yaml", "'quick'", "unknown tier 'qick'", "did you mean 'quick'"]),
    ("config", "campaigns.quick.observables.frontier.species", ["ECC"], ["unknown species or group 'ECC'", "did you mean 'EC'"]),
    ("config", "campaigns.quick.observables.frontier.species", ["carbonats"], ["'carbonats'", "did you mean 'carbonates'"]),
    ("config", "campaigns.quick.observables", {}, ["empty campaign"]),
    ("config", "campaigns.quick.observables.frontier.species", [], ["empty", "species"]),
    ("config", "campaigns.quick.observables.binding.species", ["EC"], ["'EC'", "no dissociation"]),
    ("config", "campaigns.quick.observables.redux", {"species": ["EC"]}, ["unknown observable 'redux'", "did you mean 'redox'"]),
    ("reactions", "reactions.opf2-lmc.products.LiF", 2, ["reactions.yaml", "'opf2-lmc'", "does not balance", "Li +1"]),
    ("reactions", "reactions.opf2-lmc.products.LiFF", 1, ["'opf2-lmc'", "unknown species", "did you mean 'LiF'"]),
    ("species", "species.EC.fixed", True, ["'EC'", "fixed is for a species with a geometry"]),
    ("claims", "claims.homo-order.validation", "validation-ionization", ["'homo-order'", "did you mean 'validation-ionisation'"]),
    ("levels", "tiers.standard.observables.redox.partner_environments", ["ec-emc-smt"], ["partner_environments", "did you mean 'ec-emc-smd'"]),
    ("levels", "tiers.standard.observables.redox.only", {"reduction": ["electrolytes"]}, ["only.reduction", "did you mean 'electrolyte'"]),
    ("levels", "tiers.standard.observables.redox.poses.oxidation", ["EMCC"], ["poses.oxidation", "did you mean 'EMC'"]),
    ("levels", "tiers.standard.observables.redox.partners.oxidation", ["PF66-"], ["partners", "did you mean 'PF6-'"]),
    ("levels", "tiers.standard.observables.binding.exchange", "EC", ["exchange", "must be a species with a dissociation"]),
    ("surfaces", "surfaces.graphite-basal-1.repeat", [3, 4], ["'graphite-basal-1'", "'repeat'", "7.4 Angstrom apart", "at least 8", "[4, 4]"]),
    ("config", "campaigns.quick.observables.adsorption.adsorbates", ["PF6-"], ["'PF6-' has charge -1", "periodic cell"]),
    ("config", "default", "fast", ["unknown campaign 'fast'"]),
    ("glasses", "glasses.sio-amorphous.composition", {"Si": 8, "Sn": 8}, ["glasses.yaml", "'sio-amorphous'", "unknown element 'Sn'"]),
    ("glasses", "glasses.sio-amorphous.shape", [1, 1, 0.1], ["glasses.yaml", "'shape'", "too narrow"]),
    ("glasses", "glasses.sio-amorphous.valence", 1.0, ["unknown key 'valence'", "did you mean 'valence_ev'"]),
    ("references", "references.ec-dipole.unit", "C m", ["references.yaml", "'ec-dipole'", "unit", "allowed: D"]),
    ("references", "references.ec-dipole.quantity", "dipole", ["'dipole'", "did you mean 'dipole_debye'"]),
    ("references", "references.ec-dipole.where.species", "CE", ["'CE'"]),
    ("claims", "claims.homo-order.subject.species", "EMD", ["claims.yaml", "'homo-order'", "'EMD'", "did you mean"]),
    ("claims", "claims.homo-order.relation", "over", ["relation", "above"]),
    ("claims", "claims.work-function-order.optional_groups", ["graphite-edge"], ["optional_groups", "did you mean 'graphite-edges'"]),
    ("levels", "tiers.standard.observables.adsorption.charges", "bader", ["charges", "hirshfeld"]),
    ("levels", "levels.beef-vdw/pw400.dispersion", "d3bj", ["beef-vdw/pw400", "dispersion", "allowed: null"]),
    ("claims", "claims.homo-order.table", None, ["'homo-order'", "needs table"]),
]  # fmt: skip


@pytest.mark.parametrize(("file", "path", "value", "words"), MISTAKES)
def test_a_mistake_gets_one_clear_line(config_dir, edit, file, path, value, words):
    edit(file, path, value)
    found = problems(config_dir)
    fitting = [line for line in found if all(word in line for word in words)]
    assert fitting, f"no line holds {words}:\n" + "\n".join(found)


def test_negative_vacuum(config_dir, edit):
    name = next(iter(load(config_dir).surfaces))
    edit("surfaces", ["surfaces", name, "vacuum_angstrom"], -3.0)
    (line,) = problems(config_dir)
    assert "surfaces.yaml" in line and name in line and "greater than" in line


def test_element_without_paw_dataset(config_dir, edit):
    edit("species", "species.uranium", {"smiles": "[U]"})
    edit("config", "campaigns.quick.observables.adsorption.adsorbates", ["uranium"])
    (line, *_) = problems(config_dir)
    assert "no PAW dataset U.PBE" in line and "uranium" in line


def test_element_without_basis(config_dir, edit):
    edit("species", "species.uranium", {"smiles": "[U]", "multiplicity": 5})
    edit("config", "campaigns.quick.observables.frontier.species", ["uranium"])
    assert any("has no functions for U" in line and "uranium" in line for line in problems(config_dir))


def test_duplicate_name(config_dir):
    path = config_dir / "species.yaml"
    path.write_text(path.read_text() + "\n  EC: {smiles: O=C1OCCO1}\n")
    (line,) = problems(config_dir)
    assert "duplicate name 'EC'" in line and "line" in line


def test_broken_yaml_and_missing_file(config_dir):
    (config_dir / "claims.yaml").write_text("claims: [unclosed")
    (config_dir / "species.yaml").unlink()
    text = "\n".join(problems(config_dir))
    assert "claims.yaml, line" in text and "species.yaml: cannot be read" in text


def test_all_problems_of_all_files_come_at_once(config_dir, edit):
    edit("species", "species.EC.smile", "C")
    edit("levels", ["levels", "pbe-d3/pw350", "cutof_ev"], 3)
    edit("config", "campaigns.quick.tier", "qick")
    edit("claims", "claims.homo-order.relation", "over")
    text = "\n".join(problems(config_dir))
    assert all(word in text for word in ("smile", "cutof_ev", "qick", "over"))


def test_exponents_without_a_dot_are_numbers(config_dir):
    path = config_dir / "levels.yaml"
    path.write_text(path.read_text().replace("basis: 6-31g(d)\n", "basis: 6-31g(d)\n    scf_tolerance_ha: 1e-8\n", 1))
    assert load(config_dir).levels["b3lyp-d3/6-31g*"].scf_tolerance_ha == 1e-8


def test_campaign_file(config_dir):
    (config_dir / "campaigns").mkdir(exist_ok=True)
    (config_dir / "campaigns" / "mine.yaml").write_text(
        "tier: quick\nobservables: {frontier: {species: [carbonates, VC]}}\n"
    )
    plan = make(load(config_dir), "mine")
    assert next(e.subject["species"] for e in plan.entries) == "EC"


def test_several_combinations_of_subjects_are_one_table_without_twins(config_dir):
    (config_dir / "campaigns").mkdir(exist_ok=True)
    path, tier = config_dir / "campaigns" / "mine.yaml", "tier: quick\n"
    pairs = "[{adsorbates: [EC, EMC], surfaces: [graphite-basal-1]}, {adsorbates: [EC], surfaces: [quick-surfaces]}]"
    path.write_text(f"{tier}observables: {{adsorption: {pairs}}}\n")
    plan = make(load(config_dir), "mine")
    found = [(entry.subject["adsorbate"], entry.subject["surface"]) for entry in plan.table("adsorption")]
    quick = [name for name, surface in plan.config.surfaces.items() if "quick-surfaces" in surface.groups]
    expected = [("EC", "graphite-basal-1"), ("EMC", "graphite-basal-1"), *(("EC", name) for name in quick)]
    assert sorted(found) == sorted(set(expected))

    def told(text: str) -> str:
        path.write_text(f"{tier}observables: {{adsorption: {text}}}\n")
        return "\n".join(problems(config_dir))

    assert "observables.adsorption[2]: key 'surfaces': unknown surfaces or group 'graphit" in told(
        pairs.replace("quick-surfaces", "graphite-basel-1")
    )
    assert "key 'observables.adsorption.surfaces' should be a valid list" in told("{adsorbates: [EC], surfaces: 3}")
    assert "key 'observables.adsorption.1.surfaces' should be a valid list" in told(
        "[{adsorbates: [EC], surfaces: [graphite-basal-1]}, {adsorbates: [EC], surfaces: 3}]"
    )
    assert "adsorption: empty" in told("[]")


def test_schemas_are_those_of_the_models():
    for name, text in schema.schemas().items():
        stored = ROOT / "workflow" / "schemas" / name
        assert stored.read_text() == text, f"{stored.name} has drifted: run `make schemas`"
        json.loads(text)


def test_check_is_quick():
    start = time.process_time()
    load(ROOT / "config")
    assert time.process_time() - start < 3.0


@pytest.mark.parametrize("ending", ["cif", "xyz"])
def test_a_users_own_slab_from_a_file(config_dir, edit, ending):
    from ase.build import graphene
    from ase.io import write

    write(config_dir / "structures" / f"mine.{ending}", graphene(vacuum=8.0))
    surface = {
        "builder": "file",
        "structure": f"structures/mine.{ending}",
        "conductor": True,
        "repeat": [3, 3],
        "groups": ["mine"],
    }
    edit("surfaces", "surfaces.my slab", surface)
    edit("config", "campaigns.own", {"tier": "quick", "observables": {"surfaces": {"surfaces": ["mine"]}}})
    plan = make(load(config_dir), "own")
    assert {spec.step for spec in plan.specs.values()} == {"slab", "surface_energy"}
    edit("config", "campaigns.own.observables", {"adsorption": {"adsorbates": ["EMC"], "surfaces": ["my slab"]}})
    edit("surfaces", "surfaces.my slab.repeat", [4, 4])
    assert "surface_energy" in {spec.step for spec in make(load(config_dir), "own").specs.values()}
    edit("surfaces", "surfaces.my slab.structure", "structures/none.cif")
    (missing,) = problems(config_dir)
    assert "my slab" in missing and "none.cif" in missing


def test_a_species_without_smiles_has_no_complexes(config_dir, edit):
    edit("config", "campaigns.own", {"tier": "standard", "observables": {"redox": {"species": ["O atom", "EC"]}}})
    assert load(config_dir), "it is not asked to have any"
    edit("levels", "tiers.standard.observables.redox.partnered", ["O atom", "EC"])
    (problem,) = problems(config_dir)
    assert all(word in problem for word in ("O atom", "geometry", "SMILES", "partnered"))


def test_a_slab_without_a_cell_is_told_how_to_get_one(config_dir, edit):
    (config_dir / "structures" / "bare.xyz").write_text("2\n\nC 0 0 8\nC 0 1.42 8\n")
    edit("surfaces", "surfaces.my slab", {"builder": "file", "structure": "structures/bare.xyz", "repeat": [3, 3], "groups": ["mine"]})  # fmt: skip
    assert "no cell" in problems(config_dir)[0] and "Lattice" in problems(config_dir)[0]
