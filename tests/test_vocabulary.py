"""The words that regions are compared with."""

from __future__ import annotations

import pytest
import torch

from dynrefer.vocabulary import best_of_groups


def test_the_best_template_of_each_attribute_counts() -> None:
    logits = torch.tensor([[0.1, 0.7, -0.3, 0.2]])
    best = best_of_groups(logits, torch.tensor([0, 0, 1, 2]), 3)
    assert best.tolist() == [pytest.approx([0.7, -0.3, 0.2])]
