"""A network tried out on images that are given: its accuracy, its registers, and their ranges.

What `bitlog2 evaluate` does with a model by name and a folder of images, for a network and images
in Python: any `nn.Module` in eval mode, as it is, as `quantize` returns it, or an `ImageNetwork` of
the program that `lower` returns.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor, nn

from bitlog2.documents import brief
from bitlog2.sim.checks import check_int
from bitlog2.sim.network.datapath import NETWORK_REGISTERS
from bitlog2.sim.network.digest import logits_digest
from bitlog2.sim.network.simulator import Simulator

from .network.check import NetworkCheck
from .network.network import ImageNetwork
from .network.watermarks import network_marks
from .runs.evaluation import top5
from .runs.result import CheckCounts, MarkRecord, Share
from .watch.check import Checker, check_threads
from .watch.registers import HeadChoice
from .watch.watching import datapaths_of, watch
from .watch.watermarks import Mark, Watermarks

#: Images of one tensor, cut into batches; or batches, each images or a sequence that begins with
#: images, as a DataLoader gives them.
Images = Tensor | Iterable[Tensor | Sequence[Tensor]]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network gave for labelled images.

    Attributes:
        top1, top5: images whose label is the likeliest class, or among the five likeliest.
        predictions: (n,) int64, the likeliest class of each image; the lower one of equal integers.
        logits_sha256: digest of the logits, int32, little endian, image after image, as `bitlog2
            run` gives it; empty where they are no integers.
    """

    top1: Share
    top5: Share
    predictions: Tensor
    logits_sha256: str

    def agreement(self, other: "Evaluation") -> Share:
        """Return the share of images that get the same class in another evaluation of them.

        Raises:
            ValueError: the other one is of another number of images.
        """
        if len(self.predictions) != len(other.predictions):
            raise ValueError(
                f"other must be of {len(self.predictions)} images, got {len(other.predictions)}"
            )
        return Share.of(int((self.predictions == other.predictions).sum()), len(self.predictions))


@overload
def evaluate(
    model: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int = 16
) -> Evaluation: ...


@overload
def evaluate(model: nn.Module, images: Iterable[Sequence[Tensor]]) -> Evaluation: ...


def evaluate(
    model: nn.Module,
    images: Tensor | Iterable[Sequence[Tensor]],
    labels: Tensor | None = None,
    *,
    batch_size: int = 16,
) -> Evaluation:
    """Return the accuracy of a network on labelled images.

    A model that `quantize` made for the arithmetic `integer` computes here as in `attention`; the
    whole network in integers is an `ImageNetwork` of its program.

    Args:
        model: network in eval mode, whose output is logits (B, classes), bare or as `.logits`.
        images: (n, C, H, W) float32, at least one; or batches of images and labels, as a DataLoader
            gives them.
        labels: (n,) classes of the images; None for batches, which hold them.
        batch_size: images that run at once, 1 to 4096.

    Raises:
        TypeError, ValueError: an argument is of another kind, shape or range.
    """
    if isinstance(images, Tensor) != isinstance(labels, Tensor):
        raise TypeError(
            "labels must be a tensor for images in a tensor, and left out for batches, got "
            f"{brief(labels)}"
        )
    require_eval(model)
    hits, answers, digested = [0, 0], [], []
    for batch, given in _labelled(images, labels, batch_size):
        with torch.inference_mode():
            logits = _logits(model(batch.to(_device(model))), batch)
        best, hit = top5(logits, given)
        hits = [hits[0] + int(hit[:, 0].sum()), hits[1] + int(hit.sum())]
        answers.append(best[:, 0])
        digested.append(logits)
    if not answers:
        raise ValueError(_NONE)
    predictions, whole = torch.cat(answers), torch.cat(digested)
    digest = "" if whole.is_floating_point() else logits_digest(whole.int().numpy())
    top1, five = (Share.of(each, len(predictions)) for each in hits)
    return Evaluation(top1, five, predictions, digest)


def check(
    model: nn.Module, images: Images, *, mode: str = "all", seed: int = 0, batch_size: int = 16
) -> CheckCounts:
    """Compare registers of a network with the simulator's, by `==`, while it runs on images.

    Args:
        model: as `quantize` returns it, with an integer attention map: the registers of attention;
            or an `ImageNetwork`: every register of every unit.
        images: (n, C, H, W) float32, at least one; or batches of them, as a DataLoader gives them.
        mode: `all`; `sample`, one of eight heads of each layer and batch; `sample:K`, K heads. Of
            an `ImageNetwork` images, with every register of the network.
        seed: seed of that choice.
        batch_size: images that run at once, 1 to 4096.

    Returns:
        Values compared and mismatched by register, the first mismatches in words, and whether it
        `passed`.

    Raises:
        TypeError, ValueError: an argument is of another kind or range; the model has no integer
            datapath, or an attention without one: names it; or a layer with one did not run.
    """
    require_eval(model)
    if isinstance(model, ImageNetwork):
        whole = NetworkCheck(HeadChoice(mode, seed), model, Simulator(model.program))
        for numbers, batch in _numbered(images, batch_size):
            whole.run(batch.to(_device(model)), numbers)
        found = whole.found
        return CheckCounts.of(mode, found.counts, found.wrong, map(str, found.first))
    checker = Checker(mode, seed, threads=check_threads(str(_device(model).type)))
    with watch(model, checker) as watched:
        for numbers, batch in _numbered(images, batch_size):
            watched.run(batch.to(_device(model)), numbers)
        checker.finish()
    if checker.unchecked:
        raise ValueError(
            f"model must run every attention layer: {', '.join(checker.unchecked)} did not"
        )
    first = map(str, checker.mismatches)
    return CheckCounts.of(mode, checker.compared, checker.mismatched, first)


def watermarks(
    model: nn.Module, images: Images, *, batch_size: int = 16
) -> dict[str, dict[str, MarkRecord]]:
    """Return the range that each register of a network held, beside what it provides.

    Args:
        model: as `check` takes it.
        images: as `check` takes them.
        batch_size: images that run at once, 1 to 4096.

    Returns:
        By layer and register: smallest and largest value, bits used and provided, and how often it
        saturated. Those around attention, of an `ImageNetwork`, are all layers together, as
        `network`.

    Raises:
        TypeError, ValueError: as `check`.
    """
    require_eval(model)
    marks = Watermarks()
    with watch(model, marks) as watched, network_marks(model, marks.layers):
        for numbers, batch in _numbered(images, batch_size):
            watched.run(batch.to(_device(model)), numbers)
    attention = next(iter(datapaths_of(model).values())).config
    network = model.program.network if isinstance(model, ImageNetwork) else None

    def record(name: str, mark: Mark) -> MarkRecord:
        config = network if network is not None and name in NETWORK_REGISTERS else attention
        return MarkRecord.of(mark, name, config)

    return {
        layer: {name: record(name, mark) for name, mark in held.items()}
        for layer, held in marks.layers.items()
    }


def _device(model: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer; the CPU where there is none."""
    tensors = (*model.parameters(), *model.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


def require_eval(model: nn.Module) -> None:
    """Refuse what is no network, or one that trains: dropout would take part."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {brief(model)}")
    if model.training:
        raise ValueError("model must be in eval mode: call model.eval() before")


def _logits(output: object, images: Tensor) -> Tensor:
    """Return the logits of an output, (B, classes) on the CPU."""
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"model must return logits ({len(images)}, classes), got {found}")
    return logits.cpu()


def _labelled(
    images: Tensor | Iterable[Sequence[Tensor]], labels: Tensor | None, size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of images and their labels, on the CPU."""
    if isinstance(images, Tensor) and labels is not None:
        if labels.shape != images.shape[:1]:
            raise ValueError(f"labels must be {tuple(images.shape[:1])}, got {tuple(labels.shape)}")
        check_int("batch_size", size, 1, 4096)
        images = zip(torch.split(images, size), torch.split(labels, size), strict=True)
    for pair in images:
        if not isinstance(pair, Sequence) or len(pair) != 2 or len(pair[0]) != len(pair[1]):
            raise ValueError("batches must be pairs of images and as many labels")
        yield _some(pair[0]), pair[1].cpu()


def _numbered(images: Images, size: int) -> Iterator[tuple[list[int], Tensor]]:
    """Yield batches of images with the numbers of these, from 0."""
    check_int("batch_size", size, 1, 4096)
    first = 0
    for batch in torch.split(images, size) if isinstance(images, Tensor) else images:
        found = _some(batch[0] if isinstance(batch, Sequence) and batch else batch)
        yield list(range(first, first + len(found))), found
        first += len(found)
    if not first:
        raise ValueError(_NONE)


_NONE = "images must be at least one, got none"


def _some(images: object) -> Tensor:
    """Return a batch of images; refuse what is none."""
    if not isinstance(images, Tensor) or images.ndim != 4:
        found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be (n, C, H, W), got {found}")
    if not len(images):
        raise ValueError(_NONE)
    return images
