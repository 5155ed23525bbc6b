"""Command: train the embedded digits network and write its weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bitlog2.models.zoo.training import DEFAULT_EPOCHS, DEFAULT_SEED, train_and_save


def make_parser() -> argparse.ArgumentParser:
    """Make the command's argument parser."""
    parser = argparse.ArgumentParser(
        description="Train the embedded digits network from scratch on the CPU (minutes) and "
        "write its weights as float16 safetensors. The default epochs and seed give the shipped "
        "file on the same machine and library versions.",
        epilog="example: python scripts/train_digits.py --out models/zoo/data/digits.safetensors",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        default=argparse.SUPPRESS,
        help="file to write, replaced only when training is done (required)",
    )
    parser.add_argument(
        "--epochs", type=int, default=DEFAULT_EPOCHS, help="passes over the training images"
    )
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help="seed of initialisation and augmentation"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status: 0, or 2 for a wrong argument."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {options.epochs}")
    if not options.out.parent.is_dir():
        parser.error(f"--out: no folder {options.out.parent}")
    progress = _print_progress if sys.stderr.isatty() else None
    about = train_and_save(options.out, options.epochs, options.seed, progress)
    print(f"wrote {options.out} ({options.out.stat().st_size} bytes)")
    print(
        f"held-out top-1: {about['held_out_top1_percent']} % of {about['held_out_images']} images"
    )
    return 0


def _print_progress(epoch: int, loss: float) -> None:
    print(f"epoch {epoch}: training loss {loss:.4f}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
