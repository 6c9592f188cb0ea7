"""Functions of tensors that a GPU replays as one CUDA graph, where starting kernels one by one costs more than they do.

A graph has the addresses of its tensors in it, so arguments are copied in and results copied out.
"""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

WARM_UP_RUNS = 2
KEPT_SHAPES = 4


def can_record(device: torch.device) -> bool:
    """Whether graphs may be recorded: on a GPU of one's own, unless DYNREFER_CUDA_GRAPHS is 0."""
    allowed = os.environ.get("DYNREFER_CUDA_GRAPHS", "1") != "0" and not os.environ.get("SPACES_ZERO_GPU")
    return device.type == "cuda" and allowed


class Graph(NamedTuple):
    """A recorded run, and what it returned: tensors that every replay fills anew."""

    graph: torch.cuda.CUDAGraph
    result: Any


def record(
    run: Callable[[], Any], device: torch.device, between: Callable[[], object] = lambda: None, runs: int = WARM_UP_RUNS
) -> Graph | None:
    """Run a few times, since first runs allocate, which a recording may not; then `between`; then record.

    Where recording fails, a warning is given and None returned: the same goes unrecorded, only slower.
    """
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.device(device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(runs):
                    run()
            torch.cuda.current_stream().wait_stream(aside)
            between()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                result = run()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        warnings.warn(f"The model runs unrecorded and slower: {error}", stacklevel=2)
        return None
    return Graph(graph, result)


class Recorded:
    """A function of tensors (or None) to tensors (or None), recorded for each of the last few shapes of its arguments.

    On a processor it is the function itself.

    Args:
        function: neither waits for the host nor brings tensors from it.
        most: length of the first argument up to which it is recorded; longer ones are worth their kernels' start. Not
            many more than KEPT_SHAPES, since recording takes as long as ten runs.
    """

    def __init__(self, function: Callable[..., Any], most: int) -> None:
        self._function, self._most = function, most
        self._kept: OrderedDict[tuple[object, ...], tuple[list[Tensor | None], Graph | None]] = OrderedDict()

    @torch.inference_mode()
    def __call__(self, *given: Tensor | None) -> Any:
        """The function's result, in tensors of the caller's own."""
        first = given[0]
        assert first is not None
        if not can_record(first.device) or len(first) > self._most:
            return self._function(*given)
        key = tuple(None if x is None else (x.shape, x.dtype) for x in given)
        # Taken out while it is in use, so that two threads never write into the same tensors.
        kept: tuple[list[Tensor | None], Graph | None] | None = self._kept.pop(key, None)
        inputs, graph = kept or self._recorded(given, first.device)
        if graph is None:
            result = self._function(*given)
        else:
            for own, x in zip(inputs, given, strict=True):
                if own is not None and x is not None:
                    own.copy_(x)
            graph.graph.replay()
            result = _copied(graph.result)
        self._kept[key] = (inputs, graph)
        while len(self._kept) > KEPT_SHAPES:
            self._kept.popitem(last=False)
        return result

    def _recorded(
        self, given: tuple[Tensor | None, ...], device: torch.device
    ) -> tuple[list[Tensor | None], Graph | None]:
        inputs = [None if x is None else x.clone() for x in given]
        return inputs, record(lambda: self._function(*inputs), device)


def _copied(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(_copied(x) for x in result)
    return result.clone() if isinstance(result, Tensor) else result
