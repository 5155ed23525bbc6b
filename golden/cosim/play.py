"""Inside the simulator: streams played through the device."""

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, TextIO

import cocotb
import numpy as np
from cocotb.triggers import Timer

from bitlog2.sim.files import write_whole

from ..package.reading import image_of, open_set
from ..simulation.contract import Channel
from ..stimulus.unit import Tables, Target
from ..stimulus.units import UNITS
from ..words.fields import unpack
from .agents import Agent, Bench, RowDriver, RowMonitor, now
from .job import Beat, Device, Job, Profile, read_job, shape_of
from .model import Model
from .observers import FirstDifference, Scoreboard, TransferLog, differs, fields_of
from .ports import lanes_of, present
from .result import write_recording


class Sequencer:
    """Hands rows to the drivers; parameters change only where every row before has ended.

    Rows with the same parameters follow one another without waiting.

    Args:
        bench: that steps it; add it before the drivers.
        model: of the device, with the parameters of each row.
        rows: of the model, in the order in which they come; None for all.
    """

    progress = 0

    def __init__(self, bench: Bench, model: Model, rows: Sequence[int] | None = None) -> None:
        self.drivers: list[RowDriver] = []
        self._handles = [getattr(bench.dut, name) for name in model.device.contract.params]
        order = range(len(model.params)) if rows is None else rows
        self._params = [model.params[row] for row in order] if model.params else []
        self._rows: list[Sequence[Sequence[Beat]]] = []
        self._watched: list[tuple[RowMonitor, Sequence[int]]] = []
        self._handed = 0
        self._set: tuple[int, ...] | None = None
        bench.add(self)

    def feed(self, driver: RowDriver, rows: Sequence[Sequence[Beat]]) -> None:
        """Give these rows to that driver."""
        self.drivers.append(driver)
        self._rows.append(rows)

    def watch(self, monitor: RowMonitor, ends: Sequence[int]) -> None:
        """Count a row as ended when the monitor has `ends[row]` transfers."""
        self._watched.append((monitor, ends))

    @property
    def ended(self) -> int:
        """How many rows every watched monitor has had all transfers of."""
        return min(bisect_right(ends, len(monitor.transfers)) for monitor, ends in self._watched)

    @property
    def done(self) -> bool:
        """Whether every row was taken and has ended."""
        return self._handed == len(self._rows[0]) and self._ended()

    def clear(self) -> None:
        """Begin with the first row again."""
        self._handed, self._set = 0, None

    def drive(self) -> None:
        """Hand out the rows that may begin."""
        while self._handed < len(self._rows[0]) and self._may_begin():
            if self._params:
                self._load(self._params[self._handed])
            for driver, rows in zip(self.drivers, self._rows, strict=True):
                driver.send(rows[self._handed])
            self._handed += 1

    def sample(self) -> None:
        """Nothing to read."""

    def _may_begin(self) -> bool:
        if not self._params or self._params[self._handed] == self._set:
            return True
        return self._ended()

    def _ended(self) -> bool:
        if any(driver.waiting for driver in self.drivers):
            return False
        if not self._handed:
            return True
        return all(
            len(monitor.transfers) >= ends[self._handed - 1] for monitor, ends in self._watched
        )

    def _load(self, params: tuple[int, ...]) -> None:
        if params == self._set:
            return
        self._set = params
        for handle, value in zip(self._handles, params, strict=True):
            handle.value = value


def fetch_tables(folder: Path, device: Device) -> tuple[Target, Tables]:
    """Return the target of a set and the streams of a device, as its files give them.

    Raises:
        ValueError: the set cannot be used.
        OSError: a file cannot be read.
    """
    manifest = open_set(folder)
    unit = UNITS[device.contract.unit]
    tables: Tables = {}
    for stream in unit.streams:
        path = folder / unit.file_name(stream)
        words = manifest.words[path.name]
        image = image_of(path.read_bytes(), path, manifest.target, stream, words)
        tables[stream.name] = unpack(stream.fields(manifest.target), image.digits)
    return manifest.target, device.tables(tables)


#: Cycles after the last expected word in which nothing more may come, or the idle limit if less.
_DRAIN = 1000
#: Rows that a reset cuts off, at most.
_CUT = 3


@cocotb.test()
async def play(dut: Any) -> None:
    """Play every profile of the job that is named by the plus-argument `bitlog2_job`."""
    job = read_job(Path(str(cocotb.plusargs["bitlog2_job"])))
    model = Model(job.device, *fetch_tables(job.folder, job.device))
    if job.device.contract.plain and not hasattr(dut, "clk"):
        await _plain(dut, job, model)
    else:
        await _streams(dut, job, model)


async def _plain(dut: Any, job: Job, model: Model) -> None:
    """Give a device without a clock a case in 10 ns, so that delays end: it knows one profile."""
    inputs, outputs = (
        shape_of(model.device, each, model.target)
        for each in (model.device.contract.inputs[0], model.device.contract.outputs[0])
    )
    profile = job.profiles[0]
    model, begun = model.of_cases(profile.cases), time.monotonic()
    columns = model.vectors.tables[inputs.channel.stream]
    handles = [getattr(dut, field.name) for field in inputs.fields]
    values = [columns[field.name].tolist() for field in inputs.fields]
    results = [getattr(dut, field.name) for field in outputs.fields]
    words = model.words(outputs.channel.prefix)
    expected = [w for e in model.expected(outputs.channel.prefix) for w in e] * job.stop_first
    for index, case in enumerate(zip(*values, strict=True)):
        for handle, value in zip(handles, case, strict=True):
            handle.value = value
        await Timer(10, "ns")
        words.take("".join(str(handle.value) for handle in results), "1", "1", now())
        if job.log is not None:
            number = profile.cases[model.cases[index]]
            given = ", ".join(f"{f.name} {v}" for f, v in zip(inputs.fields, case, strict=True))
            made = fields_of(outputs, words.bits[-1])
            with job.log.open("a") as log:
                log.write(f"{now()} ns case {number}: {given}: {made}\n")
        if job.stop_first and differs(words.bits[-1], *expected[index]):
            break
    counts = {"cycles": len(words.bits), "lanes": 1, "resets": []}
    seconds = time.monotonic() - begun
    write_recording(job.results / profile.name, [words], [], **counts, seconds=seconds)


async def _streams(dut: Any, job: Job, model: Model) -> None:
    device = model.device
    outputs = present(dut, device)
    lanes = {
        each.prefix: lanes_of(dut, device, each, model.target)
        for each in (*device.contract.inputs, *outputs)
    }
    bench = Bench(dut)
    for number, profile in enumerate(job.profiles, 1):
        run = _Run(bench, job, model.of_cases(profile.cases), profile, outputs, lanes)
        if not await run.play():
            write_whole(job.results / "last", str(number).encode())
            break


class _Run:
    """The rows of one profile, from reset; resets between them cut other rows off.

    Args:
        bench, job, model, profile: what is played, on what.
        outputs: the streams that the device has.
        lanes: words a beat of each stream, by prefix.
    """

    def __init__(
        self,
        bench: Bench,
        job: Job,
        model: Model,
        profile: Profile,
        outputs: list[Channel],
        lanes: dict[str, int],
    ) -> None:
        self.bench, self.job, self.model, self.profile = bench, job, model, profile
        self.lanes, self.watched = max(lanes.values()), [e.prefix for e in outputs if e.ready]
        self.seed = f"{job.seed} {model.device.name} {profile.name}"
        self.random = Random(f"{self.seed} resets")
        garbage = Random(f"{self.seed} lanes").getrandbits
        self.beats = {
            each.prefix: model.beats(each.prefix, lanes[each.prefix], garbage)
            for each in model.device.contract.inputs
        }
        self.counts = {
            each.prefix: np.diff(model.ends(each.prefix, lanes[each.prefix]), prepend=0).tolist()
            for each in outputs
        }
        self.expected = {p: model.expected(p) for p in self.counts} if job.stop_first else {}
        self.shapes = {
            each.prefix: shape_of(model.device, each, model.target)
            for each in model.device.contract.channels
        }
        self.resets: list[int] = []
        self.failures: list[str] = []
        self.cycles = 0

    async def play(self) -> bool:
        """Leave what the device gave as a recording; return whether other runs may come."""
        begun, board = time.monotonic(), Scoreboard(self.model)
        first, count, more = 0, len(self.model.cases), True
        with nullcontext() if self.job.log is None else self.job.log.open("a") as log:
            while more and first < count:
                whole = count - first
                if len(self.resets) < self.profile.resets:
                    whole = min(self.random.randint(1, 2), whole)
                rows = list(range(first, first + whole))
                if (first := first + whole) < count:
                    rows += self.random.choices(range(count), k=_CUT)
                if log is not None:
                    name = f"{self.model.device.name}, run {self.profile.name}"
                    log.write(f"{now()} ns reset {len(self.resets)}: {name}\n")
                more = await self._stretch(rows, whole, board, log)
                if first < count:
                    self.resets.append(now())
        write_recording(
            self.job.results / self.profile.name,
            board.words,
            [*self.failures, *board.failures],
            cycles=self.cycles,
            lanes=self.lanes,
            seconds=time.monotonic() - begun,
            resets=self.resets,
        )
        return more or not self.job.stop_first

    async def _stretch(
        self, rows: Sequence[int], whole: int, board: Scoreboard, log: TextIO | None
    ) -> bool:
        """Play rows from reset; the first `whole` are taken, a reset ends the others.

        Return False where the device is stuck, or the run is stopped.
        """
        bench = self.bench
        self._set_up(rows)
        drivers, monitors = self.sequencer.drivers, list(self.monitors.values())
        if log is not None:
            bench.add(TransferLog(log, drivers, monitors, self.shapes, self._place))
        expected = {
            p: [w for row in rows for w in words[row]] for p, words in self.expected.items()
        }
        watch = FirstDifference(monitors if expected else (), self.model, rows, expected)
        bench.add(watch)
        since = bench.cycles
        await bench.reset()
        for monitor in monitors:
            monitor.check_reset()
        due = self._moment(whole) if whole < len(rows) else lambda: watch.found
        ended = await bench.run(
            lambda: self.sequencer.done or watch.found or due(), idle=self.job.idle
        )
        self.cycles += bench.cycles - since
        if watch.found:
            self.failures.append(f"stopped at {now()} ns, at the first difference")
        elif not ended:
            self.failures.append(self._stuck())
        elif whole == len(rows):
            for _ in range(min(self.job.idle, _DRAIN)):
                await bench.cycle()
        if whole < len(rows):
            for monitor in monitors:
                del monitor.transfers[self.ends[monitor.prefix][whole - 1] :]
        board.take(*monitors)
        self.failures += [failure for driver in drivers for failure in driver.failures]
        return ended and not watch.found

    def _set_up(self, rows: Sequence[int]) -> None:
        """Put agents for these rows on the bench."""
        bench, profile = self.bench, self.profile
        bench.agents.clear()
        seed = f"{self.seed} {len(self.resets)}"
        self.rows, self.sequencer = rows, Sequencer(bench, self.model, rows)
        for prefix, beats in self.beats.items():
            driver = RowDriver(bench, prefix, stall=profile.source, seed=seed)
            self.sequencer.feed(driver, [beats[row] for row in rows])
        self.monitors: dict[str, RowMonitor] = {}
        self.ends = {
            prefix: list(accumulate(counts[row] for row in rows))
            for prefix, counts in self.counts.items()
        }
        for prefix, ends in self.ends.items():
            monitor = RowMonitor(bench, prefix, stall=profile.sink, seed=seed, expected=ends[-1])
            self.monitors[prefix] = monitor
            if prefix in self.watched:
                self.sequencer.watch(monitor, ends)

    def _moment(self, whole: int) -> Callable[[], bool]:
        """Return whether it is time for a reset: some cycles after an event of a stream.

        It comes after `whole` rows.
        """
        chance, sequencer = self.random, self.sequencer
        inputs = next(iter(self.beats.values()))
        beats = 2 * -(-sum(len(inputs[row]) for row in self.rows) // len(self.rows))
        streams: list[Agent] = [*sequencer.drivers, *self.monitors.values()]
        count, event = chance.randrange(beats), chance.choice(("transfer", "offer", "cycle"))
        wait = chance.choice((0, 1, 2, chance.randrange(2 * beats)))
        seen, past = -1, False

        def moment() -> bool:
            nonlocal seen, past, wait
            if any(len(e.transfers) < self.ends[p][whole - 1] for p, e in self.monitors.items()):
                return False
            progress = sum(each.progress for each in streams)
            seen = progress if seen < 0 else seen
            past = (
                past
                or event == "cycle"
                or sequencer.ended > whole + 1
                or (event == "transfer" and progress >= seen + count)
                or (event == "offer" and any(each.offered for each in self.monitors.values()))
            )
            wait -= past
            return wait < 0

        return moment

    def _stuck(self) -> str:
        sequencer = self.sequencer
        counts = [
            f"{prefix} gave {len(each.transfers)} of {each.expected} beats"
            for prefix, each in self.monitors.items()
        ]
        counts += [
            f"{each.prefix} has {each.waiting} beats waiting, the first of "
            f"{self._place(each.prefix, each.progress)}"
            for each in sequencer.drivers
            if each.waiting
        ]
        ended = min(sequencer.ended, len(self.rows) - 1)
        return (
            f"no transfer for {self.job.idle} cycles at {now()} ns, in case "
            f"{self._case(self.rows[ended])}: {', '.join(counts)}"
        )

    def _place(self, prefix: str, transfer: int) -> str:
        """Return the case and the beat of a stream's transfer since the last reset."""
        ends = self.ends.get(prefix) or list(
            accumulate(len(self.beats[prefix][e]) for e in self.rows)
        )
        at = bisect_right(ends, transfer)
        if at == len(ends):
            return "no case"
        return f"case {self._case(self.rows[at])} beat {transfer - (ends[at - 1] if at else 0)}"

    def _case(self, row: int) -> int:
        return self.profile.cases[self.model.cases[row]]
