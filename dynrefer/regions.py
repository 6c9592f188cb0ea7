"""Photographs and the boxes drawn on them: everything from outside is opened, checked and clipped here."""

import io
import math
import numbers
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dynrefer.errors import InputError

Box = tuple[float, float, float, float]
ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray

MAX_BOXES = 256
MAX_MEGAPIXELS = 64
# Named, so that no plugin runs that starts another program (EPS) or follows references to other files.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF")
SUB_PIXEL = 1e-3  # slack for boxes one pixel wide whose corners carry rounding errors


def open_image(source: ImageSource) -> np.ndarray:
    """Open a photograph as uint8 RGB [H, W, 3], upright (EXIF applied), with transparency shown over white.

    `source` is a path, the bytes of an image file, a PIL image, or a uint8 RGB array [H, W, 3]. Of an animation the
    first frame is taken; 16-bit and floating-point greys are scaled to 8 bits.
    Raises InputError where there is no image to be had; the size limit is read from the header, before decoding.
    """
    if isinstance(source, np.ndarray):
        return _checked_array(source)
    if isinstance(source, Image.Image):
        return _decode(source, "the image")
    if isinstance(source, (bytes, bytearray)):
        return _open_file(io.BytesIO(source), len(source), "the image")
    if isinstance(source, (str, os.PathLike)):
        return _open_path(Path(source))
    if source is None:
        raise InputError("there is no image; choose a photograph first")
    raise InputError(f"an image must be a path, a PIL image or an array, not {type(source).__name__}")


def _open_path(path: Path) -> np.ndarray:
    name = shown(path.name) or "the path given"  # never the folder: on a server it is nobody's business
    try:
        if path.is_dir():
            raise InputError(f"{name} is a folder, not an image file")
        if not path.is_file():
            raise InputError(f"there is no image file {name}")
        with path.open("rb") as file:
            return _open_file(file, path.stat().st_size, name)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror or 'no access'})") from error


def _open_file(file: IO[bytes], size: int, name: str) -> np.ndarray:
    if size == 0:
        raise InputError(f"{name} is empty (0 bytes)")
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not an image that can be read; use JPEG, PNG, WebP, GIF, TIFF or BMP") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except Exception as error:  # a broken header can raise almost anything inside a decoder
        raise _damaged(name) from error
    with image:
        return _decode(image, name)


def _decode(image: Image.Image, name: str) -> np.ndarray:
    _check_size(*image.size, name)
    try:
        return _rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # broken data can raise almost anything inside a decoder
        raise _damaged(name) from error


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _eight_bits(np.asarray(image), full_range=image.mode.startswith("I;16"))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    return np.array(image.convert("RGB"))


def _eight_bits(values: np.ndarray, full_range: bool) -> np.ndarray:
    """Scale greys to 0..255; unless they are known to be 16-bit, white is guessed from the largest value."""
    values = np.where(np.isfinite(values), values, 0).astype(np.float32)
    black = min(0.0, float(values.min()))
    high = float(values.max())
    white = 65535.0 if full_range else next((white for white in (1.0, 255.0, 65535.0) if high <= white), high)
    return np.rint((values - black) * (255 / (white - black))).astype(np.uint8)


def _checked_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        found = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"an image array must be uint8 RGB of the shape [height, width, 3], not {found}")
    _check_size(array.shape[1], array.shape[0], "the image")
    return np.ascontiguousarray(array)


def _check_size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise InputError(f"{name} has no pixels ({width} x {height})")
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        raise _too_large(name, f" with {width} x {height} pixels")


def _too_large(name: str, size: str = "") -> InputError:
    return InputError(f"{name} is too large{size}; the limit is {MAX_MEGAPIXELS} megapixels, so make it smaller first")


def _damaged(name: str) -> InputError:
    return InputError(f"{name} is damaged or cut short and cannot be decoded; save it again or choose another")


def validate_box(box: object, image_size: tuple[int, int]) -> Box:
    """Return the box as floats (x1, y1, x2, y2) in pixels, corners sorted, clipped to the image (width, height).

    `box` is any sequence, array or tensor of four numbers. Raises InputError where they are not four finite numbers
    or where less than one pixel by one pixel remains inside the image.
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
    if min(x2 - x1, y2 - y1) < 1 - SUB_PIXEL:
        raise InputError(f"the box covers less than one pixel of the {width} x {height} image; draw it larger")
    return x1, y1, x2, y2


def validate_boxes(boxes: object, image_size: tuple[int, int]) -> list[Box]:
    """Validate 1 to MAX_BOXES boxes, naming the box at fault by its place, counted from 1."""
    items = _items(boxes, "boxes must be a list of boxes x1 y1 x2 y2")
    if not items:
        raise InputError("there is no box; draw or give at least one")
    if len(items) > MAX_BOXES:
        raise InputError(f"there are {len(items)} boxes; the limit is {MAX_BOXES} at a time")
    if len(items) == 1:
        return [validate_box(items[0], image_size)]
    valid = []
    for place, box in enumerate(items, start=1):
        try:
            valid.append(validate_box(box, image_size))
        except InputError as error:
            raise InputError(f"box {place} of {len(items)}: {error.args[0]}") from error
    return valid


def parse_box(text: str) -> list[float]:
    """Read "x1 y1 x2 y2" as typed by a person: numbers parted by spaces, commas or semicolons, brackets allowed."""
    words = re.split(r"[\s,;]+", text.strip(" \t\r\n,;()[]"))
    return [_number(word) for word in words if word]


def shown(text: object, length: int = 60) -> str:
    """Any value as it may stand in an error sentence: one line, cut short."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 3] + "..."


def finite_number(value: object, subject: str) -> float:
    """Return any real number, numpy scalar or one-number tensor as a float; InputError, about `subject`, otherwise."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f'{subject} must be a number, and "{shown(value)}" is not')
    try:
        number = float(value)
    except OverflowError:
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
