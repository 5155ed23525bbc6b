"""Declared assumptions: the same value in numpy, in z3 and in SystemVerilog."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import z3

from bitlog2.golden.assurance.modules import MODULES
from bitlog2.golden.simulation.svpackage import render_package
from bitlog2.golden.stimulus.unit import Target
from bitlog2.golden.stimulus.units import units_within
from bitlog2.sim import AttentionConfig
from bitlog2.sim.datapath import ATTENTION
from bitlog2.sim.expressions import Expression, number, parameter, port

SMALL = AttentionConfig(scheme="BitLog2_Half_16", max_tokens=3, table_bits=4, fraction_bits=1)
WIDE = AttentionConfig(
    scheme="BitLog2_Single_17", max_tokens=65536, table_bits=20, t_bits=24, distance_bits=14,
    exp_bits=24, sum_bits=62,
)  # fmt: skip
ROW_MAX = AttentionConfig("RowMax_16")
CONFIGS = {"usual": AttentionConfig(), "small": SMALL, "wide": WIDE, "RowMax": ROW_MAX}
#: Operators that no unit uses.
_OTHERS = (
    port("t") - 3 * port("row_max") < (port("d") - 5) * -2,
    (port("t") >> 2).equals(port("row_max") + 1) & port("d").differs(parameter("code.int_max")),
    (port("d") > 7) | (number(-4) >= port("t")),
)


def conditions_of(config: AttentionConfig) -> list[Expression]:
    """Every condition that the scheme's datapath declares, and others."""
    declared = (
        each
        for unit in config.units.values()
        for conditions in (unit.assumes, *(helper.assumes or () for helper in unit.helpers))
        for each in conditions
    )
    return [*dict.fromkeys(declared), *_OTHERS]


def values_of(name: str, config: AttentionConfig, count: int) -> np.ndarray:
    """Limits of a port and of its width, their neighbours, and random values, in any order."""
    signed, size = config.ports[name].signed, 1 << config.width(name)
    low, high = (-(size >> 1), (size >> 1) - 1) if signed else (0, size - 1)
    bound = config.ports[name].bound(config)
    near = {each + step for each in (low, high, bound, -bound, 0, 1 << config.table_bits)
            for step in (-1, 0, 1)}  # fmt: skip
    corners = [each for each in near if low <= each <= high]
    rng = np.random.default_rng(len(name))
    drawn = rng.integers(low, high, count, endpoint=True, dtype=np.int64)
    drawn[: count // 2] = rng.choice(corners, count // 2)
    return rng.permutation(drawn)


def by_z3(condition: Expression, config: AttentionConfig, columns: dict[str, np.ndarray]) -> list:
    terms = {name: z3.BitVec(name, 64) for name in condition.ports}
    formula = condition.value(config, terms)
    cases = zip(*(columns[name].tolist() for name in condition.ports), strict=True)
    found = []
    for case in cases:
        pairs = [(terms[name], z3.BitVecVal(value, 64))
                 for name, value in zip(condition.ports, case, strict=True)]  # fmt: skip
        found.append(z3.is_true(z3.simplify(z3.substitute(formula, *pairs))))
    return found


def by_simulator(
    texts: list[str],
    conditions: list[Expression],
    config: AttentionConfig,
    columns: dict[str, np.ndarray],
    folder: Path,
) -> np.ndarray:
    """What Icarus makes of each condition in each case."""
    count = len(next(iter(columns.values())))
    package = render_package(Target.of(config), list(units_within(config).values()))
    lines = [package.decode(), "module tb;"]
    for name, values in columns.items():
        width = config.width(name)
        signed = "signed " if config.ports[name].signed else ""
        lines += [f"reg [{width - 1}:0] file_{name}[0:{count - 1}];",
                  f"reg {signed}[{width - 1}:0] {name};"]  # fmt: skip
        words = "\n".join(f"{value & (1 << width) - 1:x}" for value in values.tolist())
        (folder / name).write_text(words + "\n")
    lines += ["integer i;", "initial begin"]
    lines += [f'$readmemh("{name}", file_{name});' for name in columns]
    lines += [f"for (i = 0; i < {count}; i = i + 1) begin"]
    lines += [f"{name} = file_{name}[i];" for name in columns]
    shown = ", ".join(f"1'({text})" for text in texts)
    lines += [f'$display("{"%b" * len(conditions)}", {shown});', "end end endmodule"]
    (folder / "tb.sv").write_text("\n".join(lines))
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not on PATH")
    for command in (["iverilog", "-g2012", "-o", "tb", "tb.sv"], ["vvp", "-n", "tb"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return np.array([[bit == "1" for bit in line] for line in done.stdout.split()])


def columns_of(conditions, config):
    """Return values of every port of some conditions."""
    names = sorted({name for each in conditions for name in each.ports})
    return {name: values_of(name, config, 150) for name in names}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_expressions_agree_in_numpy_and_systemverilog(config: AttentionConfig, tmp_path: Path):
    conditions = conditions_of(config)
    columns = columns_of(conditions, config)
    texts = [each.systemverilog(config) for each in conditions]
    simulated = by_simulator(texts, conditions, config, columns, tmp_path)
    for condition, found in zip(conditions, simulated.T, strict=True):
        assert np.array_equal(found, condition.value(config, columns)), condition


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_expressions_agree_in_numpy_and_z3(config: AttentionConfig):
    conditions = conditions_of(config)
    columns = columns_of(conditions, config)
    for condition in conditions:
        expected = condition.value(config, columns)
        assert expected.dtype == bool
        assert by_z3(condition, config, columns) == expected.tolist(), condition
        exact = {name: values.astype(object) for name, values in columns.items()}
        assert np.array_equal(condition.value(config, exact).astype(bool), expected), condition


@pytest.mark.parametrize(
    ("old", "new"), [("$signed(64'(e))", "e"), ("<=", "<"), ("64'($signed(t))", "8'(t)")]
)
def test_expressions_comparison_with_the_simulator_finds_a_wrong_text(
    old: str, new: str, tmp_path: Path
):
    """A port that stays unsigned, another comparison, and a cast that cuts bits off."""
    conditions = [port("t") < port("e"), port("s") <= 1 << (parameter("table_bits") + 16)]
    columns = {name: values_of(name, WIDE, 200) for name in ("t", "e", "s")}
    texts = [each.systemverilog(WIDE).replace(old, new) for each in conditions]
    assert any(
        text != each.systemverilog(WIDE) for text, each in zip(texts, conditions, strict=True)
    )
    simulated = by_simulator(texts, conditions, WIDE, columns, tmp_path)
    expected = np.array([each.value(WIDE, columns) for each in conditions]).T
    assert not np.array_equal(simulated, expected)


def test_expressions_of_narrow_arrays_do_not_wrap():
    narrow = {"e": np.array([200], np.uint8), "nibble": np.array([15], np.uint8)}
    assert (port("e") * port("nibble")).value(AttentionConfig(), narrow).tolist() == [3000]


def test_expressions_that_may_pass_64_bits_are_refused():
    config = AttentionConfig(sum_bits=62)
    (port("s") * 2).check_exact(config)
    with pytest.raises(ValueError, match=r"s \* 8 must fit 64 bits, got a range from 0 to \d+"):
        (port("s") * 8 <= 1).systemverilog(config)


def test_expressions_are_written_for_a_reader():
    texts = [str(each) for each in conditions_of(AttentionConfig())]
    assert "s <= MAX_TOKENS << TABLE_BITS" in texts
    assert "flag == 0 || nibble == 0" in texts
    assert texts[-2] == "t >> 2 == row_max + 1 && d != INT_MAX"
    assert "n2 <= MAX_LAYER_N2" in map(str, conditions_of(ROW_MAX))


def test_expressions_take_limits_of_a_port_together():
    config = AttentionConfig()
    unit = ATTENTION["log2_quantizer"]
    assert unit.limits("s", config) == (1 << 16, 1024 << 16)
    assert unit.limits("e", config) == (0, 1 << 16)
    assert ATTENTION["score_requantizer"].limits("bias", config) == (config.t_min, config.t_max)
    assert ATTENTION["score_requantizer"].limits("m", config) == (1, (1 << config.m_bits) - 1)


def test_expressions_of_a_stream_name_bits_of_its_word():
    places = {port: MODULES["code_memory"].place(port) for port in ("nibble", "flag")}
    assert places == {
        name: f"s_axis_tdata[bitlog2_pkg::CODE_REGISTER_EXPECTED_{name.upper()}_LSB +: "
        f"bitlog2_pkg::{name.upper()}_WIDTH]"
        for name in places
    }
    assert MODULES["distance"].place("t") == "t"
