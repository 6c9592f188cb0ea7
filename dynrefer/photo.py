"""A photograph, prepared once: opened, upright, within limits; its digest, grey and display copies made when needed.

One bounded store keeps the photographs asked about last by their content, whoever asks.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from cachetools import LRUCache, cached
from PIL import Image

from dynrefer.errors import InputError, shown
from dynrefer.files.decoding import Upright, check_array, check_bytes, decode_file, decode_image
from dynrefer.files.photo_files import absent
from dynrefer.views import crop_views, pixel_boxes

STORE_BYTES = 2**29  # room for the largest that is taken
DISPLAY_SIZE = 1280
UNNAMED = "the image"
UNNAMED_FILE = "the file"
BYTES_A_PIXEL = 3 + 4 + 1  # RGB, grey, and RGB halved again and again
HALVED_TO = 256  # pixels a side
SHARP = 2  # a crop is resized from a halved copy where that has so many pixels for each of the result's, or more


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
    def halves(self) -> list[np.ndarray]:
        """The pixels, then each time half as many a side (means of 2 x 2), as long as that leaves HALVED_TO a side."""
        levels = [self.pixels]
        while min(levels[-1].shape[:2]) >= 2 * HALVED_TO:
            height, width = (side // 2 for side in levels[-1].shape[:2])
            even = levels[-1][: 2 * height, : 2 * width]
            levels.append(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
        return levels

    @cached_property
    def display(self) -> np.ndarray:
        """A copy of at most DISPLAY_SIZE pixels a side, uint8 RGB."""
        large = [level for level in self.halves if max(level.shape) >= 2 * DISPLAY_SIZE]
        image = Image.fromarray(large[-1] if large else self.pixels)
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
    notes: tuple[str, ...] = ()
    """What its owner should know of how it was read, in sentences."""

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
            return cls(Prepared(check_array(source)))
        if isinstance(source, Image.Image):
            return _photo(decode_image(source, UNNAMED), "")
        if isinstance(source, (bytes, bytearray)):
            return _photo(decode_file(io.BytesIO(source), UNNAMED_FILE), "")
        if isinstance(source, (str, os.PathLike)):
            return _from_path(Path(source), kept=False)
        if source is None:
            raise InputError("there is no image; choose a photograph first")
        raise InputError(
            f"an image must be a path, the bytes of a file, a PIL image or an array, not {type(source).__name__}"
        )

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

    def crop(self, box: Sequence[float] | np.ndarray, size: int) -> np.ndarray:
        """The whole pixels of `box` resized to uint8 [size, size, 3], see `crop_views`.

        Crops many times larger than the result come from a halved copy, so that they cost as little as small ones:
        off by at most a quarter of one of the result's pixels.
        """
        (x1, y1, x2, y2), halves = pixel_boxes(np.asarray([box]), self.size)[0], self.prepared.halves
        level = max(0, int(np.log2(max(1, min(x2 - x1, y2 - y1) / (SHARP * size)))))
        level = min(level, len(halves) - 1)
        scaled = np.rint(np.array([[x1, y1, x2, y2]]) / 2**level)
        return crop_views(halves[level], scaled, size)[0]


ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Photo


def _most_bytes(photo: Photo) -> int:
    """What a kept photograph may come to need, its copies included."""
    return photo.width * photo.height * BYTES_A_PIXEL + 3 * DISPLAY_SIZE**2


STORE: LRUCache[Hashable, Photo] = LRUCache(STORE_BYTES, getsizeof=_most_bytes)


@cached(STORE, key=lambda key, load: key, condition=threading.Condition())
def _kept(key: Hashable, load: Callable[[], Photo]) -> Photo:
    """The photograph kept under `key`; many who ask at once wait for the first to load it.

    An array's key is its `id`, which cannot come up again while the photograph in the store holds the array.
    """
    return load()


def _photo(upright: Upright, name: str, digest: bytes | None = None) -> Photo:
    return Photo(Prepared(upright.pixels, digest), name, upright.orientation, upright.notes)


def _kept_file(file: IO[bytes], digest: bytes, name: str) -> Photo:
    called = shown(name) or UNNAMED_FILE

    def load() -> Photo:
        photo = _photo(decode_file(file, called), name, digest)
        file.seek(0)
        if not isinstance(file, io.BytesIO) and _digest(file) != digest:
            raise InputError(f"{called} changed while it was read; ask again when it is no longer written to")
        return photo

    photo = _kept(digest, load)
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
        if not path.is_file():
            raise absent(path)
        with path.open("rb") as file:
            check_bytes(os.fstat(file.fileno()).st_size, name)
            if not kept:
                return _photo(decode_file(file, name), path.name)
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
