"""Vectors of the output requantizer: hand-worked cases, the bugs that they find, refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_golden_helpers import default_tables, simulated, table

from bitlog2.sim import SCHEMES, AttentionConfig

Device = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@pytest.mark.parametrize(
    ("acc", "m2", "n2", "zo", "o"),
    [
        (-322, 43691, 23, 7, 5),  # channel 0 of the row worked in SPEC.md
        (502, 43691, 23, 7, 10),  # channel 1 of it
        (5, 1, 1, 0, 3),  # 2.5: ties go up (BL2-OUT-01)
        (-5, 1, 1, 2, 0),  # -2.5 + 2: up too, so 0 without a clamp
        (5760, 65535, 0, 15, 15),  # the largest product (BL2-OUT-02)
        (-5760, 65535, 0, 0, 0),
        (-3, 1, 0, 15, 12),  # negative before the zero point: no clamp there
    ],
)
def test_golden_output_requantizer_of_a_case_worked_by_hand(
    acc: int, m2: int, n2: int, zo: int, o: int
) -> None:
    stimulus = table(acc=[acc], m2=[m2], n2=[n2], zo=[zo])
    assert simulated("output_requantizer", {"stimulus": stimulus})["expected"]["o"] == [o]


def rounded(product: np.ndarray, n: np.ndarray) -> np.ndarray:
    return (product + ((1 << n) >> 1)) >> n


BUGS: dict[str, Device] = {
    "TRN": lambda p, n, z: np.clip((p >> n) + z, 0, 15),
    "ties away from zero": lambda p, n, z: np.clip(np.sign(p) * rounded(np.abs(p), n) + z, 0, 15),
    "ties to even": lambda p, n, z: np.clip(np.rint(p / 2.0**n).astype(np.int64) + z, 0, 15),
    "clamped before the zero point": lambda p, n, z: np.clip(
        np.clip(rounded(p, n), 0, 15) + z, 0, 15
    ),
    "wrapped": lambda p, n, z: (rounded(p, n) + z) & 15,
    "no clamp at the bottom": lambda p, n, z: np.minimum(rounded(p, n) + z, 15) & 15,
    "zero point before the rounding": lambda p, n, z: np.clip(rounded(p + z, n), 0, 15),
    "shift of five bits": lambda p, n, z: np.clip(rounded(p, n & 31) + z, 0, 15),
    "product of 28 bits": lambda p, n, z: np.clip(
        rounded(((p + (1 << 27)) & 0xFFFFFFF) - (1 << 27), n) + z, 0, 15
    ),
}


@pytest.mark.parametrize("bug", ["none", *BUGS])
def test_golden_output_requantizer_default_cases_find_a_bug(bug: str) -> None:
    tables = default_tables("output_requantizer")
    columns = tables["stimulus"]
    device = BUGS.get(bug, lambda p, n, z: np.clip(rounded(p, n) + z, 0, 15))
    found = device(columns["acc"] * columns["m2"], columns["n2"], columns["zo"])
    assert np.array_equal(found, tables["expected"]["o"]) == (bug == "none")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_golden_output_requantizer_reaches_both_bounds_of_its_scheme(scheme: str) -> None:
    bound = 15 * SCHEMES[scheme].int_max
    acc = default_tables("output_requantizer", AttentionConfig(scheme=scheme))["stimulus"]["acc"]
    assert (acc.min(), acc.max()) == (-bound, bound)


def test_golden_output_requantizer_is_exhaustive_where_inputs_are_few() -> None:
    config = AttentionConfig(scheme="BitLog2_Half_16", v_bits=2, o_bits=2, m2_bits=4, max_n2=1)
    assert len(default_tables("output_requantizer", config)["expected"]["o"]) == (
        1537 * 15 * 2 * 4 + 2048
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("acc", 5761, "acc must be from -5760 to 5760, got 5761"),
        ("m2", 0, "m2 must be from 1 to 65535, got 0"),
        ("n2", 37, "n2 must be from 0 to 36, got 37"),
    ],
)
def test_golden_output_requantizer_refuses_and_names_the_case(
    field: str, value: int, message: str
) -> None:
    stimulus = table(acc=[1, 1], m2=[1, 1], n2=[0, 0], zo=[0, 0])
    stimulus[field][1] = value
    with pytest.raises(ValueError, match=f"output_requantizer case 1: {message}"):
        simulated("output_requantizer", {"stimulus": stimulus})
