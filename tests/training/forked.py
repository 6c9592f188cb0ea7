"""Processes of their own that start in no time, forked from one that has imported the trainer and done nothing."""

import os
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.training.run_worker"])


def started(said: Path, function: Callable[..., object], *given: Any, **environment: str) -> ForkServerProcess:
    """A process that calls `function(*given)` by one thread; what it says goes to the file `said`."""
    process = _FORKS.Process(target=_call, args=(str(said), environment, function, given))
    process.start()
    return process


def _call(said: str, environment: dict[str, str], function: Callable[..., object], given: tuple[Any, ...]) -> None:
    file = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    os.environ.update(environment)
    torch.set_num_threads(1)
    function(*given)
