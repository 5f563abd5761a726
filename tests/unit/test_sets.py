"""Sets, reactions, fixed species and optional sections: what the config makes of them, and what it says when they are wrong."""

import pytest

from crosstalk.config import load
from crosstalk.errors import ConfigError
from crosstalk.plan import make

from . import surfaces
from .small import molecular, small, write

#: A dimer whose atoms lie where somebody put them.
DIMER = "2\n\nH 0 0 0\nF 0 0 1.2\n"
FIXED = {"dimer": {"geometry": "dimer.xyz", "charge": 0, "fixed": True}}


def problems(folder):
    with pytest.raises(ConfigError) as caught:
        load(folder)
    return caught.value.problems


def with_set(folder, name="mine", **files):
    for file, content in files.items():
        write(folder / "sets" / name, file, {file: content})
    return folder


# -- sets ----------------------------------------------------------------------------------------------------------


def test_sets_add_their_entries(tmp_path):
    folder = with_set(small(tmp_path), species={"methane": {"smiles": "C", "groups": ["hydrocarbons"]}})
    with_set(folder, "other", species={"ethane": {"smiles": "CC", "groups": ["hydrocarbons"]}},
             reactions={"growth": {"reactants": {"methane": 2}, "products": {"ethane": 1, "hydrogen": 1}}})  # fmt: skip
    config = load(folder)
    assert {"water", "methane", "ethane"} <= set(config.species)
    assert list(config.reactions) == ["growth"], "a set may bring the first file of its kind"


def test_a_set_of_an_optional_file_alone_is_enough(tmp_path):
    dipole = {"table": "frontier", "where": {"species": "water"}, "quantity": "dipole_debye", "value": 1.855, "unit": "D",
              "exactly": "dipole", "source": "CRC", "groups": ["validation-dipole"]}  # fmt: skip
    config = load(with_set(small(tmp_path), references={"dipole": dipole}))
    assert list(config.references) == ["dipole"] and not config.claims


def test_the_order_of_sets_is_that_of_their_names(tmp_path):
    folder = small(tmp_path)
    for name in ("b", "a", "c"):
        with_set(folder, name, species={name: {"smiles": "C" * (ord(name) - ord("a") + 1)}})
    assert list(load(folder).species)[-3:] == ["a", "b", "c"]


def test_a_name_in_two_files_is_one_line(tmp_path):
    (line,) = problems(with_set(small(tmp_path), species={"water": {"smiles": "C"}}))
    assert "sets/mine/species.yaml" in line and "duplicate name 'water'" in line


def test_two_sets_with_one_name_are_one_line(tmp_path):
    folder = small(tmp_path)
    for name, smiles in (("a", "C"), ("b", "CC")):
        with_set(folder, name, species={"fuel": {"smiles": smiles}})
    (line,) = problems(folder)
    assert "sets/b/species.yaml" in line and "'fuel'" in line


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [("levels", {"levels": {}}, ["sets/mine/levels.yaml", "a set may hold species"]),
     ("specis", {"species": {}}, ["sets/mine/specis.yaml", "did you mean 'species'"]),
     ("species", {"species": {"methane": {"smile": "C"}}}, ["sets/mine/species.yaml", "'methane'", "did you mean 'smiles'"]),
     ("species", {"species": {"another water": {"smiles": "[H]O[H]"}}}, ["'another water'", "means the same as 'water'"])],
)  # fmt: skip
def test_what_is_wrong_in_a_set_is_one_line(tmp_path, file, content, words):
    folder = small(tmp_path)
    write(folder / "sets" / "mine", file, content)
    (line,) = problems(folder)
    assert all(word in line for word in words), line


# -- reactions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reactants", "products", "words"),
    [
        ({"hydrogen": 1}, {"water": 1}, ["does not balance", "O +1"]),
        ({"hydrogen": 3, "oxygen": 1}, {"water": 2}, ["does not balance", "H -2"]),
        ({"water": 1}, {"water cation": 1}, ["does not balance", "charge +1", "atoms balance"]),
        ({"water": 1, "e-": 1}, {"water cation": 1}, ["charge +2"]),
        ({"watr": 1}, {"water": 1}, ["unknown species (or e-) 'watr'", "did you mean 'water'"]),
        ({"water": 1}, {"water": 1}, ["nothing happens"]),
        ({"hydrogen": 4, "oxygen": 2}, {"water": 0}, ["greater than or equal to 1"]),
    ],
)  # fmt: skip
def test_a_wrong_reaction_is_one_line(tmp_path, reactants, products, words):
    wrong = {"wrong": {"reactants": reactants, "products": products}, "ionisation": None}
    folder = molecular(tmp_path, reactions={"reactions": wrong}, config={"campaigns": {"free": {"observables": {"reactions": {"reactions": ["burning"]}}}}})  # fmt: skip
    (line,) = problems(folder)
    assert line.startswith("reactions.yaml: reactions 'wrong'") and all(word in line for word in words), line


def test_the_same_reaction_twice_is_one_line(tmp_path):
    again = {"again": {"reactants": {"oxygen": 1, "hydrogen": 2}, "products": {"water": 2}}}
    (line,) = problems(molecular(tmp_path, reactions={"reactions": again}))
    assert "'again' means the same as 'burning'" in line


# -- fixed species -------------------------------------------------------------------------------------------------


def fixed(folder, species=None, **changes):
    folder = molecular(folder, species={"species": FIXED | (species or {})}, **changes)
    (folder / "dimer.xyz").write_text(DIMER)
    return folder


def test_a_fixed_species_is_given_and_nothing_else(tmp_path):
    sections = {"frontier": {"species": ["dimer"]}}
    folder = fixed(tmp_path, config={"campaigns": {"free": {"observables": sections}}})
    plan = make(load(folder))
    (entry,) = plan.table("frontier")
    source = plan.specs[entry.specs["neutral"].inputs["geometry"]]
    assert (source.step, source.engine) == ("given", "none")
    assert source.settings["species"]["positions"][1] == [0, 0, 1.2]
    mine = {source.key, *(s.key for s in entry.specs.values())}
    assert all(s.key in mine for s in plan.specs.values() if "dimer" in s.label), "no search, relaxation or Hessian"


def test_a_fixed_species_has_no_thermochemistry(tmp_path):
    reactions = {"parts": {"reactants": {"dimer": 2}, "products": {"hydrogen": 1, "fluorine": 1}}}
    folder = fixed(
        tmp_path,
        reactions={"reactions": reactions},
        config={"campaigns": {"free": {"observables": {"reactions": {"reactions": ["parts"]}}}}},
    )
    with_set(folder, species={"fluorine": {"smiles": "FF"}})
    plan = make(load(folder))
    made = [e for e in plan.table("reactions") if e.subject["reaction"] == "parts"]
    assert [e.subject["environment"] for e in made] == ["gas"], "a given geometry is that of a gas-phase reference"
    assert not any(role.startswith("thermal") for role in made[0].specs)


@pytest.mark.parametrize(
    ("species", "words"),
    [({"smiles": "F", "fixed": True}, "fixed is for a species with a geometry"), ({"geometry": "dimer.xyz", "fixed": True}, "needs its charge")],
)  # fmt: skip
def test_fixed_needs_a_geometry_and_its_charge(tmp_path, species, words):
    folder = fixed(tmp_path, species={"wrong": species})
    (line,) = problems(folder)
    assert "'wrong'" in line and words in line


# -- tiers ---------------------------------------------------------------------------------------------------------


def search_of(folder):
    return next(spec for spec in make(load(folder)).specs.values() if spec.step == "conformers")


def test_no_patience_leaves_a_search_what_it_was(tmp_path):
    plain, null, some = (
        search_of(molecular(tmp_path / name, levels={"tiers": {"free": {"conformers": {"level": "gfn2"} | more}}}))
        for name, more in (("plain", {}), ("null", {"max_embeddings": 30}), ("some", {"patience": 5}))
    )
    assert "patience" not in plain.settings["sampling"]
    assert plain.key == null.key != some.key and some.settings["sampling"]["patience"] == 5


def test_no_patience_leaves_a_pose_search_what_it_was(tmp_path):
    plain, more, some, other = (
        next(
            spec
            for spec in surfaces.plan(tmp_path / name, levels={"tiers": {"films": {"poses": changes}}}).specs.values()
            if spec.step == "poses"
        )
        for name, changes in (
            ("plain", {}),
            ("more", {"keep": 2}),
            ("some", {"patience": 5}),
            ("other", {"patience": 5, "keep": 2}),
        )
    )
    assert not {"patience", "keep"} & set(plain.settings["sampling"])
    assert plain.key == more.key, "how many go on is nothing that the search needs to know"
    assert {key: some.settings["sampling"][key] for key in ("patience", "keep")} == {"patience": 5, "keep": 3}
    assert len({plain.key, some.key, other.key}) == 3, "with a patience it decides when the search ends"
    assert some.cost_s > plain.cost_s


def test_an_explicit_null_is_no_patience(tmp_path):
    folder = molecular(tmp_path)
    text = (folder / "levels.yaml").read_text()
    before = search_of(folder).key
    tier = text.index("  free:")
    at = text.index("level: gfn2\n", tier) + len("level: gfn2\n")
    (folder / "levels.yaml").write_text(text[:at] + "      patience: null\n" + text[at:])
    assert search_of(folder).key == before


def test_thermochemistry_needs_a_geometry_level(tmp_path):
    lines = problems(molecular(tmp_path, levels={"tiers": {"free": {"geometry": None}}}))
    assert any("thermochemistry needs the section 'geometry'" in line for line in lines)


def test_frequencies_are_those_of_the_lowest_of_the_relaxed_conformers(tmp_path):
    relax = {"level": "small", "rerank_window_ev": 0.1, "rerank_keep": 3}
    plan = make(load(molecular(tmp_path, levels={"tiers": {"free": {"geometry": relax}}})))
    (entry, *_) = [e for e in plan.table("redox") if e.subject["process"] == "oxidation"]
    hessian = plan.specs[entry.specs["before"].inputs["geometry"]]
    ensemble = plan.specs[hessian.inputs["geometry"]]
    assert (hessian.step, hessian.settings["index"], ensemble.step) == ("hessian", 0, "ensemble")
    parts = {role: plan.specs[key] for role, key in ensemble.inputs.items()}
    assert [parts[f"relaxed {k}"].settings["index"] for k in range(3)] == [0, 1, 2]
    assert parts["search 0"].step == "rerank" and parts["search 0"].settings["keep"] == 3
    assert all(parts[f"relaxed {k}"].inputs["geometry"] == parts["search 0"].key for k in range(3))


def test_an_atom_is_not_relaxed_but_has_its_entropy(tmp_path):
    plan = make(load(molecular(tmp_path)))
    steps = [spec.step for spec in plan.specs.values() if spec.label.startswith("lithium ion at small")]
    assert "hessian" in steps and "molecule_relax" not in steps


@pytest.mark.parametrize(
    ("exchange", "words"),
    [("lithium wate", "did you mean 'lithium water'"), ("water", "must be a species with a dissociation")],
)
def test_an_exchange_needs_a_holder_of_the_ion(tmp_path, exchange, words):
    folder = molecular(tmp_path, levels={"tiers": {"free": {"observables": {"binding": {"exchange": exchange}}}}})
    (line,) = problems(folder)
    assert words in line and "exchange" in line
