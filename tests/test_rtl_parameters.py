"""Widths and tables are parameters: a module gives its units what it was given itself.

The units below a module take another package here, of other widths, scheme and table. So a device
agrees with the vectors only where every parameter that its units have is handed to them.
"""

from pathlib import Path

import pytest
from support.rtl import FAST, RTL
from support.shared import made_once

from bitlog2.golden import UNITS, emit
from bitlog2.golden.cosim import CosimOptions, CosimResult, Rtl, cosim
from bitlog2.golden.simulation.svpackage import render_package
from bitlog2.golden.stimulus.unit import Target
from bitlog2.sim import AttentionConfig

CONFIG = AttentionConfig(
    "BitLog2_Single_16", fraction_bits=4, table_bits=12, q_bits=6, k_bits=6, v_bits=6, o_bits=6
)
#: Of which no width, table or constant of the scheme is the same.
OTHER = AttentionConfig(
    "BitLog2_Half_17", fraction_bits=5, table_bits=16, max_head_dim=16, t_bits=16, m_bits=14
)
_SOFTMAX = {
    "score_requantizer",
    "distance",
    "exp2",
    "log2_quantizer",
    "leading_one",
    "code_register",
}
#: Modules that have units, and those units.
MODULES = {
    "attention_row": _SOFTMAX | {"softmax_row", "shift_add_lane", "output_requantizer"},
    "softmax_row": _SOFTMAX,
    "shift_add": {"shift_add_lane"},
    "row_max": {"distance"},
    "log2_quantizer": {"leading_one", "code_register"},
    "log2_quantizer_divide": {"leading_one", "code_register"},
}
#: A parameter that is handed on, and is not.
DROPPED = {
    "attention_row": ".O_WIDTH(O_WIDTH)",
    "softmax_row": ".TABLE(TABLE)",
    "shift_add": ".HALF(HALF),",
    "row_max": ".DISTANCE_MAX(DISTANCE_MAX)",
    "log2_quantizer": ".ZERO_FLAG(ZERO_FLAG)",
    "log2_quantizer_divide": ".ZERO_FLAG(ZERO_FLAG)",
}


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(out: Path) -> None:
        emit(out, CONFIG, head_dim=3, sources=("random",), random_cases=25)

    return made_once(tmp_path_factory, "parameters_set", make)


def simulated(vectors: Path, folder: Path, module: str, text: str) -> CosimResult:
    """Simulate a module over units of the other package."""
    package = render_package(Target(OTHER, 2), [UNITS[name] for name in UNITS]).decode()
    files = {"other_pkg": package.replace("bitlog2_pkg", "other_pkg")}
    for unit in MODULES[module]:
        source = (RTL / f"{unit}.sv").read_text()
        files[unit] = source.replace("bitlog2_pkg::", "other_pkg::")
    files[module] = text
    paths = []
    for name, content in files.items():
        paths.append(folder / f"{name}.sv")
        paths[-1].write_text(content)
    options = CosimOptions(simulator=FAST, profiles=["none"])
    return cosim(vectors, module, options, rtl=Rtl(paths))


@pytest.mark.parametrize("module", MODULES)
def test_rtl_parameters_are_handed_to_every_unit(vectors: Path, tmp_path: Path, module: str):
    text = (RTL / f"{module}.sv").read_text()
    result = simulated(vectors, tmp_path, module, text)
    assert result.ok, "\n".join(result.lines())


@pytest.mark.parametrize(
    "module",
    [pytest.param(name, marks=() if name == "row_max" else pytest.mark.long) for name in MODULES],
)
def test_rtl_parameters_one_that_is_not_handed_on_is_noticed(
    vectors: Path, tmp_path: Path, module: str
):
    text = (RTL / f"{module}.sv").read_text()
    dropped = DROPPED[module]
    assert text.count(dropped) == 1
    before, after = text.split(dropped)
    if not dropped.endswith(","):
        before = before.rstrip().removesuffix(",")
    result = simulated(vectors, tmp_path, module, before + after)
    assert not result.ok


def test_rtl_parameters_every_module_with_units_is_here():
    names = {path.stem for path in RTL.glob("*.sv")} - {"checks"}
    for name in names:
        text = (RTL / f"{name}.sv").read_text()
        units = {unit for unit in names if f"\n  {unit} " in text or f" {unit} #(" in text}
        assert (units - {name} != set()) == (name in MODULES), name
