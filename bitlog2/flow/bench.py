"""Speed as a ratio against a named peer, both sides alternating in the same run."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numba
import numpy as np
import timm
import torch
import torch.nn.functional as F
from numba import njit
from torch import Tensor, nn

from bitlog2.extras import refusal
from bitlog2.golden import emit_and_verify_seconds
from bitlog2.golden.simulation import ToolError
from bitlog2.golden.simulation import throughput as rtl
from bitlog2.models.network.check import NetworkCheck
from bitlog2.models.network.lower import lower
from bitlog2.models.network.network import ImageNetwork, IntegerNetwork
from bitlog2.models.ptq.levels import level_of
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.registers import HeadChoice
from bitlog2.models.watch.watching import watch
from bitlog2.models.zoo.task import pixels_of
from bitlog2.sim import AttentionConfig, LayerParams, attention
from bitlog2.sim.files import write_whole
from bitlog2.sim.kernel.constants import layer_constants, scheme_constants
from bitlog2.sim.kernel.rows import BLOCK_ROWS, aligned, code_block, row_block
from bitlog2.sim.network.program_file import write_program
from bitlog2.sim.network.simulator import Simulator
from bitlog2.sim.parts import filled_up
from bitlog2.sim.units.exp2 import exp2_kernel as exp2
from bitlog2.sim.units.exp2 import sum_of_exp2
from bitlog2.sim.units.log2_quantizer import row_thresholds, threshold_quantizer
from bitlog2.sim.units.row_multiplier import row_multiplier_kernel
from bitlog2.sim.units.score_requantizer import score_requantizer_kernel as score_requantizer


@dataclass(frozen=True)
class Case:
    """Two ways to do the same work.

    Attributes:
        name: description of the work.
        peer: name of the other way.
        ours, theirs: the work; both are run once before they are timed, and return what they made.
        target, aim: the ratio of the times to be reached, at most, and the one to strive for.
        threads: torch's, while both sides run.
    """

    name: str
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    target: float
    aim: float
    threads: int = 1


@dataclass(frozen=True)
class ThroughputCase:
    """Work that is measured in bytes a second.

    Attributes:
        names: names of its rows.
        run: returns the seconds of each row, and the bytes that each handles.
        target: megabytes a second to be reached, at least.
        repetitions: at most.
    """

    names: tuple[str, ...]
    run: Callable[[], tuple[tuple[float, ...], int]]
    target: float
    repetitions: int = 3


def _verdict(met: bool) -> str:
    return "met" if met else "NOT MET"


@dataclass(frozen=True)
class PeerComparison:
    """What a case took in each repetition, alternating: seconds, or gigabytes (10**9 bytes)."""

    name: str
    peer: str
    ours: list[float]
    peers: list[float]
    target: float
    aim: float
    note: str = ""
    samples: str = "seconds"
    unit: str = field(default="ratio", init=False)

    @property
    def value(self) -> float:
        """Our median over that of the peer; not a number where there is no peer."""
        if not self.peers:
            return float("nan")
        return statistics.median(self.ours) / statistics.median(self.peers)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is no peer."""
        return self.value <= self.target if self.peers else None

    def lines(self) -> list[str]:
        """Return the name, the medians, and the ratio with its targets."""
        if self.met is None:
            return [self.name, f"  not run: {self.note}"]
        digits, unit = 2 if self.aim >= 0.05 else 4, "ms" if self.samples == "seconds" else "MB"
        ours, peer = (1000 * statistics.median(side) for side in (self.ours, self.peers))
        ratios = (f"{each:.{digits}f}" for each in (self.value, self.target, self.aim))
        return [
            self.name,
            f"  {ours:.2f} {unit}, {self.peer} {peer:.2f} {unit}",
            "  ratio {}, to reach {}, aim {}: ".format(*ratios) + _verdict(self.met),
            *([f"  {self.note}"] if self.note else []),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, raw samples too."""
        value = self.value if self.peers else None
        return {**asdict(self), "value": value, "met": self.met}


@dataclass(frozen=True)
class Throughput:
    """What a throughput took: seconds of each repetition."""

    name: str
    seconds: list[float]
    bytes: int
    target: float
    unit: str = field(default="MB/s", init=False)

    @property
    def value(self) -> float:
        """Megabytes (10**6 bytes) a second, from the median."""
        return self.bytes / 1e6 / statistics.median(self.seconds)

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.value >= self.target

    def lines(self) -> list[str]:
        """Return the name, and the rate with its target."""
        rate = f"{self.value:.1f} MB/s, to reach {self.target:.0f}"
        return [self.name, f"  {rate}: {_verdict(self.met)}"]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, raw samples too."""
        return {**asdict(self), "value": self.value, "met": self.met}


Row = PeerComparison | Throughput


def write_samples(path: Path, rows: Sequence[Row]) -> None:
    """Write the machine and every row with its raw samples, as JSON."""
    content = {**machine(), "rows": [row.as_dict() for row in rows]}
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


#: Makes a case, or what there is to say where it cannot be run.
MadeCase = Callable[[], Case | ThroughputCase | PeerComparison]


def run_bench(
    cases: Sequence[MadeCase],
    repetitions: int,
    wanted: str = "",
) -> Iterator[Row]:
    """Yield a row or more for each case.

    Args:
        cases: each makes its case when its turn comes; a `PeerComparison` stands for a peer that is
            not there.
        repetitions: runs of each side.
        wanted: text that the names of the wanted rows hold.

    Raises:
        ValueError: no name holds it.
    """
    before, others, found = torch.get_num_threads(), list[str](), False
    try:
        for make in cases:
            case = make()
            names = case.names if isinstance(case, ThroughputCase) else (case.name,)
            if not any(wanted in name for name in names):
                others += names
                continue
            found = True
            if isinstance(case, PeerComparison):
                yield case
            elif isinstance(case, ThroughputCase):
                yield from _throughput(case, repetitions)
            else:
                torch.set_num_threads(case.threads)
                samples = _alternate(case.ours, case.theirs, repetitions)
                yield PeerComparison(case.name, case.peer, *samples, case.target, case.aim)
        if not found:
            legal = "; ".join(others)
            raise ValueError(f"rows must be part of the name of one of: {legal}; got {wanted!r}")
    finally:
        torch.set_num_threads(before)


def _alternate(
    ours: Callable[[], Any], theirs: Callable[[], Any], repetitions: int
) -> tuple[list[float], list[float]]:
    ours(), theirs()
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(repetitions):
        for side, run in zip(samples, (ours, theirs), strict=True):
            start = time.perf_counter()
            run()
            side.append(time.perf_counter() - start)
    return samples


def _throughput(case: ThroughputCase, repetitions: int) -> Iterator[Throughput]:
    runs = [case.run() for _ in range(min(repetitions, case.repetitions))]
    for index, name in enumerate(case.names):
        yield Throughput(name, [seconds[index] for seconds, _ in runs], runs[0][1], case.target)


def machine() -> dict[str, Any]:
    """Return what the timings depend on: processor, its flags, cores, versions."""
    facts = _processor()
    return {
        "machine": platform.machine(),
        "processor": facts.get("model name", platform.processor()),
        "flags": facts.get("flags", "").split(),
        "cores": os.cpu_count(),
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "torch": torch.__version__,
    }


def _processor() -> dict[str, str]:
    """Return what Linux says of the first processor; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


_PARAMS = LayerParams(m=40000, n=20, m2=40000, n2=16, zq=7, zk=8, zv=7, zo=8)
_NO_MASK, _NO_BIAS = np.zeros((1, 0), np.uint8), np.zeros((1, 0), np.int32)


@njit(nogil=True, _nrt=False)  # type: ignore[call-overload, untyped-decorator]
def _code_rows(score, layer, scheme, block, weight, level, total, m2, n2):  # type: ignore[no-untyped-def]
    """Take scores (G, R, N) int32 to levels, a block of rows at a time, as `attention` does."""
    keys = score.shape[2]
    for g in range(score.shape[0]):
        for first in range(0, score.shape[1], BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, score.shape[1])
            rows, made = score[g, first:last], (level[g, first:last], weight, total[g, first:last])
            code_block(rows, keys, _NO_MASK, _NO_BIAS, first, layer, scheme, False, block, *made)
        if scheme.row_max:
            row_multiplier_kernel(total[g], layer, m2[g], n2[g])


def scores_to_levels(scheme: str, target: float, aim: float) -> Case:
    """Scores of a DeiT-S layer to levels, batch 16: units 2 to 6, or 2, 3, 10 to 12 of RowMax."""
    config, grid, width = AttentionConfig(scheme), (96, 197, 197), filled_up(197)
    layer, levels = layer_constants(config, _PARAMS, False), scheme_constants(config.code)
    score = np.random.default_rng(0).integers(-6000, 6000, grid).astype(np.int32)
    real = torch.from_numpy(score.astype(np.float32) / 1000)
    out = torch.empty_like(real)  # as ours: no new pages in the timed part
    level, sums = aligned((*grid[:2], width), np.uint8), np.empty((3, *grid[:2]), np.int64)
    row, weight = row_block(197), aligned((BLOCK_ROWS, width), np.int16)

    def ours() -> np.ndarray:
        _code_rows(score, layer, levels, row, weight, level, *sums)
        return level[:, :, :197]

    return Case(
        f"scores to levels of {scheme}, 96 x 197 x 197, 1 thread",
        "torch.softmax float32",
        ours,
        lambda: torch.softmax(real, dim=-1, out=out),
        target,
        aim,
    )


def _codes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    q, k, v = (rng.integers(0, 16, (96, 197, 64)).astype(np.int32) for _ in range(3))
    return q, k, v


def whole_attention(threads: int) -> Case:
    """A DeiT-S layer, batch 16: units 1 to 9 against the fused float attention."""
    codes = _codes()
    real: list[Any] = [torch.from_numpy(x.astype(np.float32))[None] for x in codes]
    return Case(
        f"whole attention, 16 x 6 heads x 197 x 64, {threads} thread{'s' * (threads > 1)}",
        "torch scaled_dot_product_attention float32",
        partial(attention, *codes, _PARAMS, AttentionConfig(), threads=threads),
        lambda: F.scaled_dot_product_attention(*real),
        target=0.7,
        aim=0.4,
        threads=threads,
    )


def row_max_attention() -> Case:
    """The same of RowMax_16, whose accumulators are wider, against that of Half_17."""
    codes = _codes()
    row_max, half = AttentionConfig("RowMax_16"), AttentionConfig("BitLog2_Half_17")
    return Case(
        "whole attention of RowMax_16, 1 thread",
        "that of BitLog2_Half_17",
        partial(attention, *codes, _PARAMS, row_max, threads=1),
        partial(attention, *codes, _PARAMS, half, threads=1),
        target=1.0,
        aim=0.9,
    )


def two_threads() -> Case:
    """The same on two threads, against itself on one."""
    codes, config = _codes(), AttentionConfig()
    return Case(
        "whole attention, 2 threads",
        "itself on 1 thread",
        partial(attention, *codes, _PARAMS, config, threads=2),
        partial(attention, *codes, _PARAMS, config, threads=1),
        target=1 / 1.8,
        aim=1 / 1.95,
    )


def float_quantizers(x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Return torch expressions of Half_17's levels of x in [0, 1], float32: all give the same."""
    scheme = AttentionConfig("BitLog2_Half_17").code
    values = torch.tensor(scheme.values, dtype=torch.float32)

    def p() -> Tensor:
        return (x * 384).floor_().clamp_(max=383)

    def by_frexp() -> Tensor:
        mantissa, exponent = torch.frexp(p())
        return (2 * exponent - 2 + (mantissa >= 0.75)).clamp_(min=0) + (exponent == 1)

    return {
        "frexp": by_frexp,
        "bits of the float": lambda: level_of(p(), scheme),
        "bucketize": lambda: torch.bucketize(p(), values, right=True, out_int32=True) - 1,
    }


def _fastest(expressions: dict[str, Callable[[], Tensor]]) -> str:
    def seconds(run: Callable[[], Tensor]) -> float:
        run()
        start = time.perf_counter()
        for _ in range(3):
            run()
        return time.perf_counter() - start

    return min(expressions, key=lambda name: seconds(expressions[name]))


def quantizer_alone() -> Case:
    """Unit 6 on one row of 2**20 keys, as unit 4 hands e over: with its logarithm.

    The peer is the fastest of `float_quantizers`, which are given e / s.
    """
    config, total = AttentionConfig(), 1 << 22
    layer, scheme = layer_constants(config, _PARAMS), scheme_constants(config.code)
    d = np.random.default_rng(2).integers(0, config.d_max + 1, 1 << 20).astype(np.int16)
    logarithm, level = np.empty(d.size, np.int32), np.empty(d.size, np.uint8)
    e = np.empty(d.size, np.int32)
    sum_of_exp2(d, layer, logarithm)
    exp2(d, np.zeros(0, np.uint8), layer, e)
    s, power, raised = np.array([total]), np.empty(1, np.int32), np.empty(1, np.int32)
    peers = float_quantizers(torch.from_numpy(e.astype(np.float32) / total))
    fastest = _fastest(peers)

    def ours() -> np.ndarray:
        row_thresholds(s, layer, scheme, power, raised)
        threshold_quantizer(logarithm, power[0], raised[0], layer, scheme, level)
        return level

    return Case(
        "log2 quantizer alone, 2^20 values, 1 thread",
        f"torch float32 by {fastest}, the fastest of {len(peers)}",
        ours,
        peers[fastest],
        target=0.2,
        aim=0.05,
    )


def rounding_cast() -> Case | PeerComparison:
    """RND and SAT of 2**20 products to 8 bits: unit 2, its multiplication too, against a cast."""
    name, peer, target, aim = "rounding, saturating cast, 2^20 values", "apytypes cast", 0.5, 0.2
    try:
        from apytypes import APyFixedArray, OverflowMode, QuantizationMode
    except ImportError:
        return PeerComparison(
            name, peer, [], [], target, aim, refusal("the peer", "apytypes") or ""
        )
    config = AttentionConfig(t_bits=8)
    layer = layer_constants(config, _PARAMS)
    score = np.random.default_rng(3).integers(-28800, 28801, 1 << 20).astype(np.int32)
    bias, t = np.zeros(score.size, np.int32), np.empty(score.size, np.int32)
    product = score.astype(np.int64) * _PARAMS.m
    bits = 32 - _PARAMS.n
    fixed = APyFixedArray(product.tolist(), int_bits=bits, frac_bits=_PARAMS.n)

    def ours() -> np.ndarray:
        score_requantizer(score, bias, layer, t)
        return t

    return Case(
        name,
        peer,
        ours,
        lambda: fixed.cast(8, 0, QuantizationMode.TIES_POS, OverflowMode.SAT),
        target,
        aim,
    )


def _deit_small(*arithmetics: str) -> tuple[Tensor, dict[str, nn.Module]]:
    """Return images and quantized forms of three layers of a DeiT-S, by arithmetic."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model("deit_small_patch16_224", pretrained=False, depth=3).eval()
        images = torch.randn(8, 3, 224, 224)
    return images, {
        arithmetic: quantize(model, images, QuantizationSpec("BitLog2_Half_17", arithmetic))
        for arithmetic in arithmetics
    }


def _infer(model: nn.Module, images: Tensor, check: str, batches: int = 1) -> None:
    """Run the model on the images, again and again, as an evaluation does."""
    checker = None if check == "none" else Checker(check)
    with watch(model, *filter(None, [checker])) as watched:
        for _ in range(batches):
            watched.run(images)
        if checker is not None:
            checker.finish()


def checked_integers() -> Case:
    """Integer attention with every register checked, against the float one, unchecked."""
    made = cache(partial(_deit_small, "attention", "float"))

    def infer(arithmetic: str, check: str) -> None:
        images, models = made()
        _infer(models[arithmetic], images, check)

    return Case(
        "integer attention, check all, DeiT-S shape, 2 threads",
        "float arithmetic, check none",
        partial(infer, "attention", "all"),
        partial(infer, "float", "none"),
        target=3.0,
        aim=1.2,
        threads=2,
    )


def checked_beside() -> Case:
    """What checking adds to inference on one thread, where the checker has a core of its own."""
    made = cache(partial(_deit_small, "attention"))

    def infer(check: str) -> None:
        images, models = made()
        _infer(models["attention"], images, check, batches=4)

    return Case(
        "integer attention, check all, DeiT-S shape, 1 torch thread, a core free",
        "the same, check none",
        partial(infer, "all"),
        partial(infer, "none"),
        target=1.25,
        aim=1.1,
    )


@dataclass(frozen=True)
class _Shape:
    """A DeiT of random weights, float32 and lowered, and images for both.

    Attributes:
        model: of timm, twelve blocks.
        network, simulator: of a program with twelve times the same block, both on 2 threads.
        images, pixels: (B, 3, side, side) float32, and the integers that they stand for.
    """

    model: nn.Module
    network: ImageNetwork
    simulator: Simulator
    images: Tensor
    pixels: np.ndarray


@cache
def _shape(size: str, side: int, batch: int) -> _Shape:
    """Return a DeiT of that size, "tiny", "small" or "base", of side * side pixels."""
    name, normalization = f"deit_{size}_patch16_224", pixels_of(f"deit_{size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model(name, pretrained=False, img_size=side).eval()
        one = timm.create_model(name, pretrained=False, img_size=side, depth=1).eval()
        pixels = torch.randint(0, 256, (batch, 3, side, side))
    mean, deviation = (
        torch.tensor(each).view(-1, 1, 1) for each in (normalization.mean, normalization.deviation)
    )
    images = (pixels / 255 - mean) / deviation
    tokens = (side // 16) ** 2 + 1
    hardware = (("max_tokens", tokens),) if tokens > AttentionConfig().max_tokens else ()
    spec = QuantizationSpec(arithmetic="attention", datapath=hardware)
    quantized = quantize(one, images[:2], spec)
    program, _ = lower(quantized, images[:2], normalization)
    program = replace(program, steps=(program.embedding, *program.blocks * 12, program.head))
    network, simulator = ImageNetwork(program, normalization), Simulator(program, threads=2)
    return _Shape(model, network, simulator, images, pixels.numpy().astype(np.uint8))


def _forward(model: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        output: Tensor = model(images)
    return output


def whole_network(of: str, size: str, side: int = 224, batch: int = 16) -> Case:
    """Images through a DeiT, from pixels to logits: "torch" or "simulator" against timm.

    Normalization of the images is no part of a float model; here it is in the first layer.
    """
    tokens = (side // 16) ** 2 + 1

    def ours() -> Any:
        made = _shape(size, side, batch)
        if of == "simulator":
            return made.simulator(made.pixels).logits
        with torch.inference_mode():
            return IntegerNetwork.forward(made.network, torch.from_numpy(made.pixels))

    def theirs() -> Tensor:
        made = _shape(size, side, batch)
        return _forward(made.model, made.images)

    return Case(
        f"{of} network, DeiT-{size[0].upper()}, {tokens} tokens, batch {batch}, 2 threads",
        "timm float32 in torch",
        ours,
        theirs,
        target=1.0,
        aim=0.4,
        threads=2,
    )


def checked_network() -> Case:
    """The whole network with every register of every unit checked, one torch thread."""
    beside = cache(lambda: Simulator(_shape("small", 224, 16).simulator.program, threads=1))

    def infer(check: bool) -> None:
        made = _shape("small", 224, 16)
        if not check:
            _forward(made.network, made.images)
            return
        whole = NetworkCheck(HeadChoice("all"), made.network, beside())
        whole.run(made.images, list(range(len(made.images))))
        assert not whole.found.mismatched

    return Case(
        "torch network, DeiT-S, check all, 1 torch thread, a core free",
        "the same, check none",
        partial(infer, True),
        partial(infer, False),
        target=1.5,
        aim=1.1,
    )


def command_line(option: str) -> Case:
    """The time until `bitlog2 --version` or `--help` has printed, against Python's own start."""

    def run(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, capture_output=True)

    return Case(
        f"bitlog2 {option}",
        "python -c pass",
        partial(run, "-m", "bitlog2", option),
        partial(run, "-c", "pass"),
        target=5.0,
        aim=3.0,
    )


#: What is measured of memory, in a process of its own: `bitlog2 run`, and a DeiT in timm.
_RUN_PROCESS = """
import sys
from bitlog2.scripts.cli import main
assert main(["run", *sys.argv[1:]]) == 0
"""
_FLOAT_PROCESS = """
import sys, timm, torch
torch.set_num_threads(2)
model = timm.create_model(sys.argv[1], pretrained=False).eval()
with torch.inference_mode():
    model(torch.randn(16, 3, 224, 224))
"""
#: Linux's largest resident memory of a process itself; that of `resource` starts at its parent's.
_STATUS = Path("/proc/self/status")
_REPORT = f"""
with open({str(_STATUS)!r}) as lines:
    print(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""


def memory_cases(wanted: str) -> Iterator[Callable[[], PeerComparison]]:
    """Yield the rows of peak memory: processes of their own, so only those wanted."""
    for size in ("tiny", "small", "base"):
        name = f"peak memory in MB: bitlog2 run, DeiT-{size[0].upper()}, batch 16"
        if wanted in name:
            yield partial(_peak_memory, name, size)


def _peak_memory(name: str, size: str) -> PeerComparison:
    peer, target, aim = "timm float32 in torch", 1.0, 0.5
    if not _STATUS.is_file():
        return PeerComparison(name, peer, [], [], target, aim, f"needs {_STATUS} of Linux")
    made = _shape(size, 224, 16)
    with TemporaryDirectory() as folder:
        program, images, out = (str(Path(folder, each)) for each in ("p", "i.npz", "o.npz"))
        write_program(Path(program), made.simulator.program)
        np.savez(images, images=made.pixels)
        words = (program, "--images", images, "--out", out, "--threads", "2")
        samples = [_peak(_RUN_PROCESS, *words)], [_peak(_FLOAT_PROCESS, f"deit_{size}_patch16_224")]
    return PeerComparison(name, peer, *samples, target, aim, samples="gigabytes")


def _peak(code: str, *words: str) -> float:
    """Return the largest resident memory of a Python process, in 10**9 bytes."""
    command = [sys.executable, "-c", code + _REPORT, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.split()[-1]) * 1024 / 1e9


def growth_cases() -> list[MadeCase]:
    """Return the rows of DeiT-T with more tokens, and in other batches."""
    sizes = [(384, 4), (512, 4), (224, 1), (224, 4), (224, 64)]
    return [
        partial(whole_network, of, "tiny", *each) for each in sizes for of in ("torch", "simulator")
    ]


def files(words: int) -> ThroughputCase:
    """Writing and verifying a vector set of that many words."""

    def run() -> tuple[tuple[float, ...], int]:
        emitted, verified, size = emit_and_verify_seconds(words)
        return (emitted, verified), size

    names = (f"golden emit, {words:,} words", f"golden verify, {words:,} words")
    return ThroughputCase(names, run, target=50.0)


def rtl_cases(repetitions: int, wanted: str) -> Iterator[Callable[[], PeerComparison]]:
    """Yield the rows that need the extra [rtl]: their builds take long, so only those wanted."""
    lanes = rtl.ATTENTION_ROW_LANES
    rows: list[tuple[str, str, Callable[[Path, int], rtl.RtlSeconds], float, float]] = [
        (
            f"attention_row, D = 64, {lanes} lanes: the simulator, 1 thread",
            "Verilator on the reference RTL",
            rtl.attention_row_seconds,
            0.01,
            0.001,
        ),
        (
            "row_max, default set, no stalls: plain testbench",
            "cocotb, both in Verilator",
            rtl.testbench_seconds,
            0.1,
            0.01,
        ),
    ]
    for row in rows:
        if wanted in row[0]:
            yield partial(_rtl_row, *row, repetitions=repetitions)


def _rtl_row(
    name: str,
    peer: str,
    seconds: Callable[[Path, int], rtl.RtlSeconds],
    target: float,
    aim: float,
    repetitions: int,
) -> PeerComparison:
    try:
        with TemporaryDirectory() as folder:
            found = seconds(Path(folder), repetitions)
    except ToolError as error:
        return PeerComparison(name, peer, [], [], target, aim, str(error))
    ours, peers = (
        f"{found.keys / statistics.median(side):,.0f}" for side in (found.ours, found.peers)
    )
    note = f"{ours} keys a second, peer {peers}"
    return PeerComparison(name, peer, found.ours, found.peers, target, aim, note)


#: Rows that need neither a number of words nor simulators.
CASES: tuple[MadeCase, ...] = (
    partial(scores_to_levels, "BitLog2_Half_17", 0.5, 0.3),
    partial(scores_to_levels, "RowMax_16", 0.4, 0.25),
    partial(whole_attention, 1),
    row_max_attention,
    partial(whole_attention, 2),
    two_threads,
    quantizer_alone,
    rounding_cast,
    checked_integers,
    checked_beside,
    *(
        partial(whole_network, of, size)
        for size in ("tiny", "small")
        for of in ("torch", "simulator")
    ),
    checked_network,
    partial(command_line, "--version"),
    partial(command_line, "--help"),
)


def cases(words: int, repetitions: int, wanted: str, growth: bool = False) -> list[MadeCase]:
    """Return every row.

    Args:
        words: words of the vector set.
        repetitions: runs of each side.
        wanted: what the names of rows hold; only such rows need the extra [rtl].
        growth: whole networks with more tokens and in other batches too, and peak memory.
    """
    rows: list[MadeCase] = [*CASES, partial(files, words), *rtl_cases(repetitions, wanted)]
    if growth:
        rows += [*growth_cases(), *memory_cases(wanted)]
    return rows
