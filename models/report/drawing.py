"""Figures as pictures that a page holds itself, for light and for dark."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from .theme import DARK, LIGHT, Theme

__all__ = ["Picture", "draw"]


@dataclass(frozen=True)
class Picture:
    """A figure for the page.

    Attributes:
        title, caption: what it shows, and how to read it.
        light, dark: data URIs of SVG files.
    """

    title: str
    caption: str
    light: str
    dark: str


def draw(title: str, caption: str, paint: Callable[[Figure, Theme], None]) -> Picture:
    """Return the picture that `paint` makes of an empty figure, once for each theme.

    The same data gives the same bytes.
    """
    return Picture(title, caption, _uri(paint, LIGHT), _uri(paint, DARK))


def _uri(paint: Callable[[Figure, Theme], None], theme: Theme) -> str:
    style: dict[Any, Any] = {
        "svg.hashsalt": "bitlog2",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": theme.ink,
        "axes.edgecolor": theme.ink,
        "axes.labelcolor": theme.ink,
        "xtick.color": theme.ink,
        "ytick.color": theme.ink,
        "axes.facecolor": theme.ground,
        "figure.facecolor": theme.ground,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.faint,
        "grid.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "legend.labelcolor": theme.ink,
    }
    with mpl.rc_context(style):
        figure = Figure(layout="constrained")
        paint(figure, theme)
        buffer = BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
