"""The report of runs: one self-contained HTML page, and its figures and tables as files."""

from bitlog2.extras import EXTRAS, require

require("bitlog2.models.report", *EXTRAS["report"])

from .drawing import Picture
from .maps import attention_maps
from .page import Report, make_report
from .tables import TEXT, Table

__all__ = ["TEXT", "Picture", "Report", "Table", "attention_maps", "make_report"]
