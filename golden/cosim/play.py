"""The cocotb test that plays a vector set through a device; `cosim` starts it in the simulator."""

from pathlib import Path
from random import Random
from typing import Any

import cocotb
from cocotb.triggers import Timer

from bitlog2.sim.files import write_whole

from ..contract import Channel
from .agents import RowDriver, RowMonitor
from .bench import Bench, now
from .channels import shape_of
from .fetch import fetch_tables
from .job import Job, Profile, read_job
from .model import Model
from .ports import lanes_of, present
from .recording import write_recording
from .scoreboard import Scoreboard
from .sequencer import Sequencer

#: Cycles after the last expected word in which nothing more may come, or the idle limit if less.
_DRAIN = 1000


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
    write_whole(job.results / "unclocked", b"")
    inputs, outputs = (
        shape_of(model.device, each, model.target)
        for each in (model.device.contract.inputs[0], model.device.contract.outputs[0])
    )
    columns = model.vectors.tables[inputs.channel.stream]
    handles = [getattr(dut, field.name) for field in inputs.fields]
    values = [columns[field.name].tolist() for field in inputs.fields]
    results = [getattr(dut, field.name) for field in outputs.fields]
    words = model.words(outputs.channel.prefix)
    for case in zip(*values, strict=True):
        for handle, value in zip(handles, case, strict=True):
            handle.value = value
        await Timer(10, "ns")
        words.take("".join(str(handle.value) for handle in results), "1", "1", now())
    write_recording(job.results / job.profiles[0].name, [words], [], len(words.bits), 1)


async def _streams(dut: Any, job: Job, model: Model) -> None:
    device = model.device
    outputs = present(dut, device)
    lanes = {
        each.prefix: lanes_of(dut, device, each, model.target)
        for each in (*device.contract.inputs, *outputs)
    }
    bench = Bench(dut)
    for profile in job.profiles:
        bench.agents.clear()
        await _profile(bench, job, model, profile, outputs, lanes)


async def _profile(
    bench: Bench,
    job: Job,
    model: Model,
    profile: Profile,
    outputs: list[Channel],
    lanes: dict[str, int],
) -> None:
    """Play every row under one profile, from reset."""
    seed = f"{job.seed} {model.device.name} {profile.name}"
    garbage = Random(f"{seed} lanes").getrandbits
    sequencer = Sequencer(bench, model)
    for each in model.device.contract.inputs:
        driver = RowDriver(bench, each.prefix, stall=profile.source, seed=seed)
        sequencer.feed(driver, model.beats(each.prefix, lanes[each.prefix], garbage))
    monitors = []
    for each in outputs:
        ends = model.ends(each.prefix, lanes[each.prefix])
        monitor = RowMonitor(bench, each.prefix, stall=profile.sink, seed=seed, expected=ends[-1])
        monitors.append(monitor)
        if each.ready:
            sequencer.watch(monitor, ends)
    first = bench.cycles
    await bench.reset()
    done = await bench.run(lambda: sequencer.done, idle=job.idle)
    failures = [] if done else [_stuck(job, sequencer, monitors)]
    cycles = bench.cycles - first
    for _ in range(min(job.idle, _DRAIN) if done else 0):
        await bench.cycle()
    board = Scoreboard(model)
    board.take(*monitors)
    for driver in sequencer.drivers:
        failures += driver.failures
    folder = job.results / profile.name
    write_recording(folder, board.words, [*failures, *board.failures], cycles, max(lanes.values()))


def _stuck(job: Job, sequencer: Sequencer, monitors: list[RowMonitor]) -> str:
    counts = [
        f"{each.prefix} gave {len(each.transfers)} of {each.expected} beats" for each in monitors
    ]
    counts += [f"{each.prefix} has {each.waiting} beats waiting" for each in sequencer.drivers]
    return (
        f"no transfer for {job.idle} cycles at {now()} ns, in row {sequencer.row}: "
        f"{', '.join(counts)}"
    )
