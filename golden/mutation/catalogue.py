"""The modules that are mutated: in which device, and which vectors run against them."""

from dataclasses import dataclass

from .boundaries import BOUNDARIES
from .boundary import Boundary

__all__ = ["SUBJECTS", "Subject"]


@dataclass(frozen=True)
class Subject:
    """A module with its mutants.

    Attributes:
        name: of its line in the table.
        module: whose cells are mutated.
        device: the module in the bench, which is or holds it.
        unit: whose vectors run.
        testbench: of that module; the device has its ports.
        compared: where a survivor is compared with the original.
        row: whether it is one of the row modules, where a proof may stay undetermined.
        entries: whether the mutants are those of its table's entries.
    """

    name: str
    module: str
    device: str
    unit: str
    testbench: str
    compared: Boundary
    row: bool = False
    entries: bool = False


def _subject(
    module: str, device: str | None = None, *, unit: str | None = None, at: str | None = None
) -> Subject:
    holder = device or module
    return Subject(
        name=module,
        module=module,
        device=holder,
        unit=unit or holder,
        testbench=holder,
        compared=BOUNDARIES[at or module],
        row=module.endswith("_row"),
    )


_LISTED = (
    _subject("score_accumulator"),
    _subject("score_requantizer"),
    _subject("row_max"),
    _subject("distance", "row_max"),
    _subject("exp2"),
    Subject("exp2 table", "exp2", "exp2", "exp2", "exp2", BOUNDARIES["exp2"], entries=True),
    _subject("row_sum"),
    _subject("log2_quantizer"),
    _subject("leading_one", "log2_quantizer", at="log2_quantizer"),
    Subject(
        "log2_quantizer_divide",
        "log2_quantizer_divide",
        "log2_quantizer_divide",
        "log2_quantizer",
        "log2_quantizer",
        BOUNDARIES["log2_quantizer_divide"],
    ),
    _subject("code_register"),
    _subject("code_memory", unit="code_register"),
    _subject("shift_add"),
    _subject("shift_add_lane", "shift_add"),
    _subject("output_requantizer"),
    _subject("softmax_row", "attention_row"),
    _subject("attention_row"),
)

#: Every subject by name, in datapath order.
SUBJECTS: dict[str, Subject] = {each.name: each for each in _LISTED}
