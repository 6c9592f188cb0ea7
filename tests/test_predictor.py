"""What a predictor answers, repeats and refuses, on a tiny random model."""

from __future__ import annotations

import dataclasses
import math
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.modules.module import register_module_forward_pre_hook

from dynrefer import InputError, Predictor, RegionResult, inference
from dynrefer.model.pointing import Refiner
from dynrefer.question import Question
from dynrefer.threads import computing

BOX = (20, 15, 80, 60)
OTHER = (5, 40, 50, 88)
PATIENCE = 60


def scores(result: RegionResult) -> list[float]:
    ordered = sorted(result.classes, key=lambda c: c.name) + sorted(result.tags, key=lambda t: t.name)
    return [item.score for item in ordered] + [
        a.score for a in sorted(result.attributes, key=lambda a: (a.type, a.name))
    ]


def ask(predictor: Predictor, image: Any, box: Any, **options: Any) -> RegionResult:
    result = predictor.refer(image, box, tag_threshold=0, top_classes=None, **options)
    assert isinstance(result, RegionResult)
    return result


def dict_of(result: RegionResult) -> dict[str, float]:
    """Score by class name."""
    return {entry.name: entry.score for entry in result.classes}


def recalibrate(predictor: Predictor, **changes: Any) -> None:
    """Give the predictor's checkpoint another configuration, without touching its weights."""
    predictor.inference.config = dataclasses.replace(predictor.inference.config, **changes)


def wait_until_somebody_waits(predictor: Predictor) -> None:
    turns = predictor._turns
    with turns.changed:
        assert turns.changed.wait_for(lambda: turns.waiting > 0, PATIENCE)


@pytest.fixture
def encoded(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many views each call of the image encoder got."""
    counts: list[int] = []
    plain = predictor.model.encode

    def counting(pixels: torch.Tensor) -> torch.Tensor:
        counts.append(len(pixels))
        return plain(pixels)

    monkeypatch.setattr(predictor.model, "encode", counting)
    return counts


def test_one_box_gives_all_four_answers(predictor: Predictor, photo: np.ndarray) -> None:
    result = ask(predictor, photo, BOX)
    assert isinstance(result.caption.text, str) and 0 < result.caption.score <= 1
    assert {c.name for c in result.classes} == {"dog", "cat", "car", "cup"}
    assert {t.name for t in result.tags} == {"dog", "cat", "red", "car"}
    assert [a.score for a in result.attributes] == sorted((a.score for a in result.attributes), reverse=True)
    assert result.none_of_these == pytest.approx(1 - max(c.score for c in result.classes))


def test_boxes_are_answered_in_the_order_given(predictor: Predictor, photo: np.ndarray) -> None:
    both = predictor.refer(photo, boxes=[OTHER, BOX], tag_threshold=0, top_classes=None)
    assert [r.box for r in both] == [OTHER, BOX]
    for result, box in zip(both, (OTHER, BOX), strict=True):
        assert scores(result) == pytest.approx(scores(ask(predictor, photo, box)), abs=1e-4)


def test_kept_views_change_no_answer(predictor: Predictor, tiny_checkpoint: Path, photo: np.ndarray) -> None:
    ask(predictor, photo, BOX, coefficients=(0, 0.3, 0.6))
    again = ask(predictor, photo, BOX, coefficients=(0, 0.3, 0.9))
    fresh = ask(Predictor.from_pretrained(tiny_checkpoint, "cpu"), photo, BOX, coefficients=(0, 0.3, 0.9))
    assert scores(again) == pytest.approx(scores(fresh), abs=1e-4)
    assert again.caption == pytest.approx(fresh.caption) or again.caption.text == fresh.caption.text


def test_the_same_question_encodes_nothing(predictor: Predictor, photo: np.ndarray, encoded: list[int]) -> None:
    ask(predictor, photo, BOX)
    ask(predictor, photo.copy(), BOX)
    assert sum(encoded) == predictor.num_views


def test_one_slider_moved_encodes_one_view(predictor: Predictor, photo: np.ndarray, encoded: list[int]) -> None:
    ask(predictor, photo, BOX, coefficients=(0, 0.3, 0.6))
    ask(predictor, photo, BOX, coefficients=(0, 0.3, 0.7))
    assert encoded == [3, 1]


def test_the_whole_photograph_is_encoded_once_for_all_boxes(
    predictor: Predictor, photo: np.ndarray, encoded: list[int]
) -> None:
    fractional = (33.3, 21.7, 61.1, 58.9)
    predictor.refer(photo, boxes=[BOX, OTHER, fractional], coefficients=(0, 1))
    assert sum(encoded) == 4


def test_another_photograph_of_the_same_size_is_not_mistaken(
    predictor: Predictor, photo: np.ndarray, encoded: list[int]
) -> None:
    ask(predictor, photo, BOX)
    ask(predictor, 255 - photo, BOX)
    assert encoded == [3, 3]


def test_fewer_views_than_the_model_has_are_filled_with_the_region(
    predictor: Predictor, photo: np.ndarray, encoded: list[int]
) -> None:
    one = ask(predictor, photo, BOX, num_views=1)
    assert encoded == [1]
    assert scores(one) == pytest.approx(scores(ask(predictor, photo, BOX, coefficients=(0, 0, 0))), abs=1e-4)


def test_chosen_views_are_reported_with_their_rank(predictor: Predictor, photo: np.ndarray) -> None:
    views = ask(predictor, photo, BOX, coefficients=(0.5, 0.3, 0.6)).views
    assert [(v.t, v.rank) for v in views] == [(0, 0), (0.3, 1), (0.6, 2)]


def test_random_views_repeat_with_the_generator(predictor: Predictor, photo: np.ndarray) -> None:
    def draw(seed: int) -> list[float]:
        result = ask(predictor, photo, BOX, mode="random", generator=torch.Generator().manual_seed(seed))
        return [v.t for v in result.views if v.rank]

    assert draw(1) == draw(1)
    assert len({tuple(draw(seed)) for seed in range(8)}) > 1


def test_own_classes_are_answered_for(predictor: Predictor, photo: np.ndarray) -> None:
    names = [c.name for c in ask(predictor, photo, BOX, classes=["red dog", "Blue cup", "red dog"]).classes]
    assert sorted(names) == ["Blue cup", "red dog"]


def test_control_words_reach_the_caption(predictor: Predictor, photo: np.ndarray) -> None:
    free = ask(predictor, photo, BOX).caption
    told = ask(predictor, photo, BOX, controls=["dog", "red", "cup"]).caption
    assert (free.text, free.score) != (told.text, told.score)


def test_many_photographs_are_answered_each_with_its_own(predictor: Predictor, photo: np.ndarray) -> None:
    requests = [(photo, [BOX]), (255 - photo, [BOX, OTHER]), (photo, [OTHER])]
    found = list(predictor.refer_many(requests, batch_size=2, tag_threshold=0, top_classes=None))
    assert [len(results) for results in found] == [1, 2, 1]
    for (image, boxes), results in zip(requests, found, strict=True):
        for box, result in zip(boxes, results, strict=True):
            assert scores(result) == pytest.approx(scores(ask(predictor, image, box)), abs=1e-4)


def test_a_request_that_cannot_be_used_costs_itself_alone(predictor: Predictor, photo: np.ndarray) -> None:
    requests: list[Any] = [
        (photo, [BOX]),
        ("nowhere.jpg", [BOX]),
        (photo, [(0, 0, 0, 0)]),
        (photo, None),
        (photo, 5),
        photo,
        (photo, []),
        (photo, [OTHER, BOX]),
    ]
    found = list(predictor.refer_many(requests, batch_size=3, errors="return"))
    assert [len(item) if isinstance(item, list) else type(item) for item in found] == [1, *[InputError] * 6, 2]
    assert "nowhere.jpg" in str(found[1])


def test_answers_before_a_bad_request_are_given_before_its_error(predictor: Predictor, photo: np.ndarray) -> None:
    answers = predictor.refer_many([(photo, [BOX]), (photo, None), (photo, [OTHER])], batch_size=9)
    assert [result.box for result in next(answers)] == [BOX]
    with pytest.raises(InputError, match="none was given"):
        next(answers)


def test_no_more_photographs_than_a_batch_are_taken_at_a_time(predictor: Predictor, photo: np.ndarray) -> None:
    taken: list[int] = []

    def requests() -> Iterator[tuple[np.ndarray, list[tuple[int, ...]]]]:
        for number in range(6):
            taken.append(number)
            yield photo + number, [BOX]

    answers = predictor.refer_many(requests(), batch_size=2)
    next(answers)
    assert taken == [0, 1]


def test_an_array_that_is_filled_anew_for_every_request_is_answered_for_as_it_was(
    predictor: Predictor, photo: np.ndarray
) -> None:
    frame = photo.copy()

    def requests() -> Iterator[tuple[np.ndarray, list[tuple[int, ...]]]]:
        for number in (0, 90):
            frame[:] = photo + number
            yield frame, [BOX]

    first, second = predictor.refer_many(requests(), tag_threshold=0, top_classes=None)
    assert scores(first[0]) == pytest.approx(scores(ask(predictor, photo, BOX)), abs=1e-4)
    assert scores(second[0]) == pytest.approx(scores(ask(predictor, photo + 90, BOX)), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"requests": 5}, "pairs of an image and its boxes"),
        ({"batch_size": 0}, "from 1 on"),
        ({"batch_size": "all"}, "from 1 on"),
        ({"ahead": -1}, "from 0 on"),
        ({"ahead": "all"}, "from 0 on"),
        ({"errors": "ignore"}, '"raise" or "return"'),
        ({"classes": 5}, "list of words"),
    ],
)
def test_requests_are_refused_in_words_before_anything_is_asked(
    predictor: Predictor, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        predictor.refer_many(**{"requests": [], **arguments})


def test_a_question_checked_before_is_answered_and_options_win_over_it(predictor: Predictor, photo: np.ndarray) -> None:
    question = Question.checked(classes=["dog", "cup"], captions=False)
    assert predictor.refer(photo, BOX, question=question).caption is None
    result = predictor.refer(photo, BOX, question=question, classes=["car"])
    assert [entry.name for entry in result.classes] == ["car"]
    assert result.caption is None


def test_each_class_is_scored_by_itself(predictor: Predictor, photo: np.ndarray) -> None:
    alone = ask(predictor, photo, BOX, classes=["red dog"])
    among = ask(predictor, photo, BOX, classes=["cup", "red dog", "car"])
    assert dict_of(among)["red dog"] == pytest.approx(dict_of(alone)["red dog"], abs=1e-5)
    assert alone.none_of_these == pytest.approx(1 - dict_of(alone)["red dog"])
    assert among.none_of_these == pytest.approx(1 - max(dict_of(among).values()))


def test_none_of_these_counts_names_that_are_not_shown_as_well(predictor: Predictor, photo: np.ndarray) -> None:
    every = ask(predictor, photo, BOX)
    assert predictor.refer(photo, BOX, top_classes=1).none_of_these == pytest.approx(every.none_of_these)


def test_scores_are_calibrated_by_the_checkpoint(predictor: Predictor, photo: np.ndarray) -> None:
    plain = ask(predictor, photo, BOX)
    recalibrate(predictor, calibration={"classes": (2.0, -1.0), "attributes": (1.0, 3.0), "tags": (0.5, 0.0)})
    result = ask(predictor, photo, BOX)

    def moved(score: float, scale: float, bias: float) -> float:
        return 1 / (1 + math.exp(-(scale * math.log(score / (1 - score)) + bias)))

    for before, after in zip(plain.classes, result.classes, strict=True):
        assert (after.name, after.score) == (before.name, pytest.approx(moved(before.score, 2, -1), abs=1e-4))
    for before, after in zip(plain.attributes, result.attributes, strict=True):
        assert (after.key, after.score) == (before.key, pytest.approx(moved(before.score, 1, 3), abs=1e-4))
    for before, after in zip(plain.tags, result.tags, strict=True):
        assert (after.name, after.score) == (before.name, pytest.approx(moved(before.score, 0.5, 0), abs=1e-4))


def test_order_outlives_scores_that_round_to_the_same(predictor: Predictor, photo: np.ndarray) -> None:
    plain = ask(predictor, photo, BOX)
    recalibrate(predictor, calibration={"classes": (1.0, 60.0)})
    result = ask(predictor, photo, BOX)
    assert {entry.score for entry in result.classes} == {1.0}
    assert [entry.name for entry in result.classes] == [entry.name for entry in plain.classes]


@pytest.mark.parametrize("options", [{}, {"classes": ["big man", "sitting"]}, {"captions": False}])
def test_an_answer_is_sure_by_the_best_of_the_models_own_names(
    options: dict[str, Any], predictor: Predictor, photo: np.ndarray
) -> None:
    best = ask(predictor, photo, BOX).classes[0].score
    recalibrate(predictor, sure_threshold=best - 1e-4)
    assert ask(predictor, photo, BOX, **options).sure
    recalibrate(predictor, sure_threshold=best + 1e-4)
    assert not ask(predictor, photo, BOX, **options).sure


def test_class_scores_may_count_from_all_of_the_models_own_names(predictor: Predictor, photo: np.ndarray) -> None:
    recalibrate(predictor, relative_classes=1.0)
    own = dict_of(ask(predictor, photo, BOX))
    assert sum(score / (1 - score) for score in own.values()) == pytest.approx(1, abs=1e-4)
    asked = dict_of(ask(predictor, photo, BOX, classes=["cup", "red dog"]))
    assert asked["cup"] == pytest.approx(own["cup"], abs=1e-3)  # whatever list it stands in


def test_class_scores_may_count_from_a_share_of_it(predictor: Predictor, photo: np.ndarray) -> None:
    def odds(share: float) -> float:
        recalibrate(predictor, relative_classes=share)
        score = ask(predictor, photo, BOX, classes=["cup"]).classes[0].score
        return score / (1 - score)

    assert odds(0.5) == pytest.approx(math.sqrt(odds(0.0) * odds(1.0)), rel=1e-3)


def test_own_names_that_people_say_often_are_likelier_and_a_list_of_the_askers_is_not(
    predictor: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = predictor.vocabulary.classes
    recalibrate(predictor, relative_classes=1.0)
    asked = ask(predictor, photo, BOX, classes=names[:2])
    own = dict_of(ask(predictor, photo, BOX))
    monkeypatch.setattr(predictor.inference, "_priors", torch.tensor([math.log(4.0)] + [0.0] * (len(names) - 1)))
    told = dict_of(ask(predictor, photo, BOX))

    def odds(scores: dict[str, float]) -> float:
        return scores[names[0]] / (1 - scores[names[0]]) / (scores[names[1]] / (1 - scores[names[1]]))

    assert odds(told) == pytest.approx(4 * odds(own), rel=1e-2)
    assert ask(predictor, photo, BOX, classes=names[:2]).classes == asked.classes


def test_a_tag_that_is_found_too_often_may_be_held_back(
    predictor: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = predictor.vocabulary.tags
    assert tags[0] in {tag.name for tag in ask(predictor, photo, BOX).tags if tag.score > 1e-4}
    monkeypatch.setattr(predictor.inference, "_tag_priors", torch.tensor([-60.0] + [0.0] * (len(tags) - 1)))
    assert {tag.name for tag in ask(predictor, photo, BOX).tags if tag.score > 1e-4} == set(tags[1:])


def test_own_names_may_have_a_calibration_of_their_own(predictor: Predictor, photo: np.ndarray) -> None:
    names = predictor.vocabulary.classes[:2]
    plain = ask(predictor, photo, BOX, classes=names)
    recalibrate(predictor, calibration={"own_classes": (1.0, 60.0)})
    assert {entry.score for entry in ask(predictor, photo, BOX).classes} == {1.0}
    assert ask(predictor, photo, BOX, classes=names).classes == plain.classes


def test_the_askers_control_words_come_before_predicted_ones_and_are_not_cut(
    predictor: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    language = dataclasses.replace(
        predictor.model.config.language, predicted_controls=32, max_control_tokens=5, end_controls=True
    )
    recalibrate(predictor, language=language, tag_threshold=0.0)
    monkeypatch.setattr(predictor.model.language, "config", language)
    told: list[torch.Tensor] = []
    prompt = predictor.model.language.prompt

    def recording(queries: Any, ids: torch.Tensor, *rest: Any) -> Any:
        told.append(ids)
        return prompt(queries, ids, *rest)

    monkeypatch.setattr(predictor.model.language, "prompt", recording)
    result = ask(predictor, photo, BOX, controls=["cup", "man"])
    tokenizer = predictor.model.language.tokenizer
    read = [tokenizer.id_to_token(number) for number in told[0][0].tolist()]
    assert read == ["cup", ",", "man", ",", "</s>"]
    assert result.notes == ()


def test_control_words_that_are_too_many_for_the_caption_are_noted(predictor: Predictor, photo: np.ndarray) -> None:
    result = ask(predictor, photo, BOX, controls=[f"{word} dog cat cup car" for word in "abcdefghij"])
    assert "word pieces" in result.notes[0]


def test_tags_may_be_limited_to_the_best(predictor: Predictor, photo: np.ndarray) -> None:
    every = ask(predictor, photo, BOX).tags
    assert ask(predictor, photo, BOX, top_tags=2).tags == every[:2]


def test_a_long_class_list_is_scored_in_parts_that_make_no_difference(
    predictor: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["dog", "cat", "cup", "car", "red dog", "big man", "small woman"]
    whole = dict_of(ask(predictor, photo, BOX, classes=names))
    monkeypatch.setattr(inference, "PAIRS_TOGETHER", 2)
    assert dict_of(ask(predictor, photo, BOX, classes=names)) == pytest.approx(whole, abs=1e-5)


def test_warming_up_leaves_what_was_kept(predictor: Predictor, photo: np.ndarray, encoded: list[int]) -> None:
    ask(predictor, photo, BOX)
    assert predictor.warm_up() > 0
    encoded.clear()
    ask(predictor, photo, BOX)
    assert encoded == []


@pytest.mark.parametrize("askers", [1, 3])
def test_a_single_question_is_answered_while_a_batch_is_under_way(
    predictor: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch, askers: int
) -> None:
    """The more seldom, the more people wait for the batch."""
    encode, order = predictor.model.encode, []
    begun, asked = threading.Event(), threading.Event()

    def one_by_one(pixels: torch.Tensor) -> torch.Tensor:
        order.append("batch" if pixels.mean() < 0 else "single")
        if order[-1] == "batch" and not begun.is_set():
            begun.set()
            assert asked.wait(PATIENCE)
            wait_until_somebody_waits(predictor)
        return encode(pixels)

    monkeypatch.setattr(predictor.model, "encode", one_by_one)
    boxes, dark = [(number, 10, number + 40, 60) for number in range(20)], photo // 4
    batch = threading.Thread(target=lambda: list(predictor.refer_many([(dark, boxes)], askers=askers)))
    single = threading.Thread(target=lambda: predictor.refer(255 - dark, BOX))
    batch.start()
    assert begun.wait(PATIENCE)
    single.start()
    asked.set()
    for thread in (single, batch):
        thread.join(PATIENCE)
    assert order[: askers + 2] == [*askers * ["batch"], "single", "batch"]


@pytest.mark.parametrize(
    "question",
    [
        lambda predictor, photo: predictor.refer(photo, BOX, classes=["heron"]),
        lambda predictor, photo: predictor.refer(photo, point=(30, 30)),
        lambda predictor, photo: predictor.propose(photo, words=["dog"]),
        lambda predictor, photo: predictor.box_grid(photo),
        lambda predictor, photo: list(predictor.refer_many([(photo, [BOX, OTHER])], ahead=1)),
        lambda predictor, photo: predictor.use(predictor.checkpoint),
    ],
    ids=["box", "point", "words", "grid", "many", "use"],
)
def test_nothing_is_computed_in_the_threads_of_those_who_ask(
    tiny_checkpoint: Path, photo: np.ndarray, question: Any
) -> None:
    threads: set[int] = set()
    predictor = Predictor.from_pretrained(tiny_checkpoint, "cpu")
    predictor.model.pointing.refiner = Refiner(8).eval()  # type: ignore[union-attr]
    hook = register_module_forward_pre_hook(lambda *_: threads.add(threading.get_ident()))
    with hook, ThreadPoolExecutor(1) as asker:
        asker.submit(question, predictor, photo).result()
    assert threads == {computing.run(threading.get_ident)}


def test_a_single_pixel_can_be_asked_about(predictor: Predictor) -> None:
    assert ask(predictor, np.zeros((1, 1, 3), np.uint8), (0, 0, 1, 1)).box == (0, 0, 1, 1)


def test_a_path_a_pil_image_and_an_array_agree(predictor: Predictor, photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo).save(tmp_path / "p.png")
    answers = [scores(ask(predictor, x, BOX)) for x in (tmp_path / "p.png", Image.fromarray(photo), photo)]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_views": 4}, "from 1 to 3"),
        ({"coefficients": (0, 0.1, 0.2, 0.3)}, "the limit is 3"),
        ({"classes": 5}, "list of words"),
        ({"classes": iter(["dog"])}, "list of words"),
        ({"controls": 3}, "list of words"),
        ({"mode": ["x"]}, "choose one of dynamic"),
        ({"captions": "no"}, "true or false"),
        ({"generator": 5, "mode": "random"}, "torch.Generator"),
        ({"question": {"num_views": 1}}, "must be a Question"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    predictor: Predictor, photo: np.ndarray, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        predictor.refer(photo, BOX, **options)


def test_one_of_box_and_boxes_must_be_given(predictor: Predictor, photo: np.ndarray) -> None:
    with pytest.raises(InputError, match="Give either one box, a list of boxes"):
        predictor.refer(photo)


def test_a_refused_question_leaves_the_next_one_unharmed(predictor: Predictor, photo: np.ndarray) -> None:
    before = scores(ask(predictor, photo, BOX))
    with pytest.raises(InputError):
        predictor.refer(photo, (0, 0, 0, 0))
    assert scores(ask(predictor, photo, BOX)) == before


def test_a_pickled_predictor_is_loaded_where_it_arrives(predictor: Predictor, photo: np.ndarray) -> None:
    arrived = pickle.loads(pickle.dumps(predictor))
    assert arrived.checkpoint is not predictor.checkpoint
    assert (arrived.device, arrived.dtype, arrived.arithmetic) == (torch.device("cpu"), torch.float32, torch.float32)
    answer = arrived.refer(photo, BOX)
    expected = predictor.refer(photo, BOX)
    assert pickle.loads(pickle.dumps(answer)) == answer
    assert dataclasses.replace(answer, timing_ms={}) == dataclasses.replace(expected, timing_ms={})


def test_an_unknown_device_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="not available"):
        Predictor.from_pretrained(tiny_checkpoint, device="abacus")


def test_a_device_that_computes_nothing_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="computes nothing"):
        Predictor.from_pretrained(tiny_checkpoint, device="meta")
