"""Boxes of annotation files: COCO's x, y, width, height turned into x1, y1, x2, y2, and how boxes overlap."""

import math
from typing import Any

Box = tuple[float, float, float, float]


def xywh_to_xyxy(box: Any, image_size: tuple[int, int]) -> Box | None:
    """x, y, width, height in pixels to x1, y1, x2, y2 clipped to the image; None where that leaves no area."""
    if not isinstance(box, list | tuple) or len(box) != 4:
        return None
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in box):
        return None
    x, y, width, height = (float(value) for value in box)
    x1, y1 = max(x, 0.0), max(y, 0.0)
    x2, y2 = min(x + width, float(image_size[0])), min(y + height, float(image_size[1]))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def area(box: Box) -> float:
    """Square pixels of x1, y1, x2, y2."""
    return (box[2] - box[0]) * (box[3] - box[1])


def share_inside(inner: Box, outer: Box) -> float:
    """How much of `inner` lies inside `outer`, 0 to 1."""
    width = min(inner[2], outer[2]) - max(inner[0], outer[0])
    height = min(inner[3], outer[3]) - max(inner[1], outer[1])
    return width * height / area(inner) if width > 0 and height > 0 else 0.0


def overlap(first: Box, second: Box) -> float:
    """Intersection over union, 0 to 1."""
    common = share_inside(first, second) * area(first)
    return common / (area(first) + area(second) - common)
