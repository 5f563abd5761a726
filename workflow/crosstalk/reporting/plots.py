"""Figures of redox potentials and of the validation set, in the style of `reporting.figures`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crosstalk.observables.base import Row
from crosstalk.observables.convergence import fineness
from crosstalk.reporting.style import SERIES, empty, page

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
PROCESSES = ("oxidation", "reduction")


def redox(rows: Sequence[Row], warning: str = "") -> Figure:
    """Potentials by species, one panel for each process; colour: level, marker: partner; open: coupled to a reaction."""
    title = "Redox potentials against Li/Li+"
    shown = [row for row in rows if row.get("potential_v") is not None]
    if not shown:
        return empty(title, warning)
    species = list(dict.fromkeys(row["species"] for row in shown))
    levels = list(dict.fromkeys(row["level"] for row in shown))
    partners = list(dict.fromkeys(row["partner"] for row in shown))
    figure = page(1.4 + 0.34 * len(species), title, warning)
    for axes, process in zip(figure.subplots(1, 2, sharey=True), PROCESSES, strict=True):
        for row in (row for row in shown if row["process"] == process):
            place = species.index(row["species"]) + (levels.index(row["level"]) - (len(levels) - 1) / 2) * 0.22
            colour = SERIES[levels.index(row["level"]) % len(SERIES)][0]
            coupled = row.get("mechanism") == "coupled"
            style: Any = {"mfc": "none" if coupled else colour, "mec": colour, "ms": 5, "ls": "none"}
            axes.plot([row["potential_v"]], [place], MARKERS[partners.index(row["partner"])], **style)
        axes.set_title(process)
        axes.set_xlabel("V vs Li/Li+")
        axes.grid(axis="x", lw=0.4, alpha=0.5)
        axes.set_yticks(range(len(species)), species)
    axes.invert_yaxis()
    handles = [Line2D([], [], color=SERIES[k % len(SERIES)][0], lw=3, label=level) for k, level in enumerate(levels)]
    handles += [Line2D([], [], color="black", marker=MARKERS[k], ls="none", label=p) for k, p in enumerate(partners)]
    handles.append(Line2D([], [], color="black", marker="o", mfc="none", ls="none", label="coupled to a reaction"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


#: Setting -> what its axis is called.
SETTINGS = {
    "cutoff_ev": "cutoff (eV)", "kpoint_spacing_per_angstrom": "k-point spacing (1/Angstrom)", "grid_spacing_angstrom": "grid spacing (Angstrom)",
    "layers": "layers", "repeat": "repeat", "vacuum_angstrom": "vacuum (Angstrom)",
}  # fmt: skip
#: Change of an adsorption energy that counts as converged, meV.
CONVERGED_MEV = 30.0


def convergence(rows: Sequence[Row], warning: str = "") -> Figure:
    """Change of the adsorption energy with each setting, one panel for each, coarse to fine; a line for each adsorbate, surface and level."""
    title = "What the settings cost: change of the adsorption energy"
    shown = [row for row in rows if row.get("e_ads_change_ev") is not None and row["setting"] in SETTINGS]
    if not shown:
        return empty(title, warning)
    settings = [name for name in SETTINGS if any(row["setting"] == name for row in shown)]
    systems = list(dict.fromkeys((row["adsorbate"], row["surface"], row["level"]) for row in shown))
    columns = min(3, len(settings))
    lines = -(-len(settings) // columns)
    figure = page(0.9 + 1.9 * lines + 0.2 * len(systems), title, warning)
    panels = np.ravel(figure.subplots(lines, columns, sharey=True))
    for axes, name in zip(panels, settings, strict=False):
        varied = sorted((r for r in shown if r["setting"] == name), key=lambda row: fineness(name, row["value"]))
        values = list(dict.fromkeys(row["value"] for row in varied))
        for k, system in enumerate(systems):
            its = [row for row in varied if (row["adsorbate"], row["surface"], row["level"]) == system]
            places = [values.index(row["value"]) for row in its]
            heights = [1000 * row["e_ads_change_ev"] for row in its]
            style: Any = {"color": SERIES[k % len(SERIES)][0], "marker": MARKERS[k % len(MARKERS)], "ms": 4, "lw": 1}
            axes.plot(places, heights, label=f"{system[0]} on {system[1]}, {system[2]}", **style)
        axes.axhspan(-CONVERGED_MEV, CONVERGED_MEV, color="0.92", zorder=0)
        axes.axhline(0, color="0.6", lw=0.5, zorder=0)
        axes.set_xticks(range(len(values)), values)
        axes.set_title(SETTINGS[name])
    for axes in panels[::columns]:
        axes.set_ylabel("change (meV)")
    for axes in panels[len(settings) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=1, frameon=False)
    return figure


def parity(rows: Sequence[Row], groups: dict[str, Sequence[str]], warning: str = "") -> Figure:
    """Our energies against references (eV), one column for each level; below, the errors.

    rows: of the table of references; groups: reference -> groups that it belongs to.
    """
    title = "Validation: energies against references"
    shown = [r for r in rows if r["unit"] == "eV" and r["error"] is not None and groups.get(r["reference"])]
    if not shown:
        return empty(title, warning)
    levels = list(dict.fromkeys(row["level"] for row in shown))
    names = list(dict.fromkeys(groups[row["reference"]][0] for row in shown))
    figure = page(4.6, title, warning)
    grid = figure.subplots(2, len(levels), squeeze=False, sharex="col", height_ratios=(2, 1.3))
    for column, level in enumerate(levels):
        upper, lower = grid[0][column], grid[1][column]
        its = [row for row in shown if row["level"] == level]
        for k, name in enumerate(names):
            _scatter(upper, lower, [r for r in its if groups[r["reference"]][0] == name], k)
        ends = [min(r["reference_value"] for r in its), max(r["reference_value"] for r in its)]
        upper.plot(ends, ends, color="black", lw=0.6)
        lower.axhline(0.0, color="black", lw=0.6)
        errors = np.array([row["error"] for row in its if row["status"] != "gated"])
        text = _of_errors(errors) + (
            "" if len(errors) == len(its) else f"\n{len(its) - len(errors)} missed a gate (open)"
        )
        upper.text(0.04, 0.96, text.replace("-", "\u2212"), transform=upper.transAxes, va="top", fontsize=7)
        upper.set_title(level)
        lower.set_xlabel("reference (eV)")
    grid[0][0].set_ylabel("computed (eV)")
    grid[1][0].set_ylabel("error (eV)")
    handles = [
        Line2D(
            [],
            [],
            color=SERIES[k % len(SERIES)][0],
            marker=MARKERS[k % len(MARKERS)],
            ls="none",
            ms=4,
            label=name.removeprefix("validation-"),
        )
        for k, name in enumerate(names)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _of_errors(errors: np.ndarray) -> str:
    """Number, mean, mean absolute and largest error, in eV."""
    if not len(errors):
        return "no value"
    worst = float(errors[np.abs(errors).argmax()])
    return f"{len(errors)} values\nmean {errors.mean():+.2f}\nmean abs. {np.abs(errors).mean():.2f}\nlargest {worst:+.2f} eV"


def _scatter(upper: Axes, lower: Axes, rows: Sequence[Row], k: int) -> None:
    """Values above, errors below; what missed a gate is an open symbol."""
    colour, marker = SERIES[k % len(SERIES)][0], MARKERS[k % len(MARKERS)]
    for gated, face in ((False, colour), (True, "none")):
        its = [row for row in rows if (row["status"] == "gated") == gated]
        style: Any = {"color": colour, "marker": marker, "mfc": face, "ls": "none", "ms": 3.5}
        x = [row["reference_value"] for row in its]
        upper.plot(x, [row["value"] for row in its], **style)
        lower.plot(x, [row["error"] for row in its], **style)
