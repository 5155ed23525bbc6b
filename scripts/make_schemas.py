"""Write the published JSON schemas of documents, from their classes.

python scripts/make_schemas.py
"""

import json
import sys
from pathlib import Path

from bitlog2.models.runs.result import Result
from bitlog2.models.sealed import sealed_schema
from bitlog2.sim.files import write_whole

_ROOT = Path(__file__).resolve().parent.parent


def schemas() -> dict[Path, bytes]:
    """Return the files and what they must hold."""
    found = {
        _ROOT / "models/runs/result.schema.json": sealed_schema(
            Result, "Result of an evaluation by BitLog2"
        )
    }
    return {path: (json.dumps(each, indent=2) + "\n").encode() for path, each in found.items()}


def main() -> int:
    """Write the files."""
    for path, content in schemas().items():
        write_whole(path, content)
        print(f"{path.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
