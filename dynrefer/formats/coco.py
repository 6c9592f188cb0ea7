"""COCO's JSON: a data set with images, categories and annotations, or a list of results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from dynrefer.boxes import Box, area, xyxy_to_xywh
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.files.coco import (
    CocoImages,
    annotation_box,
    category_names,
    class_of,
    entry,
    listed,
    run_lengths,
    stated_size,
    texts_of,
)
from dynrefer.formats.file import File
from dynrefer.formats.grouping import by_photograph
from dynrefer.formats.record import UNNAMED, Record, said


def knows(file: File) -> bool:
    """Whether a file is COCO's by what it holds."""
    data = file.json
    if isinstance(data, dict):
        return isinstance(data.get("annotations"), list) or {"annotations", "images"} <= data.keys()
    return isinstance(data, list) and any(isinstance(entry, dict) and "image_id" in entry for entry in data)


def read(file: File) -> Iterator[Record | LeftOut]:
    """The annotations; a box that is missing is taken from the outline."""
    data = file.json if isinstance(file.json, dict) else {"annotations": file.json}
    annotations = listed(data["annotations"], "annotations")
    images = CocoImages(listed(data.get("images") or [], "images"), annotations)
    names = category_names(data.get("categories"))
    for number, annotation in enumerate(annotations, start=1):
        where = f"annotation {number} in order"
        if not isinstance(annotation, dict):
            yield LeftOut("", where, f'it is no record but "{shown(annotation)}"')
            continue
        known = annotation.get("id")
        where = where if known is None else f"annotation {shown(known)}"
        photo = ""
        try:
            image = images.of(annotation)
            photo = str(image.name)
            yield Record(
                image.name,
                annotation_box(annotation),
                stated_size(image.record),
                where,
                known if isinstance(known, str | int) else None,
                segmentation=annotation.get("segmentation") or None,
                said=_said(annotation, names),
            )
        except InputError as error:
            yield LeftOut(photo, where, reason(error))


def _said(annotation: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    label = class_of(annotation, names)
    caption: Any = next(iter(texts_of(entry(annotation, "caption", "captions", "description")) or ()), None)
    if isinstance(caption, str) and "caption_score" in annotation:
        caption = {"text": caption, "score": annotation["caption_score"]}
    return said(
        caption,
        None if label == UNNAMED else label,
        annotation.get("score"),
        annotation.get("tags"),
        annotation.get("attributes"),
        annotation.get("by", ""),
        annotation.get("corrected"),
    )


def write(records: Sequence[Record]) -> dict[str, str]:
    """One data set. An annotation's score is there where the model gave one: then it is a COCO result, too."""
    photographs = by_photograph(records)
    names = sorted({record.named for record in records})
    categories = {name: number for number, name in enumerate(names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, photograph in enumerate(photographs, start=1):
        sides = dict(zip(("width", "height"), photograph.size or (), strict=False))
        images.append({"id": image_id, "file_name": photograph.name} | sides)
        for record in photograph.records:
            place = {"id": len(annotations) + 1, "image_id": image_id, "category_id": categories[record.named]}
            annotations.append(place | _annotation(record, photograph.box(record)))
    data_set = {
        "info": {"description": "Regions described with DynRefer"},
        "images": images,
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": annotations,
    }
    return {"regions.coco.json": json.dumps(data_set, indent=2, ensure_ascii=False, allow_nan=False)}


def _annotation(record: Record, box: Box) -> dict[str, Any]:
    attributes: dict[str, list[str]] = {}
    for kind, name in record.attributes:
        attributes.setdefault(kind or "attribute", []).append(name)
    more = {
        "score": record.score,
        "caption": record.caption or None,
        "caption_score": record.caption_score,
        "tags": record.tags or None,
        "attributes": attributes or None,
        "by": record.by or None,
        "corrected": record.corrected or None,
    }
    polygons = [polygon for polygon in record.polygons if len(polygon) >= 6]
    return {
        "bbox": [round(value, 3) for value in xyxy_to_xywh(box)],
        "area": round(_outline_area(record.segmentation, polygons) or area(box), 3),
        "iscrowd": 0,
        "segmentation": record.segmentation or [],
        **{key: value for key, value in more.items() if value is not None},
    }


def _outline_area(outline: Any, polygons: Sequence[Sequence[float]]) -> float:
    """Pixels inside polygons or a run-length mask; 0 where there is neither, or it is damaged."""
    if not isinstance(outline, dict):
        return sum(map(_polygon_area, polygons))
    counts = outline.get("counts")
    try:
        return float(sum((run_lengths(counts) if isinstance(counts, str) else counts or ())[1::2]))
    except (InputError, TypeError):
        return 0.0


def _polygon_area(polygon: Sequence[float]) -> float:
    """By the shoelace formula."""
    across, down = polygon[0::2], polygon[1::2]
    following = [*across[1:], across[0]], [*down[1:], down[0]]
    return abs(sum(x * v - u * y for x, y, u, v in zip(across, down, *following, strict=True))) / 2
