"""Files of regions as annotation tools exchange them: one registry for the command line, the page and Python."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from dynrefer.errors import InputError, LeftOut, shown
from dynrefer.files.text import utf8
from dynrefer.formats import coco, cvat, imagefolder, label_studio, labelme, own, table, voc, yolo
from dynrefer.formats.file import File, packed, read_files, write_file, write_folder
from dynrefer.formats.record import Record

__all__ = ["FORMATS", "Format", "LeftOut", "Record", "encode", "format_of", "lost", "parse", "read", "write"]

logger = logging.getLogger(__name__)
Found = Iterator[Record | LeftOut]


@dataclass(frozen=True)
class Format:
    """A format: how it is known by a file's content, read and written."""

    title: str
    ending: str
    """Of the file that is written; .zip where it has several files, which may be written as a folder too."""
    knows: Callable[[File], bool]
    read: Callable[[Sequence[File]], Found]
    write: Callable[[Sequence[Record]], Mapping[str, str]]
    """Texts by file name. Raises InputError where something that it needs is not known."""
    loses: tuple[str, ...] = ()
    """What it cannot hold: keys of _HAS."""


def _each(read: Callable[[File], Found]) -> Callable[[Sequence[File]], Found]:
    return lambda files: (found for file in files for found in _of_file(read(file), file, len(files) > 1))


def _of_file(found: Found, file: File, several: bool) -> Found:
    """With the file's name in the places, where there are several."""
    name = f"{shown(file.name)}, "
    for item in found:
        if not several:
            yield item
        elif isinstance(item, Record):
            yield replace(item, where=name + item.where)
        else:
            yield replace(item, annotation=name + item.annotation)


MASKS, OUTLINE, FRACTIONS, SCORES, WORDS = (
    "outlines of several parts",
    "outlines",
    "fractions of a pixel",
    "scores",
    "captions, tags and attributes",
)
FORMATS: dict[str, Format] = {
    # In the order in which a file is asked whose it is.
    "label-studio": Format(
        "Label Studio", ".json", label_studio.knows, _each(label_studio.read), label_studio.write, (OUTLINE,)
    ),
    "labelme": Format("LabelMe", ".zip", labelme.knows, _each(labelme.read), labelme.write, (SCORES, MASKS)),
    "coco": Format("COCO", ".json", coco.knows, _each(coco.read), coco.write),
    "imagefolder": Format(
        "Hugging Face imagefolder", ".jsonl", imagefolder.knows, _each(imagefolder.read), imagefolder.write, (OUTLINE,)
    ),
    "voc": Format("Pascal VOC", ".zip", voc.knows, voc.read, voc.write, (SCORES, FRACTIONS, OUTLINE)),
    "cvat": Format("CVAT", ".xml", cvat.knows, _each(cvat.read), cvat.write, (SCORES, MASKS)),
    "yolo": Format("YOLO", ".zip", yolo.knows, yolo.read, yolo.write, (SCORES, WORDS, OUTLINE)),
    "json": Format("JSON", ".json", own.knows, _each(own.read), own.write),
    "csv": Format("CSV", ".csv", table.knows, _each(table.read), table.write, (OUTLINE,)),
}
_HAS: dict[str, Callable[[Record], bool]] = {
    MASKS: lambda record: bool(record.segmentation) and len(record.polygons) != 1,
    OUTLINE: lambda record: bool(record.segmentation),
    FRACTIONS: lambda record: any(value != round(value) for value in record.box),
    SCORES: lambda record: record.score is not None or record.caption_score is not None,
    WORDS: lambda record: bool(record.caption or record.tags or record.attributes),
}


def read(
    path: str | PathLike[str], format: str | None = None, on_bad: Callable[[LeftOut], None] | None = None
) -> list[Record]:
    """The regions of a file, or of all files of one format in a folder, at any depth, or in a .zip.

    Args:
        format: one of FORMATS; by default it is told by the content, whatever a file's ending.
        on_bad: is told of what cannot be read; by default it is logged.

    Raises InputError where there is no such file, or none that can be read, or where a folder has several formats.
    """
    return _read(read_files(path), shown(Path(path).name), format, on_bad)


def parse(text: str, name: str, on_bad: Callable[[LeftOut], None] | None = None) -> list[Record]:
    """`read` of a text; `name` is what errors call it."""
    return _read([File(name, text.encode())], name, None, on_bad)


def _read(
    files: Sequence[File], name: str, format: str | None, on_bad: Callable[[LeftOut], None] | None
) -> list[Record]:
    if len(files) == 1 and not files[0].data.strip():
        raise InputError(f"{name} is empty")
    kinds: dict[str, list[File]] = {}
    refused: list[LeftOut] = []
    for file in files:
        try:
            kinds.setdefault(_kind(file, format, len(files) > 1), []).append(file)
        except InputError as error:
            if len(files) == 1:
                raise
            refused.append(LeftOut("", shown(file.name), str(error.args[0])))
    found = {kind: kinds[kind] for kind in kinds if kind}
    if len(found) > 1:
        listed = " and ".join(f"{FORMATS[kind].title} ({shown(named[0].name)})" for kind, named in found.items())
        raise InputError(f"{name} holds {listed}; name one of the files, or say which format is meant")
    if not found:
        raise InputError(f"{name} holds no file of a format that can be read{f': {refused[0]}' if refused else ''}")
    ((kind, chosen),) = found.items()
    records: list[Record] = []
    try:
        items = [*refused, *FORMATS[kind].read(chosen), *(left for file in chosen for left in file.unread)]
    except InputError as error:
        words = str(error.args[0])
        raise InputError(words if words.startswith(shown(chosen[0].name)) else f"{name}: {words}") from error
    for item in items:
        if isinstance(item, Record):
            records.append(item)
        elif on_bad is None:
            logger.warning("left out of %s: %s", name, item)
        else:
            on_bad(item)
    return records


def _kind(file: File, format: str | None, several: bool) -> str:
    """The format of a file; "" where it is not among several that are read."""
    if format is not None:
        known = _checked(format).knows(file) or not several
        return format if known else ""
    kind = next((kind for kind, known in FORMATS.items() if known.knows(file)), "")
    return "" if several and kind in ("csv", "json") and not _has_boxes(FORMATS[kind], file) else kind


def _has_boxes(format: Format, file: File) -> bool:
    """Whether one of many files, such as a README.txt or a package.json, holds boxes at all."""
    try:
        return any(isinstance(item, Record) for item in format.read([file]))
    except InputError:
        return False


def _checked(format: str) -> Format:
    if format not in FORMATS:
        raise InputError(f'there is no format "{shown(format)}"; the formats are {", ".join(sorted(FORMATS))}')
    return FORMATS[format]


def format_of(path: str | PathLike[str], format: str | None = None) -> str:
    """The format in which `path` is meant to be written: the one named, or by its ending.

    Raises InputError where there is no such format, where the ending does not tell, or where a folder stands in the
    place of the file or a file in that of the folder.
    """
    path = Path(path)
    ending = path.suffix.lower()
    by_ending = {".xml": "cvat", ".jsonl": "imagefolder", ".csv": "csv", ".json": "json"}
    if format is None and ending not in by_ending:
        raise InputError(f"say which format {shown(path.name)} is to have: {', '.join(sorted(FORMATS))}")
    format = format or by_ending[ending]
    several = _checked(format).ending == ".zip" and ending != ".zip"
    if several and path.is_file():
        raise InputError(f"{shown(path.name)} is a file; {FORMATS[format].title} needs a folder, or a .zip")
    if not several and path.is_dir():
        raise InputError(f"{shown(path.name)} is a folder; name a file")
    return format


def write(records: Iterable[Record], path: str | PathLike[str], format: str = "json") -> str:
    """Write records; a format of several files becomes a folder, or a .zip where `path` ends so.

    Returns one sentence about what the format could not hold, "" where it holds all. Raises InputError where the
    format needs what is not known, such as a photograph's size, or where the file cannot be written.
    """
    records, path = list(records), Path(path)
    files = _checked(format).write(records)
    if path.suffix.lower() == ".zip":
        write_file(path, packed(files))
    elif FORMATS[format].ending == ".zip":
        write_folder(path, files)
    else:
        write_file(path, next(iter(files.values())))
    return lost(records, format)


def encode(records: Iterable[Record], format: str) -> tuple[bytes, str]:
    """The one file that a format is saved as, and its ending; see `write`."""
    chosen = _checked(format)
    files = chosen.write(list(records))
    return (packed(files), ".zip") if chosen.ending == ".zip" else (utf8(next(iter(files.values()))), chosen.ending)


def lost(records: Iterable[Record], format: str) -> str:
    """What of the records a format cannot hold, as a sentence; "" where that is nothing."""
    chosen, records = _checked(format), list(records)
    missing = [what for what in chosen.loses if any(map(_HAS[what], records))]
    if not missing:
        return ""
    return f"{chosen.title} holds no {', no '.join(missing)}: these were left out."
