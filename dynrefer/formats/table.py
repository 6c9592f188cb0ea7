"""Tables with a header, parted by commas, semicolons, tabs or bars: DynRefer's CSV and those of other tools."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dynrefer.boxes import Box
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.files.coco import box_numbers
from dynrefer.files.photo_files import PHOTO_ENDINGS
from dynrefer.files.tables import ALIASES, Row, column_key, parse_table
from dynrefer.formats.file import File
from dynrefer.formats.grouping import by_photograph
from dynrefer.formats.own import CAPTIONS, CORNERS, SHAPES, from_shape, shape_of
from dynrefer.formats.record import Record, said, typed

COLUMNS = (
    *("image", "x1", "y1", "x2", "y2", "caption", "caption_score", "class", "class_score", "none_of_these", "sure"),
    *("tags", "attributes", "corrected", "model", "image_width", "image_height"),
)
# A cell that begins like this is run as a formula by spreadsheet programs.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# Columns that say something of a box; any other whose words tell rows apart might be what names its photograph.
KNOWN = {*ALIASES, *COLUMNS, *"caption text description score confidence color colour comment notes".split()}
KNOWN |= {*"type kind shape split subset set source attributes annotator date difficult truncated occluded".split()}
CELLS = {"bbox": SHAPES[1], "box": CORNERS}  # columns that hold a whole box, such as "[104, 0, 366, 358]"
STEM = re.compile(r"(?!-?[\d.,]+$)[^\s,;]+")  # a word without blanks that is no number


def knows(file: File) -> bool:
    """Whether a file may be a table: that is for its first line to say."""
    return bool(file.text.strip())


def read(file: File) -> Iterator[Record | LeftOut]:
    """A box a row. Raises InputError where the first line does not name columns of boxes."""
    bad: list[str] = []
    rows = parse_table(file.text, on_bad=bad.append)
    yield from (LeftOut("", *words.split(" has ", 1)) for words in bad)
    if not rows:
        first = next(line for line in file.text.splitlines() if line.strip())
        raise InputError(
            "there is no row below the first line, which must name the columns image, x1, y1, x2, y2; it is "
            f'"{shown(first)}"'
        )
    columns = list(rows[0])
    shape, box_of = _box_reader(columns)
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
            box = box_of(row)
            yield Record(name, box, _stated_size(row, shape, box), where, row.get("id") or None, said=_said(row))
        except InputError as error:
            yield LeftOut(name, where, reason(error).replace(f"{where} has", "it has"))


def _box_reader(columns: Sequence[str]) -> tuple[tuple[str, str, str, str], Callable[[Row], Box]]:
    """The columns of which a row's box is made, and what makes it; of a single cell it is as if they were corners."""
    cell = next((name for name in columns if column_key(name) in CELLS), None)
    if cell is None or any(set(columns).issuperset(shape) for shape in SHAPES):
        shape = shape_of(columns)
        return shape, lambda row: from_shape(shape, box_numbers([row.number(column) for column in shape], shape))
    inside = CELLS[column_key(cell)]
    return CORNERS, lambda row: from_shape(inside, box_numbers(row[cell], inside))


def _said(row: Row) -> dict[str, Any]:
    caption: Any = _plain(next((row[key] for key in CAPTIONS if row.get(key)), ""))
    if row.get("caption_score"):
        caption = {"text": caption, "score": row.number("caption_score")}
    score = next((row[key] for key in ("class_score", "score", "confidence") if row.get(key)), None)
    attributes = typed(_plain(row.get("attributes", "")).split(" | "))
    label, tags, corrected = (_plain(row.get(column, "")) for column in ("label", "tags", "corrected"))
    return said(caption, label, score, tags, attributes, corrected=corrected, model=row.get("model"))


def _stated_size(row: Row, shape: tuple[str, ...], box: Box) -> tuple[str, str] | None:
    """The photograph's size: `width` and `height` too, where the box has other columns and other sides."""
    if row.get("image_width") and row.get("image_height"):
        return row["image_width"], row["image_height"]
    if shape != CORNERS or not row.get("width") or not row.get("height"):
        return None
    sides = row.number("width"), row.number("height")
    is_box = abs(sides[0] - box[2] + box[0]) <= 1 and abs(sides[1] - box[3] + box[1]) <= 1
    return None if is_box else (row["width"], row["height"])


def write(records: Sequence[Record]) -> dict[str, str]:
    """One row a region under the header COLUMNS, safe to open in a spreadsheet.

    A text that a spreadsheet would run as a formula is preceded by an apostrophe. The byte order mark at its beginning
    tells spreadsheet programs the encoding.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for photograph in by_photograph(records):
        for record in photograph.records:
            cells = _cells(record, photograph.box(record)) | dict(
                zip(("image_width", "image_height"), photograph.size or (), strict=False)
            )
            writer.writerow({name: _safe(cell) if isinstance(cell, str) else cell for name, cell in cells.items()})
    return {"regions.csv": "\ufeff" + text.getvalue()}


def _cells(record: Record, box: Box) -> dict[str, Any]:
    corners = {name: round(float(value), 3) for name, value in zip(CORNERS, box, strict=True)}
    kept = {name: record.said.get(name) for name in ("none_of_these", "sure", "model")}
    return {
        "image": record.image,
        **corners,
        "caption": record.caption,
        "caption_score": record.caption_score,
        "class": record.label,
        "class_score": record.score,
        "tags": " | ".join(record.tags),
        "attributes": " | ".join(record.attribute_words),
        "corrected": " | ".join(record.corrected),
        **kept,
    }


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


def _safe(text: str) -> str:
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell
