"""What every benchmark is made of: regions to ask about, one question, what is kept of an answer, and figures."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.evaluation.samples import EvaluationData
from dynrefer.evaluation.store import Prediction
from dynrefer.results import RegionResult


@dataclass(frozen=True)
class Region:
    """A box x1, y1, x2, y2 (pixels) on a photograph; `key` names both, the same on every machine."""

    image: Path
    box: tuple[float, float, float, float]

    @property
    def key(self) -> str:
        """The photograph's file name and the box to a hundredth of a pixel."""
        return f"{self.image.name} {' '.join(f'{value:.2f}' for value in self.box)}"


@dataclass(frozen=True)
class Figure:
    """One number as papers give it (per cent; CIDEr times 100) and what it was measured on.

    `detector` marks figures on a detector's boxes, which are never shown in one column with those on true boxes.
    """

    protocol: str
    metric: str
    value: float
    count: int
    unit: str = "regions"
    detector: bool = False


@dataclass(frozen=True)
class Scores:
    """The figures of a run and whatever stands behind them (per class, per threshold ..)."""

    figures: list[Figure]
    details: dict[str, Any] = field(default_factory=dict)


class Benchmark(Protocol):
    """A benchmark on loaded data.

    `question` goes to `Predictor.refer_many` beside the views; `truth` is all that scoring compares with, JSON-ready.
    """

    name: str
    needs_java: bool

    @property
    def data(self) -> EvaluationData:
        """The data set."""

    @property
    def regions(self) -> Sequence[Region]:
        """What to ask about."""

    @property
    def question(self) -> dict[str, Any]:
        """Options of the question."""

    @property
    def truth(self) -> Any:
        """What scoring compares with."""

    def keep(self, result: RegionResult) -> Prediction:
        """What is stored of an answer."""

    def score(self, predictions: Mapping[str, Prediction]) -> Scores:
        """Figures from the stored answers by region key."""


def region_of(sample: Sample) -> Region:
    """Where a sample lies."""
    return Region(sample.image, sample.box)


def first(samples: Sequence[Sample], limit: int | None, what: str) -> list[Sample]:
    """The first `limit` samples; InputError where there are none of what the benchmark is about."""
    if not samples:
        raise InputError(f"The data set is empty for this benchmark: it has no {what}.")
    return list(samples[:limit])


def data_hash(benchmark: Benchmark) -> str:
    """Digest of the regions asked about and of the truth."""
    content = [[region.key for region in benchmark.regions], benchmark.truth]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def rounded(scores: Iterable[float]) -> list[float]:
    """Scores to six significant digits, which is how they are stored."""
    return [float(f"{score:.6g}") for score in scores]
