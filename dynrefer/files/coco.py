"""COCO's records as tools write them: numbers as text, names and sizes left out, shapes in the place of boxes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Any

from dynrefer.boxes import Box
from dynrefer.errors import InputError, shown

LARGEST_RUN_BITS = 30
SIDES = ("x", "y", "width", "height")
XYXY, XYWH = 0, 1  # Detectron2's names of the two
NAMES = ("file_name", "filename", "path", "image", "name", "coco_url", "url")


@dataclass(frozen=True)
class CocoImage:
    """A photograph of a COCO file: its id as text, what the file calls it (its id where it has no name), its record."""

    key: str
    name: str | int
    record: Mapping[str, Any] = field(default_factory=dict)


def listed(value: object, name: str) -> list[Any]:
    """The records of an entry of a COCO file: of a list, of an object by their ids, or the one that stands there alone.

    Raises InputError where they are anything else.
    """
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping) and ("id" in value or any(isinstance(value.get(word), str) for word in NAMES)):
        return [value]
    if isinstance(value, Mapping):
        named = {key: {"name": record} if isinstance(record, str) else record for key, record in value.items()}
        return [{"id": key, **record} if isinstance(record, Mapping) else record for key, record in named.items()]
    raise InputError(f'"{name}" must be a list of records, not "{shown(value)}"')


class CocoImages:
    """The photographs of a COCO file as its annotations mean them: by id, number or text, by order, or by name."""

    def __init__(self, records: Sequence[Any], annotations: Sequence[Any]) -> None:
        """Where ids are missing, the first photograph is number 0 if the annotations have that id, else number 1."""
        self.known: dict[str, CocoImage] = {}
        """By id, without those that mean two photographs."""
        self.doubles: dict[str, str] = {}
        """The names of those, by id."""
        self.odd: list[int] = []
        """Places of what is no record, counted from 1."""
        self._by_name: dict[str, CocoImage] = {}
        by_key: dict[str, CocoImage] = {}
        zero = any(isinstance(given, Mapping) and id_key(given.get("image_id")) == "0" for given in annotations)
        for place, record in enumerate(records, start=1):
            if not isinstance(record, Mapping):
                self.odd.append(place)
                continue
            own = entry(record, "id", "image_id")
            key = id_key(place - zero if own is None else own)
            image = CocoImage(key, _name(record) or number_if(key), record)
            first = by_key.setdefault(key, image)
            if first.name != image.name:
                self.doubles[key] = f'"{shown(first.name)}" and "{shown(image.name)}"'
            self._by_name[str(image.name)] = image
            if own is None:
                self._by_name.setdefault(PurePosixPath(str(image.name)).stem, image)
        self.known = {key: image for key, image in by_key.items() if key not in self.doubles}

    def of(self, annotation: Mapping[str, Any]) -> CocoImage:
        """The photograph that an annotation is about. Raises InputError where the file does not tell."""
        given = annotation.get("image_id")
        key = id_key(given)
        if not key:
            if len(self.known) == 1 and not self.doubles:
                return next(iter(self.known.values()))
            raise InputError("it has no image_id")
        if key in self.doubles:
            raise InputError(f"its image_id {shown(given)} belongs to {self.doubles[key]}")
        image = self.known.get(key) or self._by_name.get(str(given))
        if image is None and self._by_name:
            raise InputError(f'its image_id "{shown(given)}" is not among the images of the file')
        return image or CocoImage(key, given if isinstance(given, str) else number_if(key))


def _name(record: Mapping[str, Any]) -> str | int | None:
    """What an image's record calls its photograph."""
    names = (record.get(word) for word in NAMES)
    return next((n for n in names if isinstance(n, str | int) and not isinstance(n, bool) and str(n).strip()), None)


def entry(record: Mapping[str, Any], *names: str) -> Any:
    """The first of these entries that a record has and that is not null."""
    return next((record[name] for name in names if record.get(name) is not None), None)


def stated_size(record: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """(width, height) as a record states it, None where it does not."""
    width, height = entry(record, "width", "image_width"), entry(record, "height", "image_height")
    return None if width is None or height is None else (width, height)


def texts_of(value: Any) -> tuple[str, ...] | None:
    """The texts of an entry that may be one text, a list of texts or missing; None where it is anything else."""
    if value is None or value == "":
        return ()
    found: Sequence[Any] = (value,) if isinstance(value, str) else value if isinstance(value, list) else (None,)
    return tuple(found) if all(isinstance(text, str) for text in found) else None


def id_key(value: object) -> str:
    """An id as text, the same for 7, 7.0, "7" and "007"; empty where there is none."""
    if isinstance(value, bool) or value is None:
        return ""
    text = str(value).strip()
    number = re.fullmatch(r"(\d+)(?:\.0+)?", text)
    return str(int(number[1])) if number else text


def number_if(key: str) -> str | int:
    """An id as text, as a number where it is one."""
    return int(key) if key.isdecimal() else key


def category_names(categories: object) -> dict[str, str]:
    """Names of the categories that have one, by their ids as text. Raises InputError where they are no records."""
    return {
        id_key(category.get("id")): " ".join(category["name"].split())
        for category in listed(categories or [], "categories")
        if isinstance(category, Mapping) and isinstance(category.get("name"), str) and category["name"].strip()
    }


def class_of(annotation: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    """The class of an annotation: `names` has those of its categories, or it says one itself."""
    given = [annotation.get(name) for name in ("category_id", "category", "category_name")]
    said = (value.strip() for value in given if isinstance(value, str) and not value.strip().isdecimal())
    return names.get(id_key(next((value for value in given if value is not None), None))) or next(
        filter(None, said), None
    )


def annotation_box(annotation: Mapping[str, Any]) -> Box:
    """x1, y1, x2, y2 of an annotation: from its `bbox` (x, y, width, height), or else round its `segmentation`.

    A `bbox_mode`, as Detectron2 writes it, may say that the four are corners instead.

    Raises InputError in words that go on after "annotation 7:".
    """
    bbox = annotation.get("bbox")
    if bbox is None or bbox in ([], "", {}):
        return shape_box(annotation.get("segmentation"))
    numbers = box_numbers(bbox, SIDES)
    mode = annotation.get("bbox_mode", XYWH)
    if mode == XYXY:
        return numbers
    if mode != XYWH:
        raise InputError(f'its bbox_mode "{shown(mode)}" is neither {XYXY} (corners) nor {XYWH} (x, y, width, height)')
    return corners(*numbers)


def sized_box(values: object) -> Box:
    """x, y, width, height as x1, y1, x2, y2. Raises InputError where they are not four numbers, or make no box."""
    return corners(*box_numbers(values, SIDES))


def corners(x: float, y: float, width: float, height: float) -> Box:
    """x, y, width, height as x1, y1, x2, y2. Raises InputError where a side is negative."""
    if width < 0 or height < 0:
        raise InputError(f"its width and height are {width:g} and {height:g}; a side cannot be negative")
    return x, y, x + width, y + height


def box_numbers(value: object, names: tuple[str, str, str, str]) -> Box:
    """Four finite numbers from a list, an object with these names, or text. Raises InputError for anything else."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        value = re.split(r"[\s,;]+", value.strip(" \t\r\n,;()[]"))
    elif isinstance(value, Mapping) and set(names) <= set(value):
        value = [value[name] for name in names]
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise InputError(f'four numbers {" ".join(names)} are needed, not "{shown(value)}"')
    x, y, z, w = (_finite(number) for number in value)
    return x, y, z, w


def point_pairs(points: object) -> list[tuple[float, float]]:
    """Places x, y of a list. Raises InputError for anything else."""
    if not isinstance(points, list) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in points):
        raise InputError(f'its points are no list of x, y but "{shown(points)}"')
    return [(_finite(x), _finite(y)) for x, y in points]


def _finite(value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f'"{shown(value)}" stands where a finite number is needed')
    return number


def shape_box(segmentation: object) -> Box:
    """The box round polygons or a run-length mask, compressed or not. Raises InputError where there is no shape."""
    if isinstance(segmentation, Mapping):
        return _mask_box(segmentation)
    numbers = list(_flat(segmentation))
    if len(numbers) < 4 or len(numbers) % 2:
        raise InputError("it has neither a bbox nor a segmentation to take the box from")
    across, down = numbers[0::2], numbers[1::2]
    return min(across), min(down), max(across), max(down)


def _flat(value: object) -> Iterable[float]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)
    elif value is not None:
        yield _finite(value)


def _mask_box(mask: Mapping[Any, Any]) -> Box:
    """The box of the ones of a mask whose runs of zeros and ones go down its columns."""
    counts, size = mask.get("counts"), mask.get("size")
    if not isinstance(size, list | tuple) or len(size) != 2 or not isinstance(counts, str | list):
        raise InputError("its segmentation is no run-length mask: it needs counts and size")
    height = int(_finite(size[0]))
    runs = run_lengths(counts) if isinstance(counts, str) else [int(_finite(count)) for count in counts]
    ends = list(accumulate(runs))
    ones = [(end - run, end - 1) for run, end in zip(runs[1::2], ends[1::2], strict=True) if run > 0]
    if not ones or height < 1 or min(runs) < 0:
        raise InputError("its segmentation is an empty mask")
    whole = any(first // height != last // height for first, last in ones)  # a run from one column to the next
    top = 0 if whole else min(first % height for first, _ in ones)
    bottom = height if whole else max(last % height for _, last in ones) + 1
    return float(ones[0][0] // height), float(top), float(ones[-1][1] // height + 1), float(bottom)


def run_lengths(text: str) -> list[int]:
    """The runs of COCO's compressed masks: 5 bits a letter, lowest first, each but three a difference to two before.

    Raises InputError where the text is none, or was cut off.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > LARGEST_RUN_BITS:
            raise InputError("its segmentation is not a compressed mask")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise InputError("its segmentation was cut off")
    return runs
