"""The report of a run: one self-contained HTML page."""

from .page import Evidence, render_page

__all__ = ["Evidence", "render_page"]
