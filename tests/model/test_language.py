"""The language decoder: control words that can be copied, and captions that begin as they are told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from dynrefer.model.beam_search import StaticDecoder
from dynrefer.model.config import Generation
from dynrefer.model.language import PROMPT_STEP, WORD_MARK, LanguageDecoder
from tests.tiny import TINY

PIECES = [
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    "▁dog",
    "▁red",
    "s",
    "▁a",
    "▁cup",
    "▁on",
    ",",
    "|",
]
OPTIONS = Generation(num_beams=1, max_new_tokens=5)


def piece_tokenizer() -> Tokenizer:
    """Pieces as SentencePiece has them: a mark stands where a word begins."""
    tokenizer = Tokenizer(models.Unigram([(piece, -float(place)) for place, piece in enumerate(PIECES[:-2])], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.add_tokens(PIECES[-2:])
    return tokenizer


def language(gate: float | None = None) -> LanguageDecoder:
    """Random weights; with a gate that lifts every word to copy by so much."""
    torch.manual_seed(5)
    options = TINY.language.options | {"vocab_size": len(PIECES)}
    config = replace(TINY.language, options=options, copy_controls=gate is not None, sentence_slot=False)
    made = LanguageDecoder(config, 16, 16).eval()
    made.tokenizer = piece_tokenizer()
    if made.copy_gate is not None:
        torch.nn.init.zeros_(made.copy_gate.weight)
        torch.nn.init.constant_(made.copy_gate.bias, gate or 0.0)
    return made


def pieces(numbers: Tensor) -> list[str]:
    return [PIECES[number] for number in numbers.tolist()]


def ask(
    decoder: LanguageDecoder,
    controls: list[str],
    begin: list[str] | None = None,
    *,
    beams: int = 1,
    options: Generation = OPTIONS,
) -> tuple[list[str], list[float]]:
    ids, mask = decoder.tokenize(controls)
    queries = torch.randn(len(controls), 4, 16, generator=torch.Generator().manual_seed(6))
    prompt, prompt_mask = decoder.prompt(queries, ids, mask)
    return decoder.generate(prompt, prompt_mask, replace(options, num_beams=beams), ids, begin)


def test_pieces_of_control_words_can_be_copied_and_the_marks_between_them_cannot() -> None:
    decoder = language(gate=1.0)
    ids, _ = decoder.tokenize(["red,dogs|", "cup|"])
    first, second = decoder.copied(ids)
    assert pieces(first.nonzero()[:, 0]) == [f"{WORD_MARK}dog", f"{WORD_MARK}red", "s"]
    assert pieces(second.nonzero()[:, 0]) == [f"{WORD_MARK}cup"]  # and not the padding beside the longer one


@pytest.mark.parametrize("beams", [1, 3])
def test_a_gate_that_opens_wide_makes_the_caption_say_the_control_words(beams: int) -> None:
    shut, wide = (ask(language(gate), ["cup|", "red|"], beams=beams)[0] for gate in (-30.0, 30.0))
    assert [text.split()[0] for text in wide] == ["cup", "red"]
    assert "cup" not in shut[0] and "red" not in shut[1]


@torch.no_grad()
def test_training_and_search_see_the_same_logits_of_copied_words() -> None:
    decoder = language(gate=2.5)
    assert decoder.t5 is not None and decoder.copy_gate is not None
    torch.nn.init.normal_(decoder.copy_gate.weight)
    ids, mask = decoder.tokenize(["red|", "cup|"])
    prompt, prompt_mask = decoder.prompt(torch.randn(2, 4, 16), ids, mask)
    labels = torch.tensor([[5, 4, 5, 1], [8, 9, 8, 1]])
    loss = decoder(prompt, prompt_mask, labels, control_ids=ids)

    steps = StaticDecoder(decoder.t5, 2, 1, prompt.shape[1], 4, decoder.copy_gate)
    steps.remember(decoder.t5.encode(prompt, prompt_mask), prompt_mask, decoder.copied(ids))
    written = torch.tensor([[0, 5, 4, 5], [0, 8, 9, 8]])
    logits = torch.stack(
        [steps.step(written[:, place], torch.tensor([place]), written[:, : place + 1]) for place in range(4)], 1
    )
    expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(1)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_caption_begins_with_the_words_it_is_told(beams: int) -> None:
    texts, scores = ask(language(), ["", "", ""], ["red dogs", "", "cup"], beams=beams)
    assert texts[0].startswith("red dogs")
    assert texts[1] == ask(language(), ["", "", ""], beams=beams)[0][1]
    assert texts[2].startswith("cup")
    assert all(0 < score <= 1 for score in scores)


@pytest.mark.parametrize("beams", [1, 3])
def test_the_word_behind_a_told_beginning_is_a_word_of_its_own(beams: int) -> None:
    decoder = language(gate=30.0)  # would go on with "dogs", the one word it is told to copy
    (text,), _ = ask(decoder, ["dogs|"], ["dog"], beams=beams)
    assert text.split()[0] == "dog"


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("penalty", [0, -1])
def test_a_penalty_of_length_may_be_a_whole_number(beams: int, penalty: int) -> None:
    texts, scores = ask(language(), [""], beams=beams, options=replace(OPTIONS, length_penalty=penalty))
    assert texts == ask(language(), [""], beams=beams, options=replace(OPTIONS, length_penalty=float(penalty)))[0]
    assert 0 < scores[0] <= 1


def test_a_beginning_leaves_room_for_an_end() -> None:
    (text,), _ = ask(language(), [""], ["red dog cup red dog cup red dog cup"])
    assert text.startswith("red dog cup red")
    assert len(text.split()) <= OPTIONS.max_new_tokens


@pytest.mark.parametrize("beams", [1, 3])
def test_prompts_of_many_lengths_come_to_the_encoder_in_few_and_say_the_same(
    beams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, words = language(gate=1.0), ["cup|", "red,dogs|", "red,dogs,cup|"]
    monkeypatch.setattr("dynrefer.model.language.PROMPT_STEP", 1)
    expected = [ask(decoder, [control], beams=beams) for control in words]
    monkeypatch.undo()
    assert decoder.t5 is not None
    encode, lengths = decoder.t5.encode, set[int]()

    def noted(inputs: Tensor, mask: Tensor) -> Tensor:
        lengths.add(inputs.shape[1])
        return encode(inputs, mask)

    monkeypatch.setattr(decoder.t5, "encode", noted)
    for control, (texts, scores) in zip(words, expected, strict=True):
        found, padded = ask(decoder, [control], beams=beams)
        assert found == texts and padded == pytest.approx(scores)
    assert {length % PROMPT_STEP for length in lengths} == {0}
