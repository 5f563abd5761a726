"""Figures: frontier levels, binding and adsorption energies, structures. SVG and PNG, the same bytes for the same rows.

Colours are Okabe and Ito's; every difference of colour is one of line style or hatch as well. A row without a number is
written out at its place.
"""

import math
import shutil
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from crosstalk.jobs import slug
from crosstalk.observables.base import Row
from crosstalk.plan import Plan
from crosstalk.record import USABLE, Store
from crosstalk.reporting import structures, tables
from crosstalk.reporting.style import ALARM, BLUE, SERIES, STYLE, VERMILION, WARNING, empty, page, save, write
from crosstalk.units import ev_to_kcal_mol, kcal_mol_to_ev


def draw(plan: Plan, store: Store, folder: Path) -> list[Path]:
    """Write folder/figures/{frontier,redox,binding,adsorption,density,potential,convergence,validation,orbitals,structures}.{svg,png} and figures/structures/*.png."""
    from crosstalk.reporting import orbitals, plots, profiles

    found, target = tables.rows(plan, store), Path(folder) / "figures"
    warning = WARNING if tables.is_fake(plan) else ""
    with matplotlib.rc_context(STYLE):
        drawn = {
            "frontier": frontier(found["frontier"], warning),
            "binding": binding(found["binding"], warning),
            "adsorption": adsorption(found["adsorption"], warning),
            "convergence": plots.convergence(found["convergence"], warning),
            "redox": plots.redox(found["redox"], warning),
            "density": profiles.density(found["adsorption"], warning),
            "potential": profiles.potential(found["surfaces"], warning),
            "validation": plots.parity(tables.results(plan, found)[1], _sets(plan), warning),
        }
        shown = structures.pictures(plan, store)
        drawn["structures"] = structures.contact_sheet(shown, warning)
        paths = [path for name, figure in drawn.items() for path in save(figure, target / name)]
        shutil.rmtree(target / "structures", ignore_errors=True)  # pictures of earlier plans
        names: dict[str, int] = {}
        for picture in shown:
            if picture.atoms is not None:
                name = slug(picture.title)
                names[name] = names.get(name, 0) + 1
                label = name if names[name] == 1 else f"{name}-{names[name]}"
                paths.append(write(structures.portrait(picture, warning), target / "structures" / f"{label}.png"))
        return paths + orbitals.draw(plan, store, folder)


def _sets(plan: Plan) -> dict[str, Sequence[str]]:
    """Reference -> the validation sets that it belongs to."""
    return {name: reference.groups for name, reference in plan.config.references.items()}


# -- shared ------------------------------------------------------------------------------------------------------


def _unique(rows: Sequence[Row], column: str) -> list[Any]:
    return list(dict.fromkeys(row[column] for row in rows))


def _mark(row: Row) -> str:
    """A star for a number that missed a gate."""
    return "*" if row.get("status") == "gated" else ""


def _tell(axes: Axes, text: str, at: tuple[float, float], shift: tuple[int, int], **style: Any) -> None:
    """Words or a number beside a point; `shift` in points. Minus signs as printers set them."""
    plain: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7.5}
    axes.annotate(text.replace("-", "\u2212"), at, shift, **plain | style)


def _lack(axes: Axes, row: Row, at: tuple[float, float], shift: tuple[int, int], **style: Any) -> None:
    """Why there is no number, written at its place."""
    status = tables.word(str(row.get("status")))
    words = "no number" if status in USABLE else status
    if "rotation" not in style:  # there is more room above than beside
        words = words.replace(" ", "\n")
    _tell(axes, words, at, shift, style="italic", color=ALARM, **style)


def _fill(k: int) -> dict[str, Any]:
    """Colour and hatch of the k-th series of bars."""
    colour, hatch = SERIES[k % len(SERIES)]
    return {"facecolor": colour, "edgecolor": "white" if hatch else colour, "hatch": hatch}


def _starred(rows: Sequence[Row]) -> list[Any]:
    gated = any(row.get("status") == "gated" for row in rows)
    return [Line2D([], [], ls="none", marker="$*$", color="black", label="missed a gate")] if gated else []


def _names(axes: Axes, names: Sequence[str]) -> None:
    """Names below the columns, slanted when they would not fit side by side."""
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xticks(range(len(names)))
    slanted = sum(len(name) for name in names) > 60 or len(names) > 8
    axes.set_xticklabels(
        names, rotation=35 if slanted else 0, ha="right" if slanted else "center", rotation_mode="anchor"
    )
    axes.tick_params(axis="x", length=0)


#: More columns than this stand close: numbers are written upright, and what is not computed yet is only named.
CROWDED = 10


# -- frontier levels ---------------------------------------------------------------------------------------------


def frontier(rows: Sequence[Row], warning: str = "") -> Figure:
    """HOMO and LUMO of each species, a panel for each level; eV. The axis is broken in the gap, its scale is not."""
    title = "Frontier levels: Kohn-Sham eigenvalues against vacuum (compare within one panel only)"
    if not rows:
        return empty(title, warning)
    rows, later = _without_missing(rows, lambda row: row["species"])
    levels = _unique(rows, "level")
    n_columns = 1 if len(_unique(rows, "species")) > 5 else min(len(levels), 2)
    n_rows = math.ceil(len(levels) / n_columns)
    span = {c: _span(rows, levels, c) for c in ("lumo_ev", "homo_ev")}
    figure = page(n_rows * (2.5 if n_columns == 1 else 3.0) + 0.8, title, warning)
    panels = figure.subfigures(n_rows, n_columns, squeeze=False).ravel()
    for k, level in enumerate(levels):
        here = [row for row in rows if row["level"] == level]
        panels[k].suptitle(level, fontsize=8.5)
        upper, lower = panels[k].subplots(2, 1, sharex=True, height_ratios=[span["lumo_ev"], span["homo_ev"]])
        _levels(upper, here, "lumo_ev", span["lumo_ev"])
        _levels(lower, here, "homo_ev", span["homo_ev"])
        _break(upper, lower)
        _names(lower, [row["species"] for row in here])
        panels[k].supylabel("energy / eV", fontsize=8)
    _level_legend(figure, rows)
    _name_later(figure, later)
    return figure


def _without_missing(rows: Sequence[Row], name: Callable[[Row], str]) -> tuple[Sequence[Row], list[str]]:
    """Of many subjects those of which something is computed, and the names of the others; of a few, all."""
    begun, names = {name(row) for row in rows if row.get("status") != "missing"}, list(dict.fromkeys(map(name, rows)))
    if len(names) <= CROWDED or not begun:
        return rows, []
    return [row for row in rows if name(row) in begun], [subject for subject in names if subject not in begun]


def _name_later(figure: Figure, later: Sequence[str]) -> None:
    """Say above the legend what is not computed yet."""
    if later:
        (legend,) = figure.legends
        words = textwrap.fill(f"not computed yet: {', '.join(later)}", 120)
        legend.set_title(words, FontProperties(size=7, style="italic"))


def _span(rows: Sequence[Row], levels: Sequence[str], column: str) -> float:
    """The largest range of a quantity in one panel, with room for the numbers; eV. All panels share it."""
    room = 2.2 if len(_unique(rows, "species")) > CROWDED else 0.9
    ranges = [
        [row[column] for row in rows if row["level"] == level and row.get(column) is not None] for level in levels
    ]
    return max((max(r) - min(r) for r in ranges if r), default=0.0) * 1.15 + room


def _levels(axes: Axes, rows: Sequence[Row], column: str, span: float) -> None:
    """One short line for each species, its number above it; in words what is missing."""
    known = [row[column] for row in rows if row.get(column) is not None]
    middle = (max(known) + min(known)) / 2 if known else 0.0
    axes.set_ylim(middle - span / 2, middle + span / 2)
    upright = {"rotation": 90, "fontsize": 6.5} if len(rows) > CROWDED else {}
    for x, row in enumerate(rows):
        value = row.get(column)
        if value is None:
            _lack(axes, row, (x, middle), (0, 0), va="center", **upright)
            continue
        for style in _line_styles(column, str(row.get("lumo_flag") or "")):
            axes.plot([x - 0.33, x + 0.33], [value, value], solid_capstyle="butt", dash_capstyle="butt", **style)
        text = f"{value:+.2f}{_mark(row)}" if column == "lumo_ev" else f"{value:.2f}{_mark(row)}"
        _tell(axes, text, (x, value), (0, 4), **upright)
    if column == "lumo_ev" and middle - span / 2 < 0 < middle + span / 2:
        axes.axhline(0, color="0.6", lw=0.6, ls=":", zorder=0)


def _line_styles(column: str, flag: str) -> list[dict[str, Any]]:
    """How a level is drawn: hollow when diffuse, dashed when unbound."""
    if column == "homo_ev":
        return [{"color": BLUE, "lw": 3.5}]
    dash: Any = (0, (2.2, 1.1)) if "unbound" in flag else "-"
    solid: dict[str, Any] = {"color": VERMILION, "lw": 3.5, "ls": dash}
    return [solid, {"color": "white", "lw": 1.6}] if "diffuse" in flag else [solid]


def _level_legend(figure: Figure, rows: Sequence[Row]) -> None:
    """HOMO, and each kind of LUMO that occurs, drawn as in the panels."""
    flags = {str(row.get("lumo_flag") or "") for row in rows if row.get("lumo_ev") is not None}
    words = {
        "": "LUMO",
        "unbound": "unbound LUMO (positive)",
        "diffuse": "diffuse LUMO",
        "unbound diffuse": "unbound and diffuse LUMO",
    }
    handles: list[Any] = [Line2D([], [], **_line_styles("homo_ev", "")[0])]
    handles += [tuple(Line2D([], [], **s) for s in _line_styles("lumo_ev", flag)) for flag in words if flag in flags]
    labels = ["HOMO", *(text for flag, text in words.items() if flag in flags)]
    for star in _starred(rows):
        handles.append(star)
        labels.append(str(star.get_label()))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 3), frameon=False, handlelength=3.2
    )


def _break(upper: Axes, lower: Axes) -> None:
    """Two axes as one that is broken."""
    upper.spines["bottom"].set_visible(False)
    upper.tick_params(axis="x", bottom=False, labelbottom=False)
    mark: dict[str, Any] = {"marker": [(-1, -0.5), (1, 0.5)], "ms": 6, "ls": "none", "color": "black", "clip_on": False}
    upper.plot([0], [0], transform=upper.transAxes, **mark)
    lower.plot([0], [1], transform=lower.transAxes, **mark)


# -- binding -----------------------------------------------------------------------------------------------------


def binding(rows: Sequence[Row], warning: str = "") -> Figure:
    """Binding energy of each species, a bar for each environment, a panel for each level; kcal/mol and eV."""
    title = "Ion binding energies: E(ion) + E(remainder) \u2212 E(whole), positive = bound"
    if not rows:
        return empty(title, warning)
    levels, environments = _unique(rows, "level"), _unique(rows, "environment")
    names = _unique(rows, "species")
    figure = page(len(levels) * 2.6 + 0.8, title, warning)
    panels = figure.subplots(len(levels), 1, squeeze=False).ravel()
    top = max((ev_to_kcal_mol(row["e_bind_ev"]) for row in rows if row["e_bind_ev"] is not None), default=1.0)
    low = min((ev_to_kcal_mol(row["e_bind_ev"]) for row in rows if row["e_bind_ev"] is not None), default=0.0)
    for axes, level in zip(panels, levels, strict=True):
        for row in (row for row in rows if row["level"] == level):
            _binding_bar(axes, row, names.index(row["species"]), environments)
        axes.set_title(level)
        axes.set_ylabel("binding energy / kcal/mol")
        axes.set_ylim(min(0.0, low * 1.15), max(top, 0.0) * 1.15 or 1.0)
        axes.axhline(0, color="black", lw=0.6)
        axes.secondary_yaxis("right", functions=(kcal_mol_to_ev, ev_to_kcal_mol)).set_ylabel("binding energy / eV")
        _names(axes, names)
    handles: list[Any] = [Patch(label=name, **_fill(k)) for k, name in enumerate(environments)]
    if any(row.get("counterpoise_ev") is not None for row in rows):
        tick: dict[str, Any] = {"ls": "none", "marker": "_", "ms": 9, "mew": 1.6, "color": "black"}
        handles.append(Line2D([], [], label="less basis-set superposition (counterpoise)", **tick))
    figure.legend(handles=[*handles, *_starred(rows)], loc="outside lower center", ncols=4, frameon=False)
    return figure


def _binding_bar(axes: Axes, row: Row, x: int, environments: Sequence[str]) -> None:
    k, width = environments.index(row["environment"]), 0.8 / len(environments)
    at = x - 0.4 + (k + 0.5) * width
    if row["e_bind_ev"] is None:
        _lack(axes, row, (at, 0), (0, 4), rotation=90, va="bottom")
        return
    value = ev_to_kcal_mol(row["e_bind_ev"])
    axes.bar(at, value, width * 0.92, lw=0, **_fill(k))
    if row.get("counterpoise_ev") is not None:
        axes.plot(at, value - ev_to_kcal_mol(row["counterpoise_ev"]), marker="_", ms=width * 42, mew=1.4, color="black")
    shift, side = ((0, 2), "bottom") if value >= 0 else ((0, -2), "top")
    _tell(axes, f"{value:.1f}{_mark(row)}", (at, value), shift, va=side)


# -- adsorption --------------------------------------------------------------------------------------------------


def adsorption(rows: Sequence[Row], warning: str = "") -> Figure:
    """Adsorption energy and its dispersion part on each surface, a panel for each adsorbate and level; eV.

    Thin lines: standard deviation over the ensemble of functionals, where the level has one.
    """
    title = "Adsorption energies: E(slab+molecule) \u2212 E(slab) \u2212 E(molecule), lowest pose"
    if not rows:
        return empty(title, warning)
    rows, later = _without_missing(rows, lambda row: f"{row['adsorbate']} on {row['surface']}")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["adsorbate"], row["level"]), []).append(row)
    lines = [len(group) for group in groups.values()]
    figure = page(sum(lines) * 0.5 + len(groups) * 0.65 + 0.8, title, warning)
    panels = figure.subplots(len(groups), 1, squeeze=False, sharex=True, height_ratios=lines).ravel()
    for axes, ((adsorbate, level), group) in zip(panels, groups.items(), strict=True):
        for y, row in enumerate(group):
            _adsorption_bars(axes, row, y)
        axes.set_title(f"{adsorbate}, {level}")
        axes.set_yticks(range(len(group)), [row["surface"] for row in group])
        axes.set_ylim(len(group) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.axvline(0, color="black", lw=0.6)
    _room(panels[0], rows)
    panels[-1].set_xlabel("adsorption energy / eV   (negative = bound)")
    handles: list[Any] = [Patch(label=name, **_fill(k)) for k, name in enumerate(("total", "dispersion part"))]
    figure.legend(handles=[*handles, *_starred(rows)], loc="outside lower center", ncols=3, frameon=False)
    _name_later(figure, later)
    return figure


def _adsorption_bars(axes: Axes, row: Row, y: int) -> None:
    if row["e_ads_ev"] is None:
        _lack(axes, row, (0, y), (-4, 0), ha="right", va="center", rotation=0)
        return
    for k, (column, shift) in enumerate((("e_ads_ev", -0.19), ("e_disp_ev", 0.19))):
        value = row.get(column)
        if value is not None:
            axes.barh(y + shift, value, 0.34, lw=0, **_fill(k))
            spread = (row.get("e_ads_spread_ev") or 0.0) if k == 0 else 0.0
            if spread:
                axes.errorbar(value, y + shift, xerr=spread, color="black", lw=0.8, capsize=2)
            beside, side = ((-3, 0), "right") if value <= 0 else ((3, 0), "left")
            end = value - spread if value <= 0 else value + spread
            _tell(axes, f"{value:.2f}{_mark(row) if k == 0 else ''}", (end, y + shift), beside, ha=side, va="center")


def _room(axes: Axes, rows: Sequence[Row]) -> None:
    """Limits that leave room for the numbers and for words where there is no number."""
    values = [row[c] for row in rows for c in ("e_ads_ev", "e_disp_ev") if row.get(c) is not None] or [-1.0]
    wide = [(row["e_ads_ev"], row["e_ads_spread_ev"]) for row in rows if row.get("e_ads_spread_ev") is not None]
    values += [end for value, spread in wide for end in (value - spread, value + spread)]
    low, high = min(0.0, *values), max(0.0, *values)
    axes.set_xlim(low - 0.14 * (high - low), high + (0.14 if high > 0 else 0.03) * (high - low))
