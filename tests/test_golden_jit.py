"""Kernels of `golden/`: compiled code is found again, and never after an edit."""

from __future__ import annotations

import shutil
from pathlib import Path

from test_jit import make_tree, run_script

import bitlog2.golden

GOLDEN = Path(bitlog2.golden.__file__).parent
ONE_KERNEL = """
import numpy as np
from bitlog2.golden.stimulus.log2_pairs import levels_of_pairs
from bitlog2.sim import AttentionConfig, jit
from bitlog2.sim.kernel.constants import scheme_constants
level = np.empty(1, np.uint8)
pair = np.array([1], np.int32), np.array([65536], np.int64)
levels_of_pairs(*pair, scheme_constants(AttentionConfig().code), level)
print(jit.cache_folder())
print(level[0])
"""


def tree_with_golden(folder: Path) -> Path:
    tree = make_tree(folder)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(GOLDEN, tree / "bitlog2" / "golden", ignore=ignore)
    return tree


def compiled(folder: str) -> set[Path]:
    return set(Path(folder).glob("*levels_of_pairs*.nbc"))


def test_golden_jit_second_process_reads_the_compiled_kernel(tmp_path: Path) -> None:
    tree = tree_with_golden(tmp_path)
    folder, before = run_script(ONE_KERNEL, tree)
    files = compiled(folder)
    stamps = {path: path.stat().st_mtime_ns for path in files}
    assert len(files) == 1
    assert run_script(ONE_KERNEL, tree) == [folder, before]
    assert {path: path.stat().st_mtime_ns for path in compiled(folder)} == stamps


def test_golden_jit_sees_an_edit_to_any_file_of_golden(tmp_path: Path) -> None:
    tree = tree_with_golden(tmp_path)
    folder, _ = run_script(ONE_KERNEL, tree)
    files = compiled(folder)
    path = tree / "bitlog2" / "golden" / "package" / "presets.py"
    path.write_text(path.read_text() + "# edited\n")
    run_script(ONE_KERNEL, tree)
    assert len(compiled(folder)) == 2
    assert compiled(folder) > files


def test_golden_jit_sees_an_edit_to_a_kernel(tmp_path: Path) -> None:
    tree = tree_with_golden(tmp_path)
    _, before = run_script(ONE_KERNEL, tree)
    path = tree / "bitlog2" / "golden" / "stimulus" / "log2_pairs.py"
    text = path.read_text()
    assert text.count("level[j] = coded[0]") == 1
    path.write_text(text.replace("level[j] = coded[0]", "level[j] = coded[0] + 9"))
    _, after = run_script(ONE_KERNEL, tree)
    assert int(after) == int(before) + 9
