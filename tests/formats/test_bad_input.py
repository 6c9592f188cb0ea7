"""Files of every format that are damaged or odd: read rightly where it can be told, else named with their place."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dynrefer.errors import InputError
from dynrefer.formats import FORMATS, Record, parse, read, write
from dynrefer.formats.record import said

SIZE = (640, 480)
BOX = (10, 20, 110, 220)
RECORDS = [Record("cat.jpg", BOX, SIZE, said=said("a cat", "cat"))]


def content(format: str) -> tuple[str, str]:
    """The name and the text of a small file of a format."""
    return next((n, t) for n, t in FORMATS[format].write(RECORDS).items() if not n.endswith(".yaml"))


def found(folder: Path, name: str, text: str) -> tuple[list[Record], list[str]]:
    file = folder / Path(name).name
    file.write_text(text, encoding="utf-8")
    bad: list[str] = []
    records = read(file, on_bad=lambda left: bad.append(str(left)))
    return records, bad


@pytest.mark.parametrize("format", [format for format in FORMATS if format not in ("yolo", "csv")])
def test_a_file_that_is_cut_off_is_named(format: str, tmp_path: Path) -> None:
    name, text = content(format)
    with pytest.raises(InputError, match=r"(is damaged|not JSON|no record|no box) ?.*") as caught:
        found(tmp_path, name, text[: len(text) // 2])
    assert Path(name).name in str(caught.value)


@pytest.mark.parametrize("name", ["a.xml", "a.json", "a.jsonl", "a.txt", "a.zip"])
def test_an_empty_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{re.escape(name)} is empty"):
        found(tmp_path, name, " \n")


@pytest.mark.parametrize("text", ["<html><body/></html>", "<svg/>", "<?xml version='1.0'?><data/>"])
def test_a_wrong_root_is_said(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.xml"):
        found(tmp_path, "a.xml", text)


def test_xml_that_grows_is_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><annotation><filename>&c;</filename></annotation>'
    with pytest.raises(InputError, match=r"a\.xml is not XML that can be read"):
        found(tmp_path, "a.xml", bomb)


def voc(corners: str, size: str = "<size><width>640</width><height>480</height></size>") -> str:
    box = "".join(f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), corners.split(), strict=False))
    head = f"<annotation><filename>cat.jpg</filename>{size}"
    return f"{head}<object><name>cat</name><bndbox>{box}</bndbox></object></annotation>"


@pytest.mark.parametrize(
    ("corners", "box"),
    [("11 21 110 220", (10, 20, 110, 220)), ("10.0 20.0 110.5 220.0", (10, 20, 110.5, 220)), ("0 0 5 6", (0, 0, 5, 6))],
    ids=["from-one", "fractions", "from-zero"],
)
def test_voc_is_read_as_its_writer_counts(corners: str, box: tuple[float, ...], tmp_path: Path) -> None:
    ((record,), bad) = found(tmp_path, "cat.xml", voc(corners))
    assert (record.box, record.size, record.label, bad) == (box, ("640", "480"), "cat", [])


def cvat(shape: str) -> str:
    return f'<annotations><image id="0" name="cat.jpg" width="640" height="480">{shape}</image></annotations>'


def labelme(**shape: Any) -> str:
    shape = {"label": "cat", "shape_type": "rectangle"} | shape
    return json.dumps({"shapes": [shape], "imagePath": "cat.jpg", "imageWidth": 640, "imageHeight": 480})


def studio(**value: Any) -> str:
    item = {"id": "r1", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value}
    item |= {"original_width": 640, "original_height": 480}
    return json.dumps([{"id": 3, "data": {"image": "cat.jpg"}, "annotations": [{"result": [item]}]}])


def line(**objects: Any) -> str:
    return json.dumps({"file_name": "cat.jpg", "objects": objects})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("cat.xml", voc("11 left 110 220"), 'cat.jpg, cat.xml, object 1 ("cat"): "left" stands where a finite number'),
        ("cat.xml", voc("11 21"), 'object 1 ("cat"): it has no xmax'),
        (
            "a.xml",
            cvat('<box label="cat" xtl="1" ytl="x" xbr="3" ybr="4"/>'),
            'cat.jpg, box 1 of "cat.jpg": "x" stands',
        ),
        ("a.xml", cvat('<points label="cat" points="1,2"/>'), "points is no region; draw a box or an outline"),
        ("a.xml", cvat('<polygon label="cat" points=""/>'), '"" stands where a finite number is needed'),
        ("a.json", labelme(points=[["a", 2], [3, 4]]), 'cat.jpg, shape 1: "a" stands where a finite number'),
        ("a.json", labelme(points="1 2 3 4"), "its points are no list of x, y"),
        ("a.json", labelme(points=[[5, 6]], shape_type="point"), "a point of 1 has no box"),
        ("a.json", studio(x="left", y=1, width=2, height=3), 'task 3, region r1: "left" stands where'),
        ("a.json", studio(x=1, y=1, width=-2, height=3), "a side cannot be negative"),
        ("a.json", studio(rle=[1, 2, 3]), "it is painted with a brush"),
        (
            "metadata.jsonl",
            line(bbox=[[1, 2, 3]]),
            "line 1, object 1: four numbers x y width height are needed",
        ),
        ("metadata.jsonl", line(bbox=[[1, 2, 3, 4]], category=[]), "line 1: its objects have 1 boxes and 0 category"),
        ("metadata.jsonl", line(bbox=[[1, 2, "NaN", 4]]), '"NaN" stands where a finite number is needed'),
        ("cat.txt", "0 320 240 100 50\n", "cat, cat.txt, line 1: its numbers lead outside 0 to 1 (320 240 100 50)"),
        ("cat.txt", "0 0.5 0.5 -0.1 0.2\n", "a side cannot be negative"),
    ],
)
def test_a_region_that_cannot_be_read_is_named_by_file_place_and_field(
    name: str, text: str, words: str, tmp_path: Path
) -> None:
    records, bad = found(tmp_path, name, text)
    assert records == []
    assert words in bad[0]


@pytest.mark.parametrize(
    ("name", "text", "box"),
    [
        ("a.json", studio(x=25, y=50, width=50, height=25), (160, 240, 480, 360)),
        ("a.json", studio(x=50, y=50, width=25, height=0, rotation=90), (320, 240, 320, 400)),
        ("a.json", studio(x=50, y=50, radiusX=25, radiusY=25), (160, 120, 480, 360)),
        ("a.json", studio(points=[[0, 0], [50, 0], [50, 50]]), (0, 0, 320, 240)),
        ("a.json", labelme(points=[[110, 220], [10, 20]]), BOX),
        ("a.json", labelme(points=[[60, 60], [60, 100]], shape_type="circle"), (20, 20, 100, 100)),
        ("a.json", labelme(points=[["10", "20"], ["110", "220"]]), BOX),
        ("a.xml", cvat('<ellipse label="cat" cx="60" cy="60" rx="40" ry="20"/>'), (20, 40, 100, 80)),
        ("a.xml", cvat('<mask label="c" rle="1" left="10" top="20" width="100" height="200"/>'), BOX),
        ("a.xml", cvat('<box label="c" xtl="0" ytl="40" xbr="100" ybr="60" rotation="90"/>'), (40, 0, 60, 100)),
        ("a.xml", cvat('<polygon label="c" points="10.0,20.0;110,20;110,220.0"/>'), BOX),
        ("cat.txt", "0 0.5 0.5 0.5 0.5 0.93\r\n", (0.25, 0.25, 0.75, 0.75)),
        ("cat.txt", "2\t0.25\t0.25\t0.75\t0.25\t0.75\t0.75\n", (0.25, 0.25, 0.75, 0.75)),
    ],
)
def test_every_shape_has_its_box(name: str, text: str, box: tuple[float, ...], tmp_path: Path) -> None:
    ((record,), bad) = found(tmp_path, name, text)
    assert record.box == pytest.approx(box)
    assert bad == []


def test_tracks_of_a_video_are_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'a\.xml has the tracks of a video; export it as "CVAT for images"'):
        found(tmp_path, "a.xml", '<annotations><track id="0" label="car"/></annotations>')


def test_a_yolo_class_without_a_name_keeps_its_number(tmp_path: Path) -> None:
    ((record,), _) = found(tmp_path, "cat.txt", "3 .5 .5 .2 .2\n")
    assert (record.image, record.label, record.shares) == ("cat", "class 3", True)


def test_yolo_finds_names_and_folders(tmp_path: Path) -> None:
    (tmp_path / "labels/train").mkdir(parents=True)
    (tmp_path / "labels/train/cat.txt").write_text("1 .5 .5 .2 .2\n")
    (tmp_path / "README.txt").write_text("Thank you, all of you")
    (tmp_path / "data.yaml").write_text("names: {0: dog, 1: 'cat: tabby'}\nnc: 2\n")
    (record,) = read(tmp_path)
    assert (record.image, record.label) == ("train/cat", "cat: tabby")


def test_a_folder_of_two_formats_is_not_guessed(tmp_path: Path) -> None:
    write(RECORDS, tmp_path, "voc")
    write(RECORDS, tmp_path / "boxes.coco.json", "coco")
    with pytest.raises(InputError, match=r"holds .*COCO \(boxes.coco.json\).* name one of the files"):
        read(tmp_path)
    assert len(read(tmp_path, format="voc")) == 1


def test_an_unknown_format_is_told_which_there_are() -> None:
    with pytest.raises(InputError, match='There is no format "tfrecord"; the formats are coco, csv'):
        write(RECORDS, "nowhere", "tfrecord")


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat.xml", voc("1 2 3 4"))
    data = bytearray(buffer.getvalue())
    data[40] ^= 255
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip is a damaged or locked archive"):
        read(tmp_path / "a.zip")


def test_a_bad_file_of_many_costs_itself_alone(tmp_path: Path) -> None:
    write(RECORDS, tmp_path, "voc")
    (tmp_path / "dog.xml").write_text("<annotation><object>")
    bad: list[str] = []
    assert len(read(tmp_path, on_bad=lambda left: bad.append(str(left)))) == 1
    assert bad[0].startswith("dog.xml is damaged (line 1, column ")


def test_label_studios_uploads_and_short_form_find_their_photographs() -> None:
    short = [{"image": "/data/upload/1/0a1b2c3d-cat%201.jpg", "id": 1, "label": [
        {"x": 25, "y": 50, "width": 50, "height": 25, "rectanglelabels": ["cat"], "original_width": 640,
         "original_height": 480}]}]  # fmt: skip
    (record,) = parse(json.dumps(short), "min.json")
    assert (record.image, record.label) == ("/data/upload/1/cat%201.jpg", "cat")
    assert record.box == (160, 240, 480, 360)


def test_a_cancelled_annotation_does_not_count() -> None:
    task = json.loads(studio(x=25, y=50, width=50, height=25))[0]
    other = json.loads(studio(x=0, y=0, width=50, height=25))[0]["annotations"][0]
    task["annotations"].append(other | {"was_cancelled": True})
    (record,) = parse(json.dumps([task]), "tasks.json")
    assert record.box == (160, 240, 480, 360)


def test_cocos_odd_records_are_read() -> None:
    data = {
        "images": [{"id": "b7", "file_name": "cat.jpg"}],
        "categories": [{"id": 0, "name": "cat"}],
        "annotations": [
            {"image_id": "b7", "category_id": 0, "bbox": ["1", "2", "3", "4"], "iscrowd": 1, "segmentation": []},
            {"image_id": "b7", "segmentation": {"size": [10, 10], "counts": [11, 3, 86]}, "attributes": {"wet": True}},
        ],
    }
    first, second = parse(json.dumps(data), "coco.json")
    assert (first.box, first.label) == ((1, 2, 4, 6), "cat")
    assert (second.box, second.label, second.attributes) == ((1, 1, 2, 4), "", [("", "wet")])
