"""Boxes of files as tools of all kinds write them, on the photograph that they are about."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from dynrefer.errors import InputError
from dynrefer.files.coco import id_key, shape_box
from dynrefer.files.photo_files import PhotoHeader
from dynrefer.formats import FORMATS, Record, parse
from dynrefer.formats.box_files import BoxFile, PhotoBoxes
from dynrefer.results import Caption, RegionResult

CAT, PUPPY = PhotoHeader("cat.jpg", (640, 426)), PhotoHeader("puppy.jpg", (1024, 683))
CAT_BOX, PUPPY_BOX = (104, 0, 470, 358), (258, 148, 594, 658)
RESULTS = [RegionResult(box, Caption("=a thing", 0.5), (), (), (), ()) for box in (CAT_BOX, (10.5, 20.25, 30, 400.75))]
NAMED, UNNAMED = ([Record.of(result, name) for result in RESULTS] for name in ("cat.jpg", ""))
IMAGES = [
    {"id": 1, "file_name": "cat.jpg", "width": 640, "height": 426},
    {"id": 2, "file_name": "puppy.jpg", "width": 1024, "height": 683},
]
ANNOTATIONS = [
    {"id": 1, "image_id": 1, "category_id": 1, "bbox": [104, 0, 366, 358]},
    {"id": 2, "image_id": 2, "category_id": 2, "bbox": [258, 148, 336, 510]},
]


def boxes(content: object, photo: PhotoHeader = CAT, name: str | None = "cat.jpg") -> list[tuple[float, ...]]:
    """The boxes that a file with this content has for a photograph."""
    return [box.box for box in fitted(content, photo, name)[0]]


def fitted(content: object, photo: PhotoHeader = CAT, name: str | None = "cat.jpg") -> tuple[list[Any], list[str]]:
    text = content if isinstance(content, str) else json.dumps(content)
    good, left_out = BoxFile.parse(text, "boxes.json").of(name).fit(photo, lambda _: None)
    return good, [str(left) for left in left_out]


def coco(images: list[Any] | None = None, annotations: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"images": IMAGES if images is None else images, "annotations": annotations or ANNOTATIONS, **more}


def without(records: list[dict[str, Any]], *keys: str, **changed: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in (record | changed).items() if key not in keys} for record in records]


def saved(format: str, records: list[Record]) -> str:
    (text,) = FORMATS[format].write(records).values()
    return text


@pytest.mark.parametrize(
    "content",
    [
        saved("json", UNNAMED),
        saved("json", NAMED),
        saved("coco", NAMED),
        json.dumps(json.loads(saved("coco", NAMED))["annotations"]),
        saved("csv", UNNAMED),
        saved("csv", NAMED),
        "\n".join(json.dumps(result.to_dict()) for result in RESULTS),
    ],
    ids=["json", "json-named", "coco", "coco-results", "csv", "csv-named", "json-lines"],
)
def test_boxes_of_every_download_read_back(content: str) -> None:
    assert boxes(content) == [result.box for result in RESULTS]


@pytest.mark.parametrize(
    "content",
    [
        [CAT_BOX],
        CAT_BOX,
        {"boxes": [CAT_BOX]},
        {"box": CAT_BOX},
        [{"box": CAT_BOX}],
        {"image": "cat.jpg", "boxes": [CAT_BOX]},
        [{"image": "cat.jpg", "boxes": [CAT_BOX]}, {"image": "puppy.jpg", "boxes": [PUPPY_BOX]}],
        {"cat.jpg": [CAT_BOX], "puppy.jpg": [PUPPY_BOX]},
        [{"file_name": "cat.jpg", "bbox": [104, 0, 366, 358]}],
        [{"filename": "cat.jpg", "xmin": "104", "ymin": "0", "xmax": "470", "ymax": "358"}],
        [{"x": 104, "y": 0, "width": 366, "height": 358}],
        [["104", "0", "470.0", " 358 "]],
        ["104, 0, 470, 358"],
        coco(),
        coco(annotations=without(ANNOTATIONS, bbox="104 0 366 358")),
        coco(annotations=without(ANNOTATIONS, bbox=["104", "0", "366", "358"])),
        coco(annotations=without(ANNOTATIONS, bbox={"x": 104, "y": 0, "width": 366, "height": 358})),
    ],
    ids=range(17),
)
def test_a_box_is_read_in_every_form_of_json(content: object) -> None:
    assert boxes(content) == [CAT_BOX]


@pytest.mark.parametrize(
    "text",
    [
        "image,x1,y1,x2,y2,class\r\ncat.jpg,104,0,470,358,cat\r\npuppy.jpg,258,148,594,400,dog\r\n",
        "filename,x1,y1,x2,y2,class\ncat.jpg,104,0,470,358,cat\npuppy.jpg,258,148,594,400,dog\n",
        "Image Path;X Min;Y Min;X Max;Y Max\ncat.jpg;104;0;470;358\npuppy.jpg;1;2;3;4\n",
        "slide,x1,y1,x2,y2\ncat.jpg,104,0,470,358\npuppy.jpg,258,148,594,400\n",
        "filename,width,height,class,xmin,ymin,xmax,ymax\ncat.jpg,640,426,cat,104,0,470,358\n",
        "image,x1,y1,x2,y2,width,height\ncat.jpg,104,0,470,358,366,358\n",
        "image,x,y,width,height\ncat.jpg,104,0,366,358\n",
        "image,left,top,width,height\ncat.jpg,104,0,366,358\n",
        "image,x_center,y_center,w,h\ncat.jpg,287,179,366,358\n",
        "image,x1,y1,x2,y2,\ncat.jpg,104,0,470,358,\n,,,,,\n",
        '"image","x1","y1","x2","y2"\r\n"cat.jpg","104","0","470","358"\r\n',
        "image\tx1\ty1\tx2\ty2\ncat.jpg\t104\t0\t470\t358\n",
        "image,x1,y1,x2,y2\ndata\\photos\\puppy.jpg,258,148,594,658\ndata/photos/cat.jpg,104,0,470,358\n",
        "image;x1;y1;x2;y2\ncat.jpg;104,0;0,00;470,000;358\n",
        "x1,y1,x2,y2\n104,0,470,358\n",
        "ImageID,XMin,XMax,YMin,YMax,image_w,image_h\ncat.jpg,208,940,0,716,1280,852\n",
    ],
    ids=range(16),
)
def test_a_box_is_read_in_every_form_of_table(text: str) -> None:
    assert boxes(text) == [CAT_BOX]


def test_shares_of_the_photograph_are_read_where_that_is_certain() -> None:
    assert boxes("image,x1,y1,x2,y2\ncat.jpg,0.25,0,1,0.5\n") == [(160, 0, 640, 213)]
    assert boxes([[0, 0, 1, 1], [0.5, 0.5, 1, 1]]) == [(0, 0, 640, 426), (320, 213, 640, 426)]
    said: list[str] = []
    PhotoBoxes.typed([(0.5, 0.5, 1, 1)]).fit(CAT, said.append)
    assert said == ["cat.jpg has boxes from 0 to 1; they are read as shares of the photograph"]


def test_a_box_that_is_one_pixel_or_the_whole_photograph_is_refused() -> None:
    good, (left,) = fitted([[0, 0, 1, 1]])
    assert good == []
    assert left.startswith("cat.jpg, box 1: boxes are in pixels of the 640 x 426 image, and [0.0, 0.0, 1.0, 1.0] looks")


def test_typed_boxes_are_checked_like_those_of_files() -> None:
    good, left_out = PhotoBoxes.typed([CAT_BOX, (5, 5, 5, 9)]).fit(CAT)
    assert [box.box for box in good] == [CAT_BOX]
    assert [left.annotation for left in left_out] == ["box 2"]


@pytest.mark.parametrize(
    "content",
    [
        coco(without(IMAGES, "width", "height")),
        coco(without(IMAGES, width=None, height=None)),
        coco(annotations=without(ANNOTATIONS, "id")),
        coco(annotations=without(ANNOTATIONS, "category_id")),
        coco(annotations=without(ANNOTATIONS, category_id=0)),
        coco(categories=[{"id": 1}]),
        coco(without(IMAGES, "id")[:1], without(ANNOTATIONS, "image_id")[:1]),
        coco([{**image, "id": str(image["id"])} for image in IMAGES]),
        coco(annotations=[{**record, "image_id": f"{record['image_id']}.0"} for record in ANNOTATIONS]),
        coco([{**image, "id": image["id"] - 1} for image in IMAGES], [{**ANNOTATIONS[0], "image_id": 0}]),
        coco(annotations=[{**ANNOTATIONS[0], "image_id": "cat.jpg"}]),
        coco([*IMAGES, IMAGES[0]]),
        coco([{"id": 1, "coco_url": "http://images.example.org/train/cat.jpg"}]),
        coco([{"id": 1, "file_name": "images\\cat.jpg"}]),
    ],
    ids=range(14),
)
def test_what_is_missing_or_odd_in_coco_files_is_filled_in(content: object) -> None:
    assert boxes(content) == [CAT_BOX]


def test_annotations_without_ids_are_counted_in_their_order() -> None:
    good, _ = fitted(coco(annotations=without(ANNOTATIONS, "id")))
    assert good[0].where == "annotation 1 in order"


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"id": 9, "image_id": 1, "bbox": [9.98, 188.56, 5.54, 0.0]}, "annotation 9: the box has no area"),
        ({"id": 9, "image_id": 1, "bbox": [50, 50, -10, 5]}, "annotation 9: its width and height are -10 and 5"),
        ({"id": 9, "image_id": 1, "bbox": [700, 0, 10, 10]}, "annotation 9: the box lies outside"),
        ({"id": 9, "image_id": 1, "bbox": [1, 2, 3]}, "annotation 9: four numbers x y width height are needed"),
        ({"id": 9, "image_id": 1, "bbox": [1, 2, "NaN", 3]}, 'annotation 9: "NaN" stands where a finite number'),
        ({"id": 9, "image_id": 1, "bbox": ["10%", 2, 3, 3]}, 'annotation 9: "10%" stands where a finite number'),
        ({"id": 9, "image_id": 1}, "annotation 9: it has neither a bbox nor a segmentation"),
        ({"id": 9, "image_id": 1, "bbox": [], "segmentation": []}, "annotation 9: it has neither"),
        ({"image_id": 1, "bbox": None}, "annotation 3 in order: it has neither"),
    ],
    ids=range(9),
)
def test_a_record_that_cannot_be_used_costs_itself_alone_and_is_named(annotation: object, reason: str) -> None:
    good, left_out = fitted(coco(annotations=[*ANNOTATIONS, annotation]))
    assert [box.box for box in good] == [CAT_BOX]
    (left,) = left_out
    assert left.startswith(f"cat.jpg, {reason}")


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"id": 9, "image_id": 3, "bbox": [1, 2, 3, 4]}, 'its image_id "3" is not among the images'),
        ({"id": 9, "bbox": [1, 2, 3, 4]}, "it has no image_id"),
        ({"id": 9, "image_id": True, "bbox": [1, 2, 3, 4]}, "it has no image_id"),
    ],
    ids=range(3),
)
def test_a_record_of_no_photograph_is_named(annotation: object, reason: str) -> None:
    (left,) = BoxFile.parse(json.dumps(coco(annotations=[*ANNOTATIONS, annotation])), "boxes").left_out
    assert str(left).startswith(f"annotation 9: {reason}")


def test_an_id_of_two_photographs_is_none_of_them() -> None:
    file = BoxFile.parse(json.dumps(coco([*IMAGES, {"id": 1, "file_name": "dog.jpg"}])), "boxes")
    assert [group.name for group in file.photographs] == ["puppy.jpg"]
    assert str(file.left_out[0]) == 'annotation 1: its image_id 1 belongs to "cat.jpg" and "dog.jpg"'


def test_a_bad_row_of_a_table_is_named_by_its_line() -> None:
    good, left_out = fitted("image,x1,y1,x2,y2\ncat.jpg,left,0,470,358\ncat.jpg,104,0,470,358\n")
    assert [box.box for box in good] == [CAT_BOX]
    assert left_out == ['cat.jpg, line 2: it has "left" in the column x1, where a number is needed']


def test_a_row_that_is_cut_short_costs_itself_alone() -> None:
    good, left_out = fitted("image,x1,y1,x2,y2\ncat.jpg,104,0\ncat.jpg,104,0,470,358\n")
    assert [box.box for box in good] == [CAT_BOX]
    assert left_out == ['cat.jpg, line 2: it has "" in the column x2, where a number is needed']


@pytest.mark.parametrize(
    "segmentation",
    [
        [[104, 0, 470, 0, 470, 358, 104, 358]],
        [[104, 0, 200, 0, 104, 358], [300, 10, 470, 20, 400, 30]],
        [104, 0, 470, 358],
        [[[104, 0], [470, 358]]],
        ["104", "0", "470", "358"],
    ],
    ids=range(5),
)
def test_a_box_is_taken_from_the_polygons(segmentation: object) -> None:
    annotation = {"id": 1, "image_id": 1, "segmentation": segmentation}
    assert boxes(coco(annotations=[annotation])) == [CAT_BOX]


@given(st.integers(1, 30), st.integers(1, 30), st.randoms(use_true_random=False), st.floats(0.01, 0.9))
def test_a_box_is_taken_from_run_length_masks(height: int, width: int, chance: Any, share: float) -> None:
    mask = np.asfortranarray([[chance.random() < share for _ in range(width)] for _ in range(height)], dtype=np.uint8)
    mask[chance.randrange(height), chance.randrange(width)] = 1
    rows, columns = np.nonzero(mask)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    compressed = coco_mask.encode(mask)
    flat = mask.ravel(order="F")
    changes = [0, *(np.flatnonzero(np.diff(flat)) + 1), len(flat)]
    counts = ([0] if flat[0] else []) + [int(count) for count in np.diff(changes)]
    assert shape_box({"size": [height, width], "counts": compressed["counts"].decode()}) == box
    assert shape_box({"size": [height, width], "counts": counts}) == box


@pytest.mark.parametrize("mask", [{}, {"counts": [12], "size": [3, 4]}, {"counts": "~~~\x7f", "size": [3, 4]}, 5])
def test_a_shape_without_anything_in_it_is_refused(mask: object) -> None:
    with pytest.raises(InputError, match=r"(?i)its segmentation|neither"):
        shape_box(mask)


@pytest.mark.parametrize("ids", [(7, 7.0), (7, "7"), ("007", 7), (0, "0"), (0, "000")])
def test_an_id_is_the_same_as_number_and_text(ids: tuple[object, object]) -> None:
    assert id_key(ids[0]) == id_key(ids[1]) != ""


@pytest.mark.parametrize("name", ["cat.jpg", "photos/CAT.JPG", "cat.png", "/somewhere/else/cat.jpg"])
def test_boxes_are_picked_by_the_photographs_name(name: str) -> None:
    assert boxes(coco(), name=name) == [CAT_BOX]


@pytest.mark.parametrize("name", ["000000000139.jpg", "139.png", "photos/0139.webp"])
def test_coco_results_are_picked_by_id(name: str) -> None:
    content = [{"image_id": 139, "bbox": [104, 0, 366, 358]}, {"image_id": 5, "bbox": [1, 2, 3, 4]}]
    assert boxes(content, name=name) == [CAT_BOX]


@pytest.mark.parametrize(
    "content",
    [
        coco(),
        "image,x1,y1,x2,y2\ncat.jpg,104,0,470,358\n",
        [{"image": "cat.jpg", "box": CAT_BOX}],
        [{"image_id": 139, "bbox": [104, 0, 366, 358]}],
    ],
    ids=["coco", "csv", "json", "results"],
)
def test_a_file_about_another_photograph_is_refused(content: object) -> None:
    with pytest.raises(InputError, match=r"boxes.json has no boxes for photo6.jpg; it is about (cat.jpg|139)"):
        boxes(content, name="photo6.jpg")


def test_a_file_of_two_photographs_needs_a_name() -> None:
    with pytest.raises(InputError, match=r"no boxes for this photograph; it is about cat.jpg, puppy.jpg"):
        boxes(coco(), name=None)


def test_boxes_of_another_size_are_scaled(tmp_path: Path) -> None:
    small = PhotoHeader("puppy.jpg", (512, 342))
    (box,) = boxes(coco(), small, "puppy.jpg")
    assert box == pytest.approx((129, 148 * 342 / 683, 297, 658 * 342 / 683))


def test_boxes_of_another_shape_are_refused_by_name() -> None:
    good, left_out = fitted(coco(), PhotoHeader("cat.jpg", (500, 500)))
    assert good == []
    assert left_out[0].startswith("cat.jpg, annotation 1: cat.jpg is 500 x 500 pixels upright where its file says 640")


def test_boxes_of_a_turned_photograph_lie_on_the_same_things(tmp_path: Path) -> None:
    stored = Image.new("RGB", (700, 500), "blue")
    ImageDraw.Draw(stored).rectangle((20, 280, 219, 479), fill="red")
    exif = stored.getexif()
    exif[0x0112] = 6
    stored.save(tmp_path / "phone.png", exif=exif)
    header = PhotoHeader.read(tmp_path / "phone.png")
    images = [{"id": 1, "file_name": "phone.png", "width": 700, "height": 500}]
    raw = coco(images, [{"id": 1, "image_id": 1, "bbox": [20, 280, 200, 200]}])
    assert boxes(raw, header, "phone.png") == [(20, 20, 220, 220)]
    upright = coco([{**images[0], "width": 500, "height": 700}], [{"id": 1, "image_id": 1, "bbox": [20, 20, 200, 200]}])
    assert boxes(upright, header, "phone.png") == [(20, 20, 220, 220)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "boxes.json is empty"),
        ("[" * 100_000, "not JSON"),
        ('{"a": 1', "not JSON .line 1"),
        ("[]", "no boxes"),
        ('{"annotations": []}', "no boxes"),
        ('{"caption": "a"}', "is not a file of boxes"),
        ('{"annotations": [{"image_id": 1, "caption": "a"}]}', "no box that can be used: 1, annotation 1 in order"),
        ('[["left", 2, 3, 4]]', 'no box that can be used: box 1: "left" stands'),
        ("words", "no row below the first line"),
        ("a,b\n1,2", "must be named; here are: a, b"),
        ("cat.jpg,104,0,470,358\npuppy.jpg,1,2,3,4\n", "must be named; here are: cat.jpg, 104"),
        ("image,x1,y1\ncat.jpg,1,2\n", "must be named"),
        ("x1,y1,x2,y2\n", "no row below the first line"),
    ],
    ids=range(13),
)
def test_a_file_without_a_box_is_refused_in_words(content: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        boxes(content)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_of_boxes_is_read_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "boxes.json").write_text(json.dumps(coco(), indent=1), encoding=encoding)
    assert [group.name for group in BoxFile.read(tmp_path / "boxes.json").photographs] == ["cat.jpg", "puppy.jpg"]


def test_a_column_that_may_name_photographs_is_never_passed_over() -> None:
    table = "sujet,x1,y1,x2,y2\npuppy,1,2,30,40\ncat,5,6,70,80\n"
    with pytest.raises(InputError, match='the column "sujet" may name photographs; call it "image"'):
        BoxFile.parse(table, "boxes.csv")
    (label,) = BoxFile.parse(table.replace("sujet", "label"), "boxes.csv").photographs
    assert len(label.boxes) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"images": {"1": IMAGES[0], "2": IMAGES[1]}},
        {"images": {"1": "cat.jpg", "2": "puppy.jpg"}},
        {"images": IMAGES[0]},
        {"annotations": {"1": ANNOTATIONS[0]}},
        {"annotations": ANNOTATIONS[0]},
        {"categories": {"1": "cat", "2": "dog"}},
    ],
)
def test_coco_with_objects_in_the_place_of_lists_is_read(more: dict[str, Any]) -> None:
    found = BoxFile.parse(json.dumps({"images": IMAGES, "annotations": ANNOTATIONS} | more), "file").of("cat.jpg")
    assert [record.box for group in found.photographs for record in group.boxes] == [CAT_BOX]


@pytest.mark.parametrize("name", ["images", "annotations", "categories"])
def test_coco_with_something_else_in_the_place_of_records_says_which(name: str) -> None:
    with pytest.raises(InputError, match=f'file: "{name}" must be a list of records, not "5"'):
        BoxFile.parse(json.dumps({"images": IMAGES, "annotations": ANNOTATIONS} | {name: 5}), "file")


def test_a_photographs_only_box_may_stand_without_a_list() -> None:
    assert boxes({"cat.jpg": list(CAT_BOX), "dog.jpg": [1, 2, 30, 40]}) == [CAT_BOX]
    assert boxes({"image": "cat.jpg", "boxes": list(CAT_BOX)}) == [CAT_BOX]


def test_the_time_to_read_coco_grows_with_the_file_and_not_with_its_square() -> None:
    numbers = range(20_000)
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in numbers]
    annotations = [{"id": number, "image_id": number, "bbox": [1, 2, 3, 4]} for number in numbers]
    text = json.dumps({"images": images, "annotations": annotations})
    began = time.process_time()
    assert len(parse(text, "boxes.json")) == len(numbers)
    assert (
        time.process_time() - began < 15
    )  # it takes one second, or a minute where every box looks at every photograph
