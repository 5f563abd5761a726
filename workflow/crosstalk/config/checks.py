"""The check at the door: everything that would fail later and can be known now. Behind it nobody asks again."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from crosstalk.config import known
from crosstalk.config import models as m
from crosstalk.config.crystals import cell_level, check_crystals, unfit_bulk, without_relaxation
from crosstalk.config.load import Config, _messages
from crosstalk.config.problems import twins, unknown
from crosstalk.config.select import groups, resolve
from crosstalk.config.statements import check_claims, check_references
from crosstalk.config.structures import inline, slab_facts
from crosstalk.errors import CrosstalkError, nearest
from crosstalk.observables.base import observables
from crosstalk.structures import molecules


def check(config: Config) -> list[str]:
    """All problems, one line each: file, entry, key, what is allowed, nearest spelling."""
    problems: list[str] = []
    for part in (
        _species, _reactions, check_crystals, _surfaces, _glasses, _levels, _tiers, _campaigns, check_references, check_claims,
    ):  # fmt: skip
        problems += part(config)
    if not problems:  # needs names that resolve
        problems += _elements(config)
    return problems


# -- species -----------------------------------------------------------------------------------------------------


def _species(config: Config) -> Iterator[str]:
    identities: dict[str, Any] = {}
    formulas: dict[str, tuple[dict[str, int], int]] = {}
    for name, species in config.species.items():
        where = f"species.yaml: species '{name}'"
        if species.smiles is not None:
            try:
                symbols, own = molecules.symbols_of(species.smiles), molecules.charge_of(species.smiles)
                molecules.is_ion_pair(species.smiles)
                molecules.refuse_open_stereo(species.smiles)
            except ValueError as error:
                yield f"{where}: key 'smiles': {error}"
                continue
            if species.charge is not None and species.charge != own:
                yield f"{where}: key 'charge': {species.charge} does not fit the SMILES, whose charge is {own}"
            charge = own
            identities[name] = [molecules.canonical_smiles(species.smiles), species.multiplicity]
        else:
            try:
                symbols = inline(config, species.geometry or "")["symbols"]
            except Exception as error:
                yield f"{where}: key 'geometry': '{species.geometry}' cannot be read: {error}"
                continue
            charge = species.charge or 0
            identities[name] = [inline(config, species.geometry or ""), charge, species.multiplicity]
        electrons = molecules.n_electrons(symbols, charge)
        if not molecules.multiplicity_fits(electrons, species.multiplicity):
            parity = "odd" if electrons % 2 == 0 else "even"
            yield (
                f"{where}: key 'multiplicity': {species.multiplicity} does not fit {electrons} electrons (charge {charge:+d}); "
                f"allowed: {parity} numbers up to {electrons + 1}"
            )
        formulas[name] = ({s: list(symbols).count(s) for s in sorted(set(symbols))}, charge)
    yield from twins("species.yaml: species", identities)
    for name, species in config.species.items():
        if species.dissociation is not None and name in formulas:
            yield from _dissociation(name, species.dissociation, formulas, config)


def _dissociation(
    name: str, parts: m.Dissociation, formulas: Mapping[str, tuple[dict[str, int], int]], config: Config
) -> Iterator[str]:
    where = f"species.yaml: species '{name}': key 'dissociation'"
    names = [parts.ion, parts.remainder]
    missing = [n for n in names if n not in config.species]
    for part in missing:
        yield unknown(where, "species", part, config.species)
    if missing or any(n not in formulas for n in names):
        return
    if sum(formulas[parts.ion][0].values()) != 1:
        yield f"{where}: the ion '{parts.ion}' must be a single atom"
    total: dict[str, int] = {}
    for part in names:
        for element, count in formulas[part][0].items():
            total[element] = total.get(element, 0) + count
    whole, charge = formulas[name]
    if total != whole or sum(formulas[n][1] for n in names) != charge:
        yield f"{where}: atoms or charge do not balance: {name} {whole} {charge:+d}; {' + '.join(names)} {total} {sum(formulas[n][1] for n in names):+d}"


def _reactions(config: Config) -> Iterator[str]:
    from crosstalk.observables.reactions import ELECTRON, stoichiometry

    yield from twins("reactions.yaml: reactions", {n: stoichiometry(r) for n, r in config.reactions.items()})
    for name, reaction in config.reactions.items():
        where = f"reactions.yaml: reactions '{name}'"
        sides = {"reactants": reaction.reactants, "products": reaction.products}
        bad = [(k, s) for k, side in sides.items() for s in side if s != ELECTRON and s not in config.species]
        for key, species in bad:
            yield unknown(f"{where}: key '{key}'", "species (or e-)", species, config.species)
        if bad:
            continue
        if not stoichiometry(reaction):
            yield f"{where}: nothing happens: reactants and products are the same"
            continue
        total: dict[str, int] = {}
        charge = reaction.reactants.get(ELECTRON, 0) - reaction.products.get(ELECTRON, 0)
        try:
            for species, count in stoichiometry(reaction).items():
                charge += count * _charge(config, species)
                for element in _elements_of(config, "species", species):
                    total[element] = total.get(element, 0) + count
        except (ValueError, OSError):
            continue  # a species that cannot be read was said to be so
        if charge or any(total.values()):
            off = ", ".join(f"{element} {count:+d}" for element, count in total.items() if count)
            yield f"{where}: does not balance: products minus reactants: {off or 'atoms balance'}, charge {charge:+d}"


def _charge(config: Config, name: str) -> int:
    species = config.species[name]
    return species.charge if species.charge is not None else molecules.charge_of(species.smiles or "")


# -- surfaces and levels -----------------------------------------------------------------------------------------


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
                yield f"{where}: key 'caps': no cap for {element}; allowed: H, OH"
        identities[name] = [settings, getattr(surface, "bulk", None), list(surface.repeat), surface.vacuum_angstrom]
        readable = not any(isinstance(settings.get(key), str) for key in ("crystal", "structure"))
        if readable and (text := slab_facts(config, surface)["problem"]):
            yield f"{where}: {text}"
    yield from twins("surfaces.yaml: surfaces", identities)


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


def _levels(config: Config) -> Iterator[str]:
    yield from twins("levels.yaml: levels", {name: level.identity() for name, level in config.levels.items()})
    for name, level in config.levels.items():
        where = f"levels.yaml: levels '{name}'"
        if isinstance(level, m.PyscfLevel):
            yield from (f"{where}: {text}" for text in known.pyscf_problems(level))
        elif isinstance(level, m.GpawLevel):
            yield from (f"{where}: {text}" for text in known.gpaw_problems(level))
        elif isinstance(level, m.AseLevel):
            yield from (f"{where}: {text}" for text in known.ase_problems(level))
    yield from twins("levels.yaml: environments", {n: e.settings() for n, e in config.environments.items()})


def _tiers(config: Config) -> Iterator[str]:
    for name, tier in config.tiers.items():
        where = f"levels.yaml: tiers '{name}'"
        parts: list[tuple[str, str | None, tuple[str, ...]]] = [("conformers", tier.conformers.level, ("xtb",))]
        if tier.geometry:
            parts.append(("geometry", tier.geometry.level, ("pyscf",)))
        if tier.lattices:
            parts.append(("lattices", tier.lattices.level, ("gpaw",)))
        if tier.slabs:
            parts.append(("slabs", tier.slabs.level, ("gpaw", "xtb")))
        if tier.poses:
            parts.append(("poses", tier.poses.level, ("xtb", "ase")))
        if tier.thermochemistry and not tier.geometry:
            yield f"{where}: thermochemistry needs the section 'geometry': frequencies are those of its level"
        for key, section in tier.observables.items():
            if key not in observables():
                yield unknown(f"{where}: key 'observables'", "observable", key, observables())
                continue
            settings, problems = _settings(key, section, f"{where}: observables.{key}")
            yield from problems
            if settings is None:
                continue
            parts += [(f"observables.{key}.levels", level, observables()[key].engines) for level in settings.levels]
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


def _settings(name: str, section: dict[str, Any], where: str) -> tuple[Any, list[str]]:
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
    elif isinstance(model, m.GpawLevel) and model.mode == "lcao" and where.endswith("observables.surfaces.levels"):
        yield f"{where}: level '{level}' is LCAO, which gives no usable energies (basis-set superposition): use a plane-wave level"


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
    if set(names) == set(observable.subjects):
        settings, problems = _settings(table, tier.observables[table], where)
        if not problems:
            yield from (f"{where}: {text}" for text in observable.problems(config, settings, names))


def _elements(config: Config) -> Iterator[str]:
    """Elements that a campaign needs against what its levels' data sets offer."""
    seen: set[str] = set()
    for name, campaign in config.campaigns.items():
        tier = config.tiers[campaign.tier]
        for table, section, _ in campaign.parts():
            observable = observables()[table]
            settings: Any = observable.section.model_validate(tier.observables[table])
            wanted = {key: resolve(getattr(config, kind), section[key]) for key, kind in observable.subjects.items()}
            levels = {level: config.levels[level] for level in settings.levels}
            if "pyscf" in observable.engines and tier.geometry:
                levels[tier.geometry.level] = config.levels[tier.geometry.level]
            if tier.slabs and tier.slabs.level and "surfaces" in wanted:
                levels[tier.slabs.level] = config.levels[tier.slabs.level]
            for key, kind in observable.subjects.items():
                for entry in wanted[key]:
                    elements = sorted(set(_elements_of(config, kind, entry)))
                    for level_name, level in levels.items():
                        for text in known.element_problems(level, elements):
                            line = f"levels.yaml: levels '{level_name}': {text} (needed by {kind} '{entry}')"
                            if line not in seen:
                                seen.add(line)
                                yield f"{line} in campaign '{name}'"


def _elements_of(config: Config, kind: str, name: str) -> list[str]:
    if kind == "reactions":
        from crosstalk.observables.reactions import stoichiometry

        return [
            e for species in stoichiometry(config.reactions[name]) for e in _elements_of(config, "species", species)
        ]
    if kind == "species":
        species = config.species[name]
        return list(
            molecules.symbols_of(species.smiles)
            if species.smiles
            else inline(config, species.geometry or "")["symbols"]
        )
    if kind == "crystals":
        return list(inline(config, config.crystals[name].file)["symbols"])
    return list(slab_facts(config, config.surfaces[name])["elements"])
