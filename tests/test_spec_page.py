"""The specification page against the simulator: every table on it is made again."""

import math
import re
from dataclasses import replace as with_fields
from pathlib import Path

import numpy as np
import pytest

import bitlog2
import bitlog2.sim
from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams, attention, multiplier_and_shift
from bitlog2.sim.rounding import leading_one, rnd, rnd_conv, trn
from bitlog2.sim.spec import RowTrace, attention_row, pack_row, shift_add_lane

PAGE = (Path(bitlog2.sim.__file__).parent / "SPEC.md").read_text(encoding="utf-8")
ROW_PARAMS = LayerParams(47274, 14, 43691, 23, zq=7, zk=8, zv=6, zo=7)
QUERY = [1, 13, 15, 14]
HALF_17 = SCHEMES["BitLog2_Half_17"]


def table(first_cell: str, second_cell: str = "") -> list[dict[str, str]]:
    """The rows of the page's table whose header starts with these cells."""
    start = f"| {first_cell} |" + (f" {second_cell} |" if second_cell else "")
    lines = iter(PAGE.splitlines())
    header = next(line for line in lines if line.startswith(start))
    names = cells(header)
    assert set(next(lines)) <= set("|- ")
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(names, cells(line), strict=True)))
    return rows


def cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split()]


def worked_row() -> tuple[list[dict[str, str]], RowTrace]:
    """The page's worked row and what the specification makes of its inputs."""
    rows = table("j", "k")
    trace = attention_row(
        QUERY,
        [numbers(row["k"]) for row in rows],
        [numbers(row["v"]) for row in rows],
        ROW_PARAMS,
        AttentionConfig(),
        [row["masked"] == "1" for row in rows],
        [int(row["b"]) for row in rows],
    )
    return rows, trace


def test_spec_page_names_its_version():
    assert f"specification, version {bitlog2.SPEC_VERSION}\n" in PAGE


@pytest.mark.requirement("BL2-NUM-01", "BL2-NUM-02", "BL2-NUM-03")
def test_spec_page_rounding_examples():
    column = "-5/2, -3/2, 3/2, 5/2 become"
    shown = [row[column] for row in table("id", "name")[:3]]
    for text, rounding in zip(shown, (trn, rnd, rnd_conv), strict=True):
        assert [int(x) for x in text.split(",")] == [rounding(x, 1) for x in (-5, -3, 3, 5)]


@pytest.mark.requirement("BL2-CONF-01")
def test_spec_page_configuration_ranges_and_defaults():
    """Both ends are accepted, one beyond is not."""
    named = {"scheme"}
    for row in table("field", "meaning")[1:]:
        names = row["field"].split(", ")
        defaults, ranges = row["default"].split(", "), row["range"].split(", ")
        for i, name in enumerate(names):
            default = int(defaults[i % len(defaults)])
            low, high = (int(x) for x in ranges[i % len(ranges)].split(" to "))
            assert getattr(AttentionConfig(), name) == default
            AttentionConfig(**{name: low})
            AttentionConfig(**{name: high})
            for value in (low - 1, high + 1):
                with pytest.raises(ValueError, match=f"^{name} must be from {low} to {high}"):
                    AttentionConfig(**{name: value})
            named.add(name)
    fields = {name for name, value in AttentionConfig().as_dict().items() if value is not None}
    assert named == fields


@pytest.mark.requirement("BL2-CONF-03")
def test_spec_page_pinned_widths_are_the_fields():
    paragraph = re.search(r"\*\*BL2-CONF-03\.\*\*.*?\n\n", PAGE, re.DOTALL)[0]
    pinned = {name for name, value in AttentionConfig().as_dict().items() if value is None}
    assert set(re.findall(r"`(\w+_bits)`", paragraph)) == pinned
    assert {row["pinned by"] for row in table("register", "bound")} - {"-"} == pinned


@pytest.mark.requirement("BL2-SCHEME-01", "BL2-SCHEME-02")
def test_spec_page_schemes():
    rows = table("scheme", "A")
    assert [row["scheme"] for row in rows] == list(SCHEMES)
    for row in rows:
        scheme = SCHEMES[row["scheme"]]
        assert int(row["A"]) == scheme.int_max
        assert row["A as odd * 2^a"] == f"{scheme.odd_factor} * 2^{scheme.base_shift}"
        assert int(row["levels"]) == scheme.levels
        assert int(row["bits stored for a key"]) == scheme.storage_bits


@pytest.mark.requirement("BL2-SCHEME-01")
def test_spec_page_level_values():
    for row in table("level", "0"):
        values = [int(row[str(level)]) for level in range(17) if row[str(level)]]
        assert values == list(SCHEMES[row["level"]].values)


@pytest.mark.requirement("BL2-PARAM-03")
def test_spec_page_parameters_made_from_scales():
    """The ratios of the two multipliers."""
    rows = table("ratio r, or bias B")
    ratio = 0.25 * 0.5 * 0.5 * math.log2(math.e) * 32
    made = (
        multiplier_and_shift(ratio, 16, 28, "M"),
        multiplier_and_shift(0.25 / (384 * 0.125), 16, 36, "M2"),
    )
    assert made == ((ROW_PARAMS.m, ROW_PARAMS.n), (ROW_PARAMS.m2, ROW_PARAMS.n2))
    assert [row["M, n or b"] for row in rows[:2]] == [f"{m}, {n}" for m, n in made]


@pytest.mark.requirement("BL2-PARAM-04")
def test_spec_page_score_biases():
    """RND(B * log2(e) * 2**F), F = 5."""
    for row in table("ratio r, or bias B")[2:]:
        sign, halves = re.fullmatch(r"bias (-?)(\d+(?:/2)?)", row["ratio r, or bias B"]).groups()
        value = float(halves[:-2]) / 2 if halves.endswith("/2") else float(halves)
        real = (-value if sign else value) * math.log2(math.e) * 32
        assert int(row["M, n or b"]) == math.floor(real + 0.5)


@pytest.mark.requirement("BL2-EXP2-01")
def test_spec_page_exp2_table():
    """32 entries of 17 bits, in hexadecimal."""
    lines = re.findall(r"^\| (\d+ \| `[0-9a-f]{5}` \|.*)$", PAGE, re.MULTILINE)
    entries = {}
    for line in lines:
        row = cells(line)
        entries |= {int(f): int(t, 16) for f, t in zip(row[::2], row[1::2], strict=True)}
    assert entries == dict(enumerate(AttentionConfig().table))


@pytest.mark.requirement("BL2-CONF-02")
def test_spec_page_default_widths():
    rows = table("scheme", "score")
    assert {row["scheme"] for row in rows} == set(SCHEMES)
    for row in rows:
        registers = AttentionConfig(row.pop("scheme")).registers
        assert {name: int(bits) for name, bits in row.items() if bits.isdigit()} == {
            name: register.bits for name, register in registers.items()
        }


@pytest.mark.requirement("BL2-CONF-02")
def test_spec_page_width_formulas():
    """Bounds and signs, evaluated for two configurations."""
    for config in (
        AttentionConfig(),
        AttentionConfig("BitLog2_Single_17", q_bits=6, max_n=0, max_n2=1, max_tokens=77),
        AttentionConfig("RowMax_16", v_bits=5, m2_bits=9, max_n2=30, max_tokens=77),
    ):
        names = {**config.as_dict(), "A": config.code.int_max, "floor": lambda x: x // 1}
        names |= {"I": config.distance_int_bits, "F": config.fraction_bits, "P": config.table_bits}
        for row in table("register", "bound"):
            if row["register"] not in config.registers:
                continue
            quotient, _, row_max = row["bound"].split(" (and")[0].partition("; RowMax ")
            formula = row_max if row_max and config.code.row_max else quotient
            formula = formula.replace("`", "").replace("^", "**").replace("/", "//")
            formula = "t" if row["bound"] == "that of t" else formula
            bound = eval(formula, {"__builtins__": {}}, names)
            register = config.registers[row["register"]]
            assert register.bound == bound, row["register"]
            assert register.signed == (row["signed"] == "yes")
            names[row["register"]] = bound


def test_spec_page_worked_row_keys():
    """Every column of the worked row, from the specification."""
    rows, trace = worked_row()
    assert len(rows) == 8
    for j, row in enumerate(rows):
        p = min(trace.e[j] * 384 // trace.row_sum, 383)
        lod = leading_one(p) if p else "-"
        half = "-" if p == 0 else (p >> (lod - 1)) & 1 if lod else 0
        terms = [
            shift_add_lane(trace.level[j], v, ROW_PARAMS.zv, HALF_17) for v in numbers(row["v"])
        ]
        made = {"score": trace.score[j], "t": trace.t[j], "d": trace.d[j], "e": trace.e[j]}
        made |= {"p": p, "lod": lod, "half bit": half, "level": trace.level[j]}
        made |= {"nibble": trace.nibble[j], "flag": trace.flag[j]}
        made |= {"term 0": terms[0], "term 1": terms[1]}
        assert {name: row[name] for name in made} == {name: str(x) for name, x in made.items()}


@pytest.mark.requirement("BL2-CODE-03")
def test_spec_page_worked_row_results():
    """Row max, sum, accumulators, outputs and the bytes in memory."""
    _, trace = worked_row()
    row = table("row max", "s")[0]
    nibbles, flags = pack_row(trace.level, HALF_17)
    assert row == {
        "row max": str(trace.row_max),
        "s": str(trace.row_sum),
        "acc 0": str(trace.acc[0]),
        "acc 1": str(trace.acc[1]),
        "o 0": str(trace.o[0]),
        "o 1": str(trace.o[1]),
        "nibble plane": nibbles.hex(" "),
        "flag plane": flags.hex(" "),
    }


def test_spec_page_worked_row_of_row_max():
    """The same inputs with RowMax_16: every column, the row's multiplier, and the outputs."""
    rows, config = table("j", "k"), AttentionConfig("RowMax_16")
    params = with_fields(ROW_PARAMS, n2=15)
    k, v = ([numbers(row[name]) for row in rows] for name in ("k", "v"))
    masked, bias = [row["masked"] == "1" for row in rows], [int(row["b"]) for row in rows]
    trace = attention_row(QUERY, k, v, params, config, masked, bias)
    for j, row in enumerate(table("key", "d")):
        terms = [shift_add_lane(trace.level[j], each, params.zv, config.code) for each in v[j]]
        made = (j, trace.d[j], int(masked[j]), trace.level[j], config.code.values[trace.level[j]])
        assert list(row.values()) == [str(x) for x in (*made, *terms)]
    made = (trace.weight_sum, leading_one(trace.weight_sum), trace.m2_row, trace.n2_row)
    assert list(table("w", "k")[0].values()) == [str(x) for x in (*made, *trace.acc, *trace.o)]


def test_spec_page_worked_row_inputs_are_those_of_the_text():
    params = "M = 47274, n = 14, M2 = 43691, n2 = 23, zq = 7, zk = 8, zv = 6, zo = 7"
    assert f"Query `1 13 15 14`. {params}.\n" in PAGE


def test_spec_page_worked_row_is_varied():
    """Level 0 with and without a mask, both half bits, levels 1 and 16, a mask that counts."""
    rows, trace = worked_row()
    assert {row["half bit"] for row in rows} == {"-", "0", "1"}
    assert len(set(trace.level)) >= 7
    hidden = [j for j, row in enumerate(rows) if row["masked"] == "1"]
    assert [trace.t[j] > trace.row_max for j in hidden] == [True]
    assert trace.level.count(0) == 2
    assert {1, HALF_17.top_level} <= set(trace.level)


def test_spec_page_worked_row_equals_the_kernels():
    rows, trace = worked_row()
    got = attention(
        np.array([[QUERY]]),
        np.array([[numbers(row["k"]) for row in rows]]),
        np.array([[numbers(row["v"]) for row in rows]]),
        ROW_PARAMS,
        AttentionConfig(),
        masked=np.array([[[row["masked"] == "1" for row in rows]]]),
        bias=np.array([[[int(row["b"]) for row in rows]]]),
        trace=True,
    )
    for name in ("score", "t", "d", "e", "level", "nibble", "flag", "acc", "o"):
        assert getattr(got, name)[0, 0].tolist() == getattr(trace, name)
    assert (got.row_max.item(), got.row_sum.item()) == (trace.row_max, trace.row_sum)


def test_spec_page_ids_are_defined_once():
    defined = re.findall(r"(?:^- \*\*|^\*\*|^\| )(BL2-[A-Z0-9]+-\d\d)", PAGE, re.MULTILINE)
    assert len(defined) == len(set(defined))
    assert set(re.findall(r"BL2-[A-Z0-9]+-\d\d", PAGE)) == set(defined)
