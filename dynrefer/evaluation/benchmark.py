"""What every benchmark is made of: its data, regions to ask about, one question, what is kept of an answer, figures."""

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from dynrefer.datasets.build import READERS
from dynrefer.datasets.records import Problems
from dynrefer.datasets.sample import Sample, read_samples
from dynrefer.errors import InputError, LeftOut
from dynrefer.files.text import read_json, read_text
from dynrefer.results import RegionResult

logger = logging.getLogger(__name__)

Prediction = dict[str, Any]
"""What is kept of an answer."""

_MARKERS = {
    "coco": ("annotations/instances*.json",),
    "refcocog": ("refs*",),
    "vg-coco": ("vgcoco_splits.json",),
    "vg": ("region_descriptions.json",),
    "flickr-entities": ("Annotations/*.xml",),
    "flickr-regions": ("annotations/regions.json",),
    "own": ("train.json", "val.json", "test.json"),
}
_OFFICIAL = {"refcocog": "RefCOCOg", "vg-coco": "VG-COCO", "flickr-entities": "Flickr30k Entities"}


@dataclass(frozen=True)
class Figure:
    """One number as papers give it (per cent; CIDEr times 100) and what it was measured on.

    `spread` is the standard deviation over repeated runs. `detector` marks figures on a detector's boxes, which are
    never shown in one column with those on true boxes.
    """

    protocol: str
    metric: str
    value: float
    count: int
    unit: str = "regions"
    detector: bool = False
    spread: float | None = None


@dataclass(frozen=True)
class Scores:
    """The figures of a run, whatever stands behind them (per class, per threshold ..), and plots by file name."""

    figures: list[Figure]
    details: dict[str, Any] = field(default_factory=dict)
    plots: dict[str, Callable[[], bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationData:
    """The samples of one split, `title` as reports call it, the folder they came from, and what was left out."""

    title: str
    folder: Path
    samples: Sequence[Sample]
    left_out: list[LeftOut] = field(default_factory=list)

    def attribute_entries(self) -> list[Mapping[str, Any]]:
        """OVAD's list of attributes (`name`, `is_has_att`, `freq_set`), by id, from its annotation file.

        Raises InputError: there is no such file beside the data.
        """
        folders = [self.folder, *{sample.image.parent.parent for sample in self.samples[:1]}]
        files = [file for folder in folders for file in sorted((folder / "annotations").glob("ovad*.json"))]
        if not files:
            raise InputError(f"{self.folder / 'annotations'} has no OVAD file: put ovad2000.json there.")
        return sorted(read_json(files[0], "attributes")["attributes"], key=lambda entry: entry["id"])


@dataclass(frozen=True)
class Benchmark(ABC):
    """What every benchmark on `samples` has, and what each defines.

    `question` goes to `Predictor.refer_many` beside the views; `truth` is all that scoring compares with, JSON-ready.
    """

    data: EvaluationData
    samples: Sequence[Sample]
    name: ClassVar[str]
    of_captions: ClassVar[bool] = False
    """Whether captions are asked for, which METEOR and so Java scores."""

    @property
    def regions(self) -> Sequence[Sample]:
        """What to ask about."""
        return self.samples

    @property
    def question(self) -> dict[str, Any]:
        """Options of the question."""
        return {"captions": self.of_captions}

    @property
    @abstractmethod
    def truth(self) -> Any:
        """What scoring compares with."""

    def only(self, keys: frozenset[str]) -> Self:
        """The same benchmark over the regions of these keys alone, as if the data set had no others."""
        return replace(self, samples=[sample for sample in self.samples if sample.key in keys])

    @abstractmethod
    def keep(self, result: RegionResult) -> Prediction:
        """What is stored of an answer."""

    @abstractmethod
    def score(self, predictions: Mapping[str, Prediction]) -> Scores:
        """Figures from the stored answers by region key."""


def once_each(samples: Iterable[Sample]) -> list[Sample]:
    """The samples without those of a box that was there before."""
    found: dict[str, Sample] = {}
    for sample in samples:
        found.setdefault(sample.key, sample)
    return list(found.values())


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


class _Noted(Problems):
    """Names every record that a reader skips; an evaluation goes on with the others, however many they are."""

    def check(self, total: int) -> None:
        """Says nothing: the report counts what was left out, and the exit code tells."""


def load_data(folder: Path, split: str | None = None) -> EvaluationData:
    """The samples of a split (by default the one that the paper evaluates on) whose photographs are there.

    Raises InputError: the folder is missing, of no known format, or empty in this split.
    """
    if not folder.is_dir():
        raise InputError(f"There is no data folder {folder}: give --data the folder of the data set.")
    problems = _Noted()
    if (folder / "samples.jsonl").exists():
        stats = folder / "stats.json"
        dataset = str(read_json(stats).get("dataset", "")) if stats.exists() else ""
        samples = read_samples(folder / "samples.jsonl")
    else:
        dataset = _recognise(folder)
        samples = list(READERS[dataset](folder, problems))
    for reason, count in problems.noted.items():
        logger.warning("mended %d: %s, for example %s", count, reason, problems.examples[reason][0])
    split = split or ("test" if dataset.startswith("vg") else "val")
    chosen = [sample for sample in samples if sample.split == split]
    if not chosen:
        found = ", ".join(sorted({sample.split for sample in samples}))
        why = f" (left out: {problems.left_out[0]})" if problems.left_out else ""
        if not found:
            raise InputError(f"The data set in {folder} has no sample that can be used{why}.")
        raise InputError(f"The data set in {folder} has no '{split}' part, only {found}: choose with --split{why}.")
    return EvaluationData(_title(dataset, folder, split), folder, chosen, problems.left_out)


def _recognise(folder: Path) -> str:
    for dataset, markers in _MARKERS.items():
        if any(list(folder.glob(marker)) for marker in markers):
            return dataset
    raise InputError(
        f"{folder} is no data set that is known here: it holds neither COCO's, Visual Genome's, RefCOCOg's or "
        "Flickr30k Entities' files, nor a val.json or samples.jsonl of your own."
    )


def _title(dataset: str, folder: Path, split: str) -> str:
    """The data set's own name where its official files are there, else the folder's."""
    name = folder.resolve().name
    if (folder / "annotations" / f"instances_{split}2017.json").exists():
        return f"COCO {split}2017"
    if (folder / "samples.jsonl").exists() or dataset not in ("vg", *_OFFICIAL):
        return f"{name} {split}"
    if dataset == "vg":
        start = read_text(folder / "image_data.json")[:1000]
        return f"Visual Genome v{'1.2' if 'image_id' in start else '1.0'} {split}"
    return f"{_OFFICIAL[dataset]} {split}"
