"""What the command line's `project` does: regions of other tools into a folder's project, and its regions out of it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dynrefer.box_files import BoxFile, PhotoBoxes
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.formats import write
from dynrefer.formats.record import Record
from dynrefer.photo_files import PhotoFinder, PhotoHeader
from dynrefer.project import Project, Region, export, read_project, words_in
from dynrefer.question import Question
from dynrefer.results import RegionResult

logger = logging.getLogger(__name__)


def project(folder: Path, take: Path | None = None, give: Path | None = None, format: str = "json") -> int:
    """Take the regions of a file into the project of a folder, or write those of the project to a file, or both.

    Args:
        take: a file, folder or .zip of any format of `dynrefer.formats`. give: what to write, of the `format`.

    Returns the exit code: 3 where something was left out, which is named on stderr. Raises InputError.
    """
    if take is None and give is None:
        raise InputError("Say what to do: --import FILE takes regions into the project, --export FILE writes them.")
    left_out = take_regions(folder, take) if take is not None else []
    for left in left_out:
        logger.warning("left out: %s", left)
    if give is not None:
        records = export(read_project(folder), 0.5)
        if not records:
            raise InputError(f"the project of {folder.name} has no region to write")
        note = write(records, give, format)
        logger.warning("%d regions written to %s%s", len(records), give, f"; {note}" if note else "")
    return 3 if left_out else 0


def take_regions(folder: Path, path: Path) -> list[LeftOut]:
    """Add a file's regions to a folder's project; what the file says of them is a person's, unless a model said it.

    Of a region that is known, only what nobody has said yet is taken. Returns what could not be used.
    Raises InputError where none could.
    """
    file, work = BoxFile.read(path), Project(folder)
    try:
        finder, left_out = PhotoFinder(work.folder), list(file.left_out)
        found = finder.find_all(dict.fromkeys(group.name for group in file.photographs))
        groups: dict[Path, list[PhotoBoxes]] = defaultdict(list)
        for group in file.photographs:
            photograph = found[group.name]
            if isinstance(photograph, InputError):
                left_out.append(LeftOut(str(group.name), "", reason(photograph)))
            else:
                groups[photograph].append(group)
        for photograph, parts in groups.items():
            header = PhotoHeader.read(photograph)
            fitted = [part.fit(header) for part in parts]
            left_out += [left for _, lefts in fitted for left in lefts]
            name = finder.identity(photograph)
            known = work.regions(name)
            work.keeping(name, header.size)(_joined(known, [box for boxes, _ in fitted for box in boxes]))
        if not groups:
            raise InputError(f"{shown(path.name)} has no region on a photograph of {folder.name}: {left_out[0]}")
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
