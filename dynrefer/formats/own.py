"""Boxes in JSON: DynRefer's own answers, and the plain lists and objects that people write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dynrefer.boxes import Box
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.files.coco import box_numbers, corners, sized_box
from dynrefer.files.tables import ALIASES, column_key
from dynrefer.formats.file import File
from dynrefer.formats.record import Record, said

CORNERS = ("x1", "y1", "x2", "y2")
SHAPES = (CORNERS, ("x1", "y1", "width", "height"), ("cx", "cy", "width", "height"))
CAPTIONS = ("caption", "description", "text")
ANSWER = frozenset(
    "caption classes tags attributes prompt mask none_of_these sure views notes timing_ms model by".split()
)
NO_BOXES = "is not a file of boxes; use DynRefer's JSON, COCO's, or a CSV"


def knows(file: File) -> bool:
    """Whether a file is JSON."""
    return file.json is not None


def read(file: File) -> Iterator[Record | LeftOut]:
    """Boxes, or objects with one, or objects with a photograph's boxes. Raises InputError for any other JSON."""
    data = file.json
    if isinstance(data, list):
        yield from _entries(data, "")
    elif isinstance(data, dict) and named(data).keys() & {"x1", "cx", "box", "bbox", "boxes"}:
        yield from _entries([data], "")
    elif isinstance(data, dict) and data and all(isinstance(value, list) for value in data.values()):
        for photo, boxes in data.items():
            yield from _entries(boxes, str(photo))
    else:
        raise InputError(f"{file.name} {NO_BOXES}")


def write(records: Sequence[Record]) -> dict[str, str]:
    """A list of answers; each says its photograph and that one's size first."""
    text = json.dumps([entry(record) for record in records], indent=2, ensure_ascii=False, allow_nan=False)
    return {"regions.json": text}


def entry(record: Record) -> dict[str, Any]:
    """A record as one object of DynRefer's JSON."""
    width, height = record.pixel_size or (None, None)
    place = {"image": record.image or None, "image_width": width, "image_height": height, "annotation": record.id}
    outline = {} if record.segmentation is None else {"segmentation": record.segmentation}
    box = {"box": [round(float(value), 6 if record.shares else 3) for value in record.box]}
    return {key: value for key, value in place.items() if value is not None} | box | outline | dict(record.said)


def _entries(entries: Sequence[Any], photo: str) -> Iterator[Record | LeftOut]:
    if len(entries) == 4 and not any(isinstance(value, list | dict) for value in entries):
        entries = [entries]  # one box
    for number, given in enumerate(entries, start=1):
        where, name = f"box {number}", photo
        try:
            if not isinstance(given, dict):
                yield Record(name, box_numbers(given, CORNERS), where=where)
                continue
            values = named(given)
            name = values["image"] if isinstance(values.get("image"), str | int) else photo
            if isinstance(given.get("boxes"), list):
                yield from _entries(given["boxes"], str(name))
                continue
            known = values.get("annotation", values.get("id"))
            known = known if isinstance(known, str | int) else None
            size = (values.get("image_width"), values.get("image_height"))
            outline = given.get("segmentation")
            yield Record(
                name, _box(values), size, where, known, segmentation=outline or None, said=_said(given, values)
            )
        except InputError as error:
            yield LeftOut(str(name), where, reason(error))


def _said(given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of DynRefer's as it is, but for values of another form; of other objects what they say by any name."""
    caption = next((given[key] for key in CAPTIONS if given.get(key)), None)
    label = given.get("classes") or values.get("label")
    score = given.get("score", given.get("confidence"))
    kept = {key: given[key] for key in ANSWER & given.keys()}
    words = said(caption, label, score, given.get("tags"), given.get("attributes"))
    nothing: dict[str, Any] = {"caption": None, "classes": [], "tags": [], "attributes": []}
    return {key: value for key, value in (kept | nothing | words).items() if key in kept or key in words}


def _box(values: Mapping[str, Any]) -> Box:
    if "box" in values:
        return box_numbers(values["box"], CORNERS)
    if "bbox" in values:
        return sized_box(values["bbox"])
    shape = shape_of(values)
    return from_shape(shape, box_numbers([values[name] for name in shape], shape))


def named(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an object by our names of them; see `dynrefer.files.tables.ALIASES`."""
    by_key = {column_key(str(key)): value for key, value in given.items()}
    found = dict(by_key)
    for name, others in ALIASES.items():
        values = [by_key[key] for key in map(column_key, others) if key in by_key]
        if values:
            found[name] = values[0]
    return found


def shape_of(columns: Iterable[str]) -> tuple[str, str, str, str]:
    """The first way of writing boxes of which all columns are there. Raises InputError where there is none."""
    known = set(columns)
    shape = next((shape for shape in SHAPES if known.issuperset(shape)), None)
    if shape is None:
        listed = shown(", ".join(name for name in columns if name), 80)
        raise InputError(f"the columns x1, y1, x2, y2 (or x, y, width, height) must be named; here are: {listed}")
    return shape


def from_shape(shape: tuple[str, str, str, str], numbers: Box) -> Box:
    """x1, y1, x2, y2 of numbers that mean `shape`."""
    if shape == CORNERS:
        return numbers
    x, y, width, height = numbers
    if shape[0] == "cx":
        return corners(x - width / 2, y - height / 2, width, height)
    return corners(x, y, width, height)
