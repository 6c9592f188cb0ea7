"""Regions a second of `describe`, beside single questions and batches: `python -m benchmarks.bulk [--photographs 200]`.

The gallery's photographs, 640 pixels wide, each cut a little differently, with 5 boxes each. Seconds of processor a
region are printed too, which other programs on the machine disturb less than the seconds on the clock.
`--only describe --photographs 4000` shows the memory over 20,000 regions. Other options go to `describe`.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.page import photographs as gallery
from benchmarks.page import processor
from dynrefer import Predictor

WIDTH, BOXES = 640, 5
KINDS = ("single", "batched", "describe")
Boxes = dict[str, list[list[float]]]


def make_photographs(folder: Path, count: int) -> Boxes:
    """Photographs that are all different, and their boxes."""
    chance = np.random.default_rng(0)
    pictures = [Image.open(path).convert("RGB") for path, _ in gallery()]
    pictures = [picture.resize((WIDTH, WIDTH * picture.height // picture.width)) for picture in pictures]
    boxes: Boxes = {}
    for number in range(count):
        picture = pictures[number % len(pictures)]
        cut = number // len(pictures) % 64
        picture = picture.crop((cut, number % 7, picture.width, picture.height))
        picture.save(folder / f"{number:06d}.jpg", quality=92)
        corners = np.sort(chance.uniform(0, 0.8, (BOXES, 2, 2)), axis=1)
        corners[:, 1] += 0.2
        boxes[f"{number:06d}.jpg"] = (corners * picture.size).round(1).reshape(BOXES, 4).tolist()
    return boxes


def processor_seconds() -> float:
    """Of this process and those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def measured(name: str, describe: Callable[[], int]) -> None:
    """Print how fast a way of asking is."""
    start, used = time.monotonic(), processor_seconds()
    regions = describe()
    seconds, used = time.monotonic() - start, processor_seconds() - used
    print(f"| {name:<38} | {regions:>6} | {regions / seconds:>5.1f} | {1000 * used / regions:>4.0f} |", flush=True)


def single(folder: Path, boxes: Boxes) -> Callable[[], int]:
    """One question after another, as a person asks."""
    predictor = Predictor.from_pretrained()
    predictor.warm_up()
    return lambda: sum(bool(predictor.refer(folder / name, box=box)) for name in boxes for box in boxes[name])


def batched(folder: Path, boxes: Boxes) -> Callable[[], int]:
    """Batches of 32 in one process, as evaluation asks."""
    predictor = Predictor.from_pretrained()
    predictor.warm_up()
    return lambda: sum(map(len, predictor.refer_many((folder / name, boxes[name]) for name in boxes)))


def bulk(folder: Path, boxes: Boxes, options: list[str]) -> Callable[[], int]:
    """The command `describe`, loading included; prints the memory of all its processes, shared memory counted once."""
    file, out = folder.parent / "boxes.json", folder.parent / "out"
    file.write_text(json.dumps(boxes))
    command = [sys.executable, "-m", "dynrefer", "describe", str(folder), "--boxes", str(file), "--out", str(out)]

    def run() -> int:
        memory: list[float] = []
        process = subprocess.Popen([*command, *options])
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(2):
                try:
                    known = psutil.Process(process.pid)
                    processes = (known, *known.children(recursive=True))
                    memory.append(sum(each.memory_full_info().pss for each in processes) / 2**30)
                except psutil.Error:
                    return

        watching = threading.Thread(target=watch)
        watching.start()
        process.wait()
        ended.set()
        watching.join()
        quarters = [part for part in np.array_split(memory, 4) if part.size]
        for called, of in (("at most", np.max), ("median", np.median)):
            told = ", ".join(f"{of(part):.2f}" for part in quarters)
            print(f"memory of all processes in each quarter of the time, {called}: {told} GiB")
        return sum(len(part.read_text().splitlines()) for part in out.glob("part-*"))

    return run


def main() -> None:
    """Measure and print a table: regions, regions a second, processor milliseconds a region."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=200)
    parser.add_argument("--only", choices=KINDS, nargs="+", default=KINDS)
    arguments, options = parser.parse_known_args()
    print(f"{processor()}, {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}")
    print("| way | regions | a second | processor ms a region |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="dynrefer-") as root:
        folder = Path(root) / "photographs"
        folder.mkdir()
        boxes = make_photographs(folder, arguments.photographs)
        few = dict(list(boxes.items())[: max(1, len(boxes) // 5)])
        if "single" in arguments.only:
            measured("one question after another", single(folder, few))
        if "batched" in arguments.only:
            measured("refer_many, batches of 32", batched(folder, few))
        if "describe" in arguments.only:
            measured(f"describe {' '.join(options)}".strip(), bulk(folder, boxes, options))


if __name__ == "__main__":
    main()
