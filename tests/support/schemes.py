"""Schemes by family."""

from bitlog2.sim import SCHEMES, Scheme

QUOTIENTS: dict[str, Scheme] = {n: scheme for n, scheme in SCHEMES.items() if not scheme.row_max}
