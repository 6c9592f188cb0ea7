"""Regions written in a format and read back, and files that the tools' own libraries wrote."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision as sv
from PIL import Image
from pycocotools.coco import COCO

from dynrefer.errors import InputError
from dynrefer.formats import FORMATS, Record, encode, format_of, lost, parse, read, write
from dynrefer.formats.file import File
from dynrefer.formats.grouping import beside
from dynrefer.formats.record import said
from dynrefer.project import words_in
from dynrefer.results import Attribute, Caption, RegionResult, Scored, Words

SIZE = (640, 480)
MODEL = said(
    {"text": "a <red> boat & its mast", "score": 0.5},
    [{"name": "boat", "score": 0.9}, {"name": "ship", "score": 0.2}],
    tags=["sea", "sail"],
    attributes=[{"name": "red", "type": "color", "score": 0.8}, {"name": "wet", "type": "state", "score": 0.1}],
) | {"model": "dynrefer-mini"}
RECORDS = [
    Record("harbour/été 1.jpg", (10.25, 20.0, 300.0, 400.5), SIZE, id=7, said=MODEL),
    Record("harbour/été 1.jpg", (0, 0, 640, 480), SIZE, said=said("the whole bay", "bay", by="person")),
    Record("sea/été 1.jpg", (5, 6, 70, 80), SIZE, segmentation=[[5, 6, 70, 6, 70, 80]], said=said(None, "gull")),
    Record("sea/2.jpg", (1, 2, 30, 40), SIZE),
]


def written(format: str, folder: Path, records: list[Record] | None = None) -> Path:
    path = folder / f"written{'' if FORMATS[format].ending == '.zip' else FORMATS[format].ending}"
    write(RECORDS if records is None else records, path, format)
    return path


def pixels(record: Record) -> tuple[float, ...]:
    return tuple(v * SIZE[axis % 2] if record.shares else v for axis, v in enumerate(record.box))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
def test_what_a_format_holds_reads_back(format: str, packed: bool, tmp_path: Path) -> None:
    path = written(format, tmp_path)
    if packed:
        path = tmp_path / "packed.zip"
        write(RECORDS, path, format)
    found = read(path, on_bad=lambda left: pytest.fail(str(left)))
    assert len(found) == len(RECORDS)
    for record in RECORDS:
        name = str(record.image) if format != "yolo" else str(record.image).removesuffix(".jpg")
        alike = [f for f in found if f.image == name and np.abs(np.subtract(pixels(f), record.box)).max() <= 0.5]
        assert len(alike) == 1, (format, record)
        assert alike[0].label == record.label
        if "captions, tags and attributes" not in FORMATS[format].loses:
            assert (alike[0].caption, alike[0].attributes) == (record.caption, record.attributes)
            assert alike[0].tags == record.tags
        if "scores" not in FORMATS[format].loses:
            assert alike[0].score == record.score
        if "outlines" not in FORMATS[format].loses:
            assert alike[0].polygons == record.polygons
        if format in ("label-studio", "coco", "json", "cvat") and record.by:
            assert alike[0].by in (record.by, "model" if format == "json" else record.by)


@pytest.mark.parametrize(
    ("format", "words"),
    [
        ("yolo", "YOLO holds no scores, no captions, tags and attributes, no outlines: these were left out."),
        ("voc", "Pascal VOC holds no scores, no fractions of a pixel, no outlines: these were left out."),
        ("cvat", "CVAT holds no scores: these were left out."),
        ("json", ""),
        ("coco", ""),
    ],
)
def test_what_a_format_cannot_hold_is_said(format: str, words: str) -> None:
    assert lost(RECORDS, format) == words
    assert lost([replace(RECORDS[3], box=(1, 2, 3, 4))], format) == ""


@pytest.mark.parametrize("format", ["yolo", "voc", "labelme", "label-studio", "cvat"])
def test_a_size_that_a_format_needs_is_asked_for(format: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs the size of cat\.jpg: say where it is"):
        write([Record("cat.jpg", (1, 2, 3, 4))], tmp_path / "out", format)
    assert not list(tmp_path.rglob("*"))


def test_a_name_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    names = ["../../up.jpg", "/etc/passwd.jpg", "C:\\data\\win.jpg", "https://host/a%20b/web.jpg?x=1"]
    write([Record(name, (1, 2, 30, 40), SIZE) for name in names], tmp_path / "out", "voc")
    assert all(tmp_path / "out" in file.parents for file in tmp_path.rglob("*.xml"))
    assert len(list(tmp_path.rglob("*.xml"))) == 4


def test_two_photographs_of_one_stem_get_two_files_or_are_named(tmp_path: Path) -> None:
    twins = [Record("cat.jpg", (1, 2, 30, 40), SIZE), Record("CAT.png", (5, 6, 70, 80), SIZE)]
    assert {record.image for record in read(written("voc", tmp_path, twins))} == {"cat.jpg", "CAT.png"}
    with pytest.raises(InputError, match="several photographs are called cat"):
        write(twins, tmp_path / "out", "yolo")


@pytest.mark.parametrize(
    ("name", "format", "words"),
    [
        ("file.txt", None, "say which format file.txt is to have: coco, csv"),
        ("file.txt", "tfrecord", "There is no format"),
        ("file", "voc", "file is a file; Pascal VOC needs a folder, or a .zip"),
        ("folder", "coco", "folder is a folder; name a file"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(
    name: str, format: str | None, words: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=f"(?i){words}"):
        format_of(tmp_path / name, format)


@pytest.mark.parametrize(("name", "format"), [("a.csv", "csv"), ("a.XML", "cvat"), ("a.jsonl", "imagefolder")])
def test_an_ending_tells_the_format(name: str, format: str) -> None:
    assert format_of(name) == format


def test_a_file_stays_as_it_was_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file; name a folder"):
        write(RECORDS, tmp_path / "file", "voc")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("place", "name", "image"),
    [
        ("cat.xml", "cat.jpg", "cat.jpg"),
        ("train/cat.xml", "cat.jpg", "train/cat.jpg"),
        ("Annotations/sea/cat.xml", "cat.jpg", "sea/cat.jpg"),
        ("Annotations/sea/cat.xml", "sea/cat.jpg", "sea/cat.jpg"),
        ("VOC2007/Annotations/cat.xml", "cat.jpg", "cat.jpg"),
        ("a/json/cat.json", "..\\images\\cat.jpg", "a/images/cat.jpg"),
        ("cat.json", "../../cat.jpg", "cat.jpg"),
        ("sea/cat.json", "C:\\data\\cat.jpg", "C:/data/cat.jpg"),
        ("obj_train_data/sea/cat.txt", "cat", "sea/cat"),
    ],
)
def test_a_file_beside_a_photograph_names_it_from_its_own_place(place: str, name: str, image: str) -> None:
    assert beside(File(place, b""), name) == image


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two photographs, as supervision's data sets want them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", SIZE).save(folder / name)
    return folder


@pytest.fixture
def theirs(photographs: Path) -> sv.DetectionDataset:
    """Boxes and classes of supervision's own."""
    found = {
        str(photographs / "a.png"): sv.Detections(np.array([[10.0, 20, 300, 400]]), class_id=np.array([1])),
        str(photographs / "b.png"): sv.Detections(
            np.array([[0.0, 0, 640, 480], [5, 6, 7, 9]]), class_id=np.array([0, 1])
        ),
    }
    return sv.DetectionDataset(classes=["cat", "dog"], images=list(found), annotations=found)


EXPECTED = {
    ("a", "dog", (10, 20, 300, 400)),
    ("b", "cat", (0, 0, 640, 480)),
    ("b", "dog", (5, 6, 7, 9)),
}


def summary(records: list[Record]) -> set[tuple[Any, ...]]:
    return {(Path(str(r.image)).stem, r.label, tuple(round(v, 1) for v in pixels(r))) for r in records}


def test_supervisions_yolo_is_read(theirs: sv.DetectionDataset, tmp_path: Path) -> None:
    theirs.as_yolo(annotations_directory_path=str(tmp_path / "y/labels"), data_yaml_path=str(tmp_path / "y/data.yaml"))
    assert summary(read(tmp_path / "y")) == EXPECTED


def test_supervisions_voc_is_read(theirs: sv.DetectionDataset, tmp_path: Path) -> None:
    theirs.as_pascal_voc(annotations_directory_path=str(tmp_path / "v"))
    assert summary(read(tmp_path / "v")) == EXPECTED


def test_supervisions_coco_is_read(theirs: sv.DetectionDataset, tmp_path: Path) -> None:
    theirs.as_coco(annotations_path=str(tmp_path / "coco.json"))
    assert summary(read(tmp_path / "coco.json")) == EXPECTED


def ours() -> list[Record]:
    return [
        Record("a.png", (10, 20, 300, 400), SIZE, said=said("a dog", "dog")),
        Record("b.png", (0, 0, 640, 480), SIZE, said=said(None, "cat")),
        Record("b.png", (5, 6, 7, 9), SIZE, said=said(None, "dog")),
    ]


def read_by_supervision(found: sv.DetectionDataset) -> set[tuple[Any, ...]]:
    return {
        (Path(path).stem, found.classes[kind], tuple(round(float(v), 1) for v in box))
        for path, detections in found.annotations.items()
        for box, kind in zip(detections.xyxy, detections.class_id, strict=True)
    }


def test_supervision_reads_our_yolo(photographs: Path, tmp_path: Path) -> None:
    write(ours(), tmp_path / "y", "yolo")
    found = sv.DetectionDataset.from_yolo(str(photographs), str(tmp_path / "y/labels"), str(tmp_path / "y/data.yaml"))
    assert read_by_supervision(found) == EXPECTED


def test_supervision_reads_our_voc(photographs: Path, tmp_path: Path) -> None:
    write(ours(), tmp_path / "v", "voc")
    found = sv.DetectionDataset.from_pascal_voc(str(photographs), str(tmp_path / "v"))
    assert read_by_supervision(found) == EXPECTED


def test_pycocotools_reads_our_coco_and_its_scored_annotations_as_results(tmp_path: Path) -> None:
    coco = COCO(written("coco", tmp_path))
    assert [image["file_name"] for image in coco.loadImgs([1, 2])] == ["harbour/été 1.jpg", "sea/été 1.jpg"]
    first, third = coco.loadAnns([1, 3])
    assert first["bbox"] == pytest.approx([10.25, 20, 289.75, 380.5])
    assert (first["caption"], first["tags"], first["score"]) == ("a <red> boat & its mast", ["sea", "sail"], 0.9)
    assert third["area"] == pytest.approx(65 * 74 / 2)
    assert coco.annToMask(third).sum() == pytest.approx(65 * 74 / 2, rel=0.05)
    assert [coco.loadCats(entry["category_id"])[0]["name"] for entry in (first, third)] == ["boat", "gull"]
    assert len(coco.loadRes([{k: first[k] for k in ("image_id", "category_id", "bbox", "score")}]).anns) == 1


def test_every_line_of_an_imagefolder_has_the_same_keys(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in written("imagefolder", tmp_path).read_text("utf-8").splitlines()]
    assert [line["file_name"] for line in lines] == ["harbour/été 1.jpg", "sea/été 1.jpg", "sea/2.jpg"]
    assert len({tuple(line["objects"]) for line in lines}) == 1
    assert all(len({len(values) for values in line["objects"].values()}) == 1 for line in lines)


@pytest.mark.parametrize(
    "objects", [{"bbox": [[1, 2, 3, 4]], "category": [0]}, [{"bbox": [1, 2, 3, 4], "label": "cat"}]]
)
def test_objects_of_an_imagefolder_are_read_as_lists_or_as_records(objects: Any) -> None:
    (record,) = parse(json.dumps({"file_name": "train/a.jpg", "objects": objects}), "metadata.jsonl")
    assert (record.image, record.box) == ("train/a.jpg", (1, 2, 4, 6))
    assert record.label in ("class 0", "cat")


@pytest.mark.parametrize("format", ["coco", "csv", "imagefolder", "json"])
def test_what_a_person_corrected_of_an_answer_and_nothing_else_comes_back_as_theirs(format: str) -> None:
    answer = RegionResult(
        (1.0, 2.0, 30.0, 40.0),
        Caption("a dog", 0.9),
        (Scored("puppy", 1.0, "person"), Scored("dog", 0.8)),
        (Scored("harness", 1.0, "person"), Scored("dog", 0.9)),
        (Attribute("brown", "color", 1.0, "person"), Attribute("wet", "state", 0.9)),
        (),
        model="dynrefer-mini",
    )
    content, ending = encode([Record.of(answer, "dog.jpg", (60, 50))], format)
    (read,) = parse(content.decode("utf-8-sig"), f"saved{ending}")
    assert words_in(read) == Words(None, "puppy", {"harness": True}, {"color:brown": True})
