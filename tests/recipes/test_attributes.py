import random

import pytest

from recipes.mini.attributes import Labels, attribute_phrases, attribute_tags
from recipes.mini.derive import Known, region_texts


def labels(*having: str, denied: tuple[str, ...] = (), unknown: tuple[str, ...] = ()) -> Labels:
    names = (*having, *denied, *unknown)
    return Labels(names, [1] * len(having) + [0] * len(denied) + [-1] * len(unknown))


def phrases(class_name: str, known: Labels) -> set[str]:
    return {text for seed in range(20) for text in attribute_phrases(class_name, known, random.Random(seed))}


def test_colours_come_before_the_material_and_the_noun() -> None:
    assert phrases("bench", labels("color:brown", "material:wood/wooden")) == {"a brown bench", "a brown wooden bench"}


def test_at_most_four_phrases_a_box_all_different() -> None:
    known = labels(
        "size:big/large", "color:red", "material:metal", "pattern:striped/lined", "cleanliness:unclean/dirty"
    )

    found = attribute_phrases("fire hydrant", known, random.Random(0))

    assert len(found) == len(set(found)) == 4


def test_a_person_is_named_by_gender_and_age() -> None:
    young_woman = labels("gender:female/woman/girl", "maturity:young/baby", "position:sitting/sit")

    assert phrases("person", young_woman) == {"a girl sitting"}


def test_a_person_of_unknown_gender_is_a_person() -> None:
    assert phrases("person", labels("clothes color:red", unknown=("gender:male/man",))) == {
        "a person in red",
        "a person wearing red clothes",
    }


def test_nothing_is_said_where_nothing_is_known() -> None:
    assert phrases("cup", labels(denied=("color:red",), unknown=("material:glass",))) == set()


def test_an_orange_is_not_called_an_orange_orange() -> None:
    assert phrases("orange", labels("color:orange")) == set()


def test_groups_are_plural() -> None:
    assert phrases("knife", labels("group:group/bunch/collection", "color:gray")) == {"a group of gray knives"}


@pytest.mark.parametrize(("value", "tags"), [(1, {"brown", "wooden"}), (0, {"red"}), (-1, {"large"})])
def test_tags_follow_the_labels_value(value: int, tags: set[str]) -> None:
    known = labels("color:brown", "material:wood/wooden", denied=("color:red",), unknown=("size:big/large",))

    assert attribute_tags("bench", known, value) == tags


def test_a_persons_colours_are_those_of_the_clothes() -> None:
    assert attribute_tags("person", labels("clothes color:black", "gender:male/man")) == {"black clothes", "man"}


def grounded(caption: str, *boxes: Known) -> list[str]:
    texts = region_texts([caption], boxes, random.Random(0))
    return [text.text for text in texts[0] if text.source == "grounded"]


def test_a_grounded_caption_gains_the_colour_it_lacks() -> None:
    known = labels("color:brown", "color:white", denied=("color:black",))

    assert grounded("a dog lying on a couch", Known("dog", 0.2, known)) == ["a brown and white dog lying on a couch"]


def test_a_grounded_caption_that_names_a_colour_keeps_it() -> None:
    known = labels("color:brown", denied=("color:black",))

    assert grounded("a tan dog lying on a couch", Known("dog", 0.2, known)) == ["a tan dog lying on a couch"]


def test_a_caption_that_labels_deny_means_another_object() -> None:
    assert grounded("a black dog on a couch", Known("dog", 0.2, labels("color:brown", denied=("color:black",)))) == []
    assert grounded("a man on a couch", Known("person", 0.2, labels("gender:female/woman"))) == []


def test_a_dressed_person_gets_no_second_outfit() -> None:
    known = labels("clothes color:red", "gender:male/man")

    assert grounded("a man in a red shirt on a couch", Known("person", 0.2, known)) == [
        "a man in a red shirt on a couch"
    ]


def test_every_box_has_its_class_as_last_text() -> None:
    texts = region_texts([], [Known("umbrella", 0.2), Known("skis", 0.1)], random.Random(0))

    assert [[(text.text, text.source) for text in found] for found in texts] == [
        [("an umbrella", "class")],
        [("skis", "class")],
    ]
