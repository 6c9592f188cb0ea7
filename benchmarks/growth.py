"""How the cost of an answer grows: `python -m benchmarks.growth [--out docs/growth.png]`.

Against the number of regions on one photograph, the photograph's size, and the length of the class list; by the wall's
clock, or with --processor by the processor's, where others use the machine as well.
"""

import argparse
import itertools
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from benchmarks.page import ROOT, Box, photographs, processor, timed
from dynrefer import Predictor

REGIONS = (1, 4, 16, 64)
SIDES = (320, 640, 1280, 2560, 5120)  # longer side of the photograph in pixels
LISTS = (80, 1000, 20_000)
BOX = np.array([0.2, 0.25, 0.6, 0.7])  # share of the photograph
STEP = 0.003  # by which the next box lies farther right and down, so that none of its views is known
Clock = Literal["wall", "processor"]
Curve = list[tuple[int, float]]


class Boxes:
    """Boxes on a photograph, no two alike."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size, self.number = np.tile(size, 2), itertools.count()

    def next(self) -> Box:
        """Another box."""
        return tuple(((BOX + STEP * (next(self.number) % 130)) * self.size).tolist())


def by_regions(predictor: Predictor, clock: Clock, repeat: int) -> Curve:
    """Milliseconds a region of questions about several regions of one photograph."""
    photo = Image.open(photographs()[0][0]).convert("RGB")
    curve = []
    for count in REGIONS:
        boxes = Boxes(photo.size)
        times = []
        for number in range(max(1, repeat // count) + 1):  # the first warms up
            pixels = _another(photo, number)
            times.append(getattr(timed(predictor.refer, pixels, boxes=[boxes.next() for _ in range(count)]), clock))
        curve.append((count, statistics.median(times[1:]) / count))
    return curve


def by_size(predictor: Predictor, clock: Clock, repeat: int) -> Curve:
    """Milliseconds of another box on a photograph that is open, by its longer side."""
    photo = Image.open(photographs()[0][0]).convert("RGB")
    curve = []
    for side in SIDES:
        scale = side / max(photo.size)
        pixels = np.array(photo.resize((round(scale * photo.width), round(scale * photo.height))))
        pixels.flags.writeable = False  # so that it is kept, as a file is
        boxes = Boxes((pixels.shape[1], pixels.shape[0]))
        predictor.refer(pixels, boxes.next())
        times = [getattr(timed(predictor.refer, pixels, boxes.next()), clock) for _ in range(repeat)]
        curve.append((side, statistics.median(times)))
    return curve


def by_classes(predictor: Predictor, clock: Clock, repeat: int) -> tuple[Curve, Curve]:
    """Milliseconds of the first answer with a class list, whose names nobody has embedded, and of those after it."""
    pixels = np.array(Image.open(photographs()[0][0]).convert("RGB"))
    pixels.flags.writeable = False
    boxes = Boxes((pixels.shape[1], pixels.shape[0]))
    first, after = [], []
    for count in LISTS:
        names = _names(predictor, count)
        first.append((count, getattr(timed(predictor.refer, pixels, boxes.next(), classes=names), clock)))
        times = [getattr(timed(predictor.refer, pixels, boxes.next(), classes=names), clock) for _ in range(repeat)]
        after.append((count, statistics.median(times)))
    return first, after


def _another(photo: Image.Image, number: int) -> np.ndarray:
    """The photograph with one other pixel, of which no view is known."""
    pixels = np.array(photo)
    pixels[0, 0] = number
    return pixels


def _names(predictor: Predictor, count: int) -> list[str]:
    """So many names, none in a list of another length."""
    words = predictor.vocabulary
    pairs = (f"{quality.name} {thing} {count}" for thing in words.classes for quality in words.attributes)
    return list(itertools.islice(dict.fromkeys(pairs), count))


def plot(curves: dict[str, dict[str, Curve]], unit: str, out: Path) -> None:
    """One panel a question, logarithmic across."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(curves), figsize=(11, 3.2), layout="constrained")
    for panel, (title, lines) in zip(panels, curves.items(), strict=True):
        for label, curve in lines.items():
            panel.plot(*zip(*curve, strict=True), "o-", label=label)
        panel.set(title=title, xscale="log", ylim=(0, None), ylabel=f"{unit} a region")
        panel.set_xticks([x for x, _ in curve], [f"{x:,}" for x, _ in curve], minor=False)
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        if len(lines) > 1:
            panel.legend()
    figure.savefig(out, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the figures, draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "growth.png")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--processor", action="store_true", help="processor time instead of wall time")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    clock: Clock = "processor" if given.processor else "wall"
    unit = "processor ms" if given.processor else "ms"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # names embedded in an earlier run are not found
        predictor = Predictor.from_pretrained()
        print(f"{predictor.device_reason}\n{processor()}, {given.threads} threads, torch {torch.__version__}, {unit}")
        first, after = by_classes(predictor, clock, given.repeat)
        curves = {
            "regions in one question": {"": by_regions(predictor, clock, given.repeat)},
            "longer side of the photograph, pixels": {"": by_size(predictor, clock, given.repeat)},
            "names in the class list": {"after the first time": after},
        }
    for title, lines in curves.items():
        for label, curve in lines.items():
            print(f"{title} {label}: " + ", ".join(f"{x:,}: {y:.0f}" for x, y in curve))
    print("first time with a class list: " + ", ".join(f"{x:,}: {y / 1000:.1f} s" for x, y in first))
    plot(curves, unit, given.out)


if __name__ == "__main__":
    main()
