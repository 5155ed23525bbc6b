"""Play a vector set through devices in a simulator: the one call behind `bitlog2 golden cosim`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..package.reading import open_set
from ..package.verification import Verification, verify
from ..simulation import Rtl
from ..stimulus.unit import Progress, no_progress
from .job import DEVICES, IDLE_CYCLES, LIMIT_SECONDS, STALL_PERCENT, device_named
from .result import CosimResult, check_integer, check_kept
from .simulators import Design, Setting, simulate, simulator_named

__all__ = ["cosim"]


def cosim(
    folder: str | Path,
    unit: str,
    *,
    rtl: Rtl | None = None,
    simulator: str = "verilator",
    seed: int = 0,
    stall: int = STALL_PERCENT,
    idle: int = IDLE_CYCLES,
    lanes: int | None = None,
    waves: str | Path | None = None,
    out: str | Path | None = None,
    builds: str | Path | None = None,
    limit: float = LIMIT_SECONDS,
    cases: Sequence[int] | None = None,
    profiles: Sequence[str] | None = None,
    stop_first: bool = False,
    log: str | Path | None = None,
    progress: Progress = no_progress,
) -> CosimResult:
    """Give a set's stimulus to a device in a simulator; compare its outputs with the model's.

    The set is verified first: edited expected values are found, and nothing is simulated then. A
    device with streams runs without stalls, with stalls of its inputs, of its outputs, of both,
    and with resets in the middle of rows.

    Args:
        folder: the vector set; never written to.
        unit: a name of `DEVICES`, or `all` of those that the set has vectors for.
        rtl: the device; None for the reference. `bitlog2_pkg.sv` of the set goes in front where no
            file has that name.
        simulator: `verilator` or `icarus`.
        seed: of the stalls, 0 to 2**63 - 1.
        stall: chance in percent that a beat waits a cycle, 0 to 90; 0 for the run without alone.
        idle: cycles without a transfer after which a device counts as stuck, 10 to 10**9.
        lanes: keys a beat, the parameter LANES of the rows, 1 to 64; None for its own default.
        waves: a VCD file, or a folder for `<unit>.vcd`.
        out: folder for the outputs, `<profile>/<unit>.<stream>.mem`; must not be a vector set.
        builds: folder in which compiled devices are kept and used again; None for none.
        limit: seconds after which a simulator is ended.
        cases: that are played, in this order; None for all. Needs a single unit.
        profiles: names of `PROFILES`: the runs; None for all.
        stop_first: whether the first difference ends everything.
        log: file that gets a line a transfer: time, stream, case, beat, fields; None for none.
        progress: shows how far it is.

    Raises:
        TypeError, ValueError: an argument cannot be used, or the device has not the ports of the
            contract.
        ToolError: the simulator is not there, or the device does not compile.
        OSError: a file cannot be read or written.
    """
    for name, value, low, high in (
        ("seed", seed, 0, 2**63 - 1),
        ("stall", stall, 0, 90),
        ("idle", idle, 10, 10**9),
        ("lanes", 1 if lanes is None else lanes, 1, 64),
    ):
        check_integer(name, value, low, high)
    if not limit > 0:
        raise ValueError(f"limit must be above 0 seconds, got {limit}")
    root = Path(folder).resolve()
    names = _names(root, unit, rtl)
    if lanes is not None and rtl is None and not any(DEVICES[name].wide for name in names):
        raise ValueError(f"lanes must be left out for unit {unit}, which has none, got {lanes}")
    if cases is not None and (not cases or len(names) > 1):
        raise ValueError(f"cases must be at least one, of one unit, got {cases} for unit {unit}")
    kept = check_kept(waves, out, builds, log, len(names))
    designs = {name: _design(root, name, rtl, lanes, waves is not None) for name in names}
    used = simulator_named(simulator)
    verified = verify(root, progress=progress)
    runs = []
    if verified.ok:
        with tempfile.TemporaryDirectory(prefix="bitlog2-cosim-") as scratch:
            setting = Setting(
                root, used, seed, stall, idle, limit, cases, profiles, stop_first, kept
            )
            if kept.log is not None:
                kept.log.write_bytes(b"")
            for name in progress(names, "cosim", len(names)):
                place = Path(scratch) / name
                runs.append(simulate(setting, DEVICES[name], designs[name], place))
                if stop_first and not runs[-1].ok:
                    break
    return CosimResult(
        folder=root,
        failures=_failures(verified),
        simulator=used.version,
        remark=used.remark,
        seed=seed,
        stall=stall,
        idle=idle,
        units=tuple(runs),
    )


def _names(folder: Path, unit: str, rtl: Rtl | None) -> list[str]:
    """Return the devices that are meant, each with vectors in the set."""
    sources = [each.name for each in open_set(folder).units]
    if unit != "all":
        device = device_named(unit)
        if device.contract.unit not in sources:
            raise ValueError(
                f"unit {unit} takes the vectors of {device.contract.unit}, the set has those of "
                f"{', '.join(sources)}"
            )
        return [unit]
    if rtl is not None:
        raise ValueError("unit must be a single one with rtl, got all")
    return [name for name, device in DEVICES.items() if device.contract.unit in sources]


def _design(folder: Path, name: str, rtl: Rtl | None, lanes: int | None, waves: bool) -> Design:
    used = lanes if rtl is not None or DEVICES[name].wide else None
    return Design.of(folder, DEVICES[name], rtl, used, waves)


def _failures(verified: Verification) -> tuple[str, ...]:
    """Return what is wrong with the set itself."""
    wrong = [line for each in verified.inside if not each.ok for line in each.lines()]
    return (*verified.failures, *wrong)
