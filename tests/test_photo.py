import contextlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dynrefer import photo
from dynrefer.errors import InputError
from dynrefer.files.decoding import (
    FIRST_FRAME,
    MAX_FILE_MEGABYTES,
    MAX_MEGAPIXELS,
    ORIENTATION,
    Upright,
    decode_file,
    megapixels,
)
from dynrefer.files.photo_files import PhotoHeader
from dynrefer.photo import DISPLAY_SIZE, STORE, Photo
from dynrefer.views import crop_views
from tests.icc import display_p3, press

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
        *[(suffix, "RGB") for suffix in ("jpg", "png", "webp", "tiff", "bmp", "ppm", "avif", "heic", "heif")],
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


@pytest.mark.parametrize("turn", [1, 6])
def test_floating_point_colours_are_scaled_turned_and_laid_on_white(tmp_path: Path, turn: int) -> None:
    values = np.zeros((4, 6, 4), np.float32)  # blue, green, red and what there is of them
    values[:2, :, 2] = 0.5
    values[:2, :, 3] = 1
    values[2:, :, 0] = 1  # unseen, and the most
    whole = cv2.imencode(".tiff", values)[1].tobytes()
    one_plane, turned = struct.pack("<HHIH", 284, 3, 1, 1), struct.pack("<HHIH", ORIENTATION, 3, 1, turn)
    assert one_plane in whole
    path = tmp_path / "float.tiff"
    path.write_bytes(whole.replace(one_plane, turned))
    expected = np.full((4, 6, 3), 255, np.uint8)
    expected[:2] = 128, 0, 0
    photo = Photo.read(path)
    np.testing.assert_array_equal(photo.pixels, np.rot90(expected, -1) if turn == 6 else expected)
    assert PhotoHeader.read(path).size == photo.size
    assert megapixels(path) > 0


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


@pytest.mark.parametrize(("suffix", "notes"), [("gif", (FIRST_FRAME,)), ("webp", (FIRST_FRAME,)), ("tiff", ())])
def test_of_an_animation_the_first_frame_is_taken_and_that_is_said(
    tmp_path: Path, suffix: str, notes: tuple[str, ...]
) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"moving.{suffix}", save_all=True, append_images=frames[1:])
    opened = Photo.read(tmp_path / f"moving.{suffix}")
    assert np.abs(opened.pixels[4, 4].astype(int) - [255, 0, 0]).max() <= 2
    assert opened.notes == notes


@pytest.mark.parametrize("suffix", ["png", "heic", "tiff"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_of_a_wide_gamut_are_those_of_their_profile(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"phone.{suffix}"
    Image.new("RGB", (16, 16), (200, 100, 50)).convert(mode).save(path, icc_profile=display_p3())
    assert np.abs(Photo.read(path).pixels[8, 8].astype(int) - [216, 93, 24]).max() <= 2


@pytest.mark.parametrize("suffix", ["jpg", "tiff"])
def test_inks_are_the_colours_of_their_profile(tmp_path: Path, suffix: str) -> None:
    olive = (50, 0, 60)  # Lab
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / f"print.{suffix}", icc_profile=press(olive))
    assert np.abs(Photo.read(tmp_path / f"print.{suffix}").pixels[8, 8].astype(int) - [137, 117, 0]).max() <= 3


def test_a_damaged_profile_is_passed_over(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "odd.png", icc_profile=b"no profile")
    assert Photo.read(tmp_path / "odd.png").pixels[4, 4].tolist() == [200, 100, 50]


def test_where_tags_say_different_turns_exif_is_believed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    quadrants().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "phone.jpg", exif=exif, xmp=xmp, quality=95)
    opened = Photo.read(tmp_path / "phone.jpg")
    assert (opened.orientation, opened.size) == (6, (64, 48))
    assert np.abs(middles(opened.pixels) - np.array(QUADRANTS)).max() <= CLOSE


def test_a_heic_photograph_lies_as_its_container_says_whatever_its_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    quadrants().save(tmp_path / "phone.heic", exif=exif, quality=95)
    opened = Photo.read(tmp_path / "phone.heic")
    assert (opened.orientation, opened.size) == (1, (64, 48))
    assert np.abs(middles(opened.pixels) - np.array(QUADRANTS)).max() <= CLOSE


def test_a_single_pixel_opens(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "teal").save(tmp_path / "dot.png")
    assert Photo.read(tmp_path / "dot.png").pixels.tolist() == [[[0, 128, 128]]]


def jpeg(width: int = 640) -> bytes:
    buffer = io.BytesIO()
    quadrants(width, 480).save(buffer, "JPEG")
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
    ("name", "words"), [("nothing.jpg", "no photograph nothing.jpg"), (".", "folder"), ("a\0b", "no photograph")]
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


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """An empty store before and after."""
    STORE.clear()
    yield
    STORE.clear()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded."""
    names: list[str] = []
    decode = photo.decode_file

    def counting(file: IO[bytes], called: str) -> Upright:
        names.append(called)
        return decode(file, called)

    monkeypatch.setattr(photo, "decode_file", counting)
    return names


def saved(path: Path, size: tuple[int, int] = (64, 48)) -> Path:
    quadrants(*size).save(path)
    return path


def test_a_photograph_stays_itself(tmp_path: Path) -> None:
    opened = Photo.open(saved(tmp_path / "a.png"))
    assert Photo.open(opened) is opened
    assert Photo.read(opened) is opened


def test_a_file_is_opened_once_whoever_asks(tmp_path: Path, decoded: list[str]) -> None:
    path = saved(tmp_path / "a.png")
    first, second = Photo.open(path), Photo.open(str(path))
    assert decoded == ["a.png"]
    assert first.gray is second.gray
    assert first.digest == second.digest


def test_the_same_content_under_two_names_is_kept_once_and_each_has_its_name(
    tmp_path: Path, decoded: list[str]
) -> None:
    path, copy = saved(tmp_path / "a.png"), tmp_path / "b.png"
    copy.write_bytes(path.read_bytes())
    names = [Photo.open(source).name for source in (path, copy, path.read_bytes())]
    assert names == ["a.png", "b.png", ""]
    assert len(decoded) == 1


def test_a_file_that_changed_is_opened_anew(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png")
    before = Photo.open(path).digest
    path.write_bytes(path.read_bytes() + b"\0")
    assert Photo.open(path).digest != before
    saved(path, (32, 24))
    assert Photo.open(path).size == (32, 24)


def test_those_who_ask_at_once_wait_for_the_first(tmp_path: Path, decoded: list[str]) -> None:
    path = saved(tmp_path / "a.png", (1200, 900))
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: Photo.open(path), range(8)))
    assert decoded == ["a.png"]
    assert len({id(one.pixels) for one in opened}) == 1


def test_the_store_is_bounded_in_bytes_and_the_least_recently_used_goes(
    tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [saved(tmp_path / f"{number}.png", (64 + number, 48)) for number in range(3)]
    Photo.open(paths[0])
    monkeypatch.setattr(STORE, "_Cache__maxsize", 2.5 * STORE.currsize)
    for path in (paths[1], paths[0], paths[2], paths[0], paths[1]):
        Photo.open(path)
    assert decoded == ["0.png", "1.png", "2.png", "1.png"]
    assert STORE.currsize <= STORE.maxsize


def test_a_bad_file_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(InputError, match=r"a\.png is not an image"):
            Photo.open(path)
    assert len(STORE) == 0


def test_what_passes_through_is_not_kept(tmp_path: Path) -> None:
    Photo.read(saved(tmp_path / "a.png"))
    Photo.open(np.zeros((4, 4, 3), np.uint8))
    Photo.open(quadrants())
    assert len(STORE) == 0


def test_kept_pixels_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Photo.open(saved(tmp_path / "a.png")).pixels[0, 0] = 0


def test_a_constant_array_is_prepared_once() -> None:
    array = np.asarray(quadrants())
    assert not array.flags.writeable
    assert Photo.open(array).gray is Photo.open(array).gray


def test_an_array_that_can_change_is_prepared_anew() -> None:
    array = np.array(quadrants())
    before = Photo.open(array).digest
    array[:] = 0
    assert Photo.open(array).digest != before
    assert Photo.open(array).gray.max() == 0


def test_a_constant_view_of_an_array_that_can_change_is_prepared_anew() -> None:
    array = np.array(quadrants())
    view = array.view()
    view.flags.writeable = False
    before = Photo.open(view).digest
    array[:] = 0
    assert Photo.open(view).digest != before


def test_pixels_and_shape_make_the_digest() -> None:
    flat = Photo.read(np.zeros((2, 8, 3), np.uint8)).digest
    assert flat == Photo.read(np.zeros((2, 8, 3), np.uint8)).digest
    assert flat != Photo.read(np.zeros((8, 2, 3), np.uint8)).digest


def test_a_turned_photograph_says_how_its_file_has_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "tiff"):
        quadrants().save(tmp_path / f"turned.{suffix}", exif=exif)
        opened = Photo.open(tmp_path / f"turned.{suffix}")
        assert (opened.orientation, opened.size, opened.stored_size) == (6, (48, 64), (64, 48))
    opened = Photo.read(quadrants())
    assert (opened.orientation, opened.size, opened.stored_size, opened.name) == (1, (64, 48), (64, 48), "")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate((MAX_FILE_MEGABYTES + 1) * 2**20)
    with pytest.raises(InputError, match=f"the limit is {MAX_FILE_MEGABYTES} MB"):
        Photo.open(path)


def test_a_small_crop_is_the_plain_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    box = (10.7, 20.2, 70.9, 60.1)
    expected = crop_views(pixels, np.float32([box]), 32)[0]
    np.testing.assert_array_equal(Photo.read(pixels).crop(box, 32), expected)


@pytest.mark.parametrize("box", [(0, 0, 4001, 3001), (333.3, 250.5, 3700.7, 2900.1), (1500, 0, 2600, 1100)])
def test_a_large_crop_is_nearly_the_plain_one(box: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8))
    pixels = np.asarray(coarse.resize((4001, 3001), Image.Resampling.BICUBIC))
    plain = crop_views(pixels, np.float32([box]), 224)[0].astype(int)
    assert np.abs(Photo.read(pixels).crop(box, 224) - plain).mean() < 3


def test_the_display_copy_is_small_and_keeps_its_shape() -> None:
    assert Photo.read(np.zeros((1500, 3000, 3), np.uint8)).display.shape == (DISPLAY_SIZE // 2, DISPLAY_SIZE, 3)
    assert Photo.read(np.zeros((15, 30, 3), np.uint8)).display.shape == (15, 30, 3)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_mark_is_read(tmp_path: Path, missing: int) -> None:
    (tmp_path / "cut.jpg").write_bytes(jpeg()[:-missing])
    assert (Photo.read(tmp_path / "cut.jpg").pixels == Photo.read(jpeg()).pixels).all()


@pytest.mark.parametrize("marks", [0, 1])
def test_a_jpeg_that_lacks_pixels_as_well_is_refused(marks: int) -> None:
    whole = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(whole, "JPEG", restart_marker_blocks=marks)
    for missing in range(3, 200):
        with contextlib.suppress(InputError):
            assert (Photo.read(whole.getvalue()[:-missing]).pixels == Photo.read(whole.getvalue()).pixels).all()
            assert missing < 5  # what was lost does not show


def test_a_photograph_that_changes_while_it_is_read_is_not_kept_as_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "growing.jpg"
    path.write_bytes(jpeg())

    def decode(file: IO[bytes], called: str) -> Any:
        path.write_bytes(jpeg(320))
        return decode_file(file, called)

    with monkeypatch.context() as patch:
        patch.setattr("dynrefer.photo.decode_file", decode)
        with pytest.raises(InputError, match=r"growing\.jpg changed while it was read"):
            Photo.open(path)
    assert Photo.open(jpeg()).pixels.tolist() == Photo.read(jpeg()).pixels.tolist()
