"""Image files that hurt, each made anew, with what must become of it."""

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

PIXELS = np.random.default_rng(7).integers(0, 256, (40, 50, 3), dtype=np.uint8)
RGB = Image.fromarray(PIXELS)
WIDE = np.random.default_rng(8).integers(0, 1 << 16, (40, 50), dtype=np.uint16)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    """Return the bytes of an image file."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def animation(kind: str) -> bytes:
    others = [Image.fromarray(255 - PIXELS), Image.fromarray(PIXELS // 2)]
    return saved(RGB, kind, save_all=True, append_images=others)


def chunk(name: bytes, content: bytes, crc: int | None = None) -> bytes:
    """Return a chunk of a PNG; its checksum the true one, or `crc`."""
    crc = zlib.crc32(name + content) if crc is None else crc
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def png(
    width: int,
    height: int,
    bits: int,
    colour: int,
    rows: bytes,
    *,
    between=b"",
    crc=None,
    head=None,
) -> bytes:
    """Return a PNG of raw rows, each led by its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(rows), crc)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header, head)
    return start + between + data + chunk(b"IEND", b"")


def rows_of(values: np.ndarray) -> bytes:
    flat = values.reshape(len(values), -1)
    return b"".join(b"\0" + row.astype(f">u{flat.itemsize}").tobytes() for row in flat)


def exif(content: bytes) -> bytes:
    return saved(RGB, "JPEG", exif=b"Exif\0\0" + content)


def rotated() -> bytes:
    tags = Image.Exif()
    tags[0x112] = 6
    return saved(RGB, "JPEG", exif=tags)


def damaged_scan() -> bytes:
    """Return a JPEG whose entropy-coded data has other bytes in its middle."""
    data = bytearray(saved(RGB, "JPEG"))
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    data[middle : middle + 8] = b"\x5a" * 8
    return bytes(data)


def damaged_fax() -> bytes:
    """Return a TIFF of which libtiff complains on standard error by itself."""
    data = saved(RGB.convert("1"), "TIFF", compression="group4")
    return data[:8] + bytes(byte ^ 0x55 for byte in data[8:60]) + data[60:]


#: Read with a complaint of libtiff's own.
FAX = "fax.tif"
#: Read as torchvision's loader reads them.
READABLE = {
    "cmyk.jpg": saved(RGB.convert("CMYK"), "JPEG"),
    "grey_alpha.png": saved(RGB.convert("LA"), "PNG"),
    "one_bit.png": saved(RGB.convert("1"), "PNG"),
    "palette.png": saved(RGB.convert("P"), "PNG", transparency=bytes(range(256))),
    "palette_one.png": saved(RGB.convert("P"), "PNG", transparency=3),
    "rgba.jpg": saved(RGB.convert("RGBA"), "PNG"),
    "rgb_16.png": png(50, 40, 16, 2, rows_of(PIXELS.astype(np.uint16) * 257)),
    "gif.jpg": animation("GIF"),
    "apng.jpg": animation("PNG"),
    "webp.jpeg": animation("WEBP"),
    "pages.tif": animation("TIFF"),
    "rotated.jpg": rotated(),
    "odd_exif.jpg": exif(b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff" * 3),
    "damaged_scan.jpg": damaged_scan(),
    "data_crc.png": png(50, 40, 8, 2, rows_of(PIXELS), crc=1),
    "lies.bmp": saved(RGB, "JPEG"),
    FAX: damaged_fax(),
    "empty_folder.jpg": None,
}
TEXT_BOMB = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80 << 20)))
#: Refused, with a reason in which this stands.
UNREADABLE = {
    "nothing.jpg": (b"", "empty, or not an image"),
    "text.jpg": (b"<html>404</html>", "empty, or not an image"),
    "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "cut.jpg": (saved(RGB, "JPEG")[:-300], "truncated"),
    "cut.png": (saved(RGB, "PNG")[:-300], "truncated"),
    "grey_16.png": (saved(Image.fromarray(WIDE), "PNG"), "8 bits, got Pillow's mode I"),
    "grey_16.tif": (saved(Image.fromarray(WIDE), "TIFF"), "8 bits, got Pillow's mode I;16"),
    "grey_32.tif": (saved(Image.fromarray(WIDE.astype(np.int32)), "TIFF"), "got Pillow's mode I"),
    "real.tif": (saved(Image.fromarray(WIDE.astype(np.float32)), "TIFF"), "got Pillow's mode F"),
    "header_crc.png": (png(50, 40, 8, 2, rows_of(PIXELS), head=1), "broken PNG|not an image"),
    "bomb.png": (png(20_000, 20_000, 1, 0, b""), "exceeds limit"),
    "text_bomb.png": (png(50, 40, 8, 2, rows_of(PIXELS), between=TEXT_BOMB), "too large"),
    "thread.png": (saved(Image.new("L", (1, 60_000)), "PNG"), "within 1 to 1000, got 1 x 60000"),
    "no_data.png": (png(50, 40, 8, 2, b""), "truncated|broken"),
    "pipe.jpg": (None, "no regular file"),
    "loop.jpg": (None, "Too many levels of symbolic links"),
    "dangling.jpg": (None, "No such file or directory"),
}


def write_hostile(folder: Path) -> None:
    """Write all of them."""
    for name, content in READABLE.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
    for name, (content, _) in UNREADABLE.items():
        if content is not None:
            (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
