"""Hugging Face's `imagefolder`: metadata.jsonl with a line a photograph; boxes are x, y, width, height."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dynrefer.boxes import area, xyxy_to_xywh
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.files.coco import sized_box
from dynrefer.formats.file import File
from dynrefer.formats.grouping import beside, by_photograph
from dynrefer.formats.record import Record, said, typed

BOXES = ("bbox", "bboxes", "box", "boxes")
LABELS = ("category", "categories", "label", "labels", "name", "names")
CAPTIONS = ("caption", "captions", "text", "description")


def knows(file: File) -> bool:
    """Whether a file's lines tell the objects of files."""
    lines = file.json if isinstance(file.json, list) else [file.json]
    return bool(lines) and isinstance(lines[0], dict) and "file_name" in lines[0] and "objects" in lines[0]


def read(file: File) -> Iterator[Record | LeftOut]:
    """The objects, as lists of values or as a list of records."""
    for number, line in enumerate(file.json if isinstance(file.json, list) else [file.json], start=1):
        where = f"line {number}"
        if not isinstance(line, dict) or not isinstance(line.get("file_name"), str):
            yield LeftOut("", where, "it has no file_name")
            continue
        image = beside(file, line["file_name"])
        try:
            objects = _objects(line.get("objects"))
        except InputError as error:
            yield LeftOut(image, where, reason(error))
            continue
        for place, found in enumerate(objects, start=1):
            try:
                yield _record(image, (line.get("width"), line.get("height")), f"{where}, object {place}", found)
            except InputError as error:
                yield LeftOut(image, f"{where}, object {place}", reason(error))


def _objects(given: object) -> list[Mapping[str, Any]]:
    if isinstance(given, Mapping):
        lists = {key: values for key, values in given.items() if isinstance(values, list)}
        length = len(next((lists[key] for key in BOXES if key in lists), ()))
        odd = next((key for key, values in lists.items() if len(values) != length), None)
        if odd is not None:
            raise InputError(f"its objects have {length} boxes and {len(lists[odd])} {shown(odd)}")
        return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    if isinstance(given, list) and all(isinstance(found, Mapping) for found in given):
        return given
    raise InputError("its objects are neither records nor lists of values")


def _record(image: str, size: tuple[Any, Any], where: str, found: Mapping[str, Any]) -> Record:
    key = next((key for key in BOXES if key in found), None)
    if key is None:
        raise InputError("it has no bbox")
    label, caption = _first(found, LABELS), _first(found, CAPTIONS)
    label = f"class {label}" if isinstance(label, int) else label
    if isinstance(caption, str) and "caption_score" in found:
        caption = {"text": caption, "score": found["caption_score"]}
    known, tags, attributes = found.get("id"), found.get("tags"), typed(found.get("attributes"))
    corrected, model = found.get("corrected"), found.get("model")
    return Record(
        image,
        sized_box(found[key]),
        size,
        where,
        known if isinstance(known, str | int) else None,
        said=said(caption, label, found.get("score"), tags, attributes, corrected=corrected, model=model),
    )


def _first(found: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((found[key] for key in keys if found.get(key) is not None), None)


def write(records: Sequence[Record]) -> dict[str, str]:
    """metadata.jsonl, to lie in the folder of the photographs; every line has the same keys, as its readers want it."""
    lines = []
    for photograph in by_photograph(records):
        width, height = photograph.size or (None, None)
        boxes = [photograph.box(record) for record in photograph.records]
        objects = {
            "bbox": [[round(value, 3) for value in xyxy_to_xywh(box)] for box in boxes],
            "area": [round(area(box), 3) for box in boxes],
            "category": [record.label or None for record in photograph.records],
            "score": [record.score for record in photograph.records],
            "caption": [record.caption or None for record in photograph.records],
            "caption_score": [record.caption_score for record in photograph.records],
            "tags": [record.tags for record in photograph.records],
            "attributes": [record.attribute_words for record in photograph.records],
            "corrected": [record.corrected for record in photograph.records],
            "model": [record.said.get("model") for record in photograph.records],
        }
        line = {"file_name": photograph.path.as_posix(), "width": width, "height": height, "objects": objects}
        lines.append(json.dumps(line, ensure_ascii=False, allow_nan=False))
    return {"metadata.jsonl": "\n".join(lines) + "\n"}
