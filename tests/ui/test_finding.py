"""Everything on a photograph, and things by name."""

import gradio as gr
import pytest

from dynrefer import Predictor
from dynrefer.ui.finding import FindHandlers, Finding, fresh
from tests.pointing import Pointing
from tests.ui.conftest import Said, Visitor


@pytest.fixture
def finding(visitor: Visitor, pointing: Pointing) -> FindHandlers:
    return visitor.finding()


def test_things_of_a_name_are_listed_and_outlined_with_their_scores(visitor: Visitor, finding: FindHandlers) -> None:
    updates = finding.find(visitor.values(words="Cup; dog"))
    assert "Cup 80%" in updates[finding.finding.found]
    outlined = updates[visitor.main.stage.picker]["found"]
    assert (outlined[0]["box"], outlined[0]["label"]) == ([20, 15, 80, 60], "Cup 80%")
    assert updates[finding.finding.all_found]["visible"]


def test_what_is_not_there_is_said_not_to_be(visitor: Visitor, finding: FindHandlers, pointing: Pointing) -> None:
    pointing.boxes = []
    updates = finding.find(visitor.values(words="unicorn"))
    assert "is likely to be called unicorn" in updates[finding.finding.found]
    assert updates[visitor.main.stage.picker]["found"] == []
    assert not updates[finding.finding.all_found]["visible"]


def test_no_name_gets_a_sentence(visitor: Visitor, finding: FindHandlers) -> None:
    with pytest.raises(Exception, match="no word to look for"):
        finding.find(visitor.values(words=" , "))


def test_one_thing_found_becomes_the_box(visitor: Visitor, finding: FindHandlers) -> None:
    updates = finding.take(Said(box="20.0 15.5 80.0 60.0"))
    assert updates[visitor.main.stage.picker]["value"] == [20, 15.5, 80, 60]


def test_everything_is_described_one_after_another(visitor: Visitor, finding: FindHandlers, pointing: Pointing) -> None:
    lengths = [len(visitor.boxes) for _ in finding.describe_all(visitor.values())]
    assert sorted(set(lengths)) == [0, 1, 2]
    assert visitor.boxes == pointing.boxes


def test_everything_leaves_out_what_was_described_before(visitor: Visitor, finding: FindHandlers) -> None:
    list(visitor.paste((21, 15, 80, 60)))
    list(finding.describe_all(visitor.values()))
    assert visitor.boxes == [(21, 15, 80, 60), (100, 20, 180, 140)]


def test_all_that_was_found_is_described(visitor: Visitor, finding: FindHandlers, pointing: Pointing) -> None:
    boxes = [list(box) for box in pointing.boxes]
    list(finding.describe_found(visitor.values(boxes=boxes)))
    assert visitor.boxes == pointing.boxes


def test_a_model_that_finds_nothing_itself_is_not_asked_to(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Predictor, "can_find", False)
    with gr.Blocks():
        finding = Finding(visitor.main.predictor)
    assert not finding.everything.visible and not finding.words.visible


def test_a_proposal_near_a_known_box_is_left_out_and_the_known_box_itself_stays() -> None:
    known = [(10.0, 10.0, 50.0, 50.0)]
    assert fresh([(12.0, 12.0, 50.0, 50.0), (60.0, 60.0, 90.0, 90.0), *known], known) == [
        (60.0, 60.0, 90.0, 90.0),
        *known,
    ]
    assert fresh(known, []) == known
    assert fresh([], known) == []
