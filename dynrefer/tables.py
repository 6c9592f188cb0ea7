"""Text, tables and JSON as programs of any maker, language and machine write them."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from dynrefer.errors import InputError, shown

# The longest mark first: UTF-32's begins like UTF-16's.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CONTAINERS = {
    b"PK\x03\x04": "is a workbook or an archive, not text; save it as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "is an old workbook, not text; save it as CSV in UTF-8",
    b"\x1f\x8b": "is compressed; unpack it first",
}
STRUCTURE = frozenset('\n\r\t ,;:[]{}"')  # read in the wrong byte order, none of these is a common character
COLUMN_SEPARATORS = ",;\t|，；、، "  # blanks last: they stand inside names too
LINE_ENDS = re.compile(r"\r\n|[\r\n]")
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # a spreadsheet's own first line

ALIASES: dict[str, tuple[str, ...]] = {
    "image": (
        *("image", "photo", "photograph", "picture", "img", "file_name", "image_path", "image_file", "image_name"),
        *("img_path", "img_name", "img_file", "file_path", "photo_name", "photo_path", "photo_file", "path", "file"),
        *("file_upload", "image_url", "img_url", "photo_url", "url", "image_id", "img_id", "photo_id"),
    ),
    "x1": ("x1", "x_min", "left", "x0", "min_x", "x_left", "bbox_x1", "bbox_x_min", "bbox_left", "x", "bbox_x"),
    "y1": ("y1", "y_min", "top", "y0", "min_y", "y_top", "bbox_y1", "bbox_y_min", "bbox_top", "y", "bbox_y"),
    "x2": ("x2", "x_max", "right", "max_x", "x_right", "bbox_x2", "bbox_x_max", "bbox_right"),
    "y2": ("y2", "y_max", "bottom", "max_y", "y_bottom", "bbox_y2", "bbox_y_max", "bbox_bottom"),
    "cx": ("cx", "x_center", "x_centre", "center_x", "centre_x", "bbox_cx"),
    "cy": ("cy", "y_center", "y_centre", "center_y", "centre_y", "bbox_cy"),
    "width": ("w", "width", "bbox_width", "bbox_w", "box_width"),
    "height": ("h", "height", "bbox_height", "bbox_h", "box_height"),
    "image_width": ("image_width", "img_width", "photo_width", "image_w", "img_w"),
    "image_height": ("image_height", "img_height", "photo_height", "image_h", "img_h"),
    "label": ("label", "class", "category", "label_name", "class_name", "category_name", "name", "object"),
    "id": ("id", "annotation_id", "ann_id", "box_id", "region_id"),
}
"""A column's name here and in files, the likelier meaning first; letter case, blanks and marks do not count."""


class Row(dict[str, str]):
    """The cells of one row by column: known columns by their names in ALIASES, others as the file calls them."""

    def __init__(self, cells: Mapping[str, str], line: int, separator: str = ",") -> None:
        super().__init__(cells)
        self.line = line
        self._separator = separator

    def number(self, column: str) -> float:
        """A cell as a finite number, also with a decimal comma where that can be told. Raises InputError otherwise."""
        text = self.get(column, "").strip().replace("\u2212", "-")
        if text.count(",") == 1 and "." not in text and (self._separator != "," or not re.search(r",\d{3}$", text)):
            text = text.replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or "_" in text:
            raise InputError(f'line {self.line} has "{shown(text)}" in the column {column}, where a number is needed')
        return value


def read_text(path: str | PathLike[str]) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark or where the bytes leave no doubt.

    Raises InputError, naming the file and the line, for anything else.
    """
    return decode_text(read_bytes(path), shown(Path(path).name) or "the file")


def read_bytes(path: str | PathLike[str]) -> bytes:
    """The content of a file. Raises InputError, naming it, where there is none."""
    path = Path(path)
    name = shown(path.name) or "the file"
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no file {name}") from error
    except IsADirectoryError as error:
        raise InputError(f"{name} is a folder; a file is needed") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be read ({getattr(error, 'strerror', None) or 'no such path'})") from error


def decode_text(data: bytes, name: str) -> str:
    """`read_text` of bytes already read; `name` is what an error calls them."""
    if (container := next((words for start, words in CONTAINERS.items() if data.startswith(start)), None)) is not None:
        raise InputError(f"{name} {container}")
    encoding, start = next(
        ((found, len(mark)) for mark, found in BYTE_ORDER_MARKS if data.startswith(mark)), (_unmarked(data), 0)
    )
    try:
        text = data[start:].decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, start + error.start) + 1
        raise InputError(
            f"{name} is not a text file in UTF-8 or UTF-16 (line {line}, byte {start + error.start + 1} is neither); "
            f"save it as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{name} is not a text file (it holds zero bytes); save it as text in UTF-8")
    return re.sub(r"(?m)^\ufeff", "", text)  # files put one behind the other keep their marks


def _unmarked(data: bytes) -> str:
    """The encoding of bytes without a mark: UTF-8, unless zero bytes make a text's commas, blanks and lines."""
    if b"\0" not in data:
        return "utf-8"
    sample = data[:65536]
    found = {name: _structure(sample, name) for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")}
    best = max(found, key=lambda name: found[name])
    return best if found[best] else "utf-8"


def _structure(data: bytes, encoding: str) -> int:
    size = 4 if "32" in encoding else 2
    try:
        text = data[: len(data) // size * size].decode(encoding)
    except UnicodeDecodeError as error:
        if error.end < len(data) - size:
            return 0
        text = data[: error.start].decode(encoding)
    return 0 if "\0" in text else sum(character in STRUCTURE for character in text)


def read_json(path: str | PathLike[str], *keys: str) -> Any:
    """The content of a JSON file, an object with at least `keys` where any are named.

    Raises InputError where it cannot be read, is not JSON (naming the line) or lacks a key.
    """
    name = shown(Path(path).name)
    content = parse_json(read_text(path), name)
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise InputError(f'{name} has no "{missing[0]}": it is not in the format that was expected')
    return content


def parse_json(text: str, name: str) -> Any:
    """The content of a JSON text; InputError names the line where it is not JSON, and `name`."""
    try:
        return json.loads(text, object_pairs_hook=_once_each)
    except json.JSONDecodeError as error:
        where = "it is empty" if not text.strip() else f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise InputError(f"{name} is not JSON ({where})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON that can be read ({shown(error, 200)})") from error


def utf8(text: str) -> bytes:
    """Text for a file: UTF-8, with codes for what is no letter, such as in file names of another encoding."""
    return text.encode("utf-8", "backslashreplace")


def json_text(content: Any, **options: Any) -> str:
    """JSON for a file in UTF-8: letters as they are; names of files that are no text (other systems') in codes."""
    text = json.dumps(content, ensure_ascii=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, **options)
    return text


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of which no entry is lost because another one of its name follows. Raises ValueError otherwise."""
    content = dict(pairs)
    twice = [key for key, value in pairs if content[key] is not value and content[key] != value]
    if twice:
        raise ValueError(f'"{shown(twice[0])}" stands twice in one object, with different values')
    return content


def read_jsonl(
    path: str | PathLike[str], *keys: str, on_bad: Callable[[str], None] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number, from 1, and its JSON object with at least `keys`; empty lines are passed over.

    A line that is something else raises InputError, or goes to `on_bad` as a sentence and is left out.
    """
    return parse_jsonl(read_text(path), shown(Path(path).name), keys, on_bad)


def parse_jsonl(
    text: str, name: str, keys: Sequence[str] = (), on_bad: Callable[[str], None] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """`read_jsonl` of a text already read; lines may end in a comma, as those of a list do."""
    for number, line in enumerate(LINE_ENDS.split(text), start=1):
        if not line.strip():
            continue
        try:
            yield number, _object(line.strip().removesuffix(","), keys, f"line {number} of {name}")
        except InputError as error:
            if on_bad is None:
                raise
            on_bad(str(error))


def _object(line: str, keys: Sequence[str], name: str) -> dict[str, Any]:
    try:
        content = json.loads(line, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON ({shown(getattr(error, 'msg', error), 200)})") from error
    if not isinstance(content, dict):
        raise InputError(f'{name} is not a JSON object but "{shown(line)}"')
    missing = next((key for key in keys if key not in content), None)
    if missing is not None:
        raise InputError(f'{name} has no "{missing}"')
    return content


def parse_table(text: str, needed: Sequence[str] = (), on_bad: Callable[[str], None] | None = None) -> list[Row]:
    """The rows of a table with a header, parted by commas, semicolons, tabs or bars; rows without a word are no rows.

    Two columns of one meaning in ALIASES: the likelier one has it, the other its own name.

    Args:
        needed: columns, by their names in ALIASES, without which the table is of no use.
        on_bad: is told of a row that does not fit the header, which is then left out; without it that is an error.

    Raises InputError for a text that is no such table, naming the column that was not found.
    """
    separator = _separator(text)
    rows: list[Row] = []
    columns: list[str] | None = None

    def refuse(words: str) -> None:
        if on_bad is None or columns is None:
            raise InputError(words)
        on_bad(words)

    for line, cells in _lines_of_cells(text, separator):
        if isinstance(cells, csv.Error):
            refuse(f"line {line} has no cells that can be read ({cells})")
        elif not any(cells) or (columns is None and SEPARATOR_LINE.fullmatch(separator.join(cells))):
            continue
        elif columns is None:
            columns = _named(cells)
            _check_columns(columns, cells, needed)
        elif any(cells[len(columns) :]):
            refuse(f"line {line} has {len(cells)} cells where the first line names {len(columns)}")
        else:
            cells += [""] * (len(columns) - len(cells))
            rows.append(Row(dict(zip(columns, cells, strict=False)), line, separator))
    if columns is None:
        raise InputError(f"the table is empty; its first line must name the columns {', '.join(needed)}".rstrip())
    return rows


def _lines_of_cells(text: str, separator: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """The last line and the cells of each row; a line whose quotes or length are wrong is an error by itself."""
    lines = list(io.StringIO(text, newline=""))
    start = 0  # lines that were read
    while start < len(lines):
        left = (lines[place] for place in range(start, len(lines)))
        reader = csv.reader(left, delimiter=separator, skipinitialspace=True, strict=True)
        done = 0
        try:
            for cells in reader:
                done = reader.line_num
                yield start + done, [cell.strip() for cell in cells]
            return
        except csv.Error as error:
            start += done + 1
            yield start, error


def column_key(name: str) -> str:
    """A column's name without what differs between writers: letter case, blanks, marks, full-width letters."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())


def _separator(text: str) -> str:
    """What parts the columns: that by which the first line names most that is known, unless that line says it."""
    header = next((line for line in text.split("\n") if line.strip()), "")
    if told := SEPARATOR_LINE.fullmatch(header.strip(" \r\n")):
        return told[1]
    known = {column_key(alias) for names in ALIASES.values() for alias in names}

    def found(separator: str) -> tuple[int, int]:
        names = [column_key(cell) for cell in header.split(separator)]
        return sum(name in known for name in names), len(names)

    return max(COLUMN_SEPARATORS, key=found)


def _named(cells: Sequence[str]) -> list[str]:
    keys = [column_key(cell) for cell in cells]
    columns = list(cells)
    for name, others in ALIASES.items():
        place = next((keys.index(key) for key in map(column_key, others) if key in keys), None)
        if place is not None:
            columns[place] = name
    # A column that lost its meaning to a likelier one must not take it back by being spelt the same.
    taken = {name for name, cell in zip(columns, cells, strict=True) if name in ALIASES and name != cell}
    seen: set[str] = set()
    for place, (name, cell) in enumerate(zip(columns, cells, strict=True)):
        if name in seen or (name in taken and name == cell):
            columns[place] = f"{cell} ({place + 1})"
        seen.add(columns[place])
    return columns


def _check_columns(columns: Sequence[str], cells: Sequence[str], needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InputError(
            f"the first line must name the columns {', '.join(needed)}; {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not among {shown(', '.join(cell for cell in cells if cell), 100)}"
        )
