"""Codes of a user's own: declared once, the same in simulator, torch, vectors, RTL and files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.models import digits_task, quantized_digits, random_inputs, run_watched
from test_datapath import checked

from bitlog2.golden import emit, load_config, verify
from bitlog2.golden.cosim import cosim
from bitlog2.models.ptq.quantize import QuantizationSpec
from bitlog2.models.watch.check import Checker
from bitlog2.names import MODEL_SCHEMES
from bitlog2.scripts.cli import main
from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams, register_scheme, scheme_named
from bitlog2.sim.kernel import constants
from bitlog2.sim.own_scheme import own_scheme
from bitlog2.sim.scheme import ROW_MAX
from bitlog2.sim.units.distance_quantizer import (
    distance_quantizer,
    distance_quantizer_kernel,
    steps_of,
)
from bitlog2.sim.units.log2_quantizer import log2_quantizer, log2_quantizer_kernel

LADDERS = (
    "Eight=row_max:0/1/2/3/4/6/8/12/16",
    "Octaves=row_max:0/1/2/4/8/16/32/64",
    "Half_11=quotient/48:0/1/2/3/4/6/8/12/16/24/32",
    "Whole_6=quotient/64:0/1/2/4/8/16/32",
)
TABLES = (
    "Even=row_max:0/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15",
    "Seventeen=row_max:0/5/10/15/20/25/30/35/40/45/50/55/60/65/70/75/80",
    "Given=row_max:0/1/5/9/20:1000/500/300/2",
    "Two=row_max:0/3/100:1024/100",
    "Up=quotient/256:0/1/5/9/20/64/128/200:1/3/8/15/40/90/160",
    "Flat=quotient/1000:0/3/40/900:3/40/900",
)
OWN = LADDERS + TABLES


def test_the_levels_of_each_scheme_are_found_to_be_its_ladder():
    for name, each in SCHEMES.items():
        a = None if each.row_max else each.int_max
        label = f"Own{name.replace('_', '')}"
        own = register_scheme(label, each.values, family=each.family, int_max=a)
        assert (own.octave_levels, own.values) == (each.octave_levels, each.values)
        assert own.thresholds(5) == each.thresholds(5)


def test_what_is_a_ladder_and_what_is_not():
    assert [own_scheme(name).is_ladder for name in OWN] == [True] * 4 + [False] * 6


def test_a_registered_label_stands_for_the_name_that_files_keep():
    code = register_scheme("Stored_5", (0, 1, 2, 4, 8), thresholds=(900, 600, 300, 100))
    assert code.name == "Stored_5=row_max:0/1/2/4/8:900/600/300/100"
    config = AttentionConfig("Stored_5")
    assert config.scheme == code.name
    assert config.code == scheme_named(code.name) == code
    assert QuantizationSpec("Stored_5").scheme == code.name
    assert AttentionConfig.from_mapping(config.as_dict()) == config
    with pytest.raises(ValueError, match="name must be of one code: Stored_5 is registered as"):
        register_scheme("Stored_5", (0, 1, 2, 4))


def test_another_process_reads_the_name_that_files_keep():
    text = json.dumps(AttentionConfig(TABLES[0]).as_dict())
    script = "import json, sys; from bitlog2.sim import config_from_mapping as made\n"
    script += "print(made(json.loads(sys.argv[1])).code.values)"
    ran = subprocess.run(
        [sys.executable, "-c", script, text], check=True, capture_output=True, text=True
    )
    assert ran.stdout == f"{tuple(range(16))}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("A b", (0, 1)), "LABEL=row_max:VALUES"),
        (("all", (0, 1)), "a label that means nothing else, got 'all'"),
        (("A", (0,)), "2 to 17 values that rise from 0 to at most 32768, got 0"),
        (("A", (0, 1, 1)), "values that rise from 0 .*, got 0/1/1"),
        (("A", (1, 2)), "values that rise from 0 .*, got 1/2"),
        (("A", tuple(range(18))), "up to 17 numbers"),
        (("A", (0, 40_000)), r"values\[1\] must be from 0 to 32768, got 40000"),
        (("A", (0, 1), "other"), "family must be one of quotient, row_max, got 'other'"),
        (("A", (0, 1), ROW_MAX, 5), "int_max must be given in the family quotient alone, got 5"),
        (("A", (0, 1), "quotient"), "int_max must be given in the family quotient alone"),
        (("A", (0, 2), "quotient", 2), "1 thresholds that rise from 1 or more to below A, 2"),
        (("A", (0, 1, 2), "quotient", 9, (2, 2)), "2 thresholds that rise .*, got 2/2"),
        (("A", (0, 1, 2), ROW_MAX, None, (5,)), "2 thresholds that never rise, .*, got 5"),
        (("A", (0, 1, 2), ROW_MAX, None, (5, 6)), "2 thresholds that never rise, .*, got 5/6"),
        (("A", (0, 1), ROW_MAX, None, (16_384,)), "from at most 16383 on, got 16384"),
    ],
)
def test_what_is_no_code_is_refused(arguments, message):
    name, values, *rest = arguments
    with pytest.raises(ValueError, match=message):
        register_scheme(
            name, values, **dict(zip(("family", "int_max", "thresholds"), rest, strict=False))
        )


def test_no_name_of_a_scheme_can_be_registered():
    for name in MODEL_SCHEMES:
        with pytest.raises(ValueError, match="label that means nothing else"):
            register_scheme(name, (0, 1))


def test_values_are_integers():
    with pytest.raises(TypeError, match=r"values\[1\] must be an integer"):
        register_scheme("A", (0, 1.5))


def test_a_row_whose_sum_passes_the_divider_is_refused():
    with pytest.raises(ValueError, match=r"max_tokens must be at most 2048 with Big=.*got 4096"):
        AttentionConfig("Big=row_max:0/32768", max_tokens=4096)


@pytest.mark.parametrize("name", [name for name in OWN if "row_max" in name])
def test_the_level_of_every_distance_is_the_specification_s(name):
    for bits in range(1, 9):
        config = AttentionConfig(name, fraction_bits=bits)
        d = np.arange(config.d_max + 2, dtype=np.int16)
        level = np.empty(d.size, np.uint8)
        given = steps_of(config), constants.scheme_constants(config.code)
        distance_quantizer_kernel(d, *given, level)
        of_all = [distance_quantizer(int(each), False, config) for each in d[:-1]]
        assert level.tolist() == [*of_all, 0]


@pytest.mark.parametrize("name", [name for name in OWN if "quotient" in name])
def test_the_level_of_every_quotient_is_the_specification_s(name):
    """P = 6: every e beside every s of up to 40 keys."""
    config = AttentionConfig(name, table_bits=6, max_tokens=40)
    layer = constants.layer_constants(config, LayerParams(1, 0, 1, 0))
    scheme = constants.scheme_constants(config.code)
    s, e = (grid.ravel() for grid in np.mgrid[64 : 40 * 64 + 1, 0:65])
    level, scratch = np.empty(e.size, np.uint8), np.empty((3, e.size), np.int32)
    log2_quantizer_kernel(e.astype(np.int32), s, layer, scheme, scratch, level)
    pairs = zip(e.tolist(), s.tolist(), strict=True)
    assert level.tolist() == [log2_quantizer(*pair, config.code) for pair in pairs]


@pytest.mark.parametrize("name", OWN)
def test_torch_equals_the_simulator(name):
    for tokens, bits, table_bits in ((1, 5, 4), (33, 5, 16), (80, 2, 20)):
        config = AttentionConfig(name, fraction_bits=bits, table_bits=table_bits)
        checker = checked(config, random_inputs(tokens, tokens, config, masks=True, bias=True))
        assert checker.passed, checker.mismatches[0]


def test_a_wrong_level_of_a_table_is_found(monkeypatch):
    """One level of one distance, in the simulator's table alone."""
    config = AttentionConfig(TABLES[0])
    q, k, v, *_ = random_inputs(40, 3, config, masks=False, bias=False)
    inputs = (q, k, v, LayerParams(m=40_000, n=12, m2=1, n2=0, zq=8, zk=8))
    assert checked(config, inputs).passed
    steps, levels = steps_of(config), steps_of(config).levels.copy()
    levels[config.d_max] += 1
    monkeypatch.setattr(constants, "steps_of", lambda config: steps._replace(levels=levels))
    constants.layer_constants.cache_clear()
    try:
        assert checked(config, inputs).mismatches[0].register == "level"
    finally:
        constants.layer_constants.cache_clear()


def test_digits_run_with_a_code_of_one_s_own():
    images, checker = digits_task().calibration_images(0)[:4], Checker("all")
    run_watched(quantized_digits(TABLES[0]), images, checker)
    assert checker.passed
    assert checker.compared["level"] > 0


@pytest.mark.parametrize("name", [LADDERS[0], TABLES[3]])
def test_vectors_of_an_own_code_verify(tmp_path, name):
    config = AttentionConfig(name, max_tokens=32, max_head_dim=4)
    emit(tmp_path / "set", config, units=("distance_quantizer", "weight_sum"), random_cases=20)
    assert verify(tmp_path / "set").ok


def test_a_configuration_names_an_own_code():
    assert load_config(LADDERS[0]) == AttentionConfig(LADDERS[0])


def test_rtl_of_a_table_is_refused(tmp_path):
    config = AttentionConfig(TABLES[3], max_tokens=4)
    emit(tmp_path / "set", config, units=("weight_sum",), random_cases=1)
    with pytest.raises(ValueError, match=r"for the reference RTL.*got Two=row_max"):
        cosim(tmp_path / "set", "weight_sum")
    with pytest.raises(ValueError, match=r"for the reference RTL.*got Two=row_max"):
        emit(tmp_path / "rtl", config, units=("weight_sum",), testbench=True)


def test_vectors_of_a_quotient_by_table_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"for vectors.*got Up=quotient"):
        emit(tmp_path / "set", AttentionConfig(TABLES[4]))


def test_page_s_example_declares_codes(capsys):
    page = (Path(__file__).parents[1] / "docs" / "codes.md").read_text()
    (block,) = (each for each in page.split("```python\n") if "register_scheme(" in each)
    exec(compile(block.partition("```")[0], "codes.md", "exec"), {})
    assert capsys.readouterr().out == "True Coarse=quotient/256:0/1/8/64\n"


@pytest.mark.long
@pytest.mark.parametrize("name", [each for each in OWN if each not in TABLES[4:]])
def test_whole_sets_of_own_codes_verify_and_ladders_run_in_rtl(tmp_path, name):
    config = AttentionConfig(name, max_tokens=64, max_head_dim=8)
    emit(tmp_path / "set", config, random_cases=100)
    assert verify(tmp_path / "set").ok
    if config.code.is_ladder:
        assert cosim(tmp_path / "set", "attention_row").ok


@pytest.mark.long
def test_commands_take_an_own_code(tmp_path):
    own = f"{LADDERS[0]},{TABLES[0]},{TABLES[4]}"
    few = ("--check", "all", "--limit", "8")
    run = tmp_path / "run"
    line = ("evaluate", "--model", "digits", "--schemes", own, *few)
    assert main([*line, "--arithmetic", "float,attention,integer", "--run", str(run)]) == 0
    assert main(["resume", str(run)]) == 0
    assert main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 0
    saved = tmp_path / "model.safetensors"
    assert main(["evaluate", "--scheme", TABLES[0], *few, "--save", str(saved)]) == 0
    assert main(["evaluate", "--load", str(saved), *few]) == 0
    program = tmp_path / "digits.bitlog2"
    assert main(["lower", "digits", "--scheme", TABLES[4], "--out", str(program)]) == 0
    assert main(["evaluate", "--scheme", "Even=row_max:0/1/1", *few]) == 2
