"""Greedy and beam search with static buffers find what `transformers` finds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from dynrefer.model.beam_search import BeamSearch, StaticDecoder, can_record, greedy_search
from dynrefer.model.config import Generation
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


def test_nothing_is_recorded_without_a_gpu_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_record(torch.device("cpu"))
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.delenv("DYNREFER_CUDA_GRAPHS", raising=False)
    assert can_record(torch.device("cuda"))
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert not can_record(torch.device("cuda"))
