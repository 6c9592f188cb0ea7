"""The commands `export` and `project`: regions from one format into another, into a folder's project and out of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dynrefer import formats
from dynrefer.cli.output import check_apart
from dynrefer.errors import InputError, LeftOut, counted, reason, shown
from dynrefer.files.photo_files import PhotoFinder, PhotoHeader
from dynrefer.formats.box_files import BoxFile, places
from dynrefer.formats.record import Record
from dynrefer.project import Project, Region, read_project, words_in
from dynrefer.project import export as records_of
from dynrefer.question import Question
from dynrefer.results import RegionResult

logger = logging.getLogger(__name__)


def export(source: Path, out: Path, format: str | None = None, photos: Path | None = None) -> int:
    """Write the regions of `source` (a file, folder or .zip of any format) to `out`.

    Args:
        format: one of `dynrefer.formats.FORMATS`; by default by the ending of `out`.
        photos: the folder of the photographs, for formats that need their sizes: names and boxes are then made to fit.

    Returns the exit code: 0 where all was written, 3 where some was left out, which stderr names.
    Raises InputError where nothing can be written.
    """
    check_apart([out], source)
    format = formats.format_of(out, format)
    left_out: list[LeftOut] = []
    if photos is None:
        records = formats.read(source, on_bad=left_out.append)
    else:
        fitted, left_out = _fitted(BoxFile.read(source), photos)
        records = [replace(record, image=name) for name, _, boxes in fitted for record in boxes]
    for left in left_out:
        print(f"Left out: {left}.", file=sys.stderr)
    if not records:
        raise InputError("No region could be used.")
    if note := formats.write(records, out, format):
        print(note, file=sys.stderr)
    print(f"{counted(len(records), 'region')} written to {out}")
    return 3 if left_out else 0


Fitted = list[tuple[str, PhotoHeader, list[Record]]]
"""Photographs by their paths in a folder, with boxes in their pixels."""


def _fitted(file: BoxFile, folder: Path) -> tuple[Fitted, list[LeftOut]]:
    """What a file has for the photographs of a folder, and what of it cannot be used."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    finder = PhotoFinder(folder)
    found, left_out = file.by_photograph(finder.find_all)
    fitted: Fitted = []
    for path, groups in found.items():
        try:
            header = PhotoHeader.read(path)
        except InputError as error:
            left_out += [LeftOut(str(group.name), places(group.boxes), reason(error)) for group in groups]
            continue
        parts = [group.fit(header) for group in groups]
        left_out += [left for _, lefts in parts for left in lefts]
        fitted.append((finder.identity(path), header, [record for boxes, _ in parts for record in boxes]))
    return fitted, left_out


def project(folder: Path, take: Path | None = None, give: Path | None = None, format: str | None = None) -> int:
    """Take the regions of a file into the project of a folder, or write those of the project to a file, or both.

    Args:
        take: a file, folder or .zip of any format of `dynrefer.formats`. give: what to write, of the `format`, by
            default by its ending.

    Returns the exit code: 3 where something was left out, which is named on stderr. Raises InputError.
    """
    if take is None and give is None:
        raise InputError("Say what to do: --import FILE takes regions into the project, --export FILE writes them.")
    if give is not None:
        format = formats.format_of(give, format)
    left_out = take_regions(folder, take) if take is not None else []
    for left in left_out:
        logger.warning("Left out: %s.", left)
    if give is not None and format is not None:
        check_apart([give], take)
        records = records_of(read_project(folder), 0.5)
        if not records:
            raise InputError(f"the project of {folder.name} has no region to write")
        note = formats.write(records, give, format)
        logger.warning("%s written to %s%s", counted(len(records), "region"), give, f"; {note}" if note else "")
    return 3 if left_out else 0


def take_regions(folder: Path, path: Path) -> list[LeftOut]:
    """Add a file's regions to a folder's project; what the file says of them is a person's, unless a model said it.

    Of a region that is known, only what nobody has said yet is taken. Returns what could not be used.
    Raises InputError where none could.
    """
    file, work = BoxFile.read(path), Project(folder)
    try:
        fitted, left_out = _fitted(file, work.folder)
        if not fitted:
            raise InputError(f"{shown(path.name)} has no region on a photograph of {folder.name}: {left_out[0]}")
        for name, header, boxes in fitted:
            work.keeping(name, header.size)(_joined(work.regions(name), boxes))
        taken = sum(len({record.box for record in boxes}) for _, _, boxes in fitted)
        logger.warning("%s taken from %s into the project of %s", counted(taken, "region"), path.name, folder.name)
        return left_out
    finally:
        work.close()


def _joined(known: Iterable[Region], given: Iterable[Record]) -> list[Region]:
    """Regions of a photograph with those of a file, by their boxes."""
    regions = {region.answer.box: region for region in known}
    for record in given:
        words, former = words_in(record), regions.get(record.box)
        if former is None:
            empty = RegionResult(record.box, None, (), (), (), ())
            regions[record.box] = Region(Question.checked({}), empty, words)
        elif not former.words:
            regions[record.box] = replace(former, words=words)
    return list(regions.values())
