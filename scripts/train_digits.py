"""Train the embedded digits network and write its weights.

python scripts/train_digits.py --out models/zoo/data/digits.safetensors
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from bitlog2.models.zoo.training import DEFAULT_EPOCHS, DEFAULT_SEED, train_and_save
from bitlog2.scripts.terminal import STYLE, command, run
from bitlog2.scripts.values import integer, output_file, value

EXAMPLES = "example: python scripts/train_digits.py --out models/zoo/data/digits.safetensors"


def train_digits(
    *,
    out: Annotated[Path, value(output_file)],
    epochs: Annotated[int, value(integer(1, 10**6))] = DEFAULT_EPOCHS,
    seed: int = DEFAULT_SEED,
) -> int:
    """Train the embedded digits network on the CPU (minutes) and write its weights.

    They are float16 safetensors. The default epochs and seed give the shipped file on the same
    machine and library versions.

    Args:
        out: file to write, replaced only when training is done
        epochs: passes over the training images
        seed: seed of initialisation and augmentation
    """
    progress = _print_progress if sys.stderr.isatty() else None
    about = train_and_save(out, epochs, seed, progress)
    print(f"wrote {out} ({out.stat().st_size} bytes)")
    print(
        f"held-out top-1: {about['held_out_top1_percent']} % of {about['held_out_images']} images"
    )
    return 0


def _print_progress(epoch: int, loss: float) -> None:
    print(f"epoch {epoch}: training loss {loss:.4f}", file=sys.stderr)


app = command(train_digits, EXAMPLES, name="train_digits.py", version_flags=(), **STYLE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run(app, "train_digits.py", argv)


if __name__ == "__main__":
    sys.exit(main())
