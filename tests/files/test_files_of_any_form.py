"""Every kind of input by its properties: whatever its form, the boxes are those that were written, or it is said."""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynrefer.boxes import parse_boxes
from dynrefer.datasets import own
from dynrefer.datasets.records import Problems
from dynrefer.errors import InputError
from dynrefer.files.photo_files import PhotoHeader
from dynrefer.files.tables import split_words
from dynrefer.files.text import decode_text
from dynrefer.formats.box_files import BoxFile

from .conftest import coco, save, write

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
PHOTO = PhotoHeader("cat.png", (2000, 1000))
corners = st.tuples(st.integers(0, 900), st.integers(0, 400), st.integers(1, 1000), st.integers(1, 500)).map(
    lambda box: (float(box[0]), float(box[1]), float(box[0] + box[2]), float(box[1] + box[3]))
)
boxes = st.lists(corners, min_size=1, max_size=4).filter(lambda found: any(max(box) > 1 for box in found))
chance = st.randoms(use_true_random=False)


def read(text: str | bytes) -> list[tuple[float, ...]]:
    """The boxes that a file of this content has for cat.png."""
    text = decode_text(text, "file") if isinstance(text, bytes) else text
    return [box.box for box in BoxFile.parse(text, "file").of("cat.png").fit(PHOTO, lambda _: None)[0]]


COLUMNS = {
    "corners": ("x1 y1 x2 y2|xmin ymin xmax ymax|X Min;Y Min;X Max;Y Max|left top right bottom", lambda b: b),
    "sides": (
        "x y w h|left top width height|bbox_x bbox_y bbox_width bbox_height",
        lambda b: (*b[:2], b[2] - b[0], b[3] - b[1]),
    ),
    "centre": (
        "cx cy w h|x_center y_center width height",
        lambda b: ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]),
    ),
}


@given(
    found=boxes,
    kind=st.sampled_from(sorted(COLUMNS)),
    image=st.sampled_from(["image", "File Name", "filename", "photo_path", "img"]),
    separator=st.sampled_from(",;\t|，；"),
    encoding=st.sampled_from(ENCODINGS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    chance=chance,
)
def test_a_table_of_boxes(
    found: list[tuple[float, ...]],
    kind: str,
    image: str,
    separator: str,
    encoding: str,
    end: str,
    chance: random.Random,
) -> None:
    spelt, written = COLUMNS[kind]
    choice = chance.choice(spelt.split("|"))
    names = [image, *(choice.split(";") if ";" in choice else choice.split())]
    order = chance.sample(range(5), 5)
    rows = [names, *(["cat.png", *map(str, written(box))] for box in found)]
    if separator == ";" and chance.random() < 0.5:
        rows[1:] = [[cell.replace(".", ",") if cell != "cat.png" else cell for cell in row] for row in rows[1:]]
    text = end.join(separator.join(row[place] for place in order) for row in rows) + end * chance.randrange(3)
    assert read(text.encode(encoding)) == found


JSON_FORMS = {
    "list": lambda found: [list(box) for box in found],
    "objects": lambda found: [{"image": "cat.png", "box": box} for box in found],
    "by name": lambda found: {"cat.png": found},
    "named sides": lambda found: [
        {"file_name": "cat.png", "bbox": [x1, y1, x2 - x1, y2 - y1]} for x1, y1, x2, y2 in found
    ],
    "texts": lambda found: [{"filename": "cat.png", "box": [f" {side} " for side in box]} for box in found],
    "coco": lambda found: coco(
        [{"id": "7", "file_name": "images\\cat.png"}],
        [{"image_id": 7.0, "bbox": [x1, y1, x2 - x1, y2 - y1]} for x1, y1, x2, y2 in found],
    ),
}


@given(
    found=boxes,
    form=st.sampled_from(sorted(JSON_FORMS)),
    encoding=st.sampled_from(ENCODINGS),
    indent=st.sampled_from([None, 1]),
)
def test_json_of_boxes(found: list[tuple[float, ...]], form: str, encoding: str, indent: int | None) -> None:
    assert read(json.dumps(JSON_FORMS[form](found), indent=indent).encode(encoding)) == found


@given(
    found=boxes.filter(lambda found: len(found) > 1),
    comma=st.sampled_from(["", ","]),
    cut=st.integers(0, 30),
    bracket=st.booleans(),
)
def test_lines_of_json_cost_only_what_is_cut_off(
    found: list[tuple[float, ...]], comma: str, cut: int, bracket: bool
) -> None:
    lines = [json.dumps({"image": "cat.png", "box": box}) + comma for box in [*found, found[0]]]
    text = "[\n" * bracket + "\n".join(lines)
    kept = BoxFile.parse(text[: len(text) - 2 - cut], "file")
    assert [box.box for box in kept.photographs[0].boxes] == found
    assert [str(left).partition(" of ")[0] for left in kept.left_out] == [f"Line {len(lines) + bracket}"]


@given(
    found=boxes,
    between=st.sampled_from(["\n", "; ", " | ", "\t\t", "   "]),
    inside=st.sampled_from([" ", ", ", ","]),
    brackets=st.sampled_from(["", "[]", "()", "{}"]),
)
def test_pasted_boxes(found: list[tuple[float, ...]], between: str, inside: str, brackets: str) -> None:
    opening, closing = brackets or ("", "")
    written = between.join(opening + inside.join(f"{side:g}" for side in box) + closing for box in found)
    assert parse_boxes(written) == [list(box) for box in found]


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_boxes_or_a_sentence(data: bytes) -> None:
    for start in (b"", b"[", b'{"annotations":', b"image,x1,y1,x2,y2\n"):
        with suppress(InputError):
            BoxFile.parse(decode_text(start + data, "file"), "file")
        with suppress(InputError):
            split_words(decode_text(start + data, "file"))


odd = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers(), max_size=2)
)
odd |= st.dictionaries(st.text(max_size=2), st.integers(), max_size=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    for name in ("cat.png", "puppy.png"):
        save(root / name)
    return root


@given(chance=chance, values=st.lists(odd, min_size=3, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_a_coco_file_with_anything_missing_or_odd_loses_nothing_without_a_word(
    root: Path, chance: random.Random, values: list[Any]
) -> None:
    content = json.loads(json.dumps(coco()))
    for value in values:
        record = chance.choice([entry for records in content.values() for entry in records] or [{}])
        if record:
            key = chance.choice(sorted(record))
            if chance.random() < 0.5:
                del record[key]
            else:
                record[key] = value
    problems = Problems()
    file = write(root / "val.json", content)
    with suppress(InputError):  # more than a hundredth of the records
        list(own.read(file, problems))
    said = problems.counts.total() + problems.noted.total()
    kept = None
    with suppress(InputError):
        kept = BoxFile.read(file)
    read = sum(len(group.boxes) for group in kept.photographs) + len(kept.left_out) if kept else 2
    assert read == 2
    if said == 0:
        assert len(list(own.read(file, Problems()))) == 2
