"""Checks of levels, environments and tiers."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from crosstalk.config import known, select
from crosstalk.config import models as m
from crosstalk.config.crystals import cell_level
from crosstalk.config.load import Config, _messages
from crosstalk.config.problems import twins, unknown
from crosstalk.observables.base import observables


def check_levels(config: Config) -> Iterator[str]:
    """What the engines know of each level; no two levels or environments alike."""
    yield from twins("levels.yaml: levels", {name: level.identity() for name, level in config.levels.items()})
    for name, level in config.levels.items():
        where = f"levels.yaml: levels '{name}'"
        if isinstance(level, m.PyscfLevel):
            yield from (f"{where}: {text}" for text in known.pyscf_problems(level))
        elif isinstance(level, m.GpawLevel):
            yield from (f"{where}: {text}" for text in known.gpaw_problems(level))
            if level.density is not None:
                yield from _density_fits(f"{where}: key 'density'", level, config)
        elif isinstance(level, m.AseLevel):
            yield from (f"{where}: {text}" for text in known.ase_problems(level))
    yield from twins("levels.yaml: environments", {n: e.settings() for n, e in config.environments.items()})


def _density_fits(where: str, level: m.GpawLevel, config: Config) -> Iterator[str]:
    """A level whose functional is evaluated on another's density agrees with it in all else."""
    assert level.density is not None
    other = config.levels.get(level.density)
    if other is None:
        yield unknown(where, "level", level.density, config.levels)
    elif not isinstance(other, m.GpawLevel) or other.density is not None:
        yield f"{where}: '{level.density}' has no density of its own; allowed: a level of engine gpaw without this key"
    else:
        free = {"functional", "dispersion", "density"}
        mine, theirs = level.identity(), other.identity()
        unlike = sorted(key for key in (mine.keys() | theirs.keys()) - free if mine.get(key) != theirs.get(key))
        if unlike:
            yield f"{where}: '{level.density}' differs in {', '.join(unlike)}; it may in functional and dispersion only"
        if level.dispersion is not None:
            yield f"{where}: key 'dispersion' has to be null: such a level adds none"


def check_tiers(config: Config) -> Iterator[str]:
    """Levels of the right engine, known environments and partners, settings of every observable."""
    for name, tier in config.tiers.items():
        where = f"levels.yaml: tiers '{name}'"
        parts: list[tuple[str, str | None, tuple[str, ...]]] = [("conformers", tier.conformers.level, ("xtb",))]
        if tier.geometry:
            parts.append(("geometry", tier.geometry.level, ("pyscf",)))
        if tier.lattices:
            parts.append(("lattices", tier.lattices.level, ("gpaw",)))
        if tier.slabs:
            parts += [("slabs", level, ("gpaw", "xtb")) for level in (tier.slabs.level, *tier.slabs.instead)]
            for key, wanted in tier.slabs.instead.items():
                yield from select.unknown(config.surfaces, {f"{where}: slabs.instead.{key}": wanted}, "surface")
        if tier.poses:
            parts.append(("poses", tier.poses.level, ("xtb", "ase")))
        if tier.thermochemistry and not tier.geometry:
            yield f"{where}: thermochemistry needs the section 'geometry': frequencies are those of its level"
        for key, section in tier.observables.items():
            if key not in observables():
                yield unknown(f"{where}: key 'observables'", "observable", key, observables())
                continue
            settings, problems = observable_settings(key, section, f"{where}: observables.{key}")
            yield from problems
            if settings is None:
                continue
            parts += [(f"observables.{key}.levels", level, observables()[key].engines) for level in settings.levels]
            if further := getattr(settings, "also", {}):
                parts += [(f"observables.{key}.levels", level, observables()[key].engines) for level in further]
                for level, wanted in further.items():
                    spelled = {f"{where}: observables.{key}.also.{level}": wanted}
                    yield from select.unknown(config.surfaces, spelled, "surface")
            for partner in {p for names in getattr(settings, "partners", {}).values() for p in names}:
                if partner not in config.species:
                    yield unknown(f"{where}: observables.{key}.partners", "species", partner, config.species)
                elif config.species[partner].smiles is None:
                    yield f"{where}: observables.{key}.partners: '{partner}' needs a SMILES"
            others = getattr(settings, "partner_level", {})
            parts += [(f"observables.{key}.partner_level", level, ("pyscf",)) for level in others.values()]
            if others and tier.geometry is None:
                yield f"{where}: observables.{key}.partner_level needs the section 'geometry': it takes its limits from there"
            if getattr(settings, "geometry", None):
                parts.append((f"observables.{key}.geometry", settings.geometry.level, ("gpaw",)))
            for field in ("environments", "partner_environments", "partner_geometry"):
                named_there = getattr(settings, field, None) or []
                for environment in named_there.values() if isinstance(named_there, dict) else named_there:
                    if environment not in config.environments:
                        named = f"{where}: observables.{key}.{field}"
                        yield unknown(named, "environment", environment, config.environments)
        for key, level, engines in parts:
            if level is not None:
                yield from _level_fits(f"{where}: {key}", level, engines, config)


def observable_settings(name: str, section: dict[str, Any], where: str) -> tuple[Any, list[str]]:
    """An observable's settings of a tier (None when they are wrong), and what is wrong."""
    kind = observables()[name].section
    try:
        return kind.model_validate(section), []
    except ValidationError as error:
        return None, [f"{where}: {text}" for text in _messages(error, kind, section)]


def _level_fits(where: str, level: str, engines: tuple[str, ...], config: Config) -> Iterator[str]:
    if level not in config.levels:
        yield unknown(where, "level", level, config.levels)
        return
    model = config.levels[level]
    if where.endswith((": lattices", "observables.lattices.levels")):
        yield from cell_level(where, level, model)
    if model.engine not in (*engines, "fake"):
        fitting = [n for n, other in config.levels.items() if other.engine in engines]
        yield f"{where}: level '{level}' is for {model.engine}; this needs {' or '.join(engines)}: {', '.join(fitting) or 'none'}"
    elif isinstance(model, m.GpawLevel) and model.density and not where.endswith("observables.adsorption.levels"):
        yield f"{where}: level '{level}' is evaluated on the density of '{model.density}', which only observables.adsorption.levels takes"
    elif isinstance(model, m.GpawLevel) and model.mode == "lcao" and where.endswith("observables.surfaces.levels"):
        yield f"{where}: level '{level}' is LCAO, which gives no usable energies (basis-set superposition): use a plane-wave level"
