"""What all figures share: colours, sizes, fonts, files with the same bytes for the same rows.

Colours are Okabe and Ito's; every difference of colour is one of line style or hatch as well.
"""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from crosstalk.record import write_atomically

#: Okabe and Ito, Color Universal Design (2008).
BLUE, VERMILION, ORANGE, SKY, GREEN, PURPLE = "#0072B2", "#D55E00", "#E69F00", "#56B4E9", "#009E73", "#CC79A7"
SERIES = ((BLUE, ""), (ORANGE, "///"), (GREEN, "..."), (PURPLE, "xxx"), (SKY, "\\\\\\"))
ALARM = "#b00020"
WARNING = "FAKE ENGINE: made-up numbers"
WIDTH = 7.0  # inches: a page's text width
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 7.5,
    "axes.linewidth": 0.7,
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "crosstalk",
    "svg.fonttype": "path",
}


def page(height: float, title: str, warning: str) -> Figure:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.suptitle(f"{title}\n{warning}" if warning else title, fontsize=9.5, color=ALARM if warning else "black")
    return figure


def empty(title: str, warning: str = "") -> Figure:
    """What a table without rows looks like."""
    figure = page(1.2, title, warning)
    figure.text(0.5, 0.35, "no rows", ha="center", va="center", style="italic", fontsize=10)
    return figure


def save(figure: Figure, stem: Path) -> list[Path]:
    """stem.svg and stem.png."""
    return [write(figure, stem.with_name(f"{stem.name}.{kind}")) for kind in ("svg", "png")]


def write(figure: Figure, path: Path) -> Path:
    """Without a date or a version, so that the same figure has the same bytes; 300 dpi."""
    nothing = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[path.suffix[1:]]
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=path.suffix[1:], dpi=300, metadata=nothing)
    written = buffer.getvalue()
    write_atomically(path, shorter(written) if path.suffix == ".svg" else written)
    return path


def shorter(svg: bytes) -> bytes:
    """An SVG whose paths are told to a hundredth of a point; Matplotlib tells them to a millionth, half of such a file."""
    number = re.compile(rb"-?\d+\.\d{3,}")

    def rounded(path: re.Match[bytes]) -> bytes:
        return number.sub(lambda found: b"%.2f" % float(found[0]), path[0])

    return re.sub(rb' d="[^"]*"', rounded, svg)
