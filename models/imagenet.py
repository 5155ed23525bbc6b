"""ImageNet from its folder: calibration images and validation batches for the pretrained models."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .decoding import check_header, decode, quiet_pillow
from .image_data import (
    CALIBRATION_IMAGES,
    Batch,
    Progress,
    chosen,
    position_batches,
    shuffled_positions,
)
from .image_files import ImageFiles, check_no_empty_class, check_same_classes, list_images
from .naming import printable

__all__ = ["ImageFolders"]

_SCAN_THREADS = 8
_SHOWN = 3


class _Failure(NamedTuple):
    """An image that can't be read: its position in the split, and why."""

    position: int
    reason: str


#: Position, label, transformed image.
_Sample = tuple[int, int, Tensor]


class _Loaded(NamedTuple):
    """What a worker hands over; without `batch` none of its images could be read."""

    batch: Batch | None
    failures: list[_Failure]


class ImageFolders:
    """The training and validation images of an ImageNet-shaped folder; an `ImageData`.

    `root` holds `train` and `val`, each as a folder of images a class, as a folder of tars, or as
    `train.tar`, `val.tar` (see `list_images`). The order is that of torchvision's ImageFolder,
    from a tar too. Validation images are sorted by class: the first N, which is what a limit of N
    takes, are of the first classes alone (50 images a class in ImageNet).
    """

    def __init__(
        self,
        root: Path,
        transform: Callable[[Image.Image], Tensor],
        *,
        workers: int,
        skip_unreadable: bool,
        calibrates: bool = True,
    ) -> None:
        """List the images; none is read yet.

        Args:
            root: holds `train` and `val`.
            transform: an RGB image to a float32 tensor (C, H, W), the same shape for all.
            workers: processes that read and transform images; 0 does it in this one.
            skip_unreadable: leave out validation images that can't be read, instead of an error.
            calibrates: whether training images are wanted; else `train` need not be there.

        Raises:
            FileNotFoundError: no root.
            ValueError: workers is negative; the folder is not of that shape; its classes are not
                the same in train and val, or one is empty.
        """
        if workers < 0:
            raise ValueError(f"workers must be 0 or more, got {workers}")
        self._val = list_images(root, "val")
        check_no_empty_class(self._val)
        self._train = list_images(root, "train") if calibrates else None
        if self._train is not None:
            check_no_empty_class(self._train)
            check_same_classes(self._train, self._val)
        self._transform = transform
        self._workers = workers
        self._skip_unreadable = skip_unreadable
        self._skipped: set[int] = set()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self._val.classes)

    def require_classes(self, classes: int) -> None:
        """Refuse images whose classes can't be those of a model.

        Raises:
            ValueError: their number is not `classes`.
        """
        if self.classes != classes:
            raise ValueError(
                f"val must have {classes} classes as the model has, got {self.classes} "
                f"in {self._val.path}"
            )

    @property
    def skipped(self) -> list[str]:
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
                f"train must hold at least {count} images to calibrate with, got {total} in "
                f"{self._train.path}"
            )
        positions = shuffled_positions(total, count, seed)
        share = -(-count // max(1, self._workers))
        batches = [positions[start : start + share] for start in range(0, count, share)]
        parts = []
        with closing(self._load(self._train, batches)) as loader:
            for loaded in loader:
                if loaded.failures:
                    told = _told(self._train, loaded.failures[:1])
                    raise ValueError(f"calibration images must be readable, got {told}")
                if loaded.batch is not None:
                    parts.append(loaded.batch.images)
        return torch.cat(parts)

    def count(self, limit: int | None) -> int:
        """Return how many validation images `limit` leaves, less those found unreadable so far."""
        end = self.end(limit)
        return end - sum(position < end for position in self._skipped)

    def name(self, position: int) -> str:
        """Return the path of a validation image below root."""
        return self._val.names[position]

    def end(self, limit: int | None) -> int:
        """Return how many validation images `limit` leaves, readable or not."""
        return len(self._val) if limit is None else min(limit, len(self._val))

    def scan(self, limit: int | None, progress: Progress) -> None:
        """Look at the header of each validation image that `limit` leaves, before long work.

        Finds empty files and files that are no images; damage further on shows when a batch reads
        it. With `skip_unreadable` what is found goes to `skipped`.

        Raises:
            ValueError: without `skip_unreadable`: how many can't be read, and the first of them.
        """
        positions = range(self.end(limit))
        check = partial(_header_failure, self._val)
        with quiet_pillow(), ThreadPoolExecutor(_SCAN_THREADS) as pool:
            found = progress(pool.map(check, positions), "headers", len(positions))
            self._note([failure for failure in found if failure is not None])

    def batches(
        self, batch_size: int, limit: int | None, wanted: Sequence[int] | None = None
    ) -> Iterator[Batch]:
        """Yield the first `limit` validation images in order, all for None; of these `wanted`.

        A batch holds the images of `batch_size` consecutive positions, fewer where some can't be
        read: it is made of the same images every time. At most two batches a worker wait.

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
                f"validation images must be readable, got {_told(self._val, failures)}; "
                "--skip-unreadable leaves such images out"
            )
        self._skipped.update(failure.position for failure in failures)

    def _load(self, files: ImageFiles, batches: list[list[int]]) -> Generator[_Loaded, None, None]:
        loader = DataLoader(
            _Decoded(files, self._transform),
            batch_sampler=batches,
            num_workers=self._workers,
            collate_fn=_collate,
            generator=torch.Generator(),  # else the loader draws from the process's
        )
        loaded = iter(loader)
        for _ in batches:
            try:
                part = next(loaded)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise OSError(
                    f"a process that reads images died ({str(error).splitlines()[0]}): "
                    "--workers 0 reads in one process"
                ) from error
            yield part


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
        Batch(torch.stack(images), torch.tensor(labels), torch.tensor(numbers)), failures
    )


def _header_failure(files: ImageFiles, position: int) -> _Failure | None:
    try:
        with files.open(position) as file:
            check_header(file)
    except (OSError, ValueError) as error:
        return _Failure(position, _reason(error))
    return None


def _told(files: ImageFiles, failures: list[_Failure]) -> str:
    few = "; ".join(
        f"{printable(str(files.path.parent / files.names[position]))} ({reason})"
        for position, reason in failures[:_SHOWN]
    )
    return few + (f"; {len(failures)} in all" if len(failures) > _SHOWN else "")


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
