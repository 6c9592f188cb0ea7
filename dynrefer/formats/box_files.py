"""Files of boxes: which boxes they have for a photograph as it is and not as the file remembers it, in its pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from dynrefer.boxes import Box, are_shares, check_box, in_pixels, reach_out
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.files.coco import box_numbers
from dynrefer.files.photo_files import PhotoHeader, best_names
from dynrefer.formats import parse, read
from dynrefer.formats.own import CORNERS
from dynrefer.formats.record import Record
from dynrefer.photo import Photo

SLACK = 1.0  # pixels by which a resized side may be rounded
Measured = Photo | PhotoHeader  # what is needed of a photograph is its name, sizes and orientation

logger = logging.getLogger(__name__)
P = TypeVar("P", bound=Hashable)


@dataclass
class PhotoBoxes:
    """The boxes that a file has for one photograph; `name` is empty where the file names none."""

    name: str | int
    stated_size: tuple[Any, Any] | None = None
    boxes: list[Record] = field(default_factory=list)
    shares: bool = False
    """Whether the boxes are shares of the photograph, from 0 to 1, and not pixels."""

    @classmethod
    def typed(cls, boxes: Sequence[Sequence[float]]) -> PhotoBoxes:
        """Boxes that a person gave for one photograph. Raises InputError where one is not four finite numbers."""
        given = [Record("", box_numbers(box, CORNERS), where=f"box {n}") for n, box in enumerate(boxes, start=1)]
        return cls("", boxes=given, shares=are_shares(box.box for box in given))

    def fit(self, photo: Measured, say: Callable[[str], None] = logger.warning) -> tuple[list[Record], list[LeftOut]]:
        """The boxes in pixels of the upright photograph, checked and clipped, and those that cannot be used."""
        name = photo.name or str(self.name)
        boxes = [given.box for given in self.boxes]
        try:
            if self.shares:
                if not all(given.shares for given in self.boxes):
                    say(f"{shown(name)} has boxes from 0 to 1; they are read as shares of the photograph")
                boxes = [in_pixels(box, photo.size) for box in boxes]
            else:
                boxes = fit_boxes(boxes, self.stated_size, photo, say)
        except InputError as error:
            return [], [LeftOut(name, given.where, reason(error)) for given in self.boxes]
        fitted: list[Record] = []
        left_out: list[LeftOut] = []
        cut: dict[str, float] = {}
        for given, box in zip(self.boxes, boxes, strict=True):
            try:
                outline = given.segmentation if box == given.box else None  # drawn on the photograph as it was
                checked = check_box(box, photo.size)
                fitted.append(replace(given, box=checked, size=photo.size, shares=False, segmentation=outline))
                if out := reach_out(box, photo.size):
                    cut[given.where] = out
            except InputError as error:
                left_out.append(LeftOut(name, given.where, reason(error)))
        if cut:
            where, out = next(iter(cut.items()))
            more = f" and {len(cut) - 1} more" if len(cut) > 1 else ""
            say(
                f"{shown(name)}, {where}{more}: the box reaches {out:.0f} pixels out of the photograph; it is cut to it"
            )
        return fitted, left_out


@dataclass
class BoxFile:
    """What a file of boxes says: boxes by photograph, and the records that could not be read."""

    name: str
    photographs: list[PhotoBoxes]
    left_out: list[LeftOut] = field(default_factory=list)

    @classmethod
    def read(cls, path: str | PathLike[str], format: str | None = None) -> BoxFile:
        """Read a file, a folder or an archive, see `dynrefer.formats.read`. Raises InputError where it has no box."""
        left_out: list[LeftOut] = []
        return cls._of(read(path, format, left_out.append), left_out, shown(Path(path).name))

    @classmethod
    def parse(cls, text: str, name: str) -> BoxFile:
        """`read` of a text; `name` is what errors call it."""
        left_out: list[LeftOut] = []
        return cls._of(parse(text, name, left_out.append), left_out, name)

    @classmethod
    def _of(cls, records: Iterable[Record], left_out: list[LeftOut], name: str) -> BoxFile:
        found: dict[tuple[object, ...], PhotoBoxes] = {}
        for record in records:
            key = (record.image, record.shares, *map(str, record.size or ()))
            known = found.setdefault(key, PhotoBoxes(record.image, record.size, shares=record.shares))
            known.boxes.append(record)
        if not found:
            raise InputError(f"{name} has no box that can be used: {left_out[0]}" if left_out else f"{name}: no boxes")
        groups = list(found.values())
        shares = are_shares(given.box for group in groups for given in group.boxes)
        return cls(name, [replace(group, shares=group.shares or shares) for group in groups], left_out)

    def of(self, photo: str | PathLike[str] | None) -> BoxFile:
        """The part about one photograph, by its path or file name; None where its name is not known.

        Boxes that name no photograph are about any. Raises InputError where the file is about other photographs only.
        """
        names = list(dict.fromkeys(group.name for group in self.photographs if group.name != ""))
        if not photo or not str(photo):
            kept = names if len(names) < 2 else []
        else:
            kept = best_names(names, Path(photo)) or _only_number(names, Path(photo))
        groups = [group for group in self.photographs if group.name == "" or group.name in kept]
        if not groups:
            called = shown(Path(photo or "").name) or "this photograph"
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            listed = ", ".join(shown(name) for name in names[:3])
            raise InputError(f"{self.name} has no boxes for {called}; it is about {listed}{more}")
        kept_texts = {str(name) for name in kept} | {""}  # a record of which one cannot tell may be about this one
        return BoxFile(self.name, groups, [left for left in self.left_out if left.photograph in kept_texts])

    def by_photograph(
        self, find: Callable[[Iterable[str | int]], Mapping[str | int, P | InputError]]
    ) -> tuple[dict[P, list[PhotoBoxes]], list[LeftOut]]:
        """The boxes by the photograph that they are of; what has none, or could not be read.

        `find` tells which photographs the file's names mean, or why none: that of a `PhotoFinder` is `find_all`.
        """
        found = find(dict.fromkeys(group.name for group in self.photographs if group.name != ""))
        photographs: dict[P, list[PhotoBoxes]] = {}
        left_out = list(self.left_out)
        for group in self.photographs:
            photo = found.get(group.name, InputError(f"{self.name} does not say whose they are"))
            if isinstance(photo, InputError):
                left_out.append(LeftOut(str(group.name), places(group.boxes), reason(photo)))
            else:
                photographs.setdefault(photo, []).append(group)
        return photographs, left_out

    def fit(self, photo: Measured, say: Callable[[str], None] = logger.warning) -> tuple[list[Record], list[LeftOut]]:
        """All boxes as boxes of one photograph, see `PhotoBoxes.fit`; what is left out includes what was not read."""
        parts = [group.fit(photo, say) for group in self.photographs]
        return [box for boxes, _ in parts for box in boxes], [
            *self.left_out,
            *(left for _, lefts in parts for left in lefts),
        ]


def places(boxes: Sequence[Record]) -> str:
    """Where in a file boxes are: "annotation 7, annotation 9 and 3 more"."""
    more = f" and {len(boxes) - 3} more" if len(boxes) > 3 else ""
    return ", ".join(given.where for given in boxes[:3]) + more


def _only_number(names: Sequence[str | int], photo: Path) -> list[str | int]:
    """A file of one number and no name says nothing about a photograph that has no number in its name."""
    is_number = len(names) == 1 and str(names[0]).isdecimal()
    return list(names) if is_number and not any(letter.isdecimal() for letter in photo.stem) else []


def fit_boxes(
    boxes: Sequence[Box],
    stated_size: tuple[object, object] | None,
    photo: Measured,
    say: Callable[[str], None] = logger.warning,
) -> list[Box]:
    """Boxes x1, y1, x2, y2 of the upright photograph, from boxes of a photograph of the size that a file states.

    The same size: as they are; width and height changed places and EXIF turns the photograph: turned; the same shape
    to a pixel: scaled. `say` hears of the latter two, once a photograph, and of a turn that the size does not show.
    Without a stated size they stay as they are.
    Raises InputError, naming the photograph, where the sizes belong to different pictures.
    """
    stated = _whole_size(stated_size)
    if stated is None or stated == photo.size:
        if stated and photo.orientation > 1 and (photo.orientation < 5 or stated[0] == stated[1]):
            say(f"{shown(photo.name)} is turned by EXIF, which no size shows; its boxes are read as of the upright one")
        return list(boxes)
    turned = photo.orientation >= 5
    scales, scales_stored = _same_shape(stated, photo.size), turned and _same_shape(stated, photo.stored_size)
    says = f"{shown(photo.name)} is {_times(photo.size)} pixels upright where its file says {_times(stated)}"
    if turned and (stated == photo.stored_size or (scales_stored and not scales)):
        say(f"{says}; EXIF turns it, so its boxes are turned too")
        stored = _scaled(boxes, stated, photo.stored_size)
        return [_upright(box, photo.stored_size, photo.orientation) for box in stored]
    if scales and not scales_stored:
        say(f"{says}; the shape is the same, so its boxes are scaled")
        return _scaled(boxes, stated, photo.size)
    raise InputError(f"{says}: these are different pictures, so its boxes cannot be used")


def _whole_size(stated: tuple[object, object] | None) -> tuple[float, float] | None:
    """A stated (width, height) as numbers, also written as text; None where a side is missing."""
    try:
        width, height = (float(side) for side in stated or ())  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return (width, height) if 0 < width < float("inf") and 0 < height < float("inf") else None


def _same_shape(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether one size is the other resized, to a pixel of the smaller one."""
    (width, height), (w, h) = sorted((first, second))
    return abs(w * height / h - width) <= SLACK or abs(h * width / w - height) <= SLACK


def _scaled(boxes: Sequence[Box], old: tuple[float, float], new: tuple[int, int]) -> list[Box]:
    across, down = new[0] / old[0], new[1] / old[1]
    return [(x1 * across, y1 * down, x2 * across, y2 * down) for x1, y1, x2, y2 in boxes]


def _upright(box: Box, stored: tuple[int, int], orientation: int) -> Box:
    """A box of the stored pixels in the upright photograph, for the orientations 5 to 8, which swap the sides."""
    width, height = stored
    x1, y1, x2, y2 = box
    across = (height - y2, height - y1) if orientation in (6, 7) else (y1, y2)
    down = (width - x2, width - x1) if orientation in (7, 8) else (x1, x2)
    return across[0], down[0], across[1], down[1]


def _times(size: tuple[float, float]) -> str:
    return f"{size[0]:g} x {size[1]:g}"
