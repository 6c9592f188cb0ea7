"""Dense captioning: captions for the true boxes, or for a detector's boxes (the paper: Visual Genome, GRiT's boxes)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dynrefer.boxes import check_box, finite_number
from dynrefer.coco_files import annotation_box
from dynrefer.data.files import read_json
from dynrefer.data.sample import Sample
from dynrefer.errors import InputError
from dynrefer.evaluation.benchmark import Figure, Region, Scores
from dynrefer.evaluation.captions import keep_caption
from dynrefer.evaluation.dense_ap import CaptionedBox, dense_caption_ap
from dynrefer.evaluation.samples import EvaluationData
from dynrefer.evaluation.store import Prediction
from dynrefer.results import RegionResult


@dataclass(frozen=True)
class DenseCaptions:
    """Mean average precision over IoU and METEOR thresholds; a detector's box keeps the detector's score."""

    data: EvaluationData
    truths: Mapping[Path, Sequence[CaptionedBox]]
    detections: Mapping[Path, Mapping[Region, float]] | None = None
    name = "dense-captions"
    needs_java = True

    @classmethod
    def load(cls, data: EvaluationData, limit: int | None = None, boxes: Path | None = None) -> "DenseCaptions":
        """The photographs with captions that people wrote about boxes; `limit` counts photographs.

        Args:
            data: the data set.
            limit: how many photographs.
            boxes: a detector's results in COCO's format ([{"image_id", "bbox", "score"}, ..]); None: the true boxes.

        Raises:
            InputError: there are no such captions, or the box file does not fit.
        """
        found: dict[Path, list[CaptionedBox]] = defaultdict(list)
        for sample in data.samples:
            found[sample.image] += [CaptionedBox(sample.box, t.text) for t in sample.texts if t.source == "human"]
        chosen = [image for image, truth in found.items() if truth][:limit]
        if not chosen:
            raise InputError("The data set is empty for this benchmark: it has no boxes with captions by people.")
        detections = None if boxes is None else _read_detections(boxes, data.samples, set(chosen))
        return cls(data, {image: found[image] for image in chosen}, detections)

    @cached_property
    def asked(self) -> dict[Path, dict[Region, float | None]]:
        """The boxes to describe on each photograph with the detector's score, or None where the caption's counts."""
        if self.detections is not None:
            return {image: dict(self.detections.get(image, {})) for image in self.truths}
        return {image: {Region(image, item.box): None for item in truth} for image, truth in self.truths.items()}

    @property
    def regions(self) -> list[Region]:
        """What to ask about."""
        return [region for regions in self.asked.values() for region in regions]

    @property
    def question(self) -> dict[str, Any]:
        """A caption."""
        return {"captions": True}

    @property
    def truth(self) -> Any:
        """Boxes and captions of each photograph, and the detector's scores."""
        people = [[(item.box, item.caption) for item in truth] for truth in self.truths.values()]
        return [people, [list(regions.values()) for regions in self.asked.values()]]

    def keep(self, result: RegionResult) -> Prediction:
        """The caption and its score."""
        return keep_caption(result)

    def score(self, predictions: Mapping[str, Prediction]) -> Scores:
        """The mean over all thresholds, and each average precision behind it."""
        images = []
        for image, truth in self.truths.items():
            answers = [(region, score, predictions[region.key]) for region, score in self.asked[image].items()]
            described = [
                CaptionedBox(region.box, answer["caption"], answer["score"] if score is None else score)
                for region, score, answer in answers
            ]
            images.append((described, truth))
        precisions = dense_caption_ap(images)
        detector = self.detections is not None
        protocol = f"{self.data.title}, {'detected boxes' if detector else 'true boxes'}"
        mean = 100 * float(np.mean(list(precisions.values())))
        details = {f"IoU {iou:g}, METEOR {meteor:g}": 100 * ap for (iou, meteor), ap in precisions.items()}
        figure = Figure(protocol, "mAP", mean, len(images), "photographs", detector)
        return Scores([figure], {"AP by thresholds": details, "boxes described": len(self.regions)})


def _read_detections(file: Path, samples: Sequence[Sample], wanted: set[Path]) -> dict[Path, dict[Region, float]]:
    """The detector's boxes and scores on the photographs wanted."""
    entries = read_json(file)
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and {"image_id", "bbox", "score"} <= entry.keys() for entry in entries
    ):
        raise InputError(f'{file} is not a COCO result file: it must be a list of {{"image_id", "bbox", "score"}}.')
    photographs = {sample.image_id: sample for sample in samples}
    found: dict[Path, dict[Region, float]] = defaultdict(dict)
    for entry in entries:
        sample = photographs.get(str(entry["image_id"]))
        if sample is None:
            raise InputError(
                f"{file} has boxes for image id {entry['image_id']}, which has no photograph in the data set."
            )
        if sample.image in wanted:
            box = annotation_box(entry)
            region = Region(sample.image, check_box(box, sample.image_size) if sample.image_size else box)
            score = finite_number(entry["score"], "every score of a detector")
            found[sample.image][region] = max(score, found[sample.image].get(region, score))
    return dict(found)
