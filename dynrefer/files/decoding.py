"""Image files to upright RGB pixels: formats, limits, EXIF, colour profiles, 16-bit, transparency, animations."""

import io
import threading
from pathlib import Path
from typing import IO, Any, NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError
from pillow_heif import register_heif_opener

from dynrefer.errors import InputError

MAX_MEGAPIXELS = 64
MAX_FILE_MEGABYTES = 512  # 64 megapixels of 16-bit colour without compression
DECODED_TOGETHER = 2  # bounds what photographs that come at the same moment need while they are decoded
FLOAT_TIFF = "FLOAT-TIFF"
# Named, so that no plugin runs that starts another program (EPS) or follows references to other files.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", FLOAT_TIFF, "BMP", "PPM", "AVIF", "HEIF")
ANIMATED = frozenset(("GIF", "PNG", "WEBP", "AVIF"))  # other formats hold pages, or the same scene more than once
ORIENTATION = ExifTags.Base.Orientation
JPEG_END = b"\xff\xd9"
# What a decoder that still waits for pixels takes for them, as they are and after the mark of any interval of them.
NO_PIXELS = bytes((*range(0xAA, 0xFF), *range(1, 0xAA)))
JPEG_FILLER = NO_PIXELS.join([b"", *(bytes((0xFF, 0xD0 + n % 8)) for n in range(16)), b""])

FIRST_FRAME = "The photograph is an animation; this is about its first frame."

register_heif_opener(thumbnails=False)


class FloatTiff(ImageFile.ImageFile):
    """A TIFF of colours in floating point, for which Pillow has no mode of its own, scaled to 8 bits."""

    format = FLOAT_TIFF

    def _open(self) -> None:
        assert self.fp is not None
        tags = TiffImagePlugin.ImageFileDirectory_v2(self.fp.read(8))
        self.fp.seek(tags.next)
        tags.load(self.fp)
        self._size = tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]
        self._mode = "RGBA" if tags.get(ExifTags.Base.SamplesPerPixel) == 4 else "RGB"
        exif = Image.Exif()
        exif[ORIENTATION] = tags.get(ORIENTATION, 1)
        self.info["exif"] = exif.tobytes()

    def load(self) -> Any:
        """Decode it. Raises OSError where that cannot be done."""
        if self._im is None:
            assert self.fp is not None
            self.fp.seek(0)
            values = cv2.imdecode(np.frombuffer(self.fp.read(), np.uint8), cv2.IMREAD_UNCHANGED)
            if values is None:
                raise OSError("the TIFF cannot be decoded")
            colours = values[..., 2::-1] if values.ndim == 3 else np.dstack([values] * 3)
            pixels = _eight_bits(colours, full_range=False)
            if self.mode == "RGBA":
                pixels = np.dstack([pixels, np.rint(values[..., 3].clip(0, 1) * 255).astype(np.uint8)])
            self.im = Image.fromarray(pixels).im
            self._size = self.im.size
            self.getexif().pop(ORIENTATION, None)  # OpenCV has turned it, as Pillow does other TIFFs
        return super().load()


Image.register_open(FLOAT_TIFF, FloatTiff, lambda start: start[:4] in (b"II*\0", b"MM\0*"))


class Upright(NamedTuple):
    """A decoded photograph."""

    pixels: np.ndarray
    """uint8 sRGB [H, W, 3], upright and writeable."""
    orientation: int
    """EXIF's, as the file had it, 1 to 8."""
    notes: tuple[str, ...]
    """What its owner should know of how it was read, in sentences."""


_decoding = threading.BoundedSemaphore(DECODED_TOGETHER)


def decode_file(file: IO[bytes], called: str) -> Upright:
    """Decode an image file from its beginning; `called` is its name in errors.

    Raises InputError where it is no image, is damaged or too large, which is read from the header before decoding.
    """
    file.seek(0, io.SEEK_END)
    check_bytes(file.tell(), called)
    file.seek(0)
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{called} is not an image that can be read; use JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(called) from error
    except Exception as error:  # a broken header can raise almost anything inside a decoder
        raise _damaged(called) from error
    with image:
        _check_size(*image.size, called)
        try:
            return decode_image(image, called)
        except InputError:
            whole = _ended(file) if image.format in ("JPEG", "MPO") else None
            if whole is None:
                raise
    return decode_image(whole, called)


def _ended(file: IO[bytes]) -> Image.Image | None:
    """A JPEG that lacks its end mark and nothing else, as all viewers show it; None where pixels are missing, too.

    These show in that the picture changes with what stands in their place; of a progressive one that says too little.
    """
    file.seek(0)
    data = file.read()
    if data.endswith(JPEG_END):
        return None
    data = data.rstrip(b"\xff")
    try:
        with _decoding:
            image, other = (Image.open(io.BytesIO(data + more + JPEG_END)) for more in (b"", JPEG_FILLER))
            alike = not image.info.get("progressive") and image.tobytes() == other.tobytes()
    except Exception:  # broken data can raise almost anything inside a decoder
        return None
    return image if alike else None


def megapixels(source: Path | bytes) -> float:
    """Of an image file or its content, by its header alone; 0 where opening it will be refused anyway."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            size = image.width * image.height / 1e6
    except Exception:  # a broken header can raise almost anything
        return 0
    return size if size <= MAX_MEGAPIXELS else 0


def decode_image(image: Image.Image, called: str) -> Upright:
    """The first frame of a PIL image, upright, as `decode_file` gives it."""
    _check_size(*image.size, called)
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
        notes = (FIRST_FRAME,) if getattr(image, "is_animated", False) and image.format in ANIMATED else ()
        with _decoding:
            image.load()
            upright = image if orientation == 1 else ImageOps.exif_transpose(image)  # which copies in any case
            pixels = _rgb(_in_srgb(upright))
    except Exception as error:  # broken data can raise almost anything inside a decoder
        raise _damaged(called) from error
    return Upright(pixels, orientation if orientation in range(1, 9) else 1, notes)


def _in_srgb(image: Image.Image) -> Image.Image:
    """The image with the colours that its own profile means; one that is damaged or of no use is passed over."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        target = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=target)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return image if converted is None else converted


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _eight_bits(np.asarray(image), full_range=image.mode.startswith("I;16"))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # a copy of 64 megapixels takes 256 MB


def _eight_bits(values: np.ndarray, full_range: bool) -> np.ndarray:
    """Scale greys or colours to 0..255; unless they are known to be 16-bit, white is guessed from the largest value."""
    values = np.nan_to_num(values.astype(np.float32), copy=False, posinf=0, neginf=0)
    black = min(0.0, float(values.min()))
    high = float(values.max())
    white = 65535.0 if full_range else next((white for white in (1.0, 255.0, 65535.0) if high <= white), high)
    values -= black
    values *= 255 / (white - black)
    return np.rint(values, out=values).astype(np.uint8)


def check_array(array: np.ndarray) -> np.ndarray:
    """A uint8 RGB array [H, W, 3] with its pixels in a row; InputError where it is something else."""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        found = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"an image array must be uint8 RGB of the shape [height, width, 3], not {found}")
    _check_size(array.shape[1], array.shape[0], "the image")
    return np.ascontiguousarray(array)


def check_bytes(size: int, called: str) -> None:
    """Refuse an empty or huge file."""
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
