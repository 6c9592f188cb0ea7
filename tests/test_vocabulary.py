"""The words that regions are compared with."""

from __future__ import annotations

import pytest
import torch

from dynrefer.errors import InputError
from dynrefer.vocabulary import Vocabulary, best_of_groups


def test_the_best_template_of_each_attribute_counts() -> None:
    logits = torch.tensor([[0.1, 0.7, -0.3, 0.2]])
    best = best_of_groups(logits, torch.tensor([0, 0, 1, 2]), 3)
    assert best.tolist() == [pytest.approx([0.7, -0.3, 0.2])]


def test_priors_of_class_names_are_kept_in_the_file() -> None:
    words = Vocabulary(("dog",), (), ("dog", "cat"), class_priors=(0.5, -0.25))
    assert Vocabulary.from_json(words.to_json()) == words


def test_priors_that_are_not_one_a_class_are_refused() -> None:
    text = Vocabulary(("dog",), (), ("dog", "cat"), class_priors=(0.5,)).to_json()
    with pytest.raises(InputError, match=r"vocabulary\.json"):
        Vocabulary.from_json(text)
