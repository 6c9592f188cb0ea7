import pytest

from recipes.mini.names import as_name, head_nouns

COMPOUNDS = frozenset({"tennis racket", "bowl of soup", "swimming pool"})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("yellow lunch container with broccoli", ["container"]),
        ("edge of a disc", ["disc"]),
        ("a black and white dog", ["dog"]),
        ("tennis racket swung low", ["tennis racket", "racket"]),
        ("the man's red hat", ["hat"]),
        ("two young men in suits", ["man"]),
        ("a painted wall", ["wall"]),
        ("a swimming pool behind a house", ["swimming pool", "pool"]),
        ("sitting", ["sitting"]),
        ("lower", []),
        ("", []),
    ],
)
def test_a_text_is_about_the_head_of_its_first_noun_phrase(text: str, names: list[str]) -> None:
    assert head_nouns(text, COMPOUNDS) == names


def test_what_a_bowl_holds_is_named_as_well() -> None:
    assert head_nouns("a bowl of soup", COMPOUNDS) == ["bowl", "bowl of soup", "soup"]


def test_names_end_in_the_singular() -> None:
    assert as_name("Cowboy Boots") == "cowboy boot"
    assert as_name("sunglasses") == "sunglasses"
