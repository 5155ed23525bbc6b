"""Proofs about mutants: under assumptions, over registers and memories, with counterexamples."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import z3
from support.quick import one_in

from bitlog2.golden import emit
from bitlog2.golden.assurance.mutation.catalogue import (
    NETLIST,
    PLAIN,
    Boundary,
    Mutant,
    MutatedDesign,
    boundary_of,
    elaborate,
    mutated,
    sampled,
)
from bitlog2.golden.assurance.mutation.equivalence import Prover, joined
from bitlog2.golden.assurance.mutation.question import (
    Proof,
    conjuncts,
    constants_of,
    equal_terms,
    number_tests,
)
from bitlog2.golden.assurance.yosys import sources
from bitlog2.golden.simulation.tools import yosys
from bitlog2.sim import AttentionConfig

SHORT = ("bitlog2_pkg.sv", 10)
PACKAGE = "package bitlog2_pkg; localparam integer LIMIT = 8; endpackage\n"
ADDITION = """\
module plain(input logic [3:0] a, input logic [3:0] b, output logic [4:0] y);
  assign y = 5'(a) + 5'(b);
endmodule
"""
BESIDE = """\
module beside(input logic [3:0] a, input logic [3:0] b, output logic [4:0] y, output logic z);
  assign y = 5'(a) + 5'd3;
  assign z = ^b;
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

STORE = """\
module store(
  input logic clk, input logic rst_n, input logic we, input logic [1:0] wa, input logic [2:0] wd,
  input logic [1:0] ra, output logic m_axis_tvalid, output logic [3:0] m_axis_tdata
);
  logic [3:0] words[0:3];
  logic [3:0] there;
  always_ff @(posedge clk) if (we) words[wa] <= {wd, 1'b1};
  always_ff @(posedge clk) there <= rst_n ? there | (4'(we) << wa) : 4'd0;
  assign m_axis_tvalid = there[ra];
  seen read(.word(words[ra]), .y(m_axis_tdata));
endmodule
module seen(input logic [3:0] word, output logic [3:0] y);
  assign y = word + 4'd3;
endmodule
"""
LANES = """\
module lanes(
  input logic clk, input logic rst_n, input logic s_axis_tvalid, input logic [7:0] s_axis_tdata,
  input logic [2:0] other, output logic m_axis_tvalid, output logic [7:0] m_axis_tdata
);
  logic valid;
  logic [3:0] chosen_0, chosen_1, lane_0, lane_1;
  chosen of_0(.data(s_axis_tdata[3:0]), .other(other), .y(chosen_0));
  chosen of_1(.data(s_axis_tdata[7:4]), .other(other), .y(chosen_1));
  always_ff @(posedge clk) begin
    valid <= rst_n && s_axis_tvalid;
    lane_0 <= chosen_0;
    lane_1 <= chosen_1;
    m_axis_tvalid <= rst_n && valid;
    m_axis_tdata <= {lane_1[3] ? lane_1 : 4'd0, lane_0[3] ? lane_0 : 4'd0};
  end
endmodule
module chosen(input logic [3:0] data, input logic [2:0] other, output logic [3:0] y);
  assign y = data[3] ? data : {1'b0, other};
endmodule
"""


COUNTER = """\
module counter(
  input logic clk, input logic rst_n, input logic s_axis_tvalid, output logic m_axis_tvalid
);
  logic [2:0] left;
  assign m_axis_tvalid = left == 1;
  always_ff @(posedge clk) begin
    if (!rst_n) left <= 0;
    else if (left == 0) left <= s_axis_tvalid ? 7 : 0;
    else left <= left - 1;
  end
endmodule
"""


def design(folder: Path, source: str, most: int = 200, inside: str = "") -> MutatedDesign:
    name = source.split("(")[0].split()[1]
    files = {"bitlog2_pkg.sv": PACKAGE.encode(), f"{name}.sv": source.encode()}
    return sampled(folder, files, name, inside or name, most, seed=0)


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
    found = design(tmp_path, ADDITION)
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
        Prover(design(tmp_path, ADDITION, most=3), never, "bitlog2_pkg.sv", 10)


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


KNOWN = Boundary(
    "store",
    invariants=("!there[entry] || words[0]",),
    relations=({"words": "there[entry]"},),
)


@pytest.mark.long
def test_rtl_mutation_proof_knows_every_word_of_a_memory(tmp_path: Path):
    """Each word that is there is odd: bit 0 may be stuck at 1 where it is read, no other bit."""
    found = design(tmp_path, STORE, inside="seen")
    read = {"port": "A"}
    stuck = verdicts(found, KNOWN, mode="const1", **read)
    assert stuck.pop("const1 A[0]") == ("equivalent", {})
    assert {verdict for verdict, _ in stuck.values()} == {"different"}
    lost = verdicts(found, KNOWN, mode="const0", **read)
    assert {verdict for verdict, _ in lost.values()} == {"different"}
    unknown = replace(KNOWN, invariants=())
    assert verdicts(found, unknown, mode="const1", **read)["const1 A[0]"][0] == "different"


@pytest.mark.parametrize("wrong", ["!there[entry] || words[1]", "words[0]"])
def test_rtl_mutation_invariant_that_a_word_breaks_is_refused(wrong: str, tmp_path: Path):
    with pytest.raises(ValueError, match="invariants of store must hold"):
        Prover(
            design(tmp_path, STORE, most=3, inside="seen"),
            replace(KNOWN, invariants=(wrong,)),
            *SHORT,
        )


@pytest.mark.long
def test_rtl_mutation_relation_of_each_lane_has_its_own_mask(tmp_path: Path):
    """What a lane holds means something where its top bit is 1."""
    found = design(tmp_path, LANES, inside="chosen")
    low = {"lane_#": "valid ? {1, *top(self)}", "m_axis_tdata": "m_axis_tvalid"}
    loose, tight = Boundary("lanes", relations=(low,)), Boundary("lanes")
    swapped = replace(loose, relations=({**low, "lane_#": "valid ? {1, *top(lane_1)}"},))
    there = verdicts(found, loose, mode="inv", port="B")
    assert {verdict for verdict, _ in there.values()} == {"different"}
    for boundary, wanted in ((loose, "equivalent"), (tight, "different"), (swapped, "different")):
        absent = verdicts(found, boundary, mode="inv", port="A")
        assert absent.pop("inv A[3]")[0] == "different"
        assert {verdict for verdict, _ in absent.values()} == {wanted}


@pytest.mark.parametrize(
    ("invariant", "refused"), [("the(other) == 0", False), ("top(other)", True)]
)
def test_rtl_mutation_invariant_of_a_named_register_needs_it(
    invariant: str, refused: bool, tmp_path: Path
):
    """A scheme without flags has no register for them; a pattern that finds nothing is an error."""
    found = design(tmp_path, ADDER, most=3)
    boundary = Boundary("adder", invariants=("the(m_axis_tdata) != 5", invariant))
    with pytest.raises(ValueError, match="unpack" if refused else "must hold, different"):
        Prover(found, boundary, *SHORT)


def counted(folder: Path, *changes: str) -> MutatedDesign:
    """Return a counter of which bit 1 is changed where it is read."""
    files = {"bitlog2_pkg.sv": PACKAGE.encode(), "counter.sv": COUNTER.encode()}
    elaborate(folder, files, "counter")
    yosys(f"read_rtlil {PLAIN}; write_json {PLAIN}.json", folder)
    cells = json.loads((folder / f"{PLAIN}.json").read_text())["modules"]["counter"]["cells"]
    (cell,) = (name for name, each in cells.items() if each["type"] == "$dff")
    place = f"-module counter -cell {cell} -port Q -portbit 1"
    found = [
        Mutant(1 + i, change.split()[0], "counter", cell, "Q", 1, "", f"-mode {change} {place}")
        for i, change in enumerate(changes)
    ]
    return mutated(folder, "counter", found)


@pytest.mark.parametrize(
    ("left", "wanted"),
    one_in(
        3,
        [
            ("as self ^ ((self >> 2 & ~self & 1) << 1)", ["equivalent", "different"]),
            ("as self ^ ((self >> 2 & self & 1) << 1)", ["different", "different"]),
            ("1", ["different", "different"]),
        ],
    ),
)
def test_rtl_mutation_relation_of_a_counter_that_takes_another_order(
    left: str, wanted: list[str], tmp_path: Path
):
    """7, 5, 6, 4 takes as long as 7, 6, 5, 4: bit 1 inverted beside bit 2, not beside bit 0."""
    found = counted(tmp_path, "cnot1 -ctrlbit 2", "cnot1 -ctrlbit 0")
    boundary = Boundary("counter", relations=({"left": left},))
    assert [each.verdict for each in Prover(found, boundary, *SHORT).prove(found.mutants)] == wanted


def test_rtl_mutation_boundary_that_the_design_lacks_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="design must hold the module other"):
        Prover(design(tmp_path, ADDITION, most=3), Boundary("other"), "bitlog2_pkg.sv", 10)


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


@pytest.mark.long
@pytest.mark.parametrize(
    ("assumed", "equal"),
    [
        (("a < 8",), True),  # of the claim's own inputs
        (("a <= b", "b < 8"), True),  # of others, too
        (("b < 8",), False),
    ],
)
def test_rtl_mutation_proof_takes_what_is_assumed_of_other_inputs_where_it_needs_it(
    assumed: tuple[str, ...], equal: bool, tmp_path: Path
):
    found = design(tmp_path, BESIDE)
    kept = {"mode": "const0", "port": "A", "bit": 3}
    ((verdict, inputs),) = verdicts(found, Boundary("beside", assumes=assumed), **kept).values()
    assert verdict == ("equivalent" if equal else "different")
    assert equal or inputs["a"] >= 8


def test_rtl_mutation_proof_splits_what_is_assumed():
    a, b, c = (z3.Bool(name) for name in "abc")
    x = z3.BitVec("x", 4)
    parts = conjuncts([z3.And(a, z3.Not(z3.Or(b, z3.Not(z3.And(c, x == 3)))))])
    assert {constants_of(each) for each in parts} == {constants_of(each) for each in (a, b, c, x)}
    assert len(parts) == 4
    solver = z3.Solver()
    solver.add(z3.And(*parts) != z3.And(a, z3.Not(b), c, x == 3))
    assert solver.check() == z3.unsat


@pytest.mark.parametrize("broken", [0, 1])
def test_rtl_mutation_each_invariant_must_hold(broken: int, tmp_path: Path):
    kept = ["m_axis_tdata < 16", "m_axis_tdata >= 0"]
    kept[broken] = "m_axis_tdata != 5"
    with pytest.raises(ValueError, match="invariants of adder must hold"):
        Prover(design(tmp_path, ADDER, most=3), Boundary("adder", invariants=tuple(kept)), *SHORT)


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


def planted_in_delay_line(folder: Path, width: int, bit: int, *changes: str) -> list[Mutant]:
    """Changes of one bit that leaves the only delay line of a width, of an elaborated row."""
    yosys(f"read_rtlil {PLAIN}; write_json {PLAIN}.json", folder)
    modules = json.loads((folder / f"{PLAIN}.json").read_text())["modules"]
    ((module, cell),) = (
        (module, cell)
        for module, found in modules.items()
        if found["attributes"].get("hdlname") == "delay_line"
        for cell, each in found["cells"].items()
        if each["type"] == "$dff" and len(each["connections"]["Q"]) == width
    )
    place = f"-module {module} -cell {cell} -port Q -portbit {bit}"
    return [
        Mutant(0, change.split()[0], module, cell, "Q", bit, "", f"-mode {change} {place}")
        for change in changes
    ]


#: Row, width of its delay line, bit, change that is equivalent, change that is not.
DELAYED = [
    # The bias of a key: that of a lane which is not kept, inverted; and of one which is.
    ("softmax_row", 36, 16, "cnot0 -ctrlbit 35", "cnot1 -ctrlbit 35"),
    # Whether e is not 0: always; and never.
    ("softmax_row", 6, 5, "const1", "const0"),
    # tkeep of the last lane, whose code is the zero code where it is not kept: always; and never.
    ("attention_row", 24, 3, "const1", "const0"),
    # The code of a lane: of one that is not kept, inverted; and of one which is.
    ("attention_row", 24, 23, "cnot0 -ctrlbit 3", "cnot1 -ctrlbit 3"),
]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("row", "width", "bit", "equal", "other"),
    DELAYED,
    ids=["bias_not_kept", "e_of_0", "tkeep_beside_a_code", "code_not_kept"],
)
def test_rtl_mutation_proof_of_a_row_tells_what_does_not_matter_from_what_does(
    row: str, width: int, bit: int, equal: str, other: str, tmp_path: Path
):
    emit(tmp_path / "set", units=["exp2"])
    elaborate(tmp_path, sources((tmp_path / "set" / SHORT[0]).read_bytes()), row)
    changes = planted_in_delay_line(tmp_path, width, bit, equal, other)
    found = mutated(tmp_path, row, [replace(m, number=1 + i) for i, m in enumerate(changes)])
    boundary = boundary_of(row).of(AttentionConfig())
    verdict, wrong = (
        each.verdict for each in Prover(found, boundary, SHORT[0], 300).prove(found.mutants)
    )
    assert verdict == "equivalent"
    assert wrong != "equivalent"
