"""Photographs as the page shows them, and as it lets them be saved."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynrefer.errors import InputError
from dynrefer.formats import Record
from dynrefer.formats.box_files import BoxFile
from dynrefer.photo import DISPLAY_SIZE, Photo
from dynrefer.results import Caption, RegionResult, Scored
from dynrefer.ui.pictures import PNG, choices, display_url, download, thumbnails, view_colour


def decoded(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


def pixels(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(decoded(url))).convert("RGB"))


@pytest.fixture
def photo() -> Photo:
    """Left half red, right half blue, larger than the display copy."""
    image = np.zeros((1500, 3000, 3), dtype=np.uint8)
    image[:, :1500, 0] = image[:, 1500:, 2] = 255
    return Photo.read(image)


@pytest.fixture
def records() -> list[Record]:
    boxes = [(10.0, 20.0, 300.0, 400.0), (1000.0, 100.0, 2000.0, 1200.0)]
    results = [RegionResult(box, Caption("a dog", 0.5), (Scored("dog", 0.9),), (), (), ()) for box in boxes]
    return [Record.of(result, "dog.jpg", (3000, 1500)) for result in results]


def test_the_display_copy_is_small_and_keeps_its_shape(photo: Photo) -> None:
    assert photo.size == (3000, 1500)
    assert pixels(display_url(photo)).shape == (DISPLAY_SIZE // 2, DISPLAY_SIZE, 3)


@pytest.mark.parametrize("box", [(0, 0, 100, 100), (0, 0, 1500, 1500)], ids=["small", "large"])
def test_a_thumbnail_shows_its_box_and_nothing_else(photo: Photo, box: tuple[int, int, int, int]) -> None:
    shown = pixels(thumbnails(photo, [box], size=32)[0]).astype(int)
    assert shown.shape == (32, 32, 3)
    assert np.abs(shown - [254, 0, 0]).max() < 12


def test_views_of_different_reach_differ_in_colour() -> None:
    assert len({view_colour(step / 10) for step in range(11)}) == 11


@pytest.mark.parametrize("kind", [kind for _, kind in choices() if kind != PNG])
def test_what_is_saved_reads_back_in(kind: str, photo: Photo, records: list[Record], tmp_path: Path) -> None:
    file = download(kind, records, "dog", photo)
    path = tmp_path / file["name"]
    path.write_bytes(decoded(file["url"]))
    found, left_out = BoxFile.read(path).of("dog.jpg").fit(photo)
    for given, record in zip(found, records, strict=True):
        assert given.box == pytest.approx(record.box, abs=1e-3)  # some formats keep shares of the photograph
    assert left_out == []


def test_the_annotated_photograph_keeps_its_shape_and_changes_only_near_the_boxes(
    photo: Photo, records: list[Record]
) -> None:
    image = pixels(download(PNG, records, "dog", photo)["url"])
    assert image.shape == (1024, 2048, 3)
    assert image[1000, 100].tolist() == [255, 0, 0]
    assert image[round(400 * 2048 / 3000) - 1, 100].tolist() != [255, 0, 0]


def test_an_unknown_format_is_refused(photo: Photo, records: list[Record]) -> None:
    with pytest.raises(InputError, match="the formats are coco, csv, cvat"):
        download("EXE", records, "dog", photo)
