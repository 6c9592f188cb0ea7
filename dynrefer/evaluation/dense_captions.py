"""Dense captioning: captions for the true boxes, or for a detector's boxes (the paper: Visual Genome, GRiT's boxes).

The average precision is that of Johnson et al., "DenseCap", CVPR 2016: box and words must both fit.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from dynrefer.boxes import clip, overlaps
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError, LeftOut, reason
from dynrefer.evaluation import metrics
from dynrefer.evaluation.benchmark import Benchmark, EvaluationData, Figure, Prediction, Scores, first
from dynrefer.evaluation.captions import keep_caption
from dynrefer.evaluation.meteor import Meteor, plain_scores
from dynrefer.files.coco import annotation_box
from dynrefer.files.text import read_json
from dynrefer.results import RegionResult

IOU_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
METEOR_THRESHOLDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
MERGE_IOU = 0.7
OWN_PROPOSALS = "proposals.json"  # file that the runner writes, of the model itself

Asked = tuple[Sample, float | None]
"""A box to describe, and the detector's score, None where the caption's own counts."""
PairScorer = Callable[[Sequence[str], Sequence[Sequence[str]]], list[float]]


@dataclass(frozen=True)
class CaptionedBox:
    """A box x1, y1, x2, y2 in pixels and its words; `score` orders predictions and means nothing for true boxes."""

    box: tuple[float, float, float, float]
    caption: str
    score: float = 1.0


@dataclass(frozen=True)
class DenseCaptions(Benchmark):
    """Mean average precision over IoU and METEOR thresholds; a detector's box keeps the detector's score.

    `samples` have captions by people; `detections` go by photograph, each as `Sample.photo_id` names it.
    """

    meteor: Meteor
    detections: Mapping[str, list[Asked]] | None = None
    boxes: str = "true boxes"
    name = "dense-captions"
    of_captions = True

    @classmethod
    def load(
        cls, data: EvaluationData, meteor: Meteor, limit: int | None = None, boxes: Path | None = None
    ) -> "DenseCaptions":
        """The photographs with captions that people wrote about boxes.

        Args:
            data: the data set; a detector's boxes that cannot be used are added to what it left out.
            meteor: judges the words.
            limit: how many photographs.
            boxes: a detector's results in COCO's format ([{"image_id", "bbox", "score"}, ..]); None: the true boxes.

        Raises InputError: there are no such captions, or the box file does not fit.
        """
        told = first([sample for sample in data.samples if _by_people(sample)], None, "boxes with captions by people")
        photographs = set(list(dict.fromkeys(sample.photo_id for sample in told))[:limit])
        chosen = [sample for sample in told if sample.photo_id in photographs]
        detections = None if boxes is None else _read_detections(boxes, data, photographs)
        named: dict[str | None, str] = {None: "true boxes", OWN_PROPOSALS: "own proposals"}
        return cls(data, chosen, meteor, detections, named.get(boxes.name if boxes else None, "detected boxes"))

    @cached_property
    def truths(self) -> dict[str, list[Sample]]:
        """The true boxes of each photograph; boxes that are given twice are one, with the texts of both."""
        found: dict[str, dict[str, Sample]] = defaultdict(dict)
        for sample in self.samples:
            known = found[sample.photo_id].get(sample.key)
            both = sample if known is None else replace(known, texts=known.texts + sample.texts)
            found[sample.photo_id][sample.key] = both
        return {photo: list(boxes.values()) for photo, boxes in found.items()}

    @cached_property
    def asked(self) -> dict[str, list[Asked]]:
        """The boxes to describe on each photograph."""
        if self.detections is not None:
            return {photo: self.detections.get(photo, []) for photo in self.truths}
        return {photo: [(sample, None) for sample in truth] for photo, truth in self.truths.items()}

    @property
    def regions(self) -> list[Sample]:
        """What to ask about."""
        return [region for asked in self.asked.values() for region, _ in asked]

    @property
    def truth(self) -> Any:
        """Boxes and captions of each photograph, and the detector's scores."""
        people = [[(sample.box, _by_people(sample)) for sample in truth] for truth in self.truths.values()]
        return [people, [[score for _, score in asked] for asked in self.asked.values()]]

    def only(self, keys: frozenset[str]) -> Self:
        """Without true boxes of other keys; with a detector, without the photographs whose boxes all have others."""
        if self.detections is None:
            return super().only(keys)
        left = {photo: [one for one in found if one[0].key in keys] for photo, found in self.detections.items()}
        lost = {photo for photo, found in self.detections.items() if found and not left[photo]}
        return replace(self, samples=[s for s in self.samples if s.photo_id not in lost], detections=left)

    def keep(self, result: RegionResult) -> Prediction:
        """The caption and its score."""
        return keep_caption(result)

    def score(self, predictions: Mapping[str, Prediction]) -> Scores:
        """The mean over all thresholds, and each average precision behind it."""
        images = []
        for photo, truth in self.truths.items():
            answers = [(region, score, predictions[region.key]) for region, score in self.asked[photo]]
            described = [
                CaptionedBox(region.box, answer["caption"], answer["score"] if score is None else score)
                for region, score, answer in answers
            ]
            images.append((described, [CaptionedBox(s.box, text) for s in truth for text in _by_people(s)]))
        precisions = dense_caption_ap(images, lambda found, texts: plain_scores(found, texts, self.meteor))
        detector = self.detections is not None
        protocol = f"{self.data.title}, {self.boxes}"
        mean = 100 * float(np.mean(list(precisions.values())))
        details = {f"IoU {iou:g}, METEOR {meteor:g}": 100 * ap for (iou, meteor), ap in precisions.items()}
        figure = Figure(protocol, "mAP", mean, len(images), "photographs", detector)
        return Scores([figure], {"AP by thresholds": details, "boxes described": len(self.regions)})


def _by_people(sample: Sample) -> tuple[str, ...]:
    return tuple(text.text for text in sample.texts if text.source == "human")


@dataclass(frozen=True)
class _Match:
    score: float
    iou: float
    caption: str
    references: tuple[str, ...]
    first: bool


def dense_caption_ap(
    images: Sequence[tuple[Sequence[CaptionedBox], Sequence[CaptionedBox]]], score_pairs: PairScorer
) -> dict[tuple[float, float], float]:
    """Average precision (0 .. 1) at each pair of IoU and METEOR thresholds; its mean is dense captioning's mAP.

    True boxes that overlap by 0.7 or more are one box with several references. Predictions are taken by falling score;
    each claims the true box it overlaps most, and only the first to claim it can be right. A prediction is right where
    its IoU reaches the one threshold and its METEOR exceeds the other. Equal scores enter the curve together, and in a
    photograph the better overlap claims first, so that the order of equal scores changes nothing.

    Args:
        images: predictions and true boxes of each photograph.
        score_pairs: captions and their references -> METEOR of each.
    """
    matches = []
    truths = 0
    for predictions, truth in images:
        boxes, references = merge_truth(truth)
        truths += len(boxes)
        matches += _match(predictions, boxes, references)
    matches.sort(key=lambda match: -match.score)
    scores = np.array([match.score for match in matches])
    ious = np.array([match.iou if match.first else 0.0 for match in matches])
    meteors = np.full(len(matches), -1.0)
    candidates = np.flatnonzero(ious >= min(IOU_THRESHOLDS))
    meteors[candidates] = score_pairs(
        [matches[i].caption for i in candidates], [matches[i].references for i in candidates]
    )
    return {
        (iou, meteor): metrics.interpolated_ap((ious >= iou) & (meteors > meteor), scores, truths)
        for iou in IOU_THRESHOLDS
        for meteor in METEOR_THRESHOLDS
    }


def merge_truth(truth: Sequence[CaptionedBox]) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """True boxes that mean the same object made one: their mean box [M, 4], and the captions of each.

    The box with most others around it (IoU of 0.7 or more) takes them all, then the next among what is left.
    """
    boxes = np.array([item.box for item in truth], dtype=np.float64).reshape(-1, 4)
    near = overlaps(boxes, boxes) >= MERGE_IOU
    merged, references = [], []
    while near.any():
        group = np.flatnonzero(near[near.sum(axis=1).argmax()])
        merged.append(boxes[group].mean(axis=0))
        references.append(tuple(truth[i].caption for i in group.tolist()))
        near[group] = False
        near[:, group] = False
    return np.stack(merged) if merged else boxes, references


def _match(
    predictions: Sequence[CaptionedBox], boxes: np.ndarray, references: Sequence[tuple[str, ...]]
) -> list[_Match]:
    if not len(boxes):
        return [_Match(item.score, 0.0, item.caption, (), False) for item in predictions]
    found = np.array([item.box for item in predictions], dtype=np.float64).reshape(-1, 4)
    best = [(float(row.max()), int(row.argmax())) for row in overlaps(found, boxes)]
    ranked = sorted(
        zip(predictions, best, strict=True), key=lambda pair: (-pair[0].score, -pair[1][0], pair[0].caption)
    )
    claimed: set[int] = set()
    matches = []
    for item, (iou, target) in ranked:
        first = iou > 0 and target not in claimed
        claimed |= {target} if iou > 0 else set()
        matches.append(_Match(item.score, iou, item.caption, references[target], first))
    return matches


def _read_detections(file: Path, data: EvaluationData, wanted: set[str]) -> dict[str, list[Asked]]:
    """The detector's boxes and scores on the photographs wanted; what cannot be used is left out by name."""
    entries = read_json(file)
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and {"image_id", "bbox", "score"} <= entry.keys() for entry in entries
    ):
        raise InputError(f'{file} is not a COCO result file: it must be a list of {{"image_id", "bbox", "score"}}.')
    photographs = {sample.image_id: sample for sample in data.samples}
    found: dict[str, dict[str, tuple[Sample, float]]] = defaultdict(dict)
    for number, entry in enumerate(entries, start=1):
        what = f"box {number} of {file.name}"
        sample = photographs.get(str(entry["image_id"]))
        try:
            if sample is None:
                raise InputError(f"the data set has no photograph with the image id {entry['image_id']}")
            region, score = _detection(entry, sample, what)
        except InputError as error:
            data.left_out.append(LeftOut(sample.photo_id if sample else "", what, reason(error)))
            continue
        if sample.photo_id in wanted:
            known = found[sample.photo_id].setdefault(region.key, (region, score))
            found[sample.photo_id][region.key] = known[0], max(known[1], score)
    if not found:
        why = f"; the first reason: {data.left_out[-1]}" if data.left_out else ""
        raise InputError(f"No box of {file} can be used{why}.")
    return {photo: list(boxes.values()) for photo, boxes in found.items()}


def _detection(entry: Mapping[str, Any], sample: Sample, what: str) -> tuple[Sample, float]:
    """A detector's box on the photograph of `sample`, and its score."""
    score = entry["score"]
    if isinstance(score, bool) or not isinstance(score, int | float) or not np.isfinite(score):
        raise InputError(f"the score of a detector must be a finite number, not {score!r}")
    size = sample.image_size
    if size is None:
        raise InputError("the data set does not say the size of the photograph")
    box = clip(annotation_box(entry), size)
    if box is None:
        raise InputError("its bbox has no area inside the photograph")
    return replace(sample, box=box, texts=(), sample_id=what), float(score)
