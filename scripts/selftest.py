"""`bitlog2 selftest`: known answers that ship with the package."""

from .terminal import command, write_json
from .values import Json

EXAMPLES = """example:
  bitlog2 selftest

exit status: 0 every answer agreed, 1 one differed"""


def selftest(*, json: Json = None) -> int:
    """Compare specification and kernels with the known answers in the package."""
    from bitlog2.sim.selftest import selftest

    report = selftest()
    write_json(json, {"passed": report.passed, **vars(report)})
    print(report)
    return 0 if report.passed else 1


app = command(selftest, EXAMPLES)
