"""What a person points with, other than a box: a point, several, a scribble or a mask, checked for a photograph."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dynrefer.boxes import Box, finite_number
from dynrefer.errors import InputError, shown
from dynrefer.files.coco import run_lengths
from dynrefer.files.decoding import decode_file
from dynrefer.question import Question

MOST_POINTS = 1000
FINEST = 1000  # an outline's corners are told apart down to this share of the photograph's longer side
SCRIBBLE_CLICKS = 24  # points of a scribble that are asked about, evenly along it
KINDS = ("point", "points", "scribble", "mask")
_POINT = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_MARKED = {"type": "array", "minItems": 2, "maxItems": 3}
PROMPT_SCHEMAS: dict[str, Any] = {
    "point": _POINT | {"description": "instead of boxes: x, y on the thing, in pixels of the upright photograph"},
    "points": {"type": "array", "items": _MARKED, "description": "or several, [x, y], or [x, y, false] beside it"},
    "scribble": {"type": "array", "items": _POINT, "description": "or points along a line drawn over the thing"},
    "mask": {"type": ["object", "array"], "description": "or a polygon [[x, y], ...], or COCO's run-length encoding"},
}
MASK_FORMS = "an array of the photograph's height and width, an image file, a polygon, or COCO's run-length encoding"


@dataclass(frozen=True)
class Prompt:
    """What was given: points with whether they are inside, or a mask."""

    kind: str
    given: Any
    """As it stands in the result's JSON."""
    points: np.ndarray
    """float32 [K, 2], pixels of the photograph; none for a mask."""
    inside: np.ndarray
    """bool [K]."""
    mask: np.ndarray | None = None
    """bool [H, W]."""

    def to_dict(self) -> dict[str, Any]:
        """As the result's "prompt" says it."""
        return {self.kind: self.given}

    @property
    def bounds(self) -> Box | None:
        """The smallest box around the mask."""
        return None if self.mask is None else mask_box(self.mask)

    @property
    def clicks(self) -> tuple[np.ndarray, np.ndarray]:
        """The points to ask about and whether each is inside: of a long scribble only some."""
        if self.kind != "scribble" or len(self.points) <= SCRIBBLE_CLICKS:
            return self.points, self.inside
        chosen = np.linspace(0, len(self.points) - 1, SCRIBBLE_CLICKS).round().astype(int)
        return self.points[chosen], self.inside[chosen]


def read_prompt(size: tuple[int, int], **given: Any) -> Prompt | None:
    """The prompt among `given` (by KINDS, the others None) on a photograph of `size` (width, height); None without one.

    Raises InputError where there are several, or it cannot be used.
    """
    asked = {kind: value for kind, value in given.items() if value is not None}
    if not asked:
        return None
    if len(asked) > 1:
        raise InputError(f"give one of {', '.join(asked)}, not {len(asked)} of them")
    ((kind, value),) = asked.items()
    if kind == "mask":
        mask = read_mask(value, size)
        return Prompt(kind, encode_mask(mask), np.zeros((0, 2), np.float32), np.zeros(0, bool), mask)
    points, inside = _points(kind, [value] if kind == "point" else value, size)
    pairs = [[round(float(x), 3), round(float(y), 3)] for x, y in points]
    given_as = {"point": pairs[0], "scribble": pairs}.get(kind)
    marked = [[*pair, bool(mark)] for pair, mark in zip(pairs, inside, strict=True)]
    return Prompt(kind, given_as if given_as is not None else marked, points, inside)


def take_prompt(options: object) -> tuple[dict[str, Any], Any]:
    """What strangers' options point with, and the other options. A mask's text would name a file here: InputError."""
    if not isinstance(options, Mapping):
        return {}, options
    prompt = {kind: options[kind] for kind in KINDS if options.get(kind) is not None}
    if isinstance(prompt.get("mask"), str):
        raise InputError("the mask must be a polygon or COCO's run-length encoding, not a text")
    return prompt, {name: value for name, value in options.items() if name not in KINDS}


def options_schema() -> dict[str, Any]:
    """JSON schema of the options of a question, with what may be pointed with instead of boxes."""
    schema = Question.model_json_schema()
    return schema | {"properties": schema["properties"] | PROMPT_SCHEMAS}


def _points(kind: str, value: Any, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    called = {"point": "the point", "points": "points", "scribble": "the scribble"}[kind]
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InputError(f'{called} must be a list of points x, y, not "{shown(value)}"')
    if not 1 <= len(value) <= MOST_POINTS:
        raise InputError(f"{called} may have 1 to {MOST_POINTS} points; {len(value)} were given")
    found, marks = [], []
    for place, point in enumerate(value, start=1):
        name = called if kind == "point" else f"point {place} of {len(value)}"
        point = point.tolist() if hasattr(point, "tolist") else point
        most = 3 if kind == "points" else 2
        if not isinstance(point, Sequence) or isinstance(point, str) or not 2 <= len(point) <= most:
            third = ", and true or false for inside or outside" if most == 3 else ""
            raise InputError(f'{name} must be two numbers x, y{third}, not "{shown(point)}"')
        x, y = (finite_number(number, f"every number of {name}") for number in point[:2])
        if not (0 <= x <= size[0] and 0 <= y <= size[1]):
            raise InputError(f"{name} lies outside the {size[0]} x {size[1]} image: {x:g}, {y:g}")
        mark = point[2] if len(point) == 3 else True
        if mark not in (True, False):
            raise InputError(f'{name} is inside (true) or outside (false), not "{shown(mark)}"')
        found.append((min(x, size[0] - 0.5), min(y, size[1] - 0.5)))
        marks.append(bool(mark))
    if not any(marks):
        raise InputError("all points are outside; give at least one that is inside the thing")
    return np.array(found, dtype=np.float32), np.array(marks)


def read_mask(value: Any, size: tuple[int, int]) -> np.ndarray:
    """A mask, in any of MASK_FORMS, as bool [H, W] of a photograph of `size` (width, height).

    Raises InputError where it is none, has another size, or nothing of it is marked.
    """
    if isinstance(value, (str, os.PathLike)):
        mask = _from_file(Path(value))
    elif isinstance(value, Mapping):
        mask = _decoded(value, size)
    elif isinstance(value, np.ndarray) or hasattr(value, "tolist") or hasattr(value, "getdata"):
        mask = _from_array(np.asarray(value))
    elif isinstance(value, Sequence) and value:
        mask = _from_polygons(value, size)
    else:
        raise InputError(f'the mask must be {MASK_FORMS}, not "{shown(value)}"')
    _check_alike(mask.shape, size)
    if not mask.any():
        raise InputError("the mask is empty: nothing in it is marked")
    return mask


def fitting_mask(mask: Mapping[str, Any] | None, size: tuple[int, int]) -> Mapping[str, Any] | None:
    """A mask that was kept, as it is; None where it is none of a photograph of `size` (width, height)."""
    try:
        return None if mask is None else encode_mask(read_mask(mask, size))
    except InputError:
        return None


def _check_alike(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    if tuple(shape) != (size[1], size[0]):
        raise InputError(f"the mask is {shape[1]} x {shape[0]} and the image {size[0]} x {size[1]}; both must be alike")


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """COCO's compressed run-length encoding of bool [H, W]: {"size": [H, W], "counts": text}."""
    flat = mask.T.reshape(-1)
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = [0, *([0] if flat[0] else []), *changes.tolist(), len(flat)]
    return {"size": list(mask.shape), "counts": _text([end - start for start, end in pairwise(edges)])}


def mask_box(mask: np.ndarray) -> Box:
    """The smallest box around what is marked in bool [H, W]; at least one pixel is."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def mask_outline(mask: np.ndarray) -> list[list[list[int]]]:
    """The edges of bool [H, W] as polygons of [x, y] in its pixels; holes are polygons of their own."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    edges = [cv2.approxPolyDP(contour, max(mask.shape) / FINEST, True) for contour in contours]
    return [edge[:, 0].tolist() for edge in edges if len(edge) > 2]


def _from_file(path: Path) -> np.ndarray:
    name = shown(path.name)
    try:
        with path.open("rb") as file:
            pixels = decode_file(file, name).pixels
    except OSError as error:
        raise InputError(f"the mask {name} cannot be read ({error.strerror or 'no access'})") from error
    return pixels.max(-1) >= 128


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] in (1, 3, 4):
        array = array[..., :3].max(-1)
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise InputError("the mask must be an array of numbers or truths with the photograph's height and width")
    return array if array.dtype == bool else array > (127 if array.max(initial=0) > 1 else 0.5)


def _from_polygons(value: Sequence[Any], size: tuple[int, int]) -> np.ndarray:
    """Of one polygon [[x, y], ...], or several as COCO has them, [[x1, y1, x2, y2, ...], ...]."""
    flat = all(isinstance(part, Sequence) and not isinstance(part, str) and len(part) >= 6 for part in value)
    polygons = [list(zip(part[0::2], part[1::2], strict=False)) for part in value] if flat else [list(value)]
    mask = np.zeros((size[1], size[0]), np.uint8)
    for polygon in polygons:
        if len(polygon) < 3:
            raise InputError(f"a polygon needs at least three points; {len(polygon)} were given")
        points, _ = _points("scribble", polygon, size)
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    return mask.astype(bool)


def _decoded(value: Mapping[str, Any], image_size: tuple[int, int]) -> np.ndarray:
    """Of COCO's run-length encoding, as counts or as text."""
    wrong = InputError(
        'the mask\'s run-length encoding must be {"size": [height, width], "counts": ...} as COCO has it'
    )
    size, counts = value.get("size"), value.get("counts")
    if not isinstance(size, Sequence) or len(size) != 2 or not all(type(s) is int and 0 < s <= 2**15 for s in size):
        raise wrong
    if isinstance(counts, (list, tuple)):
        if not all(type(count) is int and count >= 0 for count in counts):
            raise wrong
    elif isinstance(counts, (str, bytes)):
        try:
            counts = run_lengths(counts if isinstance(counts, str) else counts.decode("latin-1"))
        except InputError as error:
            raise InputError("the mask's run-length encoding is damaged or was cut off") from error
    else:
        raise wrong
    if min(counts, default=0) < 0 or sum(counts) != size[0] * size[1]:
        raise InputError(
            f"the mask's runs add up to {sum(counts)} pixels, and {size[1]} x {size[0]} are {size[0] * size[1]}"
        )
    _check_alike(tuple(size), image_size)  # before it takes room: strangers send it
    marks = np.arange(len(counts)) % 2 == 1
    return np.repeat(marks, counts).reshape(size[1], size[0]).T


def _text(counts: Sequence[int]) -> str:
    """Run lengths as COCO's compressed text: differences to the one before last, in pieces of five bits."""
    text = bytearray()
    for place, count in enumerate(counts):
        number = count - (counts[place - 2] if place > 2 else 0)
        while True:
            bits, number = number & 31, number >> 5
            more = number != (-1 if bits & 16 else 0)
            text.append(48 + bits + 32 * more)
            if not more:
                break
    return text.decode("ascii")
