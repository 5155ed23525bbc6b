"""A user's device in the place of a module of the reference, for the claim that module has."""

import tempfile
from dataclasses import replace
from pathlib import Path

from bitlog2.sim import AttentionConfig
from bitlog2.sim.checks import check_choice
from bitlog2.sim.files import write

from ...cosim.design import WRAPPER, Design
from ...cosim.model import device_named
from ...simulation import Rtl
from ...simulation.contract import contracts_within
from ...simulation.svpackage import render_package
from ...stimulus.unit import Target
from ...stimulus.units import units_within
from ..yosys import PACKAGE, sources_of
from .claim import Setting
from .rtl_terms import terms_of


def device_setting(unit: str, rtl: Rtl, config: AttentionConfig | None = None) -> Setting:
    """Return the setting in which `rtl_<unit>` is a claim about a device.

    Args:
        unit: what the device is: a unit whose module has ports by name and no clock.
        rtl: the device, in Verilog; `bitlog2_pkg.sv` of the configuration goes in front where no
            file has that name.
        config: the configuration; None for the default.

    Raises:
        ValueError: the unit is another one, the device does not fit it, has a clock or state, or a
            file is none that `sources_of` takes.
        ToolError: Yosys is not installed, or refuses a file.
    """
    config = config or AttentionConfig()
    plain = tuple(name for name, each in contracts_within(config).items() if each.plain)
    check_choice("unit", unit, plain)
    target = Target.of(config)
    with tempfile.TemporaryDirectory(prefix="bitlog2-proof-") as folder:
        package = Path(folder) / PACKAGE
        write(package, render_package(target, list(units_within(config).values())))
        design = Design.held(target, package, device_named(unit, config), rtl)
        files, options = sources_of(replace(design.rtl, sources=design.sources))
    if design.wrapper.clocked:
        raise ValueError(f"a proof takes devices without a clock, got {design.top} with one")
    files[f"{WRAPPER}.sv"] = design.wrapper.text.encode()
    (terms,) = terms_of(files, WRAPPER, [{}], options=options)
    if terms.registers:
        listed = ", ".join(name.removeprefix("dut.") for name in terms.registers)
        raise ValueError(f"a proof takes devices without state, got {design.top} with {listed}")
    return Setting(config, own={unit: terms})
