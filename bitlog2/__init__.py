"""BitLog2: bit-exact integer attention for 4-bit vision transformers."""

__version__ = "0.2.0"

#: Version of the arithmetic and of the vectors (`sim/SPEC.md`); changed bits mean a new one.
SPEC_VERSION = 1

__all__ = ["SPEC_VERSION", "__version__"]
