"""The report of a run: one self-contained HTML page, and a LaTeX table."""

from .latex import latex_table
from .page import render_page

__all__ = ["latex_table", "render_page"]
