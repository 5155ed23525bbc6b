"""How fast a large vector set is made and verified."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from .emission import emit
from .verification import Verification, verify

__all__ = ["emit_and_verify_seconds"]

_UNIT = "log2_quantizer"
_EXPECTED = f"{_UNIT}.expected.mem"
#: Cases of the set that is made first: it loads the kernels and the manifest's schema.
_WARM = 1000


def emit_and_verify_seconds(words: int) -> tuple[float, float, int]:
    """Return the seconds of `emit`, the seconds of `verify`, and the bytes of the memory files.

    The set holds random cases of the log2 quantizer, one word of stimulus and one of output each,
    in a temporary folder that is removed. The device's file is a copy of the expected one, so
    `verify` compares every output twice: the set's own, and the device's.

    Args:
        words: cases, 1 to 10**8.

    Raises:
        TypeError, ValueError: `words` is no integer or out of range.
        RuntimeError: the verification failed or left words out.
    """
    with TemporaryDirectory() as folder:
        _emit_and_verify(Path(folder) / "warm", _WARM)
        return _emit_and_verify(Path(folder) / "timed", words)


def _emit_and_verify(root: Path, words: int) -> tuple[float, float, int]:
    start = perf_counter()
    emission = emit(root / "set", units=[_UNIT], sources=["random"], random_cases=words)
    emitted = perf_counter() - start
    size = sum(size for name, size in emission.sizes.items() if name.endswith(".mem"))
    del emission
    actual = root / "device.mem"
    shutil.copyfile(root / "set" / _EXPECTED, actual)
    start = perf_counter()
    verification = verify(root / "set", {_UNIT: actual})
    verified = perf_counter() - start
    _refuse_unless_whole(verification, words)
    return emitted, verified, size


def _refuse_unless_whole(verification: Verification, words: int) -> None:
    """Refuse a verification that failed, or compared fewer words than there are."""
    compared = [
        count.compared
        for comparisons in (verification.inside, verification.devices)
        for comparison in comparisons
        for count in comparison.counts
    ]
    if not verification.ok or compared != [words, words]:
        raise RuntimeError("\n".join(["the set must verify", *verification.lines()]))
