"""Mutants of the reference RTL: what the vectors catch, and a proof for what they do not."""

from .campaign import MOST_MUTANTS, TABLE, Campaign, mutate
from .catalogue import SUBJECTS

__all__ = ["MOST_MUTANTS", "SUBJECTS", "TABLE", "Campaign", "mutate"]
