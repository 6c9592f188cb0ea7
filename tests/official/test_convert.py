"""A converted checkpoint: what it holds and how it answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynrefer import Predictor
from dynrefer.checkpoint import load_checkpoint
from dynrefer.official.convert import official_attributes
from dynrefer.official.names import convert_state_dict
from dynrefer.weights import stored_tensors, write_tensors
from tests.official import tiny_official as tiny


def test_a_converted_folder_answers_through_the_predictor(converted: Path) -> None:
    predictor = Predictor.from_pretrained(converted, device="cpu")
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    results = predictor.refer(photo, boxes=[(5, 5, 50, 40), (20, 10, 79, 59)], tag_threshold=0, controls=["dog"])
    for result in results:
        assert {tag.name for tag in result.tags} == {"dog", "cat", "red"}
        assert len(result.attributes) == 117 and len(result.classes) == 5
        assert 0 < result.caption.score <= 1
        assert result.model == "tiny-official"
    assert not list(converted.glob("*.pth")) and not list(converted.glob("*.bin"))


def test_half_precision_answers_nearly_the_same(converted: Path) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    exact, short = (
        Predictor.from_pretrained(converted, device="cpu", dtype=dtype).refer(photo, (5, 5, 50, 40), tag_threshold=0)
        for dtype in ("float32", "bfloat16")
    )
    scores = [{tag.name: tag.score for tag in result.tags} for result in (exact, short)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)
    assert short.caption.score == pytest.approx(exact.caption.score, rel=0.2)


@torch.no_grad()
def test_a_converted_folder_holds_the_base_models_image_encoder_and_language_model(
    converted: Path, tmp_path: Path
) -> None:
    base = tiny.write_base(tmp_path / "base")
    model = load_checkpoint(converted).model
    assert model.encoder is not None and model.language.t5 is not None
    pixels = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(model.encode(pixels), base.vision_model(pixels).last_hidden_state)
    prompt, written = torch.randn(2, 5, 16), torch.tensor([[3, 4, 1], [5, 6, 1]])
    asked = {"inputs_embeds": prompt, "labels": written}
    ours = model.language.t5(prompt, torch.ones(2, 5, dtype=torch.long), written)
    torch.testing.assert_close(ours, base.language_model(**asked).logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_texts_are_embedded_as_the_authors_text_tower_embeds_them(converted: Path, tmp_path: Path) -> None:
    text_encoder = load_checkpoint(converted).model.text_encoder
    assert text_encoder is not None
    tensors = tiny.write_text_tower(tmp_path / "text")
    ours = text_encoder(["the dog", "the  is red", "a big red cat"])
    for embedding, text in zip(ours, ["the dog", "the is red", "a big red cat"], strict=True):
        ids = [tiny.START, *(tiny.TOKENS.index(word) for word in text.split()), tiny.END]
        theirs = open_clip_text(tensors, torch.tensor(ids + [0] * (77 - len(ids))))
        torch.testing.assert_close(embedding, theirs, rtol=1e-4, atol=1e-5)


def open_clip_text(tensors: dict[str, Tensor], ids: Tensor) -> Tensor:
    """The EVA-CLIP text tower's arithmetic on open_clip's tensors: ids [77], zeros after the end token -> [E]."""
    t = {name.removeprefix("text."): value for name, value in tensors.items()}
    width = tiny.TEXT_WIDTH
    x = (t["token_embedding.weight"][ids] + t["positional_embedding"])[:, None]
    mask = torch.full((77, 77), -torch.inf).triu(1)
    for layer in range(tiny.TEXT_LAYERS):
        p = {k.split(".", 3)[3]: v for k, v in t.items() if k.startswith(f"transformer.resblocks.{layer}.")}
        attention = nn.MultiheadAttention(width, tiny.TEXT_HEADS)
        attention.load_state_dict({k.removeprefix("attn."): v for k, v in p.items() if k.startswith("attn.")})
        y = F.layer_norm(x, (width,), p["ln_1.weight"], p["ln_1.bias"])
        x = x + attention(y, y, y, attn_mask=mask)[0]
        y = F.layer_norm(x, (width,), p["ln_2.weight"], p["ln_2.bias"])
        y = F.gelu(F.linear(y, p["mlp.c_fc.weight"], p["mlp.c_fc.bias"]))
        x = x + F.linear(y, p["mlp.c_proj.weight"], p["mlp.c_proj.bias"])
    end = int((ids == tiny.END).nonzero()[0])
    final = F.layer_norm(x[end, 0], (width,), t["ln_final.weight"], t["ln_final.bias"])
    return final @ t["text_projection"]


def test_the_word_embedding_is_found_under_any_name_that_shares_it(
    sources: Path, converted: Path, tmp_path: Path
) -> None:
    tensors = {name: stored.read() for name, stored in stored_tensors(sources / "base").items()}
    tensors["language_model.decoder.embed_tokens.weight"] = tensors.pop("language_model.shared.weight")
    base = tmp_path / "base"
    base.mkdir()
    write_tensors(base, tensors, {name: value.dtype for name, value in tensors.items()})
    tiny.words().save(str(base / "tokenizer.json"))
    again = load_checkpoint(tiny.convert_tiny(sources, tmp_path / "out", base=base)).model.language.t5
    first = load_checkpoint(converted).model.language.t5
    assert again is not None and first is not None
    assert torch.equal(again.shared.weight, first.shared.weight)


def test_the_trained_tensors_keep_every_bit(converted: Path) -> None:
    model = load_checkpoint(converted).model
    ours = convert_state_dict(tiny.released_state(), tiny.CONFIG)
    state = model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in ours.items())


def test_control_words_end_as_the_checkpoint_was_trained(converted: Path) -> None:
    language = load_checkpoint(converted).model.language
    ids, mask = language.tokenize(["dog,red|", ""])
    word = tiny.TOKENS.index
    assert ids.tolist() == [[word("dog"), word(","), word("red"), word("|"), 1], [word("|"), 1, 0, 0, 0]]
    assert mask.sum(1).tolist() == [5, 2]


def test_attributes_are_asked_with_the_authors_templates() -> None:
    words = {(word.type, word.name): word.templates for word in official_attributes()}
    assert len(words) == 117
    assert words["hair", "dark"] == ("the dark hair", "the  has dark hair")
    assert words["tone", "dark"] == ("the dark", "the  is dark")
    assert {"the toddler", "the  is girl"} <= set(words["maturity", "young"])
