"""Plain testbenches: the reference passes in every simulator, and every word is compared."""

from __future__ import annotations

from pathlib import Path

import pyslang
import pytest
from pyslang.driver import Driver
from testbench_runs import DEVICES, SMALL, Workshop, emit_set, quick_simulator, verdict

from bitlog2.golden import PRESETS, UNITS, emit
from bitlog2.golden.package.folder import read_manifest
from bitlog2.golden.package.generation import generate
from bitlog2.golden.simulation import icarus_found
from bitlog2.golden.simulation.contract import CONTRACTS, modules_of
from bitlog2.golden.stimulus.unit import Target
from bitlog2.golden.testbench import reference_files, render_testbench
from bitlog2.sim import AttentionConfig

#: Pauses of the streams: a mixture, none, nearly always.
PAUSES = ((), ("+seed=7",), ("+stall=0",), ("+stall=85",))
ROWS = ("softmax_row", "attention_row")
LEAN_ROW_MAX = """\
module lean (
    input clk, input rst_n, input s_axis_tvalid, output s_axis_tready,
    input [bitlog2_pkg::T_WIDTH:0] s_axis_tdata, input s_axis_tlast,
    output m_axis_tvalid, input m_axis_tready, output [bitlog2_pkg::T_WIDTH-1:0] m_axis_tdata
);
  row_max inner (.clk(clk), .rst_n(rst_n), .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready), .s_axis_tdata(s_axis_tdata), .s_axis_tlast(s_axis_tlast),
      .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready), .m_axis_tdata(m_axis_tdata),
      .m_axis_keys_tvalid(), .m_axis_keys_tready(1'b1), .m_axis_keys_tdata(),
      .m_axis_keys_tlast());
endmodule
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("testbench"))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit_set(tmp_path_factory.mktemp("vectors") / "set")


def words_compared(vectors: Path, module: str, taps: bool = True) -> int:
    """The words of every stream that a testbench compares, counted from its files' lines."""
    contract = CONTRACTS[module]
    streams = [sink.stream for sink in contract.outputs if taps or not sink.optional]
    files = [vectors / f"{contract.unit}.{stream}.mem" for stream in streams]
    return sum(path.read_bytes().count(b"\n") for path in files)


def assert_passes(run: tuple[int, list[str]], module: str, words: int) -> None:
    status, lines = run
    assert status == 0, lines
    assert verdict(lines).startswith(f"PASS {module}: {words} words compared, ")


@pytest.mark.parametrize("device", DEVICES)
def test_testbench_reference_passes_in_verilator(
    device: str, vectors: Path, workshop: Workshop
) -> None:
    module = DEVICES[device]
    run = workshop.build("verilator", vectors, device)
    for pauses in PAUSES[:1] if CONTRACTS[module].plain else PAUSES:
        assert_passes(run(vectors, *pauses), module, words_compared(vectors, module))


@pytest.mark.skipif(not icarus_found(), reason="Icarus Verilog is not on PATH")
@pytest.mark.parametrize("device", DEVICES)
def test_testbench_reference_passes_in_icarus(
    device: str, vectors: Path, workshop: Workshop
) -> None:
    module = DEVICES[device]
    run = workshop.build("icarus", vectors, device)
    for pauses in PAUSES[:1] if CONTRACTS[module].plain else ((), ("+stall=0",)):
        assert_passes(run(vectors, *pauses), module, words_compared(vectors, module))


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("device", ROWS)
def test_testbench_rows_pass_with_other_lanes(
    device: str, lanes: int, vectors: Path, workshop: Workshop
) -> None:
    macros = [f"LANES={lanes}", "SET_LANES"]
    run = workshop.build(quick_simulator(), vectors, device, macros=macros)
    assert_passes(run(vectors), device, words_compared(vectors, device))


@pytest.mark.parametrize("device", ROWS)
def test_testbench_without_taps_compares_the_rest(
    device: str, vectors: Path, workshop: Workshop
) -> None:
    run = workshop.build(quick_simulator(), vectors, device, macros=["NO_TAPS"])
    assert_passes(run(vectors), device, words_compared(vectors, device, taps=False))


def test_testbench_of_row_max_takes_a_device_without_distances(
    vectors: Path, workshop: Workshop, tmp_path: Path
) -> None:
    device = tmp_path / "lean.sv"
    device.write_text(LEAN_ROW_MAX)
    rtl = [*reference_files(), device]
    simulator, macros = quick_simulator(), ["NO_TAPS"]
    run = workshop.build(simulator, vectors, "lean", module="row_max", rtl=rtl, macros=macros)
    assert_passes(run(vectors), "row_max", words_compared(vectors, "row_max", taps=False))


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(
            AttentionConfig("BitLog2_Single_16", max_head_dim=2, max_tokens=5, v_bits=8, o_bits=8),
            marks=pytest.mark.long,
        ),
        pytest.param(
            AttentionConfig("BitLog2_Half_16", max_head_dim=3, max_tokens=1, fraction_bits=2),
            marks=pytest.mark.long,
        ),
        AttentionConfig("BitLog2_Single_17", max_head_dim=5, max_tokens=9, v_bits=8, o_bits=5),
    ],
    ids=["BitLog2_Single_16", "BitLog2_Half_16", "BitLog2_Single_17"],
)
def test_testbench_reference_passes_in_other_configurations(
    config: AttentionConfig, workshop: Workshop, tmp_path: Path
) -> None:
    vectors = emit_set(tmp_path / "set", config, config.max_head_dim)
    for device, module in DEVICES.items():
        run = workshop.build(quick_simulator(), vectors, device)
        assert_passes(run(vectors), module, words_compared(vectors, module))


@pytest.mark.long
@pytest.mark.parametrize("device", DEVICES)
def test_testbench_reference_passes_the_default_set_in_verilator(
    device: str, workshop: Workshop, tmp_path: Path
) -> None:
    module = DEVICES[device]
    emit(tmp_path / "set", units=[CONTRACTS[module].unit], testbench=True)
    run = workshop.build("verilator", tmp_path / "set", device)
    for pauses in PAUSES:
        words = words_compared(tmp_path / "set", module)
        assert_passes(run(tmp_path / "set", *pauses), module, words)


def test_testbench_pauses_depend_on_the_seed_alone(
    vectors: Path, workshop: Workshop, tmp_path: Path
) -> None:
    """A device that gives nothing hangs at a time that only the pauses change."""
    device = tmp_path / "row_sum.sv"
    text = next(path for path in reference_files() if path.name == "row_sum.sv").read_text()
    device.write_text(text.replace("m_axis_tvalid <= fire && s_axis_tlast", "m_axis_tvalid <= 0"))
    run = workshop.build(quick_simulator(), vectors, "row_sum", rtl=[device])
    first, again, other = (run(vectors, f"+seed={seed}")[1] for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize("preset", ["default", "BitLog2_Single_16"])
@pytest.mark.parametrize("taps", ["TAPS", "NO_TAPS"])
def test_testbench_compiles_under_slang(preset: str, taps: str, tmp_path: Path) -> None:
    emit(tmp_path / "set", PRESETS[preset], head_dim=4, sources=["corners"], testbench=True)
    benches = sorted((tmp_path / "set").glob("*_tb.sv"))
    files = [tmp_path / "set" / "bitlog2_pkg.sv", *reference_files(), *benches]
    driver = Driver()
    driver.addStandardArgs()
    assert driver.parseCommandLine(
        " ".join(["slang", "--timescale=1ns/1ps", "-D", taps, *map(str, files)])
    )
    assert driver.processOptions()
    assert driver.parseAllSources()
    compilation = driver.createCompilation()
    serious = (pyslang.DiagnosticSeverity.Error, pyslang.DiagnosticSeverity.Fatal)
    errors = [
        each
        for each in compilation.getAllDiagnostics()
        if driver.diagEngine.getSeverity(each.code, each.location) in serious
    ]
    assert pyslang.DiagnosticEngine.reportAll(driver.sourceManager, errors) == ""
    assert len(compilation.getRoot().topInstances) >= len(benches) - 1  # bitlog2_tb.sv has none


def test_testbench_every_unit_has_one_of_its_name() -> None:
    assert all(name in modules_of(name) for name in UNITS)


def test_testbench_leaves_out_what_verify_leaves_out() -> None:
    """The fields that mean nothing somewhere are the same for both."""
    for unit in generate(SMALL, head_dim=2, sources=["corners"]).units:
        guarded = {
            (sink.stream, field)
            for module in modules_of(unit.unit.name)
            for sink in CONTRACTS[module].outputs
            for field in sink.fields
            if unit.unit.guard(sink.stream, field)
        }
        assert guarded == {
            (stream.name, field)
            for stream in unit.unit.outputs
            for field in unit.tables[stream.name]
            if unit.unit.hidden_words(unit.tables, stream.name, field) is not None
        }, unit.unit.name


def test_testbench_of_another_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="module must be one of row_sum, got 'exp2'"):
        render_testbench(Target.of(SMALL), UNITS["row_sum"], {}, "exp2")


def test_testbench_without_the_number_of_words_is_refused() -> None:
    with pytest.raises(ValueError, match=r"words must count those of row_sum\.expected\.mem"):
        render_testbench(Target.of(SMALL), UNITS["row_sum"], {"row_sum.stimulus.mem": 3})


def test_testbench_is_made_from_the_words_of_the_manifest(vectors: Path) -> None:
    manifest = read_manifest((vectors / "manifest.json").read_bytes())
    made = render_testbench(manifest.target, UNITS["exp2"], manifest.words)
    assert (vectors / "exp2_tb.sv").read_bytes() == made
