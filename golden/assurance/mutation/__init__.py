"""Mutants of the reference RTL: what the vectors catch, and a proof for what they do not."""

from bitlog2.names import MOST_MUTANTS

from .campaign import KEPT, Campaign, kept_table, mutate
from .catalogue import SUBJECTS
from .device import mutate_device

__all__ = ["KEPT", "MOST_MUTANTS", "SUBJECTS", "Campaign", "kept_table", "mutate", "mutate_device"]
