"""The words after `--views`, and views by chance."""

from pathlib import Path
from typing import Any

import pytest

from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.evaluation.predictions import by_views
from dynrefer.evaluation.scoring import parse_views, views_in_words


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (None, {}),
        ("dynamic", {"mode": "dynamic"}),
        ("random", {"mode": "random"}),
        ("prior:attributes", {"mode": "prior:attributes"}),
        ("1 view", {"num_views": 1}),
        ("3 views", {"num_views": 3}),
        ("2", {"num_views": 2}),
        ("random 2 views", {"mode": "random", "num_views": 2}),
        ("t=0.5,0.3", {"coefficients": (0.0, 0.3, 0.5)}),
        ("t=0", {"coefficients": (0.0,)}),
    ],
)
def test_words_become_options_of_the_question(words: str | None, options: dict[str, Any]) -> None:
    assert parse_views(words) == options


@pytest.mark.parametrize(
    "words", ["t=", "t=2", "t=a", "fovea", "0 views", "99 views", "dynamic views", "t=nan", "manual"]
)
def test_words_that_mean_nothing_are_refused(words: str) -> None:
    with pytest.raises(InputError, match="is not understood"):
        parse_views(words)


@pytest.mark.parametrize("words", ["dynamic", "2 views", "1 view", "random 2 views", "t=0.3,0.5", "t=0"])
def test_the_name_of_views_reads_back_as_the_same_views(words: str) -> None:
    assert views_in_words(parse_views(words)) == words


def some(count: int) -> list[Sample]:
    return [Sample(Path(f"{n}.jpg"), str(n), None, (0, 0, 9, 9), (), str(n), "val") for n in range(count)]


def drawn(regions: list[Sample], seed: int = 0) -> dict[str, tuple[float, ...]]:
    views = {"mode": "random", "num_views": 3}
    return {
        region.key: options["coefficients"] for options, alike in by_views(regions, views, seed) for region in alike
    }


def test_random_views_of_a_region_depend_on_seed_and_region_alone() -> None:
    regions = some(20)
    views = drawn(regions)
    assert drawn(regions[7:]).items() <= views.items()
    assert drawn(regions[::-1]) == views
    assert len(set(views.values())) > 10
    assert drawn(regions, seed=1) != views


def test_random_views_are_the_region_and_different_candidates() -> None:
    for steps in drawn(some(50)).values():
        assert steps[0] == 0 and len(set(steps)) == 3
        assert all(0 < t <= 1 for t in steps[1:])
