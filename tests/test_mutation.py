"""60 seeded mutations of operators: half in the kernels, half in the torch path.

Each runs in a process of its own as `--check all` on digits does, over the four schemes, until a
register differs. Digits has no masks, no bias and no wide codes: what concerns these alone is then
shown to masked and biased rows of 4 and 8 bits. What is left must be listed as equivalent, with its
reason.
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
from pathlib import Path

import numpy as np
import pytest
from mutants import Mutant, mutants_of, sample
from support.models import digits_task, observed, quantized_digits, random_inputs

from bitlog2 import sim
from bitlog2.models.ptq import datapath, levels
from bitlog2.models.ptq.attention import IntegerAttention
from bitlog2.models.watch import check, watching
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.watching import watch
from bitlog2.sim import REGISTERS, SCHEMES, AttentionConfig, LayerParams

SIM = Path(sim.__file__).parent
#: Functions of the kernels' files that `attention` does not call: units' other forms, and memory.
OTHER_FORMS = {
    "log2_quantizer_kernel",
    "log2_quantizer_dividing",
    "_level",
    "leading_one_kernel",
    "pack_row_kernel",
    "shift_add_kernel",
    "_shifted",
    "score_accumulator_kernel",
}


def specified(path: Path) -> set[str]:
    """Functions of a file of units or roundings that are no kernels."""
    functions = [f for f in ast.walk(ast.parse(path.read_text())) if isinstance(f, ast.FunctionDef)]
    plain = {f.name for f in functions if not f.decorator_list}
    return set() if path.parent.name == "kernel" else plain


ALL_KERNELS = [
    mutant
    for path in (
        SIM / "rounding.py",
        *sorted(SIM.glob("units/*.py")),
        *sorted(SIM.glob("kernel/*.py")),
    )
    for mutant in mutants_of(path, OTHER_FORMS | specified(path))
]
ALL_TORCH = [
    *mutants_of(Path(datapath.__file__), set()),
    *mutants_of(Path(levels.__file__), {"value_of"}),  # values are the float path's
]
KERNELS = sample(ALL_KERNELS, count=30, seed=2)
#: One of five in the default suite: each compiles all kernels anew.
MARKED_KERNELS = [
    pytest.param(mutant, marks=() if number % 5 == 4 else pytest.mark.long)
    for number, mutant in enumerate(KERNELS)
]
TORCH = sample(ALL_TORCH, count=30, seed=2)
#: One of three, for its time too.
MARKED_TORCH = [
    pytest.param(mutant, marks=() if number % 3 == 0 else pytest.mark.long)
    for number, mutant in enumerate(TORCH)
]

#: Mutants that compute the same bits on all legal input, and why.
EQUIVALENT = {
    "ptq/datapath.py:attention_map: -2 -> +2": "axis 2 of four axes is axis -2",
    "ptq/datapath.py:attention_map: config.width('row_sum') > 31 -> "
    "config.width('row_sum') >= 31": "a row sum of 31 bits fits int32 and int64",
    "kernel/constants.py:layer_constants: largest_output + (1 << config.o_bits) < 1 << 31 -> "
    "largest_output + (1 << config.o_bits) <= 1 << 31": "what is 2**31 - 2**o_bits fits int32 too",
    "kernel/heads.py:_load_values: v.shape[1] - left -> v.shape[1] + left": (
        "fills lanes beyond the last channel, which nothing reads, with the next codes"
    ),
    "kernel/heads.py:_rows_to_outputs: last - first -> last + first": (
        "no value differs, memory is misused: rows past a short last block are coded too, and a "
        "trace keeps them where the next head's rows come, past its end for the last head"
    ),
    "kernel/lane_product.py:laid_out: -depth // DEPTH -> -depth * DEPTH": (
        "pads a block with more rows of zeros, which add nothing to a product"
    ),
}

KILLED, SURVIVED, BY_MASKS = 0, 3, 4


def digits_differ(swap) -> bool:
    """Whether `--check all` on digits, over all schemes, reports a difference."""
    images = digits_task().data.test
    for scheme in SCHEMES:
        model = quantized_digits(scheme)
        swap(model)
        checker = Checker("all")
        with watch(model, checker) as watched:
            for start in range(0, len(images), 64):
                watched.run(images[start : start + 64][0])
                if checker.total_mismatched:
                    return True
    return False


def masked_rows_differ(make_datapath) -> bool:
    """Whether rows with masks and biases show a difference."""
    for seed, scheme in enumerate(list(SCHEMES) * 3):
        bits = 8 if seed % 2 else 4
        config = AttentionConfig(scheme, q_bits=bits, k_bits=bits, v_bits=bits, o_bits=bits)
        inputs = random_inputs(33 + seed, seed, config, masks=True, bias=True, batch=3, heads=6)
        checker = Checker("all")
        checker.take(observed(config, inputs, make_datapath(config)(*inputs)))
        if checker.total_mismatched:
            return True
    return False


def broadcast_rows_differ(other) -> bool:
    """Whether one mask and one bias for all heads and rows show a difference to the simulator."""
    rng = np.random.default_rng(0)
    config, params = AttentionConfig(), LayerParams(40000, 20, 40000, 24, 7, 8, 7, 8)
    q, k, v = (rng.integers(0, 16, (18, 33, 16)) for _ in range(3))
    given = {"masked": rng.random((1, 1, 33)) < 0.3, "bias": rng.integers(-99, 99, (1, 1, 33))}
    codes = [side.attention(q, k, v, params, config, **given) for side in (sim, other)]
    return not np.array_equal(*codes) or wide_rows_differ(other)


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
    return registers_differ(traces) or scores_differ(other)


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
    return any(not np.array_equal(*(getattr(t, name) for t in traces)) for name in REGISTERS)


def kernel_verdict(mutant: Mutant, folder: Path) -> int:
    """Check with a simulator that has the mutant: a copy of the package under another name."""
    package = f"mutant_{folder.name.replace('-', '_')}"
    shutil.copytree(SIM, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / package / mutant.path.relative_to(SIM)).write_text(mutant.source)
    sys.path.insert(0, str(folder))
    other = importlib.import_module(f"{package}.attention")
    check.attention, check.AttentionTrace = other.attention, other.AttentionTrace
    if digits_differ(lambda model: None):
        return KILLED
    if masked_rows_differ(datapath.AttentionDatapath) or broadcast_rows_differ(other):
        return BY_MASKS
    return SURVIVED


def torch_verdict(mutant: Mutant, folder: Path) -> int:
    """Check a torch path that has the mutant."""
    other = types.ModuleType(f"{datapath.__package__}.mutant")
    sys.modules[other.__name__] = other
    exec(compile(mutant.source, str(mutant), "exec"), other.__dict__)

    if mutant.path.name == "levels.py":
        datapath.level_of = other.level_of
        other.AttentionDatapath = datapath.AttentionDatapath

    def swap(model):
        for module in model.modules():
            if isinstance(module, IntegerAttention):
                replacement = other.AttentionDatapath(module.datapath.config)
                del module.datapath
                module.datapath = replacement

    watching.AttentionDatapath = other.AttentionDatapath
    if digits_differ(swap):
        return KILLED
    return BY_MASKS if masked_rows_differ(other.AttentionDatapath) else SURVIVED


def verdict(judge, mutant: Mutant, folder: Path) -> str:
    """Run `judge` in a forked process; a crash or an exception is a mutant that was noticed."""
    for scheme in SCHEMES:
        quantized_digits(scheme)
    child = os.fork()
    if child == 0:
        status = 5
        faulthandler.disable()  # a mutant that reads out of bounds is noticed, not reported here
        try:
            signal.alarm(120)
            status = judge(mutant, folder)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"stopped by signal {os.WTERMSIG(status)}"
    words = {
        KILLED: "reported",
        SURVIVED: "survived",
        BY_MASKS: "reported with masks and bias",
        5: "raised an error",
    }
    return words[os.WEXITSTATUS(status)]


def assert_noticed(judge, mutant, folder):
    said = verdict(judge, mutant, folder)
    print(f"\n{mutant}: {said}", end="")
    if said == "survived":
        assert mutant.change in EQUIVALENT, f"{mutant} goes unnoticed"


@pytest.mark.parametrize("mutant", MARKED_KERNELS, ids=str)
def test_mutation_of_a_kernel_is_reported(mutant, tmp_path):
    assert_noticed(kernel_verdict, mutant, tmp_path)


@pytest.mark.parametrize("mutant", MARKED_TORCH, ids=str)
def test_mutation_of_the_torch_path_is_reported(mutant, tmp_path):
    assert_noticed(torch_verdict, mutant, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("mutant", [m for m in ALL_KERNELS if m not in KERNELS], ids=str)
def test_mutation_of_any_kernel_operator_is_reported(mutant, tmp_path):
    assert_noticed(kernel_verdict, mutant, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("mutant", [m for m in ALL_TORCH if m not in TORCH], ids=str)
def test_mutation_of_any_torch_operator_is_reported(mutant, tmp_path):
    assert_noticed(torch_verdict, mutant, tmp_path)


def test_mutation_none_survives_unmutated():
    """What is not mutated is reported by neither: the check can tell the two apart."""
    source = Path(datapath.__file__).read_text()
    same = Mutant(Path(datapath.__file__), "", 0, "unmutated", source)
    assert verdict(torch_verdict, same, Path()) == "survived"
