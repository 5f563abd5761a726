"""Structure files that config entries name: their content becomes part of the spec, so their path does not matter."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosstalk.config.load import Config
from crosstalk.config.memo import remembered
from crosstalk.config.models import Crystal, Surface
from crosstalk.spec import canonical

if TYPE_CHECKING:
    from ase import Atoms

#: Cells that agree so well are the same, Angstrom.
SAME_CELL = 1e-3
#: What is left to one by a full site's occupancy; and what is said of others.
FULL = 1e-3
PARTLY = (
    "it has partly occupied sites; an ordered model is needed (say which are occupied, in a larger cell if need be)"
)


def inline(config: Config, name: str) -> dict[str, Any]:
    """Symbols, positions (Angstrom), scaled_positions, cell (3x3, Angstrom) and pbc of a structure file beside the config."""
    return dict(_read(config.folder / name))


def crystal_settings(config: Config, crystal: Crystal) -> dict[str, Any]:
    """Symbols, cell and scaled positions of a bulk crystal's file."""
    read = inline(config, crystal.file)
    return {key: read[key] for key in ("symbols", "cell", "scaled_positions")}


def slab_settings(config: Config, surface: Surface) -> dict[str, Any]:
    """What the slab builder gets: the surface's settings, with the content of its structure file.

    The lattice of a surface that is cut from a relaxed crystal is missing: it comes with the crystal's record.
    """
    built = surface.builder_settings()
    if "crystal" in built:
        crystal = inline(config, built["crystal"])
        built["crystal"] = {key: crystal[key] for key in ("symbols", "cell", "scaled_positions")}
    if "structure" in built:
        given = inline(config, built["structure"])
        built["structure"] = {key: given[key] for key in ("symbols", "cell", "positions")}
    return built


def cut_settings(config: Config, surface: Surface) -> dict[str, Any]:
    """As `slab_settings`; a surface that is cut from a relaxed crystal has the lattice of that crystal's file. Raises CrosstalkError when it cannot be cut."""
    built = slab_settings(config, surface)
    if (bulk := getattr(surface, "bulk", None)) is None:
        return built
    from crosstalk.structures import crystals

    return crystals.cut_from(built, crystals.atoms_of(crystal_settings(config, config.crystals[bulk])))


def slab_facts(config: Config, surface: Surface) -> dict[str, Any]:
    """problem (why it cannot be built, empty when it can), and of the primitive slab: elements, electrons, n_atoms, area_angstrom2,
    thickness_angstrom, lateral (its two vectors in the plane, Angstrom). Of a surface that is cut from a relaxed crystal: with the lattice of that crystal's file."""
    from crosstalk.errors import CrosstalkError

    try:
        built = cut_settings(config, surface)
    except (OSError, ValueError) as error:
        return {"problem": f"its file cannot be read: {error}"}
    except CrosstalkError as error:
        return {"problem": str(error)}
    return dict(remembered(f"surface {canonical(built)}", lambda: _build(built)))


def _build(settings: dict[str, Any]) -> dict[str, Any]:
    from crosstalk.errors import CrosstalkError
    from crosstalk.structures.slabs import build, describe

    try:
        atoms = build(settings)
    except CrosstalkError as error:
        return {"problem": str(error)}
    facts = describe(atoms)
    lateral = atoms.cell.array[:2, :2].round(6).tolist()
    electrons = int(atoms.numbers.sum())
    return {"problem": "", "elements": sorted(set(atoms.symbols)), "electrons": electrons, "lateral": lateral} | {
        key: float(facts[key]) for key in ("n_atoms", "area_angstrom2", "thickness_angstrom")
    }


def layers_problem(config: Config, thin: Surface, thick: Surface) -> str:
    """Why one surface is not another one without its lower layers; empty when it is, or is cut from crystals that are to be relaxed."""
    if getattr(thin, "bulk", None) is not None or getattr(thick, "bulk", None) is not None:
        return ""
    both = [slab_settings(config, thin), slab_settings(config, thick)]
    return remembered(f"relax on {canonical(both)}", lambda: _layers(*both))


def _layers(thin: dict[str, Any], thick: dict[str, Any]) -> str:
    from crosstalk.errors import PhysicsFailure
    from crosstalk.structures.graphs import connectivity
    from crosstalk.structures.slabs import build
    from crosstalk.structures.transplants import layers_below

    above, whole = build(thin), build(thick)
    if abs(above.cell.array[:2, :2] - whole.cell.array[:2, :2]).max() > SAME_CELL:
        return "the cells differ in the plane"
    try:
        below = layers_below(above, whole, (1, 1))
    except PhysicsFailure as failure:
        return failure.reason
    bonds = connectivity(below + above)
    tied = any((i < len(below)) != (j < len(below)) for i, j in bonds)
    return "bonds tie it to the layers below" if tied else ""


@lru_cache(maxsize=256)
def _read(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(remembered(f"structure {path.suffix} {digest}", lambda: _parse(path)))


def _atoms(path: Path) -> "Atoms":
    """The one structure of a file. ASE knows space groups by a table of symbols; a CIF that it does not read pymatgen reads by its operations.

    Raises ValueError for sites that are occupied in part: which of them are is left to the user.
    """
    import ase.io

    try:
        (atoms,) = ase.io.read(path, index=":")
    except Exception:
        if path.suffix.lower() != ".cif":
            raise
        from pymatgen.core import Structure
        from pymatgen.io.ase import AseAtomsAdaptor

        structure = Structure.from_file(path)
        if not structure.is_ordered:
            raise ValueError(PARTLY) from None
        atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    shares = [share for site in atoms.info.get("occupancy", {}).values() for share in site.values()]
    if any(abs(share - 1) > FULL for share in shares):
        raise ValueError(PARTLY)
    return atoms


def _parse(path: Path) -> dict[str, Any]:
    atoms = _atoms(path)
    return {
        "symbols": list(atoms.symbols),
        "positions": atoms.positions.round(6).tolist(),
        "scaled_positions": atoms.get_scaled_positions().round(6).tolist() if atoms.cell.rank == 3 else [],
        "cell": atoms.cell.array.round(6).tolist(),
        "pbc": [bool(p) for p in atoms.pbc],
    }
