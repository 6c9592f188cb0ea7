"""What the command line's `export` does: regions from one format of annotation tools into another."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from dynrefer import formats
from dynrefer.box_files import BoxFile
from dynrefer.errors import InputError, LeftOut, reason
from dynrefer.formats.record import Record
from dynrefer.photo_files import PhotoFinder, PhotoHeader


def export(source: Path, out: Path, format: str | None = None, photos: Path | None = None) -> int:
    """Write the regions of `source` (a file, folder or .zip of any format) to `out`.

    Args:
        format: one of `dynrefer.formats.FORMATS`; by default by the ending of `out`.
        photos: the folder of the photographs, for formats that need their sizes: names and boxes are then made to fit.

    Returns the exit code: 0 where all was written, 3 where some was left out, which stderr names.
    Raises InputError where nothing can be written.
    """
    format = formats.format_of(out, format)
    left_out: list[LeftOut] = []
    if photos is None:
        records = formats.read(source, on_bad=left_out.append)
    else:
        records = _fitted(BoxFile.read(source), photos, left_out)
    for left in left_out:
        print(f"Left out: {left}.", file=sys.stderr)
    if not records:
        raise InputError("No region could be used.")
    if note := formats.write(records, out, format):
        print(note, file=sys.stderr)
    print(f"{len(records)} regions written to {out}")
    return 3 if left_out else 0


def _fitted(file: BoxFile, folder: Path, left_out: list[LeftOut]) -> list[Record]:
    """The records with their boxes in pixels of the photographs of a folder, and these by their paths there."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    finder = PhotoFinder(folder)
    found = finder.find_all(dict.fromkeys(group.name for group in file.photographs))
    left_out += file.left_out
    records: list[Record] = []
    for group in file.photographs:
        path = found[group.name]
        try:
            if isinstance(path, InputError):
                raise path
            fitted, bad = group.fit(PhotoHeader.read(path))
        except InputError as error:
            left_out.append(LeftOut(str(group.name), f"{len(group.boxes)} regions", reason(error)))
            continue
        left_out += bad
        records += [replace(record, image=finder.identity(path)) for record in fitted]
    return records
