"""The forms in which files write boxes: DynRefer's JSON and CSV, plain lists, tables of other tools, COCO's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynrefer.boxes import Box
from dynrefer.coco_files import CocoImages, annotation_box, box_numbers, corners
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.photo_files import PHOTO_ENDINGS
from dynrefer.results import CSV_COLUMNS, FORMULA_STARTS
from dynrefer.tables import ALIASES, Row, column_key, parse_json, parse_jsonl, parse_table

CORNERS = ("x1", "y1", "x2", "y2")
SHAPES = (CORNERS, ("x1", "y1", "width", "height"), ("cx", "cy", "width", "height"))
# Columns that say something of a box; any other whose words tell rows apart might be what names its photograph.
KNOWN = {*ALIASES, *CSV_COLUMNS, *"caption text description score confidence color colour comment notes".split()}
KNOWN |= {*"type kind shape split subset set source attributes annotator date difficult truncated occluded".split()}
STEM = re.compile(r"(?!-?[\d.,]+$)[^\s,;]+")  # a word without blanks that is no number
NO_BOXES = "is not a file of boxes; use DynRefer's JSON, COCO's, or a CSV"


@dataclass(frozen=True)
class FileBox:
    """A box x1, y1, x2, y2 as a file has it, with its place there ("annotation 7") and its id if it has one."""

    where: str
    box: Box
    id: str | int | None = None


Record = tuple[str | int, tuple[Any, Any] | None, FileBox] | LeftOut


def read_records(text: str, name: str) -> list[Record]:
    """The boxes of a text with their photographs, in order, and what could not be read; `name` is the file's in errors.

    Raises InputError where the text as a whole is of no known form.
    """
    start = text.lstrip()[:1]
    if start in ("[", "{"):
        bad: list[LeftOut] = []
        return [*_from_json(_json(text, name, bad), name), *bad]
    if not start:
        raise InputError(f"{name} is empty")
    return list(_from_table(text))


def _json(text: str, name: str, bad: list[LeftOut]) -> Any:
    """JSON, or a list of the objects that stand one a line; lines that are none go to `bad`.

    Those of a list count too, so that one that is cut short, or has a comma too many, costs what cannot be read of it.
    """
    try:
        return parse_json(text, name)
    except InputError:
        text = re.sub(r"^(\s*)\[|\]\s*$", r"\1", text)
        read = list(parse_jsonl(text, name, on_bad=lambda words: bad.append(LeftOut("", "", words))))
        before = text.partition("{")[0]
        if not read or read[0][0] > before.count("\n") + 1:  # the first line is no object: no lines of objects
            raise
        return [line for _, line in read]


def _from_json(data: Any, name: str) -> Iterator[Record]:
    if isinstance(data, dict) and isinstance(data.get("annotations"), list):
        yield from _from_coco(data["annotations"], CocoImages(data.get("images")))
    elif isinstance(data, list) and any(isinstance(entry, dict) and "image_id" in entry for entry in data):
        yield from _from_coco(data, CocoImages([]))
    elif isinstance(data, list) and len(data) == 4 and not any(isinstance(value, list | dict) for value in data):
        yield from _from_entries([data], "")
    elif isinstance(data, list):
        yield from _from_entries(data, "")
    elif isinstance(data, dict) and _named(data).keys() & {"x1", "cx", "box", "bbox", "boxes"}:
        yield from _from_entries([data], "")
    elif isinstance(data, dict) and data and all(isinstance(value, list) for value in data.values()):
        for photo, boxes in data.items():
            yield from _from_entries(boxes, str(photo))
    else:
        raise InputError(f"{name} {NO_BOXES}")


def _from_coco(annotations: list[Any], images: CocoImages) -> Iterator[Record]:
    for number, annotation in enumerate(annotations, start=1):
        if not isinstance(annotation, dict):
            yield LeftOut("", f"annotation {number} in order", f'it is no record but "{shown(annotation)}"')
            continue
        known = annotation.get("id")
        where = f"annotation {number} in order" if known is None else f"annotation {shown(known)}"
        photo = ""
        try:
            image = images.of(annotation)
            photo = str(image.name)
            box = FileBox(where, annotation_box(annotation), known if isinstance(known, str | int) else None)
            yield image.name, image.stated_size, box
        except InputError as error:
            yield LeftOut(photo, where, reason(error))


def _from_entries(entries: Sequence[Any], photo: str) -> Iterator[Record]:
    """Boxes, or objects with one, or objects with a photograph's boxes."""
    for number, entry in enumerate(entries, start=1):
        where, name = f"box {number}", photo
        try:
            if not isinstance(entry, dict):
                yield name, None, FileBox(where, box_numbers(entry, CORNERS))
                continue
            values = _named(entry)
            name = values["image"] if isinstance(values.get("image"), str | int) else photo
            if isinstance(entry.get("boxes"), list):
                yield from _from_entries(entry["boxes"], str(name))
                continue
            known = values.get("annotation", values.get("id"))
            size = (values.get("image_width"), values.get("image_height"))
            yield name, size, FileBox(where, _entry_box(values), known if isinstance(known, str | int) else None)
        except InputError as error:
            yield LeftOut(str(name), where, reason(error))


def _entry_box(values: Mapping[str, Any]) -> Box:
    if "box" in values:
        return box_numbers(values["box"], CORNERS)
    if "bbox" in values:
        return corners(*box_numbers(values["bbox"], ("x", "y", "width", "height")))
    shape = _shape(values)
    return _from_shape(shape, box_numbers([values[name] for name in shape], shape))


def _named(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an object by our names of them; see `dynrefer.tables.ALIASES`."""
    by_key = {column_key(str(key)): value for key, value in entry.items()}
    named = dict(by_key)
    for name, others in ALIASES.items():
        found = [by_key[key] for key in map(column_key, others) if key in by_key]
        if found:
            named[name] = found[0]
    return named


def _from_table(text: str) -> Iterator[Record]:
    bad: list[str] = []
    rows = parse_table(text, on_bad=bad.append)
    yield from (LeftOut("", *words.split(" has ", 1)) for words in bad)
    if not rows:
        raise InputError("there is no row below the first line, which names the columns image, x1, y1, x2, y2")
    columns = list(rows[0])
    shape = _shape(columns)
    image = "image" if "image" in columns else _column_of_photographs(columns, rows)
    image = image if any(row.get(image or "") for row in rows) else None
    if "image" not in columns and image is None and (unknown := _maybe_photographs(columns, rows)):
        raise InputError(
            f'the column "{shown(unknown)}" may name photographs; call it "image" if it does, or else "label"'
        )
    for row in rows:
        where = f"line {row.line}"
        name = _plain(row.get(image, "")) if image else ""
        try:
            if image and not name:
                raise InputError("it names no photograph")
            box = _from_shape(shape, _four([row.number(column) for column in shape]))
            yield name, _stated_size(row, shape, box), FileBox(where, box, row.get("id") or None)
        except InputError as error:
            yield LeftOut(name, where, reason(error).replace(f"{where} has", "it has"))


def _shape(columns: Iterable[str]) -> tuple[str, str, str, str]:
    """The first way of writing boxes of which all columns are there. Raises InputError where there is none."""
    known = set(columns)
    shape = next((shape for shape in SHAPES if known.issuperset(shape)), None)
    if shape is None:
        listed = shown(", ".join(name for name in columns if name), 80)
        raise InputError(f"the columns x1, y1, x2, y2 (or x, y, width, height) must be named; here are: {listed}")
    return shape


def _from_shape(shape: tuple[str, str, str, str], numbers: Box) -> Box:
    if shape == CORNERS:
        return numbers
    x, y, width, height = numbers
    if shape[0] == "cx":
        return corners(x - width / 2, y - height / 2, width, height)
    return corners(x, y, width, height)


def _stated_size(row: Row, shape: tuple[str, ...], box: Box) -> tuple[str, str] | None:
    """The photograph's size: `width` and `height` too, where the box has other columns and other sides."""
    if row.get("image_width") and row.get("image_height"):
        return row["image_width"], row["image_height"]
    if shape != CORNERS or not row.get("width") or not row.get("height"):
        return None
    sides = row.number("width"), row.number("height")
    is_box = abs(sides[0] - box[2] + box[0]) <= 1 and abs(sides[1] - box[3] + box[1]) <= 1
    return None if is_box else (row["width"], row["height"])


def _column_of_photographs(columns: Sequence[str], rows: Sequence[Row]) -> str | None:
    """A column of another name whose every word is the name of an image file."""
    for column in columns:
        words = [row.get(column, "") for row in rows]
        if all(Path(word).suffix.lower() in PHOTO_ENDINGS for word in words if word) and any(words):
            return column
    return None


def _maybe_photographs(columns: Sequence[str], rows: Sequence[Row]) -> str | None:
    """A column of an unknown name whose words tell the rows apart as names without ending would: "puppy", "cat"."""
    for column in columns:
        words = {row.get(column, "") for row in rows} - {""}
        if column and column not in KNOWN and len(words) > 1 and all(STEM.fullmatch(word) for word in words):
            return column
    return None


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell


def _four(numbers: Sequence[float]) -> Box:
    x, y, z, w = numbers
    return x, y, z, w
