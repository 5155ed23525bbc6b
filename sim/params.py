"""`LayerParams`: what a layer loads into the datapath at run time."""

from dataclasses import asdict, dataclass, fields

from .checks import check_int

__all__ = ["LayerParams"]

#: Upper bounds over all configurations; `AttentionConfig.check_params` holds the real ones.
_LARGEST = {"m": (1 << 32) - 1, "n": 62, "m2": (1 << 32) - 1, "n2": 62}


@dataclass(frozen=True)
class LayerParams:
    """Parameters of one layer: ports on a device, fields in a stimulus.

    Attributes:
        m, n: multiplier (at least 1) and shift of the score requantizer.
        m2, n2: multiplier (at least 1) and shift of the output requantizer.
        zq, zk, zv, zo: zero points of q, k, v and the output: codes too.

    Raises:
        TypeError, ValueError: a field is no integer or is out of every configuration's range.
    """

    m: int
    n: int
    m2: int
    n2: int
    zq: int = 0
    zk: int = 0
    zv: int = 0
    zo: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            low = 1 if field.name in ("m", "m2") else 0
            high = _LARGEST.get(field.name, 255)
            value = check_int(field.name, getattr(self, field.name), low, high)
            object.__setattr__(self, field.name, value)

    def as_dict(self) -> dict[str, int]:
        """Return the fields by name."""
        return asdict(self)
