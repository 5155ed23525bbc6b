"""On how many threads registers are compared beside inference."""

import os

import torch

__all__ = ["check_threads"]

#: By default not more: each holds the registers of a layer and a batch in memory.
_MOST = 4


def check_threads(device: str, asked: int | None = None) -> int:
    """Return the number of a checker's threads: what was asked for, or what torch leaves free.

    Of the processors that this process may use, each of the processes that torchrun started on this
    machine has its share. On the CPU torch keeps the threads that it is set to; with CUDA one
    processor feeds the device. The number does not change what a check reports.

    Args:
        device: `cpu` or `cuda`, where the model runs.
        asked: 1 to 256; None for the default, from 1 to 4.

    Raises:
        ValueError: `asked` is out of range.
    """
    if asked is not None:
        if not 1 <= asked <= 256:
            raise ValueError(f"check threads must be from 1 to 256, got {asked}")
        return asked
    share = _processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    busy = torch.get_num_threads() if device == "cpu" else 1
    return min(max(share - busy, 1), _MOST)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
