"""Words of captions in any language, and English articles."""

import pytest

from dynrefer.datasets.words import class_text, clean_caption, content_words, fix_articles, said_tags


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Un café près de la fenêtre.", "un café près de la fenêtre"),
        ("一只小狗。", "一只小狗"),
        ("नीली कुर्सी", "नीली कुर्सी"),
        ("  The man’s \t T-shirt, (red)! ", "the man's t-shirt red"),
        ("e\u0301te\u0301", "été"),
        ("3.5-inch disk", "3 5-inch disk"),
    ],
)
def test_captions_keep_every_letter(raw: str, clean: str) -> None:
    assert clean_caption(raw) == clean


def test_content_words_are_singular_and_without_function_words() -> None:
    assert content_words("Two dogs on the beaches, near a bus") == ("two", "dog", "beach", "bus")


def test_neighbours_are_tags_of_two_words() -> None:
    assert said_tags("a girl with two tennis rackets") == {
        "girl",
        "two",
        "tennis",
        "racket",
        "two tennis",
        "tennis racket",
    }


@pytest.mark.parametrize(
    "right",
    "an unidentified man;a ukulele;an heirloom;an hour;an umbrella;a uniform;an 8 year old;an x-ray;an mri;a european;"
    "an herb;a one-way sign;an SUV;an orange cat;a university;an 18 wheeler;a utensil;a unicorn;a u-turn;a usb stick;"
    "a ufo;an hdmi cable;an lcd screen;an mp3 player;a mr smith;a lamp;a rhythm".split(";"),
)
def test_articles_fit_the_sound_of_the_next_word(right: str) -> None:
    article, rest = right.split(" ", 1)
    assert fix_articles(f"{'a' if article == 'an' else 'an'} {rest}") == right


@pytest.mark.parametrize(
    ("name", "text"),
    [("dog", "a dog"), ("Umbrella", "an umbrella"), ("skis", "skis"), ("wine glasses", "wine glasses"), ("猫", "猫")],
)
def test_a_class_is_told_with_its_article(name: str, text: str) -> None:
    assert class_text(name) == text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("A dog\ud83d on the grass", "a dog on the grass"),
        ("می‌خواهم", "می‌خواهم"),
        ("\u202eun\u00adbreakable\u200b cups", "unbreakable cups"),
        ("¿Un perro? ¡Sí!", "un perro sí"),
        ("कुत्ता।", "कुत्ता"),
    ],
    ids=["cut emoji", "persian", "marks", "spanish", "hindi"],
)
def test_what_cannot_be_seen_is_no_letter_and_letters_stay(raw: str, clean: str) -> None:
    assert clean_caption(raw) == clean
