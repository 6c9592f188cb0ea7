"""A run on a Ray cluster that loses a worker, then its driver: `python -m benchmarks.bulk_on_ray [--photographs 2000]`.

A cluster of three nodes on this machine, two with a core and a model each. An actor is killed in the middle of a shard,
later the driver (both by SIGKILL), and the same command is given again. Exits with 1 unless the rows are those of a
single process: none missing, none double, all equal but for their times. The model is tiny and random, and each process
has one thread.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image
from ray.cluster_utils import Cluster

from dynrefer.checkpoint import save_checkpoint
from dynrefer.model import DynRefer
from tests.tiny import TINY, tiny_vocabulary, word_tokenizer

SIDE = 64
PATIENCE = 1800  # seconds for anything that is waited for
os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")  # a node on a busy machine
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 never comes to its turn beside other programs
os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of several processes on the same cores wait for each other


def make_photographs(folder: Path, count: int) -> None:
    """Random photographs, ten folders of them."""
    chance = np.random.default_rng(0)
    for number in range(count):
        path = folder / str(number % 10) / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((160, 120)).save(path)


def make_model(folder: Path) -> Path:
    """The tests' tiny model, with smaller views."""
    torch.manual_seed(0)
    encoder = dataclasses.replace(TINY.encoder, image_size=SIDE, grids=(SIDE // 32, SIDE // 16))
    model = DynRefer(dataclasses.replace(TINY, encoder=encoder))
    assert model.text_encoder is not None
    model.language.tokenizer = model.text_encoder.tokenizer = word_tokenizer()
    return save_checkpoint(folder, model.eval(), tiny_vocabulary().embedded(model.text_encoder), torch.float32)


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """The address of a cluster on this machine: a head without cores, and `workers` nodes with one each."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(workers):
            nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        yield nodes.address
    finally:
        nodes.shutdown()


def wait_for(what: Callable[[], Any], run: subprocess.Popen[bytes]) -> Any:
    """What it returns once that is true; RuntimeError where the run ends before."""
    until = time.monotonic() + PATIENCE
    while not (found := what()):
        if run.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the run ended (exit code {run.poll()}) before it was killed; ask for more photographs")
        time.sleep(0.05)
    return found


def parts(out: Path) -> int:
    """How many are finished."""
    return len(list(out.glob("part-*")))


def busy_actor(out: Path) -> psutil.Process | None:
    """A process that is in the middle of a shard."""
    if not list(out.glob(".part-*")):
        return None
    actors = (process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"])
    return next((process for process in actors if process.info["cmdline"][0].startswith("ray::MapWorker")), None)


def rows(out: Path) -> list[dict[str, Any]]:
    """All rows of a run by photograph, without times."""
    lines = (line for part in out.glob("part-*.jsonl") for line in part.read_text().splitlines())
    return sorted((json.loads(line) | {"timing_ms": None} for line in lines), key=lambda row: str(row["photo"]))


def main() -> int:
    """Run, kill, run again, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=2000)
    parser.add_argument("--shard-size", type=int, default=25)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dynrefer-") as folder:
        photographs, alone, out = Path(folder, "photographs"), Path(folder, "alone"), Path(folder, "ray")
        make_photographs(photographs, arguments.photographs)
        model = ["--model", str(make_model(Path(folder, "tiny"))), "--device", "cpu", "--beams", "1"]
        command = [sys.executable, "-m", "dynrefer", "describe", str(photographs), "--whole", *model]
        command += ["--shard-size", str(arguments.shard_size)]
        start = time.monotonic()
        subprocess.run([*command, "--workers", "1", "--out", str(alone)], check=True)
        print(f"a single process: {time.monotonic() - start:.0f} s", flush=True)
        with cluster(workers=2) as address:
            asked = [*command, "--out", str(out), "--ray", address, "--actors", "2"]
            start = time.monotonic()
            run = subprocess.Popen(asked)
            wait_for(lambda: parts(out) >= 2, run)
            victim = wait_for(lambda: busy_actor(out), run)
            victim.kill()
            print(f"killed an actor after {parts(out)} parts, {time.monotonic() - start:.0f} s", flush=True)
            most = parts(out) + max(2, arguments.photographs // arguments.shard_size // 4)
            wait_for(lambda: parts(out) >= most, run)
            run.kill()
            run.wait()
            print(f"killed the driver after {parts(out)} parts, {time.monotonic() - start:.0f} s", flush=True)
            again = subprocess.run(asked, check=False).returncode
            print(f"the same command again: exit code {again}, {time.monotonic() - start:.0f} s in all", flush=True)
        expected, found = rows(alone), rows(out)
    same = sum(mine == other for mine, other in zip(expected, found, strict=False))
    print(f"{len(found)} rows for {arguments.photographs} photographs; {same} equal to the single process's")
    return 0 if again == 0 and found == expected and len(found) == arguments.photographs else 1


if __name__ == "__main__":
    sys.exit(main())
