"""The photographs that annotation files name, and boxes fitted to them, or the reason why one cannot be used."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynrefer.boxes import Box, clip, in_pixels, reach_out
from dynrefer.coco_files import box_numbers, corners
from dynrefer.datasets.io import Problems, entry
from dynrefer.errors import InputError, reason
from dynrefer.photo_files import PhotoFinder, PhotoHeader, fit_boxes

OTHER_SIZES = "photographs turned or of another size than the file says"


@dataclass(frozen=True)
class Photograph:
    """A photograph of a data set: its file, id there, (width, height) upright, and split.

    `name` is its path relative to the data set; `stated` the size that the data set says, `header` the file's own.
    `shares` where boxes are shares of it, from 0 to 1, and not pixels.
    """

    path: Path
    name: str
    image_id: str
    header: PhotoHeader
    split: str = "train"
    stated: tuple[Any, Any] | None = None
    shares: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright photograph in pixels."""
        return self.header.size

    def placed(self, box: Box) -> Box:
        """A box of the size that the data set states, turned or scaled to the file. Raises InputError without area."""
        if self.shares:
            x1, y1, x2, y2 = in_pixels(box, self.size)
        else:
            x1, y1, x2, y2 = fit_boxes([box], self.stated, self.header, say=_silent)[0]
        if not (x1 < x2 and y1 < y2):
            raise InputError("boxes without area")
        return x1, y1, x2, y2

    def fit(self, box: Box) -> Box:
        """`placed`, and clipped to the photograph. Raises InputError with the reason where nothing of it is left."""
        inside = clip(self.placed(box), self.size)
        if inside is None:
            raise InputError("boxes outside their photograph")
        return inside


class Photographs:
    """Finds the photographs of a data set and reads their headers; what is missing or does not fit is counted."""

    def __init__(self, root: Path, problems: Problems, folder: Path | None = None) -> None:
        self.root, self.problems, self.finder = root, problems, PhotoFinder(folder or root)
        self._found: dict[object, Path | InputError] = {}

    def expect(self, names: Iterable[object]) -> None:
        """Find all the photographs of a file at once, so that no two of its names, however alike, share one of them."""
        self._found |= self.finder.find_all(name for name in names if isinstance(name, str | int))

    def open(self, name: object, image_id: object, split: str, stated: tuple[Any, Any] | None) -> Photograph | None:
        """The photograph that a record calls `name`, or None, with the reason counted."""
        try:
            path = self._find(name)
        except InputError as error:
            self.problems.skip("photographs that are missing", "", str(name), reason(error))
            return None
        where = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()
        try:
            header = PhotoHeader.read(path)
            fit_boxes([], stated, header, say=lambda why: self.problems.note(OTHER_SIZES, "", where, why))
        except InputError as error:
            self.problems.skip("photographs that cannot be used", "", where, reason(error))
            return None
        return Photograph(path, where, str(image_id), header, split, stated)

    def _find(self, name: object) -> Path:
        found = self._found.get(name) if isinstance(name, str | int) else None
        if isinstance(found, InputError):
            raise found
        return found or self.finder.find(name)


def stated_size(record: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """(width, height) as a record states it, None where it does not."""
    width, height = entry(record, "width", "image_width"), entry(record, "height", "image_height")
    return None if width is None or height is None else (width, height)


def fitted(read: Callable[[], Box], photograph: Photograph, problems: Problems, what: str) -> Box | None:
    """The box that `read` gives, fitted to the photograph, or None, with the reason counted for `what`."""
    try:
        box = read()
    except InputError as error:
        problems.skip("boxes that cannot be read", what, photograph.name, reason(error))
        return None
    try:
        inside = photograph.fit(box)
    except InputError as error:
        problems.skip(reason(error), what, photograph.name)
        return None
    if out := reach_out(photograph.placed(box), photograph.size):
        problems.note("boxes that reach out of their photograph, cut to it", what, photograph.name, f"{out:.0f} pixels")
    return inside


def sized_box(values: Any) -> Box:
    """x, y, width, height as x1, y1, x2, y2. Raises InputError where they are not four numbers."""
    return corners(*box_numbers(values, ("x", "y", "width", "height")))


def _silent(words: str) -> None:
    """Whoever opened the photograph has heard it already."""


def whole(size: Sequence[int]) -> Box:
    """The box of a whole photograph of (width, height)."""
    return 0.0, 0.0, float(size[0]), float(size[1])
