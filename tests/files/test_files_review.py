"""Inputs on which tools of this kind are known to have failed, each through the commands that meet it."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dynrefer.datasets.words import content_words, said_tags

from .conftest import (
    ANNOTATIONS,
    CAT,
    CAT_XYWH,
    IMAGES,
    PUPPY,
    Command,
    Refer,
    asked_by_evaluate,
    coco,
    samples,
    save,
    without,
    write,
)

# --- 1. The file's own words about the photograph ---

PHONE = {"id": 1, "file_name": "phone.jpg", "width": 80, "height": 60}
PHONE_BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 30, 20, 24]}  # of the stored pixels
UPRIGHT = [6, 4, 30, 24]  # of the photograph turned upright, 60 x 80


@pytest.mark.parametrize("stated", ["raw", "upright"])
def test_exif(refer: Refer, command: Command, tmp_path: Path, stated: str) -> None:
    save(tmp_path / "set/images/phone.jpg", (80, 60), orientation=6)
    upright = {"width": 60, "height": 80}, {"bbox": [6, 4, 24, 20]}
    image, box = (PHONE, PHONE_BOX) if stated == "raw" else (PHONE | upright[0], PHONE_BOX | upright[1])
    file = write(tmp_path / "set/annotations/instances.json", coco([image], [box]))
    write(tmp_path / "set/annotations/splits.json", {"val": [1]})
    for where in ("set/images/phone.jpg", "set/images"):
        assert refer(tmp_path / where, "--boxes", file).asked == [("phone.jpg", UPRIGHT)]
    built = command("data", "build", "coco", tmp_path / "set", "--out", tmp_path / "built")
    assert [sample["box"] for sample in samples(tmp_path / "built")] == [UPRIGHT]
    assert ("EXIF turns it, so its boxes are turned too" in built.out) == (stated == "raw")
    measured = command("evaluate", "recognition", "--data", tmp_path / "set", "--out", tmp_path / "run")
    assert measured.code == 0
    assert list(asked_by_evaluate(tmp_path / "run")) == ["images/phone.jpg 6.00 4.00 30.00 24.00"]


def test_resized(refer: Refer, command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "set/images/puppy.png", (40, 30))
    file = write(tmp_path / "set/annotations/instances.json", coco(IMAGES[1:], ANNOTATIONS[1:]))
    write(tmp_path / "set/annotations/splits.json", {"val": [2]})
    half = [side / 2 for side in PUPPY]
    ran = refer(tmp_path / "set/images", "--boxes", file)
    assert ran.asked == [("puppy.png", half)]
    assert "puppy.png is 40 x 30 pixels upright where its file says 80 x 60" in ran.err
    command("data", "build", "coco", tmp_path / "set", "--out", tmp_path / "built")
    assert [sample["box"] for sample in samples(tmp_path / "built")] == [half]
    for data in ("set", "built"):
        command("evaluate", "recognition", "--data", tmp_path / data, "--out", tmp_path / f"run {data}")
        (key,) = asked_by_evaluate(tmp_path / f"run {data}")
        assert key == "images/puppy.png 10.00 5.00 35.00 25.00"
    assert (
        "mended 1: photographs turned or of another size than the file says, for example images/puppy.png: puppy.png is"
        in caplog.text
    )


def test_resized_after_the_samples_were_built(
    command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo = save(tmp_path / "set/images/puppy.png")
    write(tmp_path / "set/val.json", coco(IMAGES[1:], ANNOTATIONS[1:]))
    command("data", "build", "own", tmp_path / "set", "--out", tmp_path / "built")
    save(photo, (40, 30))
    measured = command("evaluate", "recognition", "--data", tmp_path / "built", "--out", tmp_path / "run")
    assert measured.code == 0
    assert (
        "mended 1: photographs turned or of another size than the file says, for example puppy.png is 40 x 30 pixels"
        in caplog.text
    )


def test_another_shape(refer: Refer, command: Command, tmp_path: Path, photos: Path) -> None:
    file = write(tmp_path / "photos/val.json", coco([IMAGES[0] | {"width": 700, "height": 500}, IMAGES[1]]))
    ran = refer(photos, "--boxes", file)
    assert (ran.code, ran.asked) == (3, [("puppy.png", PUPPY)])
    assert "Left out: cat.png, annotation 1: cat.png is 80 x 60 pixels upright where its file says 700 x 500" in ran.err
    measured = command("evaluate", "recognition", "--data", photos, "--out", tmp_path / "run")
    assert measured.code == 3
    assert "- cat.png is 80 x 60 pixels upright where its file says 700 x 500" in measured.out
    assert "- cat.png, annotation 1 of val.json: annotations of photographs that cannot be used" in measured.out


def test_boxes_of_another_photograph(refer: Refer, photos: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "boxes.json", coco(IMAGES[1:], ANNOTATIONS[1:]))
    ran = refer(photos / "cat.png", "--boxes", file)
    assert (ran.code, ran.answers) == (2, [])
    assert "boxes.json has no boxes for cat.png; it is about puppy.png." in ran.err


# --- 2. Photographs known by their base name ---


def test_same_name(refer: Refer, command: Command, tmp_path: Path) -> None:
    images = [
        {**image, "file_name": f"{camera}/frame_0001.png"}
        for image, camera in zip(IMAGES, ("cam1", "cam2"), strict=True)
    ]
    for image in images:
        save(tmp_path / "set/images" / str(image["file_name"]))
    file = write(tmp_path / "set/val.json", coco(images))
    ran = refer(tmp_path / "set/images", "--boxes", file)
    assert ran.asked == [("cam1/frame_0001.png", CAT), ("cam2/frame_0001.png", PUPPY)]
    one = refer(tmp_path / "set/images/cam1", "--boxes", file)
    assert (one.code, one.asked) == (3, [("frame_0001.png", CAT)])
    assert refer(tmp_path / "set/images/cam2/frame_0001.png", "--boxes", file).asked == [("frame_0001.png", PUPPY)]
    measured = command("evaluate", "recognition", "--data", tmp_path / "set", "--out", tmp_path / "run")
    assert measured.code == 0
    assert list(asked_by_evaluate(tmp_path / "run")) == [
        "images/cam1/frame_0001.png 10.00 4.00 60.00 40.00",
        "images/cam2/frame_0001.png 20.00 10.00 70.00 50.00",
    ]


# --- 3. Meaning lost while reading ---

ROWS = "cat.png,10,4,60,40,cat\npuppy.png,20,10,70,50,dog\n"
BOTH = [("cat.png", CAT), ("puppy.png", PUPPY)]
TABLES = {
    "by_image": ("image,x1,y1,x2,y2,class\n" + ROWS, BOTH),
    "by_filename": ("filename,x1,y1,x2,y2,class\n" + ROWS, BOTH),
    "by_file_name": ("file_name,x1,y1,x2,y2,class\n" + ROWS, BOTH),
    "by_image_id": ("image_id,x1,y1,x2,y2,class\n" + ROWS, BOTH),
    "by_image_path": ("image_path,x1,y1,x2,y2,class\n" + ROWS, BOTH),
    "decimal_comma": ("image;x1;y1;x2;y2\ncat.png;10,5;4,0;60,25;40,75\n", [("cat.png", [10.5, 4, 60.25, 40.75])]),
    "paths": ("image,x1,y1,x2,y2\ndata/photos/cat.png,10,4,60,40\ndata\\photos\\puppy.png,20,10,70,50\n", BOTH),
    "quoted_crlf_bom": ('\ufeff"image","x1","y1","x2","y2"\r\n"cat.png","10","4","60","40"\r\n', BOTH[:1]),
    "trailing": ("image,x1,y1,x2,y2,\ncat.png,10,4,60,40,\n,,,,,\n", BOTH[:1]),
    "voc": ("filename,width,height,class,xmin,ymin,xmax,ymax\ncat.png,80,60,cat,10,4,60,40\n", BOTH[:1]),
    "xywh": ("image,x,y,width,height\ncat.png,10,4,50,36\n", BOTH[:1]),
    "excel_sep": ("sep=;\nimage;x1;y1;x2;y2\ncat.png;10;4;60;40\n", BOTH[:1]),
    "blanks": ("image   x1 y1 x2 y2\ncat.png  10  4 60 40\n puppy.png 20 10 70 50 \n", BOTH),
    "box_in_a_cell": ('image,box\ncat.png,"(10, 4, 60, 40)"\n', BOTH[:1]),
    "bbox_in_a_cell": ('FileName;bbox\ncat.png;"[10.0, 4.0, 50.0, 36.0]"\n', BOTH[:1]),
    "bbox_in_a_cell_beside_the_size": ('image_id,width,height,bbox\ncat,160,120,"[20, 8, 100, 72]"\n', BOTH[:1]),
    "full_width": ("image，x1，y1，x2，y2\ncat.png，１０，４，６０，４０\n", BOTH[:1]),
}


@pytest.mark.parametrize("name", TABLES)
def test_csv_columns(refer: Refer, photos: Path, tmp_path: Path, name: str) -> None:
    text, asked = TABLES[name]
    assert refer(photos, "--boxes", write(tmp_path / "boxes.csv", text)).asked == asked


@pytest.mark.parametrize("rows", ["cat.png,10,4,60,40", "cat.png,10,4,60,40\npuppy.png,20,10,70,50"])
def test_a_table_without_a_header_is_refused_with_its_first_line(
    refer: Refer, photos: Path, tmp_path: Path, rows: str
) -> None:
    ran = refer(photos, "--boxes", write(tmp_path / "boxes.csv", rows))
    assert ran.code == 2
    assert "must" in ran.err
    assert "10" in ran.err


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_csv_of_another_encoding(refer: Refer, photos: Path, tmp_path: Path, encoding: str) -> None:
    file = write(tmp_path / "boxes.csv", TABLES["by_image"][0].replace(",", "\t"), encoding)
    assert refer(photos, "--boxes", file).asked == BOTH


@pytest.mark.parametrize("encoding", ["latin-1", "gbk", "shift_jis"])
def test_csv_of_an_encoding_that_cannot_be_known(refer: Refer, photos: Path, tmp_path: Path, encoding: str) -> None:
    note = "é" if encoding == "latin-1" else "写真"
    file = write(tmp_path / "boxes.csv", f"image,x1,y1,x2,y2,note\ncat.png,10,4,60,40,{note}\n", encoding)
    ran = refer(photos, "--boxes", file)
    assert ran.code == 2
    assert ran.err.startswith("boxes.csv is not a text file in UTF-8 or UTF-16 (line 2, byte ")


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("\ufeffcat\ndog\ncar\n", "utf-8"),
        ("cat\ndog\ncar\n", "utf-16"),
        ("cat, dog, car\n", "utf-8"),
        ("cat，dog、car", "utf-8"),
        ('["cat", "dog", "car"]', "utf-8-sig"),
        ("id,name\n1,cat\n2,dog\n3,car\n", "utf-8"),
        ('{"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "car"}]}', "utf-8"),
    ],
    ids=["bom", "utf16", "comment", "script", "json", "table", "coco"],
)
def test_class_list(refer: Refer, command: Command, photos: Path, tmp_path: Path, content: str, encoding: str) -> None:
    classes = write(tmp_path / "classes.txt", content, encoding)
    ran = refer(photos / "cat.png", "--box", *CAT, "--classes", classes)
    assert {item["name"] for item in ran.answers[0]["classes"]} == {"cat", "dog", "car"}
    write(photos / "val.json", coco())
    measured = command("evaluate", "recognition", "--data", photos, "--out", tmp_path / "run", "--classes", classes)
    assert measured.code == 0
    assert "val, true boxes, 3 classes" in measured.out
    assert len(asked_by_evaluate(tmp_path / "run")) == 2


@pytest.mark.parametrize(
    ("caption", "tags"),
    [
        ("un café près de la fenêtre", {"café", "près", "fenêtre"}),
        ("一只猫在沙发上", {"一只猫在沙发上"}),
        ("Кошки на диване.", {"кошки", "диване"}),
        ("der Hund des Nachbars", {"hund", "nachbars"}),
        ("two dogs", {"two", "dog"}),
    ],
)
def test_captions_of_every_script(command: Command, photos: Path, tmp_path: Path, caption: str, tags: set[str]) -> None:
    write(photos / "train.json", coco(annotations=[ANNOTATIONS[0] | {"caption": caption}]))
    built = command("data", "build", "own", photos, "--out", tmp_path / "built")
    (sample,) = samples(tmp_path / "built")
    assert sample["texts"][0]["text"] == caption.lower().rstrip(".")
    assert tags <= set(sample["tags"])
    assert ("not in English letters" in built.out) is False  # one text is not many
    assert tags <= set(content_words(caption))


def test_a_foreign_s_is_no_plural() -> None:
    assert "prè" not in said_tags("un café près de la fenêtre")
    assert said_tags("les enfants sous les arbres") >= {"enfants", "sous", "arbres"}


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (0.25, 0.25, 1, 1)], ids=["whole", "part"])
def test_shares_in_the_place_of_pixels(refer: Refer, photos: Path, box: tuple[float, ...]) -> None:
    ran = refer(photos / "cat.png", "--box", *box)
    if box == (0, 0, 1, 1):
        assert (ran.code, ran.answers) == (2, [])
        assert "looks like shares of it; multiply them by its width and height" in ran.err
    else:
        assert ran.asked == [("cat.png", [20, 15, 80, 60])]
        assert "they are read as shares of the photograph" in ran.err


# --- 4. is in tests/evaluation/test_meteor.py ---
# --- 5. is in tests/test_portable.py, tests/ui/test_uploads.py and, for screens, tests/cli/test_refer.py ---
# --- 6. All or nothing, written last ---


def test_zero_area(refer: Refer, command: Command, photos: Path, tmp_path: Path) -> None:
    bad = {"id": 99, "image_id": 2, "category_id": 2, "bbox": [5, 5, 5, 0]}
    file = write(photos / "val.json", coco(annotations=[*ANNOTATIONS, bad]))
    ran = refer(photos, "--boxes", file)
    assert (ran.code, ran.asked) == (3, BOTH)
    assert "Left out: puppy.png, annotation 99: the box has no area inside the 80 x 60 image" in ran.err
    measured = command("evaluate", "recognition", "--data", photos, "--out", tmp_path / "run")
    assert measured.code == 3
    assert "- puppy.png, annotation 99 of val.json: boxes without area" in measured.out
    built = command("data", "build", "own", photos, "--out", tmp_path / "built")
    assert built.code == 3
    assert "left out 1: boxes without area; for example puppy.png, annotation 99 of val.json" in built.out


def test_a_crowd_is_a_region_as_any_other(refer: Refer, photos: Path, tmp_path: Path) -> None:
    mask = {"counts": [4 * 60, 60 * 76], "size": [60, 80]}
    crowd = {"id": 3, "image_id": 1, "category_id": 1, "iscrowd": 1, "segmentation": mask}
    file = write(tmp_path / "crowd.json", coco(annotations=[*ANNOTATIONS, crowd]))
    assert ("cat.png", [4, 0, 80, 60]) in refer(photos, "--boxes", file).asked


@pytest.mark.parametrize("harm", ["damaged", "missing", "empty", "a text"])
def test_a_bad_photograph(refer: Refer, command: Command, photos: Path, tmp_path: Path, harm: str) -> None:
    photo = photos / "cat.png"
    whole = photo.read_bytes()
    photo.unlink()
    if harm != "missing":
        photo.write_bytes({"damaged": whole[: len(whole) // 2], "empty": b"", "a text": b"cat"}[harm])
    file = write(photos / "val.json", coco())
    ran = refer(photos, "--boxes", file)
    assert (ran.code, ran.asked) == (3, BOTH[1:])
    assert "Left out: cat.png" in ran.err
    measured = command("evaluate", "recognition", "--data", photos, "--out", tmp_path / "run")
    assert measured.code == 3
    assert "- cat.png" in measured.out
    assert len(asked_by_evaluate(tmp_path / "run")) == 1


def test_an_animation_is_said_to_be_one(refer: Refer, tmp_path: Path) -> None:
    still = Image.open(save(tmp_path / "cat.png"))
    still.save(tmp_path / "cat.gif", save_all=True, append_images=[still.rotate(90)])
    ran = refer(tmp_path / "cat.gif", "--box", *CAT)
    assert (ran.code, ran.err) == (0, "cat.gif: The photograph is an animation; this is about its first frame.\n")


def test_a_link_that_leads_nowhere_is_no_missing_photograph(refer: Refer, photos: Path, tmp_path: Path) -> None:
    (photos / "cat.png").unlink()
    (photos / "cat.png").symlink_to("nowhere.png")
    ran = refer(photos / "cat.png", "--box", *CAT)
    assert (ran.code, "cat.png is a link that leads to no file" in ran.err) == (2, True)
    ran = refer(photos, "--boxes", write(tmp_path / "boxes.csv", TABLES["by_image"][0]))
    assert (ran.code, ran.asked) == (3, BOTH[1:])
    assert "cat.png is a link that leads to no file" in ran.err


def test_a_missing_folder_for_the_output_is_made(command: Command, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "not" / "there" / "out.json"
    assert command("refer", photos / "cat.png", "--box", *CAT, "--json", file).code == 0
    assert len(json.loads(file.read_text(encoding="utf-8"))) == 1


# --- 7. Records indexed without a check ---

CHANGES: dict[str, tuple[dict[str, Any], int]] = {
    "no_ann_id": (coco(annotations=without(ANNOTATIONS, "id")), 2),
    "no_size": (coco(without(IMAGES, "width", "height")), 2),
    "null_size": (coco(without(IMAGES, width=None, height=None)), 2),
    "seg_only": (
        coco(
            annotations=[
                {**record, "bbox": None, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}
                for record in ANNOTATIONS
                for x, y, w, h in [record["bbox"]]
            ]
        ),
        2,
    ),
    "nameless_category": (coco(categories=[{"id": 1}, {"id": 2}]), 0),
    "number_caption": (coco(annotations=[ANNOTATIONS[0] | {"caption": 5}, ANNOTATIONS[1]]), 2),
    "text_ids": (coco(without(IMAGES, id="1")[:1], without(ANNOTATIONS, image_id="1")[:1]), 1),
    "category_text": (coco(annotations=[{**record, "category_id": "dog"} for record in ANNOTATIONS]), 2),
    "bbox_mode": (coco(annotations=[ANNOTATIONS[0] | {"bbox": CAT, "bbox_mode": 0}, ANNOTATIONS[1]]), 2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_missing_fields(refer: Refer, command: Command, photos: Path, tmp_path: Path, name: str) -> None:
    content, with_class = CHANGES[name]
    file = write(photos / "val.json", content)
    asked = refer(photos, "--boxes", file).asked
    assert asked == BOTH[: len(content["annotations"])]
    built = command("data", "build", "own", photos, "--out", tmp_path / "built")
    assert built.code == 0
    assert [(sample["photo"], sample["box"]) for sample in samples(tmp_path / "built")] == asked
    measured = command("evaluate", "recognition", "--data", photos, "--out", tmp_path / "run")
    assert measured.code == (0 if with_class else 2)
    if with_class:
        assert len(asked_by_evaluate(tmp_path / "run")) == with_class


def test_nameless_categories_are_counted(command: Command, photos: Path, tmp_path: Path) -> None:
    write(photos / "val.json", CHANGES["nameless_category"][0])
    built = command("data", "build", "own", photos, "--out", tmp_path / "built")
    assert "mended 2: categories without a name, so that only the caption is used; for example cat.png" in built.out


def test_captions_that_are_no_text_are_counted(command: Command, photos: Path, tmp_path: Path) -> None:
    write(photos / "val.json", CHANGES["number_caption"][0])
    built = command("data", "build", "own", photos, "--out", tmp_path / "built")
    assert "mended 1: captions that are no text, and not used; for example cat.png, annotation 1" in built.out


def test_no_file_name(refer: Refer, command: Command, photos: Path, tmp_path: Path) -> None:
    file = write(photos / "val.json", coco(without(IMAGES, "file_name")))
    why = "its file gives no file_name, and no photograph in the folder photos is called 1"
    ran = refer(photos, "--boxes", file)
    assert (ran.code, ran.err.count(why)) == (2, 1)
    built = command("data", "build", "own", photos, "--out", tmp_path / "built")
    measured = command("evaluate", "recognition", "--data", photos, "--out", tmp_path / "run")
    for ran in (built, measured):
        assert (ran.code, why in ran.err) == (2, True)
    save(photos / "0001.png")
    save(photos / "2.png")
    assert refer(photos, "--boxes", file).asked == [("0001.png", CAT), ("2.png", PUPPY)]


def test_an_id_of_two_photographs(refer: Refer, command: Command, photos: Path, tmp_path: Path) -> None:
    file = write(photos / "val.json", coco([IMAGES[0], IMAGES[1] | {"id": 1}], ANNOTATIONS[:1]))
    ran = refer(photos, "--boxes", file)
    assert (ran.code, ran.answers) == (2, [])
    built = command("data", "build", "own", photos, "--out", tmp_path / "built")
    assert built.code == 2
    assert 'image 1 of val.json is "cat.png" and "puppy.png"' in built.err


def test_shares_in_a_coco_file(refer: Refer, command: Command, photos: Path, tmp_path: Path) -> None:
    shares = [{**ANNOTATIONS[0], "bbox": [0.125, 0.0625, 0.625, 0.6]}]
    file = write(photos / "val.json", coco(annotations=shares))
    box = pytest.approx([10, 3.75, 60, 39.75])
    assert refer(photos, "--boxes", file).answers[0]["box"] == box
    built = command("data", "build", "own", photos, "--out", tmp_path / "built")
    assert samples(tmp_path / "built")[0]["box"] == box
    assert "mended 1: boxes from 0 to 1, read as shares of their photograph; for example all of val.json" in built.out


# --- 8. is in tests/training/test_cache.py, 9. in tests/ui/test_mcp_tools.py, 10. in tests/browser/ ---
# --- 11. Sentences that mislead ---


def test_a_photograph_in_the_folder_is_not_said_to_be_missing(refer: Refer, photos: Path, tmp_path: Path) -> None:
    (photos / "cat.png").write_bytes(b"")
    ran = refer(photos, "--boxes", write(tmp_path / "boxes.json", coco()))
    assert "Left out: cat.png is empty (0 bytes)." in ran.err


def test_numbers_written_as_text_are_numbers(refer: Refer, photos: Path, tmp_path: Path) -> None:
    texts = [{**ANNOTATIONS[0], "bbox": [str(side) for side in CAT_XYWH]}]
    assert refer(photos, "--boxes", write(tmp_path / "boxes.json", coco(annotations=texts))).asked == BOTH[:1]


def test_ones_own_file_is_not_to_be_downloaded_again(command: Command, tmp_path: Path) -> None:
    write(tmp_path / "set/refs(umd).p", "no pickle")
    write(tmp_path / "set/instances.json", coco())
    ran = command("data", "build", "refcocog", tmp_path / "set", "--out", tmp_path / "built")
    assert ran.code == 2
    assert "download" not in ran.err
    assert "save the same list as refs.json" in ran.err


# --- 12. is in tests/test_hub.py ---
