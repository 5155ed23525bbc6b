"""Faults planted in a device without taps: each is shown by its output codes, and counted."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from msgspec import convert
from support.quick import USUAL, one_in, quick_where
from support.rtl import FAST
from test_golden_helpers import SMALL, emit_hand_row, renew_sums

from bitlog2.documents import parse
from bitlog2.flow.derived import PLANTED_FAULTS, planted_scores
from bitlog2.golden import emit, verify
from bitlog2.golden.assurance.mutation import KEPT, Campaign, kept_table
from bitlog2.golden.cosim import CONFIGURATIONS, CosimOptions, Rtl, cosim
from bitlog2.golden.package.generation import generate
from bitlog2.golden.package.plan import Plan
from bitlog2.golden.package.vector_set import VectorSet
from bitlog2.golden.stimulus.row_faults import faults
from bitlog2.golden.stimulus.row_stages import rows_of
from bitlog2.golden.stimulus.row_trials import shown_faults
from bitlog2.golden.stimulus.unit import PlantedFaults, Tables, Target
from bitlog2.golden.stimulus.units import UNITS
from bitlog2.golden.testbench.files import reference_files
from bitlog2.golden.words.memfile import render_stream
from bitlog2.sim import SCHEMES, AttentionConfig

SPEC = Path(__file__).parent.parent / "sim" / "SPEC.md"
#: What no output code shows, by scheme; the reason stands beside the fault.
UNSEEN = {
    "RowMax_16": {"distance_limited_to_half"},  # level 0 from half of the largest distance on
}


@pytest.fixture(scope="module", params=quick_where(lambda scheme: scheme in USUAL, SCHEMES))
def whole(request: pytest.FixtureRequest) -> VectorSet:
    """The default rows of a scheme, in two lanes."""
    config = AttentionConfig(scheme=request.param)
    return generate(config, head_dim=2, units=["attention_row"])


def test_row_faults_right_stages_give_the_outputs(whole: VectorSet):
    """And every register that a tap shows, so that the rows are the specification's."""
    tables = whole.units[0].tables
    rows = rows_of(whole.target.config, tables)
    assert np.array_equal(rows.right["output"], tables["expected"]["o"])
    pairs = {"requantized": "t", "level": "level", "distance": "d"}
    for stage, port in pairs.items():
        seen = ~rows.hidden if port == "d" else slice(None)
        assert np.array_equal(rows.right[stage][seen], tables["keys"][port][seen]), stage
    total = "weight_sum" if whole.target.config.code.row_max else "row_sum"
    assert np.array_equal(rows.right["maximum"], tables["rows"]["row_max"])
    assert np.array_equal(rows.right["total_weight"], tables["rows"][total])
    assert np.array_equal(rows.right["accumulated"], tables["rows"]["acc"])


def test_row_faults_are_all_found_by_output_codes(whole: VectorSet):
    """Those that none shows have a reason, which the plan prints; with taps every one is found."""
    config = whole.target.config
    unseen = UNSEEN.get(config.scheme, set())
    names = {fault.name for fault in faults(config)}
    assert shown_faults(config).names == names - unseen
    for found in whole.units[0].planted:
        assert set(found.missed) == unseen, found.module
        assert found.with_taps == found.planted == found.without_taps + len(unseen)
    text = "\n".join(Plan(whole).lines())
    assert all(re.search(rf"^ +{name}: \w", text, re.MULTILINE) for name in unseen)


def test_row_faults_have_names_requirements_and_bins(whole: VectorSet):
    config = whole.target.config
    names = [fault.name for fault in faults(config)]
    assert len(set(names)) == len(names) > 100
    ids = set(re.findall(r"BL2-[A-Z0-9]+-\d\d", SPEC.read_text()))
    assert {fault.requirement for fault in faults(config)} <= ids
    bins = {name for name in whole.units[0].bins if name.startswith("o_shows_")}
    assert bins == {f"o_shows_{name}" for name in shown_faults(config).names}


def test_row_faults_break_each_unit_inside_a_row(whole: VectorSet):
    config = whole.target.config
    broken = {fault.requirement.split("-")[1] for fault in faults(config)}
    middle = {"DIST", "WEIGHT", "ROWMUL"} if config.code.row_max else {"EXP2", "SUM", "LOG2"}
    assert broken == {"REQ", "MAX", "CODE", "ACC", "OUT"} | middle


@pytest.mark.parametrize(
    "choice",
    one_in(24, CONFIGURATIONS, list(map(str, CONFIGURATIONS))),
)
def test_row_faults_that_can_show_are_found_in_the_pairwise_configurations(choice):
    made = generate(choice.config, head_dim=choice.head_dim, units=["attention_row"])
    part = made.units[0]
    assert part.empty == []
    shown = shown_faults(choice.config).names
    found = next(each for each in part.planted if each.module == "attention_row")
    assert not shown & set(found.missed)


# The score of a set.


@pytest.fixture
def row(tmp_path: Path) -> Path:
    """A set of one row, which finds few faults."""
    return emit_hand_row(tmp_path / "set")


def entries(folder: Path) -> tuple[dict, list[dict]]:
    """A manifest, and its scores by module."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    return manifest, manifest["coverage"][0]["planted_faults"]


def rewritten(folder: Path, manifest: dict) -> Path:
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    renew_sums(folder)
    return folder


def test_row_faults_score_of_one_row_counts_what_it_misses(row: Path):
    found = [PlantedFaults(**each) for each in entries(row)[1]]
    assert [each.module for each in found] == ["softmax_row", "attention_row"]
    for each in found:
        assert 0 < each.without_taps < each.with_taps < each.planted
        assert "masked_maximum" in each.missed  # no key is masked
    assert verify(row).ok


@pytest.mark.parametrize("by", [1, -1])
def test_row_faults_wrong_score_in_a_manifest_is_refused(row: Path, by: int):
    manifest, scores = entries(row)
    scores[1]["with_taps"] += by
    found = verify(rewritten(row, manifest))
    assert "manifest.json is not what the stimulus gives" in found.failures


def test_row_faults_score_without_what_it_misses_is_refused(row: Path):
    manifest, scores = entries(row)
    scores[1]["without_taps"] += 1
    with pytest.raises(ValueError, match="without_taps must be"):
        verify(rewritten(row, manifest))


def test_row_faults_forgotten_miss_in_a_manifest_is_refused(row: Path):
    manifest, scores = entries(row)
    scores[1]["missed"].pop()
    scores[1]["without_taps"] += 1
    assert not verify(rewritten(row, manifest)).ok


def test_row_faults_scores_left_out_of_a_manifest_are_refused(row: Path):
    manifest, _ = entries(row)
    manifest["coverage"][0]["planted_faults"] = []
    assert not verify(rewritten(row, manifest)).ok


def test_row_faults_are_planted_in_no_other_unit():
    made = generate(SMALL, head_dim=2, units=["exp2", "shift_add"])
    assert [part.planted for part in made.units] == [(), ()]


def test_row_faults_are_worked_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch):
    made = generate(SMALL, head_dim=2, units=["attention_row"], sources=["random"])
    part, unit = made.units[0], UNITS["attention_row"]
    whole = unit.signals(made.target, part.tables)
    monkeypatch.setattr("bitlog2.golden.stimulus.row_faults._BLOCK", 8)
    for name, flags in unit.signals(made.target, part.tables).items():
        assert np.array_equal(flags, whole[name]), name


# Devices that show o alone.


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corners of a small configuration."""
    folder = tmp_path_factory.mktemp("tapless") / "set"
    emit(folder, SMALL, head_dim=2, units=["attention_row"], sources=("corners",))
    return folder


@pytest.fixture(scope="module")
def inputs(short: Path) -> Tables:
    """Its stimulus."""
    with np.load(short / "vectors.npz") as arrays:
        return {
            stream.name: {
                port: arrays[f"attention_row.{stream.name}.{port}"].astype(np.int64)
                for port in stream.ports
            }
            for stream in UNITS["attention_row"].inputs
        }


def device_with(name: str | None, inputs: Tables, path: Path) -> Path:
    """The words of a device without taps that has a fault, or none."""
    rows = rows_of(SMALL, inputs)
    wrong = {fault.name: rows.changed(fault.stage, fault.wrong) for fault in faults(SMALL)}
    o = rows.right["output"] if name is None else wrong[name]["output"]
    words = {"o": o & ((1 << SMALL.o_bits) - 1)}  # what a register of o holds
    stream = next(each for each in UNITS["attention_row"].outputs if each.name == "expected")
    path.write_bytes(render_stream(Target(SMALL, 2).fields(stream), words))
    return path


def test_row_faults_device_without_a_fault_and_without_taps_agrees(
    short: Path, inputs: Tables, tmp_path: Path
):
    device = device_with(None, inputs, tmp_path / "o.mem")
    assert verify(short, {"attention_row": device}).ok


@pytest.mark.parametrize(
    "name",
    ["masked_maximum", "exp2_truncated", "entry_3_one_more", "sum_one_less", "product_narrow"],
)
def test_row_faults_device_without_taps_is_found(
    name: str, short: Path, inputs: Tables, tmp_path: Path
):
    device = device_with(name, inputs, tmp_path / "o.mem")
    found = verify(short, {"attention_row": device})
    assert [each.ok for each in found.devices] == [False]


#: A row of the reference with one thing wrong: file, right text, wrong text.
WRONG_RTL = {
    "truncating exp2": ("exp2", "shifted[E_WIDTH:1] + E_WIDTH'(shifted[0])", "shifted[E_WIDTH:1]"),
    "masked keys in the maximum": (
        "softmax_row",
        "loaded[leaf*LANE_WIDTH+T_WIDTH] ?",
        "!loaded[leaf*LANE_WIDTH+T_WIDTH+1] ?",
    ),
}


def without_taps(folder: Path) -> Path:
    """Write the module `tapless_row`: `attention_row` with its taps left open."""
    (source,) = (path for path in reference_files() if path.stem == "attention_row")
    head = source.read_text()[: source.read_text().index("\n);") + 3]
    head = head[head.index("module attention_row") :]
    taps = re.findall(r"^ +output .*?(\btap_\w+),?$", head, re.MULTILINE)
    head = re.sub(r"^ +output .*\btap_\w+,?\n", "", head, flags=re.MULTILINE)
    head = re.sub(r",\n\);", "\n);", head).replace("attention_row", "tapless_row", 1)
    pins = ", ".join([*(f".{tap}()" for tap in taps), ".*"])
    path = folder / "tapless_row.sv"
    path.write_text(f"{head}\n  attention_row row ({pins});\nendmodule\n")
    assert len(taps) == 6
    return path


def played(folder: Path, short: Path, module: str = "", old: str = "", new: str = "") -> bool:
    """Whether the set finds nothing wrong with a row without taps, one text replaced."""
    sources = []
    for source in reference_files():
        path, text = folder / source.name, source.read_text()
        assert source.stem != module or text.count(old) == 1
        path.write_text(text.replace(old, new) if source.stem == module else text)
        sources.append(path)
    rtl = Rtl([*sources, without_taps(folder)], "tapless_row")
    options = CosimOptions(simulator=FAST, profiles=["none"])
    found = cosim(short, "attention_row", options, rtl=rtl)
    return found.ok


def test_row_faults_right_rtl_without_taps_agrees(short: Path, tmp_path: Path):
    assert played(tmp_path, short)


@pytest.mark.parametrize("name", one_in(2, WRONG_RTL))
def test_row_faults_wrong_rtl_without_taps_is_found(name: str, short: Path, tmp_path: Path):
    assert not played(tmp_path, short, *WRONG_RTL[name])


@pytest.mark.parametrize("scheme", KEPT)
def test_row_faults_stored_scores_are_those_of_the_kept_mutants(scheme: str):
    stored = json.loads(PLANTED_FAULTS.read_text())
    kept = parse(kept_table(scheme).read_bytes(), Campaign, scheme)
    assert stored.keys() == SCHEMES.keys()
    assert convert(stored[scheme], tuple[PlantedFaults, ...]) == kept.planted_faults


@pytest.mark.long
def test_row_faults_stored_scores_are_counted_again():
    stored = json.loads(PLANTED_FAULTS.read_text())
    assert convert(stored, dict[str, tuple[PlantedFaults, ...]]) == planted_scores()
