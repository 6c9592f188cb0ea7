"""The words after `--views`."""

import pytest

from dynrefer.errors import InputError
from dynrefer.evaluation.view_request import ViewRequest


@pytest.mark.parametrize(
    ("words", "arguments"),
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
def test_words_become_arguments_of_the_predictor(words: str | None, arguments: dict[str, object]) -> None:
    assert ViewRequest.parse(words).arguments() == arguments


def test_what_is_left_open_is_filled_in_from_the_predictor() -> None:
    assert str(ViewRequest.parse(None).resolved("dynamic", 3)) == "dynamic 3 views"
    assert str(ViewRequest.parse("random").resolved("dynamic", 3)) == "random 3 views"
    assert str(ViewRequest.parse("t=0.3").resolved("dynamic", 3)) == "t=0.3"


@pytest.mark.parametrize("words", ["t=", "t=2", "t=a", "fovea", "0 views", "dynamic views", "t=nan"])
def test_words_that_mean_nothing_are_refused(words: str) -> None:
    with pytest.raises(InputError, match="is not understood"):
        ViewRequest.parse(words)


@pytest.mark.parametrize("words", ["dynamic", "2 views", "1 view", "random 2 views", "t=0.3,0.5", "t=0"])
def test_the_name_of_a_request_reads_back_as_the_same_request(words: str) -> None:
    assert str(ViewRequest.parse(words)) == words
