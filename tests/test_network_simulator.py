"""The simulator of a network against the specification: every register of every unit."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.programs import PROGRAMS, Maker, averaged, images, swin, vit
from test_jit import run_script

from bitlog2.sim.network import NETWORK
from bitlog2.sim.network.datapath import NETWORK_PORTS
from bitlog2.sim.network.digest import logits_digest
from bitlog2.sim.network.parameters import NormParams, ProductParams, ResidualParams
from bitlog2.sim.network.program import NormedLinear, ResidualLinear, Windows
from bitlog2.sim.network.simulator import infer
from bitlog2.sim.network.walk import Walk, walk

requirement = pytest.mark.requirement


class Registers(dict):
    """What a trace was handed, by part, unit and register, in this order."""

    def __call__(self, part, unit, registers):
        for name, values in registers.items():
            assert (part, unit, name) not in self
            self[part, unit, name] = values


def specified(program, pixels):
    """The logits of some images in the specification, and the registers of each."""
    traces = [Registers() for _ in pixels]
    each = zip(pixels.tolist(), traces, strict=True)
    logits = [walk(image, program, trace) for image, trace in each]
    return np.array(logits), traces


def differences(found, traces):
    """Registers that are not the specification's, or that only one of the two has."""
    wrong = []
    for trace in traces[:1]:
        assert list(found) == list(trace)
    for key, values in found.items():
        expected = np.stack([trace[key] for trace in traces])
        if values.shape != expected.shape or not (values == expected).all():
            wrong.append(key)
    return wrong


@pytest.mark.parametrize("scheme", ["RowMax_16", "BitLog2_Half_17"])
@pytest.mark.parametrize("name", PROGRAMS)
@requirement("BL2-PROG-02", "BL2-PROG-03", "BL2-PROG-04", "BL2-PROG-05")
def test_simulator_registers_equal_the_specification(name, scheme):
    program = PROGRAMS[name](scheme=scheme)
    pixels = images(program, 3)
    logits, traces = specified(program, pixels)
    found = Registers()
    inference = infer(program, pixels, trace=found)
    assert differences(found, traces) == []
    assert (inference.logits == logits).all()
    assert inference.logits.dtype == np.int32
    assert (infer(program, pixels).logits == logits).all()


@pytest.mark.parametrize("name", PROGRAMS)
def test_simulator_of_8_bit_codes_equals_the_specification(name):
    program = PROGRAMS[name](bits=8)
    pixels = images(program, 2)
    logits, traces = specified(program, pixels)
    found = Registers()
    assert (infer(program, pixels, trace=found).logits == logits).all()
    assert differences(found, traces) == []


def test_simulator_comparison_sees_a_planted_error():
    program = vit()
    pixels = images(program, 2)
    _, traces = specified(program, pixels)
    found = Registers()
    infer(program, pixels, trace=found)
    key = "steps.2.fc1", "activation", "u"
    found[key] = found[key].copy()
    found[key][1, 2, 3] ^= 1
    assert differences(found, traces) == [key]


@pytest.mark.parametrize("name", PROGRAMS)
def test_simulator_programs_use_the_range_of_their_codes(name):
    """A comparison of constants would show nothing: codes of many values, few at their ends."""
    program, found = PROGRAMS[name](), Registers()
    infer(program, images(program, 4), trace=found)
    for (part, _, register), values in found.items():
        coded = register.endswith("_code") and register != "mean_code"
        if coded or register in ("o", "u", "gate"):
            seen, counts = np.unique(values, return_counts=True)
            assert len(seen) >= 8, (part, register)
            assert counts.max() < 0.6 * values.size, (part, register)
        elif register in ("residual", "logit", "mean_code", "stream_mean", "stream_norm"):
            assert len(np.unique(values)) >= 4, (part, register)


def test_simulator_traces_every_register_of_every_unit():
    """Those with a dtype; the two forms of units 28 and 30 in one program or another."""
    seen = set()
    for make in PROGRAMS.values():
        found, program = Registers(), make()
        infer(program, images(program, 1), trace=found)
        seen |= {(unit, name) for _, unit, name in found if unit != "attention_row"}
        for (_, unit, name), values in found.items():
            if unit != "attention_row":
                assert values.dtype.name == NETWORK_PORTS[name].dtype, name
    declared = {
        (unit.name, port.name)
        for unit in NETWORK.values()
        for port in unit.declares
        if port.dtype is not None
    }
    assert seen == declared


@pytest.mark.parametrize("name", PROGRAMS)
@requirement("BL2-PROG-07")
def test_simulator_digest_does_not_depend_on_batch_and_threads(name):
    program = PROGRAMS[name]()
    pixels = images(program, 5)
    whole = infer(program, pixels, threads=1).logits
    assert (infer(program, pixels, threads=3).logits == whole).all()
    parts = [infer(program, pixels[part]).logits for part in (slice(2), slice(2, 5))]
    assert logits_digest(np.concatenate(parts)) == logits_digest(whole)
    assert logits_digest(whole[::-1]) != logits_digest(whole)


@requirement("BL2-PROG-07")
def test_simulator_digest_is_of_little_endian_bytes():
    """`printf '\\1\\0\\0\\0\\xfe\\xff\\xff\\xff' | sha256sum`."""
    digest = "b5f56b64f014154a5433fcb074019bb39a5bc74b2004cb4670565d57b5af23b6"
    assert logits_digest(np.array([[1, -2]], np.int32)) == digest
    assert logits_digest(np.array([[1, -2]], ">i4")) == digest


@requirement("BL2-RESID-02")
def test_simulator_counts_saturations_as_the_specification():
    """A stream of 8 bits."""
    program = vit(stream_bits=8)
    pixels = images(program, 2)
    found = infer(program, pixels)
    counted = {}
    for image in pixels.tolist():
        steps = Walk(program.network, program.attention)
        x = steps.embedding(image, program.embedding)
        for place, step in enumerate(program.blocks, 1):
            x = steps.block(f"steps.{place}", step, x)
        counted = {part: counted.get(part, 0) + n for part, n in steps.saturated.items()}
    assert found.saturated == counted
    assert sum(counted.values()) > 50


@requirement("BL2-PROG-03")
def test_windows_of_a_turned_grid_worked_by_hand():
    """A grid of 2 by 4, windows of 2 by 2, turned by one column: 1 2 5 6 and 3 0 7 4."""
    m = Maker(5, 4, "RowMax_16")
    step = m.attends(4, 1, Windows(2, 4, 2, 2, 0, 1))
    found = Registers()
    x = m.integers(-500, 500, (8, 4)).tolist()
    Walk(m.network, m.attention, found).attention("a", step, x)
    alone = Registers()
    token = [x[t] for t in (3, 0, 7, 4)]
    free = m.attends(4, 1)
    free = type(step)(step.norm, step.q, step.k, step.v, 1, step.params, step.proj)
    Walk(m.network, m.attention, alone).attention("a", free, token)
    key = "a.attention", "attention_row"
    for name in ("score", "t", "level", "acc", "o"):
        assert (found[(*key, name)][1] == alone[(*key, name)][0]).all(), name
    o = found[(*key, "o")].reshape(2, 4, 4)
    assert (found["a.q", "linear_requantizer", "linear_code"].shape) == (8, 4)
    assert o.shape == (2, 4, 4)


@requirement("BL2-PROG-04")
def test_merging_worked_by_hand():
    """Tokens 0 to 7 of a grid of 2 by 4: 0 4 1 5 side by side, then 2 6 3 7."""
    m = Maker(6, 4, "RowMax_16")
    step, found = m.merging(2, 4, 1, 3), Registers()
    x = [[value] for value in (10, 20, 30, 40, 50, 60, 70, 80)]
    Walk(m.network, m.attention, found).merging("m", step, x)
    distance = found["m.norm", "normalizer", "centred"]
    tokens = np.array([[10, 50, 20, 60], [30, 70, 40, 80]])
    assert (distance == 4 * tokens - tokens.sum(axis=1, keepdims=True)).all()


@requirement("BL2-PROG-08")
def test_normed_q_worked_by_hand():
    """Of SPEC.md: two heads of two channels, and the accumulators 40 -24 8 8."""
    m = Maker(6, 4, "RowMax_16")
    one = {"residual_multiplier": (32768,) * 4, "residual_shift": (17,) * 4}
    weights = np.array([[8, 0], [-4, -1], [0, 2], [0, 2]], np.int8)
    linear = ResidualLinear(weights, ProductParams(7, (0,) * 4), ResidualParams(**one))
    norm = NormParams(1, (32768,) * 2, (58720256,) * 2, (23,) * 2, 4)
    found = Registers()
    walk = Walk(m.network, m.attention, found)
    assert walk.projected("q", NormedLinear(linear, norm), 2, [[12, 11]]) == [[11, 3, 7, 7]]
    shown = {name: values.tolist() for (_, _, name), values in found.items()}
    assert shown["linear_acc"] == [[40, -24, 8, 8]]
    assert shown["residual"] == [[10, -6, 2, 2]]
    assert (shown["stream_sum"], shown["square_sum"]) == ([4, 4], [136, 8])
    assert (shown["variance"], shown["root"][0], shown["reciprocal"][0]) == ([257, 1], 32831, 65410)
    assert shown["z"] == [[1022, -1022], [0, 0]]


@requirement("BL2-PROG-08")
def test_normed_q_of_a_head_does_not_depend_on_the_others():
    m = Maker(6, 4, "RowMax_16")
    made = m.normed(m.attends(8, 2)).q
    codes = m.integers(0, 15, (3, 8)).tolist()
    found = Walk(m.network, m.attention).projected("q", made, 2, codes)
    rows = slice(4, 8)
    part = {name: getattr(made.linear.params, name)[rows] for name in ResidualParams.largest}
    product = replace(made.linear.product, linear_bias=made.linear.product.linear_bias[rows])
    alone = ResidualLinear(made.linear.weights[rows], product, ResidualParams(**part))
    second = Walk(m.network, m.attention).projected("q", NormedLinear(alone, made.norm), 1, codes)
    assert [row[4:] for row in found] == second


@requirement("BL2-PROG-05")
def test_head_means_leave_the_first_tokens_out():
    """A mean of the stream of 16 patches: the prefix of one token has no part."""
    program = averaged()
    found = Registers()
    infer(program, images(program, 1), trace=found)
    x = found["steps.2.proj", "residual_adder", "residual"]
    total = found["steps.3.mean", "token_mean", "mean_sum"]
    assert (total[0, 0] == x[0, 1:].sum(axis=0)).all()
    assert (total[0, 0] != x[0].sum(axis=0)).any()


def test_simulator_refuses_pixels_that_are_none():
    program = swin()
    pixels = images(program, 2)
    for wrong, kind, message in (
        (pixels.astype(np.int64), TypeError, "^pixels must be uint8 or uint16, got int64"),
        (pixels[0], ValueError, r"^pixels must have shape \(images, 2, 8, 8\), got \(2, 8, 8\)"),
        (pixels[:, :1], ValueError, r"^pixels must have shape .*, got \(2, 1, 8, 8\)"),
        (pixels[:0], ValueError, r"^pixels must have shape .*, got \(0, 2, 8, 8\)"),
        (pixels.astype(np.uint16) + 1, ValueError, "^pixels must be from 0 to 255, got 256"),
    ):
        with pytest.raises(kind, match=message):
            infer(program, wrong)


JIT_OFF = """
import json, sys
sys.path.insert(0, {tests!r})
from support.programs import PROGRAMS, images
from bitlog2.sim.network.simulator import infer
programs = [make() for make in PROGRAMS.values()]
print(json.dumps([infer(each, images(each, 1)).logits.tolist() for each in programs]))
"""


def test_simulator_without_the_compiler_gives_the_same_bits():
    """As plain Python; any warning, an overflow say, is an error."""
    script = JIT_OFF.format(tests=__file__.rpartition("/")[0])
    found = json.loads(run_script(script, None, "-W", "error", NUMBA_DISABLE_JIT="1")[-1])
    programs = [make() for make in PROGRAMS.values()]
    assert found == [infer(each, images(each, 1)).logits.tolist() for each in programs]
