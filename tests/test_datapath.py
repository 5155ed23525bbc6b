"""The torch path against the simulator, register by register, and its independence."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from support.models import observed, random_inputs
from support.quick import USUAL, quick_where

import bitlog2.models
from bitlog2.models.ptq.datapath import AttentionDatapath
from bitlog2.models.watch.check import Checker
from bitlog2.sim import REGISTERS, SCHEMES, AttentionConfig, LayerParams
from bitlog2.sim.registers import registers_of


def checked(config, inputs):
    checker = Checker("all")
    checker.take(observed(config, inputs, AttentionDatapath(config)(*inputs)))
    return checker


@pytest.mark.parametrize("scheme", quick_where(lambda scheme: scheme in USUAL, SCHEMES))
def test_datapath_equals_the_simulator_at_every_length_to_300(scheme):
    """Random parameters over their whole ranges, with and without masks and biases in turn."""
    config = AttentionConfig(scheme)
    for tokens in range(1, 301):
        masks, bias = bool(tokens & 1), bool(tokens & 2)
        checker = checked(config, random_inputs(tokens, tokens, config, masks=masks, bias=bias))
        assert checker.passed, checker.mismatches[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"fraction_bits": 4, "table_bits": 12},
        {"fraction_bits": 6, "table_bits": 20},
        {"q_bits": 8, "k_bits": 8, "v_bits": 8, "o_bits": 8},
        {"t_bits": 12, "distance_int_bits": 6},
        {"max_tokens": 4096, "max_head_dim": 64},
    ],
    ids=str,
)
def test_datapath_equals_the_simulator_in_other_configurations(fields):
    for scheme in SCHEMES:
        config = AttentionConfig(scheme, **fields)
        for seed, tokens in enumerate((1, 17, 100)):
            inputs = random_inputs(tokens, seed, config, masks=True, bias=False)
            checker = checked(config, inputs)
            assert checker.passed, checker.mismatches[0]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_datapath_trace_is_of_every_register(scheme):
    config = AttentionConfig(scheme)
    inputs = random_inputs(9, 0, config, masks=False, bias=False)
    assert tuple(AttentionDatapath(config)(*inputs).named()) == registers_of(config.code.family)


def test_datapath_registers_are_integers():
    config = AttentionConfig()
    inputs = random_inputs(9, 0, config, masks=True, bias=True)
    registers = AttentionDatapath(config)(*inputs).named()
    kinds = {name: values.dtype for name, values in registers.items()}
    narrow = dict.fromkeys(("level", "nibble", "flag", "o"), torch.uint8)
    expected = dict.fromkeys(registers_of(config.code.family), torch.int32) | narrow
    assert kinds == expected | {"row_sum": torch.int64}


def test_datapath_wide_scores_are_64_bits():
    """8-bit codes: products of up to 39 bits."""
    config = AttentionConfig(q_bits=8, k_bits=8)
    inputs = random_inputs(9, 0, config, masks=True, bias=True)
    registers = AttentionDatapath(config)(*inputs).named()
    assert (registers["score"].dtype, registers["t"].dtype) == (torch.int64, torch.int64)


@pytest.mark.parametrize("register", REGISTERS)
def test_datapath_one_changed_value_of_any_register_is_caught(register):
    config = AttentionConfig()
    if register not in registers_of(config.code.family):
        config = AttentionConfig("RowMax_16")
    inputs = random_inputs(33, 1, config, masks=False, bias=False)
    output = AttentionDatapath(config)(*inputs)
    values = output.named()[register]
    values.view(-1)[values.numel() // 2] += 1
    checker = Checker("all")
    checker.take(observed(config, inputs, output))
    differing = {name: count for name, count in checker.mismatched.items() if count}
    assert differing == {register: 1}


#: What the torch path may take from the simulator: configuration, what a layer loads, tables, and
#: writing files.
ALLOWED = {
    "AttentionConfig",
    "LayerParams",
    "Scheme",
    "SCHEMES",
    "scheme_named",
    "bitlog2.sim.declarations.name_schema",
    "bitlog2.sim.own_scheme.OWN_NAME",
    "bitlog2.sim.own_scheme.is_coded",
    "bitlog2.sim.scheme.OWN_FRACTION_BITS",
    "bitlog2.sim.scheme.scheme_label",
    "multiplier_and_shift",
    "score_bias",
    "HIDDEN_REGISTERS",
    "KEY_REGISTERS",
    "OUTPUT_REGISTERS",
    "REGISTERS",
    "bitlog2.sim.registers.registers_of",
    "bitlog2.sim.units.distance_quantizer.thresholds_of",
    "config_from_mapping",
    "bitlog2.sim.checks.check_choice",
    "bitlog2.sim.checks.check_int",
    "bitlog2.sim.network.NETWORK",
    "bitlog2.sim.network.NetworkConfig",
    "bitlog2.sim.network.activation_table.activation_table",
    "bitlog2.sim.network.datapath.NETWORK_REGISTERS",
    "bitlog2.sim.network.simulator.logits_digest",
    "bitlog2.sim.files.naming",
    "bitlog2.sim.files.write_whole",
}
#: Modules of a network that declare or make what it loads; none has its arithmetic.
DECLARE = tuple(
    f"bitlog2.sim.network.{name}."
    for name in ("multiplier", "parameters", "program", "program_file")
)
#: Modules that are there to run the simulator: to compare with it, to replay a mismatch, to load it
#: once for all images of a cell, to report what a program does, and to check passes of training.
RUN_IT = {"check.py", "replay.py", "evaluation.py", "lower.py", "qat.py"}


def taken_from_sim(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bitlog2.sim"):
            deep = node.module != "bitlog2.sim"
            found = {f"{node.module}.{a.name}" if deep else a.name for a in node.names}
            names |= {each for each in found if not each.startswith(DECLARE)}
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names if a.name.startswith("bitlog2.sim")}
    return names


def test_datapath_takes_only_configuration_and_tables_from_the_simulator():
    for path in Path(bitlog2.models.__file__).parent.rglob("*.py"):
        if path.name not in RUN_IT:
            assert taken_from_sim(path.read_text()) <= ALLOWED, path.name


@pytest.mark.parametrize(
    "planted",
    [
        "from bitlog2.sim import attention",
        "import bitlog2.sim.units.exp2",
        "from bitlog2.sim.spec import exp2",
    ],
)
def test_datapath_taking_arithmetic_from_the_simulator_is_caught(planted):
    assert not taken_from_sim(planted) <= ALLOWED


def test_datapath_score_is_exact_at_its_bound():
    config = AttentionConfig(max_head_dim=128)
    q = torch.full((1, 1, 1, 128), 15.0)
    k = torch.zeros((1, 1, 1, 128))
    params = LayerParams(1, 0, 1, 0, zq=0, zk=15)
    regs = AttentionDatapath(config)(q, k, torch.zeros(1, 1, 1, 1), params)
    assert regs.map.score.item() == -28800
    assert np.abs(regs.map.score.item()) == config.registers["score"].bound
