"""Links to a question, and photographs that a browser kept."""

import base64
import io
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dynrefer.errors import InputError
from dynrefer.ui.files import read_examples
from dynrefer.ui.keeper import save_kept
from dynrefer.ui.links import name_of, read_link, write_link
from dynrefer.ui.settings import Settings

USUAL = Settings(mode="dynamic", num_views=3, num_beams=3, max_new_tokens=24)
BOX = [258.0, 148.0, 594.0, 658.0]


@pytest.mark.parametrize(
    "settings",
    [
        USUAL,
        Settings(mode="manual", num_views=2, coefficients=(0.0, 0.3), num_beams=1, max_new_tokens=24),
        Settings(mode="prior:caption", num_views=1, classes=("tea pot", "dög & cat"), controls=("a=b",), num_beams=5),
    ],
)
def test_a_link_asks_what_it_was_made_from(settings: Settings) -> None:
    link = read_link(write_link("teddy-bear", BOX, settings, USUAL), 3)
    assert link.example is not None
    assert name_of(link.example) == "teddy-bear"
    assert link.box == BOX
    for name, usual in vars(USUAL).items():
        assert getattr(link.settings, name) in (getattr(settings, name), None)
        if getattr(settings, name) not in (None, usual):
            assert getattr(link.settings, name) == getattr(settings, name)


def test_usual_choices_make_a_short_link() -> None:
    assert write_link("puppy", BOX, USUAL, USUAL) == "example=puppy&box=258,148,594,658"


def test_manual_views_are_written_by_their_coefficients_alone() -> None:
    manual = Settings(mode="manual", num_views=2, coefficients=(0.0, 0.35))
    assert write_link(None, [10.04, 20, 30, 40], manual, USUAL) == "box=10,20,30,40&t=0,0.35"


def test_every_example_has_a_name_of_its_own() -> None:
    names = [name_of(example) for example in read_examples()]
    assert len(set(names)) == len(names)
    assert all(quote(name) == name for name in names)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("example=unicorn", "no example.*puppy"),
        ("example=puppy&box=1,2,x,4", "not a number"),
        ("example=puppy&t=0,far", "In the link, t must"),
        ("example=puppy&t=0,2", "from 0"),
        ("example=puppy&t=0,0.1,0.2,0.3", "1 to 3"),
        ("example=puppy&mode=best", "no selection mode"),
        ("example=puppy&views=9", "from 1 to 3"),
        ("example=puppy&beams=many", "In the link, beams must"),
        ("example=puppy&classes=" + "x" * 200, "at most 100"),
        ("x" * 100_000, "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_link_gets_a_sentence(query: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_link(query, 3)


@given(st.text(max_size=200))
def test_any_query_is_read_or_refused_in_words(query: str) -> None:
    for text in (query, f"example=puppy&box={query}", f"t={query}&views={query}"):
        with suppress(InputError):
            read_link(text, 3)


def test_a_photograph_kept_as_a_data_url_becomes_a_file(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 30, 40)).save(buffer, "JPEG")
    path = save_kept("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), str(tmp_path))
    assert tmp_path in Path(path).parents
    assert np.asarray(Image.open(path)).shape == (20, 30, 3)


@pytest.mark.parametrize(
    "image", [None, "", "https://example.com/a.jpg", "data:image/jpeg;base64,@@", "data:image/png;base64,AAAA", 7]
)
def test_what_is_no_photograph_is_refused(image: object, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        save_kept(image, str(tmp_path))
