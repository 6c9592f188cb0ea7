"""What `describe` reads besides folders: lists, box files, Parquet, WebDataset tars, and places that are far away."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.bulk.conftest import BOX, OTHER, Describe, by_photo, rows

PHOTOS = ["far/0/0.png", "far/0/2.png", "far/1/1.png", "far/1/3.png"]


def parquet(file: Path, /, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), file, row_group_size=2)
    return file


def tar(path: Path, *files: tuple[str, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as written:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            written.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def contents(photographs: Path) -> list[bytes]:
    return [(photographs / name).read_bytes() for name in PHOTOS]


@pytest.fixture
def expected(describe: Describe, photographs: Path, tmp_path: Path) -> list[dict[str, Any]]:
    """Rows of four photographs in a folder with two boxes each, without what depends on how they are called."""
    (tmp_path / "four.json").write_text(json.dumps({name: [BOX, OTHER] for name in PHOTOS}))
    describe(photographs, "--boxes", tmp_path / "four.json", "--out", tmp_path / "expected")
    return by_photo(tmp_path / "expected")


def nameless(made: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "photo": None, "region": None} for row in made]


def test_a_list_names_photographs_relative_to_its_folder(describe: Describe, photographs: Path, tmp_path: Path) -> None:
    (photographs / "list.txt").write_text("\n".join(["far/0/2.png", str(photographs / "far/1/1.png"), "", "gone.png"]))
    assert describe(photographs / "list.txt", "--whole", "--out", tmp_path / "out") == 3
    made = [(row["photo"], row["error"] and row["error"][:20]) for row in rows(tmp_path / "out")]
    absolute = str(photographs / "far/1/1.png")
    assert made == [("far/0/2.png", None), (absolute, None), ("gone.png", "There is no photogra")]


def test_a_file_of_boxes_names_its_photographs(
    describe: Describe, photographs: Path, tmp_path: Path, expected: list[dict[str, Any]]
) -> None:
    (photographs / "four.json").write_text((tmp_path / "four.json").read_text())
    assert describe(photographs / "four.json", "--out", tmp_path / "out") == 0
    assert by_photo(tmp_path / "out") == expected


def test_parquet_with_bytes_and_boxes(
    describe: Describe, contents: list[bytes], tmp_path: Path, expected: list[dict[str, Any]]
) -> None:
    file = parquet(tmp_path / "x.parquet", file_name=PHOTOS, image=contents, boxes=[[BOX, OTHER]] * 4)
    assert describe(file, "--out", tmp_path / "out", "--shard-size", 3) == 0
    assert len(list((tmp_path / "out").glob("part-*"))) == 2
    assert by_photo(tmp_path / "out") == expected


def test_parquet_with_hugging_faces_images_and_coco_boxes(
    describe: Describe, contents: list[bytes], tmp_path: Path, expected: list[dict[str, Any]]
) -> None:
    images = [{"bytes": content, "path": None} for content in contents]
    coco = [[[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in (BOX, OTHER)]] * 4
    file = parquet(tmp_path / "x.parquet", image=images, bbox=coco)
    assert describe(file, "--out", tmp_path / "out") == 0
    assert [row["photo"] for row in rows(tmp_path / "out")] == [f"x.parquet#{n}" for n in range(4) for _ in "ab"]
    assert nameless(rows(tmp_path / "out")) == nameless(expected)


@pytest.mark.parametrize("number", [float, Decimal])  # DuckDB writes 1.5 as a decimal number
def test_parquet_with_paths_and_a_box_a_row(
    describe: Describe, photographs: Path, tmp_path: Path, expected: list[dict[str, Any]], number: Callable[[int], Any]
) -> None:
    corners = zip(*([BOX, OTHER] * 4), strict=True)
    columns = {name: list(map(number, side)) for name, side in zip(("x1", "y1", "x2", "y2"), corners, strict=True)}
    days = [date(2026, 11, day) for day in range(1, 9)]
    file = parquet(photographs / "x.parquet", path=[name for name in PHOTOS for _ in "ab"], id=days, **columns)
    assert describe(file, "--out", tmp_path / "out") == 0
    assert [row["region"] for row in rows(tmp_path / "out")] == list(range(8))
    assert [row["id"] for row in rows(tmp_path / "out")] == list(map(str, days))
    assert nameless(row | {"id": None} for row in rows(tmp_path / "out")) == nameless(expected)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"pixels": [1]}, "no column of photographs"),
        ({"path": ["a.png"], "label": ["x"]}, "no column of boxes"),
        ({"path": ["a.png", "a.png"], "boxes": [[BOX], [BOX]]}, 'has the photograph "a.png" in more than one row'),
    ],
)
def test_parquet_without_what_is_needed_is_refused_with_its_columns(
    describe: Describe, tmp_path: Path, capsys: pytest.CaptureFixture[str], columns: dict[str, Any], told: str
) -> None:
    assert describe(parquet(tmp_path / "x.parquet", **columns), "--out", tmp_path / "out") == 2
    assert told in capsys.readouterr().err


def test_a_file_that_is_no_parquet_is_refused(
    describe: Describe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but not to its end")
    assert describe(tmp_path / "x.parquet", "--out", tmp_path / "out") == 2
    assert "not a Parquet file" in capsys.readouterr().err


def test_parquet_as_output_says_the_same(
    describe_really: Describe, photographs: Path, boxes: Path, tmp_path: Path
) -> None:
    (photographs / "bad.jpg").write_bytes(b"no photograph")
    boxes.write_text(json.dumps(json.loads(boxes.read_text()) | {"bad.jpg": [BOX]}))
    describe_really(photographs, "--boxes", boxes, "--out", tmp_path / "lines")
    assert describe_really(photographs, "--boxes", boxes, "--out", tmp_path / "table", "--format", "parquet") == 3
    table = pq.read_table(tmp_path / "table" / "part-00000.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "lines" / "part-00000.jsonl").read_text().splitlines()]
    assert [set(row["timing_ms"] or ()) for row in table] == [set(row["timing_ms"] or ()) for row in lines]
    for mine, other in zip(table, lines, strict=True):
        assert rounded({**mine, "timing_ms": None}) == rounded({**other, "timing_ms": None})


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def test_a_tars_samples_have_their_boxes_in_json(
    describe: Describe, contents: list[bytes], tmp_path: Path, expected: list[dict[str, Any]]
) -> None:
    described = json.dumps({"boxes": [BOX, OTHER]}).encode()
    files = [(f"a/{n}{end}", data) for n in range(4) for end, data in ((".png", contents[n]), (".json", described))]
    tar(tmp_path / "tars-0.tar", *files[:4])
    tar(tmp_path / "tars-1.tar", *files[4:])
    assert describe(tmp_path / "tars-*.tar", "--out", tmp_path / "out") == 0
    assert [row["photo"] for row in rows(tmp_path / "out")][::2] == [
        *("tars-0.tar/a/0.png", "tars-0.tar/a/1.png", "tars-1.tar/a/2.png", "tars-1.tar/a/3.png")
    ]
    assert nameless(rows(tmp_path / "out")) == nameless(expected)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.75])
def test_a_tar_that_is_cut_off_is_named_and_tried_again(
    describe: Describe, contents: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float
) -> None:
    whole = tar(tmp_path / "tars/x.tar", *((f"{n}.png", content) for n, content in enumerate(contents))).read_bytes()
    (tmp_path / "tars/x.tar").write_bytes(whole[: int(share * len(whole))])
    tar(tmp_path / "tars/y.tar", ("0.png", contents[0]), ("1.txt", b"no photograph"), ("0.png", contents[1]))
    asked = (tmp_path / "tars", "--whole", "--out", tmp_path / "out")
    assert describe(*asked) == 3
    assert "tried again next time: x.tar" in capsys.readouterr().err
    assert [(row["photo"], row["error"]) for row in rows(tmp_path / "out")] == [
        ("y.tar/0.png", None),
        ("y.tar/1", "The sample has no photographs, not one."),
        ("y.tar/0", "Another sample of this tar has the same name, and was described before."),
    ]
    (tmp_path / "tars/x.tar").write_bytes(whole)
    assert describe(*asked, "--only-missing") == 3  # for y.tar
    assert rows(tmp_path / "out")[-1]["photo"].startswith("x.tar/")


def test_tars_that_are_added_are_described_alone(describe: Describe, contents: list[bytes], tmp_path: Path) -> None:
    tar(tmp_path / "tars/x.tar", ("0.png", contents[0]))
    describe(tmp_path / "tars", "--whole", "--out", tmp_path / "out")
    tar(tmp_path / "tars/a.tar", ("0.png", contents[0]))
    assert describe(tmp_path / "tars", "--whole", "--out", tmp_path / "out", "--only-missing") == 0
    assert [row["photo"] for row in rows(tmp_path / "out")] == ["x.tar/0.png", "a.tar/0.png"]


def test_input_and_output_may_be_behind_an_address(
    describe: Describe, photographs: Path, boxes: Path, tmp_path: Path
) -> None:
    describe(photographs, "--boxes", boxes, "--out", tmp_path / "here")
    far = fsspec.filesystem("memory")
    far.put(str(photographs) + "/", "/bucket/photos/", recursive=True)
    asked = ("memory://bucket/photos", "--boxes", boxes, "--out", "memory://bucket/out")
    assert describe(*asked) == 0
    far.get("/bucket/out/", str(tmp_path / "there"), recursive=True)
    assert rows(tmp_path / "there") == rows(tmp_path / "here")
    written = far.modified("/bucket/out/part-00000.jsonl")
    assert describe(*asked) == 0
    assert far.modified("/bucket/out/part-00000.jsonl") == written


def test_a_file_address_is_a_path(describe: Describe, photographs: Path, tmp_path: Path) -> None:
    assert describe(photographs.as_uri(), "--whole", "--out", (tmp_path / "new" / "out").as_uri()) == 0
    assert len(rows(tmp_path / "new" / "out")) == 7


class Locked(MemoryFileSystem):
    """Says what S3 says to somebody without credentials."""

    protocol: ClassVar[str] = "locked"

    def isdir(self, path: str) -> bool:
        raise PermissionError("Forbidden")


def test_missing_credentials_are_told(describe: Describe, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fsspec.register_implementation("locked", Locked, clobber=True)
    assert describe("locked://bucket", "--whole", "--out", tmp_path / "out") == 2
    assert "without credentials" in capsys.readouterr().err


def test_an_unknown_scheme_is_told(describe: Describe, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert describe("nowhere://bucket", "--whole", "--out", tmp_path / "out") == 2
    assert "nowhere" in capsys.readouterr().err
