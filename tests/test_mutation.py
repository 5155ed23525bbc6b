"""60 seeded mutations of operators: half in the kernels, half in the torch path.

Each runs in a forked process as `--check all` on digits does, over the four schemes, until a
register differs: on a few images first, then on all. Digits has no masks, no bias and no wide
codes: what concerns these alone is then shown to masked and biased rows of 4 and 8 bits, and what
makes vectors alone is held against the specification. What is left must be listed as equivalent,
with its reason.

The simulator of the mutants is a copy under another name, compiled once per test process and with
little optimization, which no bit of integer code depends on; a mutant's process compiles anew its
module and those that take something from it.
"""

import ast
import faulthandler
import importlib
import os
import shutil
import signal
import sys
import traceback
import types
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import chain, product
from pathlib import Path

import numpy as np
import pytest
from mutants import Mutant, mutants_of, sample
from numba.core import config as numba_config
from support.cases import leading_ones, levels_of_rows, looked_up, sums_of_pairs
from support.models import digits_task, observed, quantized_digits, random_inputs
from support.quick import quick_where
from test_datapath import outputs_of_types_differ, rows_of_types_differ, wrong_quotient_kinds
from test_golden_helpers import SMALL

from bitlog2 import sim
from bitlog2.golden.stimulus.unit import Target, join_tables, no_progress
from bitlog2.golden.stimulus.units import UNITS, units_within
from bitlog2.models.ptq import datapath, levels
from bitlog2.models.ptq.attention import IntegerAttention
from bitlog2.models.watch import check, watching
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.watching import watch
from bitlog2.sim import REGISTERS, SCHEMES, AttentionConfig, LayerParams, scheme_named
from bitlog2.sim.jit import Kernel
from bitlog2.sim.kernel.lane_product import CHANNEL_LANES, KEY_LANES
from bitlog2.sim.spec import attention_row

SIM = Path(sim.__file__).parent
#: Modules of `kernel` with vectors that are held to loops.
OF_FORMS = ("pairs", "vectors")
#: The name of the copy of the simulator that is mutated.
COPY = "copied_sim"


#: Run where numba compiles nothing; the vectors in their place are held to them.
LOOPS = {
    "block_product",
    "row_weights",
    "largest_score",
    "levels_of_scores",
    "exp2_of_scores",
    "levels_of_logarithms",
}


def specified(path: Path) -> set[str]:
    """Functions of a file of units or roundings that are no kernels."""
    functions = [f for f in ast.walk(ast.parse(path.read_text())) if isinstance(f, ast.FunctionDef)]
    plain = {f.name for f in functions if not f.decorator_list}
    return LOOPS if path.parent.name == "kernel" else plain


ALL_KERNELS = [
    mutant
    for path in (
        SIM / "rounding.py",
        SIM / "parts.py",
        *sorted(SIM.glob("units/*.py")),
        *sorted(SIM.glob("kernel/*.py")),
    )
    for mutant in mutants_of(path, specified(path))
]
ALL_TORCH = [
    *mutants_of(Path(datapath.__file__), set()),
    *mutants_of(Path(levels.__file__), set()),
]
#: Kernels that make vectors and that `attention` does not call: digits cannot tell.
OF_VECTORS = {
    "log2_quantizer_kernel",
    "pack_row_kernel",
    "row_sum_kernel",
    "score_accumulator_kernel",
    "shift_add_kernel",
}

#: Codes that kernels look up: of a distance, and of a quotient.
OWN = ("Own=row_max:0/1/5/9/20:1000/500/300/2", "Own=quotient/256:0/1/5/9/20/128:1/3/8/15/90")

KERNELS = sample(ALL_KERNELS, count=30, seed=2)
#: Those of kernels that make vectors alone are quick; the others compile `attention` anew.
MARKED_KERNELS = quick_where(
    lambda mutant: mutant.function in OF_VECTORS, KERNELS, list(map(str, KERNELS))
)
TORCH = sample(ALL_TORCH, count=30, seed=2)
_WIDER = "a larger bound takes a wider type, which is exact too"
_APART = "fewer layers are direct: unit after unit gives the same values"
#: Mutants that compute the same bits on all legal input, and why.
EQUIVALENT = {
    "ptq/datapath.py:_score: (1 << config.q_bits) - 1 -> (1 << config.q_bits) + 1": _WIDER,
    "ptq/datapath.py:_score: (1 << config.k_bits) - 1 -> (1 << config.k_bits) + 1": _WIDER,
    "ptq/datapath.py:_weights_of_distances: 1 << 24 -> 1 >> 24": _WIDER,
    "ptq/datapath.py:_weights_of_distances: self.config.largest_weight < 1 << 24 -> "
    "self.config.largest_weight <= 1 << 24": "a float32 holds 2**24, too",
    "ptq/datapath.py:output: 1 << 53 -> 1 >> 53": _WIDER,
    "ptq/datapath.py:output: config.registers['out_product'].bound + "
    "(1 << config.max_n2 + config.o_bits) < 1 << 53 -> config.registers['out_product'].bound + "
    "(1 << config.max_n2 + config.o_bits) <= 1 << 53": "a float64 holds 2**53, too",
    "kernel/constants.py:layer_constants: largest_output + (1 << config.o_bits) < 1 << 31 -> "
    "largest_output + (1 << config.o_bits) <= 1 << 31": "what is 2**31 - 2**o_bits fits int32 too",
    "kernel/constants.py:layer_constants: 1 << 31 -> 1 >> 31": (
        "no layer is narrow, or direct: lanes of int64 and unit after unit give the same values"
    ),
    "kernel/constants.py:layer_constants: bound < 1 << 15 -> bound <= 1 << 15": (
        "the largest score is a multiple of odd numbers above 1, so never 2**15"
    ),
    "kernel/constants.py:layer_constants: largest <= config.t_max -> "
    "largest < config.t_max": _APART,
    "kernel/constants.py:layer_constants: 1 << 15 -> 1 >> 15": _APART,
    "kernel/constants.py:layer_constants: 1 << 16 -> 1 >> 16": _APART,
    "kernel/constants.py:layer_constants: params.m < 1 << 16 -> params.m <= 1 << 16": (
        "two factors of -2**15 make up 2**16, too"
    ),
    "kernel/constants.py:layer_constants: 1 << 32 -> 1 >> 32": _APART,
    "kernel/pairs.py:block_former: _CHAINS * width -> _CHAINS + width": (
        "fewer vectors of sums side by side give the same sums"
    ),
    "kernel/vectors.py:_build_largest: -(1 << 31) -> +(1 << 31)": "the same 32 bits",
    "kernel/vectors.py:number: kind.width < value.type.width -> kind.width <= value.type.width": (
        "equal widths have been returned before"
    ),
    "kernel/constants.py:layer_constants: 1 << largest_n2 >> 1 -> 1 << largest_n2 << 1": (
        "a larger bound takes lanes of int64 more often, which give the same values"
    ),
    "kernel/constants.py:layer_constants: params.n2 + config.max_n2 - config.max_layer_n2 -> "
    "params.n2 + config.max_n2 + config.max_layer_n2": (
        "a larger bound takes lanes of int64 more often, which give the same values"
    ),
    "kernel/constants.py:scheme_constants: _LEVELS - scheme.levels -> _LEVELS + scheme.levels": (
        "a longer table of weights: nothing reads the zeros behind the first 32"
    ),
    "kernel/heads.py:_load_values: min(CHANNEL_LANES, v.shape[1] - left) -> "
    "max(CHANNEL_LANES, v.shape[1] - left)": (
        "no value differs, memory is misused: lanes beyond a block are written again by the next "
        "key or block, or met by weights of 0"
    ),
    "kernel/rows.py:aligned: -memory.__array_interface__['data'][0] -> "
    "+memory.__array_interface__['data'][0]": "no value differs: vectors lie across cache lines",
    "kernel/heads.py:_load_values: v.shape[1] - left -> v.shape[1] + left": (
        "fills lanes beyond the last channel, which nothing reads, with the next codes"
    ),
    "kernel/heads.py:_rows_to_outputs: last - first -> last + first": (
        "no value differs, memory is misused: rows past a short last block are coded too, and a "
        "trace keeps them where the next head's rows come, past its end for the last head"
    ),
    "kernel/rows.py:_distances: mask.size > 0 -> mask.size >= 0": (
        "without a mask the maximum is that of all keys, found again"
    ),
    "sim/parts.py:parts_of: size < LANES -> size <= LANES": "whole vectors are one part either way",
    "sim/parts.py:bounds_of: size < LANES -> size <= LANES": "whole vectors have no rest",
    "units/code_register.py:pack_row_kernel: flags.size > 0 -> flags.size >= 0": (
        "no value differs, memory is misused: flags that are 0 are written to no bytes"
    ),
    "units/log2_quantizer.py:_logarithm: s < odd << k -> s <= odd << k": (
        "odd * 2**k is twice odd * 2**(k-1): k - 1 and a rest of one octave are k and none"
    ),
    "kernel/lane_product.py:laid_out: -depth // DEPTH -> -depth * DEPTH": (
        "pads a block with more rows of zeros, which add nothing to a product"
    ),
}
#: One that is equivalent takes all images, as what is not mutated does.
MARKED_TORCH = quick_where(
    lambda mutant: mutant.change not in EQUIVALENT and TORCH.index(mutant) % 30 == 0,
    TORCH,
    list(map(str, TORCH)),
)

KILLED, SURVIVED, BY_MASKS, BY_VECTORS, RAISED, BY_TYPES = 0, 3, 4, 5, 6, 7
WORDS = {
    KILLED: "reported",
    SURVIVED: "survived",
    BY_MASKS: "reported with masks and bias",
    BY_VECTORS: "reported by the vectors of a unit",
    RAISED: "raised an error",
    BY_TYPES: "reported with values that a type just holds",
}
#: Images of the first batch of each scheme, and of the others; processor seconds of a mutant.
FIRST, BATCH, SECONDS = 8, 64, 60
#: What the units' vectors are made for: every unit with a kernel, few cases.
UNITS_ALONE = {name: unit for name, unit in UNITS.items() if name != "attention_row"}


def digits_differ(swap, *, all_images=True) -> bool:
    """Whether `--check all` on digits, over all schemes, reports a difference."""
    images = digits_task().data.test
    starts = range(FIRST, len(images), BATCH)
    parts = [slice(FIRST)], [slice(start, start + BATCH) for start in starts]
    for batches in parts[: 1 + all_images]:
        for scheme in SCHEMES:
            model = quantized_digits(scheme)
            swap(model)
            checker = Checker("all")
            with watch(model, checker) as watched:
                for batch in batches:
                    watched.run(images[batch][0])
                    if checker.total_mismatched:
                        return True
    return False


def masked_rows_differ(make_datapath) -> bool:
    """Whether rows with masks and biases show a difference."""
    for seed, scheme in enumerate([*SCHEMES, *OWN] * 3):
        bits = 8 if seed % 2 else 4
        widths = {f"{name}_bits": bits for name in "qkvo"}
        config = AttentionConfig(scheme, **widths, max_tokens=33 + seed, max_head_dim=16)
        inputs = random_inputs(33 + seed, seed, config, masks=True, bias=True, batch=3, heads=6)
        checker = Checker("all")
        checker.take(observed(config, inputs, make_datapath(config)(*inputs)))
        if checker.total_mismatched:
            return True
    return False


def rows_differ(other) -> bool:
    """Whether one mask and one bias for all heads and rows show a difference to the simulator.

    From codes and from scores; of 18 heads six are taken at once.
    """
    rng = np.random.default_rng(0)
    q, k, v = (rng.integers(0, 16, (18, 33, 16)) for _ in range(3))
    given = {"masked": rng.random((1, 1, 33)) < 0.3, "bias": rng.integers(-99, 99, (1, 1, 33))}
    scores = rng.integers(-6000, 6000, (18, 33, 33))
    params = LayerParams(40000, 20, 40000, 24, 7, 8, 7, 8)
    for scheme in ("BitLog2_Half_17", "BitLog2_Single_16", *OWN):
        rest = {"trace": True, "threads": 1, **given}
        config = AttentionConfig(scheme)
        layer = replace(params, n2=min(params.n2, config.max_layer_n2))
        both = [side.attention(q, k, v, layer, config, **rest) for side in (sim, other)]
        from_scores = [
            side.attention_from_scores(scores, v, layer, config, **rest) for side in (sim, other)
        ]
        if registers_differ(both) or registers_differ(from_scores):
            return True
    codes = [side.attention(q, k, v, params, config, **given) for side in (sim, other)]
    return not np.array_equal(*codes) or direct_rows_differ(other) or wide_rows_differ(other)


#: Layers without mask and bias: two such as `direct` means, and three that just are not, for a
#: saturated t, scores beyond int16, an M of 17 bits. Bits of q, D, M, n, bits of t.
NEARLY_DIRECT = [
    (4, 128, 40000, 20, 18),
    (4, 128, 65535, 28, 18),
    (4, 128, 65535, 18, 12),
    (8, 16, 16383, 21, 18),
    (4, 32, 131071, 20, 18),
]


def direct_rows_differ(other) -> bool:
    """Whether codes differ from the specification's, where the levels of a row are made at once."""
    rng = np.random.default_rng(3)
    schemes = ("RowMax_16", "BitLog2_Half_17")
    for (bits, channels, m, n, t_bits), scheme in product(NEARLY_DIRECT, schemes):
        sizes = {"q_bits": bits, "max_head_dim": channels, "m_bits": m.bit_length()}
        config = AttentionConfig(scheme, t_bits=t_bits, **sizes)
        q = rng.choice([0, (1 << bits) - 1, 1, 5], (1, 3, channels))
        k, v = rng.choice([0, 15], (1, 37, channels)), rng.integers(0, 16, (1, 37, 5))
        layer = LayerParams(m, n, 40000, 16, (1 << bits) - 1, 0, 7, 8)
        found = other.attention(q, k, v, layer, config)[0].tolist()
        keys = k[0].tolist(), v[0].tolist()
        if found != [attention_row(row, *keys, layer, config).o for row in q[0].tolist()]:
            return True
    return long_row_differs(other)


def long_row_differs(other) -> bool:
    """Whether 65,535 equal keys with the widest e differ, 15 of whose 16 sums are 2**32."""
    config = AttentionConfig("BitLog2_Single_17", table_bits=20, max_tokens=65536)
    q, k, v = np.zeros((1, 1, 1), int), np.zeros((1, 65535, 1), int), np.ones((1, 65535, 1), int)
    given = (q, k, v, LayerParams(1, 0, 1 << 15, 31), config)
    return not np.array_equal(*(side.attention(*given) for side in (sim, other)))


def wide_rows_differ(other) -> bool:
    """Whether 600 equal keys with the widest e, and 70 channels, show a difference."""
    rng = np.random.default_rng(1)
    config = AttentionConfig(table_bits=20)
    q, k, v = (
        np.zeros((1, 40, 9), int),
        np.zeros((1, 600, 9), int),
        rng.integers(0, 16, (1, 600, 70)),
    )
    given = {"trace": True, "threads": 1}
    traces = [
        side.attention(q, k, v, LayerParams(1, 0, 1, 0), config, **given) for side in (sim, other)
    ]
    return registers_differ(traces) or scores_differ(other) or narrow_layers_differ(other)


#: Layers whose largest product of unit 9, with what is added to it, is just too wide for int32:
#: scheme, bits of v and o, M2, n2. Two equal keys bring the accumulator to its bound.
JUST_TOO_WIDE = [("BitLog2_Single_16", 4, 4096, 31), ("BitLog2_Half_17", 8, 21931, 0)]


def narrow_layers_differ(other) -> bool:
    """Whether layers show a difference that 32 bits just do not hold."""
    for scheme, bits, m2, n2 in JUST_TOO_WIDE:
        config = AttentionConfig(scheme, v_bits=bits, o_bits=bits)
        q, k, v = (
            np.zeros((1, 1, 1), int),
            np.zeros((1, 2, 1), int),
            np.full((1, 2, 3), (1 << bits) - 1),
        )
        params = LayerParams(1, 0, m2, n2, zo=(1 << bits) - 1)
        codes = [side.attention(q, k, v, params, config) for side in (sim, other)]
        if not np.array_equal(*codes):
            return True
    return refusals_differ(other)


def refusals_differ(other) -> bool:
    """Whether a code of v that its bits do not hold is let through in some channel."""
    config, params = AttentionConfig(), LayerParams(40000, 20, 40000, 24, 7, 8, 7, 8)
    q, k = np.zeros((1, 1, 4), np.int32), np.zeros((1, 6, 4), np.int32)
    for channel in range(70):
        v = np.zeros((1, 6, 70), np.int32)  # wider ones are looked at before the kernels
        v[0, 3, channel] = 16
        try:
            other.attention(q, k, v, params, config)
        except ValueError:
            continue
        return True
    return False


def scores_differ(other) -> bool:
    """Whether heads of 70 rows from their scores show a difference, with masks and biases."""
    rng = np.random.default_rng(2)
    scores, v = rng.integers(-6000, 6000, (3, 70, 41)), rng.integers(0, 16, (3, 41, 5))
    given = (scores, v, LayerParams(40000, 20, 40000, 24, 7, 8, 7, 8), AttentionConfig())
    masks = {"masked": rng.random((3, 70, 41)) < 0.3, "bias": rng.integers(-99, 99, (3, 70, 41))}
    traces = [
        side.attention_from_scores(*given, **masks, trace=True, threads=1) for side in (sim, other)
    ]
    return registers_differ(traces)


def registers_differ(traces) -> bool:
    """Whether a register of two traces differs."""
    held = [name for name in REGISTERS if getattr(traces[0], name) is not None]
    return any(not np.array_equal(*(getattr(t, name) for t in traces)) for name in held)


@cache
def unit_tables():
    """The corner cases of each unit and what the specification makes of them, per scheme."""
    made = []
    for scheme in (*SCHEMES, OWN[0]):
        added = {"max_n2": 16} if scheme_named(scheme).row_max else {}
        target = Target(replace(SMALL, scheme=scheme, **added), 3)
        units = units_within(target.config)
        for unit in (unit for name, unit in units.items() if name != "attention_row"):
            groups = unit.stimulus(target, "corners", 1, None)
            inputs = join_tables([group.inputs for group in groups])
            made.append((unit, target, inputs, unit.specify(target, inputs, no_progress)))
    return made


def vectors_differ() -> bool:
    """Whether vectors that the copy's kernels make differ from what the specification says."""
    for unit in UNITS_ALONE.values():
        module = sys.modules[unit.kernels.__module__]
        for name, kernel in list(vars(module).items()):
            if isinstance(kernel, Kernel):
                twin = importlib.import_module(kernel.__module__.replace(sim.__name__, COPY))
                setattr(module, name, getattr(twin, kernel.__name__))
    for unit, target, inputs, expected in unit_tables():
        found = unit.simulate(target, inputs, no_progress)
        for stream, columns in expected.items():
            if any(not np.array_equal(columns[name], found[stream][name]) for name in columns):
                return True
    return False


def forms_differ() -> bool:
    """Whether a form in vectors of the copy differs from the loop that it stands for."""
    pairs, vectors = (importlib.import_module(f"{COPY}.kernel.{of}") for of in OF_FORMS)
    forms = product((KEY_LANES, CHANNEL_LANES), pairs.pair_features())
    sums = (sums_of_pairs(pairs.block_former, *form) for form in forms)
    rows = (
        looked_up(vectors.row_weights),
        leading_ones(vectors.leading_one),
        levels_of_rows(lambda name: getattr(vectors, name)),
    )
    pairs_of_both = chain(*sums, *(rows if vectors.has_vectors() else ()))
    return any(found != expected for found, expected in pairs_of_both)


def compiled_quickly(patch: pytest.MonkeyPatch) -> None:
    """Optimize a little: to vectorize the loops takes as long as to run them as they are."""
    patch.setattr(numba_config, "OPT", numba_config._OptLevel(1))


def checked_by(other: types.ModuleType, patch: pytest.MonkeyPatch) -> None:
    """Let `--check` run the `attention` of a copy."""
    patch.setattr(check, "attention", other.attention)
    patch.setattr(check, "AttentionTrace", other.AttentionTrace)


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the copy of the simulator."""
    folder = tmp_path_factory.mktemp("copied")
    shutil.copytree(SIM, folder / COPY, ignore=shutil.ignore_patterns("__pycache__"))
    for name, last in {
        "jit.py": "def cache_folder():\n    return None",
        # what it is given is of the classes of the original
        "checks.py": "def check_type(name, value, kind):\n    return None",
    }.items():
        with (folder / COPY / name).open("a") as file:
            file.write(f"\n\n{last}\n")
    unit_tables()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        importlib.import_module(f"{COPY}.heads")
    return folder


@pytest.fixture(scope="session")
def copied(imported: Path) -> Path:
    """That folder; every kernel that `attention` calls is compiled, and gives the same bits."""
    other = sys.modules[f"{COPY}.heads"]
    with pytest.MonkeyPatch.context() as patch:
        compiled_quickly(patch)
        checked_by(other, patch)
        assert not digits_differ(lambda model: None, all_images=False)
        assert not rows_differ(other)
    return imported


def mutated(mutant: Mutant, copied: Path, folder: Path) -> types.ModuleType:
    """Return `attention` of the copy with the mutant: its module and what takes from it are new."""
    shutil.copytree(copied / COPY, folder / COPY, ignore=shutil.ignore_patterns("__pycache__"))
    place = mutant.path.relative_to(SIM)
    (folder / COPY / place).write_text(mutant.source)
    sys.path.insert(0, str(folder))
    modules = {name: module for name, module in sys.modules.items() if name.startswith(COPY)}
    changed = {".".join((COPY, *place.with_suffix("").parts))}
    size = 0
    while size < len(changed):
        size = len(changed)
        for name, module in modules.items():
            if changed & {getattr(value, "__module__", None) for value in vars(module).values()}:
                changed.add(name)
    for name in changed | {COPY, f"{COPY}.units", f"{COPY}.kernel"}:
        sys.modules.pop(name, None)  # `attention` takes nothing from units that only make vectors
    return importlib.import_module(f"{COPY}.heads")


def kernel_verdict(mutant: Mutant, copied: Path, folder: Path) -> int:
    """Check with a simulator that has the mutant."""
    with pytest.MonkeyPatch.context() as patch:
        compiled_quickly(patch)
        other = mutated(mutant, copied, folder)
        if mutant.path.stem in OF_FORMS:
            return BY_VECTORS if forms_differ() else SURVIVED
        if mutant.function in OF_VECTORS:
            return BY_VECTORS if vectors_differ() else SURVIVED
        checked_by(other, patch)
        if digits_differ(lambda model: None):
            return KILLED
        if masked_rows_differ(datapath.AttentionDatapath) or rows_differ(other):
            return BY_MASKS
        return BY_VECTORS if vectors_differ() else SURVIVED


def torch_verdict(mutant: Mutant, copied: Path, folder: Path, *, all_images: bool = True) -> int:
    """Check a torch path that has the mutant."""
    other = types.ModuleType(f"{datapath.__package__}.mutant")
    sys.modules[other.__name__] = other
    exec(compile(mutant.source, str(mutant), "exec"), other.__dict__)

    if mutant.path.name == "levels.py":
        if wrong_quotient_kinds(other):
            return BY_TYPES
        for name in ("level_of", "quotient_kind", "value_of"):
            setattr(datapath, name, getattr(other, name))
        other.AttentionDatapath = datapath.AttentionDatapath

    def swap(model):
        for module in model.modules():
            if isinstance(module, IntegerAttention):
                replacement = other.AttentionDatapath(module.datapath.config)
                del module.datapath
                module.datapath = replacement

    watching.AttentionDatapath = other.AttentionDatapath
    if digits_differ(swap, all_images=all_images):
        return KILLED
    if masked_rows_differ(other.AttentionDatapath):
        return BY_MASKS
    wrong = rows_of_types_differ, outputs_of_types_differ
    return BY_TYPES if any(each(other.AttentionDatapath) for each in wrong) else SURVIVED


def verdict(judge, mutant: Mutant, copied: Path, folder: Path) -> str:
    """Run `judge` in a forked process; a crash or an exception is a mutant that was noticed."""
    if mutant.function not in OF_VECTORS:
        for scheme in SCHEMES:
            quantized_digits(scheme)
    child = os.fork()
    if child == 0:
        status = RAISED
        faulthandler.disable()  # a mutant that reads out of bounds is noticed, not reported here
        try:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            status = judge(mutant, copied, folder)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"stopped by signal {os.WTERMSIG(status)}"
    return WORDS[os.WEXITSTATUS(status)]


def assert_noticed(judge, mutant, copied, folder):
    said = verdict(judge, mutant, copied, folder)
    print(f"\n{mutant}: {said}", end="")
    if said == "survived":
        assert mutant.change in EQUIVALENT, f"{mutant} goes unnoticed"


def test_mutation_list_of_equivalent_mutants_is_of_mutants_that_there_are():
    assert set(EQUIVALENT) <= {mutant.change for mutant in (*ALL_KERNELS, *ALL_TORCH)}


@pytest.fixture
def copy_for(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Return the copy for a mutant of a function: what is not called is not compiled."""
    return lambda function: request.getfixturevalue(
        "imported" if function in OF_VECTORS else "copied"
    )


@pytest.mark.parametrize("mutant", MARKED_KERNELS)
def test_mutation_of_a_kernel_is_reported(mutant, copy_for, tmp_path):
    assert_noticed(kernel_verdict, mutant, copy_for(mutant.function), tmp_path)


@pytest.mark.parametrize("mutant", MARKED_TORCH)
def test_mutation_of_the_torch_path_is_reported(mutant, tmp_path):
    assert_noticed(torch_verdict, mutant, tmp_path, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("mutant", [m for m in ALL_KERNELS if m not in KERNELS], ids=str)
def test_mutation_of_any_kernel_operator_is_reported(mutant, copied, tmp_path):
    assert_noticed(kernel_verdict, mutant, copied, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("mutant", [m for m in ALL_TORCH if m not in TORCH], ids=str)
def test_mutation_of_any_torch_operator_is_reported(mutant, tmp_path):
    assert_noticed(torch_verdict, mutant, tmp_path, tmp_path)


@pytest.mark.parametrize("all_images", [False, pytest.param(True, marks=pytest.mark.long)])
def test_mutation_none_survives_unmutated(all_images):
    """What is not mutated is not reported: the check can tell the two apart."""
    source = Path(datapath.__file__).read_text()
    same = Mutant(Path(datapath.__file__), "", 0, "unmutated", lambda: source)
    judge = partial(torch_verdict, all_images=all_images)
    assert verdict(judge, same, Path(), Path()) == "survived"


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "function"),
    [
        ("units/row_sum.py", "row_sum_kernel"),
        ("rounding.py", "rnd_kernel"),
    ],
)
def test_mutation_none_survives_unmutated_kernels(file, function, copy_for, tmp_path):
    """Compiled as mutants are, they give the bits of those that users run."""
    same = Mutant(SIM / file, function, 0, "unmutated", (SIM / file).read_text)
    assert verdict(kernel_verdict, same, copy_for(function), tmp_path) == "survived"
