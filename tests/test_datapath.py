"""The torch path against the simulator, register by register, and its independence."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from support.models import observed, random_inputs
from support.quick import USUAL, quick_where

import bitlog2.models
from bitlog2.models.ptq import levels
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


#: The most keys of a row whose quotients are float32, by the scheme, where e has 16 bits.
FLOAT32_KEYS = {
    "BitLog2_Single_16": 256,
    "BitLog2_Single_17": 256,
    "BitLog2_Half_16": 127,
    "BitLog2_Half_17": 255,
}


def wrong_quotient_kinds(module):
    """Schemes whose quotients are float32 for another number of keys, or an e that is too wide."""
    wrong = [
        scheme
        for scheme, keys in FLOAT32_KEYS.items()
        for kind, tokens in ((torch.float32, keys), (torch.float64, keys + 1))
        if module.quotient_kind(SCHEMES[scheme], 16, tokens) != kind
    ]
    half = SCHEMES["BitLog2_Half_17"]
    kinds = [module.quotient_kind(half, bits, 1) for bits in (22, 23)]
    return wrong + ["wide e"] * (kinds != [torch.float32, torch.float64])


def test_datapath_quotients_are_float32_where_it_tells_levels_apart():
    assert wrong_quotient_kinds(levels) == []


@pytest.mark.parametrize("scheme", FLOAT32_KEYS)
def test_datapath_float32_quotients_beside_every_level_have_its_level(scheme):
    """Of the largest sums of these keys, and e on both sides of each level's threshold."""
    code, generator = SCHEMES[scheme], np.random.default_rng(0)
    most = FLOAT32_KEYS[scheme] << 16
    s = np.append(generator.integers(most // 2, most + 1, 2000), np.arange(most - 1000, most + 1))
    for value in code.values[1:]:
        above = -(-value * s // code.int_max)
        for e in (above - 1, above):
            s_held, e_held = s[e <= 1 << 16], e[e <= 1 << 16]
            real = (
                torch.from_numpy(e_held).float() * code.int_max / torch.from_numpy(s_held).float()
            )
            found = levels.level_of(real.floor(), code).numpy()
            expected = np.searchsorted(code.values, e_held * code.int_max // s_held, "right") - 1
            assert np.array_equal(found, expected)


def rows_of_types_differ(make_datapath):
    """Whether a register differs of long flat rows, whose s float32 does not hold, and large heads.

    Large heads are products in int8 where their codes are narrow.
    """
    generator = torch.Generator().manual_seed(0)
    for bits, rows, tokens, channels in (
        ((4, 4), 5, 600, 16),
        ((4, 4), 150, 150, 64),
        ((4, 8), 150, 150, 64),
        ((8, 4), 150, 150, 64),
    ):
        config = AttentionConfig(q_bits=bits[0], k_bits=bits[1])
        q, k, v = (
            torch.randint(0, 1 << width, (1, 2, n, channels), generator=generator)
            for width, n in ((bits[0], rows), (bits[1], tokens), (4, tokens))
        )
        inputs = q, k, v, LayerParams(1, sum(bits), 40000, 24, 7, 8, 7, 8)
        checker = Checker("all")
        checker.take(observed(config, inputs, make_datapath(config)(*inputs)))
        if checker.total_mismatched:
            return True
    return False


def outputs_of_types_differ(make_datapath):
    """Whether a product just below half an LSB is rounded up, at the largest shift.

    acc * m2 is 2**47 - 1: with the zero point that takes 56 bits, and 53 would round it.
    """
    config = AttentionConfig("RowMax_16", v_bits=8, o_bits=8, m2_bits=24, max_n2=48)
    acc = torch.tensor([[[[2351 * 4513, -2351 * 4513, 1 << 27]]]], dtype=torch.int32)
    o = make_datapath(config).output(acc, 13264529, 48, 200)
    return o.tolist() != [[[[200, 200, 206]]]]


def test_datapath_values_that_a_type_just_holds():
    assert not rows_of_types_differ(AttentionDatapath)
    assert not outputs_of_types_differ(AttentionDatapath)


@pytest.mark.parametrize("scheme", ["RowMax_16", "BitLog2_Half_17"])
@pytest.mark.parametrize("masks", [False, True])
def test_datapath_codes_alone_are_those_with_every_register(scheme, masks):
    config = AttentionConfig(scheme)
    inputs = random_inputs(65, 3, config, masks=masks, bias=masks)
    made, seen = AttentionDatapath(config), []
    before = [each.clone() if torch.is_tensor(each) else each for each in inputs]
    o = made(*inputs).output.o
    assert torch.equal(made.codes(*inputs), o)
    made.register_forward_hook(lambda *call: seen.append(call[2].output.o))
    assert torch.equal(made.codes(*inputs), o)
    assert torch.equal(seen[0], o)
    same = [torch.equal(a, b) for a, b in zip(inputs, before, strict=True) if torch.is_tensor(a)]
    assert all(same)


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
    "bitlog2.sim.network.activation_table.gate_table",
    "bitlog2.sim.network.datapath.NETWORK_REGISTERS",
    "bitlog2.sim.network.digest.logits_digest",
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
RUN_IT = {"check.py", "replay.py", "evaluation.py", "lower.py", "qat.py", "trial.py"}


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
