"""`bitlog2 bench`: speed as a ratio against a named peer."""

from typing import Annotated

from .terminal import command, show
from .values import Json, integer, value

EXAMPLES = """example:
  bitlog2 bench --json bench.json
  bitlog2 bench --rows attention --repetitions 31
  bitlog2 bench --growth --rows network --repetitions 5

exit status: 0 done, a target that is missed (NOT MET) too: speed is a report; 2 wrong usage"""


def bench(
    *,
    json: Json = None,
    repetitions: Annotated[int, value(integer(1, 1000))] = 15,
    growth: bool = False,
    rows: str = "",
    words: Annotated[int, value(integer(1, 10**8))] = 10_000_000,
) -> int:
    """Time the simulator against named peers, alternating, medians, as ratios.

    Args:
        growth: whole networks with 577 and 1025 tokens, in batches of 1 to 64, and peak memory too
        repetitions: runs of each side
        rows: only the rows whose names hold this
        words: words of the vector set
    """
    from bitlog2.flow.bench import Row, cases, run_bench, write_samples

    timed: list[Row] = []
    for row in run_bench(cases(words, repetitions, rows, growth), repetitions, rows):
        show(row.lines())
        timed.append(row)
    if json is not None:
        write_samples(json, timed)
    return 0


app = command(bench, EXAMPLES)
