"""A cell of a grid: one model, quantized one way or not at all."""

from dataclasses import asdict, dataclass
from typing import Any

from ..quantize import QuantizationSpec

__all__ = ["SHORT_NAMES", "Cell"]

#: The letters of SPEC.md for what a datapath is built with.
SHORT_NAMES = {"fraction_bits": "F", "table_bits": "P", "distance_int_bits": "I"}


@dataclass(frozen=True)
class Cell:
    """What is evaluated in one go.

    Attributes:
        model: one of `MODELS`.
        spec: how it is quantized; None for the unquantized model.
        seed: of the calibration; None for the unquantized model.
    """

    model: str
    spec: QuantizationSpec | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """A name of its own within a run, which is also the name of its folder."""
        if self.spec is None:
            return f"{self.model}-unquantized"
        spec = self.spec
        return (
            f"{self.model}-{spec.scheme}-{spec.arithmetic}-w{spec.w_bits}a{spec.a_bits}"
            f"{''.join(f'-{SHORT_NAMES.get(name, name)}{value}' for name, value in spec.datapath)}"
            f"-seed{self.seed}"
        )

    @property
    def scheme(self) -> str:
        """The scheme, or `unquantized`."""
        return "unquantized" if self.spec is None else self.spec.scheme

    def as_dict(self) -> dict[str, Any]:
        """Return what it is as JSON values."""
        quantization = None if self.spec is None else asdict(self.spec)
        return {
            "name": self.name,
            "model": self.model,
            "quantization": quantization,
            "seed": self.seed,
        }
