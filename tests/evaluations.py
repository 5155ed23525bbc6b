"""Evaluations in a folder, without progress."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bitlog2.models.runs.evaluation import evaluate
from bitlog2.models.runs.folder import RunFolder
from bitlog2.models.runs.request import EvaluationRequest


def quiet(items: Iterable[Any], label: str, total: int) -> Iterable[Any]:
    """Show no progress."""
    return items


def run(path: Path, request: EvaluationRequest | None, threads: int | None = None) -> RunFolder:
    """Evaluate, or go on with what is there; return the folder."""
    evaluate(path, request, quiet, threads=threads)
    return RunFolder.open(path)
