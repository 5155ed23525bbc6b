"""Inside the simulator: the runs of a job, played through the device."""

from __future__ import annotations

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

from ..package.reading import open_set
from ..simulation.contract import Channel, ChannelWords
from .job import Job, Profile, read_document, write_recording
from .model import Model, device_named, model_of_files
from .testbench import Agent, Bench, RowDriver, RowMonitor, Scoreboard, Sequencer, now

#: Cycles after the last expected word in which nothing more may come, or the idle limit if less.
_DRAIN = 1000
#: Rows that a reset cuts off, at most.
_CUT = 3


@cocotb.test()
async def play(dut: Any) -> None:
    """Play every profile of the job that is named by the plus-argument `bitlog2_job`."""
    job = read_document(Path(str(cocotb.plusargs["bitlog2_job"])), Job)
    folder = Path(job.folder)
    model = model_of_files(folder, device_named(job.device, open_set(folder).config))
    if model.device.contract.plain and not hasattr(dut, "clk"):
        await _plain(dut, job, model)
    else:
        await _streams(dut, job, model)


async def _plain(dut: Any, job: Job, model: Model) -> None:
    """Give a device without a clock a case in 10 ns, so that delays end: it knows one profile."""
    (given,), (made,) = model.device.contract.inputs, model.device.contract.outputs
    inputs, outputs = model.channel(given.prefix), model.channel(made.prefix)
    profile = job.profiles[0]
    model, begun = model.of_cases(profile.cases), time.monotonic()
    columns = model.vectors.tables[inputs.stream.name]
    handles = [getattr(dut, field.name) for field in inputs.fields]
    values = [columns[field.name].tolist() for field in inputs.fields]
    results = [getattr(dut, field.name) for field in outputs.fields]
    words = model.words(made.prefix)
    expected = [w for e in model.expected(made.prefix) for w in e] * job.stop_first
    for index, case in enumerate(zip(*values, strict=True)):
        for handle, value in zip(handles, case, strict=True):
            handle.value = value
        await Timer(10, "ns")
        words.take("".join(str(handle.value) for handle in results), "1", "1", now())
        if job.log is not None:
            number = profile.cases[model.cases[index]]
            took = ", ".join(f"{f.name} {v}" for f, v in zip(inputs.fields, case, strict=True))
            gave = _fields_of(outputs, words.bits[-1])
            with Path(job.log).open("a") as log:
                log.write(f"{now()} ns case {number}: {took}: {gave}\n")
        if job.stop_first and _differs(words.bits[-1], *expected[index]):
            break
    seconds = time.monotonic() - begun
    counts = {"cycles": len(words.bits), "lanes": 1, "resets": (), "seconds": seconds}
    write_recording(job.recording(profile), [words], failures=(), **counts)


async def _streams(dut: Any, job: Job, model: Model) -> None:
    device = model.device
    outputs = [e for e in device.contract.outputs if hasattr(dut, f"{e.prefix}_tvalid")]
    lanes = {
        prefix: len(getattr(dut, f"{prefix}_tdata")) // model.channel(prefix).width
        for prefix in (each.prefix for each in (*device.contract.inputs, *outputs))
    }
    bench = Bench(dut)
    for number, profile in enumerate(job.profiles, 1):
        run = _Playback(bench, job, model.of_cases(profile.cases), profile, outputs, lanes)
        if not await run.play():
            write_whole(job.last, str(number).encode())
            break


class _Playback:
    """The rows of one profile, from reset; resets between them cut other rows off.

    Args:
        bench, job, model, profile: what is played, on what.
        outputs: the streams that the device has.
        lanes: words per beat of each stream, by prefix.
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
        self.carried = {
            each.prefix: model.channel(each.prefix) for each in model.device.contract.channels
        }
        self.resets: list[int] = []
        self.failures: list[str] = []
        self.cycles = 0

    async def play(self) -> bool:
        """Leave what the device gave as a recording; return whether other runs may come."""
        begun, board = time.monotonic(), Scoreboard(self.model)
        first, count, more = 0, len(self.model.cases), True
        with nullcontext() if self.job.log is None else Path(self.job.log).open("a") as log:
            while more and first < count:
                whole = count - first
                if len(self.resets) < self.profile.resets:
                    whole = min(self.random.randint(1, 2), whole)
                rows = list(range(first, first + whole))
                if (first := first + whole) < count:
                    rows += self._cut_off()
                if log is not None:
                    name = f"{self.model.device.name}, run {self.profile.name}"
                    log.write(f"{now()} ns reset {len(self.resets)}: {name}\n")
                more = await self._stretch(rows, whole, board, log)
                if first < count:
                    self.resets.append(now())
        write_recording(
            self.job.recording(self.profile),
            board.words,
            failures=(*self.failures, *board.failures),
            cycles=self.cycles,
            lanes=self.lanes,
            seconds=time.monotonic() - begun,
            resets=tuple(self.resets),
        )
        return more or not self.job.stop_first

    def _cut_off(self) -> list[int]:
        """Return rows for a reset to cut off: of the same parameters, so that they overlap."""
        drawn = self.random.randrange(len(self.model.cases))
        params = self.model.params
        alike = [row for row, each in enumerate(params) if each == params[drawn]]
        return [drawn, *self.random.choices(alike or range(len(self.model.cases)), k=_CUT - 1)]

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
            bench.add(_TransferLog(self, log))
        watch = _FirstDifference(self)
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

        It comes after `whole` rows: at once, or after up to as many cycles as one of them has
        taken, which is at any moment of the way of the next ones through the device.
        """
        chance, sequencer, bench = self.random, self.sequencer, self.bench
        inputs = next(iter(self.beats.values()))
        beats = 2 * -(-sum(len(inputs[row]) for row in self.rows) // len(self.rows))
        streams: list[Agent] = [*sequencer.drivers, *self.monitors.values()]
        count, event = chance.randrange(beats), chance.choice(("transfer", "offer", "cycle"))
        soon, part = chance.choice((0, 1, 2, None, None)), chance.random()
        since, seen, past, wait = bench.cycles, -1, False, 0

        def moment() -> bool:
            nonlocal seen, past, wait
            if any(len(e.transfers) < self.ends[p][whole - 1] for p, e in self.monitors.items()):
                return False
            progress = sum(each.progress for each in streams)
            if seen < 0:
                seen, row = progress, (bench.cycles - since) // whole
                wait = int(row * part) if soon is None else soon
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
            f"{self.place(each.prefix, each.progress)}"
            for each in sequencer.drivers
            if each.waiting
        ]
        ended = min(sequencer.ended, len(self.rows) - 1)
        return (
            f"no transfer for {self.job.idle} cycles at {now()} ns, in case "
            f"{self._case(self.rows[ended])}: {', '.join(counts)}"
        )

    def place(self, prefix: str, transfer: int) -> str:
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


class _Observer:
    """An agent that drives nothing: it looks at the streams of a run, which are sampled before."""

    progress = 0

    def __init__(self, run: _Playback) -> None:
        self.run = run

    def drive(self) -> None:
        """Nothing to drive."""

    def clear(self) -> None:
        """Nothing to forget."""


class _TransferLog(_Observer):
    """Writes a line per transfer: time, stream, case, beat, and the fields of each lane."""

    def __init__(self, run: _Playback, file: TextIO) -> None:
        super().__init__(run)
        self._file = file

    def sample(self) -> None:
        """Write what was transferred in this cycle."""
        for driver in self.run.sequencer.drivers:
            if (beat := driver.taken) is not None:
                width = beat.keep.bit_length() * self.run.carried[driver.prefix].width
                given = (f"{beat.data:0{width}b}", f"{beat.keep:b}", str(beat.last))
                self._write(driver.prefix, driver.progress - 1, *given)
        for prefix, monitor in self.run.monitors.items():
            if (made := monitor.taken) is not None:
                self._write(prefix, len(monitor.transfers) - 1, made.data, made.keep, made.last)

    def _write(self, prefix: str, index: int, data: str, keep: str, last: str) -> None:
        words = self.run.carried[prefix]
        lanes = [
            f"lane {lane}: " * words.channel.lanes
            + _fields_of(words, data[len(data) - (lane + 1) * words.width :][: words.width])
            for lane, kept in enumerate(reversed(keep))
            if kept != "0"
        ]
        end = f", tlast {last}" if words.channel.framed else ""
        place = self.run.place(prefix, index)
        self._file.write(f"{now()} ns {prefix} {place}: {'; '.join(lanes)}{end}\n")


def _fields_of(words: ChannelWords, word: str) -> str:
    """Return the fields of a word, its bits 01xz, in words."""
    shown = []
    for field in words.fields:
        parts = [word[at : at + field.bits] for at in range(0, field.width, field.bits)]
        word = word[field.width :]
        shown.append(f"{field.name} {' '.join(_value(e, field.signed) for e in reversed(parts))}")
    return ", ".join(shown)


def _value(bits: str, signed: bool) -> str:
    if bits.strip("01"):
        return bits
    return str(int(bits, 2) - ((signed and bits[0] == "1") << len(bits)))


class _FirstDifference(_Observer):
    """Sees at once when a device gives a word that is not the expected one, or breaks a rule."""

    def __init__(self, run: _Playback) -> None:
        super().__init__(run)
        self.found = False
        self._words = {prefix: run.model.words(prefix, run.rows) for prefix in run.expected}
        self._expected = {
            prefix: [word for row in run.rows for word in words[row]]
            for prefix, words in run.expected.items()
        }

    def sample(self) -> None:
        """Look at what was transferred in this cycle."""
        for prefix, words in self._words.items():
            monitor, expected = self.run.monitors[prefix], self._expected[prefix]
            if (made := monitor.taken) is not None:
                known = len(words.bits)
                words.take(made.data, made.keep, made.last, made.time)
                for index in range(known, len(words.bits)):
                    if index >= len(expected) or _differs(words.bits[index], *expected[index]):
                        self.found = True
            self.found = self.found or bool(monitor.failures or words.failures)


_KNOWN = str.maketrans("xXzZuUwW-", "000000000")
_UNKNOWN = str.maketrans("1xXzZuUwW-", "0111111111")


def _differs(bits: str, value: int, care: int) -> bool:
    """Return whether a word is not that value, in the bits that are 1 in `care`."""
    known, unknown = int(bits.translate(_KNOWN), 2), int(bits.translate(_UNKNOWN), 2)
    return bool(((known ^ value) | unknown) & care)
