"""The plan: config -> entries (rows to be) and specs (calculations), each once, in an order that can be run.

The planner asks nobody: every name was checked at the door (`config.checks`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from crosstalk import costs
from crosstalk.config import models as m
from crosstalk.config.load import Config
from crosstalk.config.select import resolve
from crosstalk.config.structures import crystal_settings, inline, slab_facts, slab_settings
from crosstalk.errors import ConfigError, nearest
from crosstalk.observables.base import Entry, observables
from crosstalk.spec import Spec
from crosstalk.steps import STEPS
from crosstalk.structures import molecules


@dataclass(frozen=True)
class Plan:
    """Everything that a campaign computes."""

    campaign: str
    config: Config
    entries: tuple[Entry, ...]
    specs: Mapping[str, Spec]  # key -> spec, inputs before those that need them

    def table(self, name: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.table == name]


def _ionised(name: str, charge: int) -> str:
    """Name of a species with an electron more (-1), less (+1), or as it is (0)."""
    return name + {1: ", oxidised", -1: ", reduced", 0: ""}[charge]


class Planner:
    """Makes specs from names. One instance for one campaign; asking twice gives the same spec."""

    def __init__(self, config: Config, tier: m.Tier, engine: str | None = None):
        self.config = config
        self.tier = tier
        self.engine = engine  # "fake" replaces every engine: a test of the workflow
        self.specs: dict[str, Spec] = {}
        self.boxes: dict[str, costs.Box] = {}  # of slabs and poses, for the estimates
        self.complexes: dict[str, tuple[str, str]] = {}  # name of a complex -> the two species it is made of
        self.symbols = cache(self._symbols)
        self.geometry = cache(self._geometry)
        self.conformers = cache(self._conformers)
        self.slab = cache(self._slab)

    # -- facts of config entries --------------------------------------------------------------------------------

    def beside(self, name: str, partner: str) -> str:
        """A species with another one bound to it, by a name that all other methods know."""
        full = f"{name} + {partner}"
        self.complexes[full] = (name, partner)
        return full

    def _symbols(self, name: str) -> tuple[str, ...]:
        if name in self.complexes:
            return tuple(symbol for part in self.complexes[name] for symbol in self.symbols(part))
        species = self.config.species[name]
        if species.smiles is not None:
            return tuple(molecules.symbols_of(species.smiles))
        return tuple(inline(self.config, species.geometry or "")["symbols"])

    def charge(self, name: str) -> int:
        if name in self.complexes:
            return sum(self.charge(part) for part in self.complexes[name])
        species = self.config.species[name]
        return species.charge if species.charge is not None else molecules.charge_of(species.smiles or "")

    def multiplicity(self, name: str) -> int:
        """2S+1; of a complex, that of the part with unpaired electrons."""
        if name in self.complexes:
            return max(self.multiplicity(part) for part in self.complexes[name])
        return self.config.species[name].multiplicity

    def ionised(self, name: str) -> int:
        """Multiplicity after one electron was removed or added: low spin."""
        return self.multiplicity(name) - 1 if self.multiplicity(name) > 1 else 2

    def poses_kept(self) -> int:
        assert self.tier.poses is not None
        return self.tier.poses.keep

    # -- specs ---------------------------------------------------------------------------------------------------

    def add(
        self, step: str, level: str | None, settings: dict[str, Any], inputs: dict[str, Spec], **about: Any
    ) -> Spec:
        """The spec of a step at a level (null: no engine), remembered with all that it needs."""
        identity = self.config.levels[level].identity() if level is not None else None
        engine = identity["engine"] if identity else "none"
        if self.engine == "fake":
            engine = "fake"
        spec = Spec(
            step=step,
            engine=engine,
            settings={**settings, "level": identity},
            inputs={role: source.key for role, source in inputs.items()},
            revision=STEPS[step].revision,
            **about,
        )
        return self.specs.setdefault(spec.key, spec)

    def _conformers(self, name: str, charge: int = 0) -> Spec:
        """Conformers, ion pairs or complexes of a species, or of what it is with an electron more (-1) or less (+1)

        in its own bonds; or its given geometry, relaxed or as it is.
        """
        search = self.tier.conformers
        step, described = self._described(name)
        if charge:
            described |= {"charge": self.charge(name) + charge, "multiplicity": self.ionised(name)}
        if name not in self.complexes and self.config.species[name].fixed:
            return self.add("given", None, {"species": described}, {}, label=name, cost_s=0.1, memory_mb=200)
        sampling = search.model_dump(exclude={"level"})
        if sampling["patience"] is None:
            del sampling["patience"]
        seconds = costs.search_s(len(self.symbols(name)), search.max_embeddings)
        settings = {"species": described, "sampling": sampling}
        return self.add(step, search.level, settings, {}, label=_ionised(name, charge), cost_s=seconds, memory_mb=500)

    def _described(self, name: str) -> tuple[str, dict[str, Any]]:
        """The step that finds the structures of a species, and what it is told of it."""
        described: dict[str, Any] = {"charge": self.charge(name), "multiplicity": self.multiplicity(name)}
        smiles = [self.config.species[part].smiles or "" for part in self.complexes.get(name, (name,))]
        if len(smiles) == 2 and molecules.is_metal_cation(smiles[1]):
            return "ion_pairs", described | {"smiles": f"{smiles[1]}.{smiles[0]}"}
        if len(smiles) == 2:
            return "complexes", described | {"smiles": smiles}
        species = self.config.species[name]
        if species.smiles is not None:
            step = "ion_pairs" if molecules.is_ion_pair(species.smiles) else "conformers"
            return step, described | {"smiles": species.smiles}
        given = inline(self.config, species.geometry or "")
        return "conformers", described | {k: given[k] for k in ("symbols", "positions")}

    def _geometry(self, name: str, charge: int = 0, environment: str = "") -> Spec:
        """The geometries that energies of a species are computed at, from the lowest up: structures of this spec's record.

        charge: of its ion (an electron more, -1, or less, +1), from a search of the ion's own; whatever bonds it then has.
        environment: where it is relaxed; the gas phase unless given.
        """
        found, relax = self.conformers(name, charge), self.tier.geometry
        if relax is None or STEPS[found.step].name == "given":
            return found
        shared = {
            "charge": self.charge(name) + charge,
            "multiplicity": self.ionised(name) if charge else self.multiplicity(name),
            "environment": self.config.environments[environment].settings() if environment else None,
        }
        descent = {**shared, "fmax_ev_per_angstrom": self._fmax(name in self.complexes), "max_steps": relax.max_steps}
        label = f"{_ionised(name, charge)} at {relax.level}" + (f" in {environment}" if environment else "")
        geometry = found
        if len(self.symbols(name)) > 1:
            wish = {**descent, "connectivity": "reported"} if charge else descent
            geometry = self._relaxed(name, label, found, relax, shared, wish)
        thermo = self.tier.thermochemistry
        if thermo is not None and (name not in self.complexes or thermo.ions == "own"):
            # With the vibrations of the neutral on both sides, those of a complex would cancel.
            settings = {**descent, "index": 0}
            about = self._about(name, relax.level, costs.HESSIAN, shared)
            geometry = self.add("hessian", relax.level, settings, {"geometry": geometry}, label=label, **about)
        return geometry

    def _fmax(self, loose: bool) -> float:
        """Where relaxations end; `loose`: of an ion or a complex, which may stop earlier unless its vibrations are computed."""
        relax, thermo = self.tier.geometry, self.tier.thermochemistry
        assert relax is not None
        own = thermo is not None and thermo.ions == "own"
        return (not own and loose and relax.loose_fmax_ev_per_angstrom) or relax.fmax_ev_per_angstrom

    def _about(self, name: str, level: str, factor: float, shared: Mapping[str, Any]) -> dict[str, Any]:
        """Estimated cost of a chain of energies and forces."""
        continuum = bool(shared["environment"] and shared["environment"]["model"])
        about = self._molecule_cost(name, level, shared["multiplicity"] > 1, continuum, factor)
        if continuum:
            about["memory_mb"] += costs.CONTINUUM_FORCES_MB
        return about

    def ensemble(self, name: str) -> Spec:
        """The calculation whose record holds the relative energies and weights of the structures of `geometry`."""
        spec = self.geometry(name)
        while spec.step in ("hessian", "molecule_relax") and self.tier.geometry is not None:
            spec = self.specs[spec.inputs["geometry"]]
        return spec

    def _relaxed(
        self, name: str, label: str, found: Spec, relax: m.MolecularGeometry, shared: Any, descent: Any
    ) -> Spec:
        """Conformers in the order of the geometry level, relaxed, gathered."""
        start = found
        # A complex is there for its lowest pose: nothing is averaged over the others.
        keep = relax.rerank_keep if relax.rerank_window_ev is not None and name not in self.complexes else 1
        if relax.rerank_window_ev is not None:
            settings = {**shared, "window_ev": relax.rerank_window_ev, "keep": relax.rerank_keep}
            about = self._about(name, relax.level, costs.RERANKING, shared)
            start = self.add("rerank", relax.level, settings, {"geometry": found}, label=label, **about)
        about = self._about(name, relax.level, costs.RELAXATION, shared)
        relaxed = {
            f"relaxed {k}": self.add(
                "molecule_relax", relax.level, {**descent, "index": k}, {"geometry": start},
                label=label + (f", conformer {k + 1}" if k else ""), **about,
            )
            for k in range(keep)
        }  # fmt: skip
        if len(relaxed) == 1:
            return relaxed["relaxed 0"]
        inputs = {"search 0": start, **relaxed}
        return self.add("ensemble", None, {}, inputs, label=label, cost_s=0.5, memory_mb=200)

    def ion_geometry(self, name: str, charge: int) -> Spec:
        """The minimum that a species relaxes to from its own geometry after an electron was added (-1) or removed (+1),

        whatever its bonds then are.
        """
        start, relax = self.geometry(name), self.tier.geometry
        if relax is None or len(self.symbols(name)) == 1 or start.step == "given":
            return start
        settings = {
            "charge": self.charge(name) + charge,
            "multiplicity": self.ionised(name),
            "environment": None,
            "index": 0,
            "fmax_ev_per_angstrom": self._fmax(True),
            "max_steps": relax.max_steps,
        }
        about = self._molecule_cost(name, relax.level, open_shell=True, factor=costs.RELAXATION)
        label = f"{_ionised(name, charge)} at {relax.level}"
        wish = {**settings, "connectivity": "reported"}
        geometry = self.add("molecule_relax", relax.level, wish, {"geometry": start}, label=label, **about)
        thermo = self.tier.thermochemistry
        if thermo is not None and thermo.ions == "own":
            about = self._molecule_cost(name, relax.level, open_shell=True, factor=costs.HESSIAN)
            geometry = self.add("hessian", relax.level, settings, {"geometry": geometry}, label=label, **about)
        return geometry

    def relaxation(self, ion: Spec, own: Spec) -> Spec:
        """The relaxation that led to the geometry of an ion: its gate "connectivity" compares with the bonds of its start."""
        return self.specs[ion.inputs["geometry"]] if ion.step == "hessian" and ion is not own else ion

    def molecule_energy(
        self,
        name: str,
        level: str,
        environment: str = "",
        *,
        geometry: Spec | None = None,
        index: int = 0,
        charge: int | None = None,
        multiplicity: int | None = None,
        real: Sequence[int] | None = None,
        ghosts: Sequence[int] = (),
        partner: Sequence[int] = (),
        note: str = "",
        step: str = "molecule_energy",
    ) -> Spec:
        """Energy and orbitals at a geometry of a species (its own unless given); of some of its atoms (real), others leaving their basis (ghosts).

        partner: atoms whose spin is asked for.
        """
        surroundings = self.config.environments[environment] if environment else None
        continuum = surroundings is not None and surroundings.model is not None
        multiplicity = multiplicity if multiplicity is not None else self.multiplicity(name)
        settings = {
            "charge": charge if charge is not None else self.charge(name),
            "multiplicity": multiplicity,
            "environment": surroundings.settings() if surroundings else None,
            "index": index,
            "real_atoms": list(real) if real is not None else None,
            "ghost_atoms": list(ghosts),
        } | ({"partner": list(partner)} if partner else {})
        label = f"{name} at {level}" + (f" in {environment}" if continuum else "") + (f", {note}" if note else "")
        about = self._molecule_cost(name, level, open_shell=multiplicity > 1, continuum=continuum)
        source = geometry if geometry is not None else self.geometry(name)
        return self.add(step, level, settings, {"geometry": source}, label=label, **about)

    def fragments(self, name: str, level: str) -> dict[str, Spec]:
        """Energies for counterpoise and deformation of `whole -> ion + remainder` at the geometry of the whole.

        The ion removed is the last atom of that element (ion pairs hold their cations at the end).
        """
        parts = self.config.species[name].dissociation
        assert parts is not None
        symbols = self.symbols(name)
        (element,) = self.symbols(parts.ion)
        ion = max(i for i, s in enumerate(symbols) if s == element)
        rest = [i for i in range(len(symbols)) if i != ion]

        def part(which: str, real: Sequence[int], ghosts: Sequence[int], note: str) -> Spec:
            multiplicity = self.config.species[which].multiplicity
            return self.molecule_energy(
                name, level, charge=self.charge(which), multiplicity=multiplicity, real=real, ghosts=ghosts, note=note
            )

        return {
            "remainder in place": part(parts.remainder, rest, [], "remainder in place"),
            "remainder with ghosts": part(parts.remainder, rest, [ion], "remainder with ghosts"),
            "ion with ghosts": part(parts.ion, [ion], rest, "ion with ghosts"),
        }

    def bulk(self, name: str, level: str) -> Spec:
        """A crystal with its cell and positions relaxed at a level."""
        crystal, relax = self.config.crystals[name], self.tier.lattices
        assert relax is not None
        settings = {
            "crystal": crystal_settings(self.config, crystal),
            "symmetry_angstrom": crystal.symmetry_angstrom,
            "relax": relax.model_dump(exclude={"level"}),
        } | ({"layered": True} if crystal.layered else {})
        about = self._crystal_cost(name, level, costs.CELL_STEPS)
        return self.add("bulk_relax", level, settings, {}, label=f"{name} at {level}", **about)

    def crystal_energy(self, bulk: Spec, name: str, level: str, part: str) -> Spec:
        """Energy of a relaxed crystal ("crystal"), or of one of its layers alone ("layer")."""
        settings, about = {"index": 0, "part": part}, self._crystal_cost(name, level)
        label = f"{name} at {level}: {part}"
        return self.add("crystal_energy", level, settings, {"geometry": bulk}, label=label, **about)

    def _slab(self, name: str) -> Spec:
        """The relaxed primitive slab of a surface."""
        surface, tier = self.config.surfaces[name], self.tier.slabs
        assert tier is not None
        built = slab_settings(self.config, surface)
        relax = tier.model_dump(exclude={"level"})
        engine = self.config.levels[tier.level].engine if tier.level else "none"
        seconds, memory = {"gpaw": (600.0, 2500), "xtb": (5.0, 500)}.get(engine, (1.0, 300))
        about: dict[str, Any] = {"cost_s": seconds, "memory_mb": memory}
        inputs = {}
        if (bulk := getattr(surface, "bulk", None)) is not None:
            assert self.tier.lattices is not None
            inputs["bulk"] = self.bulk(bulk, self.tier.lattices.level)
        spec = self.add("slab", tier.level, {"surface": built, "relax": relax}, inputs, label=name, **about)
        self.boxes[spec.key] = self._box(name, (1, 1), 0)
        return spec

    def poses(self, adsorbate: str, surface: str) -> Spec:
        """Adsorbate poses on the repeated slab, with both references in the same box."""
        tier, place = self.tier.poses, self.config.surfaces[surface]
        assert tier is not None
        settings = {
            "sampling": tier.model_dump(exclude={"level", "keep"}),
            "repeat": list(place.repeat),
            "vacuum_angstrom": place.vacuum_angstrom,
        }
        inputs = {"slab": self.slab(surface), "adsorbate": self.geometry(adsorbate)}
        box = self._box(surface, tuple(place.repeat), len(self.symbols(adsorbate)))
        about = {"cost_s": costs.poses_s(box.n_atoms, tier.n_poses, tier.max_steps), "memory_mb": 800}
        spec = self.add("poses", tier.level, settings, inputs, label=f"{adsorbate} on {surface}", **about)
        self.boxes[spec.key] = box
        return spec

    def varied_level(self, level: str, setting: str, value: Any) -> str:
        """The name of a level that differs from `level` in one setting; known to the plan's config from then on."""
        name = f"{level}, {setting} {value:g}"
        model = self.config.levels[level].model_copy(update={setting: value})
        same = next((n for n, other in self.config.levels.items() if other.identity() == model.identity()), None)
        if same is not None:
            return same
        self.config = replace(self.config, levels={**self.config.levels, name: model})
        return name

    def varied_surface(self, surface: str, setting: str, value: Any) -> str:
        """The name of a surface that differs from `surface` in one setting."""
        name = f"{surface}, {setting} {value}"
        model = self.config.surfaces[surface].model_copy(update={setting: value})
        self.config = replace(self.config, surfaces={**self.config.surfaces, name: model})
        return name

    def transplant(self, poses: Spec, surface: str, label: str) -> Spec:
        """The lowest pose of a search on another model of its surface, with both references in that box."""
        place = self.config.surfaces[surface]
        settings = {"index": 2, "repeat": list(place.repeat), "vacuum_angstrom": place.vacuum_angstrom}
        inputs = {"geometry": poses, "slab": self.slab(surface)}
        spec = self.add("transplant", None, settings, inputs, label=label, cost_s=0.5, memory_mb=300)
        self.boxes[spec.key] = self._box(surface, tuple(place.repeat), self.boxes[poses.key].n_adsorbate)
        return spec

    def surface_relax(self, poses: Spec, relax: m.Relaxation, index: int, freeze_below: float, label: str) -> Spec:
        settings = {**relax.model_dump(exclude={"level"}), "index": index, "freeze_below": freeze_below}
        about = self._surface_cost(relax.level, self.boxes[poses.key].part(index), factor=30.0)
        return self.add(
            "surface_relax", relax.level, settings, {"geometry": poses}, label=f"{label} at {relax.level}", **about
        )

    def surface_energy(self, geometry: Spec, level: str, index: int, label: str, **asked: Any) -> Spec:
        """Energy of a structure; `asked`: further settings of the step (part, ghosts, charges), left out when None."""
        settings = {"index": index} | {key: value for key, value in asked.items() if value is not None}
        if geometry.key in self.boxes:
            box = self.boxes[geometry.key].part(index)
        elif geometry.step == "pose_ensemble":
            box = self.boxes[geometry.inputs["search 0"]].part(2 + index)
        else:  # a relaxed one
            box = self.boxes[geometry.inputs["geometry"]].part(geometry.settings["index"])
        if asked.get("part") is not None and not asked.get("ghosts"):
            box = box.part(0 if asked["part"] == "slab" else 1)
        about = self._surface_cost(level, box)
        return self.add("surface_energy", level, settings, {"geometry": geometry}, label=f"{label} at {level}", **about)

    def pose_ensemble(self, search: Spec, energies: Sequence[Spec], label: str) -> Spec:
        """The distinct poses of a search in the order of their energies at a level; `energies` in the search's order."""
        inputs = {"search 0": search} | {f"pose {k + 1}": energy for k, energy in enumerate(energies)}
        return self.add("pose_ensemble", None, {}, inputs, label=label, cost_s=1.0, memory_mb=300)

    # -- costs ---------------------------------------------------------------------------------------------------

    def _molecule_cost(
        self, name: str, level: str, open_shell: bool = False, continuum: bool = False, factor: float = 1.0
    ) -> dict[str, Any]:
        model = self.config.levels[level]
        if not isinstance(model, m.PyscfLevel):
            return {"cost_s": factor, "memory_mb": 500}
        seconds = costs.molecule_energy_s(self.symbols(name), model.identity(), open_shell, continuum) * factor
        memory = costs.molecule_memory_mb(self.symbols(name), model.identity(), continuum)
        return {"cost_s": seconds, "memory_mb": memory}

    def _box(self, surface: str, repeat: tuple[int, ...], n_adsorbate: int) -> costs.Box:
        """Size of a slab's box, of its adsorption box when there is an adsorbate."""
        place = self.config.surfaces[surface]
        facts = slab_facts(self.config, place)
        lateral = repeat[0] * repeat[1]
        vacuum = place.vacuum_angstrom + costs.ADSORBATE_HEIGHT if n_adsorbate else costs.SLAB_VACUUM
        height = facts["thickness_angstrom"] + vacuum
        return costs.Box(int(facts["n_atoms"]) * lateral, n_adsorbate, facts["area_angstrom2"] * lateral, height)

    def _crystal_cost(self, name: str, level: str, factor: float = 1.0) -> dict[str, Any]:
        crystal, model = crystal_settings(self.config, self.config.crystals[name]), self.config.levels[level]
        seconds = costs.crystal_energy_s(crystal["cell"], len(crystal["symbols"]), model.identity())
        return {"cost_s": seconds * factor, "memory_mb": 1500}

    def _surface_cost(self, level: str, box: costs.Box, factor: float = 1.0) -> dict[str, Any]:
        model = self.config.levels[level]
        if not isinstance(model, m.GpawLevel):
            return {"cost_s": factor, "memory_mb": 500}
        seconds = costs.surface_energy_s(box, model.identity()) * factor
        return {"cost_s": seconds, "memory_mb": costs.surface_memory_mb(box, model.identity())}


def make(config: Config, campaign: str | None = None, engine: str | None = None) -> Plan:
    """The plan of a campaign (None: the default one). Raises ConfigError for an unknown or empty campaign."""
    name = campaign or config.default
    if name not in config.campaigns:
        raise ConfigError(
            [f"unknown campaign '{name}'; there are: {', '.join(config.campaigns)}{nearest(name, config.campaigns)}"]
        )
    chosen = config.campaigns[name]
    tier = config.tiers[chosen.tier]
    planner = Planner(config, tier, engine)
    entries: list[Entry] = []
    for table, section in chosen.observables.items():
        observable = observables()[table]
        settings = observable.section.model_validate(tier.observables[table])
        subjects = {key: resolve(getattr(config, kind), section[key]) for key, kind in observable.subjects.items()}
        entries += observable.entries(planner, settings, subjects)
    return Plan(name + ("-fake" if engine == "fake" else ""), planner.config, tuple(entries), dict(planner.specs))


def load_plan(config_dir: Path | str, campaign: str | None = None, engine: str | None = None) -> Plan:
    """Config folder -> plan."""
    from crosstalk.config import load

    return make(load(config_dir), campaign, engine)
