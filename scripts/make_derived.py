"""Write what follows from declarations: parts of pages and headers, and the JSON schemas.

python scripts/make_derived.py
"""

import sys

from bitlog2.flow.derived import PARTS, SCHEMAS, page_with_part
from bitlog2.sim.files import write_whole


def main() -> int:
    """Write every part and every schema."""
    for path, made in SCHEMAS.items():
        write_whole(path, made().encode())
        print(f"{path.name} written")
    for name, (path, *_) in PARTS.items():
        write_whole(path, page_with_part(name, path.read_text(encoding="utf-8")).encode())
        print(f"{path.name}: {name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
