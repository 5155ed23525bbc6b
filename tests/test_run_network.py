"""Evaluation in integer arithmetic: one digest of the logits, every register of the network."""

import json
import re
import shutil
from dataclasses import replace

import msgspec
import pytest
import torch
from support.evaluations import run, run_once
from support.models import digits_task

from bitlog2.models.runs import evaluation
from bitlog2.models.runs.folder import RunFolder
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.runs.result import read_result
from bitlog2.models.sealed import digest_of
from bitlog2.models.zoo.checkpoint import QuantizedModel, load_quantized, save_quantized
from bitlog2.scripts.cli import main
from bitlog2.sim.network.digest import logits_digest
from bitlog2.sim.network.simulator import infer

REQUEST = EvaluationRequest(
    models=("digits",), schemes=("RowMax_16",), limit=20, batch_size=8, statistics=False
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> RunFolder:
    return run_once(tmp_path_factory, "network_run", REQUEST)


def network_cell(folder):
    """The cell in integer arithmetic, in the result of a run."""
    return read_result(folder.path).cells[1]


def saved_model(folder) -> QuantizedModel:
    return load_quantized(folder.model_file(folder.request.cells()[1]))


def test_run_network_digest_is_that_of_the_simulator(finished):
    images = digits_task().data.test.tensors[0][:20]
    found = saved_model(finished)
    pixels = found.executed().normalization.of(images).numpy().astype("u2")
    assert network_cell(finished).digests.logits == logits_digest(
        infer(found.program, pixels).logits
    )


def test_run_network_check_holds_every_register_of_every_unit(finished):
    """Of 4 blocks: 20 linear layers and the head, 9 norms, 65 tokens."""
    check = network_cell(finished).check
    assert (check.passed, check.total_mismatched) == (True, 0)
    assert check.compared["logit"] == 20 * 10
    assert check.compared["score"] == 20 * 4 * 3 * 65 * 65
    assert check.compared["activation_code"] == 20 * 4 * 65 * 384
    assert check.compared["norm_code"] == 20 * (8 * 65 + 1) * 96


@pytest.mark.parametrize(
    ("batch_size", "threads"), [(3, 1), pytest.param(20, 2, marks=pytest.mark.long)]
)
def test_run_network_digest_does_not_depend_on_batch_and_threads(
    finished, tmp_path, batch_size, threads
):
    request = msgspec.structs.replace(
        REQUEST, batch_size=batch_size, threads=threads, check="sample:1"
    )
    found = network_cell(run(tmp_path / "run", request, threads=threads))
    assert found.digests == network_cell(finished).digests
    assert found.check.compared["logit"] == 10 * -(-20 // batch_size)


def test_run_network_resumed_gives_the_same_bytes(finished, tmp_path):
    """Of three batches the second is missing, and its logits are half written."""
    path = tmp_path / "run"
    shutil.copytree(finished.path, path)
    (path / "result.json").unlink()
    (journal,) = path.glob("cells/*integer*/batches-*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"batch":1,' not in line))
    (logits,) = path.glob("cells/*integer*/logits/1")
    logits.write_bytes(b"\0")
    run(path, None)
    assert (path / "result.json").read_bytes() == finished.result_file.read_bytes()


@pytest.mark.parametrize("change", ["bit", "short", "gone"])
def test_run_network_damaged_logits_are_refused(finished, tmp_path, change):
    path = tmp_path / "run"
    shutil.copytree(finished.path, path)
    (file,) = path.glob("cells/*integer*/logits/2")
    content = file.read_bytes()
    if change == "gone":
        file.unlink()
    else:
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:] if change == "bit" else content[:-1])
    with pytest.raises(ValueError, match=r"logits/2 must be the logits of its batch, got others"):
        run(path, None)


def test_run_network_lowered_and_run_gives_the_same_digest(finished, tmp_path, capsys):
    program, pixels, out = (str(tmp_path / name) for name in ("p", "pixels.npz", "out.npz"))
    words = ["--scheme", "RowMax_16", "--limit", "20", "--pixels", pixels]
    assert main(["lower", "digits", "--out", program, *words]) == 0
    digest = network_cell(finished).digests.logits
    assert main(["run", program, "--images", pixels, "--out", out, "--expect", digest]) == 0
    said = capsys.readouterr().out
    assert f"digest {digest}" in said
    assert f"program {program}: {network_cell(finished).model_sha256}" in said


def test_run_network_digest_is_shown_by_status_report_and_compare(finished, tmp_path, capsys):
    path, page = str(finished.path), tmp_path / "page.html"
    cell, digest = network_cell(finished).name, network_cell(finished).digests.logits
    assert main(["status", path]) == 0
    assert re.search(f"^{cell} .* 0 mismatches  logits {digest}$", capsys.readouterr().out, re.M)
    assert main(["compare", path, path]) == 0
    assert f"  logits of {cell}: SHA-256 {digest}\n" in capsys.readouterr().out
    assert main(["report", path, "--out", str(page)]) == 0
    assert f"logits, {cell}<" in page.read_text()
    assert digest in page.read_text()


EVALUATE = ("evaluate", "--scheme", "RowMax_16", "--limit", "20", "--check", "none")


def test_run_network_expected_digest_is_printed_and_held(finished, capsys):
    digest = network_cell(finished).digests.logits
    assert main([*EVALUATE, "--expect", digest]) == 0
    assert f"logits of RowMax_16: SHA-256 {digest}\n" in capsys.readouterr().out
    other = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    assert main([*EVALUATE, "--expect", other]) == 1
    said = capsys.readouterr().out
    assert f"logits must have the digest {other}, got {digest}: digest DIFFERS" in said


def test_run_network_register_that_differs_is_named(monkeypatch, tmp_path, capsys):
    """A bias of one channel of the torch network is one too large."""
    right = QuantizedModel.executed

    def wrong(self):
        network = right(self)
        if self.program is not None:
            network.steps[2].fc1.constant[3] += 1
        return network

    monkeypatch.setattr(QuantizedModel, "executed", wrong)
    result = tmp_path / "r.json"
    words = ["--scheme", "RowMax_16", "--limit", "3", "--check", "sample:1", "--json", str(result)]
    assert main(["evaluate", *words, "--mismatch-dir", str(tmp_path / "m")]) == 1
    said = capsys.readouterr().out
    place = r"image [012] steps\.2\.fc1 linear_accumulator linear_acc token 0 channel 3: expected"
    inputs = r"inputs: zx \d+, linear_bias -?\d+$"
    assert re.search(f"^MISMATCH RowMax_16: {place} .*; {inputs}", said, re.M)
    assert "check FAILED" in said
    check = json.loads(result.read_text())["cells"][1]["check"]
    assert check["mismatched"]["linear_acc"] >= 65
    assert not check["passed"]
    (file,) = (tmp_path / "m").iterdir()
    assert f"the first one, again: bitlog2 replay {file}\n" in said
    assert main(["replay", str(file)]) == 0  # of the program, which has the right bias
    assert "the three agree" in capsys.readouterr().out


def test_run_network_ties_go_to_the_lower_class():
    logits = torch.tensor([[3, 7, 7, 1, 7, 0, 3], [5] * 7], dtype=torch.int32)
    best, hit = evaluation.top5(logits, torch.tensor([0, 5]))
    assert best.tolist() == [[1, 2, 4, 0, 6], [0, 1, 2, 3, 4]]
    assert hit.any(dim=1).tolist() == [True, False]


def test_run_network_result_of_the_older_format_is_refused(finished, tmp_path):
    """Its `integer` is what `attention` is now."""
    content = json.loads(finished.result_file.read_text())
    content["format"] = "bitlog2-result-5"
    content.pop("sha256")
    content["sha256"] = digest_of(content)
    (tmp_path / "result.json").write_text(json.dumps(content))
    message = r"must have the format bitlog2-result-6, got 'bitlog2-result-5'"
    with pytest.raises(ValueError, match=message):
        read_result(tmp_path / "result.json")


def test_run_network_saved_model_holds_its_program(finished, tmp_path):
    """Its own digest is that of the program; another scheme's, or none, is refused."""
    found, path = saved_model(finished), tmp_path / "q"
    assert found.digest == network_cell(finished).model_sha256
    with pytest.raises(ValueError, match="program must be there for integer arithmetic alone"):
        replace(found, program=None)
    spec = msgspec.structs.replace(found.spec, scheme="BitLog2_Half_17")
    save_quantized(path, replace(found, spec=spec))
    with pytest.raises(ValueError, match=r"program must be of scheme, bits and classes \('BitLog2"):
        load_quantized(path)
    bare = replace(found, program=None, spec=msgspec.structs.replace(spec, arithmetic="attention"))
    object.__setattr__(bare, "spec", spec)
    save_quantized(path, bare)
    with pytest.raises(ValueError, match="program must be the bytes of a program's file"):
        load_quantized(path)
