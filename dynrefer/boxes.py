"""Boxes: read from what a person types, checked against a photograph, clipped, converted and compared.

A box is x1, y1, x2, y2 in pixels of the upright photograph, half-open; sizes are (width, height).
"""

import math
import numbers
import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal

import cv2
import numpy as np

from dynrefer.errors import InputError, shown

Box = tuple[float, float, float, float]

MAX_BOXES = 256
SUB_PIXEL = 1e-3  # slack for boxes one pixel wide whose corners carry rounding errors

_GROUP = re.compile(r"[\[({]([^\[\](){}]*)[\])}]")
_BETWEEN = re.compile(r"[\s,;|\[\](){}]+")
_NAME = re.compile(r"[A-DF-Za-df-z_\"':]|(?<![\d.])[Ee]")  # an e may be part of a number


def parse_box(text: str) -> list[float]:
    """Read "x1 y1 x2 y2" as typed by a person: numbers parted by blanks, commas or semicolons, brackets allowed.

    Raises InputError where a word is no number; how many numbers there are is for `check_box`.
    """
    plain = unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-")
    return [_number(word) for word in _BETWEEN.split(plain) if word]


def parse_boxes(text: str) -> list[list[float]]:
    """Read boxes typed or pasted: one a line, each in brackets, or several on a line with another sign between them.

    For example `(1, 2, 3, 4), (5, 6, 7, 8)`, `1 2 3 4; 5 6 7 8` or `1,2,3,4 5,6,7,8`.

    Raises InputError that names the box at fault by its place.
    """
    text = unicodedata.normalize("NFKC", text)
    rest = _BETWEEN.sub("", _GROUP.sub("", text))
    found = _GROUP.findall(text) if not rest else [part for line in text.splitlines() for part in _boxes_of_line(line)]
    lines = [line for line in found if _BETWEEN.sub("", line)]
    if not lines:
        raise InputError("there are no boxes yet; write one a line as x1 y1 x2 y2")
    boxes = [parse_box(line) for line in lines]
    for place, box in enumerate(boxes, start=1):
        if len(box) != 4:
            raise InputError(f"box {place} of {len(boxes)} has {len(box)} numbers; a box is four, x1 y1 x2 y2")
    return boxes


def _boxes_of_line(line: str) -> list[str]:
    """The boxes on a line: parted by that sign between which there are four numbers each time."""
    for between in (";", r"\|", r"\t", r"\s\s+", r"\s", ","):
        parts = [part for part in re.split(between, line.strip()) if _BETWEEN.sub("", part)]
        if len(parts) > 1 and all(len([word for word in _BETWEEN.split(part) if word]) == 4 for part in parts):
            return parts
    return [line]


def has_only_numbers(text: str) -> bool:
    """Whether pasted text is for `parse_boxes`, and not a JSON or CSV file with names in it."""
    return _NAME.search(text) is None


def check_box(box: object, image_size: tuple[int, int]) -> Box:
    """Return the box as floats, corners sorted, clipped to the photograph.

    `box` is any sequence, array or tensor of four numbers. Raises InputError where they are not four finite numbers
    or where less than one pixel by one pixel remains inside the photograph.
    """
    corners = [
        finite_number(value, "every number of a box")
        for value in _items(box, "the box must be four numbers x1 y1 x2 y2")
    ]
    if len(corners) != 4:
        raise InputError(f"the box must be four numbers x1 y1 x2 y2, not {len(corners)}")
    width, height = image_size
    (left, right), (top, bottom) = sorted(corners[0::2]), sorted(corners[1::2])
    if left == right or top == bottom:
        raise InputError(f"the box has no area inside the {width} x {height} image; draw it a little larger")
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise InputError(f"the box lies outside the {width} x {height} image")
    x1, y1, x2, y2 = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    if all(0 <= corner <= 1 for corner in corners) and width * height > 1:  # at most one pixel, in a corner
        raise InputError(
            f"boxes are in pixels of the {width} x {height} image, and {shown(corners)} looks like shares of it; "
            "multiply them by its width and height"
        )
    if min(x2 - x1, y2 - y1) < 1 - SUB_PIXEL:
        raise InputError(f"the box covers less than one pixel of the {width} x {height} image; draw it larger")
    return x1, y1, x2, y2


def check_boxes(boxes: object, image_size: tuple[int, int]) -> list[Box]:
    """Check 1 to MAX_BOXES boxes, naming the box at fault by its place, counted from 1."""
    items = _items(boxes, "boxes must be a list of boxes x1 y1 x2 y2")
    if not items:
        raise InputError("there is no box; draw or give at least one")
    if len(items) > MAX_BOXES:
        raise InputError(f"there are {len(items)} boxes; the limit is {MAX_BOXES} at a time")
    if len(items) == 1:
        return [check_box(items[0], image_size)]
    checked = []
    for place, box in enumerate(items, start=1):
        try:
            checked.append(check_box(box, image_size))
        except InputError as error:
            raise InputError(f"box {place} of {len(items)}: {error.args[0]}") from error
    return checked


def clip(box: Box, image_size: tuple[int, int]) -> Box | None:
    """What of the box lies inside the photograph; None where that has no area."""
    x1, y1 = max(box[0], 0.0), max(box[1], 0.0)
    x2, y2 = min(box[2], float(image_size[0])), min(box[3], float(image_size[1]))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def reach_out(box: Box, image_size: tuple[int, int]) -> float:
    """By how many pixels a box reaches out of the photograph; 0 up to a hundredth of the longer side."""
    x1, y1, x2, y2 = box
    out = max(-min(x1, x2), -min(y1, y2), max(x1, x2) - image_size[0], max(y1, y2) - image_size[1])
    return out if out > max(image_size) / 100 else 0.0


def are_shares(boxes: Iterable[Box]) -> bool:
    """Whether all boxes lie from 0 to 1 and not all on whole numbers: as pixels none would have an area."""
    between = False
    for box in boxes:
        if not all(0 <= number <= 1 + SUB_PIXEL for number in box):
            return False
        between = between or any(0 < number < 1 for number in box)
    return between


def in_pixels(box: Box, image_size: tuple[int, int]) -> Box:
    """A box in shares of the photograph, in its pixels."""
    (x1, y1, x2, y2), (width, height) = box, image_size
    return x1 * width, y1 * height, x2 * width, y2 * height


def whole(image_size: tuple[int, int]) -> Box:
    """The box of a whole photograph."""
    return 0.0, 0.0, float(image_size[0]), float(image_size[1])


def xyxy_to_xywh(box: Box) -> Box:
    """x, y, width, height, as COCO writes boxes."""
    x1, y1, x2, y2 = box
    return x1, y1, x2 - x1, y2 - y1


def area(box: Box) -> float:
    """Square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def share_inside(inner: Box, outer: Box) -> float:
    """How much of `inner` lies inside `outer`, 0 to 1."""
    width = min(inner[2], outer[2]) - max(inner[0], outer[0])
    height = min(inner[3], outer[3]) - max(inner[1], outer[1])
    return width * height / area(inner) if width > 0 and height > 0 else 0.0


def iou(first: Box, second: Box) -> float:
    """Intersection over union, 0 to 1."""
    common = share_inside(first, second) * area(first)
    return common / (area(first) + area(second) - common)


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes [..., M, 4] and [..., N, 4], each with each: [..., M, N]."""
    common = _common(first, second)
    sizes = _areas(first)[..., :, None] + _areas(second)[..., None, :]
    return common / np.maximum(sizes - common, 1e-6)


def shares_inside(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`share_inside` of boxes [..., M, 4] in boxes [..., N, 4], each in each: [..., M, N]."""
    return _common(first, second) / np.maximum(_areas(first), 1e-6)[..., :, None]


def _common(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Areas that boxes share, each with each."""
    one, other = first[..., :, None, :], second[..., None, :, :]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    return np.asarray(np.maximum(sides, 0).prod(-1))


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(-1))


def apart(boxes: np.ndarray, scores: np.ndarray, most: float) -> np.ndarray:
    """Non-maximum suppression: places of the boxes [N, 4] that overlap a better one by `most` or less, best first.

    `scores` [N] are of any range; `most` is intersection over union.
    """
    order = np.argsort(-scores, kind="stable")
    sized = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)[order]
    # OpenCV's and not torchvision's, which takes seconds to import. It drops scores of 0, so that ranks stand for them.
    kept = cv2.dnn.NMSBoxes(sized.tolist(), np.arange(len(order), 0.0, -1).tolist(), 0.0, most)
    return order[np.array(kept, dtype=np.int64)]


def geometry(box: Box, image_size: tuple[int, int]) -> np.ndarray:
    """x1, y1, x2, y2, width, height as shares of the photograph: float32 [6]."""
    (x1, y1, x2, y2), (w, h) = box, image_size
    return np.array([x1 / w, y1 / h, x2 / w, y2 / h, (x2 - x1) / w, (y2 - y1) / h], dtype=np.float32)


def finite_number(value: object, subject: str) -> float:
    """Return any real number, numpy scalar or one-number tensor as a float; InputError, about `subject`, otherwise."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None:
        raise InputError(f"{subject} must be a number, and one is missing")
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
        raise InputError(f'{subject} must be a number, and "{shown(value)}" is not')
    try:
        number = float(value)
    except (OverflowError, ValueError):  # too large, or a decimal number that signals
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{subject} must be finite, and {number} is not")
    return number


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise InputError(f'"{shown(word)}" is not a number; a box is four numbers x1 y1 x2 y2') from error


def _items(value: object, demand: str) -> Sequence[object]:
    if hasattr(value, "tolist"):  # numpy arrays and tensors
        value = value.tolist()
    if value is None:
        raise InputError(f"{demand}, but none was given")
    if not isinstance(value, (list, tuple)):
        raise InputError(f'{demand}, not "{shown(value)}"')
    return value
