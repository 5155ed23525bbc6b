"""Every operator of the network's kernels and of its simulator changed, one at a time.

Each mutant takes small programs of every shape from pixels to logits, as plain Python, and must
show another register than the specification, another count of saturations, or an error. What is
left is listed as equivalent, with its reason.
"""

import ast
import faulthandler
import os
import signal
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mutants import Mutant, mutants_of
from support.programs import PROGRAMS, images, swin, vit
from support.quick import one_in

from bitlog2.sim.jit import Kernel
from bitlog2.sim.network import product, simulator, units
from bitlog2.sim.network.parameters import ProductParams
from bitlog2.sim.network.program import Linear
from bitlog2.sim.network.simulator import check_pixels, infer
from bitlog2.sim.network.units import reciprocal_root

FOLDER = Path(simulator.__file__).parent
#: Exit status of a mutant's process, and how long it may take.
SURVIVED, REPORTED, SECONDS = 0, 1, 60
#: Mutants that compute the same on all legal input, and why.
EQUIVALENT = {
    "units/activation.py:activation_kernel: np.int64(u[t, o]) + half -> np.int64(u[t, o]) - half": (
        "a negative index counts from the end of the table"
    ),
    "network/simulator.py:attention: len(masked) > 1 -> len(masked) >= 1": (
        "a mask of all heads is written out for each"
    ),
    "network/simulator.py:attention: len(bias) > 1 -> len(bias) >= 1": (
        "a bias of one head is written out for each image"
    ),
}
#: Mutants of which no value differs, but memory is misused: the process may die of it, or not.
MISUSED = {
    "network/product.py:__call__: self.blocks.shape[1] // KEY_LANES -> "
    "self.blocks.shape[1] * KEY_LANES": "codes of 0 meet what lies behind the weights",
}


def specified(path: Path) -> set[str]:
    """Functions of a file of units that are no kernels: the specification has its own tests."""
    functions = [f for f in ast.walk(ast.parse(path.read_text())) if isinstance(f, ast.FunctionDef)]
    return {f.name for f in functions if not f.decorator_list}


KERNELS = [
    mutant
    for path in sorted(FOLDER.glob("units/*.py"))
    for mutant in mutants_of(path, specified(path))
]
AROUND = [
    mutant for module in (product, simulator) for mutant in mutants_of(Path(module.__file__), set())
]


def cases():
    """Programs and pixels; of the last three stream, u, terms of the mean and mean saturate."""
    narrow = swin(scheme="BitLog2_Half_17", mean_bits=8)
    made = [make() for make in PROGRAMS.values()]
    made += [vit(stream_bits=8, u_bits=6), narrow, _with_a_large_mean()]
    return [(program, images(program, 2)) for program in made]


def _with_a_large_mean():
    program = swin()
    mean = replace(program.head.mean, mean_multiplier=program.head.mean.mean_multiplier * 3)
    return replace(program, steps=(*program.steps[:-1], replace(program.head, mean=mean)))


def registers(run, program, pixels):
    """What a run of the simulator showed: registers in order, logits and counts."""
    found = []

    def trace(part, unit, values):
        found.extend((part, unit, name, values[name]) for name in values)

    inference = run(program, pixels, trace=trace, threads=1)
    return found, inference


def same(one, other):
    """Whether two runs showed the same."""
    (found, inference), (expected, wanted) = one, other
    return (
        inference.saturated == wanted.saturated
        and np.array_equal(inference.logits, wanted.logits)
        and len(found) == len(expected)
        and all(
            a[:3] == b[:3] and a[3].dtype == b[3].dtype and np.array_equal(a[3], b[3])
            for a, b in zip(found, expected, strict=True)
        )
    )


@pytest.fixture(scope="module")
def expected():
    """Runs of the simulator as it is, which other tests hold to the specification."""
    return [(*case, registers(infer, *case)) for case in cases()]


def plain_products_differ(module):
    """The plain kernel, which the simulator does not call."""
    rng = np.random.default_rng(1)
    codes, weights = rng.integers(0, 256, (3, 9)), rng.integers(-255, 256, (4, 9))
    acc = np.empty((3, 4), np.int32)
    bias = np.arange(4)
    module.linear_accumulator_kernel(codes, 77, weights, bias, acc)
    return not np.array_equal(acc, (codes - 77) @ weights.T + bias)


def wide_products_differ(module):
    """Several blocks of outputs, in both forms, and which of them is chosen."""
    rng = np.random.default_rng(2)
    codes, bias = rng.integers(0, 256, (6, 9)).astype(np.uint8), np.arange(130)
    for form, largest in (("ByteProduct", 127), ("WordProduct", 128)):
        weights = rng.integers(-127, 128, (130, 9)).astype(np.int16)
        weights[0, 0] = largest
        linear = Linear(weights, ProductParams(77, tuple(bias.tolist())))
        acc = np.empty((6, 130), np.int32)
        getattr(module, form).of(linear)(codes, acc)
        chosen = type(module.product_of(linear)).__name__
        if chosen != type(product.product_of(linear)).__name__:
            return True
        if not np.array_equal(acc, (codes.astype(int) - 77) @ weights.astype(int).T + bias):
            return True
    return False


def roots_differ(module):
    """Perfect squares and their neighbours, of variances on both sides of k = 0."""
    squares = [1, 9, 49, 12345**2, (1 << 16) ** 2, 987654321**2, (1 << 29) ** 2]
    variance = np.array([x + d for x in squares for d in (0, 1, 2)], np.int64)
    found, expected = (np.empty((3, variance.size), np.int64) for _ in range(2))
    module.reciprocal_root_kernel(variance, 16, *found)
    reciprocal_root.reciprocal_root_kernel(variance, 16, *expected)
    return not np.array_equal(found, expected)


def terms_differ(module):
    """Terms of a mean beyond both ends."""
    term = np.empty((1, 2), np.int32)
    one, zero = np.ones(2, np.int64), np.zeros(2, np.int64)
    module.mean_term_kernel(np.array([[-999, 999]], np.int32), one, zero, zero, 127, term)
    return term.tolist() != [[-128, 127]]


def pixels_differ(module):
    """One pixel that is too large among black ones: it is refused with the same words."""
    program = vit()
    words = []
    for check in (module.check_pixels, check_pixels):
        for largest in (255, 256, 257):
            pixels = np.zeros((1, *program.image_shape), np.uint16)
            pixels[0, 0, 0, 0] = largest
            try:
                words.append(str(check(program, pixels).max()))
            except ValueError as error:
                words.append(str(error))
    return words[:3] != words[3:]


def tiles_differ(module):
    """Tokens of which a thread takes several tiles, of as many as the cache holds."""
    found = []
    for each in (module, simulator):
        tiles = []
        each._Simulation(None, None, 1, {}).tiles(3000, each._CACHED // 128, tiles.append)
        found.append([(tile.start, tile.stop) for tile in tiles])
    return found[0] != found[1]


#: What programs of so few channels do not show, by file.
ALONE = {
    "linear_accumulator.py": plain_products_differ,
    "product.py": wide_products_differ,
    "reciprocal_root.py": roots_differ,
    "simulator.py": lambda module: pixels_differ(module) or tiles_differ(module),
    "token_mean.py": terms_differ,
}


def changed_module(mutant: Mutant) -> types.ModuleType:
    """The module with the mutant, its kernels as plain Python."""
    package = units.__name__ if mutant.path.parent.name == "units" else simulator.__package__
    module = types.ModuleType(f"{package}.mutant")
    module.__package__ = package
    sys.modules[module.__name__] = module  # dataclasses look there
    exec(compile(mutant.source, str(mutant), "exec"), module.__dict__)
    for value in vars(module).values():
        if isinstance(value, Kernel) and value.py_func.__module__ == module.__name__:
            value.__dict__["compiled"] = value.py_func
    return module


def reported(mutant: Mutant, expected) -> bool:
    """Whether the mutant shows another register, another count, or an error.

    In a process of its own, which may die of a kernel's arguments, or not come to an end.
    """
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        status = SURVIVED
        try:
            with pytest.MonkeyPatch.context() as patch:
                faulthandler.disable()
                status = REPORTED if differs(mutant, expected, patch) else SURVIVED
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != SURVIVED


def differs(mutant: Mutant, expected, patch: pytest.MonkeyPatch) -> bool:
    """The same, here."""
    module = changed_module(mutant)
    run = infer
    if mutant.path.name == "simulator.py":
        run = module.infer
    else:
        for name, value in vars(module).items():
            if hasattr(simulator, name) and getattr(value, "__module__", "") == module.__name__:
                patch.setattr(simulator, name, value)
    alone = ALONE.get(mutant.path.name, lambda _module: False)
    try:
        with np.errstate(all="ignore"):
            return alone(module) or not all(
                same(registers(run, program, pixels), wanted)
                for program, pixels, wanted in expected
            )
    except Exception:  # noqa: BLE001 - any error is a report
        return True


MUTANTS = [*KERNELS, *AROUND]


@pytest.mark.parametrize("mutant", one_in(10, MUTANTS, list(map(str, MUTANTS))))
@pytest.mark.filterwarnings("ignore")
def test_network_mutant_is_reported(mutant, expected):
    survived = not reported(mutant, expected)
    assert mutant.change in MISUSED or survived == (mutant.change in EQUIVALENT), mutant.change


MODULES = (*sorted(FOLDER.glob("units/[a-z]*.py")), FOLDER / "product.py", FOLDER / "simulator.py")


@pytest.mark.parametrize("path", one_in(12, MODULES, [path.stem for path in MODULES]))
@pytest.mark.filterwarnings("ignore")
def test_network_mutation_reports_nothing_of_a_module_as_it_is(path, expected, monkeypatch):
    whole = Mutant(path, "", 0, "none", path.read_text)
    assert not differs(whole, expected, monkeypatch)


def test_network_mutation_lists_no_mutant_that_is_gone():
    assert {*EQUIVALENT, *MISUSED} <= {mutant.change for mutant in (*KERNELS, *AROUND)}
