"""What files of one photograph each have in common: which photograph that is, and how large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dynrefer.boxes import Box, in_pixels
from dynrefer.errors import InputError, shown
from dynrefer.files.photo_files import readings
from dynrefer.formats.file import File
from dynrefer.formats.record import Record

FOLDERS = frozenset("annotations annotation labels xml xmls json jsons ann anns labelme obj_train_data".split())


@dataclass(frozen=True)
class PhotoRegions:
    """A photograph's name and path in a data set, its (width, height) if that is known, and its regions, to write."""

    name: str
    path: PurePosixPath
    size: tuple[int, int] | None
    records: Sequence[Record]

    def sized(self, format: str) -> tuple[int, int]:
        """(width, height). Raises InputError where it is not known."""
        if self.size is None:
            raise InputError(
                f"{format} needs the size of {shown(self.name) or 'the photograph'}: say where it is (--photos FOLDER)"
            )
        return self.size

    def box(self, record: Record) -> Box:
        """A record's box in pixels."""
        if not record.shares:
            return record.box
        return in_pixels(record.box, self.sized("a box from 0 to 1"))


def by_photograph(records: Iterable[Record]) -> list[PhotoRegions]:
    """The records by photograph, in their order."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(str(record.image), []).append(record)
    return [
        PhotoRegions(name, _path(name), next((r.pixel_size for r in group if r.pixel_size), None), group)
        for name, group in groups.items()
    ]


def _path(name: str) -> PurePosixPath:
    """A photograph's name as a path that stays inside a folder."""
    parts = (readings(name) or [("photograph",)])[-1]
    return PurePosixPath(*(part.replace(":", "") or "_" for part in parts))


def side_files(photographs: Sequence[PhotoRegions], ending: str) -> list[tuple[str, PhotoRegions]]:
    """Each with the name of the file beside it, `cat.xml`, or `cat.png.xml` where another photograph has its stem."""
    stems = [photograph.path.with_suffix("").as_posix() for photograph in photographs]
    alike = Counter(map(str.casefold, stems))
    return [
        (f"{photograph.path.as_posix() if alike[stem.casefold()] > 1 else stem}{ending}", photograph)
        for photograph, stem in zip(photographs, stems, strict=True)
    ]


def beside(file: File, name: str) -> str:
    """The photograph that one of several files calls `name`, from its own place: `labels/a/1.txt` is about `a/1`."""
    folders = list(file.path.parent.parts)
    kept = next((place + 1 for place, part in enumerate(folders) if part.casefold() in FOLDERS), 0)
    name = name.replace("\\", "/")
    if name.startswith("/") or ":" in name.partition("/")[0]:  # from another machine: its own folders say more
        return name
    parts = folders if "/.." in f"/{name}" else folders[kept:]
    named = PurePosixPath(name).parts
    if len(named) > 1 and tuple(parts[1 - len(named) :]) == named[:-1]:
        return "/".join([*parts, named[-1]])  # it names its folders itself
    for part in named:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)
