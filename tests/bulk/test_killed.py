"""Runs that are killed in the middle of a part, and go on. A named pipe among the photographs says when that is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.bulk.conftest import Describe, by_photo, rows, save

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs named pipes")]
SHARD, COUNT = 4, 14


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for seed in range(COUNT):
        save(tmp_path / "photographs" / f"{seed:02d}.png", seed)
    return tmp_path / "photographs"


def began(photographs: Path, out: Path, model: Path, workers: int) -> subprocess.Popen[str]:
    """A run of its own, in the middle of the second part: it has opened a photograph that never comes."""
    pipe = photographs / "06.png"
    pipe.rename(photographs.parent / "06.png")
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "dynrefer", "describe", str(photographs), "--whole", "--out", str(out)]
    options = ["--shard-size", str(SHARD), "--workers", str(workers), "--model", str(model), "--device", "cpu"]
    run = subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    os.close(os.open(pipe, os.O_WRONLY))  # waits until it is opened at the other end
    os.replace(photographs.parent / "06.png", pipe)
    return run


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_with_nothing_missing_double_or_different(
    describe: Describe, photographs: Path, tiny_checkpoint: Path, tmp_path: Path, workers: int
) -> None:
    asked = (photographs, "--whole", "--shard-size", SHARD)
    describe(*asked, "--out", tmp_path / "undisturbed")
    run = began(photographs, tmp_path / "out", tiny_checkpoint, workers)
    processes = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.communicate()
    _, alive = psutil.wait_procs(processes, timeout=120)
    assert alive == []
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    assert len(finished) < 4
    assert describe(*asked, "--out", tmp_path / "out") == 0
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert rows(tmp_path / "out") == rows(tmp_path / "undisturbed")
    assert [path.name for path in (tmp_path / "out").glob(".part*")] == []


def test_a_worker_that_is_killed_is_replaced(
    describe: Describe, photographs: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    describe(photographs, "--whole", "--shard-size", SHARD, "--out", tmp_path / "undisturbed")
    run = began(photographs, tmp_path / "out", tiny_checkpoint, workers=2)
    for process in psutil.Process(run.pid).children():
        if any("spawn_main" in word for word in process.cmdline()):
            process.kill()
    told = run.communicate(timeout=300)[1]
    assert run.returncode == 0, told
    assert by_photo(tmp_path / "out") == by_photo(tmp_path / "undisturbed")
