"""The network's units in C: the specification's words, the kernels', mutants, refusals."""

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.c_model import COMPILERS, OK, SOURCE, STATUS, compile_c
from support.c_network import (
    CONFIG,
    CONFIGS,
    DRIVER,
    LOOPS,
    NARROW,
    UNTOUCHED,
    CNetwork,
    Words,
    build_network,
    by_kernel,
    corner_words,
    count_of,
    difference,
    driver_call,
    filled,
    init,
    network_library,
    random_words,
    specified,
)
from test_c_model import SANITIZE, skip_without_sanitizers

from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.parameters import HeadParams, ProductParams

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler: none of gcc, clang, cc")
requirement = pytest.mark.requirement

MODEL_TEXT = (SOURCE / "bitlog2.c").read_text()
#: The requirements of each unit that words show.
HELD = {
    "image_requantizer": requirement("BL2-IMAGE-01"),
    "linear_accumulator": requirement("BL2-LINEAR-01"),
    "linear_requantizer": requirement("BL2-LINREQ-01"),
    "residual_adder": requirement("BL2-RESID-01", "BL2-RESID-02", "BL2-RESID-03"),
    "norm_sums": requirement("BL2-NORM-01"),
    "reciprocal_root": requirement("BL2-ROOT-01", "BL2-ROOT-02", "BL2-ROOT-03"),
    "normalizer": requirement("BL2-NORM-04", "BL2-NORM-05"),
    "norm_requantizer": requirement("BL2-NORMREQ-01"),
    "stream_norm": requirement("BL2-NORMREQ-02"),
    "activation_input": requirement("BL2-ACT-01"),
    "activation": requirement("BL2-ACT-02"),
    "gate": requirement("BL2-GATE-01"),
    "gate_code": requirement("BL2-GATE-02"),
    "mean_term": requirement("BL2-MEAN-01"),
    "mean_sum": requirement("BL2-MEAN-02"),
    "mean_code": requirement("BL2-MEAN-03"),
    "stream_mean": requirement("BL2-MEAN-04"),
    "head": requirement("BL2-HEAD-01", "BL2-HEAD-04"),
    "prediction": requirement("BL2-HEAD-03"),
}
UNITS = [pytest.param(unit, marks=mark) for unit, mark in HELD.items()]
#: Units whose product is rounded; a head refuses most of its corners.
PRODUCTS = [unit for unit in HELD if {"m", "gain"} & {*LOOPS[unit].inputs}]
EACH_CONFIG = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def numbers(**values: Any) -> Words:
    """One word of each name, or a row."""
    return {name: np.array(value) for name, value in values.items()}


# Words.

#: The examples of SPEC.md, section 10.
WORKED: list[tuple[str, Words, dict[str, list[int]]]] = [
    (
        "image_requantizer",
        numbers(gain=[32897] * 4, offset=[4194304] * 4, shift=[16] * 4, pixel=[0, 127, 128, 255]),
        {"code": [64, 128, 128, 192]},
    ),
    (
        "linear_accumulator",
        numbers(
            row=4, outputs=1, zx=7, is_outer=0, x=[[9, 10, 7, 8]], w=[[3, -2, 5, -7]], bias=[12]
        ),
        {"acc": [5]},
    ),
    (
        "linear_requantizer",
        numbers(m=[32768], n=[18], zero=[8], y_bits=[4], acc=[5]),
        {"code": [9]},
    ),
    (
        "residual_adder",
        numbers(m=[52429] * 2, n=[11] * 2, acc=[5] * 2, x=[7, 32700]),
        {"sum": [135, 32828], "residual": [135, 32767]},
    ),
    (
        "norm_sums",
        numbers(row=4, eps=1, x=[[3, -5, 7, 1]]),
        {"sum": [6], "squares": [84], "variance": [301]},
    ),
    (
        "reciprocal_root",
        numbers(variance=[301]),
        {"root_shift": [-11], "root": [35531], "reciprocal": [60439]},
    ),
    (
        "normalizer",
        numbers(
            channels=[4] * 4,
            x=[3, -5, 7, 1],
            sum=[6] * 4,
            root_shift=[-11] * 4,
            reciprocal=[60439] * 4,
        ),
        {"centred": [6, -26, 22, -2], "z": [354, -1535, 1298, -118]},
    ),
    (
        "norm_requantizer",
        numbers(
            gain=[32768, -32768, 32768, 0],
            offset=[62075699, 117440512, 194615706, 8],
            shift=[23, 24, 25, 0],
            y_bits=[4] * 4,
            z=[354, -1535, 1298, -118],
        ),
        {"code": [9, 10, 7, 8]},
    ),
    ("activation_input", numbers(m=[52429], n=[15], acc=[5]), {"u": [8]}),
    (
        "gate_code",
        numbers(m=[51200], n=[21], zero=[3], y_bits=[4], gate=[17], x=[10]),
        {"code": [7]},
    ),
    ("mean_sum", numbers(row=3, stride=1, term=[[1000], [-300], [700]]), {"total": [1400]}),
    ("mean_code", numbers(m=[43691], n=[25], y_bits=[4], total=[1400]), {"code": [2]}),
    (
        "head",
        numbers(m=[52429] * 2, n=[5] * 2, acc=[5] * 2, before=[0, -200]),
        {"logit": [8192, 7992]},
    ),
    ("prediction", numbers(row=4, logit=[[1, 7, -9, 7]]), {"prediction": [1]}),
]


@pytest.mark.parametrize(("unit", "words", "expected"), WORKED, ids=[each[0] for each in WORKED])
def test_c_model_network_gives_the_worked_words(
    unit: str, words: Words, expected: dict[str, list[int]]
):
    got = CNetwork(CONFIG)(unit, words)
    assert {name: each.tolist() for name, each in got.items()} == expected | {
        "status": [OK] * len(got["status"])
    }


@EACH_CONFIG
@pytest.mark.parametrize("unit", UNITS)
def test_c_model_network_equals_the_specification(unit: str, config: NetworkConfig):
    """Random words, a quarter of them ties, ends and corners, in four drawings."""
    model = CNetwork(config)
    for seed in range(740, 744):
        words = random_words(unit, config, np.random.default_rng(seed), 800)
        assert difference(unit, words, specified(unit, config, words), model(unit, words)) is None


@EACH_CONFIG
@pytest.mark.parametrize("unit", [unit for unit in PRODUCTS if unit != "head"])
def test_c_model_network_equals_the_specification_at_all_corners(unit: str, config: NetworkConfig):
    words = corner_words(unit, config)
    expected = specified(unit, config, words)
    assert difference(unit, words, expected, CNetwork(config)(unit, words)) is None


@pytest.mark.parametrize("unit", PRODUCTS)
def test_c_model_network_words_tie_and_saturate(unit: str):
    """What random words are for: ties of both signs, each end where there is one, and between."""
    words = random_words(unit, CONFIG, np.random.default_rng(745), 4000)
    affine = "gain" in words
    x = words[next(name for name in ("pixel", "z", "acc", "total", "gate") if name in words)]
    x = x * words["x"] if unit == "gate_code" else x
    value = x * (words["gain"] if affine else words["m"]) + (words["offset"] if affine else 0)
    shift = words["shift" if affine else "n"]
    half = (np.int64(1) << shift) >> 1
    tie = (shift > 0) & ((value & ((half << 1) - 1)) == half)
    assert (tie & (value < 0)).sum() > 50
    assert (tie & (value > 0)).sum() > 50
    last = list(specified(unit, CONFIG, words).values())[-1]
    ends = [(last == end).mean() for end in (last.min(), last.max())]
    assert unit == "head" or min(ends) > 0.02
    assert sum(ends) < 0.9


@requirement("BL2-ROOT-02", "BL2-ROOT-03")
def test_c_model_network_root_is_exact_at_every_step():
    """Every root of 16 bits: the first and the last argument that has it, and the one before."""
    root = np.arange(1 << 15, 1 << 16)
    variance = np.concatenate([root * root, root * (root + 2), root * root - 1])
    words = {"variance": variance[variance >= 1 << 30]}
    got = CNetwork(CONFIG)("reciprocal_root", words)
    assert (
        difference("reciprocal_root", words, by_kernel("reciprocal_root", CONFIG, words), got)
        is None
    )
    found, u = got["root"].astype(np.int64), words["variance"]
    assert (got["root_shift"] == 0).all()
    assert ((found * found <= u) & (u < (found + 1) * (found + 1))).all()


@requirement("BL2-ROOT-01", "BL2-ROOT-02", "BL2-ROOT-03")
def test_c_model_network_root_of_every_small_variance():
    words = {"variance": np.arange(1, NARROW.registers["variance"].bound + 1)}
    expected = specified("reciprocal_root", NARROW, words)
    got = CNetwork(NARROW)("reciprocal_root", words)
    assert difference("reciprocal_root", words, expected, got) is None


@EACH_CONFIG
@requirement("BL2-ACT-02")
def test_c_model_network_looks_every_entry_up(config: NetworkConfig):
    table = np.arange(1 << config.u_bits) % (1 << config.code_bits)
    words = {"u": np.arange(config.u_min, config.u_max + 1), "table": table}
    got = CNetwork(config)("activation", words)
    assert got["code"].tolist() == table.tolist()
    assert not got["status"].any()


@EACH_CONFIG
@requirement("BL2-LINEAR-02", "BL2-NORM-03", "BL2-MEAN-02")
def test_c_model_network_reaches_its_bounds(config: NetworkConfig):
    """Most inputs, channels and tokens, everything full: of both signs."""
    model, registers = CNetwork(config), config.registers
    outer = int((1 << config.outer_bits) - 1 > ((1 << config.a_bits) - 1))
    a, w = (config.outer_bits,) * 2 if outer else (config.a_bits, config.w_bits)
    bias = (1 << (config.bias_bits - 1)) - 1
    full = np.full((1, config.max_inputs), (1 << a) - 1)
    weights = np.concatenate([full * 0 + (1 << w) - 1, full * 0 + 1 - (1 << w)])
    layer = numbers(row=config.max_inputs, outputs=2, zx=0, is_outer=outer)
    words = layer | {"x": full, "w": weights, "bias": np.array([bias, -bias])}
    bound = registers["linear_acc"].bound
    assert model("linear_accumulator", words)["acc"].tolist() == [bound, -bound]
    x = np.full((1, config.max_channels), config.stream_min)
    x[:, : config.max_channels // 2] = config.stream_max
    eps = (1 << config.eps_bits) - 1
    sums = model("norm_sums", numbers(row=config.max_channels, eps=eps) | {"x": x})
    assert sums["variance"].tolist() == [registers["variance"].bound]
    terms = np.full((config.max_tokens, 1), -config.largest_mean_term)
    total = model("mean_sum", numbers(row=config.max_tokens, stride=1) | {"term": terms})["total"]
    assert total.tolist() == [-registers["mean_sum"].bound]


@requirement("BL2-NORM-06")
@EACH_CONFIG
def test_c_model_network_normalizes_the_furthest_channel(config: NetworkConfig):
    """One channel at an end, the others at the other one: z is within its bound, and near it."""
    model, channels = CNetwork(config), config.max_channels
    x = np.full((1, channels), config.stream_min)
    x[0, 0] = config.stream_max
    sums = model("norm_sums", numbers(row=channels, eps=1) | {"x": x})
    roots = model("reciprocal_root", {"variance": sums["variance"]})
    token = {"sum": sums["sum"], "root_shift": roots["root_shift"]}
    token |= {"reciprocal": roots["reciprocal"], "x": x[0, :1], "channels": np.array([channels])}
    got = model("normalizer", token)
    assert got["status"].tolist() == [OK]
    assert 0.8 < got["z"][0] / config.registers["z"].bound <= 1


@pytest.mark.parametrize("unit", UNITS)
def test_c_model_network_equals_the_kernels_on_a_hundred_thousand_words(unit: str):
    assert compared(unit, 100_000, 33_500, 746) >= 100_000


@pytest.mark.long
@pytest.mark.parametrize("unit", UNITS)
def test_c_model_network_equals_the_kernels_on_a_hundred_million_words(unit: str):
    """10**8 for each unit, a million at a time."""
    assert compared(unit, 100_000_000, 1_000_000, 747) >= 100_000_000


def compared(unit: str, total: int, batch: int, seed: int) -> int:
    """Words that the C model and the kernels gave alike, the configurations taking turns."""
    rng, done = np.random.default_rng(seed), 0
    models = [(config, CNetwork(config)) for config in CONFIGS.values()]
    while done < total:
        for config, model in models:
            words = random_words(unit, config, rng, batch)
            got = model(unit, words)
            assert difference(unit, words, by_kernel(unit, config, words), got) is None
            done += len(got["status"])
    return done


# What the comparison reports.


@pytest.mark.parametrize("unit", list(HELD))
def test_c_model_network_sees_a_changed_word(unit: str):
    words = random_words(unit, CONFIG, np.random.default_rng(748), 40)
    expected = by_kernel(unit, CONFIG, words)
    got = CNetwork(CONFIG)(unit, words)
    assert difference(unit, words, expected, got) is None
    name = list(expected)[-1]
    got[name][-1] ^= 1
    assert f"{name} of word" in str(difference(unit, words, expected, got))


#: An error in each unit alone, so that all of them stand in one library.
UNIT_MUTANTS = [
    {
        "image_requantizer": (
            "sat(affine_of(pixel, affine), 0,",
            "sat(affine_of(pixel, affine), 1,",
        ),
        "linear_accumulator": ("(x[i] - linear->zx)", "x[i]"),
        "linear_requantizer": (
            "sat(scaled(acc, scale) + zero, 0, largest_code(y_bits))",
            "(sat(scaled(acc, scale), 0, largest_code(y_bits)) + zero)",
        ),
        "residual_adder": ("*sum = x + scaled(acc, scale);", "*sum = x - scaled(-acc, scale);"),
        "norm_sums": ("- total * total) + eps;", "- total * total);"),
        "reciprocal_root": ("(lod(variance) >> 1) -", "((lod(variance) + 1) >> 1) -"),
        "normalizer": ("rnd(n * reciprocal,", "trn(n * reciprocal,"),
        "norm_requantizer": (
            "sat(affine_of(z, affine), 0, largest_code(y_bits))",
            "affine_of(z, affine)",
        ),
        "stream_norm": (
            "*x = (int32_t)sat_signed(affine_of(z, affine), network->config.stream_bits)",
            "*x = (int32_t)sat_signed(affine_of(z, affine), network->config.stream_bits - 1)",
        ),
        "activation_input": ("*u = (int32_t)sat_signed(scaled(acc,", "*u = (int32_t)(scaled(acc,"),
        "activation": (
            "const uint8_t found = table[u + ((int32_t)1 << (c->u_bits - 1))];",
            "const uint8_t found = table[u < 0 ? -u : u];",
        ),
        "gate": ("*gate = found;", "*gate = found < 0 ? 0 : found;"),
        "gate_code": (
            "const int64_t y = scaled((int64_t)gate * x, scale) + zero;",
            "const int64_t y = scaled((int64_t)gate * x + 1, scale) + zero;",
        ),
        "mean_term": (
            "affine_of(z, affine), network->config.mean_bits)",
            "affine_of(z + 1, affine), network->config.mean_bits)",
        ),
        "mean_sum": ("sum += term[t * stride];", "sum += t == 0 ? 0 : term[t * stride];"),
        "mean_code": ("sat(scaled(total, scale), 0,", "sat(total >> scale->n, 0,"),
        "stream_mean": (
            "*mean = (int32_t)sat_signed(scaled(total, scale),",
            "*mean = (int32_t)sat_signed((total * scale->m) >> scale->n,",
        ),
        "head": (
            "const int64_t found = before + scaled(acc, scale);",
            "const int64_t found = before + (scaled(acc, scale) | 1);",
        ),
        "prediction": ("logit[i] > logit[best]", "logit[i] >= logit[best]"),
    },
    {
        "image_requantizer": ("0, largest_code(c->outer_bits));", "0, largest_code(c->a_bits));"),
        "linear_accumulator": ("int64_t sum = bias;", "int64_t sum = 0;"),
        "linear_requantizer": ("scaled(acc, scale) + zero,", "scaled(acc + zero, scale),"),
        "residual_adder": ("sat_signed(*sum, network", "sat_signed(*sum - x, network"),
        "norm_sums": ("(int64_t)x[i] * x[i];", "x[i];"),
        "reciprocal_root": ("/ found);", "/ (found + 1));"),
        "normalizer": ("const int64_t n = count * x - sum;", "const int64_t n = count * x;"),
        "norm_requantizer": ("affine_of(z, affine), 0,", "affine_of(z, affine) + 1, 0,"),
        "stream_norm": (
            "*x = (int32_t)sat_signed(affine_of(z, affine), network->config.stream_bits)",
            "*x = (int32_t)affine_of(z, affine)",
        ),
        "activation_input": (
            "scaled(acc, scale), network->config.u_bits",
            "scaled(acc, scale), 12",
        ),
        "activation": ("    *code = found;", "    *code = found & 1;"),
        "gate": (
            "const int16_t found = table[u + ((int32_t)1 << (c->u_bits - 1))];",
            "const int16_t found = table[u < 0 ? -u : u];",
        ),
        "gate_code": ("(uint8_t)sat(y, 0, largest_code", "(uint8_t)sat(y, 1, largest_code"),
        "mean_term": (
            "affine), network->config.mean_bits)",
            "affine), network->config.stream_bits)",
        ),
        "mean_sum": ("t < tokens; t++", "t + 1 < tokens; t++"),
        "mean_code": ("scaled(total, scale), 0, largest", "scaled(total, scale), 1, largest"),
        "stream_mean": (
            "*mean = (int32_t)sat_signed(scaled(total,",
            "*mean = (int32_t)(scaled(total,",
        ),
        "head": (
            "const int64_t found = before + scaled(acc, scale);",
            "const int64_t found = scaled(acc, scale);",
        ),
        "prediction": ("i < classes; i++", "i + 1 < classes; i++"),
    },
]
#: An error in what units share, and a unit that shows it.
SHARED_MUTANTS = {
    "products are cut off": (
        "return rnd(x * scale->m, scale->n);",
        "return trn(x * scale->m, scale->n);",
        "head",
    ),
    "the offset is added behind the rounding": (
        "return rnd(x * affine->gain + affine->offset, affine->shift);",
        "return rnd(x * affine->gain, affine->shift) + rnd(affine->offset, affine->shift);",
        "stream_norm",
    ),
    "a register saturates at its largest magnitude": (
        "return sat(x, -half, half - 1);",
        "return sat(x, 1 - half, half - 1);",
        "activation_input",
    ),
    "the integer root ends too soon": (
        "while (0 < next && next < root)",
        "if (0 < next && next < root)",
        "reciprocal_root",
    ),
}


def reported(unit: str, lib: Any) -> bool:
    """Whether any configuration shows a difference of a unit."""
    for config in CONFIGS.values():
        words = random_words(unit, config, np.random.default_rng(749), 2000)
        expected = by_kernel(unit, config, words)
        if difference(unit, words, expected, CNetwork(config, lib)(unit, words)):
            return True
    return False


@pytest.mark.parametrize("number", range(len(UNIT_MUTANTS)))
def test_c_model_network_reports_a_mutant_of_every_unit(number: int, tmp_path: Path):
    planted, mutants = MODEL_TEXT, UNIT_MUTANTS[number]
    assert set(mutants) == set(HELD) == set(LOOPS)
    for old, new in mutants.values():
        assert planted.count(old) == 1, old
        planted = planted.replace(old, new)
    lib = build_network(tmp_path, planted)
    assert [unit for unit in mutants if not reported(unit, lib)] == []


@pytest.mark.parametrize("mutant", SHARED_MUTANTS)
def test_c_model_network_reports_a_mutant_of_what_units_share(mutant: str, tmp_path: Path):
    old, new, unit = SHARED_MUTANTS[mutant]
    assert MODEL_TEXT.count(old) == 1
    assert reported(unit, build_network(tmp_path, MODEL_TEXT.replace(old, new)))


def test_c_model_network_reports_nothing_of_an_unchanged_source():
    assert [unit for unit in HELD if reported(unit, network_library())] == []


# Sanitizers.


def driver(folder: Path, text: str) -> Path:
    (folder / "bitlog2.c").write_text(text)
    (folder / "driver.c").write_text(DRIVER)
    sources = [folder / "driver.c", folder / "bitlog2.c"]
    compile_c(["-std=c99", "-O0", "-g", *SANITIZE, "-I", SOURCE, *sources, "-o", folder / "driver"])
    return folder / "driver"


def play(program: Path, calls: list[tuple[str, NetworkConfig, Words]]) -> Any:
    text = np.int64(len(calls)).tobytes() + b"".join(driver_call(*each) for each in calls)
    return subprocess.run([program], input=text, capture_output=True, timeout=120)


def test_c_model_network_runs_clean_under_sanitizers(tmp_path: Path):
    """Buffers of their exact size: nothing beside them, nothing undefined, the same words."""
    skip_without_sanitizers(tmp_path)
    rng = np.random.default_rng(750)
    configs = CONFIGS.values()
    calls = [(unit, each, random_words(unit, each, rng, 300)) for unit in HELD for each in configs]
    done = play(driver(tmp_path, MODEL_TEXT), calls)
    assert done.returncode == 0, done.stderr[:4000].decode()
    rest = memoryview(done.stdout)
    for unit, config, words in calls:
        got = filled(unit, count_of(unit, words))
        for name, each in got.items():
            got[name] = np.frombuffer(rest[: each.nbytes], each.dtype)
            rest = rest[each.nbytes :]
        assert difference(unit, words, specified(unit, config, words), got) is None
    assert len(rest) == 0


def test_c_model_network_sanitizers_see_a_planted_read_beside_a_buffer(tmp_path: Path):
    skip_without_sanitizers(tmp_path)
    planted = MODEL_TEXT.replace("t < tokens; t++", "t <= tokens; t++")
    assert planted != MODEL_TEXT
    words = numbers(row=3, stride=1) | {"term": np.zeros((3, 1), np.int64)}
    done = play(driver(tmp_path, planted), [("mean_sum", CONFIG, words)])
    assert done.returncode != 0
    assert b"heap-buffer-overflow" in done.stderr


# Configurations and what is refused.

#: A configuration in which every field may be at either of its ends.
ROOMY = NARROW.as_dict() | {"root_bits": 16, "z_fraction_bits": 0}
#: Fields whose status is not that of their own name.
SHARED_STATUS = dict.fromkeys(("a_bits", "w_bits", "outer_bits"), "BAD_LAYER_BITS")


@requirement("BL2-NET-03")
@pytest.mark.parametrize("field", list(CONFIG.as_dict()))
def test_c_model_network_refuses_beyond_a_range(field: str):
    """Both ends are accepted, one beyond is not, and the text names them."""
    facts = next(each.metadata for each in NetworkConfig.choices() if each.name == field)
    status = STATUS[SHARED_STATUS.get(field, f"BAD_{field.upper()}")]
    low, high = facts["low"], facts["high"]
    assert [init(ROOMY | {field: x})[0] for x in (low, high)] == [OK, OK]
    refused = [init(ROOMY | {field: x}) for x in (low - 1, high + 1, -(1 << 31), (1 << 31) - 1)]
    assert [each for each, _ in refused] == [status] * 4
    assert all(bytes(network) == bytes(len(bytes(network))) for _, network in refused)
    assert field in text_of(status)
    assert f"from {low} to {high}" in text_of(status)


def text_of(status: int) -> str:
    return str(network_library().bl2_status_text(status).decode())


@requirement("BL2-NET-04", "BL2-NET-05")
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"z_fraction_bits": 11, "root_bits": 10}, "Z_FINER_THAN_ROOT"),
        ({"max_inputs": 65536}, "LINEAR_ACC_TOO_WIDE"),
        ({"max_channels": 16384, "stream_bits": 19}, "REGISTER_TOO_WIDE"),
        ({"max_channels": 16384, "stream_bits": 24}, "REGISTER_TOO_WIDE"),
        ({"max_tokens": 65536, "mean_bits": 24, "m_bits": 24}, "REGISTER_TOO_WIDE"),
    ],
)
def test_c_model_network_refuses_registers(fields: dict[str, int], status: str):
    with pytest.raises(ValueError, match="must"):
        NetworkConfig(**CONFIG.as_dict() | fields)
    assert init(CONFIG.as_dict() | fields)[0] == STATUS[status]


def any_config(rng: np.random.Generator) -> dict[str, int]:
    """Every field from its whole range; sizes of every magnitude."""
    fields = {}
    for each in NetworkConfig.choices():
        low, high = each.metadata["low"], each.metadata["high"]
        most = int(2 ** rng.uniform(0, high.bit_length())) if high > 1000 else high
        fields[each.name] = int(rng.integers(low, max(low, min(most, high)) + 1))
    return fields


@requirement("BL2-NET-04", "BL2-NET-05")
def test_c_model_network_widths_of_any_configuration():
    """The same are legal, with the same widths and bounds."""
    rng, legal = np.random.default_rng(751), 0
    drawn = [any_config(rng) for _ in range(400)]
    for fields in [each.as_dict() for each in CONFIGS.values()] + drawn:
        status, network = init(fields)
        try:
            config = NetworkConfig(**fields)
        except ValueError:
            assert status != OK, fields
            continue
        assert status == OK, fields
        legal += 1
        registers = config.registers
        widths = {name: getattr(network.widths, name) for name in registers}
        assert widths == {name: each.bits for name, each in registers.items()}
        for name in ("linear_acc", "variance", "z", "mean_sum"):
            assert getattr(network, name) == registers[name].bound
    assert 100 < legal < 350


def test_c_model_network_has_the_default_configuration():
    made = network_library().bl2_default_network_config()
    assert {name: getattr(made, name) for name in CONFIG.as_dict()} == CONFIG.as_dict()


@requirement("BL2-NET-07", "BL2-NET-06")
@pytest.mark.parametrize(
    ("unit", "changes", "status"),
    [
        ("image_requantizer", {"gain": 0}, "BAD_GAIN"),
        ("image_requantizer", {"gain": 65536}, "BAD_GAIN"),
        ("image_requantizer", {"offset": 1 << 39}, "BAD_OFFSET"),
        ("image_requantizer", {"shift": 37}, "BAD_GAIN_SHIFT"),
        ("image_requantizer", {"pixel": 256}, "BAD_PIXEL"),
        ("linear_accumulator", {"row": 0}, "BAD_INPUTS"),
        ("linear_accumulator", {"row": 8193}, "BAD_INPUTS"),
        ("linear_accumulator", {"zx": 16}, "BAD_ZERO_POINT"),
        ("linear_accumulator", {"zx": 256, "is_outer": 1}, "BAD_ZERO_POINT"),
        ("linear_accumulator", {"x": 16}, "BAD_CODE"),
        ("linear_accumulator", {"w": 16}, "BAD_WEIGHT"),
        ("linear_accumulator", {"w": -16}, "BAD_WEIGHT"),
        ("linear_accumulator", {"w": 256, "is_outer": 1}, "BAD_WEIGHT"),
        ("linear_accumulator", {"bias": 1 << 29}, "BAD_LINEAR_BIAS"),
        ("linear_accumulator", {"bias": -(1 << 29)}, "BAD_LINEAR_BIAS"),
        ("linear_requantizer", {"m": 0}, "BAD_M"),
        ("linear_requantizer", {"m": 65536}, "BAD_M"),
        ("linear_requantizer", {"n": -1}, "BAD_N"),
        ("linear_requantizer", {"n": 37}, "BAD_N"),
        ("linear_requantizer", {"zero": 16}, "BAD_ZERO_POINT"),
        ("linear_requantizer", {"y_bits": 1}, "BAD_Y_BITS"),
        ("linear_requantizer", {"y_bits": 9}, "BAD_Y_BITS"),
        ("linear_requantizer", {"acc": 1069555712}, "BAD_LINEAR_ACC"),
        ("residual_adder", {"m": -1}, "BAD_M"),
        ("residual_adder", {"x": 32768}, "BAD_STREAM"),
        ("residual_adder", {"acc": -1069555712}, "BAD_LINEAR_ACC"),
        ("norm_sums", {"row": 0}, "BAD_NORM_CHANNELS"),
        ("norm_sums", {"row": 4097}, "BAD_NORM_CHANNELS"),
        ("norm_sums", {"eps": 0}, "BAD_EPS"),
        ("norm_sums", {"eps": 1 << 40}, "BAD_EPS"),
        ("norm_sums", {"x": -32769}, "BAD_STREAM"),
        ("reciprocal_root", {"variance": 0}, "BAD_VARIANCE"),
        ("reciprocal_root", {"variance": 18014948269490176}, "BAD_VARIANCE"),
        ("normalizer", {"channels": 0}, "BAD_NORM_CHANNELS"),
        ("normalizer", {"x": 32768}, "BAD_STREAM"),
        ("normalizer", {"sum": 2 * 32768 + 1}, "BAD_STREAM_SUM"),
        ("normalizer", {"x": -32768, "sum": 2}, "BAD_STREAM_SUM"),
        ("normalizer", {"root_shift": -16}, "BAD_ROOT_SHIFT"),
        ("normalizer", {"root_shift": 13}, "BAD_ROOT_SHIFT"),
        ("normalizer", {"reciprocal": 32767}, "BAD_RECIPROCAL"),
        ("normalizer", {"reciprocal": 65537}, "BAD_RECIPROCAL"),
        ("normalizer", {"x": 10000, "root_shift": -15}, "BAD_Z"),
        ("norm_requantizer", {"gain": 65536}, "BAD_GAIN"),
        ("norm_requantizer", {"gain": -65536}, "BAD_GAIN"),
        ("norm_requantizer", {"offset": -(1 << 39)}, "BAD_OFFSET"),
        ("norm_requantizer", {"shift": 31}, "BAD_GAIN_SHIFT"),
        ("norm_requantizer", {"y_bits": 9}, "BAD_Y_BITS"),
        ("norm_requantizer", {"z": 65531}, "BAD_Z"),
        ("stream_norm", {"z": -65531}, "BAD_Z"),
        ("stream_norm", {"shift": -1}, "BAD_GAIN_SHIFT"),
        ("activation_input", {"m": 0}, "BAD_M"),
        ("activation_input", {"acc": 1069555712}, "BAD_LINEAR_ACC"),
        ("activation", {"u": 512}, "BAD_U"),
        ("activation", {"u": -513}, "BAD_U"),
        ("gate", {"u": 512}, "BAD_U"),
        ("gate", {"table": 2048}, "BAD_GATE"),
        ("gate", {"table": -2048}, "BAD_GATE"),
        ("gate_code", {"m": 0}, "BAD_M"),
        ("gate_code", {"n": 37}, "BAD_N"),
        ("gate_code", {"zero": 16}, "BAD_ZERO_POINT"),
        ("gate_code", {"y_bits": 9}, "BAD_Y_BITS"),
        ("gate_code", {"gate": 2048}, "BAD_GATE"),
        ("gate_code", {"gate": -2048}, "BAD_GATE"),
        ("gate_code", {"x": 32768}, "BAD_STREAM"),
        ("mean_term", {"gain": 65536}, "BAD_GAIN"),
        ("mean_term", {"z": 65531}, "BAD_Z"),
        ("mean_sum", {"row": 0}, "BAD_MEAN_TOKENS"),
        ("mean_sum", {"row": 1025}, "BAD_MEAN_TOKENS"),
        ("mean_sum", {"term": 1 << 19}, "BAD_TERM"),
        ("mean_code", {"n": 37}, "BAD_N"),
        ("mean_code", {"y_bits": 1}, "BAD_Y_BITS"),
        ("mean_code", {"total": 536870913}, "BAD_MEAN_SUM"),
        ("stream_mean", {"total": -536870913}, "BAD_MEAN_SUM"),
        ("head", {"m": 65536}, "BAD_M"),
        ("head", {"m": 4, "acc": 536870912}, "LOGIT_TOO_LARGE"),
        ("head", {"m": 4, "acc": -536870912}, "LOGIT_TOO_LARGE"),
        ("head", {"before": (1 << 31) - 1}, "LOGIT_TOO_LARGE"),
        ("head", {"before": -(1 << 31)}, "LOGIT_TOO_LARGE"),
        ("prediction", {"row": 0}, "BAD_CLASSES"),
    ],
)
def test_c_model_network_refuses_a_word(unit: str, changes: dict[str, int], status: str):
    """With the status of what is wrong, and writes nothing; the word without the change is good."""
    model = CNetwork(CONFIG)
    assert model(unit, GOOD[unit])["status"].tolist() == [OK]
    words = dict(GOOD[unit])
    for name, value in changes.items():
        words[name] = np.full_like(words[name], value, dtype=np.int64)
    got = model(unit, words)
    assert got.pop("status").tolist() == [STATUS[status]]
    assert {int(each[0]) for each in got.values()} == {UNTOUCHED}


_SCALE, _AFFINE = numbers(m=[3], n=[0]), numbers(gain=[3], offset=[0], shift=[0])
#: A word of each unit that is legal.
GOOD: dict[str, Words] = {
    "image_requantizer": _AFFINE | numbers(pixel=[7]),
    "linear_accumulator": numbers(row=2, outputs=1, zx=3, is_outer=0)
    | numbers(x=[[1, 2]], w=[[3, -4]], bias=[5]),
    "linear_requantizer": _SCALE | numbers(zero=[1], y_bits=[4], acc=[1]),
    "residual_adder": _SCALE | numbers(acc=[1], x=[2]),
    "norm_sums": numbers(row=2, eps=1, x=[[1, 2]]),
    "reciprocal_root": numbers(variance=[5]),
    "normalizer": numbers(channels=[2], x=[1], sum=[3], root_shift=[0], reciprocal=[40000]),
    "norm_requantizer": _AFFINE | numbers(y_bits=[4], z=[1]),
    "stream_norm": _AFFINE | numbers(z=[1]),
    "activation_input": _SCALE | numbers(acc=[1]),
    "activation": numbers(u=[1], table=[7] * 1024),
    "gate": numbers(u=[1], table=[7] * 1024),
    "gate_code": _SCALE | numbers(zero=[1], y_bits=[4], gate=[1], x=[2]),
    "mean_term": _AFFINE | numbers(z=[1]),
    "mean_sum": numbers(row=2, stride=1, term=[[1], [2]]),
    "mean_code": _SCALE | numbers(y_bits=[4], total=[1]),
    "stream_mean": _SCALE | numbers(total=[1]),
    "head": _SCALE | numbers(acc=[1], before=[0]),
    "prediction": numbers(row=2, logit=[[1, 2]]),
}


@requirement("BL2-ACT-02")
def test_c_model_network_refuses_an_entry_that_is_no_code():
    words = numbers(u=[0], table=[4] * 16)
    assert CNetwork(NARROW)("activation", words)["status"].tolist() == [OK]
    words = numbers(u=[0], table=[8] * 16)
    assert CNetwork(NARROW)("activation", words)["status"].tolist() == [STATUS["BAD_CODE"]]


class Scale(ctypes.Structure):
    _fields_ = (("m", ctypes.c_int32), ("n", ctypes.c_int32))


@requirement("BL2-HEAD-02")
@EACH_CONFIG
def test_c_model_network_refuses_the_heads_that_the_simulator_refuses(config: NetworkConfig):
    rng, model, refused = np.random.default_rng(752), CNetwork(config), 0
    model.lib.bl2_check_head.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_size_t, ctypes.c_int32]
    for _ in range(300):
        m, n = int(rng.integers(1, 1 << config.m_bits)), int(rng.integers(config.max_n + 1))
        inputs = int(rng.integers(1, config.max_inputs + 1))
        bias = int(rng.integers(1 - (1 << (config.bias_bits - 1)), 1 << (config.bias_bits - 1)))
        status = model.lib.bl2_check_head(
            ctypes.byref(model.network), ctypes.byref(Scale(m, n)), inputs, bias
        )
        try:
            HeadParams((m,), (n,)).check_logits(config, inputs, ProductParams(0, (bias,)))
        except ValueError:
            refused += 1
            assert status == STATUS["LOGIT_TOO_LARGE"]
        else:
            assert status == OK
    assert (config is NARROW) == (refused == 0)
    scale = ctypes.byref(Scale(1, 0))
    network = ctypes.byref(model.network)
    for inputs, bias, name in ((0, 0, "INPUTS"), (1, -(1 << 31), "LINEAR_BIAS")):
        found = model.lib.bl2_check_head(network, scale, inputs, bias)
        assert found == STATUS[f"BAD_{name}"]


@pytest.mark.parametrize("unit", list(HELD))
def test_c_model_network_refuses_null_pointers(unit: str):
    """All of them at once."""
    function = getattr(network_library(), f"bl2_{unit}")
    assert function(*[ctypes.c_void_p(None)] * 10) == STATUS["NULL_POINTER"]
