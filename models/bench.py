"""Speed as a ratio against a named peer, both sides alternating in the same run."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

__all__ = ["Case", "Comparison", "Throughput", "ThroughputCase", "machine", "run_bench"]


@dataclass(frozen=True)
class Case:
    """Two ways to do the same work.

    Attributes:
        name: what is timed.
        peer: against what.
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
        names: of its rows.
        run: returns the seconds of each row, and the bytes that each handles.
        target: megabytes a second to be reached, at least.
        repetitions: at most.
    """

    names: tuple[str, ...]
    run: Callable[[], tuple[tuple[float, ...], int]]
    target: float
    repetitions: int = 3


@dataclass(frozen=True)
class Comparison:
    """What a case took: seconds of each repetition, alternating."""

    name: str
    peer: str
    ours: list[float]
    peers: list[float]
    target: float
    aim: float
    note: str = ""
    unit: str = field(default="ratio", init=False)

    @property
    def value(self) -> float:
        """Median of our time over median of the peer's; not a number where there is no peer."""
        if not self.peers:
            return float("nan")
        return statistics.median(self.ours) / statistics.median(self.peers)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is no peer."""
        return self.value <= self.target if self.peers else None

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

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, raw samples too."""
        return {**asdict(self), "value": self.value, "met": self.met}


Row = Comparison | Throughput


def run_bench(
    cases: Sequence[Callable[[], Case | ThroughputCase | Comparison]],
    repetitions: int,
    wanted: str = "",
) -> Iterator[Row]:
    """Yield a row or more for each case.

    Args:
        cases: each makes its case when its turn comes; a `Comparison` stands for a peer that is
            not there.
        repetitions: runs of each side.
        wanted: text that the names of the wanted rows hold.
    """
    before = torch.get_num_threads()
    try:
        for make in cases:
            case = make()
            names = case.names if isinstance(case, ThroughputCase) else (case.name,)
            if not any(wanted in name for name in names):
                continue
            if isinstance(case, Comparison):
                yield case
            elif isinstance(case, ThroughputCase):
                yield from _throughput(case, repetitions)
            else:
                torch.set_num_threads(case.threads)
                samples = _alternate(case.ours, case.theirs, repetitions)
                yield Comparison(case.name, case.peer, *samples, case.target, case.aim)
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
