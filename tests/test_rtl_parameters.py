"""Widths and tables are parameters: a module gives its units what it was given itself.

The units below a module take another package here, of other widths, scheme and table. So a device
agrees with the vectors only where every parameter that its units have is handed to them.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.quick import quick_where
from support.rtl import FAST, RTL
from support.shared import made_once

from bitlog2.golden import emit
from bitlog2.golden.cosim import CosimOptions, CosimResult, Rtl, cosim
from bitlog2.golden.simulation.svpackage import render_package
from bitlog2.golden.stimulus.unit import Target
from bitlog2.golden.stimulus.units import units_within
from bitlog2.sim import AttentionConfig

CONFIG = AttentionConfig(
    "BitLog2_Single_16", fraction_bits=4, table_bits=12, q_bits=6, k_bits=6, v_bits=6, o_bits=6
)
ROW_MAX = replace(CONFIG, scheme="RowMax_16", fraction_bits=4, max_tokens=700)
#: Of which no width, table or constant of the scheme is the same.
OTHER = AttentionConfig(
    "BitLog2_Half_17", fraction_bits=5, table_bits=16, max_head_dim=16, t_bits=16, m_bits=14
)
_SOFTMAX = {
    "score_requantizer_pipe",
    "distance",
    "exp2",
    "log2_quantizer_pipe",
    "distance_quantizer",
    "leading_one",
    "code_register",
}
_OF_A_ROW = {"shift_add_lane", "level_value", "row_multiplier", "output_requantizer_pipe"}
#: Modules that have units, and those units; delay_line takes nothing from the package.
MODULES = {
    "attention_row": _SOFTMAX | _OF_A_ROW | {"softmax_row"},
    "softmax_row": _SOFTMAX,
    "shift_add": {"shift_add_lane"},
    "row_max": {"distance"},
    "score_requantizer": {"score_requantizer_pipe"},
    "log2_quantizer": {"log2_quantizer_pipe", "leading_one", "code_register"},
    "log2_quantizer_pipe": {"leading_one", "code_register"},
    "output_requantizer": {"output_requantizer_pipe"},
    "log2_quantizer_divide": {"leading_one", "code_register"},
    "distance_quantizer": {"code_register"},
    "weight_sum": {"level_value"},
    "row_multiplier": {"leading_one"},
}
#: A module without the ports of a unit -> the device that it is in.
PART_OF = {"log2_quantizer_pipe": "log2_quantizer"}
#: Module and configuration -> a parameter that is handed on, and is not.
DROPPED = {
    ("attention_row", CONFIG): ".O_WIDTH(O_WIDTH)",
    ("softmax_row", CONFIG): ".TABLE(TABLE)",
    ("shift_add", CONFIG): ".ZERO_FLAG(ZERO_FLAG)",
    ("row_max", CONFIG): ".DISTANCE_MAX(DISTANCE_MAX)",
    ("score_requantizer", CONFIG): ".T_WIDTH(T_WIDTH)",
    ("log2_quantizer", CONFIG): ".ZERO_FLAG(ZERO_FLAG),",
    ("log2_quantizer_pipe", CONFIG): ".ZERO_FLAG(ZERO_FLAG)",
    ("output_requantizer", CONFIG): ".O_WIDTH(O_WIDTH)",
    ("log2_quantizer_divide", CONFIG): ".ZERO_FLAG(ZERO_FLAG)",
    ("attention_row", ROW_MAX): ".THRESHOLDS(THRESHOLDS)",
    ("softmax_row", ROW_MAX): ".THRESHOLDS(THRESHOLDS)",
    ("shift_add", ROW_MAX): ".OCTAVE_LEVELS(OCTAVE_LEVELS),",
    ("distance_quantizer", ROW_MAX): ".ZERO_FLAG(ZERO_FLAG)",
    ("weight_sum", ROW_MAX): ".OCTAVE_LEVELS(OCTAVE_LEVELS),",
    ("row_multiplier", ROW_MAX): ".WIDTH(WEIGHT_SUM_WIDTH),",
}
#: A row has every unit of its datapath inside; that of RowMax is built by other quick tests too.
BUILT = quick_where(
    lambda module, config: module == "attention_row" and config is CONFIG,
    DROPPED,
    [f"{module}-{config.scheme}" for module, config in DROPPED],
)
Sets = Callable[[AttentionConfig], Path]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    """A set of every unit by configuration."""

    def found(config: AttentionConfig) -> Path:
        def make(out: Path) -> None:
            emit(out, config, head_dim=3, sources=("random",), random_cases=25)

        return made_once(tmp_path_factory, f"parameters_set_{config.scheme}", make)

    return found


def simulated(vectors: Path, folder: Path, module: str, text: str) -> CosimResult:
    """Simulate a module over units of the other package."""
    package = render_package(Target(OTHER, 2), list(units_within(OTHER).values())).decode()
    files = {"other_pkg": package.replace("bitlog2_pkg", "other_pkg")}
    for unit in {*MODULES[module], "delay_line"}:
        source = (RTL / f"{unit}.sv").read_text()
        files[unit] = source.replace("bitlog2_pkg::", "other_pkg::")
    device = PART_OF.get(module, module)
    files[device] = (RTL / f"{device}.sv").read_text()
    files[module] = text
    paths = []
    for name, content in files.items():
        paths.append(folder / f"{name}.sv")
        paths[-1].write_text(content)
    options = CosimOptions(simulator=FAST, profiles=["none"])
    return cosim(vectors, device, options, rtl=Rtl(paths))


@pytest.mark.parametrize(("module", "config"), BUILT)
def test_rtl_parameters_are_handed_to_every_unit(
    sets: Sets, tmp_path: Path, module: str, config: AttentionConfig
):
    text = (RTL / f"{module}.sv").read_text()
    result = simulated(sets(config), tmp_path, module, text)
    assert result.ok, "\n".join(result.lines())


@pytest.mark.parametrize(
    ("module", "config"),
    quick_where(lambda module, _: module == "row_max", DROPPED),
)
def test_rtl_parameters_one_that_is_not_handed_on_is_noticed(
    sets: Sets, tmp_path: Path, module: str, config: AttentionConfig
):
    text = (RTL / f"{module}.sv").read_text()
    dropped = DROPPED[module, config]
    assert text.count(dropped) == 1
    before, after = text.split(dropped)
    if not dropped.endswith(","):
        before = before.rstrip().removesuffix(",")
    result = simulated(sets(config), tmp_path, module, before + after)
    assert not result.ok


def test_rtl_parameters_every_module_with_units_is_here():
    names = {path.stem for path in RTL.glob("*.sv")} - {"checks", "delay_line"}
    for name in names:
        text = (RTL / f"{name}.sv").read_text()
        units = {unit for unit in names if f"\n  {unit} " in text or f" {unit} #(" in text}
        assert (units - {name} != set()) == (name in MODULES), name
    assert {module for module, _ in DROPPED} == set(MODULES)
