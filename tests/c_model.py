"""The C model of `golden/c`, compiled once a test process and called on numpy arrays."""

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
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
    "code_register": "mB>BB",
    "code_level": "mBB>B",
    "shift_add": "mpzaaaz>i",
    "output_requantizer": "mpi>B",
}
_DTYPES = {"score": "i4", "t": "i4", "d": "u4", "e": "u4", "level": "u1", "nibble": "u1"}
_DTYPES |= {"flag": "u1", "acc": "i4", "o": "u1"}


def _struct(name: str, fields: Sequence[tuple[str, Any]]) -> Any:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


Config = _struct("Config", [(name, ctypes.c_int32) for name in AttentionConfig().as_dict()])
Params = _struct("Params", [(x, ctypes.c_int32) for x in ("m", "n", "m2", "n2", *"abcd")])
Widths = _struct("Widths", [(name, ctypes.c_int32) for name in AttentionConfig().registers])
Model = _struct("Model", [("config", Config), ("table", ctypes.c_uint32 * 256)])
Row = _struct(
    "Row",
    [(name, ctypes.c_size_t) for name in ("tokens", "head_dim", "channels")]
    + [(name, ctypes.c_void_p) for name in ("q", "k", "v", "masked", "bias")],
)
Registers = _struct(
    "Registers",
    [(name, ctypes.c_void_p) for name in _DTYPES]
    + [("row_max", ctypes.c_int32), ("row_sum", ctypes.c_uint64)],
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
    ) -> tuple[int, dict[str, Any]]:
        """Return (status, registers) of the row q (D), k (N, D), v (N, C), masked, bias (N)."""
        tokens, channels = inputs["v"].shape
        row = Row(**{name: address(array) for name, array in inputs.items()})
        row.tokens, row.channels = tokens, channels
        row.head_dim = 0 if inputs["q"] is None else inputs["q"].size
        for name, size in (sizes or {}).items():
            setattr(row, name, size)
        made = {name: np.full(tokens, 77, _DTYPES[name]) for name in KEY_REGISTERS}
        made |= {name: np.full(channels, 77, _DTYPES[name]) for name in OUTPUT_REGISTERS}
        registers = Registers(**{name: address(array) for name, array in made.items()})
        common = [ctypes.byref(x) for x in (self.model, self.params, row)]
        if scores is None:
            status = self.lib.bl2_attention_row(*common, ctypes.byref(registers))
        else:
            function = self.lib.bl2_attention_row_from_scores
            status = function(*common, address(scores), ctypes.byref(registers))
        return status, made | {"row_max": registers.row_max, "row_sum": registers.row_sum}


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
            if not np.array_equal(got[name], getattr(expected, name)[0, r]):
                return f"row {r}: {name}"
    return None
