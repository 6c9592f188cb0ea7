"""The words that regions are compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
import torch

from dynrefer.errors import InputError
from dynrefer.vocabulary import AttributeWord, Vocabulary, best_of_groups


def test_the_best_template_of_each_attribute_counts() -> None:
    logits = torch.tensor([[0.1, 0.7, -0.3, 0.2]])
    best = best_of_groups(logits, torch.tensor([0, 0, 1, 2]), 3)
    assert best.tolist() == [pytest.approx([0.7, -0.3, 0.2])]


def test_priors_are_kept_in_the_file() -> None:
    words = Vocabulary(("dog",), (), ("dog", "cat"), class_priors=(0.5, -0.25), tag_priors=(-1.5,))
    assert Vocabulary.from_json(words.to_json()) == words


@pytest.mark.parametrize("priors", [{"class_priors": [0.5]}, {"tag_priors": [0.5, 0.5]}])
def test_priors_that_are_not_one_a_word_are_refused(priors: dict[str, list[float]]) -> None:
    words = json.loads(Vocabulary(("dog",), (), ("dog", "cat")).to_json())
    with pytest.raises(InputError, match=r"vocabulary\.json"):
        Vocabulary.from_json(json.dumps(words | priors))


def test_more_and_fewer_classes_keep_each_its_prior_and_embedding() -> None:
    red = AttributeWord("red", "color", ("the red color",))
    words = Vocabulary(("dog",), (red,), ("dog", "cat"), class_priors=(0.5, -0.25))
    words = words.embedded(lambda texts: torch.ones(len(texts), 2))
    more = words.with_more_classes(["teapot"], torch.zeros(1, 2))
    assert (more.classes, more.class_priors) == (("dog", "cat", "teapot"), (0.5, -0.25, 0.0))
    few = more.with_classes_at([2, 1])
    assert (few.classes, few.class_priors) == (("teapot", "cat"), (0.0, -0.25))
    assert few.embeddings["classes"].tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_a_typed_name_that_is_among_the_own_classes_lies_where_training_moved_it() -> None:
    learnt = {"tags": torch.tensor([[0.0, 3.0]]), "attributes": torch.ones(1, 2), "classes": torch.tensor([[2.0, 0.0]])}
    red = AttributeWord("red", "color", ("the red color",))
    words = Vocabulary(("dog",), (red,), ("dog",)).with_embeddings(learnt)
    asked: list[list[str]] = []

    def embed(texts: Sequence[str]) -> torch.Tensor:
        asked.append(list(texts))
        return torch.ones(len(texts), 2)

    assert words.learnt([" Dog", "wombat"], embed, "classes").tolist() == [[2.0, 0.0], [1.0, 1.0]]
    assert words.learnt([" Dog", "wombat"], embed, "tags").tolist() == [[0.0, 3.0], [1.0, 1.0]]
    assert asked == [["the wombat"], ["wombat"]]


def test_a_tag_that_is_no_class_stays_as_it_was_typed() -> None:
    learnt = {"tags": torch.zeros(1, 2), "attributes": torch.ones(1, 2), "classes": torch.zeros(1, 2)}
    red = AttributeWord("red", "color", ("the red color",))
    words = Vocabulary(("furry",), (red,), ("dog",)).with_embeddings(learnt)
    assert words.learnt(["furry"], lambda texts: torch.ones(len(texts), 2), "tags").tolist() == [[1.0, 1.0]]
