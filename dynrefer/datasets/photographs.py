"""The photographs that annotation files name, and boxes fitted to them, or the reason why one cannot be used."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynrefer.boxes import Box, clip
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

    def open(self, name: object, image_id: object, split: str, stated: tuple[Any, Any] | None) -> Photograph | None:
        """The photograph that a record calls `name`, or None, with the reason counted."""
        try:
            path = self.finder.find(name)
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


def stated_size(record: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """(width, height) as a record states it, None where it does not."""
    width, height = entry(record, "width", "image_width"), entry(record, "height", "image_height")
    return None if width is None or height is None else (width, height)


def corners(values: Any, *, sized: bool = True) -> Box:
    """x, y, width, height (or, not `sized`, x1, y1, x2, y2) as x1, y1, x2, y2; numbers written as text are numbers.

    Raises InputError with the reason, as one says it of several boxes.
    """
    try:
        x, y, right, bottom = (_number(value) for value in values)
    except (TypeError, ValueError) as error:
        raise InputError("boxes that are not four numbers") from error
    return (x, y, x + right, y + bottom) if sized else (x, y, right, bottom)


def annotated_box(record: Mapping[str, Any], photograph: Photograph) -> Box:
    """The box of a COCO-format annotation, from its segmentation where it has none, fitted to the photograph.

    Raises InputError with the reason.
    """
    given = record.get("bbox")
    return photograph.fit(corners(given) if given else _bounds(record.get("segmentation")))


def _bounds(segmentation: Any) -> Box:
    """The box around polygons [[x, y, x, y, ...], ...] or a run-length code. Raises InputError with the reason."""
    if isinstance(segmentation, Mapping):
        return _run_length_bounds(segmentation)
    flat = isinstance(segmentation, list) and segmentation and not isinstance(segmentation[0], list)
    try:
        numbers = [_number(v) for polygon in ([segmentation] if flat else segmentation) for v in polygon]
    except (TypeError, ValueError) as error:
        raise InputError("boxes that are missing") from error
    if len(numbers) < 4 or len(numbers) % 2:
        raise InputError("boxes that are missing")
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def _run_length_bounds(code: Mapping[str, Any]) -> Box:
    try:
        from pycocotools import mask

        height, width = (int(side) for side in code["size"])
        packed = mask.frPyObjects(dict(code), height, width) if isinstance(code["counts"], list) else dict(code)
        return corners(mask.toBbox(packed).tolist())
    except ImportError as error:
        raise InputError("boxes given as run lengths, which need the package pycocotools") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("boxes that are missing") from error


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _silent(words: str) -> None:
    """Whoever opened the photograph has heard it already."""


def whole(size: Sequence[int]) -> Box:
    """The box of a whole photograph of (width, height)."""
    return 0.0, 0.0, float(size[0]), float(size[1])
