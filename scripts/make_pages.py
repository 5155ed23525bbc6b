"""Write the parts of pages and headers that are made of declarations, each between two marks.

python scripts/make_pages.py
"""

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from bitlog2.scripts.make_format import unit_tables
from bitlog2.sim import AttentionConfig
from bitlog2.sim.files import write_whole

_ROOT = Path(__file__).resolve().parent.parent


def configuration_table() -> str:
    """Return the fields of a configuration that are chosen, in Markdown."""
    lines = ["| field | meaning | default | range |", "|---|---|---|---|"]
    for each in fields(AttentionConfig):
        facts = each.metadata
        if "names" in facts:
            legal = f"one of {len(facts['names'])}"
        elif "low" in facts:
            legal = f"{facts['low']} to {facts['high']}"
        else:
            continue
        lines.append(f"| `{each.name}` | {facts['text']} | {each.default} | {legal} |")
    return "\n".join(lines) + "\n\n"


def configuration_limits() -> str:
    """Return the ranges of a configuration's fields as macros of C."""
    lines = []
    for each in AttentionConfig.choices():
        name, facts = f"BL2_{each.name.upper()}", each.metadata
        lines += [f"#define {name}_LOW {facts['low']}", f"#define {name}_HIGH {facts['high']}"]
    return "\n".join(lines) + "\n"


#: Each part: its page, the marks before and after it, and what makes it.
PARTS: dict[str, tuple[Path, str, str, Callable[[], str]]] = {
    "units": (
        _ROOT / "golden" / "FORMAT.md",
        "<!-- units: begin -->\n",
        "<!-- units: end -->",
        lambda: "\n" + unit_tables(),
    ),
    "configuration": (
        _ROOT / "sim" / "SPEC.md",
        "<!-- configuration: begin -->\n",
        "<!-- configuration: end -->",
        lambda: "\n" + configuration_table(),
    ),
    "limits": (
        _ROOT / "golden" / "c" / "bitlog2.h",
        "/* limits of a configuration: begin */\n",
        "/* limits of a configuration: end */",
        configuration_limits,
    ),
}


def page_with_part(name: str, page: str) -> str:
    """Return the page with the part between its two marks made anew.

    Raises:
        ValueError: the page lacks a mark.
    """
    _, begin_mark, end_mark, made = PARTS[name]
    before, begin, rest = page.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise ValueError(f"page must hold the marks {begin_mark.strip()} and {end_mark}")
    return f"{before}{begin}{made()}{end}{after}"


def main() -> int:
    """Write every part."""
    for name, (path, *_) in PARTS.items():
        write_whole(path, page_with_part(name, path.read_text(encoding="utf-8")).encode())
        print(f"{path.name}: {name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
