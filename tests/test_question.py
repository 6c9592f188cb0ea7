"""Every option that anybody may send is taken or refused in one sentence that names the limit."""

import contextlib
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynrefer.errors import InputError
from dynrefer.question import MAX_CLASSES, Question

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def test_no_options_leave_everything_to_the_model() -> None:
    assert Question.checked(None).options() == Question.checked({}).options() == {}


def test_options_are_those_that_differ_from_the_defaults() -> None:
    asked = {"mode": "random", "num_views": 2.0, "classes": ["dog", " big  cat "], "tag_threshold": 0, "top_classes": 5}
    assert Question.checked(asked).options() == {
        "mode": "random",
        "num_views": 2,
        "classes": ("dog", "big cat"),
        "tag_threshold": 0,
    }


def test_keyword_arguments_win_over_a_question() -> None:
    question = Question.checked(Question.checked(num_views=2, top_classes=None), num_views=1)
    assert (question.num_views, question.top_classes) == (1, None)


def test_words_may_be_typed_with_the_separators_of_any_script() -> None:
    question = Question.checked(classes="dog, cat; tea pot\n\ndog，鳥、", controls="")
    assert question.classes == ("dog", "cat", "tea pot", "鳥")
    assert question.controls == ()


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("dog, cat.", ("dog", "cat")),
        ("犬、猫。\n", ("犬", "猫")),
        ("USA, U.S.", ("USA", "U.S.")),
        (["dog."], ("dog.",)),
    ],
)
def test_the_full_stop_of_a_list_typed_as_a_sentence_is_no_part_of_a_name(
    typed: object, names: tuple[str, ...]
) -> None:
    assert Question.checked(classes=typed).classes == names


def test_a_name_of_a_list_keeps_its_commas() -> None:
    assert Question.checked(classes=["bat, animal", "bat"]).classes == ("bat, animal", "bat")


def test_a_field_where_nothing_was_typed_asks_for_the_default_list() -> None:
    assert Question.checked(classes=" ").classes is None


def test_as_many_classes_as_the_largest_vocabularies_have_are_taken() -> None:
    names = [f"thing {number}" for number in range(MAX_CLASSES)]
    assert Question.checked(classes=names + names[:10]).classes == tuple(names)


def test_a_page_may_set_a_smaller_limit() -> None:
    with pytest.raises(InputError, match="at most 3 words; 4 were given"):
        Question.checked(classes="a, b, c, d", max_classes=3)


def test_numbers_of_other_libraries_are_numbers() -> None:
    question = Question.checked(num_views=np.int64(2), tag_threshold=torch.tensor(0.25), captions=np.False_)
    assert (question.num_views, question.tag_threshold, question.captions) == (2, 0.25, False)


def test_a_question_is_plain_data() -> None:
    question = Question.checked(classes=["dog"], coefficients=np.array([0, 0.5]))
    assert hash(question) == hash(Question.checked(json.loads(json.dumps(question.options()))))


def test_the_schema_names_every_option_with_its_limits() -> None:
    schema = Question.model_json_schema()["properties"]
    assert set(schema) == set(Question.model_fields)
    assert schema["num_beams"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 10}
    assert schema["mode"]["anyOf"][0]["enum"][0] == "dynamic"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("dynamic", "object of names and values"),
        ({"shape": 1}, 'no option "shape"; the options are classes'),
        ({5: 1}, "names that are text"),
        ({"mode": "fast"}, 'selection mode "fast"; choose one of dynamic'),
        ({"mode": ["dynamic"]}, "choose one of dynamic"),
        ({"mode": "manual"}, "needs coefficients"),
        ({"hash_method": 3}, "choose one of dct_mean, imagehash"),
        ({"num_views": 4}, "whole number from 1 to 3"),
        ({"num_views": 12}, "whole number from 1 to 3"),
        ({"num_views": 1.5}, "whole number"),
        ({"num_views": True}, "from 1 to"),
        ({"num_views": "2"}, "from 1 to"),
        ({"num_views": 10**400}, "from 1 to"),
        ({"coefficients": [0, 0.1, 0.2, 0.3]}, "4 coefficients, one a view; the limit is 3"),
        ({"coefficients": [0, 0.1], "num_views": 1}, "2 coefficients, one a view; the limit is 1"),
        ({"coefficients": []}, "at least one coefficient"),
        ({"coefficients": [0, 1.1]}, "from 0"),
        ({"coefficients": [0, float("nan")]}, "finite"),
        ({"coefficients": 3}, "list of numbers"),
        ({"coefficients": [0, 0.5], "mode": "random"}, "for the mode manual"),
        ({"tag_threshold": float("nan")}, "from 0 to 1"),
        ({"tag_threshold": 2}, "from 0 to 1"),
        ({"tag_threshold": "0.5"}, "from 0 to 1"),
        ({"top_classes": 0}, "from 1 to 20000"),
        ({"top_tags": 0}, "from 1 to 20000"),
        ({"captions": "no"}, "true or false"),
        ({"captions": 1}, "true or false"),
        ({"classes": [1, 2]}, 'list of texts, and "1" is none'),
        ({"classes": {"dog": 1}}, "list of words"),
        ({"classes": []}, "class list is empty"),
        ({"classes": [str(number) for number in range(MAX_CLASSES + 1)]}, "at most 20000 words; 20001 were given"),
        ({"classes": ["x" * 201]}, "201 characters; the limit is 200"),
        ({"controls": "word " * 2_000}, "the limit is 200"),
        ({"controls": ",".join(map(str, range(21)))}, "at most 20 words"),
        ({"num_beams": 11}, "from 1 to 10"),
        ({"max_new_tokens": 10**9}, "from 1 to 64"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_sentence(options: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        Question.checked(options, max_views=3)
    assert len(str(refused.value)) < 250
    assert "\n" not in str(refused.value)


@given(name=st.sampled_from(list(Question.model_fields)), value=ANYTHING)
def test_whatever_a_client_sends_is_taken_or_refused_in_words(name: str, value: Any) -> None:
    with contextlib.suppress(InputError):
        assert set(Question.checked({name: value}, max_views=3).options()) <= {name}


def test_a_first_coefficient_that_is_not_looked_at_is_noted() -> None:
    (note,) = Question.checked(coefficients=[0.2, 0.5]).notes
    assert "0.2 was not looked at" in note
    assert Question.checked(coefficients=[0, 0.5]).notes == ()


def test_words_of_another_script_are_taken_with_a_note() -> None:
    (note,) = Question.checked(classes=["Hund", "naïve café", "猫", "собака"]).notes
    assert note == '"猫" and 1 more may mean little to this model, which reads English.'
    assert Question.checked(classes=["tea pot", "T-shirt 2"]).notes == ()
