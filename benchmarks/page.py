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
