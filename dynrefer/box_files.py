"""Boxes from files: DynRefer's own JSON and CSV, plain lists, and COCO annotations or results."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from dynrefer.boxes import Box, check_boxes, finite_number
from dynrefer.errors import InputError, shown
from dynrefer.results import FORMULA_STARTS

CORNERS = ("x1", "y1", "x2", "y2")
NamedBox = tuple[str, object]
"""The name or COCO id of an image, empty where the file names none, and a box that is still to be validated."""


def boxes_from_file(path: str | PathLike[str], image_size: tuple[int, int], image: str | None = None) -> list[Box]:
    """Validated boxes (see `check_boxes`) of one image out of a file of boxes.

    `image` is the image's file name, or its COCO id as text; it may be left out where the file is about one image only.
    Raises InputError where the file cannot be read or has no boxes for the image.
    """
    return check_boxes(pick_image(boxes_by_image(path), image, shown(Path(path).name)), image_size)


def boxes_by_image(path: str | PathLike[str]) -> dict[str, list[object]]:
    """All boxes x1, y1, x2, y2 of a file, not validated yet, by image: file name, COCO id as text, or "" for unnamed.

    A name that ends in ".csv" is read as CSV with a header of x1, y1, x2, y2 (and image), all else as JSON: a list of
    boxes, results of DynRefer, a COCO data set, or COCO results. Raises InputError on anything else.
    """
    path = Path(path)
    name = shown(path.name)
    text = _read(path, name)
    groups: dict[str, list[object]] = {}
    try:
        for image, box in _from_csv(text) if path.suffix.lower() == ".csv" else _from_json(text):
            groups.setdefault(image, []).append(box)
    except InputError as error:
        raise InputError(f"{name}: {error.args[0]}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{name} is not a file of boxes; use DynRefer's JSON, COCO's, or a CSV") from error
    if not groups:
        raise InputError(f"{name} has no boxes in it")
    return groups


def pick_image(groups: Mapping[str, list[object]], image: str | None, source: str) -> list[object]:
    """The boxes of `image` among those of `boxes_by_image`; `source` names the file in errors."""
    if image is None:
        if len(groups) > 1:
            raise InputError(f"{source} has boxes for {len(groups)} images; say which one is meant")
        return next(iter(groups.values()))
    stem = Path(image).stem
    for key in (image, Path(image).name, stem.lstrip("0"), ""):
        if key in groups:
            return groups[key]
    raise InputError(f"{source} has no boxes for the image {shown(Path(image).name)}")


def corners_from_coco(bbox: Any) -> list[float]:
    """COCO's x, y, width, height as x1, y1, x2, y2."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise InputError(f'a COCO bbox is four numbers x y width height, not "{shown(bbox)}"')
    x, y, width, height = (finite_number(value, "every number of a bbox") for value in bbox)
    return [x, y, x + width, y + height]


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not a text file; boxes are read from JSON or CSV") from error
    except FileNotFoundError as error:
        raise InputError(f"there is no file {name}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be read as a file of boxes") from error


def _from_csv(text: str) -> Iterator[NamedBox]:
    header = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=header.count))
    try:
        columns = [name.strip().lower() for name in next(rows, [])]
        if not set(CORNERS) <= set(columns):
            raise InputError("the first line of the CSV must name the columns x1, y1, x2, y2")
        for cells in rows:
            if cells:
                row = dict(zip(columns, cells, strict=False))
                yield _name_from_cell(row.get("image", "")), [_cell(row.get(c, ""), rows.line_num) for c in CORNERS]
    except csv.Error as error:
        raise InputError(f"the CSV cannot be read ({error})") from error


def _cell(text: str, line: int) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f'line {line} has "{shown(text)}" where a number is needed') from error


def _name_from_cell(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text


def _from_json(text: str) -> Iterator[NamedBox]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is not JSON ({shown(error)})") from error
    if isinstance(data, dict) and "annotations" in data:
        names = {image["id"]: str(image["file_name"]) for image in data.get("images", [])}
        for entry in data["annotations"]:
            key = entry["image_id"]
            yield names.get(key, str(key)), corners_from_coco(entry["bbox"])
    else:
        yield from map(_from_entry, _entries(data))


def _entries(data: Any) -> list[Any]:
    """The boxes or results of a JSON file that is not a COCO data set, also where there is but one."""
    if isinstance(data, dict):
        return data.get("boxes", [data])
    is_one_box = len(data) == 4 and not any(isinstance(value, (list, dict)) for value in data)
    return [data] if is_one_box else data


def _from_entry(entry: Any) -> NamedBox:
    if isinstance(entry, list):
        return "", entry
    if "bbox" in entry:
        return str(entry["image_id"]), corners_from_coco(entry["bbox"])
    return str(entry.get("image", "")), entry["box"]
