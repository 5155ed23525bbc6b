"""`bitlog2 replay`: a register of the network that differed, computed again."""

from pathlib import Path

from .terminal import command, report
from .values import Json

EXAMPLES = """examples:
  bitlog2 evaluate --model digits --check all      where a register differs, it names a file
  bitlog2 replay bitlog2-mismatch/digits-BitLog2_Half_17-integer-w4a4-seed0.json

exit status: 0 the three agree now, 1 they differ, 2 the file cannot be used"""


def replay(mismatch: Path, /, *, json: Json = None) -> int:
    """Compute a register of the network that differed again: by specification, simulator and torch.

    Its part of the network runs alone, on the inputs that it had: one token, one row of attention,
    the tokens of a mean or the pixels of an image. The file has those and the program.

    Args:
        mismatch: file that `evaluate --check` or `lower --check` wrote
    """
    from bitlog2.models.network.replay import replayed

    return report(replayed(mismatch), json)


app = command(replay, EXAMPLES)
