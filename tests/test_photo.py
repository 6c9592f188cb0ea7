import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dynrefer.decoding import MAX_MEGAPIXELS
from dynrefer.errors import InputError
from dynrefer.photo import Photo

QUADRANTS = ((220, 30, 30), (30, 180, 30), (30, 30, 220), (230, 220, 40))  # top left, top right, bottom left, right
CLOSE = 12  # lossy formats and subsampled colour stay within this, measured in the middle of a quadrant


def quadrants(width: int = 64, height: int = 48) -> Image.Image:
    pixels = np.zeros((height, width, 3), np.uint8)
    for index, colour in enumerate(QUADRANTS):
        rows = slice(height // 2) if index < 2 else slice(height // 2, None)
        columns = slice(width // 2) if index % 2 == 0 else slice(width // 2, None)
        pixels[rows, columns] = colour
    return Image.fromarray(pixels)


def middles(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    return np.array([pixels[y, x] for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)], int)


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares its size but has no pixels, so that decoding it fails."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(header) - 4)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *[(suffix, "RGB") for suffix in ("jpg", "png", "webp", "tiff", "bmp", "ppm", "avif")],
        ("gif", "P"),
        ("png", "P"),
        ("jpg", "CMYK"),
        ("tiff", "CMYK"),
    ],
)
def test_every_format_opens_with_its_colours(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    picture = quadrants().quantize(4) if mode == "P" else quadrants().convert(mode)
    picture.save(path)
    pixels = Photo.read(path).pixels
    assert pixels.shape == (48, 64, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(middles(pixels) - np.array(QUADRANTS)).max() <= CLOSE


@pytest.mark.parametrize("wrap", [str, Path, lambda path: path.read_bytes(), Image.open])
def test_path_bytes_and_pil_image_give_the_same_pixels(tmp_path: Path, wrap: Callable) -> None:
    path = tmp_path / "photo.png"
    quadrants().save(path)
    np.testing.assert_array_equal(Photo.read(wrap(path)).pixels, np.asarray(quadrants()))


def test_an_array_passes_unchanged() -> None:
    array = np.asarray(quadrants())
    np.testing.assert_array_equal(Photo.read(array).pixels, array)


def test_pixels_can_be_written_to(tmp_path: Path) -> None:
    quadrants().save(tmp_path / "photo.png")
    assert Photo.read(tmp_path / "photo.png").pixels.flags.writeable


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_exif_rotation_is_undone(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    picture = quadrants() if stored is None else quadrants().transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / f"turned.{suffix}", exif=exif)
    pixels = Photo.read(tmp_path / f"turned.{suffix}").pixels
    assert pixels.shape == (48, 64, 3)
    assert np.abs(middles(pixels) - np.array(QUADRANTS)).max() <= CLOSE


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_keep_a_photograph_from_opening(tmp_path: Path) -> None:
    quadrants().save(tmp_path / "photo.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03")
    assert Photo.read(tmp_path / "photo.jpg").pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    steps = np.linspace(0, 65535, 256).round().astype(np.uint16)
    cv2.imwrite(str(tmp_path / f"deep.{suffix}"), np.tile(steps, (4, 1)))
    np.testing.assert_array_equal(Photo.read(tmp_path / f"deep.{suffix}").pixels[2, :, 1], np.arange(256))


def test_a_dark_16_bit_grey_stays_dark(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "dark.png"), np.full((4, 4), 200, np.uint16))
    assert Photo.read(tmp_path / "dark.png").pixels.max() == 1


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_colour_is_scaled(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"deep.{suffix}"), np.asarray(quadrants())[..., ::-1].astype(np.uint16) * 257)
    assert np.abs(middles(Photo.read(tmp_path / f"deep.{suffix}").pixels) - np.array(QUADRANTS)).max() <= 1


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0, 1e6])
def test_floating_point_grey_spans_black_to_white(tmp_path: Path, white: float) -> None:
    values = np.tile(np.linspace(0, white, 256, dtype=np.float32), (4, 1))
    values[0] = np.nan
    Image.fromarray(values).save(tmp_path / "float.tiff")
    pixels = Photo.read(tmp_path / "float.tiff").pixels
    np.testing.assert_array_equal(pixels[2, :, 0], np.arange(256))
    assert pixels[0].max() == 0


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I", "F"])
def test_greys_of_all_kinds_become_rgb(mode: str) -> None:
    grey = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (2, 1)))
    expected = np.repeat(np.tile(np.array([0, 255], np.uint8), (2, 1))[..., None], 3, axis=2)
    np.testing.assert_array_equal(Photo.read(grey.convert(mode)).pixels, expected)


def test_transparency_shows_white(tmp_path: Path) -> None:
    picture = quadrants().convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 32, 24))
    picture.paste((0, 0, 0, 128), (32, 0, 64, 24))
    picture.save(tmp_path / "clear.png")
    assert middles(Photo.read(tmp_path / "clear.png").pixels)[:2].tolist() == [[255] * 3, [127] * 3]


def test_a_transparent_palette_colour_shows_white(tmp_path: Path) -> None:
    picture = quadrants().quantize(8)
    picture.save(tmp_path / "clear.gif", transparency=picture.getpixel((1, 1)))
    assert middles(Photo.read(tmp_path / "clear.gif").pixels)[0].tolist() == [255] * 3


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert Photo.read(tmp_path / "moving.gif").pixels[4, 4].tolist() == [255, 0, 0]


def test_a_single_pixel_opens(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "teal").save(tmp_path / "dot.png")
    assert Photo.read(tmp_path / "dot.png").pixels.tolist() == [[[0, 128, 128]]]


def jpeg() -> bytes:
    buffer = io.BytesIO()
    quadrants(640, 480).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"just some words", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (jpeg()[: len(jpeg()) // 2], "damaged"),
        (png_header(5, 5), "damaged"),
        (png_header(0, 5), "not an image|damaged|no pixels"),
        (b"GIF89a", "not an image|damaged"),
        (b"II*\0\x08\0\0\0", "not an image|damaged"),
        (png_header(30_000, 30_000), f"{MAX_MEGAPIXELS} megapixels"),
        (png_header(9_000, 9_000), f"9000 x 9000 pixels; the limit is {MAX_MEGAPIXELS} megapixels"),
    ],
    ids=range(10),
)
def test_a_bad_file_is_refused_in_words_without_its_folder(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"holiday.jpg.*({words})") as caught:
        Photo.read(path)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"), [("nothing.jpg", "no image file nothing.jpg"), (".", "folder"), ("a\0b", "no image file")]
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Photo.read(f"{tmp_path}/{name}")
    assert str(tmp_path.parent) not in str(caught.value)


def test_an_endless_name_is_cut_short_in_the_error() -> None:
    with pytest.raises(InputError) as caught:
        Photo.read("x" * 5000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.full((4, 4, 3), np.nan, np.float32),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4), np.uint8),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_an_array_of_another_type_or_shape_is_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"must be uint8 RGB of the shape \[height, width, 3\]"):
        Photo.read(array)


def test_an_array_without_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="no pixels"):
        Photo.read(np.zeros((0, 4, 3), np.uint8))


def test_an_array_above_the_size_limit_is_refused() -> None:
    huge = np.broadcast_to(np.uint8(0), (9000, 9000, 3))
    with pytest.raises(InputError, match=f"{MAX_MEGAPIXELS} megapixels"):
        Photo.read(huge)


@pytest.mark.parametrize(("source", "words"), [(None, "choose a photograph"), (7, "not int"), ([], "not list")])
def test_what_is_no_image_at_all_is_refused(source: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Photo.read(source)
