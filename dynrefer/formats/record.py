"""A region as files exchange it: where it is, and what is said about it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dynrefer.boxes import Box
from dynrefer.results import RegionResult

LIKELY = 0.5  # attributes that the model holds for less likely than this are in DynRefer's JSON alone
PERSON, MODEL = "person", "model"
UNNAMED = "region"  # the label of a region that has none, where a format wants one
PAIRED_CAPTIONS = frozenset(("caption", "description", "text"))
BETWEEN = "; "


@dataclass(frozen=True)
class Record:
    """A region of a file; its box is x1, y1, x2, y2 in pixels of a photograph of the stated size, or in shares."""

    image: str | int
    """What the file calls the photograph; "" where it names none."""
    box: Box
    size: tuple[Any, Any] | None = None
    """The photograph's (width, height) as the file states it, unchecked."""
    where: str = ""
    """Its place in the file, for errors: "annotation 7"."""
    id: str | int | None = None
    shares: bool = False
    """Whether the box is known to be shares of the photograph, from 0 to 1."""
    segmentation: Any = None
    """The region's outline as COCO writes it, unchecked: polygons [[x1, y1, x2, y2, ...], ...] or a run-length mask."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """Caption, classes, tags, attributes and more as in `RegionResult.to_dict()`; each value may say "by" whom it is,
    "person" or "model". A value without a score is one that its file states as true."""

    @classmethod
    def of(
        cls,
        result: RegionResult,
        image: str | int = "",
        size: tuple[int, int] | None = None,
        id: str | int | None = None,
    ) -> Record:
        """A result on the photograph `image` of `size` (width, height)."""
        answer = result.to_dict()
        box = answer.pop("box")
        return cls(image, tuple(box), size, id=id, segmentation=answer["mask"], said=answer)

    @property
    def caption(self) -> str:
        """The sentence, "" where there is none."""
        return (self.said.get("caption") or {}).get("text", "")

    @property
    def caption_score(self) -> float | None:
        """The model's probability of the sentence, 0 to 1; None where it is stated as true, or there is none."""
        return (self.said.get("caption") or {}).get("score")

    @property
    def label(self) -> str:
        """The name of its class, "" where there is none."""
        return next((item["name"] for item in self.said.get("classes") or ()), "")

    @property
    def named(self) -> str:
        """The name of its class, for formats in which every region has one."""
        return self.label or UNNAMED

    @property
    def score(self) -> float | None:
        """How likely the label is, 0 to 1; None where it is stated as true."""
        return next((item.get("score") for item in self.said.get("classes") or ()), None)

    @property
    def tags(self) -> list[str]:
        """Names of the tags."""
        return [item["name"] for item in self.said.get("tags") or ()]

    @property
    def attributes(self) -> list[tuple[str, str]]:
        """(type, name) of the attributes that are stated, or likely; the type may be ""."""
        items = self.said.get("attributes") or ()
        return [(str(item.get("type") or ""), item["name"]) for item in items if _certainty(item) >= LIKELY]

    @property
    def attribute_words(self) -> list[str]:
        """The attributes as "color: red"."""
        return [f"{kind}: {name}" if kind else name for kind, name in self.attributes]

    @property
    def by(self) -> str:
        """ "person" where a person wrote any of it, "model" where the model wrote all, "" where nobody says."""
        values = [self.said.get("caption") or {}]
        values += [item for key in ("classes", "tags", "attributes") for item in self.said.get(key) or ()]
        sources = {value.get("by") for value in values} | {self.said.get("by")}
        if PERSON in sources:
            return PERSON
        return MODEL if MODEL in sources or self.said.get("model") else ""

    @property
    def corrected(self) -> list[str]:
        """What a person wrote where the model wrote the rest: "caption", "class", "tag dog", "attribute color: red"."""
        return [key for key, item in _values(self.said) if item.get("by") == PERSON] if self.said.get("model") else []

    @property
    def polygons(self) -> list[list[float]]:
        """The outline's polygons; none for a mask."""
        return self.segmentation if isinstance(self.segmentation, list) else []

    @property
    def polygon(self) -> list[float] | None:
        """The outline as one polygon; None where it is none, or several."""
        return self.polygons[0] if len(self.polygons) == 1 and len(self.polygons[0]) >= 6 else None

    @property
    def pixel_size(self) -> tuple[int, int] | None:
        """The stated size as whole numbers; None where it is none."""
        try:
            width, height = (int(float(side)) for side in self.size or ())
        except (TypeError, ValueError, OverflowError):
            return None
        return (width, height) if width > 0 and height > 0 else None


def said(
    caption: object = None,
    label: object = None,
    score: object = None,
    tags: object = None,
    attributes: object = None,
    by: str = "",
    corrected: object = None,
    model: object = None,
) -> dict[str, Any]:
    """What a file says of a region as `Record.said`; what is empty or of no known form is not in it.

    Args:
        label: a name, or a list of names or {"name", "score"}, the likeliest first.
        tags, attributes: a text parted by bars, a list of names or of {"name", "type", "score"}, or {type: name}.
        by: whom all of it is by, "person" or "model".
        corrected: what alone is by a person, as `Record.corrected` tells it, in a list or parted by bars.
        model: the name of the model that wrote the rest.
    """
    found: dict[str, Any] = {}
    source = {"by": by} if by else {}
    given: dict[str, Any] = dict(caption) if isinstance(caption, Mapping) else {"text": caption}
    if isinstance(given.get("text"), str) and given["text"].strip():
        found["caption"] = {**given, "text": given["text"].strip()} | source
    number = _score(score)
    classes = _items([label] if isinstance(label, str) else label)
    if classes and number is not None:
        classes[0] = {"score": number} | classes[0]
    for key, items in (("classes", classes), ("tags", _items(tags)), ("attributes", _items(attributes))):
        if items:
            found[key] = [item | source for item in items]
    persons = {item["name"] for item in _items(corrected)}
    for key, item in _values(found) if persons else ():
        item["by"] = PERSON if key in persons else MODEL
    return found | ({"model": model} if isinstance(model, str) and model else {})


def typed(words: object) -> object:
    """Attributes such as "color: red" with their type apart; anything else as it is."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return words
    return [{"name": name, "type": kind} for kind, _, name in (word.rpartition(": ") for word in words)]


def _values(said: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every value with what `Record.corrected` calls it."""
    values = [("caption", said["caption"])] if said.get("caption") else []
    values += [("class", item) for item in (said.get("classes") or ())[:1]]
    values += [(f"tag {item['name']}", item) for item in said.get("tags") or ()]
    attributes = [(item, f"{item['type']}: " if item.get("type") else "") for item in said.get("attributes") or ()]
    return values + [(f"attribute {kind}{item['name']}", item) for item, kind in attributes]


def as_pairs(record: Record) -> list[tuple[str, str]]:
    """Caption, tags and attributes by type as pairs of a name and a text, for formats that hold nothing else."""
    by_type: dict[str, list[str]] = {}
    for kind, name in record.attributes:
        by_type.setdefault(kind or "attribute", []).append(name)
    pairs = [("caption", record.caption), ("tags", BETWEEN.join(record.tags))]
    return [pair for pair in pairs if pair[1]] + [(kind, BETWEEN.join(names)) for kind, names in by_type.items()]


def from_pairs(label: str | None, pairs: Iterable[tuple[str, str]], by: str = "") -> dict[str, Any]:
    """Pairs of a file as `Record.said`; what is "true" or "false" is an attribute that it has or has not."""
    caption, tags, attributes = "", list[str](), list[dict[str, str]]()
    for name, value in pairs:
        name, value = name.strip(), value.strip()
        if name.casefold() in PAIRED_CAPTIONS:
            caption = value
        elif name.casefold() == "tags":
            tags = value.split(BETWEEN)
        elif value.casefold() == "true":
            attributes.append({"name": name})
        elif value and value.casefold() != "false":
            kind = {} if name == "attribute" else {"type": name}
            attributes += [{"name": part, **kind} for part in value.split(BETWEEN)]
    label = (label or "").strip()
    return said(caption, None if label == UNNAMED else label, None, tags, attributes, by)


def _items(value: object) -> list[dict[str, Any]]:
    """Names with what belongs to them, in order."""
    if isinstance(value, str):
        value = re.split(r"\s*\|\s*", value)
    if isinstance(value, Mapping):
        value = [entry for kind, names in value.items() for entry in _of_type(str(kind), names)]
    listed = value if isinstance(value, Sequence) and not isinstance(value, str) else []
    items = [{"name": item} if isinstance(item, str) else item for item in listed]
    return [
        {**item, "name": item["name"].strip()}
        for item in items
        if isinstance(item, Mapping) and isinstance(item.get("name"), str) and item["name"].strip()
    ]


def _of_type(kind: str, names: object) -> list[dict[str, Any]]:
    """Attributes of {"color": "red"}, {"color": ["red", "white"]} or {"occluded": true}."""
    if names is True:
        return [{"name": kind}]
    listed = names if isinstance(names, list) else [names]
    return [{"name": name, "type": kind} for name in listed if isinstance(name, str)]


def _score(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number <= 1 else None


def _certainty(item: Mapping[str, Any]) -> float:
    score = _score(item.get("score"))
    return 1.0 if score is None else score
