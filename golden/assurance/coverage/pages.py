"""A report of structural coverage for other tools and for a browser: lcov and HTML."""

from collections.abc import Iterator
from html import escape

from .measure import StructureReport
from .points import CodePoint


def _by_line(report: StructureReport, module: str) -> dict[int, list[CodePoint]]:
    """Return the points of a module by the line of its file."""
    found: dict[int, list[CodePoint]] = {}
    for point in sorted(report.hits):
        if point.module == module:
            found.setdefault(point.line, []).append(point)
    return dict(sorted(found.items()))


def lcov(report: StructureReport) -> str:
    """Return what `genhtml` and code hosts read: lines, and each point of a line as a branch.

    The hits of a line are those of its blocks, or where it has none the most of its signals' bits.
    """
    records = []
    for module in dict.fromkeys(point.module for point in sorted(report.hits)):
        lines = [f"TN:{module}", f"SF:{report.paths[module]}"]
        for number, points in _by_line(report, module).items():
            blocks = [point for point in points if point.kind == "line"] or points
            lines += [
                f"BRDA:{number},0,{branch},{report.hits[point]}"
                for branch, point in enumerate(points)
            ]
            lines.append(f"DA:{number},{max(report.hits[point] for point in blocks)}")
        records += [*lines, "end_of_record"]
    return "\n".join([*records, ""])


_STYLE = """
body { font-family: sans-serif; margin: 2em auto; max-width: 75em; }
table { border-collapse: collapse; } td, th { padding: 0 .6em; text-align: right; }
td.source { text-align: left; white-space: pre; font-family: monospace; }
tr.hit { background: #e4f6e4; } tr.reason { background: #fdf3d0; } tr.open { background: #fbdcdc; }
"""


def html(report: StructureReport) -> str:
    """Return one page: what is reached of each module, and its source, line by line.

    Green lines are reached; yellow ones have points that are not reached for a stated reason, red
    ones without.
    """
    modules = list(dict.fromkeys(module for module, _ in report.counts))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8"><title>Structural coverage</title>',
            f"<style>{_STYLE}</style></head><body><h1>Structural coverage</h1>",
            f"<p>{escape(report.simulator)}</p>",
            "<table><tr><th>module</th><th>lines</th><th>toggles</th></tr>",
            *(
                f'<tr><td><a href="#{escape(each)}">{escape(each)}</a></td>'
                f"<td>{_share(report, each, 'line')}</td><td>{_share(report, each, 'toggle')}</td>"
                "</tr>"
                for each in modules
            ),
            "</table>",
            *(line for each in modules for line in _source(report, each)),
            "</body></html>",
            "",
        ]
    )


def _share(report: StructureReport, module: str, kind: str) -> str:
    reached, points = report.counts.get((module, kind), (0, 0))
    return f"{reached:,} of {points:,}"


def _source(report: StructureReport, module: str) -> Iterator[str]:
    """Yield the table of a module's source."""
    missed = {each.point: each for each in report.missed}
    found = _by_line(report, module)
    yield f'<h2 id="{escape(module)}">{escape(module)}</h2><table>'
    for number, line in enumerate(report.sources[module], 1):
        points = found.get(number, [])
        absent = [missed[point] for point in points if point in missed]
        kind = "hit" if points else ""
        if absent:
            kind = "open" if any(each.reason is None for each in absent) else "reason"
        why = "; ".join(
            f"{each.text}: {'no reason' if each.reason is None else each.reason.reason}"
            for each in absent
        )
        counts = [report.hits[point] for point in points if point.kind == "line"]
        yield (
            f'<tr class="{kind}" title="{escape(why)}"><td>{number}</td>'
            f'<td>{max(counts) if counts else ""}</td><td class="source">{escape(line)}</td></tr>'
        )
    yield "</table>"
