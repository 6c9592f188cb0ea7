"""What the benchmarks share: the example photographs, clocks, and the page in a process of its own."""

import json
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from dynrefer.results import RegionResult

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "assets" / "examples"
Box = tuple[float, ...]


def examples() -> list[tuple[Path, Box]]:
    """All (photograph, box) of the gallery."""
    listed = json.loads((EXAMPLES / "examples.json").read_text())
    return [(EXAMPLES / example["file"], tuple(example["box"])) for example in listed]


def photographs() -> list[tuple[Path, Box]]:
    """Every photograph of the gallery with one of its boxes."""
    return list(dict(examples()).items())


class Time(NamedTuple):
    """Milliseconds by the wall's clock and by the processor's."""

    wall: float
    processor: float


def timed(function: Callable[..., object], *args: Any, **kwargs: Any) -> Time:
    """What one call takes."""
    wall, used = time.perf_counter(), time.process_time()
    function(*args, **kwargs)
    return Time(1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - used))


def scores(result: RegionResult) -> dict[tuple[str, str], float]:
    """Every score of an answer by its kind and name."""
    named = (("class", result.classes), ("tag", result.tags), ("attribute", result.attributes))
    found = {(kind, item.name): item.score for kind, items in named for item in items}
    return found | ({("caption", ""): result.caption.score} if result.caption else {})


def farthest(one: RegionResult, other: RegionResult) -> float:
    """The largest difference between scores of two answers; that of the captions counts where they say the same."""
    first, second = scores(one), scores(other)
    same = one.caption is None or other.caption is None or one.caption.text == other.caption.text
    return max(abs(first[key] - second[key]) for key in first.keys() & second.keys() if same or key[0] != "caption")


def processor() -> str:
    """The processor's name as the system gives it."""
    information = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", information.read_text()) if information.exists() else None
    return named.group(1) if named else platform.processor() or platform.machine()


@contextmanager
def serving() -> Iterator[tuple[str, psutil.Process]]:
    """Run `python app.py`; yields its address, once it answers, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "app.py"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout
        address = next(filter(None, (re.search(r"http://[\w.]+:\d+", line) for line in app.stdout)))
        try:
            yield address.group(), psutil.Process(app.pid)
        finally:
            app.terminate()


def gibibytes(process: psutil.Process) -> float:
    """Resident memory of a process."""
    return float(process.memory_info().rss) / 2**30
