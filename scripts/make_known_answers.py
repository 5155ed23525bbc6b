"""Write `sim/known_answers.json`: for a new specification version only.

python scripts/make_known_answers.py
"""

import sys
from pathlib import Path

from bitlog2.sim.files import write_whole
from bitlog2.sim.known_answers import rendered


def main() -> int:
    """Write the file that the argument names, or the one of the package."""
    package = Path(__file__).resolve().parent.parent / "sim" / "known_answers.json"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else package
    write_whole(out, rendered().encode())
    print(f"{out}: {out.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
