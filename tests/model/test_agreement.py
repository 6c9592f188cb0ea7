"""Words that may not follow an article are not written after one, with one beam or several."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LogitsProcessorList

from dynrefer.model.agreement import Agreement
from dynrefer.model.beam_search import BeamSearch, Generation
from tests.model.test_beam_search import tiny_t5

WORDS = ["<pad>", "</s>", "a", "an", "snowy", "green", "trees", "tree", "house"]
SIZE = 30  # of the tiny network's vocabulary


@pytest.fixture
def agreement() -> Agreement:
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return Agreement(tokenizer, ["trees"], ["snowy", "green"], SIZE, torch.device("cpu"))


def next_scores(agreement: Agreement, text: str) -> Tensor:
    written = torch.tensor([[0, *(WORDS.index(word) for word in text.split())]])
    return agreement(written, torch.zeros(1, SIZE))[0]


@pytest.mark.parametrize("text", ["a", "house an", "a snowy", "a green snowy", "house a green"])
def test_a_plural_is_ruled_out_behind_an_article_and_its_qualities(agreement: Agreement, text: str) -> None:
    scores = next_scores(agreement, text)
    assert scores[WORDS.index("trees")] < -1e8
    assert (scores[[k for k, word in enumerate(WORDS) if word != "trees"]] == 0).all()


@pytest.mark.parametrize("text", ["", "snowy", "a house", "a house snowy", "a green snowy green", "a tree green"])
def test_elsewhere_nothing_is_ruled_out(agreement: Agreement, text: str) -> None:
    assert (next_scores(agreement, text) == 0).all()


@pytest.mark.parametrize("beams", [2, 4])
@torch.no_grad()
def test_both_searches_write_the_same_under_the_rule(agreement: Agreement, beams: int) -> None:
    everything = Agreement.__new__(Agreement)
    everything.__dict__.update(agreement.__dict__)
    everything.articles = torch.ones(SIZE, dtype=torch.bool)  # every word counts as an article, so the rule bites
    t5 = tiny_t5(0, gated=False)
    prompt, mask = torch.randn(3, 7, 16), torch.ones(3, 7, dtype=torch.long)
    options = Generation(beams, 10, 1.0, 1.1)
    theirs = t5.generate(
        inputs_embeds=prompt,
        attention_mask=mask,
        do_sample=False,
        num_beams=beams,
        max_new_tokens=10,
        length_penalty=1.0,
        repetition_penalty=1.1,
        logits_processor=LogitsProcessorList([everything]),
    )
    encoded = t5.encoder(inputs_embeds=prompt, attention_mask=mask).last_hidden_state
    ours, _ = BeamSearch(t5, options, 3, 7, agreement=everything).run(encoded, mask)
    assert ours[:, : theirs.shape[1]].tolist() == theirs.tolist()
    assert WORDS.index("trees") not in ours[:, 1:].flatten().tolist()
