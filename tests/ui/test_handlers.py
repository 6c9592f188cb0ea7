"""What the page does with what a visitor does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from dynrefer import Predictor
from dynrefer.boxes import MAX_BOXES
from dynrefer.pointing import read_mask
from dynrefer.question import Question
from dynrefer.ui import panels
from dynrefer.ui.album import KEPT_TAGS, Entry
from dynrefer.ui.components import Upload
from dynrefer.ui.layout import Choices, usual_search
from dynrefer.ui.links import record_of
from tests.ui.conftest import BOX, Said, Visitor

EIGHT = [(10 * place, 10, 10 * place + 50, 100) for place in range(8)]


def press(visitor: Visitor, **data: str) -> dict[Any, Any]:
    return visitor.regions.press(visitor.values(), Said(**data))


def test_choices_left_alone_ask_for_nothing_but_the_checkpoints_own(visitor: Visitor) -> None:
    assert visitor.asked(BOX).options() == {}


@pytest.mark.parametrize(
    ("name", "value"), [("num_beams", 1), ("max_new_tokens", 9), ("num_views", 2), ("tag_threshold", 0.05)]
)
def test_a_choice_that_was_changed_is_asked_for(visitor: Visitor, name: str, value: float) -> None:
    assert visitor.asked(BOX, **{name: value}).options() == {name: value}


def test_the_search_sliders_start_at_the_checkpoints_own_search(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    language = predictor.model.config.language
    changed = replace(language, generation={"num_beams": 5, "max_new_tokens": 30})
    monkeypatch.setattr(predictor.model, "config", replace(predictor.model.config, language=changed))
    with gr.Blocks():
        choices = Choices(predictor)
    assert (choices.num_beams.value, choices.max_new_tokens.value) == (5, 30)
    assert usual_search(predictor).num_beams == 5


def test_manual_views_are_those_of_the_sliders(visitor: Visitor) -> None:
    values = visitor.values(BOX, mode="manual", num_views=2)
    values[visitor.main.choices.sliders[1]] = 0.7
    assert visitor.main.choices.question(values).options() == {"coefficients": (0.0, 0.7)}


def test_own_class_names_are_all_shown_up_to_a_dozen(visitor: Visitor) -> None:
    assert visitor.asked(BOX, classes="dog, cat; cup\ncar, a, b, c").top_classes == 7


def test_more_class_names_than_a_visitor_may_give_are_refused(visitor: Visitor) -> None:
    with pytest.raises(ValueError, match="at most 1000"):
        visitor.asked(BOX, classes=",".join(map(str, range(1001))))


def test_a_box_is_described_and_shown(visitor: Visitor) -> None:
    updates = visitor.main.describe(visitor.values(BOX))
    assert "dr-caption-text" in updates[visitor.main.display.answer]
    assert visitor.session.album.selected == 0


def test_a_box_undone_to_shows_its_answer_without_asking_again(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = BOX, [100.0, 20.0, 180.0, 140.0]
    for box in (first, second):
        visitor.main.describe(visitor.values(box))
    answer = visitor.main.refer
    asked: list[Any] = []
    monkeypatch.setattr(visitor.main, "refer", lambda *args, **options: asked.append(args) or answer(*args, **options))
    visitor.main.recall(visitor.values(first))
    assert (visitor.session.album.selected, asked) == (0, [])
    visitor.session.edit(lambda album: album.remove(0))
    visitor.main.recall(visitor.values(first))
    assert (visitor.boxes[-1], len(asked)) == (tuple(first), 1)


def test_an_answer_says_by_which_points_a_press_took_its_box(visitor: Visitor) -> None:
    points = [[50.0, 40.0, True], [90.0, 70.0, False]]
    visitor.main.describe_drawn(visitor.values(BOX), Said(points=points))
    assert visitor.session.album.results[0].prompt == {"points": points}


def test_the_table_keeps_no_more_tags_than_anybody_looks_at(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = visitor.main.refer

    def with_many_tags(*args: Any, **options: Any) -> Any:
        return [replace(result, tags=result.tags * 100) for result in answer(*args, **options)]

    monkeypatch.setattr(visitor.main, "refer", with_many_tags)
    visitor.main.describe(visitor.values(BOX))
    assert len(visitor.session.album.results[0].tags) == KEPT_TAGS


def test_a_table_cleared_while_boxes_are_described_stays_clear(visitor: Visitor) -> None:
    running = visitor.paste(*EIGHT)
    next(running)
    next(running)
    assert len(visitor.boxes) == 4
    visitor.regions.clear(visitor.values())
    list(running)
    assert visitor.boxes == []


def test_a_region_deleted_while_others_are_described_stays_deleted(visitor: Visitor) -> None:
    running = visitor.paste(*EIGHT)
    next(running)
    next(running)
    press(visitor, remove="1")
    list(running)
    assert visitor.boxes == [EIGHT[0], *EIGHT[2:]]


def test_a_region_selected_while_others_are_described_stays_shown(visitor: Visitor) -> None:
    running = visitor.paste(*EIGHT)
    next(running)
    next(running)
    press(visitor, select="2")
    list(running)
    assert visitor.session.album.selected == 2


def test_an_answer_that_nobody_waits_for_any_more_is_kept_but_not_shown(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.main.describe(visitor.values(BOX))
    answer = visitor.main.refer

    def while_another_is_selected(*args: Any, **options: Any) -> Any:
        press(visitor, select="0")
        return answer(*args, **options)

    monkeypatch.setattr(visitor.main, "refer", while_another_is_selected)
    visitor.main.describe(visitor.values([5.0, 5.0, 50.0, 50.0]))
    assert len(visitor.boxes) == 2
    assert visitor.session.album.selected == 0


def test_an_answer_does_not_come_under_the_next_photograph(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = visitor.main.refer

    def while_the_photograph_goes(*args: Any, **options: Any) -> Any:
        visitor.main.forget_photo(visitor.session)
        return answer(*args, **options)

    monkeypatch.setattr(visitor.main, "refer", while_the_photograph_goes)
    assert visitor.main.display.answer not in visitor.main.describe(visitor.values(BOX))
    assert visitor.boxes == []


def test_what_was_cleared_comes_back_beside_what_came_since(visitor: Visitor) -> None:
    list(visitor.paste(*EIGHT[:3]))
    visitor.regions.clear(visitor.values())
    assert 'data-key="u"' in panels.answer(visitor.session)
    list(visitor.paste(EIGHT[5]))
    press(visitor, undo="")
    assert visitor.boxes == [*EIGHT[:3], EIGHT[5]]


def test_a_full_table_refuses_more_instead_of_dropping_the_oldest(visitor: Visitor) -> None:
    visitor.main.describe(visitor.values(BOX))
    (entry,) = visitor.session.album.entries
    many = [replace(entry, answer=replace(entry.answer, box=(0.0, 0.0, 9.0, 9.0 + n))) for n in range(MAX_BOXES - 1)]
    assert visitor.session.extend(visitor.session.ticket(), many)
    with pytest.raises(gr.Error, match="at most 256 regions"):
        visitor.main.describe(visitor.values([1.0, 1.0, 50.0, 50.0]))
    visitor.main.describe(visitor.values(BOX))  # a box that has its place already
    assert len(visitor.boxes) == MAX_BOXES


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("-5 10 100 100", [(0, 10, 100, 100)]),
        (".5 10 100 100", [(0.5, 10, 100, 100)]),
        ("(1, 2, 100, 120)", [(1, 2, 100, 120)]),
        ("[1,2,100,120]", [(1, 2, 100, 120)]),
        ("1 2 100 120\n\n5;6;100;110", [(1, 2, 100, 120), (5, 6, 100, 110)]),
        ("(1, 2, 100, 120), (5, 6, 100, 110)", [(1, 2, 100, 120), (5, 6, 100, 110)]),
        ("1 2 100 120; 5 6 100 110", [(1, 2, 100, 120), (5, 6, 100, 110)]),
        ("1,2,100,120 5,6,100,110", [(1, 2, 100, 120), (5, 6, 100, 110)]),
        ("0 0 .5 .5\n.5 .5 1 1", [(0, 0, 100, 75), (100, 75, 200, 150)]),
        ("1 2 100 120\n5 6 5 110\n500 6 510 110", [(1, 2, 100, 120)]),
        ("x1,y1,x2,y2\n1,2,100,120", [(1, 2, 100, 120)]),
        ('{"box": [1, 2, 100, 120]}', [(1, 2, 100, 120)]),
    ],
)
def test_boxes_can_be_pasted_as_they_are_usually_written(visitor: Visitor, text: str, boxes: list[Any]) -> None:
    list(visitor.regions.describe_pasted(visitor.values(pasted=text)))
    assert visitor.boxes == boxes


def test_boxes_of_another_photograph_are_refused(visitor: Visitor) -> None:
    text = "image,x1,y1,x2,y2\nother.png,1,2,100,120"
    with pytest.raises(gr.Error, match=r"has no boxes for photo\.png; it is about other\.png"):
        list(visitor.regions.describe_pasted(visitor.values(pasted=text)))


@pytest.mark.parametrize(
    ("content", "encoding", "boxes"),
    [
        ("\ufeffimage;x1;y1;x2;y2\r\nother.png;1;2;9;9\r\nphoto.png;1,5;2;100;120\r\n", "utf-8", [(1.5, 2, 100, 120)]),
        ("File Name\tX Min\tY Min\tX Max\tY Max\nphoto.png\t1\t2\t100\t120\n", "utf-16", [(1, 2, 100, 120)]),
        ('{"image": "photo.png", "box": [1, 2, 100, 120]},\n{"image": "photo.png", "bo', "utf-8", [(1, 2, 100, 120)]),
        (
            '{"images": [{"id": 1, "file_name": "set/photo.png", "width": 400, "height": 300}],'
            ' "annotations": [{"image_id": 1, "bbox": [2, 4, 100, 120]}, {"image_id": 1, "bbox": [5, 5, 5, 0]}]}',
            "utf-8",
            [(1, 2, 51, 62)],
        ),
    ],
    ids=["csv", "utf16", "lines", "resized"],
)
def test_a_file_of_boxes_is_read_as_on_the_command_line(
    visitor: Visitor, tmp_path: Path, content: str, encoding: str, boxes: list[Any]
) -> None:
    file = tmp_path / "boxes.txt"
    file.write_bytes(content.encode(encoding))
    list(visitor.regions.describe_file(visitor.values(box_file=str(file))))
    assert visitor.boxes == boxes


def test_an_upload_without_a_photograph_in_it_leaves_the_page_empty(visitor: Visitor, tmp_path: Path) -> None:
    file = tmp_path / "notes.jpg"
    file.write_text("not a photograph")
    updates = visitor.main.take_photo(Upload(str(file), "notes.jpg"), visitor.session)
    assert updates[visitor.main.stage.photo] is None


def test_an_example_is_never_forgotten(visitor: Visitor) -> None:
    visitor.main.take_example(visitor.session, Said(example="puppy"))
    visitor.photo.unlink()  # what Gradio had kept of it
    assert visitor.main.photo(visitor.values(BOX)).size == (1024, 683)


def test_a_photograph_that_the_server_has_forgotten_is_said_to_be_so(visitor: Visitor) -> None:
    visitor.photo.unlink()
    with pytest.raises(gr.Error, match="has left the server"):
        visitor.main.describe(visitor.values(BOX))


def kept(visitor: Visitor, photo: Path) -> dict[str, Any]:
    """What the browser sends to have this page again."""
    return {"record": record_of(visitor.session), "photo": {"path": str(photo), "meta": {"_type": "gradio.FileData"}}}


def test_what_the_browser_kept_comes_back_with_table_and_choices(visitor: Visitor) -> None:
    visitor.main.describe(visitor.values(BOX, classes="dog, cat"))
    list(visitor.paste(*EIGHT[:2]))
    before, sent = visitor.session.album, kept(visitor, visitor.photo)
    visitor.session.begin()
    shown = visitor.main.open_kept(sent, visitor.session)
    assert shown[visitor.main.choices.tag_threshold]["visible"]
    after = visitor.session.album
    assert [entry.question for entry in after.entries] == [entry.question for entry in before.entries]
    assert [entry.result.to_dict() for entry in after.entries] == [entry.result.to_dict() for entry in before.entries]
    assert after.selected == before.selected
    assert visitor.session.name == "photo.png"


def test_a_photograph_keeps_its_key_in_a_project_of_thousands(visitor: Visitor) -> None:
    visitor.main.describe(visitor.values(BOX))
    sent = kept(visitor, visitor.photo)
    sent["record"]["key"] = "01234567-89ab-cdef-0123-456789abcdef/12345"
    visitor.main.open_kept(sent, visitor.session)
    assert visitor.session.key == sent["record"]["key"]


def test_choices_that_were_not_kept_go_back_to_where_the_page_begins(visitor: Visitor) -> None:
    choices = visitor.main.choices
    updates = choices.choose(Question.checked(num_beams=1))
    assert (updates[choices.num_beams], updates[choices.classes], updates[choices.mode]) == (1, "", choices.mode.value)


def test_a_box_typed_beyond_the_edge_with_its_corners_swapped_is_shown_as_it_was_taken(visitor: Visitor) -> None:
    shown = visitor.main.describe(visitor.values([-50, 120, 90, 20]))
    assert shown[visitor.main.stage.picker]["value"] == [0, 20, 90, 120]
    assert "value" not in visitor.main.describe(visitor.values(BOX))[visitor.main.stage.picker]


def test_the_picker_sees_that_a_photograph_was_opened_again(visitor: Visitor) -> None:
    """Or the box taken by a press and all that was drawn would stay, and what presses take would not be asked for."""
    opened = [visitor.main.take_example(visitor.session, Said(example="puppy")) for _ in range(2)]
    images = [updates[visitor.main.stage.picker]["image"] for updates in opened]
    assert images[0] != images[1]


def test_a_number_typed_beyond_a_sliders_ends_is_the_end_that_it_shows_then(visitor: Visitor) -> None:
    choices = visitor.main.choices
    most = choices.num_views.maximum
    assert [choices.num_views.preprocess(typed) for typed in (9, 0, None, 2)] == [most, 1, 1, 2]
    assert [choices.sliders[1].preprocess(typed) for typed in (-3, 2, 0.5)] == [0, 1, 0.5]


def test_the_first_slider_says_where_the_model_looks_first(visitor: Visitor) -> None:
    choices = visitor.main.choices
    updates = choices.choose(Question.checked(coefficients=[0.2, 0.3]))
    assert [updates[slider]["value"] for slider in choices.sliders[:2]] == [0.0, 0.3]


@pytest.mark.parametrize(
    "damage", [{}, {"regions": "x"}, {"regions": [[1, 2]]}, {"choices": {"mode": "best"}}, {"example": 3}]
)
def test_a_damaged_or_forged_memory_gets_a_sentence(visitor: Visitor, damage: dict[str, Any]) -> None:
    visitor.main.describe(visitor.values(BOX))
    sent = kept(visitor, visitor.photo)
    sent["record"] = {**sent["record"], **damage} if damage else None
    with pytest.raises(gr.Error) as told:
        visitor.main.open_kept(sent, visitor.session)
    assert "not your fault" not in str(told.value)


def test_a_question_is_kept_once_however_many_regions_ask_it(visitor: Visitor) -> None:
    names = ", ".join(f"name {number}" for number in range(500))
    list(visitor.regions.describe_pasted(visitor.values(pasted="1 2 50 60\n3 4 80 90", classes=names)))
    record = record_of(visitor.session)
    assert record is not None
    assert len(record["questions"]) == 1
    assert [region["question"] for region in record["regions"]] == [0, 0]


def test_an_entry_of_the_table_has_no_dictionary_of_its_own(visitor: Visitor) -> None:
    visitor.main.describe(visitor.values(BOX))
    assert not hasattr(visitor.session.album.entries[0], "__dict__")
    assert isinstance(visitor.session.album.entries[0], Entry)
    assert visitor.session.choices == Question()


def test_an_outline_drawn_freehand_is_the_mask_of_its_region_and_a_text_is_none(visitor: Visitor) -> None:
    outline = [[20, 15], [80, 15], [80, 60], [20, 60]]
    updates = visitor.main.describe_drawn(visitor.values(BOX), Said(points=[], outline=outline))
    (entry,) = visitor.session.album.entries
    assert read_mask(entry.answer.mask, (200, 150))[20:55, 25:75].all()
    assert updates[visitor.main.stage.picker]["shape"]["box"] == BOX
    with pytest.raises(gr.Error, match="must be a list of places"):
        visitor.main.describe_drawn(visitor.values(BOX), Said(points=[], outline="/etc/passwd"))
