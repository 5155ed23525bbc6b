"""`bitlog2 replay`: a register of the network that differed, computed again."""

from pathlib import Path

from .terminal import command

EXAMPLES = """examples:
  bitlog2 evaluate --model digits --check all      where a register differs, it names a file
  bitlog2 replay bitlog2-mismatch/digits-BitLog2_Half_17-integer-w4a4-seed0.json

exit status: 0 the three agree now, 1 they differ, 2 the file cannot be used"""


def replay(mismatch: Path, /) -> int:
    """Compute a register of the network that differed again: by specification, simulator and torch.

    Its part of the network runs alone, on the inputs that it had: one token, one row of attention,
    the tokens of a mean or the pixels of an image. The file has those and the program.

    Args:
        mismatch: file that `evaluate --check` or `lower --check` wrote
    """
    from bitlog2.models.network.replay import replayed

    found = replayed(mismatch)
    print("\n".join(found.lines()))
    return found.status


app = command(replay, EXAMPLES)
