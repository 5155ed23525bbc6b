"""The torch network: every register equals the simulator's; its parts; its mutants do not."""

import copy
import types
from dataclasses import replace
from functools import cache, reduce
from pathlib import Path

import numpy as np
import pytest
import torch
from mutants import Mutant, mutants_of
from support.programs import PROGRAMS, images
from support.quick import one_in

from bitlog2.models.network import network
from bitlog2.models.network.network import IntegerNetwork
from bitlog2.models.network.watermarks import network_marks
from bitlog2.models.watch.registers import NETWORK
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.datapath import NETWORK_REGISTERS
from bitlog2.sim.network.parameters import MeanParams, NormParams, ProductParams
from bitlog2.sim.network.program import CodeLinear, Linear
from bitlog2.sim.network.simulator import infer

requirement = pytest.mark.requirement


def on_tensors(pixels):
    return torch.from_numpy(pixels.astype(np.int32))


class Registers(dict):
    """What an observer was handed, by part, unit and register, in this order."""

    def __call__(self, part, unit, registers):
        self.update({(part, unit, name): np.asarray(each) for name, each in registers.items()})


def amplified(program):
    """The program with larger factors, so that pixels' codes, means and streams saturate."""
    first, last = program.embedding, program.head
    image = replace(first.image, image_shift=tuple(n - 2 for n in first.image.image_shift))
    shift = tuple(n - 5 for n in first.linear.params.residual_shift)
    linear = replace(first.linear, params=replace(first.linear.params, residual_shift=shift))
    if isinstance(last.mean, MeanParams):
        shift = tuple(n - 9 for n in last.mean.mean_shift)
        offset = tuple(h * (-1) ** place for place, h in enumerate(last.mean.mean_offset))
        last = replace(last, mean=replace(last.mean, mean_shift=shift, mean_offset=offset))
    steps = (replace(first, image=image, linear=linear), *program.blocks, last)
    return replace(program, steps=steps)


#: Multipliers so wide that a float64 does not hold every product.
WIDE = {"m_bits": 24}


@cache
def simulated(name, scheme, bits, wide=False):
    """A program, pixels of three images, and the simulator's registers."""
    program = PROGRAMS[name](scheme=scheme, bits=bits, **(WIDE if wide else {}))
    if bits == 8:
        program = amplified(program)
    pixels, seen = images(program, 3), Registers()
    logits = infer(program, pixels, trace=seen, threads=1).logits
    return program, pixels, logits, seen


def differing(a, b):
    """Registers that two do not share, or of which a value differs."""
    if list(a) != list(b):
        return sorted(set(a) ^ set(b)) or ["the order of the registers"]
    return [key for key in a if not np.array_equal(a[key], b[key])]


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("scheme", ["RowMax_16", "BitLog2_Half_17", "BitLog2_Single_16"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_network_torch_every_register_equals_the_simulator(name, scheme, bits):
    program, pixels, logits, expected = simulated(name, scheme, bits)
    found = Registers()
    with torch.inference_mode():
        output = IntegerNetwork(program, found)(on_tensors(pixels))
    assert differing(expected, found) == []
    assert output.dtype == torch.int32
    assert np.array_equal(output.numpy(), logits)


@pytest.mark.parametrize("name", PROGRAMS)
def test_network_torch_every_register_of_wide_multipliers_equals_the_simulator(name):
    program, pixels, logits, expected = simulated(name, "BitLog2_Half_17", 8, wide=True)
    assert network.kind_of(program.network) == torch.int64
    found = Registers()
    with torch.inference_mode():
        output = IntegerNetwork(program, found)(on_tensors(pixels))
    assert differing(expected, found) == []
    assert np.array_equal(output.numpy(), logits)


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("name", PROGRAMS)
def test_network_torch_logits_depend_on_no_batch(name, at_once):
    program, pixels, logits, _ = simulated(name, "RowMax_16", 4)
    model = IntegerNetwork(program)
    one_by_one = [model(on_tensors(pixels[i : i + 1])).numpy() for i in range(len(pixels))]
    assert np.array_equal(np.concatenate(one_by_one), logits)
    model.images = at_once
    assert np.array_equal(model(on_tensors(pixels)).numpy(), logits)


def test_network_torch_hook_of_a_part_gets_all_images():
    program, pixels, logits, _ = simulated("vit", "RowMax_16", 4)
    model, seen = IntegerNetwork(program), []
    model.images = 1
    handle = model.steps[1].register_forward_hook(lambda *call: seen.append(len(call[2])))
    assert np.array_equal(model(on_tensors(pixels)).numpy(), logits)
    handle.remove()
    model(on_tensors(pixels))
    assert seen == [len(pixels)]


def test_network_torch_logits_depend_on_no_threads():
    program, pixels, logits, _ = simulated("swin", "RowMax_16", 4)
    model, before = IntegerNetwork(program), torch.get_num_threads()
    try:
        for threads, images in ((1, 9), (2, 9), (3, 9), (2, 1)):
            torch.set_num_threads(threads)
            model.images = images
            assert np.array_equal(model(on_tensors(pixels)).numpy(), logits)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def unlimited(program, seen):
    """Codes of linear layers and norms before their limits, and the tops of these, by register."""
    for (part, _, name), values in seen.items():
        step, *place = part.split(".")[1:]
        if not place or place[0] not in ("q", "k", "v", "norm") or name not in ("linear_acc", "z"):
            continue
        owner = reduce(getattr, place, program.steps[int(step)])
        if isinstance(owner, CodeLinear):
            made = owner.params
            given = made.linear_multiplier, made.linear_shift, 0
            yield "linear_code", made.y_bits, by_hand(values, *given) + made.linear_zero
        elif isinstance(owner, NormParams):
            given = owner.gain, owner.gain_shift, owner.offset
            yield "norm_code", owner.y_bits, by_hand(values, *given)


def by_hand(x, m, n, h):
    """RND(x * M + H >> n), a channel each."""
    m, n, h = (np.array(each, np.int64) for each in (m, n, h))
    return x.astype(np.int64) * m + h + (1 << n >> 1) >> n


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", PROGRAMS)
def test_network_torch_watermarks_are_the_ranges_of_every_register(name, bits):
    """And count what is limited: as the simulator's registers say, and its count of the stream."""
    program, pixels, logits, seen = simulated(name, "RowMax_16", bits)
    model, layers = IntegerNetwork(program), {}
    with torch.inference_mode(), network_marks(model, layers):
        assert np.array_equal(model(on_tensors(pixels)).numpy(), logits)
    assert model.observe is None is model.limit
    marks = layers.pop(NETWORK)
    held = {register for *_, register in seen if register in NETWORK_REGISTERS}
    assert (layers, set(marks)) == ({}, held)
    for register, mark in marks.items():
        values = [each for (*_, name), each in seen.items() if name == register]
        ends = min(each.min() for each in values), max(each.max() for each in values)
        assert (mark.smallest, mark.largest) == ends, register
        assert mark.values == sum(each.size for each in values), register
    over = dict.fromkeys(("linear_code", "norm_code"), 0)
    for register, width, y in unlimited(program, seen):
        over[register] += int(((y < 0) | (y >> width > 0)).sum())
    assert {register: marks[register].saturated for register in over} == over
    assert sum(over.values()) > 0
    stream = infer(program, pixels, threads=1).saturated
    assert marks["residual"].saturated == sum(stream.values())
    assert (sum(stream.values()) > 0) == (bits == 8)


def test_network_torch_comparison_sees_a_planted_error():
    *_, expected = simulated("vit", "RowMax_16", 4)
    found = Registers(expected)
    key = ("steps.2.fc1", "activation", "u")
    found[key] = found[key].copy()
    found[key].flat[-1] ^= 1
    assert differing(expected, found) == [key]


def roots_are_wrong(module):
    """Whether a root differs at a square or one of its neighbours."""
    roots = np.concatenate([np.arange(1, 70000), (1 << np.arange(1, 24)) - 1, 1 << np.arange(24)])
    return any(
        module.integer_root(torch.from_numpy(roots * roots + offset)).tolist()
        != (roots - (offset < 0)).tolist()
        for offset in (-1, 0, 1)
    )


def leading_ones_are_wrong(module):
    """Whether the leading one of a power or one of its neighbours differs."""
    powers = [(1 << bit) + offset for bit in range(2, 62) for offset in (-1, 0, 1)]
    found = module.leading_one(torch.tensor(powers)).tolist()
    return found != [power.bit_length() - 1 for power in powers]


def kinds_are_wrong(module):
    """Whether products are float64 where this does not hold them, or int64 where it does."""
    fields = [{"m_bits": bits} for bits in (16, 23, 24)]
    fields += [{"max_n": 42}, {"max_n": 43}, {"max_n": 44, "u_bits": 4}, {"max_n": 45, "u_bits": 4}]
    kinds = [module.kind_of(NetworkConfig(**each)) for each in fields]
    float64, int64 = torch.float64, torch.int64
    return kinds != [float64, float64, int64, float64, int64, float64, int64]


def scaled_corners_are_wrong(module):
    """Whether RND(x * M + H >> n) differs at ties, ends, and the largest products of float64."""
    largest = (1 << 52) - (1 << 24)
    cases = [
        (x, m, n, h)
        for m in (1, 3, (1 << 16) - 1, (1 << 22) - 1)
        for n in (0, 1, 2, 36, 48)
        for h in (0, 1, -1, (1 << n) >> 1, -((1 << n) >> 1))
        for x in (0, 1, -1, 2, -3, largest // m, -(largest // m), (1 << 29) - 1, 1 - (1 << 29))
    ]
    expected = [x * m + h + ((1 << n) >> 1) >> n for x, m, n, h in cases]
    x, m, n, h = torch.tensor(cases).unbind(1)
    return any(
        module.scaled(x.to(kind, copy=True), *module.factors(m, n, h, kind)).tolist() != expected
        for kind in (torch.float64, torch.int64)
    )


def long_sums_are_wrong(module):
    """Whether an odd sum of 8191 largest products differs: float32 would round it."""
    weights = np.array([[0], [255]], np.int16).repeat(8191, axis=1)
    linear = Linear(weights, ProductParams(0, (0, 0)))
    codes = torch.full((1, 8191), 255, dtype=torch.uint8)
    return any(
        module.Product(linear, largest)(codes, module.Part("linear", None, frozenset())).tolist()
        != [[0, 8191 * 255 * 255]]
        for largest in (
            module.inner(NetworkConfig(a_bits=8, w_bits=8)),
            module.outer(NetworkConfig()),
        )
    )


def large_constants_are_wrong(module):
    """Whether a sum differs whose constant is beyond float32, or just not, beside a small one."""
    codes = torch.ones(1, 1, dtype=torch.uint8)
    for bias in ((1 << 24, 0), ((1 << 24) - 2, 0)):
        linear = Linear(np.ones((2, 1), np.int16), ProductParams(0, bias))
        product = module.Product(linear, module.inner(NetworkConfig()))
        found = product(codes, module.Part("linear", None, frozenset()))
        if found.tolist() != [[each + 1 for each in bias]]:
            return True
    return False


def limited_values_are_wrong(module):
    """Whether a limit is shown more than the integer of each value, below its lowest as it is."""
    shown = []
    part = module.Part("norm", None, frozenset(), lambda *given: shown.append(given[2].tolist()))
    codes = part.coded("norm_code", torch.tensor([-0.5, 0, 15, 15.9, 16]).double(), 15)
    places = part.places("u", torch.tensor([-1.5, 0, 3, 7, 8.1]).double(), -4, 3)
    held = codes.tolist(), places.tolist()
    return shown != [[-1, 0, 15, 15, 16], [-6, -4, -1, 3, 4]] or held != (
        [0, 0, 15, 15, 15],
        [0, 0, 3, 7, 7],
    )


@requirement("BL2-ROOT-01", "BL2-ROOT-02")
def test_network_torch_roots_and_leading_ones():
    assert not roots_are_wrong(network)
    assert not leading_ones_are_wrong(network)


def test_network_torch_products_are_float64_where_it_holds_them():
    assert not kinds_are_wrong(network)
    assert not scaled_corners_are_wrong(network)


@requirement("BL2-LINEAR-01")
def test_network_torch_sums_beyond_float32_are_exact():
    assert not long_sums_are_wrong(network)
    assert not large_constants_are_wrong(network)


def test_network_torch_limits_are_shown_integers():
    assert not limited_values_are_wrong(network)


def test_network_torch_weights_that_change_are_packed_anew():
    program, pixels, logits, _ = simulated("vit", "RowMax_16", 4)
    model = IntegerNetwork(program)
    assert np.array_equal(model(on_tensors(pixels)).numpy(), logits)
    weights = model.steps[1].q.product.weights
    weights.neg_()
    assert not np.array_equal(model(on_tensors(pixels)).numpy(), logits)
    weights.neg_()
    for each in (model, copy.deepcopy(model)):
        assert np.array_equal(each(on_tensors(pixels)).numpy(), logits)


# -- Mutants ---------------------------------------------------------------------------------------

#: These choose how many images go at once, which changes no bit.
MUTANTS = mutants_of(Path(network.__file__), {"largest_values", "in_parts", "on_this_thread"})
#: Mutants that compute the same bits on all legal input, and why.
_WIDER = "a larger bound takes a wider type, which is exact too"
_AT_ONCE = "another number of images at once"
_FORM = "another form of the same exact product"
EQUIVALENT = {
    "network/network.py:__init__: max(1, _CACHED // largest_values(program)) -> "
    "min(1, _CACHED // largest_values(program))": _AT_ONCE,
    "network/network.py:__init__: _CACHED // largest_values(program) -> "
    "_CACHED * largest_values(program)": _AT_ONCE,
    "network/network.py:forward: pixels.device.type != 'cpu' -> pixels.device.type == 'cpu'": (
        _AT_ONCE
    ),
    "network/network.py:forward: codes.device.type == 'cpu' -> codes.device.type != 'cpu'": _FORM,
    "network/network.py:rescaled: multiplier.dim() <= 1 -> multiplier.dim() < 1": _FORM,
    "network/network.py:__init__: largest[1] <= np.iinfo(np.int8).max -> "
    "largest[1] < np.iinfo(np.int8).max": "a wider type of the weights",
    "network/network.py:__init__: each.bound > largest -> each.bound >= largest": (
        "the wider type holds the largest of the narrower one, too"
    ),
} | {
    f"network/network.py:{change}": _WIDER
    for change in (
        "inner: (1 << config.a_bits) - 1 -> (1 << config.a_bits) + 1",
        "inner: (1 << config.w_bits) - 1 -> (1 << config.w_bits) + 1",
        "outer: (1 << config.code_bits) - 1 -> (1 << config.code_bits) + 1",
        "outer: (1 << config.weight_bits) - 1 -> (1 << config.weight_bits) + 1",
    )
}


def noticed(mutant: Mutant) -> bool:
    """Whether a copy of the module with the mutant differs in a register, or fails."""
    other = types.ModuleType(f"{network.__package__}.mutant")
    try:
        exec(compile(mutant.source, str(mutant), "exec"), other.__dict__)
        wrong = (
            roots_are_wrong, leading_ones_are_wrong, long_sums_are_wrong, kinds_are_wrong,
            scaled_corners_are_wrong, large_constants_are_wrong, limited_values_are_wrong,
        )  # fmt: skip
        if any(differs(other) for differs in wrong):
            return True
        for scheme, bits in (("RowMax_16", 4), ("BitLog2_Half_17", 8)):
            for name in PROGRAMS:
                program, pixels, logits, expected = simulated(name, scheme, bits)
                found = Registers()
                with torch.inference_mode():
                    output = other.IntegerNetwork(program, found)(on_tensors(pixels)).numpy()
                if differing(expected, found) or not np.array_equal(output, logits):
                    return True
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, AttributeError):
        return True
    return False


def test_network_torch_unmutated_copy_is_not_noticed():
    path = Path(network.__file__)
    assert not noticed(Mutant(path, "", 0, "unmutated", path.read_text))


@pytest.mark.parametrize("mutant", one_in(4, MUTANTS, list(map(str, MUTANTS))))
def test_network_torch_mutant_is_noticed(mutant):
    assert noticed(mutant) or mutant.change in EQUIVALENT


def test_network_torch_list_of_equivalent_mutants_is_of_mutants_that_there_are():
    assert set(EQUIVALENT) <= {mutant.change for mutant in MUTANTS}
