"""The files of a data set: one, a folder or an archive of them, each by its name there; written whole or not at all."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from dynrefer.errors import InputError, LeftOut, shown
from dynrefer.files.atomic import write_whole
from dynrefer.files.coco import box_numbers
from dynrefer.files.text import decode_text, parse_json, parse_jsonl, read_bytes, utf8

ENDINGS = frozenset(".json .jsonl .ndjson .csv .tsv .txt .xml .yaml .yml .names".split())
BEGINNING = rb"(?:\xef\xbb\xbf|\xff\xfe|\0\0\xfe\xff|\xfe\xff)?[\s\0]*"  # marks and blanks of any encoding
OFFICE = {"[Content_Types].xml", "mimetype"}  # in the archives that office programs write
MAX_MEGABYTES = 1024  # of an archive, unpacked: one that holds more is no file of annotations
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same content makes the same archive
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class File:
    """A file's name, with its folders where it is one of several, and its content."""

    name: str
    data: bytes

    @property
    def path(self) -> PurePosixPath:
        """Its name as a path."""
        return PurePosixPath(self.name)

    @cached_property
    def text(self) -> str:
        """Its text. Raises InputError where it is none, see `dynrefer.files.text.read_text`."""
        return decode_text(self.data, shown(self.name))

    @cached_property
    def json(self) -> Any:
        """Its JSON, or a list of the objects of its lines; None where it does not begin like JSON.

        Raises InputError, naming the line, where it is damaged.
        """
        return self._json[0]

    @property
    def unread(self) -> list[LeftOut]:
        """The lines that are no objects, where the others are: a list that is cut short costs what is cut off."""
        return self._json[1]

    @cached_property
    def _json(self) -> tuple[Any, list[LeftOut]]:
        if not re.match(BEGINNING + rb"[\[{]", self.data[:200]):
            return None, []
        try:
            return parse_json(self.text, shown(self.name)), []
        except InputError:
            bad: list[LeftOut] = []
            lines = re.sub(r"^(\s*)\[|\]\s*$", r"\1", self.text)
            read = list(
                parse_jsonl(
                    lines, shown(self.name), on_bad=lambda words: bad.append(LeftOut("", "", words.removesuffix(".")))
                )
            )
            first = self.text.partition("{")[0].count("\n") + 1
            if not read or read[0][0] > first:  # its first line is no object: these are no lines of objects
                raise
            return [line for _, line in read], bad

    @cached_property
    def xml(self) -> Element | None:
        """Its XML; None where it does not begin like it. Raises InputError, naming the line, where it is damaged."""
        if not re.match(BEGINNING + rb"<", self.data[:200]):
            return None
        try:
            return fromstring(self.data)
        except ParseError as error:
            line, column = error.position
            why = f"line {line}, column {column}: {str(error).partition(':')[0]}"
            raise InputError(f"{shown(self.name)} is damaged ({why})") from error
        except (DefusedXmlException, ValueError, LookupError) as error:
            raise InputError(f"{shown(self.name)} is not XML that can be read") from error


def read_files(path: str | PathLike[str]) -> list[File]:
    """The file at `path`, or all files of annotations in a folder, at any depth, or in a .zip, in order of their names.

    Raises InputError where there is none, or where it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if _is_wanted(file.relative_to(path)) and file.is_file())
        files = [File(file.relative_to(path).as_posix(), read_bytes(file)) for file in found]
    else:
        data = read_bytes(path)
        files = _unpacked(data, path.name) if zipfile.is_zipfile(io.BytesIO(data)) else [File(path.name, data)]
    if not files:
        kind = "folder" if path.is_dir() else "archive"
        raise InputError(f"the {kind} {shown(path.name)} holds no file of annotations ({', '.join(sorted(ENDINGS))})")
    return files


def _unpacked(data: bytes, name: str) -> list[File]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if OFFICE & set(archive.namelist()):
                raise InputError(f"{shown(name)} is a workbook, not text; save it as CSV in UTF-8")
            entries = [entry for entry in archive.infolist() if _is_wanted(PurePosixPath(entry.filename))]
            if sum(entry.file_size for entry in entries) > MAX_MEGABYTES * 2**20:
                raise InputError(
                    f"{shown(name)} holds more than {MAX_MEGABYTES} MB of annotations; unpack it into a folder"
                )
            return [File(entry.filename, archive.read(entry)) for entry in sorted(entries, key=lambda e: e.filename)]
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError) as error:
        raise InputError(f"{shown(name)} is a damaged or locked archive; unpack it into a folder") from error


def _is_wanted(path: Path | PurePosixPath) -> bool:
    return path.suffix.lower() in ENDINGS and not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def packed(files: Mapping[str, str]) -> bytes:
    """The files as a .zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(utf8(name).decode(), ZIP_TIME), utf8(text), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def write_file(path: Path, content: str | bytes) -> None:
    """Write one file. Raises InputError, leaving what was there, where that fails."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file")
    write_whole(path.resolve(), content)


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder, which is made; others that it holds stay. Raises InputError where that fails."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder, or a .zip")
    for name, text in files.items():
        write_file(folder / name, text)


def numbers_of(element: Element | None, names: tuple[str, str, str, str]) -> tuple[float, float, float, float]:
    """Four numbers of an element's attributes or children. Raises InputError that says which is missing or none."""
    values = {name: None if element is None else element.get(name, element.findtext(name)) for name in names}
    missing = next((name for name, value in values.items() if value is None), None)
    if missing is not None:
        raise InputError(f"it has no {missing}")
    return box_numbers(list(values.values()), names)


def _xml(value: object) -> str:
    """A value as text, without what XML cannot hold."""
    return _NOT_IN_XML.sub("", str(value))


def add_element(parent: Element, tag: str, value: object = None, **attributes: object) -> Element:
    """A new child of an element, with a text and attributes."""
    child = SubElement(parent, tag, {name: _xml(given) for name, given in attributes.items()})
    if value is not None:
        child.text = _xml(value)
    return child


def xml_text(root: Element) -> str:
    """A whole file of XML."""
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"
