"""The `kernel` decorator: no stale arithmetic, no need of a cache, no need of a compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bitlog2
import bitlog2.sim

PACKAGE, SIM = Path(bitlog2.__file__).parent, Path(bitlog2.sim.__file__).parent
RND = "return (x + ((np.int64(1) << n) >> np.int64(1))) >> n"

TWO_FILES = """
import numpy as np
from bitlog2.sim import AttentionConfig, LayerParams, jit
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.units.score_requantizer import score_requantizer_kernel as score_requantizer
layer = layer_constants(AttentionConfig(), LayerParams(47274, 14, 43691, 23))
t = np.empty(3, np.int32)
halved = layer._replace(m=1, n=1, narrow=0)
score_requantizer(np.arange(3, dtype=np.int32), np.zeros(3, np.int32), halved, t)
print(jit.cache_folder())
print(t.tolist())
"""
ONE_KERNEL = """
import numpy as np
from bitlog2.sim import jit
from bitlog2.sim.units.row_sum import row_sum_kernel as row_sum
print(jit.cache_folder())
print(row_sum(np.arange(5, dtype=np.int32)))
"""
SMALL_INPUTS = """
import numpy as np
from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams, attention, spec
from bitlog2.sim.units import code_register, score_accumulator, shift_add
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.selftest import selftest

report = selftest()
assert report.passed, report
rng = np.random.default_rng(2)
q, k = rng.integers(0, 16, (3, 5)), rng.integers(0, 16, (4, 5))
score = np.empty((3, 4), np.int32)
score_accumulator.score_accumulator_kernel(q, k, 7, 8, score)
assert score.tolist() == [
    [spec.score_accumulator(a, b, 7, 8) for b in k.tolist()] for a in q.tolist()
]
for scheme in SCHEMES.values():
    levels, v = rng.integers(0, scheme.levels, 21, dtype=np.uint8), rng.integers(0, 16, (21, 2))
    constants = scheme_constants(scheme)
    acc = np.empty(2, np.int32)
    shift_add.shift_add_kernel(levels, v, 6, constants, acc)
    rows = levels.tolist()
    assert acc.tolist() == [spec.shift_add(rows, c, 6, scheme) for c in v.T.tolist()]
    nibble, flag, nibbles = (np.empty(n, np.uint8) for n in (21, 21, 11))
    flags = np.empty(3 if scheme.zero_flag else 0, np.uint8)
    code_register.code_register_kernel(levels, constants, nibble, flag)
    code_register.pack_row_kernel(nibble, flag, nibbles, flags)
    assert (nibbles.tobytes(), flags.tobytes()) == spec.pack_row(rows, scheme)
for scheme in ("BitLog2_Half_17", "RowMax_16"):  # a masked key far beyond the maximum
    config, params = AttentionConfig(scheme), LayerParams(1, 0, 1, 0)
    codes, far = np.zeros((1, 2, 1), int), {"masked": [0, 1], "bias": [-131072, 131071]}
    arrays = {"masked": np.array([[[False, True]]]), "bias": np.array([[far["bias"]]])}
    made = attention(codes[:, :1], codes, codes, params, config, **arrays)
    row = spec.attention_row([0], [[0], [0]], [[0], [0]], params, config, **far)
    assert made[0, 0].tolist() == row.o
print(report.total)
"""


def make_tree(tmp_path: Path) -> Path:
    """Copy the package, `sim` inside it, and return the folder to import it from."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "bitlog2", ignore=ignore)
    shutil.copytree(SIM, tmp_path / "bitlog2" / "sim", ignore=ignore)
    return tmp_path


def edit(tree: Path, file: str, old: str, new: str) -> None:
    path = tree / "bitlog2" / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def run_script(script: str, tree: Path | None, *options: str, **environment: str) -> list[str]:
    """Run the script in a fresh process, importing from `tree`; return the lines it prints."""
    variables = os.environ | environment
    if tree is not None:
        variables |= {"PYTHONPATH": str(tree)}
        check = f"import bitlog2.sim; assert bitlog2.sim.__file__.startswith({str(tree)!r})\n"
        script = check + script
    done = subprocess.run(
        [sys.executable, *options, "-c", script],
        env=variables,
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_jit_caller_sees_an_edit_to_a_callee_in_another_file(tmp_path: Path):
    """numba's own cache would give the old rounding: RND becomes TRN in sim/rounding.py."""
    tree = make_tree(tmp_path)
    folder, before = run_script(TWO_FILES, tree)
    assert list(Path(folder).glob("*score_requantizer*.nbc")), "no compiled kernel was left"
    edit(tree, "sim/rounding.py", RND, "return x >> n")
    new_folder, after = run_script(TWO_FILES, tree)
    assert new_folder != folder
    assert (before, after) == ("[0, 1, 1]", "[0, 0, 1]")


def modification_times(folder: str, pattern: str = "*") -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(folder).glob(pattern)}


def test_jit_second_process_reads_the_compiled_kernels(tmp_path: Path):
    tree = make_tree(tmp_path)
    folder, before = run_script(ONE_KERNEL, tree)
    compiled = modification_times(folder)
    assert any(path.suffix == ".nbc" for path in compiled)
    assert run_script(ONE_KERNEL, tree) == [folder, before]
    assert modification_times(folder) == compiled


def test_jit_works_where_no_cache_folder_can_be_written(tmp_path: Path):
    """Both candidates lie below a file, which holds for root too; nothing is printed."""
    tree = make_tree(tmp_path)
    (tree / "bitlog2" / "sim" / "__pycache__").write_text("a file")
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    assert run_script(ONE_KERNEL, tree, XDG_CACHE_HOME=str(blocked)) == ["None", "10"]


def test_jit_falls_back_to_the_cache_of_the_user(tmp_path: Path):
    tree = make_tree(tmp_path)
    (tree / "bitlog2" / "sim" / "__pycache__").write_text("a file")
    folder, total = run_script(ONE_KERNEL, tree, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert Path(folder).parent == tmp_path / "cache" / "bitlog2"
    assert total == "10"


@pytest.mark.long
def test_jit_works_for_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As in a container under a number that no user has; nothing is written into `./~`."""
    tree = make_tree(tmp_path)
    (tree / "bitlog2" / "sim" / "__pycache__").write_text("a file")
    (tree / "sitecustomize.py").write_text("import os\nos.getuid = lambda: 2**31 - 7\n")
    monkeypatch.delenv("HOME")
    assert run_script(ONE_KERNEL, tree, XDG_CACHE_HOME="") == ["None", "10"]
    assert not (tree / "~").exists()


@pytest.mark.long
def test_jit_works_where_the_cache_folder_is_full(tmp_path: Path):
    full = (
        "import builtins, errno, os\nplain = builtins.open\ndef opened(path, mode='r', *a, **k):\n"
    )
    full += "    if '.tmp.' in str(path):\n        raise OSError(errno.ENOSPC, 'full')\n"
    full += "    return plain(path, mode, *a, **k)\nbuiltins.open = opened\n"
    folder, total = run_script(full + ONE_KERNEL, make_tree(tmp_path))
    assert (total, list(Path(folder).iterdir())) == ("10", [])


def test_jit_disabled_gives_the_same_bits_without_a_warning():
    """Every kernel as plain Python on small inputs; any warning, an overflow say, is an error."""
    lines = run_script(SMALL_INPUTS, None, "-W", "error", NUMBA_DISABLE_JIT="1")
    assert int(lines[-1]) > 10_000
