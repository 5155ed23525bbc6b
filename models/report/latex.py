"""The accuracy table in LaTeX."""

from typing import Any

__all__ = ["latex_table"]


def latex_table(results: list[dict[str, Any]]) -> str:
    """Return a tabular of every cell: top-1 with its interval, published beside it.

    Args:
        results: as `build_result` makes them.
    """
    lines = [
        r"\begin{tabular}{llllrrr}",
        r"\hline",
        r"model & scheme & arithmetic & bits & top-1 (\%) & 95\,\% interval & published \\",
        r"\hline",
    ]
    for result in results:
        for cell in result["cells"]:
            how = cell["quantization"]
            scheme, arithmetic, bits = "unquantized", "float", "32/32"
            if how is not None:
                scheme, arithmetic = how["scheme"], how["arithmetic"]
                bits = f"{how['w_bits']}/{how['a_bits']}"
            low, high = cell["top1"]["wilson95"]
            published = cell["published_top1"]
            columns = [
                _escaped(cell["model"]),
                _escaped(scheme),
                arithmetic,
                bits,
                f"{cell['top1']['percent']:.2f}",
                f"[{low:.2f}, {high:.2f}]",
                "--" if published is None else f"{published:.2f}",
            ]
            lines.append(" & ".join(columns) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    return text.replace("_", r"\_")
