"""`bitlog2 estimate`: sums worked by hand, rates as `golden cost --place` gives them, refusals."""

import json

import pytest
from support.command import call
from support.quick import quick_where

from bitlog2.documents import parse
from bitlog2.flow import estimate as module
from bitlog2.flow.estimate import Estimate, estimate
from bitlog2.golden.assurance.cost import PLACED_TABLE, PlaceTable
from bitlog2.scripts.cli import main
from bitlog2.sim.network.datapath import NETWORK

MODELS = {"DeiT-T": "deit_tiny", "DeiT-S": "deit_small", "DeiT-B": "deit_base"}


@pytest.mark.parametrize(
    ("scheme", "lanes", "cycles", "map_bits"),
    [
        # B = 17, TREE = 2, GROUPS = 8: max(39, 32, 13); 65 keys of 5 bits
        ("BitLog2_Half_17", 4, 39, 195 * 65 * 5),
        # B = 65, TREE = 0: max(68.5, 8 + 16 + 9); 4 bits
        ("RowMax_16", 1, 68.5, 195 * 65 * 4),
        # B = 2, TREE = 6: the division takes longest
        ("RowMax_16", 64, 33, 195 * 65 * 4),
    ],
)
def test_estimate_of_digits_is_the_sum_by_hand(scheme, lanes, cycles, map_bits):
    """4 layers of 3 heads, 65 tokens, 32 channels."""
    found = estimate("digits", scheme, lanes=lanes, mhz=50)
    assert [(x.layer, x.heads, x.head_dim, x.rows, x.keys) for x in found.layers] == [
        (f"blocks.{n}.attn", 3, 32, 195, 65) for n in range(4)
    ]
    assert {(x.cycles, x.map_bits, x.code_bits) for x in found.layers} == {
        (195 * cycles, map_bits, 65 * 96 * 16)
    }
    assert found.cycles == 780 * cycles
    assert found.images_per_second == pytest.approx(50e6 / (780 * cycles), rel=1e-12)
    assert found.rows_per_second == pytest.approx(50e6 / cycles, rel=1e-12)


@pytest.mark.parametrize("name", quick_where(lambda name: name == "DeiT-T", MODELS))
def test_estimate_has_the_rates_of_placed_rows(name):
    table = parse(PLACED_TABLE.read_bytes(), PlaceTable, "place.json")
    placed = [each for each in table.placed if each.rate is not None and each.rate.images]
    assert len(placed) >= 3
    for each in placed:
        found = estimate(MODELS[name], each.scheme, lanes=each.lanes, mhz=each.report.mhz)
        assert found.formula == each.rate.formula
        assert round(found.rows_per_second) == each.rate.rows
        assert found.images_per_second == pytest.approx(each.rate.images[name], rel=1e-12)
        assert (each.cells.luts, 64) in {(x.cells, x.head_dim) for x in found.stored}


@pytest.mark.long
def test_estimate_of_windows_counts_the_rows_of_each():
    """Swin-T: 64 windows of 49 tokens in 3 heads, then a quarter of them in twice the heads."""
    found = estimate("swin_tiny", lanes=16)
    assert [x.rows for x in found.layers] == [9408] * 2 + [4704] * 2 + [2352] * 6 + [1176] * 2
    assert {x.keys for x in found.layers} == {49}


def test_estimate_follows_a_header_that_states_other_cycles(monkeypatch):
    def doubled(*args):
        formula, cycles = row_cycles(*args)
        return formula, 2 * cycles

    row_cycles = module.row_cycles
    monkeypatch.setattr(module, "row_cycles", doubled)
    assert estimate("digits").cycles == 2 * 780 * 39


def test_estimate_prints_a_bar_per_layer_and_names_what_it_leaves_out(tmp_path, capsys):
    file = tmp_path / "estimate.json"
    assert call("estimate", "--lanes", 2, "--json", file) == 0
    printed = capsys.readouterr().out
    assert printed.count("#" * 24) == 4
    assert "not stored for D = 32: bitlog2 golden cost --place --module attention_row" in printed
    left_out = printed.splitlines()[-1]
    assert left_out.startswith("not counted: score_accumulator, ")
    assert all(unit in left_out for unit in NETWORK)
    assert parse(file.read_bytes(), Estimate, "estimate.json").lanes == 2
    assert json.loads(file.read_text())["not_counted"] == left_out[13:].split(", ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--lanes", "65"), "--lanes must be an integer from 1 to 64, got '65'"),
        (("--mhz", "0"), "--mhz must be a number from 0.001 to 100000, got '0'"),
        (("--mhz", "nan"), "--mhz must be a number from 0.001 to 100000, got 'nan'"),
        (("--mhz", "fast"), "--mhz must be a number from 0.001 to 100000, got 'fast'"),
        (("--scheme", "Sqrt2_16"), "--scheme must be one of BitLog2_Single_16, "),
        (("--scheme", "mine=row_max:0/1/5/8"), "scheme must have powers of two for values"),
        (("--model", "timm:resnet18"), "layer "),
        (("--model", "nonsense"), "--model must be one of digits, fashion, "),
    ],
)
def test_estimate_refuses_in_one_line(words, message, capsys):
    assert main(["estimate", *words]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert message in printed


@pytest.mark.parametrize(("name", "value"), [("lanes", 0), ("mhz", 0.0), ("mhz", float("nan"))])
def test_estimate_in_python_names_what_is_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} must be from "):
        estimate("digits", **{name: value})
