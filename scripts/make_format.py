"""Write what is derived of the formats: the table of `golden/FORMAT.md`, the schemas of manifests.

python scripts/make_format.py
"""

import json
import sys
from pathlib import Path

from bitlog2 import documents
from bitlog2.golden.package.export_manifest import ExportManifest
from bitlog2.golden.package.vector_manifest import VectorManifest
from bitlog2.golden.stimulus.unit import Target
from bitlog2.golden.stimulus.units import UNITS
from bitlog2.golden.words.fields import Field, hex_digits, word_width
from bitlog2.sim import AttentionConfig
from bitlog2.sim.files import write_whole

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
PAGE = GOLDEN / "FORMAT.md"
#: Published schema -> its class.
SCHEMAS: dict[Path, type[documents.Document]] = {
    GOLDEN / "package" / "manifest.schema.json": VectorManifest,
    GOLDEN / "package" / "export.schema.json": ExportManifest,
}

_BEGIN, _END = "<!-- units: begin -->\n", "<!-- units: end -->"


def unit_tables() -> str:
    """Return the streams and fields of every unit, in Markdown."""
    target = Target.of(AttentionConfig())
    lines = []
    for unit in UNITS.values():
        lines += [f"**{unit.name}**", ""]
        lines += ["| file | role | a word a | bits | digits | fields, most significant first |"]
        lines += ["|---|---|---|---|---|---|"]
        for stream in unit.streams:
            fields = stream.fields(target)
            width = word_width(fields)
            lines.append(
                f"| `{unit.file_name(stream)}` | {stream.role} | {stream.per} | {width} | "
                f"{hex_digits(width)} | {', '.join(map(_field, fields))} |"
            )
        lines.append("")
    return "\n".join(lines)


def _field(field: Field) -> str:
    lanes = f" x {field.lanes} lanes" if field.lanes > 1 else ""
    return f"{field.name} {field.bits}{' signed' if field.signed else ''}{lanes}"


def page_with_tables(page: str) -> str:
    """Return the page with the table between its two marks made anew.

    Raises:
        ValueError: the page lacks a mark.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"page must hold the marks {_BEGIN.strip()} and {_END}")
    return f"{before}{begin}\n{unit_tables()}{end}{after}"


def schema_text(path: Path) -> str:
    """Return a published schema."""
    kind = SCHEMAS[path]
    title = f"{(kind.__doc__ or '').rstrip('.')}, schema version 2"
    found = documents.schema(kind, title)
    configuration = found["$defs"][kind.__name__]["properties"]["configuration"]
    configuration["additionalProperties"] = False  # msgspec gives that of any dict
    return json.dumps(found, indent=1) + "\n"


def main() -> int:
    """Write the page and the schemas."""
    write_whole(PAGE, page_with_tables(PAGE.read_text(encoding="utf-8")).encode())
    for path in SCHEMAS:
        write_whole(path, schema_text(path).encode())
    print(", ".join(path.name for path in (PAGE, *SCHEMAS)), "written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
