import random

import pytest
from tokenizers import Tokenizer

from recipes.mini.texts import WriterText
from recipes.mini.tokenizer import word_tokenizer

NAMES = ["bridge", "tree frog", "axolotl"]
TEXTS = [
    WriterText("a gray bridge over a river", "thing", ["bridge", "gray"]),
    WriterText("a green frog on a leaf", "described", ["frog", "green"]),
    WriterText("two people walking in a park", "scene", None),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return word_tokenizer(TEXTS, NAMES, size=150)


def test_every_given_name_is_one_piece_a_word(tokenizer: Tokenizer) -> None:
    assert [tokenizer.encode(name).tokens for name in NAMES] == [["▁bridge"], ["▁tree", "▁frog"], ["▁axolotl"]]


def test_a_word_it_never_saw_comes_back_as_it_was(tokenizer: Tokenizer) -> None:
    letters = list("bridgefroxlt")
    random.Random(0).shuffle(letters)
    word = "".join(letters)

    assert tokenizer.decode(tokenizer.encode(word).ids) == word


def test_marks_of_control_texts_are_pieces_of_their_own(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode("frog,green|", add_special_tokens=False).tokens

    assert tokens[1] == "," and tokens[-1] == "|"


def test_padding_and_end_have_the_places_that_the_writer_expects(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_to_id(piece) for piece in ("<pad>", "</s>", "<unk>")] == [0, 1, 2]
