"""Write `sim/REQUIREMENTS.md`: each requirement of SPEC.md, and what covers it.

python scripts/make_requirements.py
"""

import sys

from bitlog2.golden.assurance.requirements import PAGE, matrix, uncovered
from bitlog2.sim.files import write_whole


def main() -> int:
    """Write the page; return 1 where a requirement is not covered."""
    write_whole(PAGE, matrix().encode())
    missing = sorted(uncovered())
    print(f"{PAGE.name} written; not covered: {', '.join(missing) or 'none'}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
