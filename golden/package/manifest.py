"""Manifest of a verified folder: how it was made, and every file in it."""

import re
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import numpy as np
from msgspec import Meta
from msgspec.structs import replace
from numpy.typing import NDArray

from bitlog2 import SPEC_VERSION
from bitlog2.documents import (
    Count,
    Document,
    Name,
    Positive,
    Sha256,
    Text,
    check_once,
    matching,
    of,
)
from bitlog2.sim import AttentionConfig, config_from_mapping

from ..words.fields import Columns, Field, hex_digits, shaped, unpack, word_width
from ..words.memfile import UNKNOWN, MemoryImage, parse_mem
from ..words.npz import smallest_dtype

#: The two files of a folder that its manifest does not list.
MANIFEST_NAME, SUMS_NAME = "manifest.json", "SHA256SUMS"
#: What builds testbenches, and the folder that it builds them in: no part of its folder.
MAKEFILE_NAME, BUILD_NAME = "Makefile", "build"

Size = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Version = Annotated[str, matching(r"[0-9]+\.[0-9]+\.[0-9]+[0-9a-z.+]*")]
_PART = r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*"
LayerName = Annotated[str, matching(_PART)]
FilePath = Annotated[str, matching(f"{_PART}(/{_PART})*")]


Configuration = Annotated[
    dict[str, int | str | None],
    Meta(
        description="Every field of the configuration; a width is null where it is derived.",
        extra_json_schema=AttentionConfig.json_schema(),
    ),
]


#: Numbers by field name.
Arrays = Mapping[str, NDArray[Any]]


class FieldEntry(Document, frozen=True, kw_only=True):
    """Field of a word."""

    name: Annotated[Name, of("Name of the register.")]
    bits: Annotated[int, Meta(ge=1, le=62, description="Bits of one lane.")]
    signed: Annotated[bool, of("Two's complement.")]
    lanes: Annotated[
        Size, of("Values side by side: the highest lane first, lane 0 in the lowest bits.")
    ]

    @property
    def field(self) -> Field:
        """The field, to pack and unpack."""
        return Field(self.name, self.bits, self.signed, self.lanes)


class File(Document, tag_field="kind", tag="file", frozen=True, kw_only=True):
    """File that is no memory file: made from the same numbers, or compiled with them."""

    path: Annotated[FilePath, of("Path below the folder, with `/`.")]
    bytes: Annotated[Count, of("Size of the file.")]
    sha256: Annotated[Sha256, of("SHA-256 of the file in lower-case hexadecimal.")]

    @property
    def size(self) -> str:
        """The size in words, for messages."""
        return f"have {self.bytes} bytes"


class MemoryFile(Document, tag_field="kind", tag="memory", frozen=True, kw_only=True):
    """Memory file: one hexadecimal word per line."""

    path: Annotated[FilePath, of("Path below the folder, with `/`.")]
    bytes: Annotated[Count, of("Size of the file.")]
    sha256: Annotated[Sha256, of("SHA-256 of the file in lower-case hexadecimal.")]
    owner: Annotated[Text, of("Unit or layer that the file belongs to.")]
    name: Annotated[Name, of("Stream of the unit, or memory of the layer.")]
    description: Annotated[Text, of("Meaning of the words.")]
    number: Annotated[
        Literal["integer", "float32"], of("Integers, or the bits of IEEE 754 numbers.")
    ]
    axes: Annotated[
        tuple[Name, ...], Meta(min_length=1, description="Axes of the words, the last one fastest.")
    ]
    shape: Annotated[tuple[Count, ...], Meta(min_length=1, description="Sizes of the axes.")]
    lane_axis: Annotated[Name | None, of("Axis of the lanes of a word; null where it has none.")]
    width: Annotated[Positive, of("Bits of a word.")]
    words: Annotated[Count, of("Lines of the file.")]
    fields: Annotated[
        tuple[FieldEntry, ...],
        Meta(min_length=1, description="From the most significant bits down."),
    ]

    def __post_init__(self) -> None:
        width = sum(each.bits * each.lanes for each in self.fields)
        words = prod(self.shape)
        size = words * (hex_digits(width) + 1)
        for name, wanted in (("width", width), ("words", words), ("bytes", size)):
            if (found := getattr(self, name)) != wanted:
                raise ValueError(f"{name} must be {wanted} by fields and shape, got {found}")

    @property
    def size(self) -> str:
        """The size in words, for messages."""
        digits = hex_digits(self.width)
        return f"hold {self.words} words of {digits} digits, one per line: {self.bytes} bytes"

    @property
    def word(self) -> tuple[Field, ...]:
        """The fields of a word, from the most significant bits down."""
        return tuple(each.field for each in self.fields)

    def columns(self, arrays: Arrays) -> Columns:
        """Return the columns of the file from numbers by field name.

        Raises:
            TypeError, ValueError: an array is missing, has another kind of numbers, or another
                shape.
        """
        columns: Columns = {}
        for field in self.word:
            if field.name not in arrays:
                raise ValueError(f"{field.name} must be among the layer's arrays: it is missing")
            array = arrays[field.name]
            _check_array(field.name, array, self._array_shape(field), self.number)
            if self.number == "float32":
                array = np.ascontiguousarray(array).view(np.uint32)
            columns[field.name] = array
        return shaped(self.word, columns)

    def arrays(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """Return the numbers that columns hold, in their smallest type: as `.npz` has them."""
        found = {}
        for field in self.word:
            values = columns[field.name].astype(smallest_dtype(field))
            if self.number == "float32":
                values = values.view(np.dtype("<f4"))
            found[field.name] = values.reshape(self._array_shape(field))
        return found

    def _array_shape(self, field: Field) -> tuple[int, ...]:
        return self.shape if self.lane_axis is None else (*self.shape, field.lanes)


def memory(
    path: str,
    owner: str,
    description: str,
    axes: Mapping[str, int],
    fields: Sequence[Field],
    lane_axis: str | None = None,
    number: Literal["integer", "float32"] = "integer",
) -> MemoryFile:
    """Return the entry of a memory file that is not written: its checksum is empty.

    Args:
        path: path of the file, `<name>.mem` with more before the name.
        owner, description, lane_axis, number: as of `MemoryFile`.
        axes: size by axis of the words, the last axis fastest.
        fields: fields of a word, from the most significant bits down.
    """
    width, words = word_width(fields), prod(axes.values())
    return MemoryFile(
        path=path,
        bytes=words * (hex_digits(width) + 1),
        sha256="",
        owner=owner,
        name=re.split("[./]", path)[-2],
        description=description,
        number=number,
        axes=tuple(axes),
        shape=tuple(axes.values()),
        lane_axis=lane_axis,
        width=width,
        words=words,
        fields=tuple(
            FieldEntry(name=f.name, bits=f.bits, signed=f.signed, lanes=f.lanes) for f in fields
        ),
    )


def columns_of(memory: MemoryFile, data: bytes, path: str | Path) -> Columns:
    """Return the columns that the words of a memory file hold.

    Args:
        memory: what the manifest says of it.
        data: the file.
        path: its place, for messages.

    Raises:
        ValueError: it is malformed, or has unknown digits or another number of words.
    """
    # A file has more bytes than words: so no count in a manifest can ask for all the memory.
    image = parse_mem(data, str(path), memory.width, min(memory.words, len(data)))
    found = int(np.count_nonzero(image.present)) + image.surplus
    if found != memory.words or not image.present.all():
        raise ValueError(
            f"{memory.path} must hold {memory.words} words, as the manifest counts, got {found}"
        )
    check_known(image, memory.path)
    return unpack(memory.word, image.digits)


_M = TypeVar("_M", bound="FolderManifest")


class FolderManifest(Document, tag_field="format", frozen=True, kw_only=True):
    """Fields that the manifest of every verified folder has.

    A kind of folder is a subclass in a module `*_manifest.py`: its tag is the format, `title` its
    name in messages, `schema_file` its published schema.
    """

    title: ClassVar[str]
    schema_file: ClassVar[str]

    schema_version: Annotated[Literal[2], of("Version of this schema.")]
    specification_version: Annotated[
        Positive, of("Version of the arithmetic that the numbers follow.")
    ]
    package_version: Annotated[Version, of("Version of the package that made the folder.")]
    command: Annotated[
        str,
        matching(r"(bitlog2 (golden emit|export) .*|bitlog2\.models\.export)"),
        of(
            "The command that makes the folder again, without its output folder; DIR and FILE "
            "stand for the user's paths. The function, where a model in Python was exported."
        ),
    ]
    datapath: Annotated[Literal["attention"], of("Datapath of the configuration.")]
    configuration: Configuration
    files: Annotated[
        tuple[MemoryFile | File, ...],
        Meta(min_length=1, description=f"Every file but {MANIFEST_NAME} and {SUMS_NAME}."),
    ]

    def __post_init__(self) -> None:
        if self.specification_version != SPEC_VERSION:
            raise ValueError(
                f"specification_version must be {SPEC_VERSION}, that of this package, got "
                f"{self.specification_version}"
            )
        check_once("files", [each.path for each in self.files])

    @property
    def config(self) -> AttentionConfig:
        """The configuration, checked."""
        return config_from_mapping(self.configuration, complete=True)

    @property
    def memories(self) -> tuple[MemoryFile, ...]:
        """The memory files in their order."""
        return tuple(each for each in self.files if isinstance(each, MemoryFile))

    def sealed(self: _M, known: Mapping[str, File]) -> _M:
        """Return the manifest with the sizes and checksums of the files that are written."""
        files = tuple(
            replace(each, sha256=known[each.path].sha256)
            if isinstance(each, MemoryFile)
            else known[each.path]
            for each in self.files
        )
        return replace(self, files=files)


def common_fields(
    configuration: Mapping[str, int | str | None], command: str, package_version: str
) -> dict[str, Any]:
    """Return the fields of every manifest of this schema version but `files`."""
    return {
        "schema_version": 2,
        "specification_version": SPEC_VERSION,
        "package_version": package_version,
        "command": command,
        "datapath": "attention",
        "configuration": dict(configuration),
    }


def _check_array(name: str, array: NDArray[Any], shape: tuple[int, ...], number: str) -> None:
    real = array.dtype == np.float32
    if real != (number == "float32") or (not real and array.dtype.kind not in "iub"):
        kind = "float32" if number == "float32" else "integers"
        raise TypeError(f"{name} must hold {kind}, got dtype {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


def check_known(image: MemoryImage, name: str) -> None:
    """Refuse words with unknown digits; ValueError names the file and the first such word."""
    if image.digits.size and image.digits.max() >= UNKNOWN:
        word = int(np.flatnonzero((image.digits >= UNKNOWN).any(axis=1))[0])
        raise ValueError(f"{name} must hold no x or z digits, got some in word {word}")


def check_listed(found: Sequence[MemoryFile], wanted: Sequence[MemoryFile]) -> None:
    """Refuse the memory files of a manifest that are not those of its units or layers.

    Raises:
        ValueError: a file is missing, too many, in another place, or of another format.
    """
    paths, expected = [each.path for each in found], [each.path for each in wanted]
    for path in expected:
        if path not in paths:
            raise ValueError(f"files must list {path}: it is missing")
    for path in paths:
        if path not in expected:
            raise ValueError(f"files must belong to a unit or layer, got {path}")
    for entry, right in zip(found, wanted, strict=True):
        if replace(entry, sha256="") != right:
            raise ValueError(
                f"files must list {right.path} as its unit or layer and the configuration give it"
            )
