"""A surface as its entry builds it, before anything is computed: what it is in numbers, a structure file and a picture."""

from collections.abc import Iterator
from pathlib import Path

from crosstalk.config import Config
from crosstalk.config.structures import cut_settings
from crosstalk.errors import CrosstalkError, nearest
from crosstalk.quantities import QUANTITIES
from crosstalk.record import extxyz, write_atomically
from crosstalk.reporting import structures
from crosstalk.structures import slabs
from crosstalk.structures.description import description


def surface(name: str, config: Config, folder: Path) -> Iterator[str]:
    """Write folder/NAME.xyz (extended XYZ, Angstrom) and folder/NAME.png; yield what there is to say, line by line.

    What is held while it relaxes is a tier's matter. Raises CrosstalkError for a surface that there is not.
    """
    if name not in config.surfaces:
        raise CrosstalkError(
            f"no surface '{name}'{nearest(name, config.surfaces)}; allowed: {', '.join(config.surfaces)}"
        )
    entry = config.surfaces[name]
    settings = cut_settings(config, entry)
    atoms = slabs.build(settings)
    yield f"{name}: {entry.title}"
    for key, value in description(atoms, settings, freeze_below=0.0).items():
        if key == "frozen":
            continue
        unit = QUANTITIES[key].unit if key in QUANTITIES else ""
        text = f"{value:.2f}" if isinstance(value, float) else str(value)
        if text:
            yield f"  {key:22s} {text} {unit}".rstrip()
    boxed = slabs.in_box(atoms, entry.vacuum_angstrom)
    path = folder / f"{name}.xyz"
    write_atomically(path, extxyz(boxed).encode())
    picture = structures.Picture(name, "slab", structures.wide(boxed))
    structures.portrait(picture).savefig(path.with_suffix(".png"), dpi=150)
    yield f"  {path}, {path.with_suffix('.png')}"
