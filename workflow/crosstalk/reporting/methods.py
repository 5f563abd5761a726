"""Levels of theory in words."""

from typing import Any

from crosstalk.config import models as m
from crosstalk.plan import Plan
from crosstalk.reporting import tables
from crosstalk.reporting.markdown import markdown
from crosstalk.spec import canonical


def methods(plan: Plan, campaign: m.Campaign) -> list[str]:
    """The levels and environments that the calculations use, and the tier's other settings, in words."""
    used: dict[str, dict[str, None]] = {}
    for spec in plan.specs.values():
        if spec.settings.get("level") is not None:
            used.setdefault(canonical(spec.settings["level"]), {})[spec.step] = None
    names = tables.level_names(plan)
    rows = []
    for identity, steps in used.items():
        level = plan.config.levels[names[identity]]
        rows.append({"level": names[identity], "settings": describe(level), "used for": ", ".join(steps)})
    evaluated = {entry.subject.get("level"): entry.table for entry in plan.entries}
    for name, level in plan.config.levels.items():
        if name in evaluated and getattr(level, "density", None) is not None:
            rows.append({"level": name, "settings": describe(level), "used for": evaluated[name]})
    lines = ["## Levels of theory", "", *markdown(("level", "settings", "used for"), rows)]
    for name, environment in plan.config.environments.items():
        if environment.model and any(
            spec.settings.get("environment") == environment.settings() for spec in plan.specs.values()
        ):
            lines.append(f"- environment {name}: {environment.model}, relative permittivity {environment.epsilon:g}")
    tier = plan.config.tiers[campaign.tier]
    steps_used = {spec.step for spec in plan.specs.values()}
    sections = {"conformers": tier.conformers, "geometry": tier.geometry, "lattices": tier.lattices, "slabs": tier.slabs, "poses": tier.poses}  # fmt: skip
    needs = {
        "conformers": {"conformers", "ion_pairs"},
        "geometry": {"molecule_relax"},
        "lattices": {"bulk_relax"},
        "slabs": {"slab"},
        "poses": {"poses"},
    }
    for name, section in sections.items():
        if section is not None and needs[name] & steps_used:
            settings = section.model_dump(mode="json")
            lines.append(
                f"- {name}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items())
            )
    return [*lines, ""]


def _spins(level: m.GpawLevel) -> str:
    """How a periodic level treats spins, in words; nothing where all electrons are paired."""
    if not level.magnetic_moments:
        return ""
    moments = ", ".join(f"{element} {moment:g}" for element, moment in level.magnetic_moments.items())
    return f"spin-polarised from moments of {moments}" + (", sides antiparallel" if level.opposite_sides else "")


def describe(level: Any) -> str:
    """A level's settings in words."""
    if isinstance(level, m.PyscfLevel):
        parts = [
            f"{level.functional} / {level.basis}",
            f"dispersion {level.dispersion or 'none added'}",
            f"basis correction {level.basis_correction}" if level.basis_correction else "",
            f"density fitting {level.density_fit}" if level.density_fit else "no density fitting",
            f"grid level {level.grid_level}, SCF {level.scf_tolerance_ha:g} Ha",
            "wavefunction stability analysed" if level.stability else "",
        ]
    elif isinstance(level, m.GpawLevel):
        kpoints, fewer = level.kpoint_spacing_per_angstrom, level.insulator_kpoint_spacing_per_angstrom
        parts = [
            f"{level.functional}, PAW" + (f", on the density of {level.density}" if level.density else ""),
            f"plane waves {level.cutoff_ev:g} eV" if level.mode == "pw" else f"LCAO {level.basis}",
            f"grid {level.grid_spacing_angstrom:g} Å{' or finer' if level.mode == 'pw' else ''}",
            f"dispersion {level.dispersion or 'none'}",
            f"k-points every {kpoints:g} 1/Å" if kpoints else "Gamma point",
            f"of insulators every {fewer:g} 1/Å" if fewer else "",
            f"smearing {level.smearing_ev:g} eV",
            _spins(level),
            "dipole correction" if level.dipole_correction else "no dipole correction",
        ]
    elif isinstance(level, m.XtbLevel):
        parts = [
            level.method,
            f"accuracy {level.accuracy:g}",
            f"electronic temperature {level.electronic_temperature_k:g} K",
        ]
    elif isinstance(level, m.AseLevel):
        parts = [level.calculator, *(f"{key} {value}" for key, value in level.parameters.items())]
    else:
        parts = [f"{level.method}: FAKE, made-up numbers"]
    return ", ".join(filter(None, parts))
