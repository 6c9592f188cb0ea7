"""What DynRefer says about a region, and what a person says in its place."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, Self, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from dynrefer.boxes import Box
from dynrefer.errors import InputError, shown
from dynrefer.selection import ViewChoice, taken

By = Literal["model", "person"]
"""Who said something; what a person said has the score 1."""
LONGEST = 300  # characters of a caption or name that a person writes
MOST_WORDS = 200  # tags or attributes that a person says of a region


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

    A name alone says too little: "light" is a color, a hair color and a tone; `key` tells them apart, "color:light".
    """

    name: str
    type: str
    score: float
    by: By = "model"

    @property
    def key(self) -> str:
        """Type and name, which no other attribute has; what a person's words call it by."""
        return f"{self.type}:{self.name}"


@dataclass(frozen=True, slots=True)
class RegionResult:
    """All that was found out about one region."""

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)

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
    mask: Mapping[str, Any] | None = None
    """The region's mask, given or made by a segmenter, in COCO's run-length encoding."""
    notes: tuple[str, ...] = ()
    """What the asker should know about the question, in sentences."""

    @property
    def taken(self) -> list[ViewChoice]:
        """The views that were looked through, in the order of choice."""
        return taken(self.views)

    def thinned(self, tag_threshold: float) -> Self:
        """The same with only the tags at or above a score."""
        return replace(self, tags=tuple(tag for tag in self.tags if tag.score >= tag_threshold))

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, strings, lists and dicts: the JSON of the command line, the HTTP API and the exports.

        Pixels are rounded to thousandths, scores and gains to four digits, times to tenths of a millisecond. What a
        person said carries "by": "person"; all else is the model's.
        """
        return {
            "box": _pixels(self.box),
            "prompt": None if self.prompt is None else dict(self.prompt),
            "mask": None if self.mask is None else dict(self.mask),
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
            answer: Self = _adapter(cast(Hashable, cls)).validate_python(record)
            return answer
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            raise InputError(f"this is no answer about a region: {place or 'it'} is missing or wrong") from error


@dataclass(frozen=True, slots=True)
class Words:
    """What a person said of a region, in the place of the model's answer; None and missing: nothing.

    `tags` by name and `attributes` by "type:name" are True where they said that it is so, False where it is not.
    """

    caption: str | None = None
    name: str | None = None
    tags: Mapping[str, bool] = field(default_factory=dict)
    attributes: Mapping[str, bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.caption is not None or self.name is not None or self.tags or self.attributes)

    def over(self, answer: RegionResult) -> RegionResult:
        """The model's `answer` with these words before it, each with `by`."""
        if not self:
            return answer
        changes: dict[str, Any] = {}
        if self.caption is not None:
            changes["caption"] = Caption(self.caption, 1.0, "person")
        if self.name is not None:
            others = [entry for entry in answer.classes if entry.name != self.name]
            changes |= {"classes": (Scored(self.name, 1.0, "person"), *others), "none_of_these": None, "sure": True}
        if self.tags:
            said = [Scored(tag, 1.0, "person") for tag, is_so in self.tags.items() if is_so]
            changes["tags"] = (*said, *(tag for tag in answer.tags if tag.name not in self.tags))
        if self.attributes:
            keys = [key.partition(":") for key, is_so in self.attributes.items() if is_so]
            named = [Attribute(name, kind, 1.0, "person") for kind, _, name in keys]
            rest = [entry for entry in answer.attributes if entry.key not in self.attributes]
            changes["attributes"] = (*named, *rest)
        return replace(answer, **changes)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without what is empty."""
        values = {"caption": self.caption, "name": self.name, "tags": self.tags, "attributes": self.attributes}
        return {key: value for key, value in values.items() if value not in (None, {})}

    @classmethod
    def from_dict(cls, record: Any) -> Self:
        """What `to_dict` gave, checked. Raises InputError."""
        if not isinstance(record, Mapping):
            raise InputError("a region's words must be an object")
        caption, name = (
            None if record.get(key) is None else clean_words(record[key], key) for key in ("caption", "name")
        )
        tags, attributes = (_said(record.get(key, {}), key) for key in ("tags", "attributes"))
        return cls(caption, name, tags, attributes)


def clean_words(value: object, what: str = "text") -> str:
    """A text that a person wrote, in one line. Raises InputError where it is empty or too long."""
    text = " ".join(str(value).split()) if isinstance(value, str) else ""
    if not text or len(text) > LONGEST:
        raise InputError(f'a {what} must be a text of 1 to {LONGEST} characters, not "{shown(value)}"')
    return text


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _scored(item: Caption | Scored | Attribute) -> dict[str, Any]:
    score = {"score": _digits(item.score)}
    return score if item.by == "model" else score | {"by": item.by}


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _pixels(box: Sequence[float]) -> list[float]:
    return [round(float(value), 3) for value in box]


def _said(value: Any, what: str) -> dict[str, bool]:
    if not isinstance(value, Mapping) or len(value) > MOST_WORDS:
        raise InputError(f"a person's {what} must be an object of at most {MOST_WORDS} names")
    return {clean_words(name, "tag"): bool(is_so) for name, is_so in value.items()}
