"""Text and JSON as programs of any maker, language and machine write them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from dynrefer.errors import InputError, shown

CONTAINERS = {
    b"PK\x03\x04": "is a workbook or an archive, not text; save it as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "is an old workbook, not text; save it as CSV in UTF-8",
    b"\x1f\x8b": "is compressed; unpack it first",
}
LINE_ENDS = re.compile(r"\r\n|[\r\n]")


def read_text(path: str | PathLike[str]) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark, or with a Latin letter or sign first.

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


def is_file(path: Path) -> bool:
    """Whether there is a file at a path, which may be any text: longer than a path can be, or with a zero in it."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def decode_text(data: bytes, name: str) -> str:
    """`read_text` of bytes already read; `name` is what an error calls them."""
    if (container := next((words for start, words in CONTAINERS.items() if data.startswith(start)), None)) is not None:
        raise InputError(f"{name} {container}")
    encoding = json.detect_encoding(data).removesuffix("-sig")  # whose mark goes below
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name} is not a text file in UTF-8 or UTF-16 (line {line}, byte {error.start + 1} is neither); "
            f"save it as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{name} is not a text file (it holds zero bytes); save it as text in UTF-8")
    return re.sub(r"(?m)^\ufeff", "", text)  # files put one behind the other keep their marks


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


def parse_json(text: str | bytes, name: str) -> Any:
    """The content of a JSON text, or of its bytes in UTF-8, 16 or 32.

    Raises InputError, naming the line where it is not JSON, and `name`.
    """
    try:
        return json.loads(text, object_pairs_hook=_once_each)
    except json.JSONDecodeError as error:
        where = "it is empty" if not text.strip() else f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise InputError(f"{name} is not JSON ({where})") from error
    except RecursionError as error:
        raise InputError(f"{name} is not JSON that can be read (it is nested too deeply)") from error
    except ValueError as error:
        why = "a number has thousands of digits" if "integer string conversion" in str(error) else shown(error, 200)
        raise InputError(f"{name} is not JSON that can be read ({why})") from error


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
