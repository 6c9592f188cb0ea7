import numpy as np
import pytest

from recipes.mini.calibrate import FEWEST_KNOWN, tag_priors
from recipes.mini.targets import UNKNOWN


def test_a_tag_that_is_found_more_often_than_it_is_true_is_held_back() -> None:
    regions = 4 * FEWEST_KNOWN
    labels = np.full((regions, 3), UNKNOWN)
    labels[: FEWEST_KNOWN + 10, 0] = [1] * 9 + [0] * (FEWEST_KNOWN + 1)  # true of 10 in 80, with what is added to both
    labels[: FEWEST_KNOWN + 10, 1] = 1  # true more often than found
    labels[: FEWEST_KNOWN // 2, 2] = 0  # too few to say
    logits = np.zeros((regions, 3))  # each found in half of the regions
    found, often, rare = tag_priors(labels, logits, (2.0, 0.0))
    assert 1 / (1 + np.exp(-2 * found)) == pytest.approx(10 / 80, abs=1e-2)
    assert (often, rare) == (0, 0)
