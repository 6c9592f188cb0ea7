"""Region recognition: which class of a list is in the box (the paper: COCO's validation boxes, 80 classes)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recipes.mini.classes import CLASS_NAMES
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.evaluation import ranking
from dynrefer.evaluation.benchmark import Figure, Region, Scores, first, region_of, rounded
from dynrefer.evaluation.samples import EvaluationData
from dynrefer.evaluation.store import Prediction
from dynrefer.results import RegionResult

LARGE_SHARE = 0.005


@dataclass(frozen=True)
class Recognition:
    """Accuracy and mean average precision over the classes of a list."""

    data: EvaluationData
    samples: Sequence[Sample]
    classes: tuple[str, ...]
    left_out: int = 0
    name = "recognition"
    needs_java = False

    @classmethod
    def load(
        cls, data: EvaluationData, limit: int | None = None, classes: Sequence[str] | None = None
    ) -> "Recognition":
        """The boxes whose class is in the list: the given one, COCO's 80, or else the data set's own classes.

        Raises:
            InputError: the data set has no such box.
        """
        named = [sample for sample in data.samples if sample.class_name is not None]
        own = {sample.class_name or "" for sample in named}
        names = tuple(dict.fromkeys(classes or (CLASS_NAMES if own <= set(CLASS_NAMES) else sorted(own))))
        known = [sample for sample in named if sample.class_name in names]
        chosen = first(known, limit, f"boxes of the {len(names)} classes asked for")
        return cls(data, chosen, names, len(named) - len(known))

    @property
    def regions(self) -> list[Region]:
        """What to ask about."""
        return [region_of(sample) for sample in self.samples]

    @property
    def question(self) -> dict[str, Any]:
        """All classes of the list, no caption."""
        return {"captions": False, "classes": list(self.classes), "top_classes": None}

    @cached_property
    def labels(self) -> np.ndarray:
        """Class index of each region, [N]."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return np.array([numbers[sample.class_name or ""] for sample in self.samples])

    @property
    def truth(self) -> Any:
        """The class list and the class of each region."""
        return [self.classes, self.labels.tolist()]

    def keep(self, result: RegionResult) -> Prediction:
        """The score of each class, in the order of the list."""
        scores = {item.name: item.score for item in result.classes}
        return {"classes": rounded(scores[name] for name in self.classes)}

    def score(self, predictions: Mapping[str, Prediction]) -> Scores:
        """Accuracy over boxes and over classes, mAP of the full score table, and COCO's mAP of the best class.

        Beside all boxes those that cover more than half a per cent of their photograph are scored alone.
        """
        scores = np.array([predictions[region.key]["classes"] for region in self.regions])
        protocol = f"{self.data.title}, true boxes, {len(self.classes)} classes"
        figures = self._figures(protocol, scores, np.full(len(scores), True))
        large = np.array([_share(sample) > LARGE_SHARE for sample in self.samples])
        if large.any():
            figures += self._figures(f"{protocol}, above {LARGE_SHARE:.1%} of the photograph", scores, large)
        precisions = zip(self.classes, ranking.class_precisions(self.labels, scores).tolist(), strict=True)
        by_class = {name: 100 * ap for name, ap in precisions if ap == ap}
        return Scores(figures, {"AP by class": by_class, "boxes of other classes, left out": self.left_out})

    def _figures(self, protocol: str, scores: np.ndarray, chosen: np.ndarray) -> list[Figure]:
        samples = [sample for sample, is_chosen in zip(self.samples, chosen, strict=True) if is_chosen]
        truth, scores = self.labels[chosen], scores[chosen]
        boxes = np.array([sample.box for sample in samples])
        accuracy, class_mean = ranking.class_accuracy(truth, scores)
        values = {
            "accuracy": accuracy,
            "accuracy, mean over classes": class_mean,
            "mAP": float(np.nanmean(ranking.class_precisions(truth, scores))),
            "mAP, COCO's, best class only": ranking.box_oracle_map(truth, scores, boxes, [s.image_id for s in samples]),
        }
        return [Figure(protocol, metric, 100 * value, len(samples)) for metric, value in values.items()]


def _share(sample: Sample) -> float:
    """The share of the photograph that a box covers, 0 where the photograph's size is not known."""
    x1, y1, x2, y2 = sample.box
    width, height = sample.image_size or (np.inf, np.inf)
    return (x2 - x1) * (y2 - y1) / (width * height)


def read_classes(text: str) -> list[str]:
    """Class names from the words after `--classes`: a file with one a line, or names between commas.

    Raises:
        InputError: there is no name.
    """
    file = Path(text)
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else text.split(",")
    names = [name.strip() for name in lines if name.strip()]
    if not names:
        raise InputError("--classes names no class: give 'dog,cat' or a text file with one name a line.")
    return names
