"""Accepting, rejecting and correcting answers, and working through a folder."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from dynrefer import Predictor
from dynrefer.project import PhotoRecord, Project, read_project
from dynrefer.results import Scored, Words
from dynrefer.ui import panels
from dynrefer.ui.album import Album
from dynrefer.ui.layout import Updates
from dynrefer.ui.links import folder_of, record_of
from dynrefer.ui.regions_tab import corrected, find_attribute
from dynrefer.ui.session import Session
from tests.pointing import Pointing
from tests.tiny import tiny_vocabulary
from tests.ui.conftest import BOX, Visitor
from tests.ui.conftest import Said as Pressed

THREE = [(10, 10, 50, 50), (60, 10, 90, 60), (100, 20, 150, 90)]


def press(visitor: Visitor, **data: str) -> Updates:
    return visitor.regions.press(visitor.values(), Pressed(**data))


@pytest.fixture
def reviewer(visitor: Visitor) -> Visitor:
    """A visitor with three regions, the first one shown."""
    list(visitor.paste(*THREE))
    press(visitor, select="0")
    return visitor


def test_an_accepted_region_is_followed_by_the_next_open_one(reviewer: Visitor) -> None:
    press(reviewer, select="1")
    press(reviewer, review="accepted")
    press(reviewer, review="rejected")
    album = reviewer.session.album
    assert [entry.status for entry in album.entries] == ["open", "accepted", "rejected"]
    assert album.selected == 0


def test_least_sure_first_also_leads_from_one_region_to_the_next(reviewer: Visitor) -> None:
    session = reviewer.session
    scores = (0.9, 0.8, 0.1)
    entries = tuple(
        replace(entry, answer=replace(entry.answer, classes=(Scored("dog", score),)))
        for entry, score in zip(session.album.entries, scores, strict=True)
    )
    session.edit(lambda album: replace(album, entries=entries))
    press(reviewer, sort="")
    press(reviewer, select="2")
    press(reviewer, review="accepted")
    assert session.album.selected == 1


def test_before_a_region_is_chosen_the_answer_leads_to_the_first_that_is_open(reviewer: Visitor) -> None:
    press(reviewer, review="accepted")
    reviewer.session.edit(Album.unselect)
    assert 'data-select="1" data-key="a"' in panels.answer(reviewer.session)
    assert 'data-key="u"' in panels.answer(reviewer.session)


def test_a_caption_that_a_person_wrote_is_in_no_doubt(reviewer: Visitor) -> None:
    session = reviewer.session
    unsure = tuple(replace(entry, answer=replace(entry.answer, sure=False)) for entry in session.album.entries)
    session.edit(lambda album: replace(album, entries=unsure))
    assert "not sure" in panels.answer(session)
    press(reviewer, say="caption", value="a jar of jam")
    assert "not sure" not in panels.answer(session)
    assert "dr-unsure" not in panels.answer(session)


def test_pressing_a_review_again_opens_the_region_again(reviewer: Visitor) -> None:
    press(reviewer, review="accepted")
    press(reviewer, select="0")
    press(reviewer, review="accepted")
    assert reviewer.session.album.entries[0].status == "open"


def test_a_models_answer_never_overwrites_a_persons_words(reviewer: Visitor) -> None:
    press(reviewer, say="caption", value="my own words")
    press(reviewer, say="name", value="teapot")
    press(reviewer, say="tag", value="handmade", so="true")
    reviewer.main.describe(reviewer.values(list(map(float, THREE[0])), classes="dog, cat"))
    list(reviewer.regions.ask_again(reviewer.values(classes="car, cup")))
    result = reviewer.session.album.entries[0].result
    assert result.caption is not None
    assert (result.caption.text, result.classes[0].name, result.tags[0].name) == ("my own words", "teapot", "handmade")


def test_the_answer_that_was_accepted_stays_when_others_are_asked_again(reviewer: Visitor) -> None:
    press(reviewer, review="accepted")
    before = reviewer.session.album.results
    list(reviewer.regions.ask_again(reviewer.values(classes="car, cup")))
    after = reviewer.session.album.results
    assert after[0] == before[0]
    assert {name.name for name in after[1].classes} == {"car", "cup"}


def test_undo_takes_back_word_by_word_and_keeps_what_the_model_said_since(reviewer: Visitor) -> None:
    press(reviewer, say="caption", value="one")
    press(reviewer, say="caption", value="two")
    reviewer.main.describe(reviewer.values(BOX))
    press(reviewer, undo="")
    assert reviewer.session.album.entries[0].words == Words("one")
    press(reviewer, undo="")
    assert reviewer.session.album.entries[0].words == Words()
    assert len(reviewer.boxes) == 4


def test_an_empty_word_leaves_it_to_the_model_again() -> None:
    vocabulary = tiny_vocabulary()
    words = Words("a cup", "cup", {"dog": False}, {"color:red": True})
    for what, value in (("caption", ""), ("name", ""), ("tag", "dog"), ("attribute", "color:red")):
        words = corrected(words, what, value, "", vocabulary)
    assert words == Words()


@pytest.mark.parametrize(
    ("typed", "key"), [("red", "color:red"), ("color: red", "color:red"), ("glaze: raw", "glaze:raw")]
)
def test_an_attribute_is_found_by_its_name_or_told_with_its_type(typed: str, key: str) -> None:
    assert find_attribute(typed, tiny_vocabulary()) == key


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"say": "caption", "value": "x" * 400}, "1 to 300 characters"),
        ({"say": "attribute", "value": "shiny", "so": "true"}, "write it with its type"),
        ({"say": "colour", "value": "red"}, "can correct caption"),
    ],
)
def test_a_word_that_cannot_be_taken_is_refused_in_a_sentence(
    reviewer: Visitor, data: dict[str, str], words: str
) -> None:
    with pytest.raises(gr.Error, match=words):
        press(reviewer, **data)


def test_the_table_shows_what_the_model_doubts_most_first_on_request(reviewer: Visitor) -> None:
    doubts = [entry.doubt for entry in reviewer.session.album.entries]
    order = sorted(range(3), key=lambda place: -doubts[place])
    shown = press(reviewer, sort="")[reviewer.main.display.table]
    places = [shown.index(f'data-select="{place}"') for place in order]
    assert places == sorted(places)


def test_a_rejected_region_is_left_out_of_what_is_saved(reviewer: Visitor) -> None:
    press(reviewer, review="rejected")
    saved = reviewer.regions.save(reviewer.values(save_as="csv"))["url"].partition(",")[2]
    assert len(base64.b64decode(saved).splitlines()) == 1 + 2
    press(reviewer, review="rejected")
    press(reviewer, review="rejected")
    with pytest.raises(gr.Error, match="nothing to save"):
        reviewer.regions.save(reviewer.values(save_as="csv"))


def test_what_the_browser_keeps_has_words_and_reviews(reviewer: Visitor) -> None:
    press(reviewer, say="name", value="teapot")
    press(reviewer, review="accepted")
    record = record_of(reviewer.session)
    assert record is not None
    sent = {"record": record, "photo": {"path": str(reviewer.photo), "meta": {"_type": "gradio.FileData"}}}
    reviewer.session.begin()
    reviewer.main.open_kept(sent, reviewer.session)
    first = reviewer.session.album.entries[0]
    assert (first.words.name, first.status) == ("teapot", "accepted")


@pytest.fixture
def worker(visitor: Visitor, tmp_path: Path) -> Iterator[Visitor]:
    """A visitor of a page that was started with a folder of three photographs, one of which is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "c.png"):
        Image.new("RGB", (200, 150), (9, 99, 9)).save(folder / name)
    (folder / "b.png").write_bytes(b"no photograph")
    project = Project(folder)
    visitor.session = Session(project)
    yield visitor
    project.close()


def move(visitor: Visitor, **where: Any) -> Updates:
    return visitor.main.move(visitor.session, Pressed(**where))


def test_a_folder_opens_at_the_first_photograph_that_is_not_reviewed(worker: Visitor) -> None:
    move(worker)
    list(worker.paste(THREE[0]))
    press(worker, select="0")
    press(worker, review="accepted")
    move(worker)
    folder = folder_of(worker.session)
    assert folder is not None
    assert "not an image" in folder.pop("trouble")
    assert folder == {"place": 1, "count": 3, "name": "b.png", "reviewed": 1, "regions": 1, "new": 2}


def test_every_change_of_a_folders_photograph_is_on_disk(worker: Visitor) -> None:
    move(worker, to="c.png")
    list(worker.paste(*THREE))
    press(worker, select="1")
    press(worker, say="caption", value="mine")
    assert worker.session.project is not None
    (record,) = read_project(worker.session.project.file)
    assert record.image == "c.png"
    assert [region.words.caption for region in record.regions] == [None, "mine", None]
    assert record_of(worker.session) is None  # the browser keeps nothing of it


def test_a_photograph_left_and_opened_again_has_its_regions(worker: Visitor) -> None:
    move(worker, to="a.png")
    list(worker.paste(*THREE))
    move(worker, step=1)
    assert worker.boxes == []
    move(worker, step=-1)
    assert worker.boxes == THREE


def test_a_photograph_opened_again_shows_its_next_open_region(worker: Visitor) -> None:
    move(worker, to="a.png")
    list(worker.paste(*THREE))
    press(worker, select="0")
    press(worker, review="accepted")
    move(worker, step=1)
    shown = move(worker, step=-1)
    assert worker.session.album.selected == 1
    assert shown[worker.main.stage.picker]["value"] == list(map(float, THREE[1]))


def test_a_file_that_is_no_photograph_is_told_about_where_it_is_and_passed_by_the_next_step(worker: Visitor) -> None:
    keeper = worker.main.stage.keeper
    move(worker, to="a.png")
    assert "b.png is not an image" in move(worker, step=1)[keeper]["folder"]["trouble"]
    assert not move(worker, step=1)[keeper]["folder"]["trouble"]
    assert worker.session.name == "c.png"


def describe_next(worker: Visitor, **given: Any) -> Any:
    """The whole project's next photograph; what the browser is told of it."""
    finding, keeper = worker.finding(), worker.main.stage.keeper
    return finding.describe_next({**worker.values(), keeper: given})[keeper]["answered"]


def test_all_photographs_of_a_folder_are_described_but_those_that_hold_regions(
    worker: Visitor, pointing: Pointing
) -> None:
    project = worker.session.project
    assert project is not None
    move(worker, to="a.png")
    list(worker.paste(THREE[0]))
    press(worker, select="0")
    press(worker, say="caption", value="mine")
    assert "not an image" in describe_next(worker, passed=[])["error"]
    assert describe_next(worker, passed=["b.png"]) == {"key": "c.png", "kept": True}
    assert describe_next(worker, passed=["b.png"]) == {}
    assert [region.words.caption for region in project.regions("a.png")] == ["mine"]
    assert [region.answer.box for region in project.regions("c.png")] == pointing.boxes


def test_a_photograph_opened_while_it_is_described_has_its_regions_and_can_be_worked_on(
    worker: Visitor, pointing: Pointing
) -> None:
    move(worker, to="a.png")
    describe_next(worker, passed=[])
    assert worker.boxes == pointing.boxes
    press(worker, select="1")
    press(worker, review="rejected")
    (record,) = read_project(worker.session.project.file)  # type: ignore[union-attr]
    assert [region.status for region in record.regions] == ["open", "rejected"]


def test_a_photograph_of_the_browser_is_described_for_it_to_keep(visitor: Visitor, pointing: Pointing) -> None:
    photo = {"path": str(visitor.photo), "meta": {"_type": "gradio.FileData"}}
    answered = describe_next(visitor, record={"key": "other", "image": "b.png"}, photo=photo)
    record = PhotoRecord.from_dict(answered["record"])
    assert (answered["key"], record.image, record.size) == ("other", "b.png", (200, 150))
    assert [region.answer.box for region in record.regions] == pointing.boxes
    assert visitor.boxes == []


def test_after_the_last_region_of_a_photograph_comes_the_next_one_with_something_to_review(worker: Visitor) -> None:
    for name in ("c.png", "a.png"):
        move(worker, to=name)
        list(worker.paste(*THREE[:1]))
    press(worker, select="0")
    finished = press(worker, review="accepted")[worker.main.stage.keeper]["finished"]
    assert not finished["doubt"]
    move(worker, review=True)
    assert (worker.session.name, worker.session.album.selected) == ("c.png", 0)


def test_a_page_without_a_folder_says_how_to_have_one(visitor: Visitor) -> None:
    with pytest.raises(gr.Error, match="--folder"):
        move(visitor, step=1)


def test_a_predictor_answers_with_another_checkpoint_and_back(predictor: Predictor, photo: Any) -> None:
    own = predictor.checkpoint
    before = predictor.refer(photo, BOX)
    other = Predictor.from_pretrained(own.folder, device="cpu").checkpoint
    other.model.log_temperature.data.add_(0.5)
    for parameter in other.model.contrast.parameters():
        parameter.data.add_(0.1)
    predictor.use(other)
    assert predictor.refer(photo, BOX).classes != before.classes
    predictor.use(own)
    assert predictor.refer(photo, BOX).classes == before.classes
