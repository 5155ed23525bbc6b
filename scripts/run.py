"""`bitlog2 run`: a program's integers on images, without torch."""

from pathlib import Path
from typing import Annotated

from .terminal import command, progress, show, write_json
from .values import Json, Limit, integer, output_file, sha256, value

EXAMPLES = """examples:
  bitlog2 run digits.bitlog2 --images pixels.npz --out logits.npz
  bitlog2 run deit.bitlog2 --images pixels.raw --out logits.npz --batch-size 4
  bitlog2 run deit.bitlog2 --images /imagenet --out logits.npz --limit 1000

images: .npy or .npz (the array images) of uint8 or uint16, (images, colours, lines, columns) or
colours last; .raw, the same without any header, little endian. Their size is the program's. Or a
folder of image files, with val/ or without, or as evaluate's --data; this needs Pillow.

The digest printed is the SHA-256 of the logits as int32, little endian, image by image.

exit status: 0 done, 1 the logits are not those of --expect, 2 wrong usage"""


def run(
    program: Path,
    /,
    *,
    images: Path,
    out: Annotated[Path, value(output_file)],
    batch_size: Annotated[int, value(integer(1, 1 << 16))] = 16,
    limit: Limit = None,
    threads: Annotated[int | None, value(integer(1, 256))] = None,
    expect: Annotated[str | None, value(sha256)] = None,
    json: Json = None,
) -> int:
    """Execute a program on images: from pixels to logits in integers, by numpy and numba.

    Args:
        program: file of a program
        images: file of pixels, or folder of image files
        out: .npz to be written: logits (images, classes) int32, prediction (images)
        batch_size: images at a time; the logits do not depend on it
        threads: worker threads (default: one per processor)
        expect: digest that the logits must have; the exit status is 1 where they have another
    """
    from bitlog2.flow.execution import execute

    found = execute(
        program, images, out,
        batch_size=batch_size, limit=limit, threads=threads, progress=progress,
    )  # fmt: skip
    write_json(json, found)
    show(found.lines())
    if expect not in (None, found.digest):
        print(f"expected {expect}: the logits are others")
        return 1
    return 0


app = command(run, EXAMPLES)
