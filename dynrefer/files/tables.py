"""Tables with a header, and lists of words: typed, in a file, or inside what other tools list them in."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from dynrefer.errors import InputError, shown
from dynrefer.files.text import is_file, parse_json, read_text

COLUMN_SEPARATORS = ",;\t|，；、، "  # blanks last: they stand inside names too
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


# Commas and semicolons of the world's scripts, the bar, the tab and the ends of lines.
WORD_SEPARATORS = re.compile(r"[,;|\t\r\n\v\f\x85\u2028\u2029，；、｜､﹐﹑﹔︐︑︔،؛፣፤߸᠂᠈꓾꘍꛵⸲⸴⸵⹁⹌⹎]+")
NUMBERS_OF_NAMES = {*"id index number no nr code count supercategory categoryid classid labelid".split()}
INVISIBLE = " \t\u200b\u200e\u200f\u2060\ufeff"
LIST_ENDINGS = {*".txt .csv .tsv .tab .json .names .list .lst .md .xlsx .yaml .yml".split()}
SLASHES = re.compile(r"[/\\]")
PATH_START = re.compile(r"[~.]{0,2}[/\\]|[A-Za-z]:[/\\]")
NUMBERED = re.compile(r"\s*\d+\s*[:.)]\s*(?=\S)")
FULL_STOP = re.compile(
    r"(?<=[^\W\d])(?<!\.\w)[.。]\s*\Z"
)  # ends a list written as a sentence; an abbreviation has more


def read_words(source: str | PathLike[str]) -> list[str]:
    """Words or names parted by lines, commas or semicolons of any script, bars or tabs; blanks and doubles dropped.

    `source` is the path of a text file that exists, else the words themselves. A JSON list of texts is read too.
    Raises InputError for a path without a file.
    """
    text = str(source)
    if is_file(Path(text)):
        return split_words(read_text(text))
    is_path = Path(text).suffix.lower() in LIST_ENDINGS or PATH_START.match(text)
    if not isinstance(source, str) or (is_path and not WORD_SEPARATORS.search(text)):
        raise InputError(f"there is no file {shown(re.split(SLASHES, text)[-1])}")
    return split_words(text)


def split_words(text: str) -> list[str]:
    """`read_words` of a text."""
    start = text.lstrip()[:1]
    if start == "{" or (start == "[" and '"' in text):
        return _tidy(_json_words(parse_json(text, "the list of words")))
    if (column := _column_of_names(text)) is not None:
        return _tidy(column)
    if start == "[" and text.rstrip().endswith("]"):
        text = text.strip()[1:-1]
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(NUMBERED.match(line) for line in lines):
        text = "\n".join(NUMBERED.sub("", line, count=1) for line in lines)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("# "))
    return _tidy(WORD_SEPARATORS.split(FULL_STOP.sub("", text)))


def _json_words(content: Any) -> list[str]:
    """A list of texts or of categories with names, COCO's categories, names by number or numbers by name."""
    if isinstance(content, dict):
        listed = content.get("categories", content.get("names"))
        if listed is None:
            listed = list(content if all(isinstance(value, int) for value in content.values()) else content.values())
        content = list(listed.values()) if isinstance(listed, dict) else listed
    listed = content if isinstance(content, list) else [None]
    given = [item.get("name") if isinstance(item, dict) else item for item in listed]
    words = [word for word in given if isinstance(word, str)]
    if len(words) < len(given):
        raise InputError("the JSON is no list of words: give a list of texts, or categories with names")
    return words


def _column_of_names(text: str) -> list[str] | None:
    """The names in a table of numbered names, such as a header "id,name" with a row each; None where it is no such."""
    header = text.lstrip(INVISIBLE + "\r\n").splitlines()[:1]
    cells = {column_key(cell) for cell in re.split(r"[,;\t|]", header[0])} if header else set()
    if len(cells) < 2 or not cells & _keys("label") or not cells <= _keys("label") | _keys("id") | NUMBERS_OF_NAMES:
        return None
    rows = parse_table(text, ["label"])
    return [row["label"] for row in rows] if rows else None


def _keys(column: str) -> set[str]:
    return {column_key(alias) for alias in ALIASES[column]}


def _tidy(words: Sequence[str]) -> list[str]:
    kept: dict[str, str] = {}
    for word in words:
        word = " ".join(word.strip(INVISIBLE).split()).strip(INVISIBLE)
        if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'":
            word = word[1:-1].strip()
        if word:
            kept.setdefault(unicodedata.normalize("NFC", word), word)
    return list(kept.values())
