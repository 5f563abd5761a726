"""Figures of what runs along the normal of a surface: how the density changes on adsorption, and the potential."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from crosstalk.observables.base import PROFILES, Row
from crosstalk.reporting.style import BLUE, ORANGE, VERMILION, empty, page

COLUMNS = 3
#: Where the slab and the adsorbate are.
SLAB, ADSORBATE = "0.90", "#fbe8c8"
#: What is drawn beyond the nuclei, Angstrom.
AROUND = 4.0


def density(rows: Sequence[Row], warning: str = "") -> Figure:
    """Change of the density when molecule and slab meet, electrons per Angstrom, and the electrons that crossed each height."""
    handles = [
        Patch(color=BLUE, alpha=0.6, label="electrons gained"),
        Patch(color=VERMILION, alpha=0.6, label="electrons lost"),
        Line2D([], [], color="black", ls="--", label="moved down through this height (e, right)"),
        Patch(color=SLAB, label="slab"),
        Patch(color=ADSORBATE, label="adsorbate"),
    ]
    names = [f"{row['adsorbate']} on {row['surface']}" for row in rows]
    return _panels("Change of the electron density on adsorption", rows, names, _density, handles, warning)


def potential(rows: Sequence[Row], warning: str = "") -> Figure:
    """Electrostatic energy of an electron against the upper vacuum, with the Fermi level or the band edges."""
    handles = [
        Line2D([], [], color=BLUE, label="potential"),
        Line2D([], [], color=VERMILION, ls="--", label="Fermi level of a conductor"),
        Line2D([], [], color=ORANGE, ls=":", label="band edges"),
        Patch(color=SLAB, label="slab"),
    ]
    names = [str(row["surface"]) for row in rows]
    return _panels("Potential along the normal, against the upper vacuum", rows, names, _potential, handles, warning)


def _panels(
    title: str,
    rows: Sequence[Row],
    names: Sequence[str],
    draw: Callable[[Axes, Row, Mapping[str, Any]], None],
    handles: list[Any],
    warning: str,
) -> Figure:
    shown = [(row, name) for row, name in zip(rows, names, strict=True) if PROFILES in row]
    if not shown:
        return empty(title, warning)
    lines = -(-len(shown) // COLUMNS)
    figure = page(1.0 + 1.8 * lines, title, warning)
    panels = np.ravel(figure.subplots(lines, COLUMNS))
    for axes, (row, name) in zip(panels, shown, strict=False):
        draw(axes, row, row[PROFILES])
        axes.set_title(f"{name}\n{row['level']}", fontsize=7)
        axes.set_xlabel("height above the slab ($\\mathrm{\\AA}$)", fontsize=7)
        axes.tick_params(labelsize=7)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _density(axes: Axes, row: Row, found: Mapping[str, Any]) -> None:
    heights, change = (np.array(found[key]) for key in ("profile_heights_angstrom", "profile_electrons_per_angstrom"))
    low, top = found["slab_extent_angstrom"]
    down = np.cumsum(change) * (heights[1] - heights[0])  # gained below a height came from above
    axes.axvspan(low - top, 0, color=SLAB, lw=0)
    below, above = (z - top for z in found["adsorbate_extent_angstrom"])
    axes.axvspan(below, above, color=ADSORBATE, lw=0)
    axes.fill_between(heights - top, change, where=change > 0, color=BLUE, alpha=0.6, lw=0)
    axes.fill_between(heights - top, change, where=change < 0, color=VERMILION, alpha=0.6, lw=0)
    axes.set_xlim(max(low - top, -2 * AROUND), above + AROUND)
    axes.set_ylabel("e/$\\mathrm{\\AA}$", fontsize=7)
    other = axes.twinx()
    other.plot(heights - top, down, color="black", ls="--", lw=0.8)
    other.tick_params(labelsize=6)
    for axis in (axes, other):  # one zero for both
        reach = 1.1 * max(np.abs(axis.get_ylim()).max(), 1e-6)
        axis.set_ylim(-reach, reach)


def _potential(axes: Axes, row: Row, found: Mapping[str, Any]) -> None:
    low, top = found["slab_extent_angstrom"]
    axes.axvspan(low - top, 0, color=SLAB, lw=0)
    axes.plot(np.array(found["profile_heights_angstrom"]) - top, found["profile_potential_ev"], color=BLUE, lw=1)
    if row["work_function_flag"]:
        for edge in ("vbm_ev", "cbm_ev"):
            if row[edge] is not None:
                axes.axhline(row[edge], color=ORANGE, ls=":", lw=1)
    elif row["work_function_ev"] is not None:
        axes.axhline(-row["work_function_ev"], color=VERMILION, ls="--", lw=1)
    axes.set_ylabel("eV", fontsize=7)
