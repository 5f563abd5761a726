"""A small config of its own, with changes: a folder that `load` reads in milliseconds."""

from pathlib import Path
from typing import Any

import yaml

PYSCF = {"engine": "pyscf", "functional": "pbe", "basis": "6-31g", "dispersion": "d3bj", "grid_level": 1}
#: File -> content.
BASE: dict[str, Any] = {
    "config": {"default": "tiny", "campaigns": {"tiny": {"tier": "tiny", "observables": {"frontier": {"species": ["water"]}}}}},
    "levels": {
        "levels": {"gfn2": {"engine": "xtb", "method": "GFN2-xTB"}, "small": PYSCF},
        "environments": {"gas": {"model": None}, "continuum": {"model": "ief-pcm", "epsilon": 18.5}},
        "tiers": {"tiny": {"conformers": {"level": "gfn2"}, "observables": {"frontier": {"levels": ["small"]}}}},
    },
    "species": {
        "species": {
            "water": {"smiles": "O"},
            "hydrogen": {"smiles": "[H][H]"},
            "lithium hydroxide": {
                "smiles": "[Li+].[OH-]",
                "dissociation": {"ion": "lithium ion", "remainder": "hydroxide"},
            },
            "lithium ion": {"smiles": "[Li+]"},
            "hydroxide": {"smiles": "[OH-]"},
        }
    },
}  # fmt: skip

#: A tier with everything that molecules can have, and a campaign that asks for it.
TABLES = {
    "frontier": {"levels": ["small"]},
    "redox": {"levels": ["small"], "environments": ["gas", "continuum"], "li_reference_v": 1.4},
    "reactions": {"levels": ["small"], "environments": ["gas", "continuum"]},
    "binding": {"levels": ["small"], "environments": ["gas", "continuum"], "exchange": "lithium water"},
}


def merged(old: Any, new: Any) -> Any:
    """`old` with the values of `new`, mappings entry by entry; None deletes."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    result = {key: merged(value, new[key]) if key in new else value for key, value in old.items()} | {
        key: value for key, value in new.items() if key not in old
    }
    return {key: value for key, value in result.items() if value is not None or key not in new}


def small(folder: Path, **changes: Any) -> Path:
    """The config in `folder`/config; changes: file -> what is added or replaced in it."""
    for name in {**BASE, **changes}:
        write(folder / "config", name, merged(BASE.get(name, {}), changes.get(name, {})))
    return folder / "config"


def write(folder: Path, name: str, content: Any) -> None:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def molecular(folder: Path, ions: str = "own", **changes: Any) -> Path:
    """The small config with a campaign "free" of all molecular tables, at a tier with thermochemistry."""
    species = {
        "oxygen": {"smiles": "O=O", "multiplicity": 3},
        "lithium water": {"smiles": "[Li+].O", "dissociation": {"ion": "lithium ion", "remainder": "water"}},
        "water cation": {"smiles": "[OH2+]", "multiplicity": 2},
    }
    reactions = {
        "burning": {"reactants": {"hydrogen": 2, "oxygen": 1}, "products": {"water": 2}},
        "spectated": {"reactants": {"lithium ion": 1, "hydroxide": 2}, "products": {"lithium hydroxide": 1, "hydroxide": 1}},
        "ionisation": {"reactants": {"water": 1}, "products": {"water cation": 1, "e-": 1}},
    }  # fmt: skip
    sections = {"redox": {"species": ["water"]}, "reactions": {"reactions": list(reactions)}, "binding": {"species": ["lithium hydroxide"]}}  # fmt: skip
    tier = {"conformers": {"level": "gfn2"}, "geometry": {"level": "small"}, "thermochemistry": {"ions": ions}}
    if ions == "none":
        del tier["thermochemistry"]
    ours = {
        "species": {"species": species},
        "reactions": {"reactions": reactions},
        "levels": {"tiers": {"free": {**tier, "observables": TABLES}}},
        "config": {"default": "free", "campaigns": {"free": {"tier": "free", "observables": sections}}},
    }
    return small(folder, **merged(ours, changes))
