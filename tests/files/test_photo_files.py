"""The photograph that a file means, and its boxes on the photograph as it is."""

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from dynrefer.errors import InputError
from dynrefer.files.photo_files import PhotoFinder, PhotoHeader, best_names
from dynrefer.formats.box_files import fit_boxes

PLACES = (
    "cam1/frame_0001.jpg",
    "cam2/frame_0001.jpg",
    "cam2/night/Fenêtre ouverte.JPEG",
    "猫/写真.webp",
    "coco/000000000139.jpg",
    "coco/000000.png",
    "single.tif",
    "100%/a+b.bmp",
)
FORMS: dict[str, Callable[[str], object]] = {
    "as it is": str,
    "back slashes": lambda name: name.replace("/", "\\"),
    "with a dot": lambda name: f"./{name}",
    "a foreign absolute path": lambda name: f"C:\\Users\\me\\set\\{name}",
    "above": lambda name: f"../set/{name}",
    "capitals": lambda name: name.upper(),
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "composed": lambda name: unicodedata.normalize("NFC", name),
    "escaped": lambda name: quote(name),
    "a web address": lambda name: f"https://example.org/photos/{quote(name)}?size=full#top",
    "another ending": lambda name: f"{name.rpartition('.')[0]}.png",
    "without ending": lambda name: name.rpartition(".")[0],
    "blanks around": lambda name: f" {name} ",
    "quoted": lambda name: f'"{name}"',
}


@dataclass(frozen=True)
class Known:
    """What is known of a photograph, without a file."""

    size: tuple[int, int]
    orientation: int = 1
    name: str = "cat.jpg"

    @property
    def stored_size(self) -> tuple[int, int]:
        return self.size[::-1] if self.orientation >= 5 else self.size


def touched(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return touched(tmp_path_factory.mktemp("photographs"), *PLACES)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", PLACES)
def test_a_photograph_is_found_by_every_way_of_writing_its_path(root: Path, place: str, form: str) -> None:
    assert PhotoFinder(root).find(FORMS[form](place)) == root / place


@given(place=st.sampled_from(PLACES), forms=st.lists(st.sampled_from([*FORMS]), min_size=2, max_size=3, unique=True))
def test_ways_of_writing_a_path_may_come_together(root: Path, place: str, forms: list[str]) -> None:
    assume(not {"escaped", "a web address", "quoted"} & set(forms[:-1]) and "without ending" not in forms[:-1])
    name: object = place
    for form in forms:
        name = FORMS[form](str(name))
    assert PhotoFinder(root).find(name) == root / place


@pytest.mark.parametrize("name", [139, "139", "0139", 139.0, "139.0", "COCO_val2014_000000000139.jpg"])
def test_a_number_finds_the_photograph_of_that_number(root: Path, name: object) -> None:
    assert PhotoFinder(root).find(name) == root / "coco/000000000139.jpg"


@pytest.mark.parametrize("name", [0, "0", "0.0"])
def test_zero_is_a_number_too(root: Path, name: object) -> None:
    assert PhotoFinder(root).find(name) == root / "coco/000000.png"


@pytest.mark.parametrize("name", [1, "frame", "cam3/frame_0001.jpg", "", None, True, ["a"], "..", 1390, "\0"])
def test_a_photograph_that_is_not_there_is_not_another_one(root: Path, name: object) -> None:
    with pytest.raises(InputError, match=r"is not in the folder|no photograph in the folder \w+ is called 1"):
        PhotoFinder(root).find(name)


def test_a_name_that_may_be_two_photographs_is_refused_with_both(root: Path) -> None:
    with pytest.raises(InputError, match=r"may be cam1/frame_0001.jpg and cam2/frame_0001.jpg"):
        PhotoFinder(root).find("frame_0001.jpg")


def test_letter_case_and_ending_part_photographs_of_otherwise_one_name(tmp_path: Path) -> None:
    finder = PhotoFinder(touched(tmp_path, "sub/Cat.jpg", "sub/cat.jpg", "sub/cat.png"))
    for name in ("Cat.jpg", "cat.jpg", "cat.png"):
        assert finder.find(name) == tmp_path / "sub" / name


def test_a_file_beside_the_folder_is_not_one_of_the_folder(tmp_path: Path) -> None:
    touched(tmp_path, "cam1/frame_0001.jpg", "cam2/frame_0001.jpg")
    with pytest.raises(InputError, match=r'"cam2/frame_0001.jpg" is not in the folder cam1'):
        PhotoFinder(tmp_path / "cam1").find("cam2/frame_0001.jpg")


def test_of_two_names_for_one_photograph_the_better_match_has_it(tmp_path: Path) -> None:
    touched(tmp_path, "cam1/frame_0001.jpg")
    found = PhotoFinder(tmp_path / "cam1").find_all(["cam2/frame_0001.jpg", "cam1/frame_0001.jpg", "FRAME_0001.JPG"])
    assert isinstance(found["cam2/frame_0001.jpg"], InputError)
    assert found["cam1/frame_0001.jpg"] == tmp_path / "cam1/frame_0001.jpg"


def test_two_folders_names_for_one_photograph_are_no_names_of_it(tmp_path: Path) -> None:
    found = PhotoFinder(touched(tmp_path, "frame.jpg")).find_all(["a/frame.jpg", "b/frame.jpg"])
    assert all(isinstance(error, InputError) for error in found.values())


def test_two_spellings_of_one_name_are_one_photograph(tmp_path: Path) -> None:
    names = ["set/frame.jpg", ".\\set\\frame.jpg", "FRAME.JPG"]
    assert set(PhotoFinder(touched(tmp_path, "frame.jpg")).find_all(names).values()) == {tmp_path / "frame.jpg"}


def test_what_is_known_of_a_photograph_is_its_path_in_the_folder(root: Path) -> None:
    assert PhotoFinder(root).identity(root / "cam2" / "frame_0001.jpg") == "cam2/frame_0001.jpg"


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    touched(tmp_path, "secret.jpg", "photos/cat.jpg")
    with pytest.raises(InputError, match="not in the folder"):
        PhotoFinder(tmp_path / "photos").find("../secret.jpg")


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    touched(tmp_path, "a/cat.jpg")
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert PhotoFinder(tmp_path).find("cat.png") == tmp_path / "a/cat.jpg"


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["cam1/frame.jpg", "cam2/frame.jpg"], ["cam1/frame.jpg"]),
        (["frame.jpg"], ["frame.jpg"]),
        (["frame.png", "other.jpg"], ["frame.png"]),
        (["x/frame.jpg", "y/frame.jpg"], []),
        (["other.jpg"], []),
        (["cam2/frame.jpg"], []),
        ([7], []),
        (["Frame.JPG", "frame.jpg"], ["Frame.JPG", "frame.jpg"]),
        (["frame.jpeg", "frame.jpg"], ["frame.jpg"]),
    ],
    ids=range(9),
)
def test_the_names_that_mean_a_photograph(tmp_path: Path, names: list[object], kept: list[object]) -> None:
    touched(tmp_path, "cam1/frame.jpg", "cam2/frame.jpg")
    assert best_names(names, tmp_path / "cam1/frame.jpg") == kept


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "tif"])
def test_a_header_tells_both_sizes(tmp_path: Path, orientation: int, ending: str) -> None:
    image = Image.new("RGB", (70, 50))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"phone.{ending}", exif=exif)
    header = PhotoHeader.read(tmp_path / f"phone.{ending}")
    assert (header.stored_size, header.size) == ((70, 50), ImageOps.exif_transpose(image).size)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "empty"), (b"text", "not a photograph"), (b"\xff\xd8\xff\xe0 cut", "not a photograph")]
)
def test_what_has_no_header_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(InputError, match=f"photo.jpg is {words}"):
        PhotoHeader.read(tmp_path / "photo.jpg")


def test_what_is_no_ordinary_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "folder").mkdir()
    for name, words in (
        ("pipe.jpg", "pipe.jpg is no ordinary file"),
        ("link.jpg", "link.jpg is a link that leads to no file"),
        ("folder", '"folder" is a folder'),
    ):
        with pytest.raises(InputError, match=words):
            PhotoHeader.read(tmp_path / name)
    with pytest.raises(InputError, match=r"There is no photograph gone\.jpg"):
        PhotoHeader.read(tmp_path / "gone.jpg")
    with pytest.raises(InputError, match="There is no image"):
        PhotoHeader.read(Path(""))
    with pytest.raises(InputError, match=r"gone\.jpg is at a web address"):
        PhotoHeader.read(Path("https://example.org/gone.jpg"))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_stored_pixels_are_turned_with_the_photograph(orientation: int) -> None:
    stored = np.zeros((50, 70, 3), np.uint8)
    stored[10:20, 5:30] = 255
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    rows, columns = np.nonzero(np.asarray(ImageOps.exif_transpose(image))[..., 0])
    upright = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    said: list[str] = []
    assert fit_boxes([(5, 10, 30, 20)], (70, 50), Known((50, 70), orientation), said.append) == [upright]
    assert said == [
        "cat.jpg is 50 x 70 pixels upright where its file says 70 x 50; EXIF turns it, so its boxes are turned too"
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_the_same_size_stay_as_they_are(orientation: int) -> None:
    said: list[str] = []
    assert fit_boxes([(5, 10, 30, 20)], (50, 70), Known((50, 70), orientation), said.append) == [(5, 10, 30, 20)]
    unseen = "cat.jpg is turned by EXIF, which no size shows; its boxes are read as of the upright one"
    assert said == ([unseen] if orientation in (2, 3, 4) else [])


sides = st.integers(60, 4000)


@given(sides, sides, st.floats(0.1, 10), st.sampled_from([round, int, np.ceil]))
def test_boxes_of_a_resized_photograph_cover_the_same_part_of_it(
    width: int, height: int, factor: float, rounded: Callable[[float], float]
) -> None:
    stated = (int(rounded(width * factor)), int(rounded(height * factor)))
    assume(min(stated) >= 60)
    (x1, y1, x2, y2) = fit_boxes([(0, 0, stated[0], stated[1] / 2)], stated, Known((width, height)), lambda _: None)[0]
    assert (x1, y1) == (0, 0)
    assert (x2, y2) == pytest.approx((width, height / 2))


@given(sides, sides, st.sampled_from([0.5, 2, 3]), st.sampled_from([5, 6, 7, 8]))
def test_a_resized_and_turned_photograph_is_both(width: int, height: int, factor: float, orientation: int) -> None:
    assume(abs(width - height) > 0.1 * width)
    known = Known((height, width), orientation)
    stated = (width * factor, height * factor)
    (box,) = fit_boxes([(0, 0, *stated)], stated, known, lambda _: None)
    assert box == pytest.approx((0, 0, height, width))


@given(sides, sides, sides, sides, st.integers(1, 8))
def test_a_photograph_of_another_shape_is_refused_by_name(w: int, h: int, width: int, height: int, turn: int) -> None:
    assume(abs(np.log(w * height / h / width)) > 0.05 and abs(np.log(w * width / h / height)) > 0.05)
    with pytest.raises(InputError, match=r"cat.jpg is .* different pictures"):
        fit_boxes([(1, 2, 3, 4)], (w, h), Known((width, height), turn))


def test_a_swapped_size_without_a_turn_is_refused() -> None:
    with pytest.raises(InputError, match="different pictures"):
        fit_boxes([(1, 2, 3, 4)], (70, 50), Known((50, 70), 1))


@pytest.mark.parametrize(
    "stated", [None, (None, None), (0, 0), (640, None), ("", ""), ("wide", "high"), (float("nan"), 2)]
)
def test_a_size_that_is_not_stated_says_nothing(stated: tuple[object, object] | None) -> None:
    assert fit_boxes([(1, 2, 3, 4)], stated, Known((50, 70))) == [(1, 2, 3, 4)]


def test_a_size_may_be_stated_as_text() -> None:
    assert fit_boxes([(10, 20, 30, 40)], ("100", "140.0"), Known((50, 70)), lambda _: None) == [(5, 10, 15, 20)]


def test_a_photographs_very_path_and_a_longer_one_are_both_its_names(tmp_path: Path) -> None:
    touched(tmp_path / "photos", "cat.jpg")
    names = ["cat.jpg", "C:\\photos\\cat.jpg", "other/cat.jpg"]
    found = PhotoFinder(tmp_path / "photos").find_all(names)
    assert [isinstance(found[name], Path) for name in names] == [True, True, False]


@pytest.mark.parametrize(
    "name", ["cat#1.jpg", "cat%20one.jpg", "cat?x.jpg", "cat.jpg ", " cat.jpg", "a" * 251 + ".jpg"]
)
def test_signs_in_a_files_own_name_are_part_of_it(tmp_path: Path, name: str) -> None:
    finder = PhotoFinder(touched(tmp_path, name, "far/cat.jpg", "far/cat one.jpg"))
    assert finder.find(name) == tmp_path / name
    assert finder.find(f"D:\\photos\\{name}") == tmp_path / name
