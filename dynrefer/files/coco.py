"""COCO's records as tools write them: numbers as text, names and sizes left out, shapes in the place of boxes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from dynrefer.boxes import Box
from dynrefer.errors import InputError, shown

LARGEST_RUN_BITS = 30
XYXY, XYWH = 0, 1  # Detectron2's names of the two
NAMES = ("file_name", "filename", "path", "image", "name", "coco_url", "url")


@dataclass(frozen=True)
class CocoImage:
    """A photograph of a COCO file: what the file calls it (its id where it has no name), and the size it states."""

    name: str | int
    stated_size: tuple[Any, Any] | None = None


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
    """The photographs of a COCO file as its annotations mean them: by id, number or text, or by name."""

    def __init__(self, records: Iterable[object]) -> None:
        self._by_id: dict[str, CocoImage] = {}
        self._by_name: dict[str, CocoImage] = {}
        self._doubles: dict[str, str] = {}
        for record in records:
            if isinstance(record, Mapping):
                self._add(record)

    def _add(self, record: Mapping[str, Any]) -> None:
        key = id_key(record.get("id"))
        name = next((record[word] for word in NAMES if isinstance(record.get(word), str) and record[word].strip()), "")
        image = CocoImage(name or number_if(key), (record.get("width"), record.get("height")))
        known = self._by_id.setdefault(key, image)
        if known.name != image.name and key:
            self._doubles[key] = f'"{shown(known.name)}" and "{shown(image.name)}"'
        if name:
            self._by_name[name] = image

    def of(self, annotation: Mapping[str, Any]) -> CocoImage:
        """The photograph that an annotation is about. Raises InputError where the file does not tell."""
        given = annotation.get("image_id")
        key = id_key(given)
        known = {image.name: image for image in (*self._by_id.values(), *self._by_name.values())}
        if not key:
            if len(known) == 1:
                return next(iter(known.values()))
            raise InputError("it has no image_id")
        if key in self._doubles:
            raise InputError(f"its image_id {shown(given)} belongs to {self._doubles[key]}")
        image = self._by_id.get(key) or self._by_name.get(str(given))
        if image is None and known:
            raise InputError(f'its image_id "{shown(given)}" is not among the images of the file')
        return image or CocoImage(given if isinstance(given, str) else number_if(key))


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


def annotation_box(annotation: Mapping[str, Any]) -> Box:
    """x1, y1, x2, y2 of an annotation: from its `bbox` (x, y, width, height), or else round its `segmentation`.

    A `bbox_mode`, as Detectron2 writes it, may say that the four are corners instead.

    Raises InputError in words that go on after "annotation 7:".
    """
    bbox = annotation.get("bbox")
    if bbox is None or bbox in ([], "", {}):
        return shape_box(annotation.get("segmentation"))
    numbers = box_numbers(bbox, ("x", "y", "width", "height"))
    mode = annotation.get("bbox_mode", XYWH)
    if mode == XYXY:
        return numbers
    if mode != XYWH:
        raise InputError(f'its bbox_mode "{shown(mode)}" is neither {XYXY} (corners) nor {XYWH} (x, y, width, height)')
    return corners(*numbers)


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
