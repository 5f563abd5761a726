"""Specs of bulk crystals, slabs and adsorbates on them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from crosstalk import costs
from crosstalk.config import models as m
from crosstalk.config.load import Config
from crosstalk.config.structures import crystal_settings, slab_facts, slab_settings
from crosstalk.planning.molecules import MoleculePlanner
from crosstalk.spec import Spec

#: One structure of a calculation's: the calculation, and which of its structures.
Structure = tuple[Spec, int]


class SurfacePlanner(MoleculePlanner):
    """Needs molecules: adsorbates are taken as they are relaxed alone."""

    def __init__(self, config: Config, tier: m.Tier, engine: str | None = None):
        super().__init__(config, tier, engine)
        self.boxes: dict[str, costs.Box] = {}  # of slabs and poses, for the estimates
        self.varied: dict[str, str] = {}  # surfaces that differ in one setting -> the config's own
        self.slab = cache(self._slab)

    def poses_kept(self) -> int:
        assert self.tier.poses is not None
        return self.tier.poses.keep

    def bulk(self, name: str, level: str) -> Spec:
        """A crystal with its cell and positions relaxed at a level."""
        crystal, relax = self.config.crystals[name], self.tier.lattices
        assert relax is not None
        settings = {
            "crystal": crystal_settings(self.config, crystal),
            "symmetry_angstrom": crystal.symmetry_angstrom,
            "relax": relax.model_dump(exclude={"level"}),
        } | ({"layered": True} if crystal.layered else {})
        here = self._level_on(level, crystal.conductor)
        about = self._crystal_cost(name, here, costs.CELL_STEPS)
        return self.add("bulk_relax", here, settings, {}, label=f"{name} at {level}", **about)

    def crystal_energy(self, bulk: Spec, name: str, level: str, part: str) -> Spec:
        """Energy of a relaxed crystal ("crystal"), or of one of its layers alone ("layer")."""
        here = self._level_on(level, self.config.crystals[name].conductor)
        settings, about = {"index": 0, "part": part}, self._crystal_cost(name, here)
        label = f"{name} at {level}: {part}"
        return self.add("crystal_energy", here, settings, {"geometry": bulk}, label=label, **about)

    def _slab(self, name: str) -> Spec:
        """The relaxed primitive slab of a surface."""
        surface, tier = self.config.surfaces[name], self.tier.slabs
        assert tier is not None
        built = slab_settings(self.config, surface)
        relax = tier.model_dump(exclude={"level", "instead"})
        box = self._box(name, (1, 1), 0)
        level = tier.level_of(self.varied.get(name, name), surface.groups)
        level = self._level_on(level, box.conductor) if level else None
        engine = self.config.levels[level].engine if level else "none"
        about: dict[str, Any] = (
            {"cost_s": 5.0, "memory_mb": 500} if engine == "xtb" else {"cost_s": 1.0, "memory_mb": 300}
        )
        if level and engine == "gpaw":
            about = self._surface_cost(level, box, factor=costs.SLAB_RELAXATION)
        inputs = {}
        if (bulk := getattr(surface, "bulk", None)) is not None:
            assert self.tier.lattices is not None
            inputs["bulk"] = self.bulk(bulk, self.tier.lattices.level)
        settings: dict[str, Any] = {"surface": built, "relax": relax}
        own = self.config.surfaces[self.varied.get(name, name)]
        if level and built.get("rattle_angstrom") and built.get("layers") != (layers := getattr(own, "layers", None)):
            inputs["settled"] = self.slab(self.varied[name])
            settings["settled_layers"] = layers
        spec = self.add("slab", level, settings, inputs, label=name, **about)
        self.boxes[spec.key] = box
        return spec

    def poses(self, adsorbate: str, surface: str) -> Spec:
        """Adsorbate poses on the repeated slab, with both references in the same box."""
        tier, place = self.tier.poses, self.config.surfaces[surface]
        assert tier is not None
        unused = {"patience", "keep"} if tier.patience is None else set()
        settings = {
            "sampling": tier.model_dump(exclude={"level", "least_image_angstrom"} | unused),
            "repeat": list(place.repeat),
            "vacuum_angstrom": place.vacuum_angstrom,
        }
        inputs = {"slab": self.slab(surface), "adsorbate": self.relaxed(adsorbate)}
        box = self._box(surface, tuple(place.repeat), len(self.symbols(adsorbate)))
        about = {
            "cost_s": costs.poses_s(box, tier.n_poses, tier.max_steps, tier.patience or 0),
            "memory_mb": 800,
        }
        spec = self.add("poses", tier.level, settings, inputs, label=f"{adsorbate} on {surface}", **about)
        self.boxes[spec.key] = box
        return spec

    def thin(self, surface: str) -> str | None:
        """The model of a surface on which poses are relaxed, when it is another one."""
        return self.config.surfaces[surface].relax_on

    def n_atoms(self, surface: str, adsorbate: str) -> int:
        """Atoms of an adsorbate on the repeated slab."""
        return self._box(surface, tuple(self.config.surfaces[surface].repeat), len(self.symbols(adsorbate))).n_atoms

    def varied_level(self, level: str, setting: str, value: Any) -> str:
        """The name of a level that differs from `level` in one setting; known to the plan's config from then on."""
        name = f"{level}, {setting} {value:g}"
        other = {"insulator_kpoint_spacing_per_angstrom": None} if setting == "kpoint_spacing_per_angstrom" else {}
        model = self.config.levels[level].model_copy(update={setting: value} | other)
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
        self.varied[name] = surface
        return name

    def transplant(
        self, pose: Structure, bare: Structure, molecule: Structure, surface: str, label: str
    ) -> dict[str, Structure]:
        """A pose on a surface that differs from its own in one setting, with both references in that box: slab, molecule, pose."""
        place, own = self.config.surfaces[surface], self.config.surfaces[self.varied[surface]]
        settings: dict[str, Any] = {"index": pose[1], "bare_index": bare[1], "molecule_index": molecule[1]}
        more = place.vacuum_angstrom - own.vacuum_angstrom
        settings |= {"repeat": list(place.repeat), "more_vacuum_angstrom": more}
        inputs = {"geometry": pose[0], "bare": bare[0], "molecule": molecule[0], "slab": self.slab(surface)}
        spec = self.add("transplant", None, settings, inputs, label=label, cost_s=0.5, memory_mb=300)
        self.boxes[spec.key] = self._box(surface, tuple(place.repeat), self._box_of(*pose).n_adsorbate)
        return {role: (spec, index) for index, role in enumerate(("slab", "molecule", "pose"))}

    def thicken(self, relaxed: Spec, bare: Spec, thin: str, surface: str, label: str) -> Spec:
        """What was relaxed on the thin model of a surface, on the surface itself; `bare`: the thin slab, relaxed."""
        place, other = self.config.surfaces[surface], self.config.surfaces[thin]
        more = place.vacuum_angstrom - other.vacuum_angstrom
        settings = {"repeat": list(place.repeat), "more_vacuum_angstrom": more}
        inputs = {"geometry": relaxed, "bare": bare, "slab": self.slab(surface)}
        spec = self.add("thicken", None, settings, inputs, label=label, cost_s=0.5, memory_mb=300)
        n_adsorbate = self.boxes[relaxed.inputs["geometry"]].n_adsorbate
        self.boxes[spec.key] = self._box(surface, tuple(place.repeat), n_adsorbate).part(relaxed.settings["index"])
        return spec

    def surface_relax(self, poses: Spec, relax: m.Relaxation, index: int, freeze_below: float, label: str) -> Spec:
        settings = {**relax.model_dump(exclude={"level"}), "index": index, "freeze_below": freeze_below}
        box = self.boxes[poses.key].part(index)
        level = self._level_on(relax.level, box.conductor)
        about = self._surface_cost(level, box, factor=costs.POSE_RELAXATION[box.conductor][min(index, 2)])
        return self.add(
            "surface_relax", level, settings, {"geometry": poses}, label=f"{label} at {relax.level}", **about
        )

    def settled_slab(
        self,
        pose: Structure,
        bare: Spec,
        in_place: Spec,
        relax: m.Relaxation,
        freeze_below: float,
        lower_by_ev: float,
        label: str,
    ) -> Spec:
        """The bare slab relaxed from where a pose has it, if that is lower; mostly it is not, and nothing is computed."""
        settings = {**relax.model_dump(exclude={"level"}), "index": pose[1], "freeze_below": freeze_below}
        settings["lower_by_ev"] = lower_by_ev
        box = self._box_of(*pose).part(0)
        level = self._level_on(relax.level, box.conductor)
        memory = self._surface_cost(level, box)["memory_mb"]
        inputs = {"geometry": pose[0], "bare": bare, "in_place": in_place}
        label = f"{label} at {relax.level}"
        spec = self.add("settled_slab", level, settings, inputs, label=label, cost_s=1.0, memory_mb=memory)
        self.boxes[spec.key] = box
        return spec

    def structure_of(self, energy: Spec) -> Structure:
        """The structure that an energy belongs to."""
        return self.specs[energy.inputs["geometry"]], energy.settings["index"]

    def surface_energy(self, geometry: Spec, level: str, index: int, label: str, **asked: Any) -> Spec:
        """Energy of a structure; `asked`: further settings of the step (part, ghosts, charges, ...), left out when None."""
        settings = {"index": index} | {key: value for key, value in asked.items() if value is not None}
        box = self._box_of(geometry, index)
        if asked.get("part") is not None and not asked.get("ghosts"):
            box = box.part(0 if asked["part"] == "slab" else 1)
        here = self._level_on(level, box.conductor)
        about = self._surface_cost(here, box, factor=1 + costs.FUNCTIONAL * len(asked.get("functionals") or ()))
        if geometry.step == "settled_slab":
            about["cost_s"] = 1.0  # mostly there is none
        return self.add("surface_energy", here, settings, {"geometry": geometry}, label=f"{label} at {level}", **about)

    def surface_modes(self, pose: Spec, search: Spec, level: str, index: int, label: str) -> Spec:
        """Rigid-body motions of a pose; `search` holds the molecule alone."""
        box = self.boxes[search.key].part(2)
        here = self._level_on(level, box.conductor)
        about = self._surface_cost(here, box, factor=costs.MODES)
        inputs = {"geometry": pose, "molecule": search}
        return self.add("surface_modes", here, {"index": index}, inputs, label=f"{label} at {level}", **about)

    def pose_ensemble(self, search: Spec, energies: Sequence[Spec], label: str) -> Spec:
        """The distinct poses of a search in the order of their energies at a level; `energies` in the search's order."""
        inputs = {"search 0": search} | {f"pose {k + 1}": energy for k, energy in enumerate(energies)}
        return self.add("pose_ensemble", None, {}, inputs, label=label, cost_s=1.0, memory_mb=300)

    def _level_on(self, level: str, conductor: bool) -> str:
        """The level with the k-points that a conductor, or an insulator, takes."""
        model = self.config.levels[level]
        if not isinstance(model, m.GpawLevel) or model.insulator_kpoint_spacing_per_angstrom is None:
            return level
        name = f"{level}, {'conductor' if conductor else 'insulator'}"
        if name not in self.config.levels:
            self.config = replace(self.config, levels={**self.config.levels, name: model.on(conductor)})
        return name

    def _box_of(self, geometry: Spec, index: int) -> costs.Box:
        """What structure `index` of a spec holds."""
        if geometry.step == "thicken":
            return self.boxes[geometry.key]
        if geometry.key in self.boxes:
            return self.boxes[geometry.key].part(index)
        if geometry.step == "pose_ensemble":
            first = self.specs[geometry.inputs["pose 1"]]
            return self._box_of(self.specs[first.inputs["geometry"]], first.settings["index"])
        return self.boxes[geometry.inputs["geometry"]].part(geometry.settings["index"])  # a relaxed one

    def _box(self, surface: str, repeat: tuple[int, ...], n_adsorbate: int) -> costs.Box:
        """Size of a slab's box, of its adsorption box when there is an adsorbate."""
        place = self.config.surfaces[surface]
        facts = slab_facts(self.config, place)
        lateral = repeat[0] * repeat[1]
        vacuum = place.vacuum_angstrom + costs.ADSORBATE_HEIGHT if n_adsorbate else costs.SLAB_VACUUM
        height = facts["thickness_angstrom"] + vacuum
        area = facts["area_angstrom2"] * lateral
        return costs.Box(int(facts["n_atoms"]) * lateral, n_adsorbate, area, height, place.conductor)

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
