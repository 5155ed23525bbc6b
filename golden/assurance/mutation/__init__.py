"""Mutants of the reference RTL: what the vectors catch, and a proof for what they do not."""

from bitlog2.names import MOST_MUTANTS

from .campaign import TABLE, Campaign, mutate
from .catalogue import SUBJECTS

__all__ = ["MOST_MUTANTS", "SUBJECTS", "TABLE", "Campaign", "mutate"]
