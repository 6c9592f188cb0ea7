"""Reading annotation files with errors a user can act on, and COCO's box format."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynrefer.errors import InputError


def read_json(file: Path, *keys: str) -> Any:
    """The content of a JSON file, a dictionary with at least `keys` where any are named.

    Raises InputError where the file is missing, is not JSON or lacks a key.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            content = json.load(stream)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): put the data set's annotations there.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not JSON ({error}): download it again.") from error
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise InputError(f"{file} has no '{missing[0]}': it is not in the format that was expected.")
    return content


def xywh_to_xyxy(box: Sequence[float], image_size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """x, y, width, height in pixels to x1, y1, x2, y2 clipped to the image; None where nothing remains."""
    if len(box) != 4 or not all(isinstance(value, int | float) and math.isfinite(value) for value in box):
        return None
    x, y, width, height = (float(value) for value in box)
    x1, y1 = max(x, 0.0), max(y, 0.0)
    x2, y2 = min(x + width, float(image_size[0])), min(y + height, float(image_size[1]))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None
