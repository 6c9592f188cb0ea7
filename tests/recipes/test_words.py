import pytest

from recipes.mini.words import content_words, head_noun, misspelled, normalise, tag_words, tidy_caption


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("THERE IS A MAN, looking out.", "there is a man looking out"),
        ("the man ' s hat", "the man's hat"),
        ("a `grey` T-shirt -- & doughnuts", "a gray t-shirt and donuts"),
        ("a cellphone on a surf board", "a cell phone on a surfboard"),
    ],
)
def test_normalising_lowers_strips_punctuation_and_settles_spelling(raw: str, clean: str) -> None:
    assert normalise(raw) == clean


def test_normalising_twice_changes_nothing() -> None:
    once = normalise("The man's   multi-colored kite; it isn't grey!")

    assert normalise(once) == once


def test_letters_of_every_script_are_kept() -> None:
    assert normalise("Un café près de la fenêtre!") == "un café près de la fenêtre"
    assert normalise("नीली कुर्सी, 一只猫。") == "नीली कुर्सी 一只猫"


@pytest.mark.parametrize(
    ("text", "noun"), [("a young girl in water", "girl"), ("two brown dogs", "dog"), ("wheel of a red car", "wheel")]
)
def test_the_head_noun_is_what_a_description_is_about(text: str, noun: str) -> None:
    assert head_noun(text) == noun


def test_nouns_are_singular_and_verbs_are_gerunds() -> None:
    assert content_words("A man rides two horses") == ("man", "riding", "horse")


def test_compounds_are_one_word() -> None:
    assert "tennis racket" in content_words("a girl swings her tennis racquets")
    assert "wine glass" in content_words("two wine glasses on a table")


def test_other_names_of_a_class_become_the_class() -> None:
    assert content_words("a fridge and a sofa") == ("refrigerator", "couch")


def test_function_words_and_possessives_are_no_tags() -> None:
    assert content_words("the man's is of a very next 2") == ()


@pytest.mark.parametrize(("text", "verb"), [("a man rides a wave", "rides"), ("a dog jumps over it", "jumps")])
def test_third_person_after_a_noun_is_a_verb(text: str, verb: str) -> None:
    assert dict(tag_words(text))[verb] == "VBZ"


def test_a_word_in_no_dictionary_is_misspelled_unless_common() -> None:
    assert misspelled("a man trowing a ball", frozenset())
    assert not misspelled("a man trowing a ball", frozenset({"trowing"}))
    assert not misspelled("the man's cream-colored horses", frozenset())


def test_captions_of_three_or_twenty_one_words_are_not_learnt() -> None:
    assert tidy_caption("A big dog.") is None
    assert tidy_caption("a " * 21) is None
    assert tidy_caption("A orange cat sleeping.") == "an orange cat sleeping"
