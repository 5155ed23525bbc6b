"""Colours of the figures on a light and on a dark page."""

from dataclasses import dataclass

__all__ = ["DARK", "LIGHT", "Theme", "colour_of"]


@dataclass(frozen=True)
class Theme:
    """Colours of one kind of page.

    Attributes:
        ink: text and axes.
        faint: grid lines.
        ground: the page's background.
        series: of the schemes, in the order of `_ORDER`.
    """

    ink: str
    faint: str
    ground: str
    series: tuple[str, ...]


#: Okabe and Ito's palette, which people who see colours differently tell apart.
LIGHT = Theme(
    "#1b1f24",
    "#d8dee4",
    "#ffffff",
    ("#999999", "#666666", "#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7"),
)
DARK = Theme(
    "#e6edf3",
    "#30363d",
    "#0d1117",
    ("#8b949e", "#b1bac4", "#3d9bd9", "#8ad0f5", "#f0803c", "#f2bb4a", "#33c79b", "#e39cc4"),
)
_ORDER = (
    "Sqrt2_16",
    "Sqrt2_17",
    "BitLog2_Single_16",
    "BitLog2_Single_17",
    "BitLog2_Half_16",
    "BitLog2_Half_17",
    "uniform_4",
    "none",
)


def colour_of(scheme: str, theme: Theme) -> str:
    """Return the colour of a scheme; the unquantized model has that of the text."""
    return theme.series[_ORDER.index(scheme)] if scheme in _ORDER else theme.ink
