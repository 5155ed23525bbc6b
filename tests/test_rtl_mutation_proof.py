"""Proofs about mutants: under assumptions, over registers and memories, with counterexamples."""

from pathlib import Path

import pytest
import z3

from bitlog2.golden.assurance.mutation.catalogue import NETLIST, Boundary, MutatedDesign, sampled
from bitlog2.golden.assurance.mutation.equivalence import (
    Proof,
    Prover,
    equal_terms,
    joined,
    number_tests,
)
from bitlog2.golden.simulation.tools import yosys

PACKAGE = "package bitlog2_pkg; localparam integer LIMIT = 8; endpackage\n"
PLAIN = """\
module plain(input logic [3:0] a, input logic [3:0] b, output logic [4:0] y);
  assign y = 5'(a) + 5'(b);
endmodule
"""
DIVIDER = """\
module divider(input logic [3:0] a, input logic [3:0] b, output logic [3:0] q);
  assign q = a / b;
endmodule
"""
ADDER = """\
module adder(
  input logic clk, input logic rst_n, input logic s_axis_tvalid, input logic [3:0] s_axis_tdata,
  output logic m_axis_tvalid, output logic [3:0] m_axis_tdata
);
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      m_axis_tvalid <= 1'b0;
      m_axis_tdata <= '0;
    end else begin
      m_axis_tvalid <= s_axis_tvalid;
      m_axis_tdata <= s_axis_tdata + 4'd3;
    end
  end
endmodule
"""


def design(folder: Path, source: str, most: int = 200) -> MutatedDesign:
    name = source.split("(")[0].split()[1]
    files = {"bitlog2_pkg.sv": PACKAGE.encode(), f"{name}.sv": source.encode()}
    return sampled(folder, files, name, name, most, seed=0)


def verdicts(
    found: MutatedDesign, boundary: Boundary, **kept: object
) -> dict[str, tuple[str, dict]]:
    """Verdicts of the mutants whose attributes are these, by what they are."""
    chosen = [m for m in found.mutants if all(getattr(m, k) == v for k, v in kept.items())]
    proofs = Prover(found, boundary, "bitlog2_pkg.sv", 10).prove(chosen)
    return {
        f"{mutant.mode} {mutant.port}[{mutant.bit}]": (proof.verdict, dict(proof.counterexample))
        for mutant, proof in zip(chosen, proofs, strict=True)
    }


def test_rtl_mutation_proof_under_an_assumption_and_a_counterexample_without_it(tmp_path: Path):
    found = design(tmp_path, PLAIN)
    below = Boundary("plain", assumes=("a < bitlog2_pkg::LIMIT",))
    kept = {"mode": "const0", "port": "A"}
    assert verdicts(found, below, **kept)["const0 A[3]"] == ("equivalent", {})
    verdict, inputs = verdicts(found, Boundary("plain"), **kept)["const0 A[3]"]
    assert verdict == "different"
    assert inputs["a"] >= 8


@pytest.mark.parametrize(("b", "quotient"), [(0, 15), (3, 4)])
def test_rtl_mutation_netlist_divides_by_0_as_the_proof_does(b: int, quotient: int, tmp_path: Path):
    design(tmp_path, DIVIDER, most=1)
    setting = f"-set a 13 -set b {b} -set mutsel 0 -show q"
    printed = yosys(f"read_verilog {NETLIST}; flatten; eval {setting}", tmp_path)
    assert f"\\q = {quotient}" in printed or f"4'{quotient:04b}" in printed, printed


def test_rtl_mutation_assumption_that_nothing_meets_is_refused(tmp_path: Path):
    never = Boundary("plain", assumes=("a > 3", "a < 3"))
    with pytest.raises(ValueError, match="assumptions of plain must be met"):
        Prover(design(tmp_path, PLAIN, most=3), never, "bitlog2_pkg.sv", 10)


@pytest.mark.long
def test_rtl_mutation_payload_means_something_where_it_is_valid(tmp_path: Path):
    found = design(tmp_path, ADDER)
    loose = Boundary("adder", relations=({"m_axis_tdata": "m_axis_tvalid"},))
    tight = Boundary("adder", seen={"m_axis_tdata": "1'b1"})
    resets = {"mode": "inv", "source": "adder.sv:6"}
    assert {each[0] for each in verdicts(found, loose, port="Y", **resets).values()} != set()
    reset_value = [m for m in found.mutants if m.mode == "const1" and m.port == "A"]
    for boundary, wanted in ((loose, "equivalent"), (tight, "different")):
        proofs = Prover(found, boundary, "bitlog2_pkg.sv", 10).prove(reset_value)
        assert wanted in {proof.verdict for proof in proofs}


def test_rtl_mutation_invariant_that_does_not_hold_is_refused(tmp_path: Path):
    wrong = Boundary("adder", invariants=("m_axis_tdata != 5",))
    with pytest.raises(ValueError, match="invariants of adder must hold"):
        Prover(design(tmp_path, ADDER, most=3), wrong, "bitlog2_pkg.sv", 10)


def test_rtl_mutation_boundary_that_the_design_lacks_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="design must hold the module other"):
        Prover(design(tmp_path, PLAIN, most=3), Boundary("other"), "bitlog2_pkg.sv", 10)


@pytest.mark.parametrize(
    ("earlier", "later", "verdict"),
    [
        ("different", "equivalent", "equivalent"),
        ("unknown", "different", "unknown"),
        ("different", "unknown", "unknown"),
        ("different", "different", "different"),
    ],
)
def test_rtl_mutation_counterexample_says_nothing_while_another_relation_is_unknown(
    earlier: str, later: str, verdict: str
):
    assert joined(Proof(earlier, {}), Proof(later, {"x": 1})).verdict == verdict


@pytest.mark.parametrize(("hidden", "equal"), [(3, True), (0, False)])
def test_rtl_mutation_proof_finds_what_the_mutated_cell_hides(hidden: int, equal: bool):
    """Of x == 0, bit 1 inverted where bit 3 is 1 changes nothing; where bit 0 is 0, it does."""
    x, inverted = z3.BitVec("x", 4), z3.Bool("inverted")
    one, other = z3.Extract(1, 1, x), z3.Extract(hidden, hidden, x)
    condition = other if equal else ~other
    word = z3.Concat(
        z3.Extract(3, 2, x), z3.If(inverted, one ^ condition, one), z3.Extract(0, 0, x)
    )
    claim = z3.Or(word == 0, z3.BitVec("y", 4) == 3)
    ours, original = (
        z3.substitute(claim, (inverted, z3.BoolVal(chosen))) for chosen in (True, False)
    )
    pair = equal_terms(ours, original)
    if not equal:
        assert pair is None
        return
    assert pair is not None
    assert pair[0].decl().name() == "="
    assert z3.substitute(ours, pair).eq(original)


def test_rtl_mutation_proof_chooses_the_mutant_where_its_number_is_tested():
    number, x = z3.BitVec("mutsel", 3), z3.Bool("x")
    tests = [number == 3, number == 5]
    term = z3.And(z3.Xor(x, tests[0]), z3.If(tests[1], x, z3.Not(x)))
    assert {each.sexpr() for each in number_tests(term, number)} == {each.sexpr() for each in tests}
