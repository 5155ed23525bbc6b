"""The benchmark: what its rows say, and that both sides of a row do the same."""

import json
import subprocess
import time

import numpy as np
import pytest
import torch
from support.quick import USUAL

from bitlog2.flow import bench as bench_cases
from bitlog2.flow.bench import Case, PeerComparison, Throughput, ThroughputCase, machine, run_bench
from bitlog2.scripts.cli import main
from bitlog2.sim import AttentionConfig, LayerParams, attention_from_scores
from bitlog2.sim.spec import log2_quantizer


def case(ours=0.0, theirs=0.0, target=1.0):
    return Case("a", "b", lambda: time.sleep(ours), lambda: time.sleep(theirs), target, target)


def test_bench_a_planted_slow_side_is_not_met():
    (row,) = run_bench([lambda: case(ours=0.02, theirs=0.001)], 3)
    assert row.met is False
    assert row.value > 2


def test_bench_a_planted_slow_peer_is_met():
    (row,) = run_bench([lambda: case(ours=0.001, theirs=0.02)], 3)
    assert row.met is True


def test_bench_ratio_is_that_of_the_medians():
    row = PeerComparison("a", "b", [1.0, 9.0, 2.0], [4.0, 4.0, 100.0], 0.5, 0.4)
    assert (row.value, row.met) == (0.5, True)


def test_bench_lines_have_the_ratio_and_its_targets():
    row = PeerComparison("a", "b", [0.001], [0.002], 0.7, 0.4)
    assert row.lines() == [
        *("a", "  1.00 ms, b 2.00 ms", "  ratio 0.50, to reach 0.70, aim 0.40: met"),
    ]


def test_bench_sides_alternate():
    order = []
    alternating = Case("a", "b", lambda: order.append("o"), lambda: order.append("p"), 1.0, 1.0)
    list(run_bench([lambda: alternating], 3))
    assert "".join(order) == "op" * 4


def test_bench_throughput_is_bytes_of_the_median_second():
    row = Throughput("a", [1.0, 4.0, 2.0], 100_000_000, 50.0)
    assert (row.value, row.met) == (50.0, True)
    assert not Throughput("a", [2.1], 100_000_000, 50.0).met


def test_bench_throughput_case_gives_a_row_a_name():
    made = ThroughputCase(("x", "y"), lambda: ((1.0, 2.0), 10), 1.0, repetitions=2)
    rows = list(run_bench([lambda: made], 9))
    assert [(row.name, row.seconds) for row in rows] == [("x", [1.0, 1.0]), ("y", [2.0, 2.0])]


def test_bench_rows_are_chosen_by_name():
    named = ThroughputCase(("emit", "verify"), lambda: ((1.0, 2.0), 10), 1.0)
    assert len(list(run_bench([case, lambda: named], 1, "verify"))) == 2


def test_bench_rows_that_no_name_holds_are_refused_with_the_names():
    with pytest.raises(ValueError, match=r"rows must be part of the name of one of: .*; got 'zzz'"):
        list(run_bench([case], 1, "zzz"))


def test_bench_threads_of_torch_are_restored():
    before = torch.get_num_threads()
    list(run_bench([lambda: Case("a", "b", int, int, 1.0, 1.0, threads=before + 1)], 1))
    assert torch.get_num_threads() == before


def test_bench_a_missing_peer_is_said(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "apytypes", None)
    assert main(["bench", "--rows", "cast", "--repetitions", "1"]) == 0
    assert (
        "not run: the peer needs the extra [bench]: pip install 'bitlog2[bench]'"
        in capsys.readouterr().out
    )


def test_bench_json_has_samples_targets_and_the_machine(tmp_path, capsys):
    path = tmp_path / "b.json"
    assert main(["bench", "--rows", "quantizer", "--repetitions", "3", "--json", str(path)]) == 0
    content = json.loads(path.read_text())
    (row,) = content["rows"]
    assert (len(row["ours"]), len(row["peers"]), row["target"]) == (3, 3, 0.2)
    assert {"processor", "flags", "cores", "numba", "torch"} <= set(content)
    assert ("NOT MET" in capsys.readouterr().out) == (not row["met"])


def test_bench_machine_says_what_processor():
    assert isinstance(machine()["flags"], list)
    assert machine()["cores"] >= 1


@pytest.mark.parametrize("peer", ["frexp", "bits of the float", "bucketize"])
def test_bench_float_quantizers_are_the_quantizer(peer):
    """Of e / s exact in float32: the levels of the specification."""
    scheme = AttentionConfig().code
    e = np.arange(0, (1 << 16) + 1, 7)
    x = torch.from_numpy((e / 2**22).astype(np.float32))
    expected = [log2_quantizer(int(one), 1 << 22, scheme) for one in e]
    assert bench_cases.float_quantizers(x)[peer]().tolist() == expected


def test_bench_quantizer_gives_the_same_as_its_peer():
    made = bench_cases.quantizer_alone()
    assert np.array_equal(made.ours(), made.theirs().numpy())


def test_bench_cast_gives_the_same_as_its_peer():
    pytest.importorskip("apytypes")
    made = bench_cases.rounding_cast()
    theirs = np.array(made.theirs().to_bits())
    assert np.array_equal(made.ours(), np.where(theirs >= 128, theirs - 256, theirs))


@pytest.mark.long
@pytest.mark.parametrize("scheme", USUAL)
def test_bench_levels_are_those_of_the_attention(scheme):
    """The row from scores to levels runs what `attention` runs."""
    level = bench_cases.scores_to_levels(scheme, 1, 1).ours()
    score = np.random.default_rng(0).integers(-6000, 6000, level.shape)
    params = LayerParams(m=40000, n=20, m2=40000, n2=16, zq=7, zk=8, zv=7, zo=8)
    v = np.zeros((96, 197, 1), np.int64)
    trace = attention_from_scores(score, v, params, AttentionConfig(scheme), trace=True)
    assert np.array_equal(level, trace.level)


def test_bench_networks_of_a_shape_give_the_same_logits():
    rows = [bench_cases.whole_network(of, "tiny", 32, 2) for of in ("torch", "simulator")]
    ours = [np.asarray(row.ours()) for row in rows]
    assert np.array_equal(*ours)
    assert rows[0].theirs().shape == ours[0].shape == (2, 1000)
    assert rows[1].name == "simulator network, DeiT-T, 5 tokens, batch 2, 2 threads"


def test_bench_growth_has_rows_only_where_asked_for():
    counts = [len(bench_cases.cases(1, 1, "peak memory", growth)) for growth in (False, True)]
    assert counts[1] - counts[0] == 10 + 3


def test_bench_peak_memory_is_that_of_the_process():
    small, large = (bench_cases._peak(f"b'x' * ({n} << 20)") for n in (1, 200))
    assert 0.15 < large - small < 0.25


def test_bench_a_process_that_fails_is_an_error():
    with pytest.raises(subprocess.CalledProcessError):
        bench_cases._peak("raise SystemExit(3)")
