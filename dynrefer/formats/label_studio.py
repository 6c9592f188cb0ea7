"""Label Studio's JSON: a task a photograph; the model's regions are predictions with scores, a person's annotations."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from dynrefer.boxes import Box
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.files.coco import SIDES, box_numbers, corners, point_pairs, shape_box
from dynrefer.files.photo_files import PHOTO_ENDINGS
from dynrefer.formats.file import File
from dynrefer.formats.grouping import by_photograph
from dynrefer.formats.record import MODEL, PERSON, UNNAMED, Record, said

LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "labels")
_UPLOAD = re.compile(r"(?<=/)[0-9a-f]{8}-(?=[^/]+$)")  # what Label Studio puts before the name of an uploaded file


@dataclass(frozen=True)
class Controls:
    """Names of a labelling configuration's controls, None where it has none; by default docs/label-studio.xml's."""

    image: str = "image"
    rectangle: str | None = None
    """A Rectangle without labels."""
    label: str | None = "label"
    """RectangleLabels."""
    caption: str | None = "caption"
    """TextArea."""
    tags: str | None = "tags"
    """TextArea."""
    attributes: str | None = "attributes"
    """Choices."""


def knows(file: File) -> bool:
    """Whether a file has tasks of Label Studio, also in its short form (JSON-MIN)."""
    tasks = _tasks(file)
    return bool(tasks) and all(isinstance(task, dict) for task in tasks) and any(map(_is_task, tasks))


def _tasks(file: File) -> list[Any]:
    return file.json if isinstance(file.json, list) else [file.json]


def _is_task(task: Mapping[str, Any]) -> bool:
    if isinstance(task.get("data"), dict):
        return any(isinstance(task.get(key), list) for key in ("annotations", "predictions", "completions"))
    return any(_is_short(value) for value in task.values())


def _is_short(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) and "original_width" in item for item in value)


def read(file: File) -> Iterator[Record | LeftOut]:
    """The regions of each task's newest annotation that was not cancelled, or else of its first prediction."""
    for number, task in enumerate(_tasks(file), start=1):
        where = f"task {shown(task.get('id', number)) if isinstance(task, dict) else number}"
        if not isinstance(task, dict) or not _is_task(task):
            yield LeftOut("", where, "it has neither annotations nor predictions")
            continue
        result, by = _result(task)
        yield from regions(result, photograph(task.get("data", task)), where, by)


def _result(task: Mapping[str, Any]) -> tuple[list[Any], str]:
    if not isinstance(task.get("data"), dict):  # the short form
        found = [item for value in task.values() if _is_short(value) for item in value]
        return [{"id": n, "value": item} for n, item in enumerate(found) if isinstance(item, dict)], PERSON
    for key, by in (("annotations", PERSON), ("completions", PERSON), ("predictions", MODEL)):
        listed = task.get(key)
        entries = listed if isinstance(listed, list) else []
        kept = [entry for entry in entries if isinstance(entry, dict) and not entry.get("was_cancelled")]
        if kept:
            chosen = kept[0] if by == MODEL else kept[-1]
            result = chosen.get("result")
            return result if isinstance(result, list) else [], by
    return [], ""


def photograph(data: Mapping[str, Any]) -> str:
    """What a task calls its photograph, without what Label Studio put before the name of an upload."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    name = next((texts[key] for key in ("image", "img", "photo", "url") if key in texts), None)
    if name is None:
        name = next((t for t in texts.values() if any(t.lower().endswith(end) for end in PHOTO_ENDINGS)), "")
    if "/local-files/?d=" in name:
        return unquote(name.partition("?d=")[2])
    return _UPLOAD.sub("", name) if "/upload/" in name else name


def regions(result: Sequence[Any], image: str, where: str, by: str = "") -> Iterator[Record | LeftOut]:
    """The regions of a `result`, each of all its items with one id."""
    items: dict[str, list[Mapping[str, Any]]] = {}
    for item in result:
        if isinstance(item, Mapping) and isinstance(item.get("value"), Mapping) and item.get("type") != "relation":
            items.setdefault(str(item.get("id")), []).append(item)
    for id, group in items.items():
        shape = next((item for item in group if {"x", "points", "rle"} & item["value"].keys()), None)
        if shape is None:
            continue  # it is about the whole photograph
        place = f"{where}, region {shown(id)}"
        source = MODEL if shape.get("origin") == "prediction" else by
        try:
            box, size, outline = _box(shape)
            yield Record(image, box, size, place, id, size is None, outline, _said(group, source))
        except InputError as error:
            yield LeftOut(image, place, reason(error))


def _box(item: Mapping[str, Any]) -> tuple[Box, tuple[float, float] | None, list[list[float]] | None]:
    """x1, y1, x2, y2 in pixels of (width, height); in shares where a size is not said."""
    value = item["value"]
    sides = [item.get(key, value.get(key)) for key in ("original_width", "original_height")]
    width, height = (float(side) if isinstance(side, int | float) and side > 0 else 0.0 for side in sides)
    across, down = (width / 100, height / 100) if width and height else (0.01, 0.01)
    size = (width, height) if width and height else None
    if "rle" in value:
        raise InputError("it is painted with a brush; draw a rectangle round it")
    if "points" in value:
        polygon = [n * s for x, y in point_pairs(value["points"]) for n, s in ((x, across), (y, down))]
        return shape_box(polygon), size, [polygon] if size else None
    if "radiusX" in value:
        x, y, rx, ry = box_numbers([value.get(key) for key in ("x", "y", "radiusX", "radiusY")], SIDES)
        return ((x - rx) * across, (y - ry) * down, (x + rx) * across, (y + ry) * down), size, None
    x, y, w, h = box_numbers([value.get(key) for key in SIDES], SIDES)
    x1, y1, x2, y2 = corners(x * across, y * down, w * across, h * down)
    angle = value.get("rotation") or 0
    if not isinstance(angle, int | float) or not angle:
        return (x1, y1, x2, y2), size, None
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))  # about its first corner
    turned = [(x1 + u * cos - v * sin, y1 + u * sin + v * cos) for u in (0, x2 - x1) for v in (0, y2 - y1)]
    return shape_box(turned), size, None


def _said(items: Sequence[Mapping[str, Any]], by: str) -> dict[str, Any]:
    caption, label, tags, score = "", "", list[str](), None
    attributes: list[dict[str, str]] = []
    for item in items:
        value, control = item["value"], str(item.get("from_name", ""))
        names: list[Any] = next((value[key] for key in LABELS if isinstance(value.get(key), list)), [])
        if names:
            label, score = str(names[0]), item.get("score")
        texts = value.get("text") if isinstance(value.get("text"), list) else [value.get("text")]
        texts = [text for text in texts if isinstance(text, str)]
        if control == "tags":
            tags += texts
        elif texts:
            caption = caption or texts[0]
        for choice in value.get("choices") if isinstance(value.get("choices"), list) else []:
            kind, _, name = str(choice).rpartition(": ")
            attributes.append({"name": name, "type": kind or control.removesuffix("attributes")})
    return said(caption, None if label == UNNAMED else label, score, tags, attributes, by)


def write(records: Sequence[Record]) -> dict[str, str]:
    """A task a photograph, for a project with the labelling configuration of docs/label-studio.xml.

    Where a person said anything of a photograph, its regions are an annotation, and "origin" tells whose each is.
    """
    tasks = []
    for photo in by_photograph(records):
        size = photo.sized("Label Studio")
        given = [replace(record, box=photo.box(record)) for record in photo.records]
        found = prediction(given, size, Controls())
        by_person = any(record.by != MODEL for record in given)
        told = {"annotations": [{"result": found["result"]}]} if by_person else {"predictions": [found]}
        task = {"data": {"image": photo.name}, **told}
        tasks.append(task)
    return {"label-studio.json": json.dumps(tasks, indent=2, ensure_ascii=False, allow_nan=False)}


def prediction(records: Sequence[Record], size: tuple[int, int], controls: Controls) -> dict[str, Any]:
    """A prediction of boxes in pixels of a photograph of `size` (width, height); its score is its labels' mean."""
    scores = [record.score for record in records if record.score is not None]
    ids = [str(record.id) if record.id is not None else f"region-{place}" for place, record in enumerate(records, 1)]
    return {
        "model_version": next((str(r.said["model"]) for r in records if r.said.get("model")), "DynRefer"),
        "score": round(sum(scores) / len(scores), 4) if scores else 0.0,
        "result": [i for record, id in zip(records, ids, strict=True) for i in items(record, size, controls, id)],
    }


def items(record: Record, size: tuple[int, int], controls: Controls, id: str) -> list[dict[str, Any]]:
    """A record as items of a `result` that share an id: its rectangle, then what is said of it."""
    x1, y1, x2, y2 = record.box
    place = {
        "x": 100 * x1 / size[0],
        "y": 100 * y1 / size[1],
        "width": 100 * (x2 - x1) / size[0],
        "height": 100 * (y2 - y1) / size[1],
        "rotation": 0,
    }
    values = [
        (controls.rectangle, "rectangle", {}, None),
        (controls.label, "rectanglelabels", {"rectanglelabels": [record.named]}, record.score),
        (controls.caption, "textarea", {"text": [record.caption] if record.caption else []}, record.caption_score),
        (controls.tags, "textarea", {"text": record.tags}, None),
        (controls.attributes, "choices", {"choices": record.attribute_words}, None),
    ]
    common = {
        "id": id,
        "to_name": controls.image,
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "origin": "prediction" if record.by == MODEL else "manual",
    }
    return [
        {**common, "from_name": control, "type": kind, "value": place | value}
        | ({} if score is None else {"score": score})
        for control, kind, value, score in values
        if control and all(value.values())
    ]
