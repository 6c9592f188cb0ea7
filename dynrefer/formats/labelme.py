"""LabelMe's JSON: a file a photograph, with shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dynrefer.boxes import Box
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.files.coco import point_pairs, shape_box
from dynrefer.formats.file import File
from dynrefer.formats.grouping import PhotoRegions, beside, by_photograph, side_files
from dynrefer.formats.record import UNNAMED, Record, said, typed

VERSION = "5.5.0"  # of the form that is written; later ones read it


def knows(file: File) -> bool:
    """Whether a file has LabelMe's shapes."""
    return isinstance(file.json, dict) and isinstance(file.json.get("shapes"), list)


def read(file: File) -> Iterator[Record | LeftOut]:
    """The shapes that have an area; descriptions are captions, flags are attributes."""
    data = file.json
    name = data.get("imagePath")
    image = beside(file, name if isinstance(name, str) and name else file.path.stem)
    size = data.get("imageWidth"), data.get("imageHeight")
    for number, shape in enumerate(data["shapes"], start=1):
        where = f"shape {number}"
        if not isinstance(shape, dict):
            yield LeftOut(image, where, f'it is no record but "{shown(shape)}"')
            continue
        try:
            box, outline = _box(shape)
            yield Record(image, box, size, where, segmentation=outline, said=_said(shape))
        except InputError as error:
            yield LeftOut(image, where, reason(error))


def _box(shape: Mapping[str, Any]) -> tuple[Box, list[list[float]] | None]:
    """The box round a shape, and its outline where it is a polygon."""
    points, kind = point_pairs(shape.get("points")), shape.get("shape_type") or "polygon"
    if kind == "point" or len(points) < 2:
        raise InputError(f"a {kind} of {len(points)} has no box")
    if kind == "circle":
        (x, y), (u, v) = points[:2]
        radius = ((x - u) ** 2 + (y - v) ** 2) ** 0.5
        return (x - radius, y - radius, x + radius, y + radius), None
    x1, y1, x2, y2 = shape_box(points)
    if kind == "mask":  # its corners are pixels of it
        x2, y2 = x2 + 1, y2 + 1
    is_outline = kind == "polygon" and len(points) > 2
    return (x1, y1, x2, y2), [[n for point in points for n in point]] if is_outline else None


def _said(shape: Mapping[str, Any]) -> dict[str, Any]:
    flags = shape.get("flags")
    set_flags = [str(name) for name, on in flags.items() if on is True] if isinstance(flags, dict) else []
    attributes = typed([flag for flag in set_flags if ": " in flag])
    tags = [flag for flag in set_flags if ": " not in flag]
    label = shape.get("label")
    return said(shape.get("description"), None if label == UNNAMED else label, shape.get("score"), tags, attributes)


def write(records: Sequence[Record]) -> dict[str, str]:
    """A file a photograph, to lie beside it."""
    return {
        name: json.dumps(_content(photograph), indent=2, ensure_ascii=False, allow_nan=False)
        for name, photograph in side_files(by_photograph(records), ".json")
    }


def _content(photograph: PhotoRegions) -> dict[str, Any]:
    width, height = photograph.sized("LabelMe")
    return {
        "version": VERSION,
        "flags": {},
        "shapes": [_shape(record, photograph.box(record)) for record in photograph.records],
        "imagePath": photograph.path.name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def _shape(record: Record, box: Box) -> dict[str, Any]:
    """A rectangle, or the polygon where there is one."""
    numbers = record.polygon or [round(value, 3) for value in box]
    return {
        "label": record.named,
        "points": [list(pair) for pair in zip(numbers[0::2], numbers[1::2], strict=False)],
        "group_id": None,
        "description": record.caption,
        "shape_type": "polygon" if record.polygon else "rectangle",
        "flags": dict.fromkeys([*record.tags, *record.attribute_words], True),
        "mask": None,
    }
