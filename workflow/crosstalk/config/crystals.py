"""The check at the door for bulk crystals: their files, the levels that may relax a cell, the surfaces that are cut from them."""

from collections.abc import Iterator, Sequence

from crosstalk.config import models as m
from crosstalk.config.load import Config
from crosstalk.config.memo import remembered
from crosstalk.config.problems import twins, unknown
from crosstalk.config.structures import crystal_settings
from crosstalk.errors import CrosstalkError
from crosstalk.spec import canonical

#: Below this cutoff so much is missing in a stress that no correction helps: cells with oxygen collapse (docs/decisions/lattices.md). eV.
PULAY_CUTOFF = 800.0


def check_crystals(config: Config) -> Iterator[str]:
    """Files that cannot be read or are no crystal, and crystals that are called layered and are not."""
    identities = {}
    for name, crystal in config.crystals.items():
        where = f"surfaces.yaml: crystals '{name}'"
        try:
            settings = crystal_settings(config, crystal)
        except Exception as error:
            yield f"{where}: key 'file': '{crystal.file}' cannot be read: {error}"
            continue
        if not settings["scaled_positions"]:
            yield f"{where}: key 'file': '{crystal.file}' has no cell in three directions"
            continue
        identities[name] = [settings, crystal.layered, crystal.symmetry_angstrom]
        question = [canonical(settings), crystal.layered, crystal.symmetry_angstrom]

        def answer(crystal: m.Crystal = crystal) -> str:
            return _unfit(config, crystal)

        if text := remembered(f"crystal {canonical(question)}", answer):
            yield f"{where}: {text}"
    yield from twins("surfaces.yaml: crystals", identities)


def _unfit(config: Config, crystal: m.Crystal) -> str:
    from crosstalk.structures import crystals

    atoms = crystals.atoms_of(crystal_settings(config, crystal))
    try:
        crystals.space_group(atoms, crystal.symmetry_angstrom)
        if crystal.layered:
            crystals.layer(atoms)
    except CrosstalkError as error:
        return str(error)
    return ""


def cell_level(where: str, name: str, level: m.Level) -> Iterator[str]:
    """Why a level may not relax a cell."""
    if not isinstance(level, m.GpawLevel):
        return  # a wrong engine is said elsewhere
    what = f"{where}: level '{name}'"
    if level.mode != "pw":
        yield f"{what} is LCAO: cells are relaxed in plane waves of {PULAY_CUTOFF:g} eV or more"
    elif (level.cutoff_ev or 0) < PULAY_CUTOFF:
        yield (
            f"{what} has a cutoff of {level.cutoff_ev:g} eV; cells are relaxed at {PULAY_CUTOFF:g} eV or more, for below that the "
            "stress is wrong (Pulay stress: it lacks what a larger cell's new plane waves bring)"
        )
    if level.kpoint_spacing_per_angstrom is None:
        yield f"{what} has the Gamma point only: a crystal needs kpoint_spacing_per_angstrom"
    if level.functional.endswith("vdW"):
        yield f"{what}: the stress of {level.functional} lacks its non-local part: choose a functional without one"


def without_relaxation(tier: m.Tier, surfaces: Sequence[str], config: Config) -> list[str]:
    """Surfaces among those named that are cut from a relaxed crystal, at a tier that relaxes none."""
    return [name for name in surfaces if tier.lattices is None and getattr(config.surfaces[name], "bulk", None)]


def unfit_bulk(where: str, surface: m.Surface, config: Config) -> str:
    """Empty, or why the crystal that a surface is cut from cannot be had."""
    bulk = getattr(surface, "bulk", None)
    if bulk is None:
        return ""
    if bulk not in config.crystals:
        return unknown(f"{where}: key 'bulk'", "crystal", bulk, config.crystals)
    try:
        usable = bool(crystal_settings(config, config.crystals[bulk])["scaled_positions"])
    except Exception:
        usable = False
    return "" if usable else f"{where}: key 'bulk': the file of crystal '{bulk}' cannot be used"
