"""The photographs that annotation files name, and boxes fitted to them, or the reason why one cannot be used."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynrefer.boxes import Box, clip
from dynrefer.coco_files import box_numbers, corners
from dynrefer.datasets.io import Problems, entry
from dynrefer.errors import InputError
from dynrefer.photo_files import PhotoFinder, PhotoHeader, fit_boxes


@dataclass(frozen=True)
class Photograph:
    """A photograph of a data set: its file, id there, (width, height) upright, and split.

    `name` is its path relative to the data set; `stated` the size that the data set says, `header` the file's own.
    """

    path: Path
    name: str
    image_id: str
    header: PhotoHeader
    split: str = "train"
    stated: tuple[Any, Any] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright photograph in pixels."""
        return self.header.size

    def fit(self, box: Box) -> Box:
        """A box of the size that the data set states, turned or scaled to the file, and clipped to it.

        Raises InputError with the reason where nothing of it is left.
        """
        x1, y1, x2, y2 = fit_boxes([box], self.stated, self.header, say=_silent)[0]
        if not (x1 < x2 and y1 < y2):
            raise InputError("boxes without area")
        inside = clip((x1, y1, x2, y2), self.size)
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
            self.problems.skip("photographs that are missing", str(error).rstrip("."))
            return None
        where = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()
        try:
            header = PhotoHeader.read(path)
            fit_boxes(
                [], stated, header, say=lambda words: self.problems.note("sizes that differ from the file's", words)
            )
        except InputError as error:
            self.problems.skip("photographs that cannot be used", f"{where}: {str(error).rstrip('.')}")
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
        problems.skip("boxes that cannot be read", f"{what}: {str(error.args[0]).rstrip('.')}")
        return None
    try:
        return photograph.fit(box)
    except InputError as error:
        problems.skip(str(error.args[0]), what)
        return None


def sized_box(values: Any) -> Box:
    """x, y, width, height as x1, y1, x2, y2. Raises InputError where they are not four numbers."""
    return corners(*box_numbers(values, ("x", "y", "width", "height")))


def _silent(words: str) -> None:
    """Whoever opened the photograph has heard it already."""


def whole(size: Sequence[int]) -> Box:
    """The box of a whole photograph of (width, height)."""
    return 0.0, 0.0, float(size[0]), float(size[1])
