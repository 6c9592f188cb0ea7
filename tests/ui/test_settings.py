"""Every value a client can forge is checked, and refused with a sentence that names the limit."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynrefer.errors import InputError
from dynrefer.ui.settings import Settings

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def test_no_options_leave_everything_to_the_predictor() -> None:
    assert Settings.parse(None, 3).arguments() == {}


def test_options_become_the_predictors_arguments() -> None:
    options = {"mode": "random", "num_views": 2.0, "classes": ["dog", " big  cat "], "tag_threshold": 0, "num_beams": 1}
    assert Settings.parse(options, 3).arguments() == {
        "mode": "random",
        "num_views": 2,
        "classes": ("dog", "big cat"),
        "tag_threshold": 0.0,
        "num_beams": 1,
    }


def test_words_may_be_typed_with_commas_semicolons_and_lines() -> None:
    settings = Settings.parse({"classes": "dog, cat; tea pot\n\ndog", "controls": ""}, 3)
    assert settings.classes == ("dog", "cat", "tea pot")
    assert settings.controls is None


def test_coefficients_count_in_manual_mode_only() -> None:
    coefficients = {"coefficients": [0, 0.4]}
    assert "coefficients" in Settings.parse({"mode": "manual", **coefficients}, 3).arguments()
    assert "coefficients" not in Settings.parse({"mode": "dynamic", **coefficients}, 3).arguments()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("dynamic", "object of names and values"),
        ({"shape": 1}, 'no option "shape"'),
        ({"mode": "fast"}, "choose one of dynamic"),
        ({"mode": ["dynamic"]}, "choose one of dynamic"),
        ({"num_views": 4}, "from 1 to 3"),
        ({"num_views": 1.5}, "whole number"),
        ({"num_views": True}, "from 1 to 3"),
        ({"num_views": "2"}, "from 1 to 3"),
        ({"coefficients": [0, 0.1, 0.2, 0.3]}, "takes 1 to 3"),
        ({"coefficients": [0, 1.1]}, "from 0"),
        ({"tag_threshold": float("nan")}, "from 0 to 1"),
        ({"classes": [1, 2]}, "texts"),
        ({"classes": {"dog": 1}}, "list of words"),
        ({"classes": [str(number) for number in range(10_000)]}, "1000"),
        ({"classes": "x" * 101}, "100 characters"),
        ({"controls": "word " * 2_000}, "60 characters"),
        ({"controls": ",".join(map(str, range(21)))}, "20"),
        ({"num_beams": 11}, "from 1 to 10"),
        ({"max_new_tokens": 10**9}, "from 1 to 60"),
    ],
)
def test_a_forged_value_is_refused_in_words(options: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        Settings.parse(options, 3)
    assert len(str(refused.value)) < 250


@given(name=st.sampled_from(list(Settings.__dataclass_fields__)), value=ANYTHING)
def test_whatever_a_client_sends_is_taken_or_refused_in_words(name: str, value: Any) -> None:
    with contextlib.suppress(InputError):
        assert set(Settings.parse({name: value}, 3).arguments()) <= {name}
