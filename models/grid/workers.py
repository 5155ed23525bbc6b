"""The processes that share a run: one, or those that torchrun started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

__all__ = ["Workers", "workers"]


class Workers:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def leads(self) -> bool:
        """Whether this is the process that calibrates and writes the result."""
        return self.rank == 0

    def share(self, value: Any) -> Any:
        """Return what the leading process gave; every process must call it."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self) -> None:
        """Wait until every process is here."""
        self.share(None)
        if self.size > 1:
            dist.barrier()


@contextmanager
def workers(device: str) -> Iterator[Workers]:
    """Join the processes that torchrun started, where it did; else there is one.

    Args:
        device: `cpu` goes by gloo; with `cuda` each process takes the device of its local rank.

    Raises:
        ValueError: torchrun started more processes than there are devices, or all of them are
            asked to take one by its number.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield Workers()
        return
    if device.startswith("cuda:"):
        raise ValueError(
            f"device must be cuda for the {size} processes of torchrun, each of which takes one by "
            f"its rank, got {device!r}"
        )
    if device == "cuda":
        local, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= found:
            raise ValueError(
                f"processes must be at most the {found} CUDA devices of this machine, got rank "
                f"{local}"
            )
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Workers(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
