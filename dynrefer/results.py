"""What DynRefer says about a region, and that as JSON, CSV and COCO annotations."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import TypeAdapter, ValidationError

from dynrefer.boxes import Box, area, xyxy_to_xywh
from dynrefer.errors import InputError
from dynrefer.selection import ViewChoice, taken

By = Literal["model", "person"]
"""Who said something; what a person said has the score 1."""

CSV_COLUMNS = (
    *("image", "x1", "y1", "x2", "y2", "caption", "caption_score", "class", "class_score", "none_of_these", "sure"),
    *("tags", "model"),
)
# A cell that begins like this is run as a formula by spreadsheet programs.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence about a region, with the model's probability of it in [0, 1]."""

    text: str
    score: float
    by: By = "model"


@dataclass(frozen=True, slots=True)
class Scored:
    """A tag or class name with the probability that it is true of the region, by itself, in [0, 1]."""

    name: str
    score: float
    by: By = "model"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute such as "red" of the type "color", with its score in [0, 1].

    A name alone says too little: "light" is a color, a hair color and a tone; `key` tells them apart.
    """

    name: str
    type: str
    score: float
    by: By = "model"

    @property
    def key(self) -> tuple[str, str]:
        """(type, name), which no other attribute has."""
        return self.type, self.name


@dataclass(frozen=True, slots=True)
class RegionResult:
    """All that was found out about one region."""

    box: Box
    """x1, y1, x2, y2 in pixels of the upright original image."""
    caption: Caption | None
    """None where no caption was asked for."""
    classes: tuple[Scored, ...]
    """The likeliest of the class list, best first; each score stands by itself, so they do not sum up to 1."""
    tags: tuple[Scored, ...]
    """The tags at or above the threshold, best first."""
    attributes: tuple[Attribute, ...]
    """The whole attribute vocabulary, best first."""
    views: tuple[ViewChoice, ...]
    """The candidate views, t = 0 first, those with a rank taken."""
    timing_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by step."""
    model: str = ""
    """Name of the checkpoint."""
    none_of_these: float | None = None
    """Probability that no name of the class list fits."""
    sure: bool = True
    """Whether the model has a name for the region that is as probable as the checkpoint wants it."""
    prompt: Mapping[str, Any] | None = None
    """What the region was pointed at with, where that was no box."""
    notes: tuple[str, ...] = ()
    """What the asker should know about the question, in sentences."""

    @property
    def taken(self) -> list[ViewChoice]:
        """The views that were looked through, in the order of choice."""
        return taken(self.views)

    @property
    def attribute_scores(self) -> dict[tuple[str, str], float]:
        """Score by (type, name)."""
        return {attribute.key: attribute.score for attribute in self.attributes}

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, strings, lists and dicts: the JSON of the command line, the HTTP API and the exports.

        Pixels are rounded to thousandths, scores and gains to four digits, times to tenths of a millisecond. What a
        person said carries "by": "person"; all else is the model's.
        """
        return {
            "box": _pixels(self.box),
            "prompt": None if self.prompt is None else dict(self.prompt),
            "caption": self.caption and {"text": self.caption.text, **_scored(self.caption)},
            "classes": [{"name": item.name, **_scored(item)} for item in self.classes],
            "none_of_these": None if self.none_of_these is None else _digits(self.none_of_these),
            "sure": self.sure,
            "tags": [{"name": item.name, **_scored(item)} for item in self.tags],
            "attributes": [{"name": item.name, "type": item.type, **_scored(item)} for item in self.attributes],
            "views": [
                {
                    "t": round(float(view.t), 6),
                    "box": _pixels(view.box),
                    "gain": None if view.gain is None else _digits(view.gain),
                    "rank": view.rank,
                }
                for view in self.views
            ],
            "notes": list(self.notes),
            "timing_ms": {step: round(float(time), 1) for step, time in self.timing_ms.items()},
            "model": self.model,
        }

    @classmethod
    def from_dict(cls, record: object) -> Self:
        """What `to_dict` gave, read back; more entries may be there. Raises InputError where it is something else."""
        try:
            return TypeAdapter(cls).validate_python(record)
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            raise InputError(f"this is no answer about a region: {place or 'it'} is missing or wrong") from error


def to_json(results: Iterable[RegionResult], images: str | Sequence[str] | None = None) -> str:
    """A JSON list of the results; with `images` (one name for all, or one a result) each says its "image" first."""
    entries = [result.to_dict() for result in results]
    if images is not None:
        entries = [{"image": name, **entry} for name, entry in zip(_names(images, len(entries)), entries, strict=True)]
    return json.dumps(entries, indent=2, ensure_ascii=False, allow_nan=False)


def to_csv(results: Iterable[RegionResult], images: str | Sequence[str] = "") -> str:
    """One row a result under the header CSV_COLUMNS, safe to open in a spreadsheet.

    A text that a spreadsheet would run as a formula is preceded by an apostrophe. Save it as "utf-8-sig", by which
    spreadsheet programs recognise the encoding.
    """
    results = list(results)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for name, result in zip(_names(images, len(results)), results, strict=True):
        entry = result.to_dict()
        caption = entry["caption"] or {"text": "", "score": ""}
        best = entry["classes"][0] if entry["classes"] else {"name": "", "score": ""}
        tags = " | ".join(tag["name"] for tag in entry["tags"])
        named = [best["name"], best["score"], entry["none_of_these"], entry["sure"]]
        row = [name, *entry["box"], caption["text"], caption["score"], *named, tags, result.model]
        writer.writerow([_plain_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def to_coco(results: Iterable[RegionResult], image: str, image_size: tuple[int, int], image_id: int = 1) -> str:
    """The results on one photograph as a COCO data set in JSON: images, categories, annotations.

    `image` is its file name, `image_size` (width, height). The annotations (bbox = x, y, width, height) also carry the
    caption, tags and score; they are themselves a list in COCO's results format.
    """
    results = list(results)
    names = [result.classes[0].name if result.classes else "region" for result in results]
    categories = {name: number for number, name in enumerate(sorted(set(names)), start=1)}
    annotations = []
    for number, (name, result) in enumerate(zip(names, results, strict=True), start=1):
        annotation = {
            "id": number,
            "image_id": image_id,
            "category_id": categories[name],
            "bbox": _pixels(xyxy_to_xywh(result.box)),
            "area": round(area(result.box), 3),
            "iscrowd": 0,
            "segmentation": [],
            "score": _digits(result.classes[0].score) if result.classes else 1.0,
            "caption": result.caption.text if result.caption else "",
            "tags": [tag.name for tag in result.tags],
        }
        annotations.append(annotation)
    data_set = {
        "images": [{"id": image_id, "file_name": image, "width": image_size[0], "height": image_size[1]}],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": annotations,
    }
    return json.dumps(data_set, indent=2, ensure_ascii=False, allow_nan=False)


def _plain_cell(text: str) -> str:
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def _names(images: str | Sequence[str], count: int) -> Sequence[str]:
    return [images] * count if isinstance(images, str) else images


def _scored(item: Caption | Scored | Attribute) -> dict[str, Any]:
    score = {"score": _digits(item.score)}
    return score if item.by == "model" else score | {"by": item.by}


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _pixels(box: Sequence[float]) -> list[float]:
    return [round(float(value), 3) for value in box]
