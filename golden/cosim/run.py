"""Play a vector set through devices in a simulator: the one call behind `bitlog2 golden cosim`."""

import tempfile
from pathlib import Path

from ..package.reading import open_set
from ..package.verification import Verification, verify
from ..simulation import Rtl
from ..stimulus.unit import Progress, no_progress
from .job import DEVICES, device_named
from .options import CosimOptions
from .result import CosimResult
from .simulators import Design, Session, simulate, simulator_named


def cosim(
    folder: str | Path,
    unit: str,
    options: CosimOptions | None = None,
    *,
    rtl: Rtl | None = None,
    progress: Progress = no_progress,
) -> CosimResult:
    """Give a set's stimulus to a device in a simulator; compare its outputs with the model's.

    The set is verified first: edited expected values are found, and nothing is simulated then. A
    device with streams runs without stalls, with stalls of its inputs, of its outputs, of both,
    and with resets in the middle of rows.

    Args:
        folder: the vector set; never written to.
        unit: a name of `DEVICES`, or `all` of those that the set has vectors for.
        options: how it is simulated, and what is kept; None for the usual ones.
        rtl: the device; None for the reference. `bitlog2_pkg.sv` of the set goes in front where no
            file has that name.
        progress: shows how far it is.

    Raises:
        TypeError, ValueError: an argument cannot be used, or the device has not the ports of the
            contract.
        ToolError: the simulator is not there, or the device does not compile.
        OSError: a file cannot be read or written.
    """
    chosen = CosimOptions() if options is None else options
    root, lanes, cases = Path(folder).resolve(), chosen.lanes, chosen.cases
    names = _names(root, unit, rtl)
    if lanes is not None and rtl is None and not any(DEVICES[name].wide for name in names):
        raise ValueError(f"lanes must be left out for unit {unit}, which has none, got {lanes}")
    if cases is not None and (not cases or len(names) > 1):
        raise ValueError(f"cases must be at least one, of one unit, got {cases} for unit {unit}")
    chosen = chosen.resolved(len(names))
    designs = {name: _design(root, name, rtl, chosen) for name in names}
    used = simulator_named(chosen.simulator)
    verified = verify(root, progress=progress)
    runs = []
    if verified.ok:
        with tempfile.TemporaryDirectory(prefix="bitlog2-cosim-") as scratch:
            session = Session(root, used, chosen)
            if (log := chosen.path("log")) is not None:
                log.write_bytes(b"")
            for name in progress(names, "cosim", len(names)):
                place = Path(scratch) / name
                runs.append(simulate(session, DEVICES[name], designs[name], place))
                if chosen.stop_first and not runs[-1].ok:
                    break
    return CosimResult(
        folder=root,
        failures=_failures(verified),
        simulator=used.version,
        remark=used.remark,
        seed=chosen.seed,
        stall=chosen.stall,
        idle=chosen.idle,
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


def _design(folder: Path, name: str, rtl: Rtl | None, options: CosimOptions) -> Design:
    lanes = options.lanes if rtl is not None or DEVICES[name].wide else None
    return Design.of(folder, DEVICES[name], rtl, lanes, options.waves is not None)


def _failures(verified: Verification) -> tuple[str, ...]:
    """Return what is wrong with the set itself."""
    wrong = [line for each in verified.inside if not each.ok for line in each.lines()]
    return (*verified.failures, *wrong)
