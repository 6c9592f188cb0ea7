"""Projects: what a person said beside what the model said, and the file that keeps both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dynrefer.__main__ import main
from dynrefer.errors import InputError
from dynrefer.formats import Record
from dynrefer.formats.record import said
from dynrefer.project import PhotoRecord, Project, Region, project_file, read_project, words_in
from dynrefer.question import Question
from dynrefer.results import Attribute, Caption, RegionResult, Scored, Words

NOTHING = Words()


def region(words: Words = NOTHING, status: str = "open", text: str = "a dog", left: float = 1.0) -> Region:
    answer = RegionResult(
        box=(left, 1.0, left + 10, 11.0),
        caption=Caption(text, 0.4),
        classes=(Scored("dog", 0.7), Scored("cat", 0.2)),
        tags=(Scored("dog", 0.9), Scored("grass", 0.8)),
        attributes=(Attribute("red", "color", 0.9), Attribute("big", "size", 0.6)),
        views=(),
        sure=False,
    )
    return Region(Question(), answer, words, status)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three photographs of 64 x 48 pixels, one of them deeper."""
    folder = tmp_path / "photos"
    for name in ("a.png", "b.png", "more/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(folder / name)
    return folder


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    project = Project(folder)
    yield project
    project.close()


def test_a_persons_words_come_before_the_models_each_with_its_source() -> None:
    said = Words("two dogs", "wolf", {"wolf": True, "grass": False}, {"color:grey": True, "color:red": False})
    result = region(said).result
    assert result.caption == Caption("two dogs", 1.0, "person")
    assert [(entry.name, entry.by) for entry in result.classes] == [
        ("wolf", "person"),
        ("dog", "model"),
        ("cat", "model"),
    ]
    assert [(tag.name, tag.by) for tag in result.tags] == [("wolf", "person"), ("dog", "model")]
    assert [(entry.name, entry.by) for entry in result.attributes] == [("grey", "person"), ("big", "model")]
    assert result.sure


def test_only_what_a_person_said_is_marked_in_the_json() -> None:
    record = region(Words("two dogs")).result.to_dict()
    assert record["caption"] == {"text": "two dogs", "score": 1.0, "by": "person"}
    assert record["classes"][0] == {"name": "dog", "score": 0.7}


def test_doubt_is_what_the_best_name_lacks_until_a_person_has_looked() -> None:
    assert region().doubt == pytest.approx(0.3)
    assert region(Words(name="cat")).doubt == region(status="rejected").doubt == 0


def test_what_is_saved_is_there_after_the_program_was_killed(folder: Path, project: Project) -> None:
    keep = project.keeping("more/c.png", (64, 48))
    keep([region()])
    keep([region(Words("a wolf"), "accepted"), region(left=30.0)])
    (record,) = read_project(folder)  # nothing was closed
    assert record.image == "more/c.png"
    assert [(found.words, found.status) for found in record.regions] == [
        (Words("a wolf"), "accepted"),
        (Words(), "open"),
    ]
    assert record.regions[0].result == region(Words("a wolf"), "accepted").result


def test_every_attribute_is_kept_however_unlikely(folder: Path, project: Project) -> None:
    scores = [(0.5 ** (place + 1), ("color", "size")[place % 2]) for place in range(117)]
    attributes = tuple(Attribute(f"{kind} {score}", kind, float(f"{score:.4g}")) for score, kind in scores)
    answer = replace(region().answer, attributes=attributes)
    project.keeping("a.png", (64, 48))([replace(region(), answer=answer)])
    (record,) = read_project(folder)
    assert record.regions[0].answer.attributes == attributes


def test_a_line_cut_off_by_a_crash_costs_itself_alone(folder: Path, project: Project) -> None:
    project.keeping("a.png", (64, 48))([region()])
    file = project_file(folder)
    with file.open("a") as stream:
        stream.write('{"image": "b.png", "wid')
    project.close()
    again = Project(folder)
    again.keeping("b.png", (64, 48))([region()])
    again.close()
    assert [record.image for record in read_project(folder)] == ["a.png", "b.png"]


def test_a_file_grows_by_a_line_a_change_and_is_tidied_when_opened(folder: Path, project: Project) -> None:
    keep = project.keeping("a.png", (64, 48))
    for text in ("one", "two", "three"):
        keep([region(text=text)])
    assert len(project_file(folder).read_text().splitlines()) == 4
    project.close()
    Project(folder).close()
    assert len(project_file(folder).read_text().splitlines()) == 2
    assert read_project(folder)[0].regions[0].result.caption == Caption("three", 0.4)


def test_a_change_in_another_window_is_not_overwritten(project: Project) -> None:
    first, second = project.keeping("a.png", (64, 48)), project.keeping("a.png", (64, 48))
    first([region(Words("a wolf"))])
    with pytest.raises(InputError, match="another window"):
        second([region()])
    assert project.regions("a.png")[0].words == Words("a wolf")


def test_two_programs_do_not_work_on_one_folder(folder: Path, project: Project) -> None:
    with pytest.raises(InputError, match="open in another DynRefer"):
        Project(folder)


def test_progress_counts_what_was_accepted_rejected_or_corrected(project: Project) -> None:
    project.keeping("a.png", (64, 48))([region(status="accepted"), region(left=20.0), region(Words("x"), left=40.0)])
    project.keeping("b.png", (64, 48))([region(status="rejected")])
    assert project.progress() == (3, 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"regions": [{"status": "maybe"}]}, "status"),
        ({"regions": [{"status": "open", "question": 0}]}, "answer"),
        ({"width": "wide"}, "photograph of a project"),
        ({"questions": [{"mode": "best"}]}, "selection mode"),
    ],
)
def test_a_wrong_line_is_told_by_file_and_number(folder: Path, change: dict[str, object], words: str) -> None:
    file = project_file(folder)
    record = PhotoRecord("a.png", (64, 48), (region(),)).to_dict()
    lines = [{"dynrefer_project": 1}, record | change, record]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=f"(?i)line 2 of photos.dynrefer.jsonl.*{words}"):
        read_project(folder)


def test_a_file_of_something_else_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"box": [1, 2, 3, 4]}\n')
    with pytest.raises(InputError, match=r"answers\.jsonl cannot be read: It does not begin"):
        read_project(tmp_path / "answers.jsonl")


def test_a_files_own_words_are_a_persons_and_a_models_stay_the_models() -> None:
    annotated = Record("a.png", (1, 1, 9, 9), said=said("a wolf", "wolf", tags=["grey"], attributes={"color": "grey"}))
    assert words_in(annotated) == Words("a wolf", "wolf", {"grey": True}, {"color:grey": True})
    answered = Record.of(region(Words("my words")).result, "a.png")
    assert words_in(replace(answered, said={**answered.said, "model": "dynrefer-mini"})) == Words("my words")


def test_regions_of_another_tool_are_taken_in_and_written_out_again(folder: Path, tmp_path: Path) -> None:
    boxes = [
        {"image": "a.png", "box": [1, 1, 20, 20], "caption": "a wolf", "class": "wolf"},
        {"image": "c.png", "box": [2, 2, 30, 30]},
        {"image": "z.png", "box": [2, 2, 30, 30]},
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert main(["project", str(folder), "--import", str(tmp_path / "boxes.json")]) == 3
    records = {record.image: record.regions for record in read_project(folder)}
    assert records["a.png"][0].words == Words("a wolf", "wolf")
    assert [found.answer.box for found in records["more/c.png"]] == [(2, 2, 30, 30)]
    assert main(["project", str(folder), "--export", str(tmp_path / "out.json"), "--format", "coco"]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert [image["file_name"] for image in written["images"]] == ["a.png", "more/c.png"]
    assert written["annotations"][0]["caption"] == "a wolf"


def test_taking_regions_in_again_leaves_a_persons_words(folder: Path, tmp_path: Path, project: Project) -> None:
    project.keeping("a.png", (64, 48))([region(Words("mine"))])
    project.close()
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps([{"image": "a.png", "box": [1, 1, 11, 11], "caption": "theirs"}]))
    assert main(["project", str(folder), "--import", str(file)]) == 0
    (record,) = read_project(folder)
    assert [found.words for found in record.regions] == [Words("mine")]
