"""Mutants of the reference RTL: what the vectors catch, and a proof for what they do not."""

from .campaign import MOST_MUTANTS, mutate
from .catalogue import SUBJECTS
from .result import TABLE, Campaign

__all__ = ["MOST_MUTANTS", "SUBJECTS", "TABLE", "Campaign", "mutate"]
