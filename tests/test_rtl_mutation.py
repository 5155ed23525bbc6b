"""Mutants of the reference RTL: caught, proved, or a gap; the whole of it is `make mutation`."""

import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.command import call

from bitlog2.documents import parse
from bitlog2.golden import emit
from bitlog2.golden.assurance.mutation import KEPT, SUBJECTS, kept_table, mutate
from bitlog2.golden.assurance.mutation.campaign import (
    Campaign,
    Findings,
    InRow,
    MutantBench,
    Survivor,
    Verdict,
    told_by_pauses,
)
from bitlog2.golden.assurance.mutation.catalogue import (
    boundary_of,
    modules_inside,
    mutants_of,
    selector_bits,
    subjects_within,
)
from bitlog2.golden.stimulus.unit import PlantedFaults
from bitlog2.golden.testbench.files import RTL
from bitlog2.sim import SCHEMES, AttentionConfig
from bitlog2.sim.scheme import FAMILIES, ROW_MAX

LIST = """\
mutate -mode inv -module $paramod$1f\\lod -cell $add$lod.sv:7$3 -port Y -portbit 2 -src a/lod.sv:7.1
mutate -mode const0 -module lod -cell $procdff$4 -port CLK -portbit 0 -src lod.sv:9.1-9.9
mutate -mode cnot1 -module lod -cell of_x -port x -portbit 11 -ctrlbit 3 -wire x -wirebit 11
"""
#: Plays the bench: mutant 2 ends the run, mutant 4 hangs, mutants 1 and 5 pass.
BENCH = """\
import sys, time
plus = dict(word.lstrip("+").split("=") for word in sys.argv[1:] if "=" in word)
for number in range(int(plus["mutant"]), int(plus["mutant"]) + int(plus["mutants"])):
    if number == 2:
        sys.exit("%Error: did not converge")
    if number == 4:
        time.sleep(60)
    verdict = "PASS" if number in (0, 1, 5) else "FAIL"
    cycles = 9 if number == 5 else 8
    print(f"mutant {number}: {verdict}, 7 words compared, {cycles} cycles", flush=True)
"""


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The usual vectors of the code register."""
    folder = tmp_path_factory.mktemp("codes") / "set"
    emit(folder, units=["code_register"])
    return folder


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One case of exp2."""
    folder = tmp_path_factory.mktemp("blind") / "set"
    emit(folder, units=["exp2"], sources=("random",), random_cases=1)
    return folder


def fake_bench(folder: Path, source: str, mutants: int) -> MutantBench:
    script = folder / "bench.py"
    script.write_text(source)
    program = folder / "bench"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} {script} $@\n")
    program.chmod(0o755)
    return MutantBench(program, folder, mutants)


def test_rtl_mutation_lists_what_is_mutated_and_leaves_clocks_out():
    first, second = mutants_of(LIST, 5)
    assert (first.number, first.mode, first.port, first.bit) == (1, "inv", "Y", 2)
    assert (first.module, first.cell) == ("$paramod$1f\\lod", "$add$lod.sv:7$3")
    assert first.source == "lod.sv:7"
    assert (second.number, second.cell, second.bit) == (2, "of_x", 11)
    assert second.command(3).startswith("mutate -ctrl mutsel 3 2 -mode cnot1 -module lod ")
    assert len(mutants_of(LIST, 1)) == 1


def test_rtl_mutation_takes_every_module_of_each_datapath():
    files = {path.stem for path in RTL.glob("*.sv")} - {"checks"}
    assert {subject.module.name for subject in SUBJECTS.values()} == files
    for scheme in SCHEMES:
        subjects = subjects_within(AttentionConfig(scheme))
        assert [name for name in SUBJECTS if name in subjects] == sorted(
            subjects, key=list(SUBJECTS).index
        )
        assert {each.family for each in subjects.values()} == {SCHEMES[scheme].family}
        units = {each.module.unit.name for each in subjects.values()}
        assert units == set(AttentionConfig(scheme).units)


@pytest.mark.parametrize("family", FAMILIES)
def test_rtl_mutation_takes_every_fact_at_the_end_of_a_modules_rtl(family: str):
    of_family = re.compile(rf"^// (?:{family} )?([a-z]+): (?:\w+: (\w+))?", re.MULTILINE)
    files = {path.stem: path.read_text() for path in RTL.glob("*.sv") if path.stem != "checks"}
    for module, text in files.items():
        facts = of_family.findall(text.partition("\nendmodule\n")[2])
        inner = [boundary_of(name, family) for kind, name in facts if kind == "within"]
        relations = {"else": "agree"}  # a second one
        kinds = [relations.get(kind, kind) for kind, _ in facts if kind != "within"]
        found = boundary_of(module, family)
        taken = {
            "assume": len(found.assumes) - sum(len(each.assumes) for each in inner),
            "held": len(found.held),
            "invariant": len(found.invariants) - sum(len(each.invariants) for each in inner),
            "lemma": len(found.lemmas) - sum(len(each.lemmas) for each in inner),
            "agree": len([each for each in found.relations if each]),
            "compare": len(found.seen),
        }
        assert {kind: count for kind, count in taken.items() if count} == Counter(kinds), module


def test_rtl_mutation_facts_of_one_family_are_not_the_others():
    assert boundary_of("softmax_row").lemmas
    assert not boundary_of("softmax_row", ROW_MAX).lemmas
    divided = "(left == 0 && !m_axis_tvalid) || g_row_max_multiplier_m_axis_tvalid"
    assert divided in boundary_of("attention_row", ROW_MAX).invariants
    assert divided not in boundary_of("attention_row").invariants


def test_rtl_mutation_registers_of_a_module_inside_have_its_name():
    found = boundary_of("attention_row")
    banks = "softmax_write_bank == (softmax_read_bank ^ softmax_waiting ^ (softmax_state != 0))"
    assert banks in found.invariants
    assert found.relations[0][".*beat_max"] == "softmax_loading[7]"
    assert found.relations[0]["softmax_read"].startswith("softmax_coding[0] || ")


@pytest.mark.parametrize(("mutants", "bits"), [(1, 1), (2, 2), (3, 2), (4, 3), (200, 8)])
def test_rtl_mutation_selector_tells_each_mutant_and_none_apart(mutants: int, bits: int):
    assert selector_bits(mutants) == bits


def test_rtl_mutation_aborted_and_hanging_mutants_are_caught(tmp_path: Path):
    assert fake_bench(tmp_path, BENCH, 6).survivors(0, 1.0) == [1, 5]


def test_rtl_mutation_slower_mutant_is_told_by_its_cycles_and_a_hidden_one_by_its_seed(
    tmp_path: Path,
):
    bench = fake_bench(tmp_path, BENCH, 6)
    assert told_by_pauses(bench, 5, (7, 8)) == ("rate", {"cycles": 9, "original": 8})
    assert told_by_pauses(bench, 1, (7, 8)) == ("undetermined", {})
    script = BENCH.replace("(0, 1, 5)", "(0, 5) or number == 1 and plus['seed'] != '8'")
    bench = fake_bench(tmp_path, script, 6)
    assert told_by_pauses(bench, 1, (7, 8)) == ("gap", {"seed": 8})


@pytest.mark.long
def test_rtl_mutation_bench_is_told_to_leave_the_taps_out(tmp_path: Path):
    """Mutant 5 passes where outputs alone are compared."""
    script = BENCH.replace("(0, 1, 5)", "(0, 1) or number == 5 and '+outputs' in sys.argv")
    bench = fake_bench(tmp_path, script, 6)
    assert bench.survivors(0, 1.0) == [1]
    assert bench.survivors(0, 1.0, "+outputs") == [1, 5]


def test_rtl_mutation_counts_rows_with_their_taps_and_without():
    row = InRow(mutants=50, with_taps=48, without_taps=45)
    findings = Findings.of(SUBJECTS["exp2"], 50, [], 1.0, row)
    planted = PlantedFaults(
        module="attention_row", planted=9, with_taps=9, without_taps=8, missed=("sum_narrow",)
    )
    found = Campaign(
        scheme="BitLog2_Half_17", seed=0, most=50, modules=(findings,), planted_faults=(planted,)
    )
    lines = [line.split() for line in found.lines()]
    assert ["mutants", "of", "exp2", "50", "48", "45"] in lines
    assert ["faults", "planted", "in", "attention_row", "9", "9", "8"] in lines


def test_rtl_mutation_kept_table_takes_the_modules_that_were_run():
    new, old = (
        {name: Findings.of(SUBJECTS[name], mutants, [], 1.0) for name in names}
        for names, mutants in ((("exp2", "row_max"), 50), (("delay_line", "exp2", "row_sum"), 40))
    )
    kept = Campaign(scheme="BitLog2_Half_17", seed=1, most=50, modules=tuple(old.values()))
    run = replace(kept, modules=tuple(new.values()))
    joined = {each.module: each for each in run.joined(kept).modules}
    assert list(joined) == ["row_max", "exp2", "row_sum", "delay_line"]
    assert joined == old | new
    for other in ({"scheme": "BitLog2_Half_16"}, {"seed": 2}, {"most": 49}):
        assert run.joined(replace(kept, **other)) == run


@pytest.mark.parametrize("scheme", KEPT)
def test_rtl_mutation_kept_tables_are_whole_and_leave_nothing_open(scheme: str):
    table = parse(kept_table(scheme).read_bytes(), Campaign, scheme)
    assert table.scheme == scheme
    assert [each.module for each in table.modules] == list(subjects_within(AttentionConfig(scheme)))
    assert table.status == 0


@pytest.mark.parametrize("counts", [(50, 51, 45), (50, 44, 45)])
def test_rtl_mutation_outputs_alone_find_no_more_than_with_taps(counts: tuple[int, int, int]):
    mutants, with_taps, without_taps = counts
    with pytest.raises(ValueError, match="without_taps must be at most with_taps"):
        InRow(mutants=mutants, with_taps=with_taps, without_taps=without_taps)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rtl_mutation_knows_the_modules_inside_a_row(scheme: str):
    inside = modules_inside("attention_row") & {
        subject.module.name for subject in subjects_within(AttentionConfig(scheme)).values()
    }
    middle = (
        {"distance_quantizer", "level_value", "row_multiplier", "leading_one"}
        if SCHEMES[scheme].row_max
        else {"exp2", "log2_quantizer_pipe", "leading_one"}
    )
    both = {"distance", "code_register", "shift_add_lane", "softmax_row", "delay_line"}
    pipes = {"score_requantizer_pipe", "output_requantizer_pipe"}
    assert inside == both | middle | pipes


@pytest.mark.long
def test_rtl_mutation_in_a_row_is_counted_with_taps_and_without(tmp_path: Path):
    emit(tmp_path / "set", units=["exp2", "attention_row"])
    (tested,) = mutate(tmp_path / "set", ["exp2"], most=20).modules
    assert tested.in_row is not None
    assert tested.in_row.mutants == 20
    assert tested.in_row.without_taps >= 18


def test_rtl_mutation_original_that_fails_is_refused(tmp_path: Path):
    bench = fake_bench(tmp_path, BENCH.replace("(0, 1, 5)", "(1, 5)"), 6)
    with pytest.raises(ValueError, match="must pass on the original"):
        bench.survivors(0, 1.0)


@pytest.mark.long
def test_rtl_mutation_code_register_is_caught_or_proved(codes: Path):
    found = mutate(codes, ["code_register"], most=20)
    (tested,) = found.modules
    assert tested.mutants == 20
    assert len(tested.survivors) < 10
    assert found.status == 0, found.lines()
    assert any(line.startswith("code_register") and " 20 " in line for line in found.lines())


@pytest.mark.long
def test_rtl_mutation_blind_vectors_leave_gaps(
    blind: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    report = tmp_path / "mutation.json"
    words = ("--module", "exp2", "--most", "10", "--json", report)
    assert call("golden", "mutation", blind, *words) == 1
    printed = capsys.readouterr()
    assert "exp2: gap, " in printed.out
    (module,) = json.loads(report.read_text())["modules"]
    assert printed.err.startswith(f"exp2: 10 mutants, {module['caught']} caught, ")
    gaps = [each for each in module["survivors"] if each["verdict"] == "gap"]
    assert module["gaps"] == len(gaps) > 2
    assert all(set(each["counterexample"]) == {"mask", "d"} for each in gaps)


def test_rtl_mutation_vectors_that_the_original_breaks_are_refused(blind: Path, tmp_path: Path):
    broken = tmp_path / "set"
    shutil.copytree(blind, broken)
    file = broken / "exp2.expected.mem"
    file.write_text(f"{int(file.read_text(), 16) ^ 1:05x}\n")
    with pytest.raises(ValueError, match="must pass on the original"):
        mutate(broken, ["exp2"], most=1)


def test_rtl_mutation_unknown_module_is_refused(blind: Path):
    with pytest.raises(
        ValueError, match=r"module must be one of score_accumulator, .*, got 'exp3'"
    ):
        mutate(blind, ["exp3"])


def test_rtl_mutation_set_without_the_unit_is_refused(blind: Path):
    with pytest.raises(ValueError, match="vector set must hold code_register"):
        mutate(blind, ["code_register"], most=1)


@pytest.mark.parametrize(
    ("verdict", "inputs", "status", "shown"),
    [
        ("equivalent", {}, 0, ""),
        ("rate", {"cycles": 9, "original": 8}, 0, "9 cycles without pauses, the original 8"),
        ("gap", {"d": 10}, 1, "differs for d=0xa"),
        ("undetermined", {}, 1, "not decided"),
    ],
)
def test_rtl_mutation_no_mutant_may_stay_open(
    verdict: Verdict, inputs: dict[str, int], status: int, shown: str
):
    (mutant,) = mutants_of(LIST, 1)
    survivor = Survivor(mutant=str(mutant), verdict=verdict, counterexample=inputs)
    findings = Findings.of(SUBJECTS["attention_row"], 50, [survivor], 1.0)
    found = Campaign(scheme="BitLog2_Half_17", seed=0, most=50, modules=(findings,))
    assert found.status == status
    lines = [line for line in found.lines() if str(mutant) in line]
    assert [shown in line for line in lines] == ([True] if shown else [])


@pytest.mark.long
def test_rtl_mutation_every_entry_of_the_exp2_table_is_caught(tmp_path: Path):
    emit(tmp_path / "set", units=["exp2"])
    (tested,) = mutate(tmp_path / "set", ["exp2 table"]).modules
    assert (tested.mutants, tested.survivors) == (64, ())


@pytest.mark.long
def test_rtl_mutation_stream_module_has_no_gap(tmp_path: Path):
    emit(tmp_path / "set", units=["row_max"])
    found = mutate(tmp_path / "set", ["row_max"], most=50)
    assert found.status == 0, found.lines()
