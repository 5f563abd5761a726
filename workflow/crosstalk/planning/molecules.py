"""Specs of molecules: searches, geometries, free energies, energies."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from crosstalk import costs
from crosstalk.config import models as m
from crosstalk.config.load import Config
from crosstalk.config.structures import inline
from crosstalk.planning.base import BasePlanner
from crosstalk.spec import Spec
from crosstalk.steps import STEPS
from crosstalk.structures import molecules

#: Steps that look at the vibrations of a relaxed geometry.
LOOKS = ("hessian", "lowest_mode")


def _ionised(name: str, charge: int) -> str:
    """Name of a species with an electron more (-1), less (+1), or as it is (0)."""
    return name + {1: ", oxidised", -1: ", reduced", 0: ""}[charge]


class MoleculePlanner(BasePlanner):
    def __init__(self, config: Config, tier: m.Tier, engine: str | None = None):
        super().__init__(config, tier, engine)
        self.geometry = cache(self._geometry)
        self.relaxed = cache(self._relaxed)
        self.conformers = cache(self._conformers)

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

    def kept(self, name: str) -> int:
        """How many structures of a species are relaxed, from the lowest up; as many ranks exist of `pose` below."""
        relax = self.tier.geometry
        return relax.rerank_keep if relax is not None and relax.rerank_window_ev is not None else 1

    def _geometry(
        self, name: str, charge: int = 0, environment: str = "", level: str = "", pose: int = 0, minimum: bool = False
    ) -> Spec:
        """The geometries that energies of a species are computed at, from the lowest up: structures of this spec's record.

        charge: of its ion (an electron more, -1, or less, +1), from a search of the ion's own; whatever bonds it then has.
        environment: where it is relaxed; the gas phase unless given.
        level: what it is relaxed at; the tier's unless given, which puts conformers in order in any case.
        pose: rank, from 0, of the one pose of a complex that it is; of other species the spec holds all that are kept.
        minimum: of a complex without frequencies, that its lowest vibration is looked at.
        """
        geometry, relax = self.relaxed(name, charge, environment, level, pose), self.tier.geometry
        thermo = self.tier.thermochemistry
        if relax is None or thermo is None or STEPS[geometry.step].name == "given":
            return geometry
        shared, descent = self._descent(name, charge, environment)
        at = level or relax.level
        label = self._label(name, charge, environment, at, pose)
        settings = {**descent, "index": 0}
        if name in self.complexes and thermo.ions != "own":  # the vibrations of the neutral on both sides would cancel
            return self._minimum(geometry, name, at, label) if minimum else geometry
        about = self._about(name, at, costs.HESSIAN, shared)
        return self.add("hessian", at, settings, {"geometry": geometry}, label=label, **about)

    def _minimum(self, relaxed: Spec, name: str, level: str, label: str) -> Spec:
        """A relaxed geometry after a look at its lowest vibration, and downhill from there, by the same rules, if it is imaginary."""
        settings = {**relaxed.settings, "index": 0}
        about = self._about(name, level, costs.LOWEST_MODE, settings)
        return self.add("lowest_mode", level, settings, {"geometry": relaxed}, label=label, **about)

    def _relaxed(self, name: str, charge: int = 0, environment: str = "", level: str = "", pose: int = 0) -> Spec:
        """As `geometry`, without a look at vibrations: what is put on a surface relaxes there again."""
        found, relax = self.conformers(name, charge), self.tier.geometry
        if relax is None or STEPS[found.step].name == "given" or len(self.symbols(name)) == 1:
            return found
        shared, descent = self._descent(name, charge, environment)
        wish = {**descent, "connectivity": "reported"} if charge else descent
        start, ranks = found, [pose]
        if relax.rerank_window_ev is not None:
            # A complex is there for one of its poses: nothing is averaged over them.
            ranks = list(range(relax.rerank_keep)) if name not in self.complexes else [pose]
            settings = {**shared, "window_ev": relax.rerank_window_ev, "keep": relax.rerank_keep}
            about = self._about(name, relax.level, costs.RERANKING, shared)
            label = self._label(name, charge, environment, relax.level)
            start = self.add("rerank", relax.level, settings, {"geometry": found}, label=label, **about)
        at = level or relax.level
        about = self._about(name, at, costs.RELAXATION, shared)
        label = self._label(name, charge, environment, at)
        relaxed = {
            f"relaxed {k}": self.add(
                "molecule_relax", at, {**wish, "index": k}, {"geometry": start},
                label=label + (f", conformer {k + 1}" if k else ""), **about,
            )
            for k in ranks
        }  # fmt: skip
        if len(relaxed) == 1:
            return next(iter(relaxed.values()))
        inputs = {"search 0": start, **relaxed}
        return self.add("ensemble", None, {}, inputs, label=label, cost_s=0.5, memory_mb=200)

    @staticmethod
    def _label(name: str, charge: int, environment: str, level: str, pose: int = 0) -> str:
        at = f"{_ionised(name, charge)} at {level}" + (f" in {environment}" if environment else "")
        return at + (f", pose {pose + 1}" if pose else "")

    def _descent(self, name: str, charge: int, environment: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Settings of energies along a relaxation, and of the relaxation."""
        assert self.tier.geometry is not None
        shared = {
            "charge": self.charge(name) + charge,
            "multiplicity": self.ionised(name) if charge else self.multiplicity(name),
            "environment": self.config.environments[environment].settings() if environment else None,
        }
        fmax, max_steps = self._fmax(name in self.complexes), self.tier.geometry.max_steps
        return shared, {**shared, "fmax_ev_per_angstrom": fmax, "max_steps": max_steps}

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
        while spec.step in (*LOOKS, "molecule_relax") and self.tier.geometry is not None:
            spec = self.specs[spec.inputs["geometry"]]
        return spec

    def ion_geometry(self, name: str, charge: int, level: str = "", pose: int = 0, minimum: bool = False) -> Spec:
        """The minimum that a species relaxes to from its own geometry after an electron was added (-1) or removed (+1),

        whatever its bonds then are; both at the tier's level unless given. pose, minimum: as in `geometry`.
        """
        start, relax = self.geometry(name, 0, "", level, pose, minimum), self.tier.geometry
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
        at = level or relax.level
        about = self._molecule_cost(name, at, open_shell=True, factor=costs.RELAXATION)
        label = self._label(name, charge, "", at, pose)
        wish = {**settings, "connectivity": "reported"}
        geometry = self.add("molecule_relax", at, wish, {"geometry": start}, label=label, **about)
        thermo = self.tier.thermochemistry
        if thermo is not None and thermo.ions == "own":
            about = self._molecule_cost(name, at, open_shell=True, factor=costs.HESSIAN)
            return self.add("hessian", at, settings, {"geometry": geometry}, label=label, **about)
        return self._minimum(geometry, name, at, label) if minimum and thermo is not None else geometry

    def relaxation(self, ion: Spec, own: Spec) -> Spec:
        """The relaxation that led to the geometry of an ion: its gate "connectivity" compares with the bonds of its start."""
        return self.specs[ion.inputs["geometry"]] if ion.step in LOOKS and ion is not own else ion

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

    def _molecule_cost(
        self, name: str, level: str, open_shell: bool = False, continuum: bool = False, factor: float = 1.0
    ) -> dict[str, Any]:
        model = self.config.levels[level]
        if not isinstance(model, m.PyscfLevel):
            return {"cost_s": factor, "memory_mb": 500}
        seconds = costs.molecule_energy_s(self.symbols(name), model.identity(), open_shell, continuum) * factor
        memory = costs.molecule_memory_mb(self.symbols(name), model.identity(), continuum)
        return {"cost_s": seconds, "memory_mb": memory}
