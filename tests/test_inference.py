"""What a caption is told and has to say: the asker's control words, else what the model is surest of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from dynrefer import Predictor, RegionResult
from dynrefer.results import Caption

BOX = (20, 15, 80, 60)
OTHER = (5, 40, 50, 88)


@dataclass
class Writer:
    """The predictor's language decoder, which says `first` where it is free, and what it was asked."""

    predictor: Predictor
    monkeypatch: pytest.MonkeyPatch
    first: str | list[str] | None = None
    read: list[list[list[str]]] = field(default_factory=list)
    begun: list[Sequence[str] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        language = self.predictor.model.language
        generate, tokenizer = language.generate, language.tokenizer
        assert tokenizer is not None

        def recording(
            prompt: Any, mask: Any, options: Any, ids: torch.Tensor, begin: Sequence[str] | None = None
        ) -> tuple[list[str], list[float]]:
            rows = [[str(tokenizer.id_to_token(number)) for number in row if number] for row in ids.tolist()]
            self.read.append(rows)
            self.begun.append(begin)
            texts, scores = generate(prompt, mask, options, ids, begin)
            if begin is None and self.first is not None:
                texts = [self.first] * len(texts) if isinstance(self.first, str) else self.first
            return list(texts), scores

        self.monkeypatch.setattr(language, "generate", recording)

    def set(self, **changes: Any) -> None:
        """Other settings of the language model."""
        config = self.predictor.inference.config
        language = dataclasses.replace(config.language, **changes)
        self.predictor.inference.config = dataclasses.replace(config, language=language, tag_threshold=0.0)

    def caption(self, photo: np.ndarray, **options: Any) -> Caption:
        """The answer's caption for one box."""
        return captioned(self.predictor.refer(photo, BOX, num_beams=2, **options))


def captioned(result: RegionResult) -> Caption:
    assert result.caption is not None
    return result.caption


@pytest.fixture
def writer(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> Writer:
    return Writer(predictor, monkeypatch)


@pytest.mark.parametrize("word", ["dog", "red", "holding"])
def test_a_control_word_that_the_first_search_leaves_out_comes_out_in_the_caption(
    word: str, writer: Writer, photo: np.ndarray
) -> None:
    writer.first = "a small man"
    assert word in writer.caption(photo, controls=[word]).text.split()
    assert writer.begun == [None, [word]]


def test_control_words_that_are_missing_begin_the_caption_qualities_before_things(
    writer: Writer, photo: np.ndarray
) -> None:
    writer.first = "a small man"
    told = writer.caption(photo, controls=["dog", "red", "cup", "big", "man"])
    assert told.text.startswith("red big dog and cup")


@pytest.mark.parametrize("first", ["a Red dog", "two dogs in red", "red, the dog", "a dog on the red"])
def test_a_caption_that_says_the_control_words_in_any_form_stays(first: str, writer: Writer, photo: np.ndarray) -> None:
    writer.first = first
    assert writer.caption(photo, controls=["dog", "Red"]).text == first


@pytest.mark.parametrize("first", ["a carpet", "a scar"])
def test_a_word_that_only_contains_the_control_word_does_not_say_it(
    first: str, writer: Writer, photo: np.ndarray
) -> None:
    writer.first = first
    assert "car" in writer.caption(photo, controls=["car"]).text.split()


def test_only_captions_that_leave_something_out_are_written_again(writer: Writer, photo: np.ndarray) -> None:
    writer.first = ["a dog on the car", "a small man"]
    first, second = map(captioned, writer.predictor.refer(photo, boxes=[BOX, OTHER], controls=["dog"]))
    assert writer.begun == [None, ["dog"]]
    assert first.text == "a dog on the car"
    assert second.text.startswith("dog")


def test_the_askers_words_are_read_before_the_surest_name_and_tags(writer: Writer, photo: np.ndarray) -> None:
    writer.set(predicted_controls=3, subject_threshold=0.0)
    writer.predictor.refer(photo, BOX, controls=["cup", "man"])
    result = writer.predictor.refer(photo, BOX, tag_threshold=0)
    surest = list(dict.fromkeys([result.classes[0].name, *(tag.name for tag in result.tags)]))
    expected = list(dict.fromkeys(["cup", "man", *surest]))
    read = [word for word in writer.read[0][0] if word not in ",|"]
    assert read == expected[: len(read)]
    assert len(read) >= 4


def test_without_control_words_the_caption_says_the_surest_name(writer: Writer, photo: np.ndarray) -> None:
    writer.set(subject_threshold=0.0)
    writer.first = "a small man"
    result = writer.predictor.refer(photo, BOX)
    assert captioned(result).text.split()[0] == result.classes[0].name


def test_a_caption_may_say_another_name_that_is_half_as_sure(writer: Writer, photo: np.ndarray) -> None:
    writer.set(subject_threshold=0.0)
    best, *others = writer.predictor.refer(photo, BOX).classes
    assert 2 * others[0].score >= best.score
    writer.first = f"a small {others[0].name}"
    assert writer.caption(photo).text == writer.first


def test_a_name_that_is_not_sure_is_not_forced_on_the_caption(writer: Writer, photo: np.ndarray) -> None:
    writer.set(predicted_controls=3, subject_threshold=0.99)
    writer.first = "a small man"
    assert writer.caption(photo).text == "a small man"
    assert writer.begun == [None]


def test_the_embedded_model_says_a_word_that_it_would_never_choose() -> None:
    shipped = Predictor.from_pretrained(device="cpu")
    photo = np.random.default_rng(1).integers(90, 110, (120, 160, 3), dtype=np.uint8)
    several, unwritable = ["snail", "typewriter", "surfboard"], ["wide ÄÖÜ 犬", "snail"]
    for controls in (["snail"], ["purple", "snail"], several, unwritable):
        result = shipped.refer(photo, (30, 20, 130, 100), controls=controls)
        caption = captioned(result).text
        assert any("wide ÄÖÜ 犬" in note for note in result.notes) == (controls is unwritable)
        assert {word for control in controls for word in control.split() if word.isascii()} <= set(caption.split())
        assert caption == " ".join(caption.split())
