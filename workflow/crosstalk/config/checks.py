"""The check at the door: everything that would fail later and can be known now. Behind it nobody asks again."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from crosstalk.config import known
from crosstalk.config import models as m
from crosstalk.config.chemistry import charge_of, check_reactions, check_species, elements_of
from crosstalk.config.crystals import check_crystals, unfit_bulk, without_relaxation
from crosstalk.config.load import Config
from crosstalk.config.methods import check_levels, check_tiers, observable_settings
from crosstalk.config.problems import twins, unknown
from crosstalk.config.select import groups, resolve
from crosstalk.config.statements import check_claims, check_references
from crosstalk.config.structures import inline, layers_problem, slab_facts
from crosstalk.errors import CrosstalkError, nearest
from crosstalk.observables.base import observables
from crosstalk.structures.cleavage import CAPS


def check(config: Config) -> list[str]:
    """All problems, one line each: file, entry, key, what is allowed, nearest spelling."""
    problems: list[str] = []
    for part in (
        check_species, check_reactions, check_crystals, _surfaces, _glasses, check_levels, check_tiers, _campaigns, check_references, check_claims,
    ):  # fmt: skip
        problems += part(config)
    if not problems:  # needs names that resolve
        problems += _elements(config)
        problems += _unpaired(config)
    return problems


# -- surfaces ----------------------------------------------------------------------------------------------------


def _surfaces(config: Config) -> Iterator[str]:
    identities = {}
    for name, surface in config.surfaces.items():
        where = f"surfaces.yaml: surfaces '{name}'"
        settings = surface.builder_settings()
        if text := unfit_bulk(where, surface, config):
            yield text
            continue
        for key in ("crystal", "structure"):
            if key in settings:
                try:
                    settings[key] = inline(config, settings[key])
                except Exception as error:
                    yield f"{where}: key '{key}': '{settings[key]}' cannot be read: {error}"
        if isinstance(surface, m.CleavedCrystal):
            if not any(surface.miller):
                yield f"{where}: key 'miller': [0, 0, 0] is no plane"
            given = settings.get("crystal")
            elements = given["symbols"] if isinstance(given, dict) else []
            for element in set(elements) - set(surface.caps):
                yield f"{where}: key 'caps': no cap for {element}; allowed: {', '.join(CAPS)}"
        boxed = [list(surface.repeat), surface.vacuum_angstrom, surface.relax_on]
        identities[name] = [settings, getattr(surface, "bulk", None), *boxed]
        readable = not any(isinstance(settings.get(key), str) for key in ("crystal", "structure"))
        if readable and (text := slab_facts(config, surface)["problem"]):
            yield f"{where}: {text}"
        elif readable and surface.relax_on is not None:
            yield from _thin(f"{where}: key 'relax_on'", surface.relax_on, surface, config)
    yield from twins("surfaces.yaml: surfaces", identities)


def _thin(where: str, name: str, surface: m.Surface, config: Config) -> Iterator[str]:
    """Why poses cannot be relaxed on another model of a surface."""
    other = config.surfaces.get(name)
    if other is None:
        yield unknown(where, "surface", name, config.surfaces)
    elif other.relax_on is not None:
        yield f"{where}: '{name}' has one of its own: name that one"
    elif list(other.repeat) != list(surface.repeat):
        yield f"{where}: '{name}' is repeated {list(other.repeat)} and not {list(surface.repeat)}"
    elif not slab_facts(config, other)["problem"] and (text := layers_problem(config, other, surface)):
        yield f"{where}: '{name}': {text}"


def _glasses(config: Config) -> Iterator[str]:
    """Elements that the potential knows and a box that is wide enough for it."""
    from crosstalk.structures.glass import box
    from crosstalk.structures.tersoff import CENTRES, Tersoff

    for name, glass in config.glasses.items():
        where = f"glasses.yaml: glasses '{name}'"
        unheard = [element for element in glass.composition if element not in CENTRES]
        yield from (unknown(f"{where}: key 'composition'", "element", element, CENTRES) for element in unheard)
        if not unheard:
            try:
                Tersoff(list(glass.composition), box(glass.recipe()))
            except CrosstalkError as error:
                yield f"{where}: key 'shape': {error}"
    yield from twins("glasses.yaml: glasses", {name: glass.recipe() for name, glass in config.glasses.items()})


# -- campaigns ---------------------------------------------------------------------------------------------------


def _campaigns(config: Config) -> Iterator[str]:
    if config.campaigns and config.default not in config.campaigns:
        yield unknown("config.yaml: key 'default'", "campaign", config.default, config.campaigns)
    for name, campaign in config.campaigns.items():
        where = f"config.yaml: campaigns '{name}'"
        if not campaign.observables:
            yield f"{where}: empty campaign: name at least one observable: {', '.join(observables())}"
        if campaign.tier not in config.tiers:
            yield unknown(f"{where}: key 'tier'", "tier", campaign.tier, config.tiers)
            continue
        for table in campaign.observables:
            if table not in observables():
                yield unknown(f"{where}: key 'observables'", "observable", table, observables())
            elif not campaign.observables[table]:
                yield f"{where}: observables.{table}: empty: name its subjects"
        for table, section, key in campaign.parts():
            if table in observables():
                yield from _section(f"{where}: observables.{key}", table, section, campaign, config)
        for key, entries in (("claims", config.claims), ("references", config.references)):
            for item in getattr(campaign, key) or []:
                if item not in entries:
                    yield unknown(f"{where}: key '{key}'", key[:-1], item, entries)


def _section(
    where: str, table: str, section: Mapping[str, list[str]], campaign: m.Campaign, config: Config
) -> Iterator[str]:
    observable, tier = observables()[table], config.tiers[campaign.tier]
    if table not in tier.observables:
        yield f"{where}: tier '{campaign.tier}' has no settings for it (levels.yaml: tiers '{campaign.tier}': observables)"
        return
    needs = {"adsorption": ("slabs", "poses"), "convergence": ("slabs", "poses"), "surfaces": ("slabs",), "lattices": ("lattices",)}  # fmt: skip
    for part in needs.get(table, ()):
        if getattr(tier, part) is None:
            yield f"{where}: tier '{campaign.tier}' has no section '{part}', which {table} needs"
    for other in observable.builds_on:
        if other not in tier.observables:
            yield f"{where}: tier '{campaign.tier}' has no settings for {other}, whose results {table} varies (levels.yaml: tiers '{campaign.tier}': observables)"
            return
    for key in section:
        if key not in observable.subjects:
            yield f"{where}: unknown key '{key}'; allowed: {', '.join(observable.subjects)}{nearest(key, observable.subjects)}"
    names: dict[str, list[str]] = {}
    for key, kind in observable.subjects.items():
        entries = getattr(config, kind)
        wanted = section.get(key, [])
        if not wanted:
            yield f"{where}: empty: '{key}' must name {kind} or groups"
        allowed = [*entries, *groups(entries)]
        bad = [item for item in wanted if item not in allowed]
        for item in bad:
            yield unknown(f"{where}: key '{key}'", f"{kind} or group", item, allowed)
        if not bad and wanted:
            names[key] = resolve(entries, wanted)
    for name in without_relaxation(
        tier, names.get("surfaces", ()) if "surfaces" in observable.subjects else (), config
    ):
        yield f"{where}: surface '{name}' is cut from a relaxed crystal, but tier '{campaign.tier}' has no section 'lattices'"
    if "adsorbates" in observable.subjects:
        yield from (f"{where}: {text}" for name in names.get("adsorbates", ()) if (text := _charged(name, config)))
        least = tier.poses.least_image_angstrom if tier.poses else 0.0
        yield from (f"{where}: {text}" for name in names.get("surfaces", ()) if (text := _crowded(name, config, least)))
    if set(names) == set(observable.subjects):
        settings, problems = observable_settings(table, tier.observables[table], where)
        if not problems:
            yield from (f"{where}: {text}" for text in observable.problems(config, settings, names))


def _charged(name: str, config: Config) -> str:
    """Why a species cannot stand in a periodic cell; empty when it can."""
    multiplicity = config.species[name].multiplicity
    try:
        charge = charge_of(config, name)
    except (ValueError, OSError):
        return ""  # said elsewhere
    if charge == 0 and multiplicity == 1:
        return ""
    return f"'{name}' has charge {charge:+d} and multiplicity {multiplicity}: only closed-shell neutrals can stand in a periodic cell"


def _crowded(name: str, config: Config, least: float) -> str:
    """What to repeat a surface to when an adsorbate's images on it are too near; empty when they are not."""
    surface = config.surfaces[name]
    facts = slab_facts(config, surface)
    if facts["problem"]:
        return ""  # said elsewhere
    lateral = np.array(facts["lateral"])
    n, m = surface.repeat
    if (there := _image_distance(lateral, n, m)) >= least:
        return ""
    fitting = [(i, j) for i in range(n, n + 20) for j in range(m, m + 20) if _image_distance(lateral, i, j) >= least]
    i, j = min(fitting, key=lambda pair: (pair[0] * pair[1], max(pair)))
    return (
        f"surface '{name}': key 'repeat': {list(surface.repeat)} puts images of an adsorbate {there:.1f} Angstrom apart; "
        f"at least {least:g} are needed (least_image_angstrom of the tier's poses): [{i}, {j}]"
    )


def _image_distance(lateral: np.ndarray, n: int, m: int) -> float:
    """Shortest vector of the lattice of a repeated surface cell, Angstrom."""
    steps = np.array([(i, j) for i in range(-3, 4) for j in range(-3, 4) if (i, j) != (0, 0)])
    return float(np.linalg.norm(steps @ (lateral * [[n], [m]]), axis=1).min())


def _elements(config: Config) -> Iterator[str]:
    """Elements that a campaign needs against what its levels' data sets offer."""
    seen: set[str] = set()
    for name, campaign in config.campaigns.items():
        tier = config.tiers[campaign.tier]
        for table, section, _ in campaign.parts():
            observable = observables()[table]
            settings: Any = observable.section.model_validate(tier.observables[table])
            wanted = {key: resolve(getattr(config, kind), section[key]) for key, kind in observable.subjects.items()}
            levels = {level: config.levels[level] for level in (*settings.levels, *getattr(settings, "also", ()))}
            if "pyscf" in observable.engines and tier.geometry:
                levels[tier.geometry.level] = config.levels[tier.geometry.level]
            if tier.slabs and "surfaces" in wanted:
                used = filter(None, (tier.slabs.level, *tier.slabs.instead))
                levels |= {level: config.levels[level] for level in used}
            for key, kind in observable.subjects.items():
                for entry in wanted[key]:
                    elements = sorted(set(elements_of(config, kind, entry)))
                    for level_name, level in levels.items():
                        for text in known.element_problems(level, elements):
                            line = f"levels.yaml: levels '{level_name}': {text} (needed by {kind} '{entry}')"
                            if line not in seen:
                                seen.add(line)
                                yield f"{line} in campaign '{name}'"


def _unpaired(config: Config) -> Iterator[str]:
    """An insulating surface with an odd number of electrons has a spin, which levels that pair all electrons cannot give it."""
    for name, campaign in config.campaigns.items():
        tier = config.tiers[campaign.tier]
        for table, section, key in campaign.parts():
            observable = observables()[table]
            settings: Any = observable.section.model_validate(tier.observables[table])
            for entry in resolve(config.surfaces, section["surfaces"]) if "surfaces" in observable.subjects else ():
                surface = config.surfaces[entry]
                electrons = slab_facts(config, surface)["electrons"]
                if surface.conductor or electrons % 2 == 0:
                    continue
                levels = {level: config.levels[level] for level in _levels_on(entry, surface, settings, tier)}
                if pairing := [
                    n for n, model in levels.items() if isinstance(model, m.GpawLevel) and not model.magnetic_moments
                ]:
                    yield (
                        f"config.yaml: campaigns '{name}': observables.{key}: surface '{entry}' is no conductor, has an odd number of "
                        f"electrons ({electrons}), and levels that pair them all: {', '.join(pairing)}; choose levels with "
                        "magnetic_moments, or say that it is a metal (conductor: true)"
                    )


def _levels_on(name: str, surface: m.Surface, settings: Any, tier: m.Tier) -> list[str]:
    """The levels that a surface and poses on it are relaxed at, and those of its rows in a table."""
    slab = tier.slabs.level_of(name, surface.groups) if tier.slabs else None
    rows = settings.levels_of(name, surface.groups) if hasattr(settings, "levels_of") else settings.levels
    pose = getattr(settings, "geometry", None)
    return [*([slab] if slab else []), *([pose.level] if pose else []), *rows]
