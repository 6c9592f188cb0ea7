"""Links to a question."""

import re
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynrefer.errors import InputError
from dynrefer.examples import read_examples
from dynrefer.question import MOST_NAMES, Question
from dynrefer.ui.links import read_link, write_link

BOX = [258.0, 148.0, 594.0, 658.0]
LINK_START = re.compile("^[?#]")


def query(question: Question, example: str = "teddy-bear") -> str:
    return LINK_START.sub("", write_link(example, BOX, question))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"coefficients": (0.0, 0.3), "num_beams": 1},
        {"mode": "random", "num_views": 1, "classes": ("tea pot", "dög & cat"), "controls": ("a=b",), "num_beams": 5},
        {"tag_threshold": 0.25, "max_new_tokens": 9},
        {"classes": tuple(f"a rather long name of a class {number}" for number in range(MOST_NAMES))},
    ],
)
def test_a_link_asks_what_it_was_made_from(options: dict[str, Any]) -> None:
    question = Question.checked(options)
    link = read_link(query(question), 3)
    assert link.example.name == "teddy-bear"
    assert link.box == BOX
    assert link.question == question


def test_usual_choices_make_a_short_link() -> None:
    assert write_link("puppy", BOX, Question()) == "?example=puppy&box=258,148,594,658"


def test_a_link_too_long_for_a_request_stands_behind_the_hash() -> None:
    question = Question.checked(classes=[f"name {number}" for number in range(500)])
    assert write_link("puppy", BOX, question).startswith("#example=puppy&")


def test_manual_views_are_written_by_their_coefficients_alone() -> None:
    manual = Question.checked(coefficients=(0.0, 0.35))
    assert write_link("puppy", [10.04, 20, 30, 40], manual) == "?example=puppy&box=10,20,30,40&t=0,0.35"


def test_every_example_has_a_name_of_its_own() -> None:
    names = [example.name for example in read_examples()]
    assert len(set(names)) == len(names)
    assert all(quote(name) == name for name in names)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("example=unicorn", "no example.*puppy"),
        ("box=1,2,3,4", "no example"),
        ("example=puppy&box=1,2,x,4", "not a number"),
        ("example=puppy&t=0,far", "In the link, t must"),
        ("example=puppy&t=0,2", "from 0"),
        ("example=puppy&t=0,0.1,0.2,0.3", "limit is 3"),
        ("example=puppy&mode=best", "no selection mode"),
        ("example=puppy&views=9", "from 1 to 3"),
        ("example=puppy&beams=many", "In the link, beams must"),
        ("example=puppy&classes=" + "x" * 201, "limit is 200"),
        ("x" * 2_000_000, "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_link_gets_a_sentence(query: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_link(query, 3)


@given(st.text(max_size=200))
def test_any_query_is_read_or_refused_in_words(query: str) -> None:
    for text in (query, f"example=puppy&box={query}", f"t={query}&views={query}"):
        with suppress(InputError):
            read_link(text, 3)
