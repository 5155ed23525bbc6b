"""The report of a run: one self-contained HTML page."""

from bitlog2.extras import EXTRAS, require

require("bitlog2.models.report", *EXTRAS["report"])

from .page import Evidence, render_page

__all__ = ["Evidence", "render_page"]
