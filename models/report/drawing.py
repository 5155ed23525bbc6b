"""A figure drawn once: as SVG within the page, where CSS colours it, or as a file for a paper."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree
from zlib import crc32

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from bitlog2.names import FIGURE_FORMATS, MODEL_SCHEMES
from bitlog2.sim.checks import check_choice
from bitlog2.sim.files import write_whole

_LATEX = "pdflatex"
#: Name of a colour in the page's CSS -> the colour on light ground, and on dark ground.
#: Those of schemes, in the order of `MODEL_SCHEMES`, are Okabe and Ito's palette, which people who
#: see colours differently tell apart.
COLOURS = {
    "ink": ("#1b1f24", "#e6edf3"),
    "line": ("#d8dee4", "#30363d"),
    "ground": ("#ffffff", "#0d1117"),
    "s0": ("#999999", "#8b949e"),
    "s1": ("#666666", "#b1bac4"),
    "s2": ("#0072b2", "#3d9bd9"),
    "s3": ("#56b4e9", "#8ad0f5"),
    "s4": ("#d55e00", "#f0803c"),
    "s5": ("#e69f00", "#f2bb4a"),
    "s6": ("#cc79a7", "#e39cc4"),
    "s7": ("#009e73", "#33c79b"),
}
INK, FAINT, GROUND, *SERIES = (light for light, _ in COLOURS.values())
_NAMES = {light: name for name, (light, _) in COLOURS.items()}
_COLOUR = re.compile("|".join(_NAMES))
#: Inches of a figure that a phone shows without being scrolled.
NARROW = 5
#: Begins the id of an artist that has a text to be shown.
_SHOWN = "shown:"
_REFERENCE = re.compile(r"#([\w-]+)")
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bitlog2",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "pgf.texsystem": _LATEX,
    "pgf.rcfonts": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": GROUND,
    "figure.facecolor": GROUND,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}


def colour_of(scheme: str) -> str:
    """Return the colour of a scheme on light; the unquantized model has that of the text."""
    if scheme == "unquantized":
        return INK
    known = scheme in MODEL_SCHEMES
    place = MODEL_SCHEMES.index(scheme) if known else crc32(scheme.encode())
    return SERIES[place % len(SERIES)]


def shows(artist: Artist, text: str) -> None:
    """Let the page show a text where the pointer is on an artist, and say it to a screen reader."""
    artist.set_gid(_SHOWN + text)
    artist.set_in_layout(False)  # it lies within its axes: half of the time of a layout


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        name: of its file, and within the page.
        title, caption: texts above and below it.
        alt: what it shows, in words.
        paint: draws it on an empty figure, in the colours of light ground.
    """

    name: str
    title: str
    caption: str
    alt: str
    paint: Callable[[Figure], None]

    def svg(self) -> str:
        """Return it as an element of a page: its colours are CSS variables, its ids its own.

        The same data gives the same text.
        """
        root = ElementTree.fromstring(self._drawn("svg")[f"{self.name}.svg"])
        for each in root.iter():
            each.tag = each.tag.rpartition("}")[2]
            each.attrib = {name.rpartition("}")[2]: text for name, text in each.attrib.items()}
        known = {name for each in root.iter() for name in _references(each)}
        for each in root.iter():
            for child in [c for c in each if c.tag in ("metadata", "style")]:
                each.remove(child)
            self._rename(each, known)
        del root.attrib["height"]
        root.attrib["style"] = f"--points: {root.attrib.pop('width').removesuffix('pt')}"
        root.attrib |= {"role": "img", "aria-label": f"{self.title}. {self.alt}"}
        text = ElementTree.tostring(root, encoding="unicode")
        return _COLOUR.sub(lambda colour: f"var(--{_NAMES[colour[0]]})", text)

    def save(self, folder: Path, kind: str) -> Path:
        """Write it as a file of a folder that is there; return its path.

        PGF has images in files of its own beside it.

        Raises:
            ValueError: the form is none of `FIGURE_FORMATS`, or PGF without LaTeX.
            OSError: the file cannot be written.
        """
        check_choice("format", kind, FIGURE_FORMATS)
        require_format(kind)
        for name, content in self._drawn(kind).items():
            write_whole(folder / name, content)
        return folder / f"{self.name}.{kind}"

    def _drawn(self, kind: str) -> dict[str, bytes]:
        """Return the content of each file, by its name."""
        undated: dict[str, Any] = {
            "svg": {"metadata": {"Date": None, "Creator": None}},
            "pdf": {"metadata": {"CreationDate": None}},
        }
        with TemporaryDirectory() as folder, mpl.rc_context(_STYLE):
            figure = Figure(layout="constrained")
            self.paint(figure)
            path = Path(folder) / f"{self.name}.{kind}"
            figure.savefig(path, format=kind, **undated.get(kind, {}))
            return {each.name: each.read_bytes() for each in path.parent.iterdir()}

    def _rename(self, each: ElementTree.Element, known: set[str]) -> None:
        """Give an element's id, and those that it refers to, the picture's name in front."""
        name = each.attrib.pop("id", "")
        if name.startswith(_SHOWN):
            title = ElementTree.Element("title")
            title.text = name.removeprefix(_SHOWN)
            each.insert(0, title)
        elif name in known:
            each.attrib["id"] = f"{self.name}-{name}"
        for key in _references_in(each):
            each.attrib[key] = _REFERENCE.sub(rf"#{self.name}-\1", each.attrib[key])


def require_format(kind: str) -> None:
    """Refuse a form of files that cannot be made here.

    Raises:
        ValueError: it is PGF, and LaTeX is not installed.
    """
    if kind == "pgf" and shutil.which(_LATEX) is None:
        raise ValueError(f"format must be svg or pdf without {_LATEX}, which makes pgf, got 'pgf'")


def _references_in(each: ElementTree.Element) -> list[str]:
    """Return the attributes of an element that refer to another one."""
    return [k for k, text in each.attrib.items() if k == "href" or text.startswith("url(#")]


def _references(each: ElementTree.Element) -> list[str]:
    return [name for key in _references_in(each) for name in _REFERENCE.findall(each.attrib[key])]
