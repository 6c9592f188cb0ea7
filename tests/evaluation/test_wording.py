"""Slips of grammar, head nouns and right nouns."""

import pytest

from dynrefer.evaluation import wording


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("a tall trees in a park", ["a tall trees"]),
        ("a buildings with a green plants", ["a buildings", "a green plants"]),
        ("an elephants", ["an elephants"]),
        ("a white and white cat", ["white and white"]),
        ("a dog dog on grass", ["dog dog"]),
    ],
)
def test_slips_are_quoted(caption: str, found: list[str]) -> None:
    assert wording.slips(caption) == found


@pytest.mark.parametrize(
    "caption",
    [
        "a bus on a street",
        "a man holding two bags",
        "a woman smiles",
        "a sports ball on the grass",
        "a few people",
        "a pair of shoes",
        "a glass of wine and a dress",
        "black and white cat",
        "the trees behind a house",
    ],
)
def test_good_english_has_no_slip(caption: str) -> None:
    assert wording.slips(caption) == []


@pytest.mark.parametrize(
    ("text", "noun"),
    [
        ("A man in a red shirt is riding a horse", "man"),
        ("two boys", "boy"),
        ("a basketball player jumping", "player"),
        ("young children playing soccer", "child"),
        ("red", None),
    ],
)
def test_the_head_noun_is_what_a_description_is_of(text: str, noun: str | None) -> None:
    assert wording.head_noun(text) == noun


@pytest.mark.parametrize(
    ("caption", "noun", "right"),
    [
        ("two puppies on the grass", "dog", True),
        ("a man in a red shirt", "person", True),
        ("traffic lights above a road", "traffic light", True),
        ("a hot dog on a plate", "hot dog", True),
        ("a cat", "dog", False),
        ("a carpet", "car", False),
    ],
)
def test_a_caption_is_right_that_has_the_noun_or_a_word_for_it(caption: str, noun: str, right: bool) -> None:
    assert wording.names_one_of(caption, [noun]) is right


def test_different_captions_are_counted_once_each() -> None:
    assert wording.different(["a dog", "a dog", "a cat", "a cup"]) == 0.75
