"""Runs that are killed in the middle of a part, and go on. One photograph is so large that there is time for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.bulk.conftest import Describe, by_photo, rows, save

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")]
ROOT = Path(__file__).resolve().parents[2]
SHARD, COUNT, LARGE = 3, 8, "04.png"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for seed in range(COUNT):
        save(tmp_path / "photographs" / f"{seed:02d}.png", seed)
    Image.new("RGB", (6000, 4000), (90, 140, 60)).save(tmp_path / "photographs" / LARGE)
    return tmp_path / "photographs"


@contextmanager
def in_the_middle(
    photographs: Path, out: Path, model: Path, workers: int, form: str = "jsonl"
) -> Iterator[tuple[psutil.Popen, psutil.Process]]:
    """A run of its own, and its process that has begun to write the second part."""
    command = [sys.executable, "-m", "dynrefer", "describe", str(photographs), "--whole", "--out", str(out)]
    options = ["--shard-size", str(SHARD), "--workers", str(workers), "--model", str(model), "--device", "cpu"]
    options += ["--format", form]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = psutil.Popen([*command, *options], cwd=ROOT, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield run, next(writers_of(out, run))
    finally:
        with suppress(psutil.NoSuchProcess):
            run.kill()
        run.wait()


def writers_of(out: Path, run: psutil.Popen) -> Iterator[psutil.Process]:
    """The process that has a draft of the second part open."""
    while run.poll() is None:
        for draft in out.glob(".part-00001*"):
            yield from (process for process in (run, *run.children(recursive=True)) if has_open(process, draft))
        with suppress(psutil.TimeoutExpired):
            run.wait(0.02)  # looking without a break takes a core of the two
    pytest.fail(f"the run ended before it was killed (exit code {run.returncode})")


def has_open(process: psutil.Process, path: Path) -> bool:
    with suppress(FileNotFoundError):  # the process has ended, or closed a file meanwhile
        return any(os.readlink(link) == str(path) for link in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


@pytest.mark.parametrize(("workers", "form"), [(1, "jsonl"), (2, "parquet")])
def test_a_killed_run_goes_on_with_nothing_missing_double_or_different(
    describe_really: Describe, photographs: Path, tiny_checkpoint: Path, tmp_path: Path, workers: int, form: str
) -> None:
    asked = (photographs, "--whole", "--shard-size", SHARD, "--format", form, "--out")
    describe_really(*asked, tmp_path / "undisturbed")
    with in_the_middle(photographs, tmp_path / "out", tiny_checkpoint, workers, form) as (run, _):
        processes = run.children(recursive=True)
        run.kill()
        run.wait()
        assert psutil.wait_procs(processes, timeout=300)[1] == []
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    assert tmp_path / "out" / f"part-00001.{form}" not in finished
    assert describe_really(*asked, tmp_path / "out") == 0
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert rows(tmp_path / "out") == rows(tmp_path / "undisturbed")
    assert list((tmp_path / "out").glob(".part*")) == []


def test_a_worker_that_is_killed_is_replaced(
    describe_really: Describe, photographs: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    describe_really(photographs, "--whole", "--shard-size", SHARD, "--out", tmp_path / "undisturbed")
    with in_the_middle(photographs, tmp_path / "out", tiny_checkpoint, workers=2) as (run, writing):
        writing.kill()
        assert run.wait(timeout=600) == 0
    assert by_photo(tmp_path / "out") == by_photo(tmp_path / "undisturbed")
