"""Covergroups of the declared bins: what they count is what the bins count."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.command import call

from bitlog2.golden import generate
from bitlog2.golden.package.covergroups import PortBin, port_bins
from bitlog2.golden.package.vector_set import UnitVectors
from bitlog2.golden.simulation import run_tool, verilator_command, verilator_environment
from bitlog2.sim import SCHEMES, AttentionConfig

#: A unit with bins of each form: of a port alone, of one where another has a value, of lanes.
QUICK = (
    ("BitLog2_Half_17", "exp2"),
    ("RowMax_16", "distance_quantizer"),
    ("RowMax_16", "shift_add"),
)


def hits(part: UnitVectors, each: PortBin) -> int:
    """What the covergroup's bin counts."""
    words = part.tables[each.stream.name]
    hit = words[each.port] == each.point.value
    if each.guard is not None:
        hit &= words[each.guard[0]] == each.guard[1]
    return int(np.count_nonzero(hit))


def check_hits(scheme: str, units: list[str] | None) -> None:
    vectors = generate(AttentionConfig(scheme), units=units)
    for part in vectors.units:
        bins = port_bins(vectors.target, part.unit)
        found = {name: hits(part, each) for name, each in bins.items()}
        assert found == {name: part.bins[name] for name in bins}, part.unit.name


@pytest.mark.parametrize(("scheme", "unit"), QUICK)
def test_covergroups_count_what_the_bins_count(scheme: str, unit: str):
    check_hits(scheme, [unit])


@pytest.mark.long
@pytest.mark.parametrize("scheme", SCHEMES)
def test_covergroups_of_every_unit_count_what_the_bins_count(scheme: str):
    check_hits(scheme, None)


def test_covergroups_without_their_condition_count_something_else():
    vectors = generate(AttentionConfig(), units=["exp2"])
    (part,) = vectors.units
    largest = port_bins(vectors.target, part.unit)["d_largest"]
    assert hits(part, replace(largest, guard=None)) > part.bins["d_largest"] > 0


def test_covergroups_are_read_with_every_bin_and_name_the_others(tmp_path: Path):
    pyslang = pytest.importorskip("pyslang")
    from pyslang import ast, syntax

    file, names = tmp_path / "bins.sv", ("exp2", "score_accumulator")
    assert call("golden", "plan", "--unit", ",".join(names), "--covergroups", file) == 0
    vectors = generate(AttentionConfig(), units=names)
    declared = [port_bins(vectors.target, part.unit) for part in vectors.units]
    compilation, found = ast.Compilation(), []
    compilation.addSyntaxTree(syntax.SyntaxTree.fromFile(str(file)))
    errors = [each for each in compilation.getAllDiagnostics() if each.isError()]
    assert not errors, pyslang.DiagnosticEngine.reportAll(compilation.sourceManager, errors)
    package = compilation.getPackage("bitlog2_covergroups")
    assert package is not None
    package.visit(lambda each: isinstance(each, ast.CoverageBinSymbol) and found.append(each.name))
    assert sorted(found) == sorted(name for bins in declared for name in bins)
    left = {name for part in vectors.units for name in part.bins} - set(found)
    listed = file.read_text().replace("\n  //", "")
    assert left
    assert all(f" {name}" in listed for name in left)


def test_covergroups_are_accepted_by_verilator(tmp_path: Path):
    file = tmp_path / "bins.sv"
    assert call("golden", "plan", "--unit", "exp2", "--covergroups", file) == 0
    words = [verilator_command(), "--lint-only", "-Wno-COVERIGN", file]
    run_tool(words, tmp_path, environment=verilator_environment())
