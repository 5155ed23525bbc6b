"""Train an embedded network and write its weights.

python scripts/train_embedded.py digits --out models/zoo/data/digits.safetensors
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bitlog2.models.zoo.fashion import idx_images
from bitlog2.models.zoo.training import RECIPES, train_and_save
from bitlog2.scripts.terminal import STYLE, command, run
from bitlog2.scripts.values import integer, one_of, output_file, value

EXAMPLES = "example: python scripts/train_embedded.py digits --out digits.safetensors"


def train_embedded(
    model: Annotated[str, value(one_of(RECIPES))],
    /,
    *,
    out: Annotated[Path, value(output_file)],
    data: Annotated[Path | None, Parameter(help="folder of Fashion-MNIST's four idx files")] = None,
    epochs: Annotated[int | None, value(integer(1, 10**6))] = None,
    seed: int = 0,
) -> int:
    """Train an embedded network on the CPU (digits: minutes, fashion: an hour), write its weights.

    They are float16 safetensors. The default epochs and seed give the shipped file on the same
    machine and library versions.

    Args:
        model: digits or fashion
        out: file to write, replaced only when training is done
        data: folder with Fashion-MNIST's training images, as idx files
        epochs: passes over the training images; by default those of the shipped weights
        seed: seed of initialisation and augmentation
    """
    if (data is None) != (model == "digits"):
        raise ValueError(
            "data must be given for fashion, the folder of its idx files, and left out for digits, "
            f"got {data}"
        )
    images = None if data is None else idx_images(data, "train")
    about = train_and_save(model, out, images, epochs, seed, _print_progress)
    print(f"wrote {out} ({out.stat().st_size} bytes)")
    print(
        f"held-out top-1: {about['held_out_top1_percent']} % of {about['held_out_images']} images"
    )
    return 0


def _print_progress(epoch: int, loss: float) -> None:
    print(f"epoch {epoch}: training loss {loss:.4f}", file=sys.stderr)


app = command(train_embedded, EXAMPLES, name="train_embedded.py", version_flags=(), **STYLE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run(app, "train_embedded.py", argv)


if __name__ == "__main__":
    sys.exit(main())
