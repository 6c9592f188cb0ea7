"""A photograph, prepared once: opened, upright, within limits; its digest, grey and display copies made when needed.

One bounded store keeps the photographs asked about last by their content, whoever asks.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from cachetools import LRUCache, cached
from PIL import Image, ImageOps, UnidentifiedImageError

from dynrefer.errors import InputError, shown

MAX_MEGAPIXELS = 64
MAX_FILE_MEGABYTES = 512  # 64 megapixels of 16-bit colour without compression
STORE_BYTES = 2**30
DECODED_TOGETHER = 2  # bounds what photographs that come at the same moment need while they are decoded
DISPLAY_SIZE = 1280
BYTES_A_PIXEL = 3 + 4  # RGB and grey
# Named, so that no plugin runs that starts another program (EPS) or follows references to other files.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF")
ORIENTATION = 0x0112  # EXIF


class Prepared:
    """Upright pixels and what is made of them, each at most once."""

    def __init__(self, pixels: np.ndarray, digest: bytes | None = None) -> None:
        self.pixels = pixels
        if digest is not None:
            self.digest = digest

    @cached_property
    def digest(self) -> bytes:
        """Names the content: the file's digest, or the pixels' where there is no file."""
        pixels = np.ascontiguousarray(self.pixels)
        return hashlib.blake2b(pixels.data, digest_size=16, key=str(pixels.shape).encode()).digest()

    @cached_property
    def gray(self) -> np.ndarray:
        """Luminance as float32 [H, W] in 0..255, as the selection of views needs it."""
        return cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)

    @cached_property
    def display(self) -> np.ndarray:
        """A copy of at most DISPLAY_SIZE pixels a side, uint8 RGB."""
        image = Image.fromarray(self.pixels)
        image.thumbnail((DISPLAY_SIZE, DISPLAY_SIZE), reducing_gap=2)
        return np.asarray(image)


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright photograph under the name that its owner gave it."""

    prepared: Prepared = field(repr=False)
    name: str = ""
    """File name; "" where there was no file."""
    orientation: int = 1
    """EXIF orientation of the file, 1 to 8; the pixels are upright already."""

    @classmethod
    def open(cls, source: ImageSource) -> Photo:
        """The photograph of a path, of an image file's bytes, a PIL image or a uint8 RGB array [H, W, 3].

        Files are kept by content, and read-only arrays by identity, so that opening them again costs next to nothing;
        an array or PIL image that may still change is prepared anew each time. A Photo is returned as it is.
        Of an animation the first frame is taken; 16-bit and floating-point greys are scaled to 8 bits; transparency is
        shown over white. Raises InputError where there is no photograph to be had.
        """
        if isinstance(source, Photo):
            return source
        if isinstance(source, (str, os.PathLike)):
            return _from_path(Path(source), kept=True)
        if isinstance(source, (bytes, bytearray)):
            return _kept_file(io.BytesIO(source), _digest(io.BytesIO(source)), "")
        if isinstance(source, np.ndarray) and _is_constant(source):
            return _kept(id(source), lambda: cls.read(source))
        return cls.read(source)

    @classmethod
    def read(cls, source: ImageSource) -> Photo:
        """The same without keeping it, for what passes through many photographs."""
        if isinstance(source, Photo):
            return source
        if isinstance(source, np.ndarray):
            return cls(Prepared(_checked_array(source)))
        if isinstance(source, Image.Image):
            return _decode(source, "")
        if isinstance(source, (bytes, bytearray)):
            return _from_file(io.BytesIO(source), "")
        if isinstance(source, (str, os.PathLike)):
            return _from_path(Path(source), kept=False)
        if source is None:
            raise InputError("there is no image; choose a photograph first")
        raise InputError(f"an image must be a path, a PIL image or an array, not {type(source).__name__}")

    @property
    def pixels(self) -> np.ndarray:
        """uint8 RGB [H, W, 3]; not to be written to."""
        return self.prepared.pixels

    @property
    def width(self) -> int:
        """Pixels."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """Pixels."""
        return self.pixels.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    @property
    def stored_size(self) -> tuple[int, int]:
        """(width, height) as the file has it, before it was turned upright."""
        return (self.height, self.width) if self.orientation >= 5 else self.size

    @property
    def digest(self) -> bytes:
        """Names the content, whatever its name."""
        return self.prepared.digest

    @property
    def gray(self) -> np.ndarray:
        """Luminance, float32 [H, W] in 0..255."""
        return self.prepared.gray

    @property
    def display(self) -> np.ndarray:
        """A copy of at most DISPLAY_SIZE pixels a side, uint8 RGB."""
        return self.prepared.display


ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Photo


def _most_bytes(photo: Photo) -> int:
    """What a kept photograph may come to need, its copies included."""
    return photo.width * photo.height * BYTES_A_PIXEL + 3 * DISPLAY_SIZE**2


STORE: LRUCache[Hashable, Photo] = LRUCache(STORE_BYTES, getsizeof=_most_bytes)
_decoding = threading.BoundedSemaphore(DECODED_TOGETHER)


@cached(STORE, key=lambda key, load: key, condition=threading.Condition())
def _kept(key: Hashable, load: Callable[[], Photo]) -> Photo:
    """The photograph kept under `key`; many who ask at once wait for the first to load it.

    An array's key is its `id`, which cannot come up again while the photograph in the store holds the array.
    """
    return load()


def _kept_file(file: IO[bytes], digest: bytes, name: str) -> Photo:
    photo = _kept(digest, lambda: _from_file(file, name, digest))
    photo.pixels.flags.writeable = False
    return replace(photo, name=name)


def _is_constant(array: np.ndarray) -> bool:
    """Whether nobody can write to the array's memory, and the photograph will hold this very object."""
    if type(array) is not np.ndarray or not array.flags.c_contiguous:
        return False
    base: object = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return base is None or isinstance(base, bytes)


def _from_path(path: Path, kept: bool) -> Photo:
    name = shown(path.name) or "the path given"  # never the folder: on a server it is nobody's business
    try:
        if path.is_dir():
            raise InputError(f"{name} is a folder, not an image file")
        if not path.is_file():
            raise InputError(f"there is no image file {name}")
        with path.open("rb") as file:
            _check_bytes(os.fstat(file.fileno()).st_size, name)
            if not kept:
                return _from_file(file, path.name)
            return _kept_file(file, _file_digest(path, file), path.name)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror or 'no access'})") from error


def _file_digest(path: Path, file: IO[bytes]) -> bytes:
    """The content's digest; a file that did not change since is not read again."""
    state = os.fstat(file.fileno())
    return _digest_of_state((str(path.absolute()), state.st_ino, state.st_size, state.st_mtime_ns), file)


@cached(LRUCache(4096), key=lambda state, file: state, lock=threading.Lock())
def _digest_of_state(state: Hashable, file: IO[bytes]) -> bytes:
    return _digest(file)


def _digest(file: IO[bytes]) -> bytes:
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()  # type: ignore[arg-type]


def _from_file(file: IO[bytes], name: str, digest: bytes | None = None) -> Photo:
    called = shown(name) or "the image"
    file.seek(0, io.SEEK_END)
    _check_bytes(file.tell(), called)
    file.seek(0)
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise InputError(f"{called} is not an image that can be read; use JPEG, PNG, WebP, GIF, TIFF or BMP") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(called) from error
    except Exception as error:  # a broken header can raise almost anything inside a decoder
        raise _damaged(called) from error
    with image:
        return _decode(image, name, digest)


def _decode(image: Image.Image, name: str, digest: bytes | None = None) -> Photo:
    called = shown(name) or "the image"
    _check_size(*image.size, called)
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
        with _decoding:
            pixels = _rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # broken data can raise almost anything inside a decoder
        raise _damaged(called) from error
    return Photo(Prepared(pixels, digest), name, orientation if orientation in range(1, 9) else 1)


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


def _check_bytes(size: int, called: str) -> None:
    if size == 0:
        raise InputError(f"{called} is empty (0 bytes)")
    if size > MAX_FILE_MEGABYTES * 2**20:
        raise InputError(f"{called} is too large with {size >> 20} MB; the limit is {MAX_FILE_MEGABYTES} MB")


def _check_size(width: int, height: int, called: str) -> None:
    if width < 1 or height < 1:
        raise InputError(f"{called} has no pixels ({width} x {height})")
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        raise _too_large(called, f" with {width} x {height} pixels")


def _too_large(called: str, size: str = "") -> InputError:
    return InputError(
        f"{called} is too large{size}; the limit is {MAX_MEGAPIXELS} megapixels, so make it smaller first"
    )


def _damaged(called: str) -> InputError:
    return InputError(f"{called} is damaged or cut short and cannot be decoded; save it again or choose another")
