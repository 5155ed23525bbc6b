"""ImageNet from its folder: calibration images and validation batches for the pretrained models."""

import os
import shutil
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bitlog2.names import CALIBRATION_IMAGES

from ..naming import listed, printable
from .data import (
    ImageBatch,
    ImageData,
    Progress,
    chosen,
    position_batches,
    shuffled_positions,
)
from .decoding import check_header, decode, quiet_pillow
from .files import (
    ImageFiles,
    check_no_empty_class,
    check_not_packed,
    check_same_classes,
    has_split,
    list_images,
)
from .labels import IMAGENET_CLASSES, head_indices, read_classes

_SCAN_THREADS = 8
#: Without train, one of so many validation images may calibrate; it is never evaluated.
_CALIBRATES_EVERY = 10
#: Validation images of each class of ImageNet.
_OF_A_CLASS = 50
#: Shared memory, by which processes hand images over on Linux; Docker gives 64 MB.
_SHARED_MEMORY = Path("/dev/shm")
#: Batches that a worker makes ahead.
_AHEAD = 2
#: Seconds after which a missing batch is an error.
_LONGEST_WAIT = 600


class _Failure(NamedTuple):
    """An image that can't be read: its position in the split, and why."""

    position: int
    reason: str


#: Position, label, transformed image.
_Sample = tuple[int, int, Tensor]


class _Loaded(NamedTuple):
    """Images from a worker; no `batch` where none of them could be read."""

    batch: ImageBatch | None
    failures: list[_Failure]


class ImageFolders(ImageData):
    """The training and validation images of ImageNet, or of data of its shape.

    Where and how they lie: `list_images`. The order is that of torchvision's ImageFolder in
    any packing. Validation images are sorted by class: the first N, which is what a limit of N
    takes, are of the first classes alone (50 images per class in ImageNet).

    Without train, each tenth validation image is left out of val, and calibration draws from
    these: no evaluated image has calibrated the model, and all seeds have the same images.
    """

    def __init__(
        self,
        root: Path,
        transform: Callable[[Image.Image], Tensor],
        *,
        workers: int,
        skip_unreadable: bool,
        calibrates: bool = True,
        classes: Path | None = None,
    ) -> None:
        """List the images; none is read yet.

        Args:
            root: holds `train` and `val`.
            transform: an RGB image to a float32 tensor (C, H, W), the same shape for all.
            workers: processes that read and transform images; 0 does it in this one.
            skip_unreadable: leave out validation images that can't be read, instead of an error.
            calibrates: whether training images are wanted; else `train` need not be there.
            classes: file of the model's class names (`read_classes`); None where the names of
                the data are the model's.

        Raises:
            FileNotFoundError: no root.
            ValueError: workers is negative; the folder is not of that shape; its classes are not
                the same in train and val, or one is empty.
        """
        if workers < 0:
            raise ValueError(f"workers must be 0 or more, got {workers}")
        self._given = None if classes is None else read_classes(classes)
        self._listed = self._val = list_images(root, "val")
        check_no_empty_class(self._val)
        self._notes, self._class_notes = list(self._val.notes), list[str]()
        self._total = len(self._val)
        self._train: ImageFiles | None = None
        self._order = self._val.classes
        if has_split(root, "train"):
            if calibrates:
                self._take_train(list_images(root, "train"))
        elif calibrates:
            check_not_packed(root, "train")
            self._calibrate_with_val()
        else:
            self._notes.append(
                "no train is there: if a part of val calibrated the model, it judges here as well"
            )
        self.classes = len(self._order)  # of the model, from `require_classes` on
        self._transform = transform
        self._workers = workers
        self._skip_unreadable = skip_unreadable
        self._skipped: set[int] = set()
        _warn_of_workers(workers)

    def _take_train(self, train: ImageFiles) -> None:
        check_no_empty_class(train)
        if self._given is None:
            check_same_classes(train, self._val)
        if set(self._val.classes) < set(train.classes):
            self._order = train.classes
        self._train = train
        self._notes += train.notes

    def _calibrate_with_val(self) -> None:
        positions = np.arange(self._total)
        calibrates = positions % _CALIBRATES_EVERY == 0
        self._train = self._val.part(positions[calibrates])
        self._listed = self._val = self._val.part(positions[~calibrates])
        self._notes.append(
            f"no train is there: calibration draws from each tenth image of val, "
            f"{len(self._train):,} of {self._total:,}, and the others alone judge"
        )

    def __len__(self) -> int:
        return len(self._val)

    @property
    def complete(self) -> bool:  # type: ignore[override]  # a value that follows from others
        """Whether val has images of every class."""
        return len(self._val.classes) == self.classes

    @property
    def notes(self) -> list[str]:  # type: ignore[override]
        """Remarks for the user beside the number of images, a sentence each."""
        return self._notes + self._class_notes

    def require_classes(self, classes: int) -> None:
        """Give labels the indices of a model's head; refuse images whose classes aren't its own.

        Raises:
            ValueError: as `head_indices`.
        """
        val = self._listed
        indices = head_indices(val.classes, self._order, classes, self._given, val.path)
        self._val = replace(val, labels=indices[val.labels])
        self.classes, present = classes, len(val.classes)
        self._class_notes = []
        if not self.complete:
            self._class_notes.append(
                f"val has {present:,} of the model's {classes:,} classes, all of which it chooses "
                "from: no published figure is of such images"
            )
        if classes == IMAGENET_CLASSES and self._total != _OF_A_CLASS * present:
            self._class_notes.append(
                f"val holds {self._total:,} images, where ImageNet's has {_OF_A_CLASS * present:,}"
                f" of {present:,} classes"
            )

    @property
    def skipped(self) -> list[str]:  # type: ignore[override]
        """Unreadable validation images left out so far: paths below root in order, each once."""
        return [printable(self._val.names[position]) for position in sorted(self._skipped)]

    def calibration_images(self, seed: int, count: int = CALIBRATION_IMAGES) -> Tensor:
        """Return the training images that the published scripts calibrate with.

        Those are the first batch of a shuffling DataLoader over the training images after
        `torch.manual_seed(seed)`. The random state of the process is left as it was.

        Returns:
            (count, C, H, W) float32, on the CPU.

        Raises:
            ValueError: fewer than `count` training images, or one of those drawn can't be read:
                another in its place would be another calibration.
        """
        if self._train is None:
            raise ValueError("train must be there to calibrate with, got a data set without it")
        total = len(self._train)
        if total < count:
            raise ValueError(
                f"{self._train.split} must hold at least {count} images to calibrate with, got "
                f"{total} in {self._train.path}"
                + "; of val each tenth calibrates"
                * (self._train.split == "val")
            )
        positions = shuffled_positions(total, count, seed)
        share = -(-count // max(1, self._workers))
        batches = [positions[start : start + share] for start in range(0, count, share)]
        parts = []
        with closing(self._load(self._train, batches)) as loader:
            for loaded in loader:
                if loaded.failures:
                    failure = _named(self._train, loaded.failures[:1])
                    raise ValueError(f"calibration images must be readable, got {failure}")
                if loaded.batch is not None:
                    parts.append(loaded.batch.images)
        return torch.cat(parts)

    def name(self, position: int) -> str:
        """Return the path of a validation image below root."""
        return self._val.names[position]

    def scan(self, limit: int | None, progress: Progress) -> None:
        """Look at the header of each validation image that `limit` leaves, before long work.

        Finds empty files and files that are no images; damage further on shows when a batch reads
        it. With `skip_unreadable` such images go to `skipped`.

        Raises:
            ValueError: without `skip_unreadable`: how many can't be read, and the first of them.
        """
        spans = self._val.spans[: self.end(limit)]
        positions = np.lexsort(spans.T[::-1]).tolist()  # as they lie in archives
        check = partial(_header_failure, self._val)
        with quiet_pillow(), ThreadPoolExecutor(_SCAN_THREADS) as pool:
            found = progress(pool.map(check, positions), "headers", len(positions))
            self._note(sorted(failure for failure in found if failure is not None))

    def batches(
        self, batch_size: int, limit: int | None, wanted: Sequence[int] | None = None
    ) -> Iterator[ImageBatch]:
        """Yield the first `limit` validation images in order, all for None; of these `wanted`.

        A batch holds the images of `batch_size` consecutive positions, fewer where some can't be
        read: it is made of the same images every time. At most two batches per worker wait.

        Raises:
            ValueError: batch_size or limit is below 1; without `skip_unreadable` an image that
                can't be read, by name; none can be read.
            OSError: a worker died.
        """
        batches = [
            [position for position in positions if position not in self._skipped]
            for positions in chosen(position_batches(len(self._val), batch_size, limit), wanted)
        ]
        readable = False
        with closing(self._load(self._val, [batch for batch in batches if batch])) as loader:
            for loaded in loader:
                self._note(loaded.failures)
                if loaded.batch is not None:
                    readable = True
                    yield loaded.batch
        if not readable and wanted is None:
            raise ValueError(f"val must hold images that can be read, got none in {self._val.path}")

    def _note(self, failures: list[_Failure]) -> None:
        if failures and not self._skip_unreadable:
            raise ValueError(
                f"validation images must be readable, got {_named(self._val, failures)}; "
                "--skip-unreadable leaves such images out"
            )
        self._skipped.update(failure.position for failure in failures)

    def _load(self, files: ImageFiles, batches: list[list[int]]) -> Generator[_Loaded, None, None]:
        self._check_shared_memory(batches)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create")
            loader = DataLoader(
                _Decoded(files, self._transform),
                batch_sampler=batches,
                num_workers=self._workers,
                collate_fn=_collate,
                generator=torch.Generator(),  # else the loader draws from the process's
                timeout=_LONGEST_WAIT if self._workers else 0,
            )
            loaded = iter(loader)
        for _ in batches:
            try:
                part = next(loaded)
            except RuntimeError as error:
                if not any(word in str(error) for word in ("DataLoader", "shared memory")):
                    raise
                raise OSError(
                    f"a process that reads images died or hangs ({str(error).splitlines()[0]}): "
                    "--workers 0 reads in one process"
                ) from error
            yield part

    def _check_shared_memory(self, batches: list[list[int]]) -> None:
        """Refuse workers that shared memory cannot serve: some would wait without end.

        Raises:
            ValueError: there is less shared memory than the waiting batches take.
        """
        if self._workers == 0 or not batches or not _SHARED_MEMORY.is_dir():
            return
        on_the_way = min(len(batches), _AHEAD * self._workers + 2)
        image = self._transform(Image.new("RGB", (64, 64)))
        needed = on_the_way * max(map(len, batches)) * image.nbytes
        free = shutil.disk_usage(_SHARED_MEMORY).free
        if needed > free:
            raise ValueError(
                f"workers must fit in the shared memory, got {self._workers}, whose batches take "
                f"up to {needed >> 20} MB of {_SHARED_MEMORY}, where {free >> 20} MB are free: "
                "--workers 0 needs none, docker run --shm-size 2g gives more"
            )


def _warn_of_workers(workers: int) -> None:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers
    if workers > processors:
        warnings.warn(
            f"{workers} processes (--workers) read images on {processors} processors: more than "
            "these make nothing faster",
            stacklevel=3,
        )


class _Decoded(Dataset[_Sample | _Failure]):
    """Images of a split by position: (position, label, image), or why it can't be read."""

    def __init__(self, files: ImageFiles, transform: Callable[[Image.Image], Tensor]) -> None:
        self._files = files
        self._transform = transform

    def __getitem__(self, position: int) -> _Sample | _Failure:
        try:
            with self._files.open(position) as file, quiet_pillow():
                image = decode(file)
        except (OSError, ValueError) as error:
            return _Failure(position, _reason(error))
        return position, int(self._files.labels[position]), self._transform(image)


def _collate(samples: list[_Sample | _Failure]) -> _Loaded:
    failures = [sample for sample in samples if isinstance(sample, _Failure)]
    read = [sample for sample in samples if not isinstance(sample, _Failure)]
    if not read:
        return _Loaded(None, failures)
    numbers, labels, images = zip(*read, strict=True)
    return _Loaded(
        ImageBatch(torch.stack(images), torch.tensor(labels), torch.tensor(numbers)), failures
    )


def _header_failure(files: ImageFiles, position: int) -> _Failure | None:
    try:
        with files.open(position) as file:
            check_header(file)
    except (OSError, ValueError) as error:
        return _Failure(position, _reason(error))
    return None


def _named(files: ImageFiles, failures: list[_Failure]) -> str:
    images = [
        f"{printable(str(files.path.parent / files.names[position]))} ({reason})"
        for position, reason in failures
    ]
    return listed(images, most=3, between="; ")


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
