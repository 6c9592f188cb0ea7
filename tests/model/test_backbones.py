"""T5 and BERT give the numbers of `transformers`."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertModel

from dynrefer.model import text_encoder
from tests.model.test_beam_search import own, tiny_t5
from tests.tiny import tiny_model


@pytest.mark.parametrize("gated", [False, True])
def test_t5_gives_logits_and_gradients_of_transformers(gated: bool) -> None:
    theirs = tiny_t5(0, gated).double()
    ours = own(theirs, gated).double()
    prompt = torch.randn(2, 40, 16, dtype=torch.float64)
    mask = torch.ones(2, 40, dtype=torch.long)  # distances beyond the near buckets
    mask[1, 30:] = 0
    labels = torch.randint(2, 30, (2, 25))
    expected = theirs(inputs_embeds=prompt, attention_mask=mask, labels=labels).logits
    logits = ours(prompt, mask, labels)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    for values in (logits, expected):
        torch.nn.functional.cross_entropy(values.transpose(1, 2), labels).backward()
    named = {name: parameter.grad for name, parameter in ours.named_parameters()}
    if gated:  # the library ties the random head to the word embedding, which FLAN-T5 has apart
        named["shared.weight"] += named.pop("lm_head.weight")
    for name, gradient in named.items():
        expected = theirs.get_parameter(name).grad
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5)  # its softmax is single


def test_t5_drops_out_in_training_only() -> None:
    ours = own(tiny_t5(1, False), False)
    asked = torch.randn(2, 5, 16), torch.ones(2, 5, dtype=torch.long), torch.randint(2, 30, (2, 4))
    assert torch.equal(ours(*asked), ours(*asked))
    ours.train()
    assert not torch.equal(ours(*asked), ours(*asked))


@torch.no_grad()
def test_bert_gives_the_hidden_states_of_transformers() -> None:
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24}
    theirs = BertModel(BertConfig(**sizes), add_pooling_layer=False).eval()
    ours = text_encoder.Bert(text_encoder.BertConfig(**sizes))
    ours.load_state_dict(theirs.state_dict())
    ids, mask = torch.randint(0, 40, (3, 9)), torch.ones(3, 9, dtype=torch.long)
    mask[1, 4:] = 0
    expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(ours(ids, mask)[mask.bool()], expected[mask.bool()], rtol=1e-4, atol=1e-5)


def test_words_that_half_precision_holds_take_half_the_memory_and_embed_the_same() -> None:
    model = tiny_model()
    encoder = model.text_encoder
    assert encoder is not None and isinstance(encoder.text, text_encoder.Bert)
    words = encoder.text.embeddings.word_embeddings
    words.weight.data.add_(1e-5)
    encoder.prepare_inference()
    assert words.weight.dtype == torch.float32  # half precision would change them
    words.weight.data = words.weight.data.half().float()
    before = encoder(["a red cup", "dog"])
    encoder.prepare_inference()
    assert words.weight.dtype == torch.float16
    assert encoder(["a red cup", "dog"]).equal(before)
