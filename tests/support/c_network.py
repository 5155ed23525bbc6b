"""The network's units of the C model on arrays of words: called in C, specified, and drawn."""

import ctypes
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bitlog2.sim.network import NetworkConfig, spec
from bitlog2.sim.network.units import (
    activation,
    gate,
    head,
    image_requantizer,
    linear_accumulator,
    linear_requantizer,
    norm_requantizer,
    norm_sums,
    normalizer,
    reciprocal_root,
    residual_adder,
    token_mean,
)
from support.c_model import OK, SOURCE, build_library
from support.cases import corners

Words = dict[str, np.ndarray]
CONFIG = NetworkConfig()
#: Small registers, in which everything saturates; the widest that this datapath takes.
NARROW = NetworkConfig(
    **{"stream_bits": 8, "root_bits": 4, "z_fraction_bits": 4, "u_bits": 4, "mean_bits": 8},
    **{"m_bits": 4, "max_n": 6, "gain_bits": 4, "max_gain_shift": 7, "offset_bits": 12},
    **{"a_bits": 2, "w_bits": 3, "outer_bits": 3, "eps_bits": 1, "bias_bits": 8, "pixel_bits": 1},
    **{"max_channels": 3, "max_inputs": 5, "max_tokens": 4},
)
WIDE = NetworkConfig(
    **{"stream_bits": 20, "root_bits": 24, "z_fraction_bits": 16, "u_bits": 12, "mean_bits": 24},
    **{"m_bits": 24, "max_n": 48, "gain_bits": 24, "max_gain_shift": 48, "offset_bits": 52},
    **{"a_bits": 8, "w_bits": 8, "eps_bits": 48, "bias_bits": 31, "pixel_bits": 16},
    **{"max_channels": 2048, "max_inputs": 16384, "max_tokens": 4096},
)
CONFIGS = {"default": CONFIG, "narrow": NARROW, "wide": WIDE}

_TYPES = {
    "uint8_t": np.uint8,
    "int16_t": np.int16,
    "int32_t": np.int32,
    "uint32_t": np.uint32,
    "int64_t": np.int64,
    "uint64_t": np.uint64,
    "size_t": np.uint64,
}
_SCALE = "int32_t m, int32_t n", "const bl2_scale loaded = {m[i], n[i]};"
_AFFINE = (
    "int32_t gain, int64_t offset, int32_t shift",
    "const bl2_affine loaded = {gain[i], offset[i], shift[i]};",
)
_ALONE = "", ""


class Loop(NamedTuple):
    """A loop in C over the words of a unit: what it takes and gives, and a status per word."""

    takes: str
    gives: str
    body: str

    @property
    def inputs(self) -> dict[str, Any]:
        """The dtype of each array that it reads."""
        return _dtypes(self.takes)

    @property
    def outputs(self) -> dict[str, Any]:
        """The dtype of each array that it writes, `status` the last."""
        return _dtypes(f"{self.gives}, int32_t status")

    def source(self, number: int) -> str:
        """The loop as a function of pointers to its arrays, in order."""
        arrays = [
            each.split() for each in f"{self.takes}, {self.gives}, int32_t status".split(", ")
        ]
        lines = [f"    {kind} *{name} = p[{i}];" for i, (kind, name) in enumerate(arrays)]
        lines += ["    for (size_t i = 0; i < count; i++) {", f"        {self.body}", "    }"]
        begin = f"void loop_{number}(const bl2_network *network, size_t count, void *const *p)"
        return "\n".join([begin, "{", *lines, "}", ""])


def _dtypes(names: str) -> dict[str, Any]:
    pairs = (each.split() for each in names.split(", "))
    return {name: _TYPES[kind] for kind, name in pairs}


def _words(name: str, loads: tuple[str, str], takes: str, gives: str) -> Loop:
    """A unit that takes words and gives words."""
    given = [f"{each.split()[1]}[i]" for each in takes.split(", ")]
    found = [f"&{each.split()[1]}[i]" for each in gives.split(", ")]
    loaded = ["&loaded"] if loads[0] else []
    call = f"status[i] = bl2_{name}({', '.join(['network', *loaded, *given, *found])});"
    return Loop(f"{loads[0]}, {takes}".removeprefix(", "), gives, f"{loads[1]} {call}")


_UNITS = {
    "image_requantizer": (_AFFINE, "uint32_t pixel", "uint8_t code"),
    "linear_requantizer": (_SCALE, "int32_t zero, int32_t y_bits, int32_t acc", "uint8_t code"),
    "residual_adder": (_SCALE, "int32_t acc, int32_t x", "int64_t sum, int32_t residual"),
    "reciprocal_root": (
        _ALONE,
        "uint64_t variance",
        "int32_t root_shift, uint32_t root, uint32_t reciprocal",
    ),
    "normalizer": (
        _ALONE,
        "size_t channels, int32_t x, int64_t sum, int32_t root_shift, uint32_t reciprocal",
        "int64_t centred, int32_t z",
    ),
    "norm_requantizer": (_AFFINE, "int32_t y_bits, int32_t z", "uint8_t code"),
    "stream_norm": (_AFFINE, "int32_t z", "int32_t x"),
    "activation_input": (_SCALE, "int32_t acc", "int32_t u"),
    "gate_code": (
        _SCALE,
        "int32_t zero, int32_t y_bits, int32_t gate, int32_t x",
        "uint8_t code",
    ),
    "mean_term": (_AFFINE, "int32_t z", "int32_t term"),
    "mean_code": (_SCALE, "int32_t y_bits, int64_t total", "uint8_t code"),
    "stream_mean": (_SCALE, "int64_t total", "int32_t mean"),
    "head": (_SCALE, "int32_t acc, int32_t before", "int32_t logit"),
}
#: The loops, by unit; what all words share, such as the length of their rows, is one number.
LOOPS = {name: _words(name, *kind) for name, kind in _UNITS.items()} | {
    "linear_accumulator": Loop(
        "size_t row, size_t outputs, int32_t zx, int32_t is_outer, uint8_t x, int16_t w,"
        " int32_t bias",
        "int32_t acc",
        "const bl2_linear layer = {*row, *zx, *is_outer}; status[i] = bl2_linear_accumulator("
        "network, &layer, x + i / *outputs * *row, w + i % *outputs * *row, bias[i % *outputs],"
        " &acc[i]);",
    ),
    "norm_sums": Loop(
        "size_t row, uint64_t eps, int32_t x",
        "int64_t sum, uint64_t squares, uint64_t variance",
        "status[i] = bl2_norm_sums(network, *row, x + i * *row, *eps, &sum[i], &squares[i],"
        " &variance[i]);",
    ),
    "activation": Loop(
        "int32_t u, uint8_t table",
        "uint8_t code",
        "status[i] = bl2_activation(network, table, u[i], &code[i]);",
    ),
    "gate": Loop(
        "int32_t u, int16_t table",
        "int32_t gate",
        "status[i] = bl2_gate(network, table, u[i], &gate[i]);",
    ),
    "mean_sum": Loop(
        "size_t row, size_t stride, int32_t term",
        "int64_t total",
        "status[i] = bl2_mean_sum(network, *row, term + i, *stride, &total[i]);",
    ),
    "prediction": Loop(
        "size_t row, int32_t logit",
        "size_t prediction",
        "(void)network; status[i] = bl2_prediction(*row, logit + i * *row, &prediction[i]);",
    ),
}
LOOP_SOURCE = "\n".join(loop.source(i) for i, loop in enumerate(LOOPS.values()))

_Config = type(
    "_Config",
    (ctypes.Structure,),
    {"_fields_": [(name, ctypes.c_int32) for name in CONFIG.as_dict()]},
)
_Widths = type(
    "_Widths",
    (ctypes.Structure,),
    {"_fields_": [(name, ctypes.c_int32) for name in CONFIG.registers]},
)


class _Network(ctypes.Structure):
    _fields_ = (
        ("config", _Config),
        ("widths", _Widths),
        *((name, ctypes.c_int64) for name in ("linear_acc", "variance", "z", "mean_sum")),
        ("largest_root_shift", ctypes.c_int32),
    )


#: What stands in an output before a call.
UNTOUCHED = 77


def build_network(folder: Path, source: str | None = None) -> ctypes.CDLL:
    """A text of bitlog2.c, that as it is shipped unless given, with the loops."""
    text = (SOURCE / "bitlog2.c").read_text() if source is None else source
    made = build_library(folder, text + LOOP_SOURCE)
    made.bl2_default_network_config.restype = _Config
    for number in range(len(LOOPS)):
        loop = getattr(made, f"loop_{number}")
        loop.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        loop.restype = None
    return made


@lru_cache(maxsize=1)
def network_library() -> ctypes.CDLL:
    """The library of bitlog2.c as it is shipped."""
    with tempfile.TemporaryDirectory() as folder:
        return build_network(Path(folder))


def init(fields: dict[str, int], lib: Any = None) -> tuple[int, Any]:
    """(status, bl2_network) of a configuration that may be illegal."""
    network, config = _Network(), _Config(**fields)
    status = (lib or network_library()).bl2_network_init(
        ctypes.byref(network), ctypes.byref(config)
    )
    return int(status), network


def filled(unit: str, count: int) -> Words:
    """The outputs of a unit before the call, `status` the last."""
    return {name: np.full(count, UNTOUCHED, kind) for name, kind in LOOPS[unit].outputs.items()}


def given(unit: str, words: Words) -> list[np.ndarray]:
    """The inputs of a unit as C takes them."""
    kinds = LOOPS[unit].inputs.items()
    return [np.ascontiguousarray(words[name], kind) for name, kind in kinds]


def count_of(unit: str, words: Words) -> int:
    """How many words a unit gives of these."""
    if unit == "linear_accumulator":
        return len(words["x"]) * len(words["w"])
    if unit == "mean_sum":
        return words["term"].shape[1]
    row = {"norm_sums": "x", "activation": "u", "gate": "u", "prediction": "logit"}.get(unit)
    return len(words[row or next(iter(LOOPS[unit].inputs))])


class CNetwork:
    """A `bl2_network`, and the units on arrays."""

    def __init__(self, config: NetworkConfig, lib: Any = None):
        self.lib = lib or network_library()
        status, self.network = init(config.as_dict(), self.lib)
        assert status == OK

    def __call__(self, unit: str, words: Words) -> Words:
        """Return the outputs of a unit, `status` the last; a word that is refused is UNTOUCHED."""
        count = count_of(unit, words)
        outputs, inputs = filled(unit, count), given(unit, words)
        arrays = [*inputs, *outputs.values()]
        pointers = (ctypes.c_void_p * len(arrays))(*(each.ctypes.data for each in arrays))
        loop = getattr(self.lib, f"loop_{list(LOOPS).index(unit)}")
        loop(ctypes.byref(self.network), count, pointers)
        return outputs


def difference(unit: str, words: Words, expected: Words, got: Words) -> str | None:
    """The first word that C gives otherwise, or refuses, and how many differ."""
    if got["status"].any():
        return f"{unit}: word {int(got['status'].argmax())} is refused"
    for name, values in expected.items():
        wrong = got[name].astype(np.int64) != np.asarray(values).astype(np.int64)
        if wrong.any():
            place = int(wrong.argmax())
            inputs = {key: int(x[place]) for key, x in words.items() if x.shape == wrong.shape}
            found = f"is {got[name][place]}, not {values[place]}, of {inputs}"
            return f"{unit}: {name} of word {place} {found}; {wrong.sum()} words differ"
    return None


# The same by the specification, a word at a time.


def _each(function: Callable[..., Any], words: Words, *names: str) -> list[Any]:
    return [function(*each) for each in zip(*(words[name].tolist() for name in names), strict=True)]


def _products(c: NetworkConfig, w: Words) -> list[int]:
    zero, weights, bias = int(w["zx"]), w["w"].tolist(), w["bias"].tolist()
    rows = list(zip(weights, bias, strict=True))
    return [spec.linear_accumulator(x, zero, row, b) for x in w["x"].tolist() for row, b in rows]


def _entries(c: NetworkConfig, w: Words) -> list[int]:
    table = w["table"].tolist()
    return [spec.activation(u, table) for u in w["u"].tolist()]


def _residuals(c: NetworkConfig, w: Words) -> list[tuple[int, int]]:
    def both(*each: int) -> tuple[int, int]:
        return spec.residual_sum(*each), spec.residual_adder(*each, c)

    return _each(both, w, "acc", "m", "n", "x")


def _normalized(c: NetworkConfig, w: Words) -> list[tuple[int, int]]:
    def both(x: int, total: int, channels: int, k: int, r: int) -> tuple[int, int]:
        return spec.centred(x, total, channels), spec.normalizer(x, total, channels, k, r, c)

    return _each(both, w, "x", "sum", "channels", "root_shift", "reciprocal")


#: unit: its results of all words, a tuple each where there are several.
_SPECIFIED: dict[str, Callable[[NetworkConfig, Words], list[Any]]] = {
    "image_requantizer": lambda c, w: _each(
        lambda *each: spec.image_requantizer(*each, c), w, "pixel", "gain", "offset", "shift"
    ),
    "linear_accumulator": _products,
    "linear_requantizer": lambda c, w: _each(
        spec.linear_requantizer, w, "acc", "m", "n", "zero", "y_bits"
    ),
    "residual_adder": _residuals,
    "norm_sums": lambda c, w: [spec.norm_sums(x, int(w["eps"])) for x in w["x"].tolist()],
    "reciprocal_root": lambda c, w: _each(lambda v: spec.reciprocal_root(v, c), w, "variance"),
    "normalizer": _normalized,
    "norm_requantizer": lambda c, w: _each(
        spec.norm_requantizer, w, "z", "gain", "offset", "shift", "y_bits"
    ),
    "stream_norm": lambda c, w: _each(
        lambda *each: spec.stream_norm(*each, c), w, "z", "gain", "offset", "shift"
    ),
    "activation_input": lambda c, w: _each(
        lambda *each: spec.activation_input(*each, c), w, "acc", "m", "n"
    ),
    "activation": _entries,
    "gate": _entries,
    "gate_code": lambda c, w: _each(spec.gate_code, w, "gate", "x", "m", "n", "zero", "y_bits"),
    "mean_term": lambda c, w: _each(
        lambda *each: spec.mean_term(*each, c), w, "z", "gain", "offset", "shift"
    ),
    "mean_sum": lambda c, w: [spec.mean_sum(column) for column in w["term"].T.tolist()],
    "mean_code": lambda c, w: _each(spec.mean_code, w, "total", "m", "n", "y_bits"),
    "stream_mean": lambda c, w: _each(
        lambda *each: spec.stream_mean(*each, c), w, "total", "m", "n"
    ),
    "head": lambda c, w: _each(spec.head, w, "acc", "m", "n", "before"),
    "prediction": lambda c, w: [spec.prediction(row) for row in w["logit"].tolist()],
}


def specified(unit: str, config: NetworkConfig, words: Words) -> Words:
    """The outputs of a unit by the specification."""
    found = _SPECIFIED[unit](config, words)
    names = list(LOOPS[unit].outputs)[:-1]
    columns = zip(*found, strict=True) if isinstance(found[0], tuple) else [found]
    return {name: np.array(column) for name, column in zip(names, columns, strict=True)}


# The same by the vector kernels. What a layer has one of is the same within each of PARTS.

PARTS = 10


def _parts(count: int) -> Iterator[slice]:
    size = max(1, -(-count // PARTS))
    return (slice(first, first + size) for first in range(0, count, size))


def _per_channel(words: Words, *names: str) -> list[np.ndarray]:
    return [words[name].astype(np.int64) for name in names]


def _one_row(kernel: Any, words: Words, inputs: str, rest: Sequence[Any], dtype: Any) -> np.ndarray:
    """A kernel on one row of channels, each word a channel with its own parameters."""
    loaded = ("m", "n") if "m" in words else ("gain", "offset", "shift")
    values = words[inputs].astype(np.int32)[None]
    out = np.empty(values.shape, dtype)
    kernel(values, *_per_channel(words, *loaded), *rest, out)
    return out[0]


def _image(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    """Each word a colour of its own."""
    pixel = w["pixel"].astype(np.uint16)[:, None]
    loaded, top = _per_channel(w, "gain", "offset", "shift"), (1 << c.outer_bits) - 1
    code = np.empty(pixel.shape, np.uint8)
    image_requantizer.image_requantizer_kernel(pixel, *loaded, top, code)
    return [code[:, 0]]


def _linear(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    acc = np.empty((len(w["x"]), len(w["w"])), np.int32)
    codes, weights = w["x"].astype(np.uint8), w["w"].astype(np.int16)
    bias = w["bias"].astype(np.int64)
    linear_accumulator.linear_accumulator_kernel(codes, int(w["zx"]), weights, bias, acc)
    return [acc.ravel()]


def _by_parts(
    function: Callable[[Words], np.ndarray], words: Words, count: int
) -> list[np.ndarray]:
    made = [function({name: each[part] for name, each in words.items()}) for part in _parts(count)]
    return [np.concatenate(made)]


def _top(words: Words) -> int:
    return (1 << int(words["y_bits"][0])) - 1


def _linear_codes(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    kernel = linear_requantizer.linear_requantizer_kernel
    return _by_parts(
        lambda part: _one_row(kernel, part, "acc", (int(part["zero"][0]), _top(part)), np.uint8),
        w,
        len(w["acc"]),
    )


def _residual_rows(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    acc, x = (w[name].astype(np.int32)[None] for name in ("acc", "x"))
    loaded = _per_channel(w, "m", "n")
    residual_adder.residual_adder_kernel(acc, *loaded, c.stream_min, c.stream_max, x)
    return [x[0]]


def _sums(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    found = np.empty((3, len(w["x"])), np.int64)
    norm_sums.norm_sums_kernel(w["x"].astype(np.int32), int(w["eps"]), *found)
    return list(found)


def _roots(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    variance = w["variance"].astype(np.int64)
    k, root, r = (np.empty(variance.size, kind) for kind in (np.int8, np.int32, np.int32))
    reciprocal_root.reciprocal_root_kernel(variance, c.root_bits, k, root, r)
    return [k, root, r]


def _tokens(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    channels = int(w["channels"][0])
    x = w["x"].astype(np.int32).reshape(-1, channels)
    total, k, r = (
        w[name].reshape(-1, channels)[:, 0] for name in ("sum", "root_shift", "reciprocal")
    )
    z = np.empty(x.shape, np.int32)
    down = 2 * c.root_bits - 1 - c.z_fraction_bits
    normalizer.normalizer_kernel(
        x, total.astype(np.int64), k.astype(np.int8), r.astype(np.int32), down, z
    )
    return [z.ravel()]


def _norm_codes(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    kernel = norm_requantizer.norm_requantizer_kernel
    return _by_parts(
        lambda part: _one_row(kernel, part, "z", (_top(part),), np.uint8), w, len(w["z"])
    )


def _inputs(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    u, code = np.empty((1, len(w["acc"])), np.int16), np.empty((1, len(w["acc"])), np.uint8)
    table = np.zeros(1 << c.u_bits, np.uint8)
    loaded, acc = _per_channel(w, "m", "n"), w["acc"].astype(np.int32)[None]
    activation.activation_kernel(acc, *loaded, table, u, code)
    return [u[0]]


def _looked_up(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    """Unit 29 whose product is u itself: codes, or gates."""
    size, kind = len(w["u"]), np.uint8 if w["table"].min() >= 0 else np.int16
    u, code = np.empty((1, size), np.int16), np.empty((1, size), kind)
    once, none = np.ones(size, np.int64), np.zeros(size, np.int64)
    acc, table = w["u"].astype(np.int32)[None], w["table"].astype(kind)
    activation.activation_kernel(acc, once, none, table, u, code)
    return [code[0]]


def _gated_codes(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    def codes(part: Words) -> np.ndarray:
        g, x = part["gate"].astype(np.int16)[None], part["x"].astype(np.int32)[None]
        m, n, zero = (int(part[name][0]) for name in ("m", "n", "zero"))
        code = np.empty(g.shape, np.uint8)
        gate.gate_kernel(g, x, m, n, zero, _top(part), code)
        return code[0]

    return _by_parts(codes, w, len(w["gate"]))


def _added_logits(c: NetworkConfig, w: Words) -> list[np.ndarray]:
    logit, acc = (w[name].astype(np.int32)[None] for name in ("before", "acc"))
    head.head_kernel(acc, *_per_channel(w, "m", "n"), logit)
    return [logit[0]]


def _mean(w: Words, terms: np.ndarray, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    total, mean = np.empty(terms.shape[1], np.int64), np.empty(terms.shape[1], np.int32)
    loaded = (int(w["m"][0]), int(w["n"][0])) if "m" in w else (1, 0)
    token_mean.token_mean_kernel(terms.astype(np.int32), *loaded, low, high, total, mean)
    return total, mean


def _of_totals(words: Words, limits: Callable[[Words], tuple[int, int]]) -> list[np.ndarray]:
    """Means of totals, each of two tokens that share it."""

    def means(part: Words) -> np.ndarray:
        half = part["total"] >> 1
        return _mean(part, np.stack([half, part["total"] - half]), *limits(part))[1]

    return _by_parts(means, words, len(words["total"]))


_KERNELS: dict[str, Callable[[NetworkConfig, Words], list[np.ndarray]]] = {
    "image_requantizer": _image,
    "linear_accumulator": _linear,
    "linear_requantizer": _linear_codes,
    "residual_adder": _residual_rows,
    "norm_sums": _sums,
    "reciprocal_root": _roots,
    "normalizer": _tokens,
    "norm_requantizer": _norm_codes,
    "stream_norm": lambda c, w: [
        _one_row(
            norm_requantizer.stream_norm_kernel, w, "z", (c.stream_min, c.stream_max), np.int32
        )
    ],
    "activation_input": _inputs,
    "activation": _looked_up,
    "gate": _looked_up,
    "gate_code": _gated_codes,
    "mean_term": lambda c, w: [
        _one_row(token_mean.mean_term_kernel, w, "z", ((1 << (c.mean_bits - 1)) - 1,), np.int32)
    ],
    "mean_sum": lambda c, w: [_mean(w, w["term"], 0, 0)[0]],
    "mean_code": lambda c, w: _of_totals(w, lambda part: (0, _top(part))),
    "stream_mean": lambda c, w: _of_totals(w, lambda _: (c.stream_min, c.stream_max)),
    "head": _added_logits,
    "prediction": lambda c, w: [w["logit"].argmax(axis=1)],
}


def by_kernel(unit: str, config: NetworkConfig, words: Words) -> Words:
    """The outputs of a unit that the simulator's vector kernels give: the last ones."""
    names = list(LOOPS[unit].outputs)[:-1]
    found = _KERNELS[unit](config, words)
    return dict(zip(names[-len(found) :], found, strict=True))


# Words that hurt, and random ones.


def spread(rng: np.random.Generator, bound: int, count: int) -> np.ndarray:
    """Integers within a bound: the corners, then evenly spread ones, then of every magnitude."""
    near = np.array(corners(-bound, bound)[:count])
    even = rng.integers(-bound, bound + 1, count)
    sizes = np.exp2(rng.uniform(0, bound.bit_length(), count)).astype(np.int64)
    found = np.where(rng.random(count) < 0.5, even, np.sign(even) * np.minimum(sizes, bound))
    found[rng.permutation(count)[: near.size]] = near
    return found


def _scales(rng: np.random.Generator, c: NetworkConfig, count: int, least: int = 1) -> Words:
    m = np.maximum(least, abs(spread(rng, (1 << c.m_bits) - 1, count)))
    return {"m": m, "n": rng.integers(0, c.max_n + 1, count)}


def _tie(rng: np.random.Generator, words: Words, name: str, bound: int) -> None:
    """Make a quarter of the products an odd multiple of the half bit."""
    n, count = words["n"], words["n"].size
    half = np.int64(1) << np.maximum(n - 1, 0)
    odd = (bound // half // 2) > 0
    value = (spread(rng, bound, count) // half | 1) * half
    here = (rng.random(count) < 0.25) & (n > 0) & odd & (abs(value) <= bound)
    words[name] = np.where(here, value, words[name])
    words["m"] = np.where(here, words["m"] | 1, words["m"])


def _of_acc(rng: np.random.Generator, c: NetworkConfig, count: int, least: int = 1) -> Words:
    bound = c.registers["linear_acc"].bound
    words = {**_scales(rng, c, count, least), "acc": spread(rng, bound, count)}
    _tie(rng, words, "acc", bound)
    return words


def _affine(
    rng: np.random.Generator, c: NetworkConfig, x: np.ndarray, gain: np.ndarray, most: int
) -> Words:
    """G, H and n for these x: a quarter of the sums are ties, a quarter has a small offset."""
    count, largest = x.size, (1 << (c.offset_bits - 1)) - 1
    shift = rng.integers(0, most + 1, count)
    offset = spread(rng, largest, count)
    small = rng.integers(-8, 9, count) << np.minimum(shift, c.offset_bits - 5)
    offset = np.where(rng.random(count) < 0.25, small, offset)
    half = (np.int64(1) << shift) >> 1
    tied = offset - ((x * gain + offset - half) & ((np.int64(1) << shift) - 1))
    here = (rng.random(count) < 0.25) & (abs(tied) <= largest)
    return {"gain": gain, "offset": np.where(here, tied, offset), "shift": shift}


def _of_pixel(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    pixel = rng.integers(0, 1 << c.pixel_bits, count)
    gain = np.maximum(1, abs(spread(rng, (1 << c.m_bits) - 1, count)))
    return {**_affine(rng, c, pixel, gain, c.max_n), "pixel": pixel}


def _of_z(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    z = spread(rng, c.registers["z"].bound, count)
    gain = spread(rng, (1 << (c.gain_bits - 1)) - 1, count)
    return {**_affine(rng, c, z, gain, c.max_gain_shift), "z": z}


def _per_part(rng: np.random.Generator, low: Any, high: Any, count: int) -> np.ndarray:
    """One number from low to high for each of PARTS."""
    found = np.empty(count, np.int64)
    for part in _parts(count):
        found[part] = rng.integers(low, high + 1)
    return found


def _bits(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    bits, zero = np.empty(count, np.int64), np.empty(count, np.int64)
    for part in _parts(count):
        bits[part] = rng.integers(2, c.code_bits + 1)
        zero[part] = rng.integers(0, 1 << bits[part][0])
    return {"y_bits": bits, "zero": zero}


def tokens(rng: np.random.Generator, c: NetworkConfig, count: int, channels: int) -> np.ndarray:
    """Tokens (count, channels): spread evenly, at both ends, all alike, with an outlier channel."""
    low, high = c.stream_min, c.stream_max
    x = rng.integers(low, high + 1, (count, channels))
    kind = rng.integers(0, 5, count)
    x[kind == 1] = np.where(x[kind == 1] < 0, low, high)
    x[kind == 2] = x[kind == 2][:, :1]
    x[kind == 3] = x[kind == 3] >> rng.integers(1, c.stream_bits)
    x[kind == 4] = low
    x[kind == 4, -1] = high
    return x


def _linear_tile(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    outer = int(rng.integers(2))
    a, w = (c.outer_bits, c.outer_bits) if outer else (c.a_bits, c.w_bits)
    inputs = int(rng.integers(1, min(48, c.max_inputs) + 1))
    rows = max(1, int(count**0.5))
    x = rng.integers(0, 1 << a, (rows, inputs))
    weights = rng.integers(1 - (1 << w), 1 << w, (-(-count // rows), inputs))
    x[0], weights[0] = (1 << a) - 1, (1 << w) - 1
    weights[-1] *= rng.integers(2)
    return {
        "row": np.array(inputs),
        "outputs": np.array(len(weights)),
        "zx": np.array(rng.choice([0, (1 << a) - 1, int(rng.integers(1 << a))])),
        "is_outer": np.array(outer),
        "x": x,
        "w": weights,
        "bias": spread(rng, (1 << (c.bias_bits - 1)) - 1, len(weights)),
    }


def _norm_rows(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    channels = int(rng.integers(1, min(12, c.max_channels) + 1))
    eps = int(rng.integers(1, 1 << int(rng.integers(1, c.eps_bits + 1))))
    x = tokens(rng, c, count, channels)
    return {"row": np.array(channels), "eps": np.array(eps), "x": x}


def _variances(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    """Of every magnitude, beside the squares at which the root steps, and beside both ends."""
    bound = c.registers["variance"].bound
    variance = np.maximum(1, abs(spread(rng, bound, count)))
    places = np.minimum(rng.integers(0, 30, count), (61 - 2 * c.root_bits) // 2)
    root = rng.integers(1 << (c.root_bits - 1), 1 << c.root_bits, count)
    root >>= rng.integers(0, 2, count) * rng.integers(0, c.root_bits, count)
    square = (root * root) << (2 * places)
    square += rng.integers(-1, 2, count)
    here = (rng.random(count) < 0.5) & (square > 0) & (square <= bound)
    return {"variance": np.where(here, square, variance)}


def _channels(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    """Channels of whole tokens, with the sums and roots of their tokens."""
    channels = min(c.max_channels, int(2 ** rng.uniform(0, 9)), count)
    x = tokens(rng, c, count // channels, channels)
    eps = int(rng.integers(1, 1 << int(rng.integers(1, c.eps_bits + 1))))
    total, _, variance = _sums(c, {"x": x, "eps": np.array(eps)})
    k, _, r = _roots(c, {"variance": variance})
    per_token = {"sum": total, "root_shift": k, "reciprocal": r}
    return {"channels": np.full(x.size, channels), "x": x.ravel()} | {
        name: np.repeat(each, channels) for name, each in per_token.items()
    }


def _gates(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    """g and x of every magnitude, M and n by part; a quarter of the products are ties."""
    words = {
        "m": _per_part(rng, 1, (1 << c.m_bits) - 1, count) | _per_part(rng, 0, 1, count),
        "n": _per_part(rng, 0, min(c.max_n, c.u_bits + c.stream_bits + c.m_bits), count),
        **_bits(rng, c, count),
        "gate": spread(rng, c.registers["gate"].bound, count),
        "x": np.clip(spread(rng, 1 << (c.stream_bits - 1), count), c.stream_min, c.stream_max),
    }
    half = np.int64(1) << np.maximum(words["n"] - 1, 0)
    here = (rng.random(count) < 0.25) & (half <= c.stream_max // 4) & (words["m"] & 1 == 1)
    tied = (spread(rng, c.stream_max, count) // half | 1) * half
    words["x"] = np.where(here & (abs(tied) <= c.stream_max), tied, words["x"])
    words["gate"] = np.where(here, words["gate"] | 1, words["gate"])
    return words


def _terms(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    rows = int(rng.integers(1, min(12, c.max_tokens) + 1))
    half = c.largest_mean_term
    term = rng.integers(-half, half, (rows, count))
    term[:, :: max(1, count // 7)] = rng.choice([-half, half - 1])
    return {"row": np.array(rows), "stride": np.array(count), "term": term}


def _totals(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    """P that two terms of int32 add up to."""
    bound = min(c.registers["mean_sum"].bound, (1 << 31) - 1)
    words = {
        "m": _per_part(rng, 1, (1 << c.m_bits) - 1, count) | _per_part(rng, 0, 1, count),
        "n": _per_part(rng, 0, c.max_n, count),
        "y_bits": _bits(rng, c, count)["y_bits"],
        "total": spread(rng, bound, count),
    }
    half = np.int64(1) << np.maximum(words["n"] - 1, 0)
    tied = (spread(rng, bound, count) // half | 1) * half
    here = (rng.random(count) < 0.25) & (abs(tied) <= bound)
    words["total"] = np.where(here, tied, words["total"])
    return words


def _logits(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    """Small logits, so that the largest is often there twice, and both ends of int32."""
    logit = rng.integers(-4, 5, (count, int(rng.integers(1, 9))))
    logit[:: max(1, count // 9)] = rng.choice([-(1 << 31) + 1, (1 << 31) - 1])
    return {"row": np.array(logit.shape[1]), "logit": logit}


def _heads(rng: np.random.Generator, c: NetworkConfig, count: int) -> Words:
    """Accumulators whose logit fits: those beyond are at the last one that does.

    Half of them stand behind another head, as large a logit in front as fits.
    """
    words = _of_acc(rng, c, count)
    largest = (((1 << 31) - 2) << np.minimum(words["n"], 31)) // words["m"]
    words["acc"] = np.clip(words["acc"], -largest, largest)
    alone = np.array(_each(spec.head, words, "acc", "m", "n"))
    before = spread(rng, (1 << 31) - 1, count) * rng.integers(0, 2, count)
    words["before"] = np.clip(alone + before, 1 - (1 << 31), (1 << 31) - 1) - alone
    words["before"] = np.clip(words["before"], 1 - (1 << 31), (1 << 31) - 1)
    return words


_DRAWN: dict[str, Callable[[np.random.Generator, NetworkConfig, int], Words]] = {
    "image_requantizer": _of_pixel,
    "linear_accumulator": _linear_tile,
    "linear_requantizer": lambda rng, c, n: _of_acc(rng, c, n) | _bits(rng, c, n),
    "residual_adder": lambda rng, c, n: (
        _of_acc(rng, c, n, 0) | {"x": rng.integers(c.stream_min, c.stream_max + 1, n)}
    ),
    "norm_sums": _norm_rows,
    "reciprocal_root": _variances,
    "normalizer": _channels,
    "norm_requantizer": lambda rng, c, n: _bits(rng, c, n) | _of_z(rng, c, n),
    "stream_norm": _of_z,
    "activation_input": _of_acc,
    "activation": lambda rng, c, n: {
        "table": rng.integers(0, 1 << c.code_bits, 1 << c.u_bits),
        "u": rng.integers(c.u_min, c.u_max + 1, n),
    },
    "gate": lambda rng, c, n: {
        "table": spread(rng, c.registers["gate"].bound, 1 << c.u_bits),
        "u": rng.integers(c.u_min, c.u_max + 1, n),
    },
    "gate_code": _gates,
    "mean_term": _of_z,
    "mean_sum": _terms,
    "mean_code": _totals,
    "stream_mean": _totals,
    "head": _heads,
    "prediction": _logits,
}


def random_words(unit: str, config: NetworkConfig, rng: np.random.Generator, count: int) -> Words:
    """About `count` words of a unit that no unit refuses: random ones, ends, corners and ties."""
    return _DRAWN[unit](rng, config, count)


def _grid(*values: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """Every combination, a column for each."""
    arrays = [np.asarray(each, np.int64) for each in values]
    return [each.ravel() for each in np.meshgrid(*arrays, indexing="ij")]


def _scale_corners(name: str, bound: int, c: NetworkConfig) -> Words:
    top = (1 << c.m_bits) - 1
    shifts = [0, 1, 2, c.max_n // 2, c.max_n - 1, c.max_n]
    m, n, value = _grid([1, 2, 3, (top + 1) // 2, top], shifts, corners(-bound, bound))
    return {"m": m, "n": n, name: value}


def _affine_corners(
    name: str, values: list[int], gains: list[int], most: int, c: NetworkConfig
) -> Words:
    high = (1 << (c.offset_bits - 1)) - 1
    offsets = [-high, -high // 3, -2, -1, 0, 1, 2, high]
    columns = _grid(gains, offsets, [0, 1, 2, most // 2, most - 1, most], values)
    return dict(zip(("gain", "offset", "shift", name), columns, strict=True))


def corner_words(unit: str, config: NetworkConfig) -> Words:
    """Every combination of the corners of a unit with a product, within its registers."""
    kinds, bounds = LOOPS[unit].inputs, config.registers
    if "pixel" in kinds:
        gains, pixels = [1, 2, 3, (1 << config.m_bits) - 1], (1 << config.pixel_bits) - 1
        words = _affine_corners("pixel", corners(0, pixels), gains, config.max_n, config)
    elif "z" in kinds:
        largest, z = (1 << (config.gain_bits - 1)) - 1, bounds["z"].bound
        gains, most = [0, 1, -1, 2, 3, largest, -largest], config.max_gain_shift
        words = _affine_corners("z", corners(-z, z), gains, most, config)
    elif "gate" in kinds:
        words = _scale_corners("gate", bounds["gate"].bound, config)
    elif "total" in kinds:
        words = _scale_corners("total", bounds["mean_sum"].bound, config)
    else:
        words = _scale_corners("acc", bounds["linear_acc"].bound, config)
    rest = {"y_bits": 2, "zero": 3, "x": config.stream_max}
    size = len(next(iter(words.values())))
    return words | {name: np.full(size, rest[name]) for name in rest if name in kinds}


#: Reads calls of loops from standard input, each array in a buffer of its exact size, and writes
#: what they give.
DRIVER = (
    '#include <stdio.h>\n#include <stdlib.h>\n#include "bitlog2.h"\n'
    + LOOP_SOURCE
    + "typedef void loop(const bl2_network *network, size_t count, void *const *p);\n"
    + f"static loop *const loops[] = {{{', '.join(f'loop_{i}' for i in range(len(LOOPS)))}}};\n"
    + r"""
static void get(void *to, size_t size)
{
    if (fread(to, 1, size, stdin) != size) exit(3);
}
static size_t next(void)
{
    int64_t x = 0;
    get(&x, sizeof x);
    return (size_t)x;
}
int main(void)
{
    for (size_t calls = next(); calls > 0; calls--) {
        size_t unit = next(), count = next(), inputs = next(), arrays = next(), size[16];
        bl2_network_config *config = malloc(sizeof *config);
        bl2_network *network = malloc(sizeof *network);
        void *p[16];
        get(config, sizeof *config);
        for (size_t i = 0; i < arrays; i++) {
            size[i] = next();
            p[i] = malloc(size[i]);
            if (i < inputs) get(p[i], size[i]);
        }
        if (bl2_network_init(network, config) != BL2_OK) exit(4);
        loops[unit](network, count, p);
        for (size_t i = 0; i < arrays; i++) {
            if (i >= inputs) fwrite(p[i], 1, size[i], stdout);
            free(p[i]);
        }
        free(config);
        free(network);
    }
    return 0;
}
"""
)


def driver_call(unit: str, config: NetworkConfig, words: Words) -> bytes:
    """One call as the driver reads it."""
    count = count_of(unit, words)
    inputs, outputs = given(unit, words), list(filled(unit, count).values())
    numbers = [list(LOOPS).index(unit), count, len(inputs), len(inputs) + len(outputs)]
    parts = [np.array(numbers, np.int64), np.array([*config.as_dict().values()], np.int32)]
    for each in inputs:
        parts += [np.array(each.nbytes, np.int64), each]
    parts += [np.array(each.nbytes, np.int64) for each in outputs]
    return b"".join(each.tobytes() for each in parts)
