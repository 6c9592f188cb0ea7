"""Region recognition: which class of a list is in the box (the paper: COCO's validation boxes, 80 classes)."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dynrefer.datasets.coco import CLASS_NAMES
from dynrefer.evaluation import metrics
from dynrefer.evaluation.benchmark import Benchmark, EvaluationData, Figure, Prediction, Scores, first, rounded
from dynrefer.results import RegionResult

LARGE_SHARE = 0.005


@dataclass(frozen=True)
class Recognition(Benchmark):
    """Accuracy and mean average precision over the classes of a list, and how far the scores can be believed."""

    classes: tuple[str, ...]
    left_out: int = 0
    name = "recognition"

    @classmethod
    def load(
        cls, data: EvaluationData, limit: int | None = None, classes: Sequence[str] | None = None
    ) -> "Recognition":
        """The boxes whose class is in the list: the given one, COCO's 80, or else the data set's own classes.

        Raises InputError: the data set has no such box.
        """
        named = [sample for sample in data.samples if sample.class_name is not None]
        own = {sample.class_name or "" for sample in named}
        given = (" ".join(name.split()) for name in classes or ())  # as `Question` writes them
        names = tuple(dict.fromkeys(given)) or (CLASS_NAMES if own <= set(CLASS_NAMES) else tuple(sorted(own)))
        wanted = frozenset(names)
        known = [sample for sample in named if sample.class_name in wanted]
        chosen = first(known, limit, f"boxes of the {len(names)} classes asked for")
        return cls(data, chosen, names, len(named) - len(known))

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
        """The score of each class in the order of the list, whether the answer is sure, and the tags shown."""
        scores = {item.name: item.score for item in result.classes}
        return {
            "classes": rounded(scores[name] for name in self.classes),
            "sure": result.sure,
            "tags": [tag.name for tag in result.tags],
        }

    def score(self, predictions: Mapping[str, Prediction]) -> Scores:
        """Accuracy over boxes and over classes, mAP of the full score table, COCO's mAP of the best class; calibration.

        Beside all boxes those that cover more than half a per cent of their photograph are scored alone.
        """
        scores = np.array([predictions[region.key]["classes"] for region in self.regions])
        protocol = f"{self.data.title}, true boxes, {len(self.classes)} classes"
        figures = self._figures(protocol, scores, np.full(len(scores), True))
        large = np.array([(sample.covered or 0) > LARGE_SHARE for sample in self.samples])
        if large.any():
            figures += self._figures(f"{protocol}, above {LARGE_SHARE:.1%} of the photograph", scores, large)
        precisions = zip(self.classes, metrics.class_precisions(self.labels, scores).tolist(), strict=True)
        details: dict[str, Any] = {
            "AP by class": {name: 100 * ap for name, ap in precisions if ap == ap},
            "boxes of other classes, left out": self.left_out,
        }
        calibration = self._calibration(protocol, scores, [predictions[region.key]["sure"] for region in self.regions])
        tags, counts = self._tags(protocol, [predictions[region.key]["tags"] for region in self.regions])
        details |= calibration.details | counts
        return Scores([*figures, *calibration.figures, *tags], details, calibration.plots)

    def _figures(self, protocol: str, scores: np.ndarray, chosen: np.ndarray) -> list[Figure]:
        samples = [sample for sample, is_chosen in zip(self.samples, chosen, strict=True) if is_chosen]
        names = [sample.photo_id for sample in samples]
        truth, scores = self.labels[chosen], scores[chosen]
        boxes = np.array([sample.box for sample in samples])
        accuracy, class_mean = metrics.class_accuracy(truth, scores)
        values = {
            "accuracy": accuracy,
            "accuracy, mean over classes": class_mean,
            "mAP": float(np.nanmean(metrics.class_precisions(truth, scores))),
            "mAP, COCO's, best class only": metrics.box_oracle_map(truth, scores, boxes, names),
        }
        return [Figure(protocol, metric, 100 * value, len(samples)) for metric, value in values.items()]

    def _calibration(self, protocol: str, scores: np.ndarray, sure: Sequence[bool]) -> Scores:
        """Whether a score of .8 is right eight times in ten: of each region's best name, and of all its names."""
        best = scores.max(axis=1)
        right = scores.argmax(axis=1) == self.labels
        true = np.arange(len(self.classes)) == self.labels[:, None]
        bins = {
            "best name": metrics.calibration_bins(best, right),
            "all names": metrics.calibration_bins(scores.ravel(), true.ravel()),
        }
        figures = [
            Figure(protocol, f"calibration error, {kind}", 100 * metrics.expected_calibration_error(rows), len(best))
            for kind, rows in bins.items()
        ]
        was_sure = np.array(sure, dtype=bool)
        figures.append(Figure(protocol, "answers called sure", 100 * float(was_sure.mean()), len(best)))
        if was_sure.any():
            figures.append(
                Figure(protocol, "right where sure", 100 * float(right[was_sure].mean()), int(was_sure.sum()))
            )
        details: dict[str, Any] = {f"Calibration, {kind}": rows for kind, rows in bins.items()}
        details["What calling an answer sure from a score on would mean"] = metrics.doubt_table(best, right)
        return Scores(figures, details, {"reliability.png": lambda: _reliability_plot(bins)})

    def _tags(self, protocol: str, shown: Sequence[Sequence[str]]) -> tuple[list[Figure], dict[str, Any]]:
        """Precision of the tags at the model's threshold, among tags of which the data set knows the truth.

        A tag that it uses nowhere, or leaves open for a region, is neither right nor wrong.
        """
        known = {tag for sample in self.data.samples for tag in sample.tags}
        right = wrong = 0
        for sample, tags in zip(self.samples, shown, strict=True):
            told = set(tags) & known - set(sample.ignored_tags)
            right += len(told & set(sample.tags))
            wrong += len(told - set(sample.tags))
        if not right + wrong:
            return [], {}
        figure = Figure(protocol, "tag precision", 100 * right / (right + wrong), right + wrong, "tags")
        return [figure], {"tags shown a region": sum(map(len, shown)) / len(self.samples)}


def _reliability_plot(bins: Mapping[str, Sequence[Mapping[str, float]]]) -> bytes:
    """PNG of the share of right answers over their score."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(4 * len(bins), 4), layout="constrained")
    for axes, (kind, rows) in zip(canvas.subplots(1, len(bins), squeeze=False)[0], bins.items(), strict=True):
        scores, right = [row["score"] for row in rows], [row["right"] for row in rows]
        axes.plot([0, 1], [0, 1], color="0.7", linestyle="--")
        axes.bar(scores, right, width=1 / metrics.CALIBRATION_BINS, alpha=0.3)
        axes.plot(scores, right, marker="o")
        error = 100 * metrics.expected_calibration_error(list(map(dict, rows)))
        axes.set(title=f"{kind}: error {error:.1f} %", xlabel="score", ylabel="share that is right")
        axes.set(xlim=(0, 1), ylim=(0, 1))
    file = io.BytesIO()
    canvas.savefig(file, format="png", dpi=120)
    return file.getvalue()
