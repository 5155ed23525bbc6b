"""Write `docs/planted_faults.json`: what a default set of rows finds of planted faults, by scheme.

python scripts/make_planted_faults.py
"""

import sys

from bitlog2.flow.derived import PLANTED_FAULTS, planted_scores
from bitlog2.scripts.terminal import write_json


def main() -> int:
    """Write the file."""
    write_json(PLANTED_FAULTS, planted_scores())
    print(f"{PLANTED_FAULTS.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
