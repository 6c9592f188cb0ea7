"""Lists of words or class names: typed, in a file, or inside what other tools list them in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from dynrefer.errors import InputError, shown
from dynrefer.tables import ALIASES, column_key, parse_json, parse_table, read_text

# Commas and semicolons of the world's scripts, the bar, the tab and the ends of lines.
WORD_SEPARATORS = re.compile(r"[,;|\t\r\n\v\f\x85\u2028\u2029，；、｜､﹐﹑﹔︐︑︔،؛፣፤߸᠂᠈꓾꘍꛵⸲⸴⸵⹁⹌⹎]+")
NUMBERS_OF_NAMES = {*"id index number no nr code count supercategory categoryid classid labelid".split()}
INVISIBLE = " \t\u200b\u200e\u200f\u2060\ufeff"
LIST_ENDINGS = {*".txt .csv .tsv .tab .json .names .list .lst .md .xlsx .yaml .yml".split()}
SLASHES = re.compile(r"[/\\]")
PATH_START = re.compile(r"[~.]{0,2}[/\\]|[A-Za-z]:[/\\]")
NUMBERED = re.compile(r"\s*\d+\s*[:.)]\s*(?=\S)")


def read_words(source: str | PathLike[str]) -> list[str]:
    """Words or names parted by lines, commas or semicolons of any script, bars or tabs; blanks and doubles dropped.

    `source` is the path of a text file that exists, else the words themselves. A JSON list of texts is read too.
    Raises InputError for a path without a file.
    """
    text = str(source)
    if _is_file(text):
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
    return _tidy(WORD_SEPARATORS.split("\n".join(line for line in text.splitlines() if not line.startswith("# "))))


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


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # longer than any path, or with a zero in it: words
        return False
