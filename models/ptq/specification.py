"""How a model is quantized. Nothing here imports torch: files of runs hold it."""

from collections.abc import Collection
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bitlog2.documents import Document, brief, of
from bitlog2.names import (
    ARITHMETICS,
    CALIBRATIONS,
    FLOAT_ONLY,
    MODEL_SCHEMES,
    SCHEMES_OF,
    has_form,
    model_scheme,
)
from bitlog2.sim import AttentionConfig
from bitlog2.sim.checks import check_choice, check_int
from bitlog2.sim.declarations import name_schema
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.own_scheme import OWN_NAME, is_coded

#: Fields of a datapath that may differ from the default; the others follow from the bits.
#: `quantize` raises the last two to the sizes of a model, unless they are given.
DATAPATH_FIELDS = (
    "fraction_bits",
    "table_bits",
    "distance_int_bits",
    "m_bits",
    "max_n",
    "m2_bits",
    "max_n2",
    "t_bits",
    "max_tokens",
    "max_head_dim",
)
#: Fields of the network around attention that may differ from the default, in integer arithmetic.
NETWORK_FIELDS = tuple(NetworkConfig.swept().values())


def _one_of(names: tuple[str, ...]) -> Meta:
    return Meta(extra_json_schema={"enum": list(names)})


class QuantizationSpec(Document, frozen=True):
    """Quantization of a model.

    Raises:
        TypeError, ValueError: a field is out of range, or the scheme has no form in the arithmetic,
            or none that the calibration trains.
    """

    scheme: Annotated[
        str,
        Meta(extra_json_schema=name_schema(MODEL_SCHEMES, OWN_NAME)),
        of("Code of the attention map; of a code of one's own, its whole declaration."),
    ] = "BitLog2_Half_17"
    arithmetic: Annotated[
        str,
        _one_of(ARITHMETICS),
        of(
            "`float`: the published fake quantization; `attention`: integer linear products and "
            "attention, LayerNorm, activations and residuals in float32; `integer`: the whole "
            "network, from pixels to logits."
        ),
    ] = "integer"
    w_bits: Annotated[int, Meta(ge=2, le=8, description="Width of weight codes.")] = 4
    a_bits: Annotated[int, Meta(ge=2, le=8, description="Width of activation codes.")] = 4
    datapath: Annotated[
        tuple[tuple[str, int], ...],
        of(
            "Fields of the hardware that differ from their defaults, with their values; none in "
            "float arithmetic, nor for a map without a datapath."
        ),
    ] = ()
    calibration: Annotated[
        str,
        _one_of(CALIBRATIONS),
        of(
            "`repq`: as published; `compensated`: each weight code makes up for the rounding of "
            "those before it, each bias for that of all; `reconstructed`: then trained so that the "
            "network gives what the unquantized one gives."
        ),
    ] = CALIBRATIONS[0]

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "scheme", model_scheme(self.scheme))
        check_choice("arithmetic", self.arithmetic, ARITHMETICS)
        check_choice("calibration", self.calibration, CALIBRATIONS)
        if not has_form(self.scheme, self.arithmetic):
            raise ValueError(_no_form(self.scheme, self.arithmetic))
        if not has_form(self.scheme, self.arithmetic, self.calibration):
            raise ValueError(
                f"calibration must be repq or compensated for {self.scheme} in {self.arithmetic} "
                f"arithmetic, got {self.calibration!r}: it trains through integers and the maps of "
                f"the datapath alone"
            )
        for name in ("w_bits", "a_bits"):
            check_int(name, getattr(self, name), 2, 8)
        self._check_datapath()

    def _check_datapath(self) -> None:
        pairs = tuple((str(name), value) for name, value in self.datapath)
        msgspec.structs.force_setattr(self, "datapath", pairs)
        legal = DATAPATH_FIELDS + NETWORK_FIELDS
        for name, _ in pairs:
            if name not in legal:
                raise ValueError(f"datapath must be of {', '.join(legal)}, got {brief(name)}")
            if name in NETWORK_FIELDS and self.arithmetic != "integer":
                raise ValueError(
                    f"datapath must be without {name} in {self.arithmetic} arithmetic: it is a "
                    f"width of the network around attention"
                )
        if pairs:
            if self.arithmetic == "float" or not is_coded(self.scheme):
                raise ValueError(
                    f"datapath must be left out for {self.scheme} in {self.arithmetic} arithmetic, "
                    f"which has none, got {dict(pairs)}"
                )
            self.attention_config()
            self.network_config()

    @property
    def form(self) -> str:
        """The widths, and the calibration unless it is the published one: `W4A4 compensated`."""
        widths = f"W{self.w_bits}A{self.a_bits}"
        return widths if self.calibration == CALIBRATIONS[0] else f"{widths} {self.calibration}"

    @property
    def beside_scheme(self) -> tuple[Any, ...]:
        """All that it holds but the scheme."""
        return msgspec.structs.astuple(self)[1:]

    def attention_config(self) -> AttentionConfig:
        """Return the configuration of the datapath; ValueError for a scheme that has none."""
        bits = self.a_bits
        widths = {f"{name}_bits": bits for name in "qkvo"}
        return AttentionConfig(self.scheme, **widths, **self.hardware(DATAPATH_FIELDS))

    def network_config(self) -> NetworkConfig:
        """Return the configuration of the network around attention, its pixels left out."""
        return NetworkConfig(self.a_bits, self.w_bits, **self.hardware(NETWORK_FIELDS))

    def hardware(self, names: Collection[str]) -> dict[str, int]:
        """Return those fields of the hardware that differ from their defaults."""
        return {name: value for name, value in self.datapath if name in names}


def _no_form(scheme: str, arithmetic: str) -> str:
    """Return the refusal of a scheme in an arithmetic that has no form of it."""
    why = "its map is a control of attention that the integer network has no unit for"
    if scheme in FLOAT_ONLY:
        why = (
            "the base-sqrt(2) code is a floating-point baseline that no integer datapath stands for"
        )
    legal = " or ".join(each for each, schemes in SCHEMES_OF.items() if scheme in schemes)
    return f"arithmetic must be {legal} for {scheme}, got {arithmetic!r}: {why}"
