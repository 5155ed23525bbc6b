"""What `bitlog2 evaluate` prints and writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitlog2.golden import Origin, RowCase, emit_rows
from bitlog2.models.check import Mismatch
from bitlog2.models.evaluate import CellResult
from bitlog2.models.metrics import Proportion
from bitlog2.models.run import RunRequest, versions
from bitlog2.sim import REGISTERS, SCHEMES
from bitlog2.sim.files import write_whole

__all__ = ["print_check", "print_header", "print_row", "write_json"]


def print_header(request: RunRequest) -> None:
    """Print what is evaluated, and the table's head."""
    print(
        f"{request.model}: W{request.w_bits}A{request.a_bits}, {request.arithmetic} arithmetic, "
        f"seed {request.seed}, check {request.check}"
    )
    print(
        f"{'scheme':<19}{'map':>5}  {'top-1 % [Wilson 95 %]':<23}{'top-5 % [Wilson 95 %]':<24}"
        f"{'agrees %':>9}{'images/s':>10}{'compared':>14}{'mismatches':>12}"
    )


def print_row(cell: CellResult) -> None:
    """Print one row of the table."""
    bits = f"{SCHEMES[cell.name].storage_bits}b" if cell.name in SCHEMES else "-"
    compared = mismatched = "-"
    if cell.checker is not None:
        compared = f"{cell.checker.total_compared:,}"
        mismatched = f"{cell.checker.total_mismatched:,}"
    print(
        f"{cell.name:<19}{bits:>5}  {_share(cell.top1):<23}{_share(cell.top5):<24}"
        f"{cell.agreement.percent:>9.2f}{cell.images_per_second:>10.1f}"
        f"{compared:>14}{mismatched:>12}",
        flush=True,
    )


def _share(share: Proportion) -> str:
    low, high = share.interval
    return f"{share.percent:6.2f} [{low:.2f}, {high:.2f}]"


def print_check(cells: Sequence[CellResult], mismatch_dir: Path) -> int:
    """Print values compared by register, and mismatches; return the exit status."""
    print("map: bits that the code of one attention value takes, a zero flag counted")
    checked = [cell for cell in cells if cell.checker is not None]
    if not checked:
        print("no register was compared (check none, or a float map)")
        return 0
    total = 0
    for name in REGISTERS:
        compared = sum(cell.checker.compared[name] for cell in checked if cell.checker)
        differing = sum(cell.checker.mismatched[name] for cell in checked if cell.checker)
        total += differing
        print(f"  {name:<8}{compared:>15,} compared{differing:>12,} mismatches")
    everything = sum(cell.checker.total_compared for cell in checked if cell.checker)
    print(f"{everything:,} values compared, {total:,} mismatches")
    for cell in checked:
        assert cell.checker is not None
        for mismatch in cell.checker.mismatches:
            print(f"MISMATCH {cell.name}: {mismatch}")
        if cell.checker.mismatches:
            folder = mismatch_dir / cell.name
            _write_replay(folder, cell.checker.mismatches[0])
            print(f"the first one's row is a vector set: bitlog2 golden verify {folder}")
    if not all(cell.checker.passed for cell in checked if cell.checker):
        print("check FAILED")
        return 1
    return 0


def _write_replay(folder: Path, mismatch: Mismatch) -> None:
    origin = Origin(
        model="evaluated",
        layer=mismatch.layer,
        head=mismatch.head,
        image=mismatch.image,
        row=mismatch.row,
    )
    case = RowCase(
        scores=mismatch.score,
        v=mismatch.v,
        masked=mismatch.masked,
        bias=mismatch.bias,
        params=mismatch.params,
        reason=f"register {mismatch.register} differed",
        origin=origin,
    )
    emit_rows(folder, mismatch.config, [case])


def write_json(path: Path, request: RunRequest, cells: Sequence[CellResult]) -> None:
    """Write request, versions and results to a file, whole or not at all."""
    content: dict[str, Any] = {
        "schema": "bitlog2-evaluation-1",
        "request": request.as_dict(),
        "versions": versions(),
        "results": [cell.as_dict() for cell in cells],
    }
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())
