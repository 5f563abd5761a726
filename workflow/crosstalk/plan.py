"""The plan: config -> entries (rows to be) and specs (calculations), each once, in an order that can be run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crosstalk.config.load import Config
from crosstalk.config.select import resolve
from crosstalk.errors import ConfigError, nearest
from crosstalk.observables.base import Entry, observables
from crosstalk.planning.surfaces import SurfacePlanner as Planner
from crosstalk.spec import Spec, canonical

__all__ = ["Plan", "Planner", "load_plan", "make"]


@dataclass(frozen=True)
class Plan:
    """Everything that a campaign computes."""

    campaign: str
    config: Config
    entries: tuple[Entry, ...]
    specs: Mapping[str, Spec]  # key -> spec, inputs before those that need them

    def table(self, name: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.table == name]


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
    entries: dict[str, Entry] = {}  # a row that several combinations ask for is one
    for table, section, _ in chosen.parts():
        observable = observables()[table]
        settings = observable.section.model_validate(tier.observables[table])
        subjects = {key: resolve(getattr(config, kind), section[key]) for key, kind in observable.subjects.items()}
        for entry in observable.entries(planner, settings, subjects):
            entries.setdefault(canonical([table, entry.subject]), entry)
    made = tuple(entries.values())
    return Plan(name + ("-fake" if engine == "fake" else ""), planner.config, made, dict(planner.specs))


def load_plan(config_dir: Path | str, campaign: str | None = None, engine: str | None = None) -> Plan:
    """Config folder -> plan."""
    from crosstalk.config import load

    return make(load(config_dir), campaign, engine)
