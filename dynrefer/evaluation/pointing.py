"""Pointing: does a press take the thing that was meant, and do the model's own proposals find what is there.

The true boxes are those of the data set's classes where it has classes, otherwise all, above LEAST_AREA.
"""

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dynrefer.boxes import Box, area, check_box, iou, xyxy_to_xywh
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError, LeftOut
from dynrefer.evaluation.benchmark import EvaluationData, Figure, Scores
from dynrefer.evaluation.scoring import identity_of, machine, speed, write_metrics
from dynrefer.files.atomic import write_whole
from dynrefer.formats.box_files import fit_boxes
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor

LEAST_AREA = 0.01  # of the photograph
MIDDLE = 0.5  # of the box's sides, about its centre, inside which the click is drawn
RIGHT = 0.5  # overlap from which a box is the thing's
LIMITS = (6, 12, 20)
SIZES = ((0.01, 0.05), (0.05, 0.2), (0.2, 1.01))


@dataclass(frozen=True)
class Scene:
    """A photograph with its true boxes in pixels."""

    photo: Photo
    image_id: str
    boxes: list[Box]


@dataclass(frozen=True)
class Measured:
    """A digest of the true boxes, what was scored, and the milliseconds of each photograph."""

    truth: str
    scores: Scores
    milliseconds: list[float]


def measure(
    name: str, data: EvaluationData, predictor: Predictor, out: Path, limit: int | None, seed: int
) -> dict[str, Any]:
    """Measure "pointing" or "proposals" on the first `limit` photographs and write `metrics.json` into `out`.

    Raises InputError where there is nothing to measure, or the model cannot point.
    """
    found = MEASURES[name](data, predictor, limit, seed)
    median = {"ms a photograph (median)": round(float(np.median(found.milliseconds)), 1)}
    identity = identity_of(name, data, predictor, "one pass over the whole photograph", seed)
    scores = replace(found.scores, details=found.scores.details | median)
    took = speed(scores.figures[0].count, sum(found.milliseconds) / 1000)
    left_out = [asdict(record) for record in data.left_out]
    return write_metrics(out, identity, found.truth, scores, left_out, took | machine(predictor))


def pointing(data: EvaluationData, predictor: Predictor, limit: int | None, seed: int) -> Measured:
    """One click drawn inside the middle of each true box: overlap of the box that it takes with the true one."""
    overlaps, sizes, milliseconds = [], [], []
    for scene in scenes(data, limit):
        start = time.perf_counter()
        predictor.box_grid(scene.photo)
        milliseconds.append(1000 * (time.perf_counter() - start))
        for number, box in enumerate(scene.boxes):
            taken = predictor.propose(scene.photo, point=click(box, f"{seed} {scene.image_id} {number}"), limit=1)
            overlaps.append(iou(taken[0].box, box) if taken else 0.0)
            sizes.append(area(box) / (scene.photo.width * scene.photo.height))
    ious, areas = np.array(overlaps), np.array(sizes)
    protocol = f"{data.title}, one click in the middle half of boxes above {LEAST_AREA:.0%} of the photograph"
    figures = [
        Figure(protocol, "mean IoU", 100 * float(ious.mean()), len(ious)),
        Figure(protocol, "IoU >= 0.5", 100 * float((ious >= RIGHT).mean()), len(ious)),
    ]
    groups = [
        {
            "share": f"{low:.0%} to {min(high, 1):.0%}",
            "clicks": int(part.sum()),
            "mean IoU": 100 * float(ious[part].mean()),
        }
        for low, high in SIZES
        if (part := (areas >= low) & (areas < high)).any()
    ]
    scores = Scores(figures, {"By the box's share of the photograph": groups})
    return Measured(_digest(areas), scores, milliseconds)


def proposals(data: EvaluationData, predictor: Predictor, limit: int | None, seed: int) -> Measured:
    """The share of the true boxes that the first few proposals of a photograph find."""
    found: dict[int, list[bool]] = {most: [] for most in LIMITS}
    counts, milliseconds = [], []
    sizes: list[float] = []
    for scene in scenes(data, limit):
        start = time.perf_counter()
        proposed = [proposal.box for proposal in predictor.propose(scene.photo, limit=max(LIMITS))]
        milliseconds.append(1000 * (time.perf_counter() - start))
        counts.append(len(proposed))
        sizes += map(area, scene.boxes)
        for most, hits in found.items():
            hits += [any(iou(box, other) >= RIGHT for other in proposed[:most]) for box in scene.boxes]
    protocol = f"{data.title}, boxes above {LEAST_AREA:.0%} of the photograph, IoU >= {RIGHT}"
    figures = [
        Figure(protocol, f"recall of {most} proposals", 100 * float(np.mean(hits)), len(hits))
        for most, hits in found.items()
    ]
    details = {"proposals a photograph": round(float(np.mean(counts)), 2)}
    return Measured(_digest(np.array(sizes)), Scores(figures, details), milliseconds)


def _digest(areas: np.ndarray) -> str:
    return hashlib.sha256(areas.round(4).tobytes()).hexdigest()[:16]


MEASURES: dict[str, Callable[[EvaluationData, Predictor, int | None, int], Measured]] = {
    "pointing": pointing,
    "proposals": proposals,
}


def scenes(data: EvaluationData, limit: int | None) -> Iterator[Scene]:
    """The photographs that have true boxes large enough; one that cannot be read is added to what was left out.

    Raises InputError where there is none.
    """
    named = [sample for sample in data.samples if sample.class_name is not None] or data.samples
    large: dict[Path, list[Sample]] = {}
    for sample in named:
        if (sample.covered or 0) >= LEAST_AREA:
            large.setdefault(sample.image, []).append(sample)
    if not large:
        raise InputError(f"The data set is empty for this benchmark: it has no box above {LEAST_AREA:.0%}.")
    for image, samples in list(large.items())[:limit]:
        try:
            photo = Photo.read(image)
            fitted = fit_boxes([sample.box for sample in samples], samples[0].image_size, photo)
            boxes = [check_box(box, photo.size) for box in fitted]
        except InputError as error:
            data.left_out.append(LeftOut(samples[0].photo_id, "", str(error)))
            continue
        yield Scene(photo, samples[0].image_id, boxes)


def click(box: Box, seed: str) -> tuple[float, float]:
    """A place drawn evenly from the middle of a box, the same for the same seed."""
    chance = random.Random(hashlib.sha256(seed.encode()).digest())
    x, y = (0.5 + MIDDLE * (chance.random() - 0.5) for _ in range(2))
    return box[0] + x * (box[2] - box[0]), box[1] + y * (box[3] - box[1])


def write_proposals(data: EvaluationData, predictor: Predictor, file: Path, limit: int | None = None) -> None:
    """The model's own proposals, as a detector's results, on the first `limit` photographs with captions by people.

    A photograph that cannot be read is added to what was left out. Raises InputError where the model cannot point.
    """
    captioned = [sample for sample in data.samples if any(text.source == "human" for text in sample.texts)]
    first: dict[str, Sample] = {}
    for sample in captioned:
        first.setdefault(sample.photo_id, sample)
    entries: list[dict[str, Any]] = []
    for sample in list(first.values())[:limit]:
        try:
            photo = Photo.read(sample.image)
        except InputError as error:
            data.left_out.append(LeftOut(sample.photo_id, "", str(error)))
            continue
        width, height = sample.image_size or photo.size
        across, down = width / photo.width, height / photo.height
        for proposal in predictor.propose(photo, limit=max(LIMITS)):
            x1, y1, x2, y2 = proposal.box
            box = xyxy_to_xywh((x1 * across, y1 * down, x2 * across, y2 * down))
            entries.append({"image_id": sample.image_id, "bbox": list(box), "score": proposal.score})
    write_whole(file, json.dumps(entries) + "\n")
