import pytest

from recipes.mini.grounding import ground_caption, sole_boxes

CLASSES = {"person", "dog", "bench", "skateboard", "bed", "umbrella", "sheep", "cat", "sink", "tennis racket"}


def texts(caption: str, name: str) -> list[str]:
    return [
        " ".join([*phrase.qualities, *phrase.modifiers, phrase.noun, *phrase.tail]).replace("_", " ")
        for found, phrase in ground_caption(caption, CLASSES)
        if found == name
    ]


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("A man sits on a bench.", "man sitting on a bench"),
        ("There is a dog that is lying on the grass", "dog lying on the grass"),
        ("The cat has a long tail", "cat with a long tail"),
        ("A man who is asleep on a couch", "man asleep on a couch"),
        ("A brown and white dog runs on the beach", "brown and white dog running on the beach"),
    ],
)
def test_the_subjects_verb_becomes_a_participle(caption: str, text: str) -> None:
    assert texts(caption, caption_class(text)) == [text]


def caption_class(text: str) -> str:
    return next(name for word, name in {"man": "person", "dog": "dog", "cat": "cat"}.items() if word in text.split())


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("A man sits on a bench while a dog runs around", "man sitting on a bench"),
        ("A man riding a horse in this old photo", "man riding a horse"),
        ("A man standing on a hill and a dog looking at him", "man standing on a hill"),
    ],
)
def test_what_is_said_of_others_is_cut(caption: str, text: str) -> None:
    assert texts(caption, "person") == [text]


def test_an_object_is_described_by_who_holds_it() -> None:
    assert texts("a woman holding a red umbrella", "umbrella") == ["red umbrella held by a woman"]


def test_a_place_is_described_by_who_rests_on_it() -> None:
    assert texts("a gray cat is sleeping on a bed", "bed") == ["bed with a gray cat sleeping on it"]


def test_an_owners_clothes_are_not_said_of_the_place() -> None:
    assert texts("two women sitting on a bed in their underwear", "bed") == []


@pytest.mark.parametrize(
    "caption",
    [
        "Two dogs run on the beach",
        "Four sheep standing in a field",
        "A dog and another dog on the beach",
        "A dog bowl on the floor",
        "Some sheep graze in a green field",
    ],
)
def test_plurals_repeated_nouns_and_compounds_are_not_grounded(caption: str) -> None:
    assert texts(caption, "dog") + texts(caption, "sheep") == []


def test_people_are_not_described_by_their_colour() -> None:
    assert texts("a black man sitting on a bench", "person") == ["man sitting on a bench"]


def test_nouns_before_the_noun_are_kept_apart_from_adjectives() -> None:
    [(_, phrase)] = ground_caption("a white bathroom sink", CLASSES)

    assert (phrase.qualities, phrase.modifiers, phrase.noun) == (("white",), ("bathroom",), "sink")


@pytest.mark.parametrize(
    ("areas", "sole"),
    [((0.31, 0.1), {"dog": 0}), ((0.1, 0.31), {"dog": 1}), ((0.3, 0.11), {}), ((0.009,), {}), ((0.01,), {"dog": 0})],
)
def test_a_noun_means_a_box_three_times_the_next_and_one_percent_of_the_image(
    areas: tuple[float, ...], sole: dict[str, int]
) -> None:
    assert sole_boxes(["dog"] * len(areas), areas) == sole
