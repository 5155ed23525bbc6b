"""`bitlog2 selftest`: known answers that ship with the package."""

from .terminal import command

EXAMPLES = """example:
  bitlog2 selftest

exit status: 0 every answer agreed, 1 one differed"""


def selftest() -> int:
    """Compare specification and kernels with the known answers in the package."""
    from bitlog2.sim.selftest import selftest

    report = selftest()
    print(report)
    return 0 if report.passed else 1


app = command(selftest, EXAMPLES)
