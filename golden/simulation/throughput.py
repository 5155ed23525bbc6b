"""How fast the reference RTL is simulated, against the simulator and by two kinds of testbench."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from bitlog2.sim import AttentionConfig, LayerParams, attention_from_scores
from bitlog2.sim.files import write

from ..cosim import CosimOptions, cosim
from ..package.emission import emit
from ..package.vector_set import PACKAGE_NAME, VectorSet, content_files, make_vectors
from ..stimulus.rows import RowCase, group_rows
from ..stimulus.unit import Target, join_tables
from ..stimulus.units import units_within
from ..testbench import reference_files
from ..testbench.files import build_testbench, run_testbench

#: The lanes that `attention_row` is stated with.
ATTENTION_ROW_LANES = 4
#: A layer of DeiT-Tiny for one image.
_HEADS, _ROWS, _KEYS = 3, 197, 197
#: Times that the simulator does the work in each sample: once is too short a time to be measured
#: beside a peer that takes a thousand times as long.
_REPEATED = 20
_PARAMS = LayerParams(m=40000, n=20, m2=40000, n2=24, zq=7, zk=8, zv=7, zo=8)
_UNIT = "row_max"


@dataclass(frozen=True)
class RtlSeconds:
    """Seconds of two sides that do the same work, alternating.

    Attributes:
        ours, peers: seconds of each repetition.
        keys: keys per side and repetition.
    """

    ours: list[float]
    peers: list[float]
    keys: int


def attention_row_seconds(folder: Path, repetitions: int) -> RtlSeconds:
    """Return the seconds of the simulator and of Verilator for the same 3 heads of 197 rows.

    A row has 197 keys and D = 64, as in DeiT-Tiny. Both give output codes only; Verilator runs the
    plain testbench without pauses, its taps left out, on one thread, as the simulator does. A
    sample of the simulator is the mean of 20 repetitions.

    Args:
        folder: an empty folder for the vectors and the build, whose time does not count.
        repetitions: runs of each side, 1 or more.

    Raises:
        ToolError: Verilator is not installed, or the testbench does not compile.
        RuntimeError: the testbench fails.
    """
    target = Target.of(AttentionConfig())
    rng = np.random.default_rng(0)
    scores = rng.integers(-6000, 6000, (_HEADS, _ROWS, _KEYS)).astype(np.int32)
    v = rng.integers(0, 16, (_HEADS, _KEYS, target.head_dim)).astype(np.int32)
    cases = [
        RowCase(row, values, _PARAMS, reason="timed")
        for head, values in zip(scores, v, strict=True)
        for row in head
    ]
    _write_rows(folder, target, cases)
    program = _built(folder, "attention_row", "-DNO_TAPS")

    def simulator() -> None:
        for _ in range(_REPEATED):
            attention_from_scores(scores, v, _PARAMS, target.config, threads=1)

    return _alternating(
        lambda: _seconds(simulator) / _REPEATED,
        lambda: _seconds(lambda: _run(program, folder)),
        repetitions,
        scores.size,
    )


def testbench_seconds(folder: Path, repetitions: int) -> RtlSeconds:
    """Return the seconds of the plain testbench and of cocotb for the default set of `row_max`.

    Both read the set, drive the device in Verilator without stalls and compare every word; what
    they build, and that `cosim` verifies the set beforehand, does not count.

    Args:
        folder: an empty folder for the vectors and the builds.
        repetitions: runs of each side, at most three of them.

    Raises:
        ToolError: a tool is not installed, or the device does not compile.
        RuntimeError: a side finds a difference.
    """
    vectors = folder / "vectors"
    emission = emit(vectors, units=[_UNIT], testbench=True)
    program = _built(vectors, _UNIT, out=folder / "plain")

    def cocotb() -> float:
        result = cosim(vectors, _UNIT, CosimOptions(stall=0, builds=folder / "builds"))
        if not result.ok:
            raise RuntimeError("\n".join(["cocotb must pass", *result.lines()]))
        return result.units[0].seconds

    (part,) = emission.vectors.units
    return _alternating(
        lambda: _seconds(lambda: _run(program, vectors)),
        cocotb,
        min(repetitions, 3),
        part.words(part.unit.inputs[0]),
    )


def _write_rows(folder: Path, target: Target, cases: list[RowCase]) -> None:
    """Write the files of a set of rows with its testbenches."""
    groups = group_rows(cases, "random")
    inputs = join_tables([group.inputs for group in groups])
    part = make_vectors(target, units_within(target.config)["attention_row"], groups, inputs)
    for name, data in content_files(VectorSet(target, 0, ("random",), (part,), testbench=True)):
        (folder / name).parent.mkdir(exist_ok=True)
        write(folder / name, data)


def _built(vectors: Path, module: str, *options: str, out: Path | None = None) -> Path:
    files = [vectors / PACKAGE_NAME, *reference_files(), vectors / f"{module}_tb.sv"]
    fast = ["-O3", "-MAKEFLAGS", "OPT_FAST=-O3", *options]
    return build_testbench(files, module, out or vectors / "build", options=fast)


def _run(program: Path, vectors: Path) -> None:
    status, lines = run_testbench(program, vectors, "+stall=0", "+resets=0")
    if status != 0:
        raise RuntimeError("\n".join(["the testbench must pass", *lines]))


def _seconds(work: Callable[[], None]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def _alternating(
    ours: Callable[[], float], peers: Callable[[], float], repetitions: int, keys: int
) -> RtlSeconds:
    ours(), peers()
    samples = [(ours(), peers()) for _ in range(repetitions)]
    return RtlSeconds([mine for mine, _ in samples], [theirs for _, theirs in samples], keys)
