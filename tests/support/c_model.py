"""The C model of `golden/c`, compiled once per process, called on numpy arrays and random rows."""

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import bitlog2.sim
from bitlog2.sim import (
    KEY_REGISTERS,
    OUTPUT_REGISTERS,
    REGISTERS,
    SCHEMES,
    AttentionConfig,
    AttentionTrace,
    LayerParams,
    attention,
)

SOURCE = Path(bitlog2.sim.__file__).resolve().parent.parent / "golden" / "c"
COMPILERS = [path for name in ("gcc", "clang", "cc") if (path := shutil.which(name))]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
_HEADER = (SOURCE / "bitlog2.h").read_text()
#: The statuses of bitlog2.h by name, without their prefix.
STATUS = {
    name: value
    for value, name in enumerate(
        re.findall(r"^    BL2_(\w+)\b", _HEADER.split("} bl2_status;")[0], re.MULTILINE)
    )
}
OK = STATUS["OK"]

#: Both forms of unit 6 on many e of one row; the number of refusals comes back.
_LOOPS = """
#include "bitlog2.h"
int64_t loop_log2(const bl2_model *model, size_t count, const uint32_t *e, uint64_t row_sum,
                  uint8_t *comparing, uint8_t *dividing)
{
    int64_t refused = 0;
    for (size_t j = 0; j < count; j++) {
        refused += bl2_log2_quantizer(model, e[j], row_sum, &comparing[j]) != BL2_OK;
        refused += bl2_log2_quantizer_dividing(model, e[j], row_sum, &dividing[j]) != BL2_OK;
    }
    return refused;
}
"""

_INTEGERS = {"i": ctypes.c_int32, "I": ctypes.c_uint32, "Q": ctypes.c_uint64, "B": ctypes.c_uint8}
#: What follows model ("m") and parameters ("p"): z a size, a an array; after ">" the results.
_UNITS = {
    "score_accumulator": "mpzaa>i",
    "score_requantizer": "mpii>i",
    "row_max": "mzaa>i",
    "distance": "miiB>I",
    "exp2": "mIB>I",
    "row_sum": "mza>Q",
    "log2_quantizer": "mIQ>B",
    "log2_quantizer_dividing": "mIQ>B",
    "distance_quantizer": "mIB>B",
    "weight_sum": "mza>I",
    "row_multiplier": "mpI>ii",
    "code_register": "mB>BB",
    "code_level": "mBB>B",
    "shift_add": "mpzaaaz>i",
    "output_requantizer": "mpi>B",
}
_DTYPES = {"score": "i4", "t": "i4", "d": "u4", "e": "u4", "level": "u1", "nibble": "u1"}
_DTYPES |= {"flag": "u1", "acc": "i4", "o": "u1"}
#: What is in the structure of a row's registers behind the pointers; 0 where the datapath lacks it.
NUMBERS = {"row_max": "i", "row_sum": "Q", "weight_sum": "I", "m2_row": "i", "n2_row": "i"}


#: What is in a buffer before a call.
UNTOUCHED = 77


def _struct(name: str, fields: Sequence[tuple[str, Any]]) -> Any:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


Config = _struct("Config", [(name, ctypes.c_int32) for name in AttentionConfig().as_dict()])
Params = _struct("Params", [(x, ctypes.c_int32) for x in ("m", "n", "m2", "n2", *"abcd")])
#: Registers in the order of the header: those of RowMax alone come last.
WIDTHS = list(AttentionConfig().registers | AttentionConfig("RowMax_16").registers)
Widths = _struct("Widths", [(name, ctypes.c_int32) for name in WIDTHS])
Model = _struct(
    "Model",
    [
        ("config", Config),
        ("table", ctypes.c_uint32 * 256),
        ("thresholds", ctypes.c_uint32 * 16),
    ],
)
Row = _struct(
    "Row",
    [(name, ctypes.c_size_t) for name in ("tokens", "head_dim", "channels")]
    + [(name, ctypes.c_void_p) for name in ("q", "k", "v", "masked", "bias")],
)
Registers = _struct(
    "Registers",
    [(name, ctypes.c_void_p) for name in _DTYPES]
    + [(name, _INTEGERS[kind]) for name, kind in NUMBERS.items()],
)


@dataclass(frozen=True)
class Case:
    """R queries against N keys: q (R, D), k (N, D), v (N, C), masked and bias (R, N) or None."""

    config: AttentionConfig
    params: LayerParams
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    masked: np.ndarray | None
    bias: np.ndarray | None

    def expected(self) -> AttentionTrace:
        """Every register, from the simulator."""
        masked, bias = (x if x is None else x[None] for x in (self.masked, self.bias))
        heads = (self.q[None], self.k[None], self.v[None])
        rest = {"masked": masked, "bias": bias, "trace": True, "threads": 1}
        return attention(*heads, self.params, self.config, **rest)


def compile_c(arguments: Sequence[str | Path], compiler: str | None = None) -> None:
    """Run the compiler; what it says is in the error."""
    command = [compiler or COMPILERS[0], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"


def build_library(folder: Path, source: str) -> ctypes.CDLL:
    """Compile a text of bitlog2.c into a shared library and load it."""
    (folder / "model.c").write_text(source + _LOOPS.replace('#include "bitlog2.h"', ""))
    made = folder / "model.so"
    flags = ["-std=c99", "-O1", "-fPIC", "-shared", "-I", SOURCE]
    compile_c([*flags, folder / "model.c", "-o", made])
    library = ctypes.CDLL(str(made))
    kinds = {"m": ctypes.c_void_p, "p": ctypes.c_void_p, "a": ctypes.c_void_p}
    kinds |= {"z": ctypes.c_size_t, **_INTEGERS}
    for name, kind in _UNITS.items():
        takes, gives = kind.split(">")
        types = [kinds[x] for x in takes] + [ctypes.c_void_p] * len(gives)
        getattr(library, f"bl2_{name}").argtypes = types
    library.bl2_attention_row_from_scores.argtypes = [ctypes.c_void_p] * 5
    for name in ("pack_nibbles", "pack_flags"):
        getattr(library, f"bl2_{name}").argtypes = [ctypes.c_size_t] + 2 * [ctypes.c_void_p]
    array = ctypes.c_void_p
    library.loop_log2.argtypes = [array, ctypes.c_size_t, array, ctypes.c_uint64, array, array]
    library.loop_log2.restype = ctypes.c_int64
    library.bl2_status_text.restype = ctypes.c_char_p
    return library


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The library of bitlog2.c as it is shipped."""
    with tempfile.TemporaryDirectory() as folder:
        return build_library(Path(folder), (SOURCE / "bitlog2.c").read_text())


def c_config(values: dict[str, Any]) -> Any:
    """Return a bl2_config from the fields of an `AttentionConfig`; None is 0."""
    numbers = {name: value or 0 for name, value in values.items()}
    if isinstance(values["scheme"], str):
        numbers["scheme"] = list(SCHEMES).index(values["scheme"])
    return Config(**numbers)


def address(array: np.ndarray | None) -> int | None:
    """Where a contiguous array lies; None is a null pointer."""
    assert array is None or array.flags.c_contiguous
    return None if array is None else array.ctypes.data


class CModel:
    """A `bl2_model`, and the functions that take it."""

    def __init__(self, config: AttentionConfig, params: LayerParams | None = None, lib: Any = None):
        self.lib = lib or library()
        self.config = c_config(config.as_dict())
        self.model = Model()
        status = self.lib.bl2_model_init(ctypes.byref(self.model), ctypes.byref(self.config))
        assert status == OK, self.text(status)
        self.load(params or LayerParams(1, 0, 1, 0))

    def load(self, params: LayerParams) -> None:
        """Take other layer parameters, unchecked."""
        self.params = Params(*params.as_dict().values())

    def text(self, status: int) -> str:
        """The status as a sentence."""
        return str(self.lib.bl2_status_text(status).decode())

    def unit(self, name: str, *inputs: Any) -> tuple[int, ...]:
        """Return (status, results ...) of a unit; arrays as numpy arrays of the header's type."""
        takes, gives = _UNITS[name].split(">")
        results = [_INTEGERS[x](123) for x in gives]
        fixed = [ctypes.byref(self.model)] + [ctypes.byref(self.params)] * ("p" in takes)
        given = [x if isinstance(x, int) else address(x) for x in inputs]
        outputs = [ctypes.byref(x) for x in results]
        status = getattr(self.lib, f"bl2_{name}")(*fixed, *given, *outputs)
        return status, *(x.value for x in results)

    def values(self, name: str, *inputs: Any) -> tuple[int, ...]:
        """Return the results of a unit that must not refuse."""
        status, *results = self.unit(name, *inputs)
        assert status == OK, (name, inputs, self.text(status))
        return tuple(results)

    def row(
        self,
        inputs: dict[str, np.ndarray | None],
        scores: np.ndarray | None = None,
        sizes: dict[str, int] | None = None,
        absent: tuple[str, ...] = (),
    ) -> tuple[int, dict[str, Any]]:
        """Return (status, registers) of the row q (D), k (N, D), v (N, C), masked, bias (N).

        Registers in `absent` have a null pointer.
        """
        tokens, channels = inputs["v"].shape
        row = Row(**{name: address(array) for name, array in inputs.items()})
        row.tokens, row.channels = tokens, channels
        row.head_dim = 0 if inputs["q"] is None else inputs["q"].size
        for name, size in (sizes or {}).items():
            setattr(row, name, size)
        made = {name: np.full(tokens, UNTOUCHED, _DTYPES[name]) for name in KEY_REGISTERS}
        made |= {name: np.full(channels, UNTOUCHED, _DTYPES[name]) for name in OUTPUT_REGISTERS}
        registers = Registers(
            **{name: None if name in absent else address(array) for name, array in made.items()}
        )
        common = [ctypes.byref(x) for x in (self.model, self.params, row)]
        if scores is None:
            status = self.lib.bl2_attention_row(*common, ctypes.byref(registers))
        else:
            function = self.lib.bl2_attention_row_from_scores
            status = function(*common, address(scores), ctypes.byref(registers))
        return status, made | {name: getattr(registers, name) for name in NUMBERS}


def row_inputs(case: Case, r: int) -> dict[str, np.ndarray | None]:
    """The arrays of one row of a case, as the header has them."""
    masked = None if case.masked is None else case.masked[r].astype(np.uint8)
    bias = None if case.bias is None else case.bias[r].astype(np.int32)
    return {"q": case.q[r].copy(), "k": case.k, "v": case.v, "masked": masked, "bias": bias}


def first_difference(
    case: Case, expected: AttentionTrace, lib: Any = None, from_scores: bool = False
) -> str | None:
    """Name the first row and register where the C model parts from the simulator, or None."""
    model = CModel(case.config, case.params, lib)
    for r in range(case.q.shape[0]):
        scores = expected.score[0, r].copy() if from_scores else None
        status, got = model.row(row_inputs(case, r), scores)
        if status != OK:
            return f"row {r}: {model.text(status)}"
        for name in REGISTERS:
            register = getattr(expected, name)
            wanted = _mark(got[name]) if register is None else register[0, r]
            if not np.array_equal(got[name], wanted):
                return f"row {r}: {name}"
    return None


def _mark(got: Any) -> Any:
    """What stands for a register that the datapath lacks: an array as it was, or the number 0."""
    return np.full_like(got, UNTOUCHED) if isinstance(got, np.ndarray) else 0


# Random rows, faulty texts of bitlog2.c, and a program that runs rows in exact buffers.

_CODES = ("q", "k", "v", "o")
#: Text of bitlog2.c, what replaces it: each one error that hardware has had.
MUTANTS = {
    "truncation instead of rounding": ("trn(x + ((int64_t)1 << (n - 1)), n)", "trn(x, n)"),
    "a tie rounds down": ("trn(x + ((int64_t)1 << (n - 1)), n)", "trn(x + (1 << (n - 1)) - 1, n)"),
    "a negative tie rounds away from zero": (
        "return n == 0 ? x : trn(x +",
        "return n == 0 ? x : trn(x - (x < 0) +",
    ),
    "a shift toward zero": (
        "return x >= 0 ? x >> n : ~(~x >> n);",
        "return x / ((int64_t)1 << n);",
    ),
    "the zero point of k is missing": ("(k[d] - params->zk)", "k[d]"),
    "saturation before the bias": (
        "sat(rounded + bias, t_low(config), t_high(config))",
        "(sat(rounded, t_low(config), t_high(config)) + bias)",
    ),
    "t saturates one too low": (
        "1 << (config->t_bits - 1)) - 1;",
        "1 << (config->t_bits - 1)) - 2;",
    ),
    "a masked key takes part in the maximum": (
        "!is_masked(masked, j) && t[j] > largest",
        "t[j] > largest",
    ),
    "the distance does not saturate": (
        "sat((int64_t)row_max - t, 0, largest)",
        "((int64_t)row_max - t)",
    ),
    "a masked key has an e": ("if (masked || shift", "if (shift"),
    "the shift of exp2 ends one too soon": ("config.table_bits + 2", "config.table_bits + 1"),
    "table entries are cut off": ("power_bits(2 * middle - 1,", "power_bits(2 * middle,"),
    "the test for zero is missing": ("        return 0; /* E < s */", ""),
    "a threshold is not its own level": ("(x << shift) >= y :", "(x << shift) > y :"),
    "the half bit is compared at the wrong shift": ("facts.a - k + 1, 3 *", "facts.a - k, 3 *"),
    "the leading one is not corrected": ("        k -= 1;", ""),
    "the clamp to the top level is missing": (
        "(level < facts->top_level ? level : facts->top_level)",
        "(level)",
    ),
    "a distance at its threshold has the level below": (
        "d > model->thresholds[level - 1]",
        "d >= model->thresholds[level - 1]",
    ),
    "a masked key has a level by distance": ("masked ? 0 : facts_of(", "facts_of("),
    "thresholds are cut off": ("fraction_bits + 1) + 1) >> 1", "fraction_bits + 1)) >> 1"),
    "half steps have one threshold": (
        "ratio = ln_of_ratio(7); /* 4/3 */",
        "ratio = ln_of_ratio(5);",
    ),
    "half steps weigh as much as whole ones": ("power + power / 2 : power", "power : power"),
    "the row's multiplier is cut off": ("(2 * remainder >= y ? 1 : 0)", "0"),
    "the row's shift is the layer's": ("row.n2 = params->n2 + k;", ""),
    "the output takes the layer's multiplier": ("output.m2 = registers->m2_row;", ""),
    "nibbles of 17 levels are not shifted": (
        "level > 0 ? level - 1 : level",
        "level > 0 ? level : 0",
    ),
    "16 levels have a flag": ("(has_flag(&facts) && level == 0)", "(level == 0)"),
    "the half bit adds too much": ("1 << (k - 1)) : 0", "1 << k) : 0"),
    "the output saturates before its zero point": (
        "sat(rounded + params->zo, 0, largest_code(model->config.o_bits))",
        "(sat(rounded, 0, largest_code(model->config.o_bits)) + params->zo)",
    ),
    "the output does not saturate": (
        "sat(rounded + params->zo, 0, largest_code(model->config.o_bits))",
        "(rounded + params->zo)",
    ),
}

#: Reads rows of integers from standard input, runs them in buffers of their exact size, prints
#: the status and the registers of each.
DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include "bitlog2.h"
static long next(void)
{
    long x = 0;
    if (scanf("%ld", &x) != 1) exit(3);
    return x;
}
static uint8_t *bytes(size_t n)
{
    uint8_t *made = malloc(n);
    for (size_t i = 0; i < n; i++) made[i] = (uint8_t)next();
    return made;
}
static int32_t *ints(size_t n)
{
    int32_t *made = malloc(n * sizeof *made);
    for (size_t i = 0; i < n; i++) made[i] = (int32_t)next();
    return made;
}
#define SHOW(array, n) for (size_t i = 0; i < (n); i++) printf("%ld ", (long)(array)[i])
int main(void)
{
    for (long rows = next(); rows > 0; rows--) {
        bl2_config *config = (bl2_config *)ints(sizeof *config / sizeof(int32_t));
        bl2_params *params = (bl2_params *)ints(sizeof *params / sizeof(int32_t));
        bl2_model *model = malloc(sizeof *model);
        size_t N = (size_t)next(), D = (size_t)next(), C = (size_t)next();
        uint8_t *q = bytes(D), *k = bytes(N * D), *v = bytes(N * C);
        uint8_t *masked = next() ? bytes(N) : NULL;
        int32_t *bias = next() ? ints(N) : NULL;
        bl2_row row = {N, D, C, q, k, v, masked, bias};
        bl2_registers r = {malloc(4 * N), malloc(4 * N), malloc(4 * N), malloc(4 * N), malloc(N),
                           malloc(N), malloc(N), malloc(4 * C), malloc(C), 0, 0, 0, 0, 0};
        bl2_widths widths = {0};
        bl2_status status = bl2_model_init(model, config);
        bl2_register_widths(config, &widths);
        if (widths.e == 0) {
            free(r.e);
            r.e = NULL;
        }
        if (status == BL2_OK) status = bl2_attention_row(model, params, &row, &r);
        printf("%d ", (int)status);
        if (status == BL2_OK) {
            SHOW(r.score, N); SHOW(r.t, N); SHOW(r.d, N); SHOW(r.e, r.e ? N : 0);
            SHOW(r.level, N);
            SHOW(r.nibble, N); SHOW(r.flag, N); SHOW(r.acc, C); SHOW(r.o, C);
            printf("%ld %lld %ld ", (long)r.row_max, (long long)r.row_sum, (long)r.weight_sum);
            printf("%ld %ld", (long)r.m2_row, (long)r.n2_row);
        }
        printf("\n");
        void *all[] = {config, params, model, q, k, v, masked, bias, r.score, r.t, r.d, r.e,
                       r.level, r.nibble, r.flag, r.acc, r.o};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    }
    return 0;
}
"""


def random_config(rng: np.random.Generator, **fixed: Any) -> AttentionConfig:
    """A configuration with every free choice drawn from its whole range."""
    high = int(2.0 ** rng.uniform(0, 9))
    fields: dict[str, Any] = {
        "scheme": str(rng.choice(list(SCHEMES))),
        "max_head_dim": int(rng.integers(1, 65)),
        "max_tokens": int(rng.integers(1, high + 1)),
        "fraction_bits": int(rng.integers(1, 9)),
        "table_bits": int(rng.integers(4, 21)),
        "distance_int_bits": int(rng.integers(2, 7)),
        "m_bits": int(rng.integers(4, 25)),
        "max_n": int(rng.integers(0, 49)),
        "m2_bits": int(rng.integers(4, 25)),
        "max_n2": int(rng.integers(0, 49)),
        "t_bits": int(rng.integers(8, 25)),
    }
    fields |= {f"{name}_bits": int(rng.integers(2, 9)) for name in _CODES}
    fields |= fixed
    scheme = SCHEMES[fields["scheme"]]
    if scheme.row_max:
        added = (scheme.int_max * fields["max_tokens"]).bit_length() - 1
        fields["max_n2"] = max(fields["max_n2"], added)
    return AttentionConfig(**fields)


def random_params(rng: np.random.Generator, config: AttentionConfig) -> LayerParams:
    """Multipliers and shifts that spread t over its range and the outputs over their codes."""

    def pair(bits: int, largest: int, bound: int, target: int) -> tuple[int, int]:
        m = int(rng.integers(1, 1 << int(rng.integers(1, bits + 1))))
        return m, min(max((bound * m).bit_length() - target, 0), largest)

    score, acc = (config.registers[name].bound for name in ("score", "acc"))
    if config.code.row_max:
        acc //= config.largest_weight  # the row's multiplier has its weight sum
    m, n = pair(config.m_bits, config.max_n, score, int(rng.integers(3, config.t_bits + 3)))
    target = config.o_bits + int(rng.integers(-1, 4))
    m2, n2 = pair(config.m2_bits, config.max_layer_n2, acc, target)
    limits = (1 << getattr(config, f"{name}_bits") for name in _CODES)
    zeros = [int(rng.choice([0, x - 1, rng.integers(x)])) for x in limits]
    return LayerParams(m, n, m2, n2, *zeros)


def random_codes(rng: np.random.Generator, bits: int, shape: tuple[int, ...]) -> np.ndarray:
    """Codes spread evenly, all at both ends, or of few values."""
    values = [np.arange(1 << bits), np.array([0, (1 << bits) - 1]), rng.integers(1 << bits, size=2)]
    return rng.choice(values[int(rng.choice(3, p=[0.6, 0.2, 0.2]))], shape).astype(np.uint8)


def random_case(rng: np.random.Generator, rows: int, **fixed: Any) -> Case:
    """A case of a random configuration; N and D are at their ends as often as not."""
    config = random_config(rng, **fixed)
    keys = int(rng.choice([1, config.max_tokens, rng.integers(1, config.max_tokens + 1)]))
    dim = int(rng.choice([1, config.max_head_dim, rng.integers(1, config.max_head_dim + 1)]))
    masked = bias = None
    if rng.random() < 0.6:
        masked = rng.random((rows, keys)) < rng.random()
        masked[np.arange(rows), rng.integers(keys, size=rows)] = False
    if rng.random() < 0.6:
        most = min(int(rng.choice([1, 1 << config.fraction_bits, 1 << 24])), config.t_max)
        bias = rng.integers(-most - 1, most + 1, (rows, keys))
    return Case(
        config,
        random_params(rng, config),
        random_codes(rng, config.q_bits, (rows, dim)),
        random_codes(rng, config.k_bits, (keys, dim)),
        random_codes(rng, config.v_bits, (keys, int(rng.integers(1, 6)))),
        masked,
        bias,
    )


def random_cases(seed: int, count: int, rows: int, **fixed: Any) -> Iterator[Case]:
    """`count` cases of `rows` rows each."""
    rng = np.random.default_rng(seed)
    return (random_case(rng, rows, **fixed) for _ in range(count))


def driver_input(case: Case, r: int) -> str:
    """One row as the driver reads it."""
    config = case.config.as_dict() | {"scheme": list(SCHEMES).index(case.config.scheme)}
    words = [x or 0 for x in config.values()] + list(case.params.as_dict().values())
    words += [*case.k.shape, case.v.shape[1]]
    words += [int(x) for part in (case.q[r], case.k, case.v) for x in part.ravel()]
    for part in (case.masked, case.bias):
        words += [0] if part is None else [1, *(int(x) for x in part[r])]
    return " ".join(map(str, words))


def driver_output(expected: Any, r: int) -> str:
    """The line that the driver prints for that row."""
    words = [0]
    for name in (*KEY_REGISTERS, *OUTPUT_REGISTERS):
        register = getattr(expected, name)
        words += [] if register is None else register[0, r].tolist()
    numbers = (getattr(expected, name) for name in NUMBERS)
    words += [0 if each is None else int(each[0, r]) for each in numbers]
    return " ".join(map(str, words))
