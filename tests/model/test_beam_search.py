"""Greedy and beam search with static buffers find what `transformers` finds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from dynrefer.model.beam_search import BeamSearch, StaticDecoder, greedy_search
from dynrefer.model.config import Generation
from dynrefer.model.numpy_search import NumpySearch
from dynrefer.model.recording import can_record
from dynrefer.model.t5 import T5
from dynrefer.model.t5 import T5Config as OwnConfig

END = 1


def tiny_t5(seed: int, gated: bool) -> T5ForConditionalGeneration:
    """A random T5 that has clear preferences and, for some seeds, often ends early."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=30,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_heads=2,
        num_layers=2,
        feed_forward_proj="gated-gelu" if gated else "relu",
        tie_word_embeddings=not gated,
        decoder_start_token_id=0,
    )
    t5 = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in t5.parameters():
            parameter.mul_(1 if parameter.dim() < 2 else 1.5 + 1.5 * (seed % 2))
        t5.shared.weight[END] *= 1 + 3 * (seed // 2)
    return t5


def own(t5: T5ForConditionalGeneration, gated: bool) -> T5:
    """The same network as this project has it."""
    config = OwnConfig(30, 16, 8, 32, 2, 2, 2, feed_forward_proj="gated-gelu" if gated else "relu")
    copy = T5(replace(config, tie_word_embeddings=not gated)).eval()
    state = {name: value for name, value in t5.state_dict().items() if "embed_tokens" not in name}
    copy.load_state_dict(state)
    return copy


def words(tokens: list[int]) -> list[int]:
    """Without start and filling, up to the end token."""
    written = [token for token in tokens if token != 0]
    return written[: written.index(END) + 1] if END in written else written


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [Generation(3, 12, 1.0, 1.1), Generation(5, 8, 0.0, 1.5), Generation(2, 6, -1.0, 1.0), Generation(4, 20, 2.0, 1.3)],
)
@torch.no_grad()
def test_texts_and_scores_are_those_of_transformers(seed: int, gated: bool, options: Generation) -> None:
    t5 = tiny_t5(seed, gated)
    prompt, mask = torch.randn(3, 7, 16), torch.ones(3, 7, dtype=torch.long)
    mask[1, 5:] = 0
    theirs = t5.generate(
        inputs_embeds=prompt,
        attention_mask=mask,
        do_sample=False,
        num_beams=options.num_beams,
        max_new_tokens=options.max_new_tokens,
        length_penalty=options.length_penalty,
        repetition_penalty=options.repetition_penalty,
        return_dict_in_generate=True,
        output_scores=True,
    )
    ours = own(t5, gated)
    tokens, scores = BeamSearch(ours, options, 3, 7).run(ours.encode(prompt, mask), mask)
    assert [words(row) for row in tokens.tolist()] == [words(row) for row in theirs.sequences.tolist()]
    torch.testing.assert_close(scores, theirs.sequences_scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@torch.no_grad()
def test_the_greedy_texts_and_scores_are_those_of_transformers(seed: int, gated: bool) -> None:
    t5 = tiny_t5(seed, gated)
    prompt, mask = torch.randn(3, 7, 16), torch.ones(3, 7, dtype=torch.long)
    mask[1, 5:] = 0
    asked = {"inputs_embeds": prompt, "attention_mask": mask, "do_sample": False, "num_beams": 1}
    told = {"max_new_tokens": 9, "repetition_penalty": 1.3, "return_dict_in_generate": True, "output_scores": True}
    theirs = t5.generate(**asked, **told)
    ours = own(t5, gated)
    tokens, scores = greedy_search(ours, Generation(1, 9, 0.0, 1.3), ours.encode(prompt, mask), mask)
    assert [words(row) for row in tokens.tolist()] == [words(row) for row in theirs.sequences.tolist()]
    steps = t5.compute_transition_scores(theirs.sequences, theirs.scores, normalize_logits=True)
    expected = torch.where(torch.isfinite(steps) & (theirs.sequences[:, 1:] != 0), steps, 0).sum(1)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_search_can_be_used_again_and_padding_changes_nothing() -> None:
    t5 = own(tiny_t5(1, gated=True), gated=True)
    prompt, mask = torch.randn(1, 5, 16), torch.ones(1, 5, dtype=torch.long)
    padded, longer = torch.cat([prompt, torch.randn(1, 3, 16)], 1), torch.tensor([[1] * 5 + [0] * 3])
    options = Generation(3, 10)
    short = BeamSearch(t5, options, 1, 5).run(t5.encode(prompt, mask), mask)
    search = BeamSearch(t5, options, 1, 8)
    search.run(torch.randn(1, 8, 16), torch.ones(1, 8, dtype=torch.long))
    again = search.run(t5.encode(padded, longer), longer)
    assert again[0].tolist() == short[0].tolist()
    torch.testing.assert_close(again[1], short[1], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_one_token_at_a_time_gives_the_logits_of_all_at_once() -> None:
    t5 = tiny_t5(2, gated=False)
    encoded, mask = torch.randn(2, 6, 16), torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    tokens = torch.tensor([[0, 5, 9, 3], [0, 7, 2, 2]])
    whole = t5(encoder_outputs=(encoded,), attention_mask=mask, decoder_input_ids=tokens).logits
    decoder = StaticDecoder(own(t5, gated=False), regions=2, beams=1, prompt=6, length=4)
    decoder.remember(encoded, mask)
    for position in range(4):
        step = decoder.step(tokens[:, position], torch.tensor([position]), tokens[:, : position + 1])
        torch.testing.assert_close(step, whole[:, position], rtol=1e-4, atol=1e-4)


TOLD = [7, 12, 9]


@torch.no_grad()
def search(
    beams: int, told: list[list[int]] | None = None, begins: torch.Tensor | None = None
) -> tuple[list[list[int]], list[float]]:
    """Tokens after the start, and scores, of three regions whose beginnings are told."""
    t5, length = own(tiny_t5(1, gated=True), gated=True), 9
    generator = torch.Generator().manual_seed(8)
    prompt, mask = torch.randn(3, 7, 16, generator=generator), torch.ones(3, 7, dtype=torch.long)
    rows = None if told is None else torch.tensor([[*row, *[0] * (length - len(row))] for row in told])
    options, encoded = Generation(beams, length, 1.0, 1.1), t5.encode(prompt, mask)
    if beams == 1:
        found = greedy_search(t5, options, encoded, mask, rows, begins=begins)
    else:
        found = BeamSearch(t5, options, 3, 7, begins=begins).run(encoded, mask, rows)
    return [row[1:] for row in found[0].tolist()], found[1].tolist()


@pytest.mark.parametrize("beams", [1, 3])
def test_a_sentence_begins_with_what_is_told(beams: int) -> None:
    found, found_scores = search(beams, [TOLD, [20], [5, 5, 5, 5, 5, 5, 5, 5]])
    assert found[0][:3] == TOLD
    assert found[1][0] == 20
    assert found[2][:8] == [5] * 8
    assert all(-1e6 < score < 0 for score in found_scores)  # the words that were ruled out are in no sentence


@pytest.mark.parametrize("beams", [1, 3])
def test_the_piece_behind_what_is_told_begins_a_word(beams: int) -> None:
    free = search(beams, [TOLD, TOLD, TOLD])[0]
    begins = torch.ones(30, dtype=torch.bool)
    begins[[row[3] for row in free]] = False  # what came behind it only goes on with a word
    held = search(beams, [TOLD, TOLD, TOLD], begins)[0]
    assert all(row[:3] == TOLD and begins[row[3]] for row in held)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_region_without_beginning_is_searched_as_if_nothing_was_told(beams: int) -> None:
    plain, plain_scores = search(beams)
    begins = torch.zeros(30, dtype=torch.bool)
    begins[END] = True
    found, found_scores = search(beams, [[], TOLD, []], begins)
    assert found[1][:3] == TOLD
    for row in (0, 2):
        assert found[row] == plain[row]
        assert found_scores[row] == pytest.approx(plain_scores[row], rel=1e-5)


def gate(bias: float) -> torch.nn.Linear:
    made = torch.nn.Linear(16, 1)
    torch.nn.init.normal_(made.weight, std=0.5, generator=torch.Generator().manual_seed(9))
    torch.nn.init.constant_(made.bias, bias)
    return made


@torch.inference_mode()
def test_the_gate_lifts_words_to_copy_alone_and_all_of_a_region_alike() -> None:
    t5 = own(tiny_t5(1, gated=True), gated=True)
    encoded, mask = torch.randn(2, 6, 16), torch.ones(2, 6, dtype=torch.long)
    copied = torch.zeros(2, 30)
    copied[0, [4, 11]] = copied[1, 25] = 1
    logits = []
    for copy_gate in (None, gate(0.7)):
        decoder = StaticDecoder(t5, 2, 1, 6, 4, copy_gate)
        decoder.remember(encoded, mask, None if copy_gate is None else copied)
        logits.append(decoder.step(torch.tensor([0, 0]), torch.tensor([0]), torch.tensor([[0], [0]])))
    rise = logits[1] - logits[0]
    torch.testing.assert_close(rise[copied == 0], torch.zeros(57), rtol=0, atol=1e-5)
    assert rise[0, 4] == pytest.approx(float(rise[0, 11]), rel=1e-4)
    assert (rise[copied == 1].abs() > 1e-3).all()


@torch.inference_mode()
def test_the_gate_does_not_lift_a_word_again_that_is_written() -> None:
    t5 = own(tiny_t5(1, gated=True), gated=True)
    encoded, mask = torch.randn(1, 6, 16), torch.ones(1, 6, dtype=torch.long)
    copied = torch.zeros(1, 30)
    copied[0, [4, 11]] = 1
    logits = []
    for copy_gate in (None, gate(0.7)):
        decoder = StaticDecoder(t5, 1, 1, 6, 4, copy_gate)
        decoder.remember(encoded, mask, None if copy_gate is None else copied)
        logits.append(decoder.step(torch.tensor([11]), torch.tensor([0]), torch.tensor([[0, 11]])))
    rise = (logits[1] - logits[0])[0]
    assert rise[11] == pytest.approx(0, abs=1e-5)
    assert abs(rise[4]) > 1e-3


@torch.inference_mode()
def test_a_search_used_again_copies_nothing_of_the_question_before() -> None:
    t5 = own(tiny_t5(1, gated=True), gated=True)
    encoded, mask = torch.randn(1, 6, 16), torch.ones(1, 6, dtype=torch.long)
    copied = torch.zeros(1, 30)
    copied[0, 11] = 1
    fresh = BeamSearch(t5, Generation(3, 6), 1, 6, copy_gate=gate(60.0)).run(encoded, mask)
    again = BeamSearch(t5, Generation(3, 6), 1, 6, copy_gate=gate(60.0))
    assert again.run(encoded, mask, copied=copied)[0].tolist() != fresh[0].tolist()
    assert again.run(encoded, mask)[0].tolist() == fresh[0].tolist()


def test_nothing_is_recorded_without_a_gpu_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_record(torch.device("cpu"))
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.delenv("DYNREFER_CUDA_GRAPHS", raising=False)
    assert can_record(torch.device("cuda"))
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert not can_record(torch.device("cuda"))


@pytest.mark.parametrize("gated", [False, True])
@torch.inference_mode()
def test_joined_layers_read_and_write_the_same(gated: bool) -> None:
    t5, options = own(tiny_t5(1, gated), gated), Generation(3, 8, 1.0, 1.1)
    prompt, mask = torch.randn(2, 7, 16), torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    labels = torch.tensor([[5, 9, 3], [7, 2, 2]])
    searches = []
    before = t5.encode(prompt, mask), t5(prompt, mask, labels)
    searches.append(BeamSearch(t5, options, 2, 7).run(before[0], mask))
    t5.join()
    after = t5.encode(prompt, mask), t5(prompt, mask, labels)
    searches.append(BeamSearch(t5, options, 2, 7).run(after[0], mask))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    assert searches[1][0].tolist() == searches[0][0].tolist()
    torch.testing.assert_close(searches[1][1], searches[0][1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_told", [False, True])
@pytest.mark.parametrize("copies", [False, True])
@torch.no_grad()
def test_the_search_in_numpy_finds_the_same(is_told: bool, copies: bool) -> None:
    """Of regions whose search ends early and late, with what a search may be given."""
    begins = torch.ones(30, dtype=torch.bool)
    begins[10:20] = False
    for seed in range(4):
        t5 = own(tiny_t5(seed, gated=False), gated=False)
        prompt, mask = torch.randn(3, 7, 16), torch.ones(3, 7, dtype=torch.long)
        mask[1, 5:] = 0
        copied, copy_gate = torch.zeros(3, 30), gate(0.7) if copies else None
        copied[0, [4, 11]] = copied[2, 25] = 1
        for options in (Generation(3, 12, 0.5, 1.3), Generation(2, 6, -1.0, 1.0), Generation(5, 20, 2.0, 1.3)):
            told = torch.tensor([[*TOLD, *[0] * (options.max_new_tokens - 3)]]) * torch.tensor([[1], [0], [1]])
            given = told if is_told else None, copied if copies else None
            encoded = t5.encode(prompt, mask)
            search = BeamSearch(t5, options, 3, 7, begins=begins, copy_gate=copy_gate)
            tokens, scores = search.run(encoded, mask, *given)
            t5.join()
            found, found_scores = NumpySearch(t5, copy_gate).run(options, encoded, mask, *given, begins)
            assert found.tolist() == tokens.tolist()
            torch.testing.assert_close(found_scores, scores, rtol=1e-4, atol=1e-4)
