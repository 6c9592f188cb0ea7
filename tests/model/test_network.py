"""Properties of the whole network on tiny random models of both kinds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dynrefer.model import DynRefer, ModelConfig
from dynrefer.model.config import Generation
from dynrefer.training.config import LossWeights
from dynrefer.training.objective import Batch, Objective
from dynrefer.vocabulary import TextBank
from tests.official import tiny_official
from tests.tiny import TINY

BELIEVING = replace(
    TINY,
    encoder=replace(TINY.encoder, belief=True),
    decoder=replace(TINY.decoder, shortlist=3),
    language=replace(TINY.language, copy_controls=True),
)
CONFIGS = {"tiny": TINY, "tiny-believing": BELIEVING, "tiny-official": tiny_official.CONFIG}
EVERY_LOSS = LossWeights(attribute=1, category=1, sentence=1)
PAPERS_LOSSES = LossWeights()


def network(config: ModelConfig) -> DynRefer:
    """Random weights; offsets that are not zero, so that the alignment does something."""
    torch.manual_seed(3)
    model = DynRefer(config)
    assert model.text_encoder is not None and model.align.deform is not None
    torch.nn.init.normal_(model.align.deform.offset_mask.weight, std=0.3)
    if model.classifier_names is not None:
        torch.nn.init.normal_(model.classifier_names.embeddings, std=0.1)
        for decoder in (model.tagging, model.contrast):
            torch.nn.init.ones_(decoder.belief_weights)
    model.language.tokenizer = model.text_encoder.tokenizer = tiny_official.words()
    return model.eval()


@pytest.fixture(scope="module", params=list(CONFIGS))
def model(request: pytest.FixtureRequest) -> DynRefer:
    return network(CONFIGS[request.param])


def regions(model: DynRefer, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random tokens [S * V, T, C], boxes [S * V, 4] and geometry [S, 6]."""
    config = model.config
    views = count * config.num_views
    length = config.encoder.global_tokens + config.encoder.belief_tokens + sum(s * s for s in config.encoder.grids)
    generator = torch.Generator().manual_seed(4)
    tokens = torch.randn(views, length, config.encoder.width, generator=generator)
    first, believed = config.encoder.global_tokens, config.encoder.belief_tokens
    if believed:  # probabilities
        tokens[:, first : first + believed] = (
            tokens[:, first : first + believed].flatten(1).softmax(1).unflatten(1, (believed, -1))
        )
    side = config.encoder.image_size
    corners = 0.45 * side * torch.rand(views, 2, generator=generator)
    sizes = side * (0.05 + 0.5 * torch.rand(views, 2, generator=generator))
    return tokens, torch.cat([corners, corners + sizes], 1), torch.rand(count, 6, generator=generator)


def represent(
    model: DynRefer, tokens: Tensor, boxes: Tensor, geometry: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Queries, summary and belief of the regions."""
    return model.represent(model.align.cut(tokens, boxes), geometry)


@torch.no_grad()
def answers(model: DynRefer, tokens: Tensor, boxes: Tensor, geometry: Tensor) -> dict[str, Tensor]:
    """Everything but the caption that a question of these views is answered with."""
    texts = torch.randn(5, model.config.text_encoder.width, generator=torch.Generator().manual_seed(5))
    fused = model.align(model.align.cut(tokens, boxes), geometry)
    queries, summary, belief = represent(model, tokens, boxes, geometry)
    return {
        "fused": fused,
        "queries": queries,
        "tags": model.tag_logits(queries, texts, summary, belief),
        "contrast": model.contrast_logits(queries, model.contrast_texts(texts), summary, belief),
        "projected": model.language.project(queries),
    }


def test_two_regions_together_are_answered_as_each_alone(model: DynRefer) -> None:
    tokens, boxes, geometry = regions(model, 2)
    together = answers(model, tokens, boxes, geometry)
    views = model.config.num_views
    for region in range(2):
        own = slice(region * views, (region + 1) * views)
        alone = answers(model, tokens[own], boxes[own], geometry[region : region + 1])
        for name, value in alone.items():
            torch.testing.assert_close(together[name][region : region + 1], value, rtol=1e-4, atol=1e-5)


def test_the_order_of_the_views_matters(model: DynRefer) -> None:
    tokens, boxes, geometry = regions(model, 1)
    plain = answers(model, tokens, boxes, geometry)["fused"]
    for order in ([1, 0, 2], [0, 2, 1]):
        assert not torch.allclose(answers(model, tokens[order], boxes[order], geometry)["fused"], plain, atol=1e-4)


def test_every_view_and_its_box_reach_the_answer(model: DynRefer) -> None:
    tokens, boxes, geometry = regions(model, 1)
    plain = answers(model, tokens, boxes, geometry)["queries"]
    for view in range(model.config.num_views):
        other = tokens.clone()
        other[view] = 0
        assert not torch.allclose(answers(model, other, boxes, geometry)["queries"], plain, atol=1e-6)
        moved = boxes.clone()
        moved[view] += 0.2 * model.config.encoder.image_size
        assert not torch.allclose(answers(model, tokens, moved, geometry)["queries"], plain, atol=1e-6)


def test_shapes_of_every_stage(model: DynRefer) -> None:
    config = model.config
    out = answers(model, *regions(model, 2))
    assert out["fused"].shape == (2, model.align.num_tokens, config.encoder.width)
    assert out["queries"].shape == (2, config.resampler.queries, config.resampler.width)
    assert out["tags"].shape == out["contrast"].shape == (2, 5)
    assert out["projected"].shape == (2, config.resampler.queries, config.language.options["d_model"])


@torch.no_grad()
def test_the_encoder_gives_global_tokens_and_one_token_a_cell(model: DynRefer) -> None:
    config = model.config.encoder
    pixels = torch.randint(0, 256, (2, config.image_size, config.image_size, 3), dtype=torch.uint8)
    tokens = model.encode(model.normalize(pixels))
    length = config.global_tokens + config.belief_tokens + sum(side * side for side in config.grids)
    assert tokens.shape == (2, length, config.width)
    single = model.encode(model.normalize(pixels[1:]))
    torch.testing.assert_close(tokens[1:], single, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_each_decoded_text_is_scored_on_its_own(model: DynRefer) -> None:
    tokens, boxes, geometry = regions(model, 1)
    queries, summary, belief = represent(model, tokens, boxes, geometry)
    texts = torch.randn(6, model.config.text_encoder.width)
    order = torch.tensor([4, 1])
    for decoder, prepare in ((model.tagging, model.tag_texts), (model.contrast, model.contrast_texts)):
        all_texts, two = (
            decoder(queries, replace(prepare(some), whole=True), summary, belief) for some in (texts, texts[order])
        )
        torch.testing.assert_close(all_texts[:, order], two)


@torch.no_grad()
def test_the_classifiers_belief_of_the_closest_looks_reaches_tags_and_classes() -> None:
    model = network(BELIEVING)
    tokens, boxes, geometry = regions(model, 1)
    first, count, views = BELIEVING.encoder.global_tokens, BELIEVING.encoder.belief_tokens, BELIEVING.num_views
    plain = answers(model, tokens, boxes, geometry)
    for view in range(views):
        other = tokens.clone()
        other[view, first : first + count] = 0
        changed = answers(model, other, boxes, geometry)
        torch.testing.assert_close(changed["queries"], plain["queries"])  # the network behind it does not see it
        for name in ("tags", "contrast"):
            assert torch.equal(changed[name], plain[name]) == (view == 2), (view, name)


@torch.no_grad()
def test_the_caption_depends_on_the_region_and_on_the_control_words(model: DynRefer) -> None:
    tokens, boxes, geometry = regions(model, 2)
    queries, summary, _ = represent(model, tokens, boxes, geometry)
    language = model.language
    sentence = language.sentence(summary) if summary is not None else None

    def scores(controls: list[str]) -> list[float]:
        ids, controls_mask = language.tokenize(controls)
        prompt, mask = language.prompt(queries, ids, controls_mask, sentence)
        return language.generate(prompt, mask, Generation(num_beams=2, max_new_tokens=5), ids)[1]

    plain = scores(["", ""])
    assert plain[0] != plain[1]
    controlled = scores(["dog,red|", ""])
    assert controlled[0] != pytest.approx(plain[0], rel=1e-4)
    assert controlled[1] == pytest.approx(plain[1], rel=1e-4)  # padding beside the longer controls changes nothing


def losses_of(model: DynRefer, weights: LossWeights, *, cached: bool = False) -> dict[str, torch.Tensor]:
    """Of three regions with every kind of label."""
    torch.manual_seed(6)
    config = model.config
    width, views = config.text_encoder.width, 3 * config.num_views
    size = config.encoder.image_size
    pixels = torch.randint(0, 256, (views, size, size, 3), dtype=torch.uint8)
    boxes = torch.tensor([[40.0, 30.0, 180.0, 200.0]]).expand(views, 4)
    looks = {"geometry": torch.rand(3, 6), "pixels": pixels, "boxes": boxes}
    if cached:
        cuts = model.align.cut(model.encode(model.normalize(pixels)), boxes).detach()
        looks = {"geometry": looks["geometry"], "cuts": cuts}
    captions = torch.tensor([[4, 5, 1], [6, 1, 0], [7, 8, 1]])
    controls = torch.tensor([[5, 1], [6, 0], [0, 0]])
    own = {
        "text": torch.randn(3, width),
        "text_id": torch.tensor([0, 1, 0]),
        "category": torch.tensor([0, -1, 1]),
        "names_class": torch.tensor([False, False, True]),
    }
    filled = Batch(
        views=looks,
        captions=captions,
        controls=controls,
        controls_mask=(controls > 0).long(),
        style=torch.zeros(3, dtype=torch.long),
        tags=torch.tensor([[1, 0, -1], [0, 1, 0], [0, 0, 1]]),
        attributes=torch.tensor([[1, 0], [-1, -1], [0, -1]]),
        **own,
        **{f"all_{name}": value for name, value in own.items()},
    )
    texts = [torch.randn(count, width) for count in (3, 4, 2)]
    bank = TextBank(texts[0], texts[1], torch.tensor([0, 0, 1, 1]), texts[2])
    return Objective(model)(filled, bank, weights)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_gradients_reach_exactly_the_trainable_parameters(name: str) -> None:
    model = network(CONFIGS[name]).train()
    weights = EVERY_LOSS if model.config.language.sentence_slot else PAPERS_LOSSES
    losses_of(model, weights)["total"].backward()
    reached = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    expected = {n for n, _ in model.trainable_parameters()}
    unused = {n for n in expected - reached if n.endswith(".key.bias")}  # softmax does not see a shift of all keys
    assert reached == expected - unused
    assert not any(n.startswith(("encoder.", "text_encoder.")) for n in expected)


def test_the_papers_size_leaves_its_language_model_frozen() -> None:
    trained = {name for name, _ in network(tiny_official.CONFIG).trainable_parameters()}
    assert not any(name.startswith("language.t5.") for name in trained)
    assert {"language.memory", "language.project.weight", "resampler.queries", "log_temperature"} <= trained


def test_the_total_is_the_sum_of_the_weighted_losses(model: DynRefer) -> None:
    losses = losses_of(model, PAPERS_LOSSES)
    assert set(losses) == {"caption", "tag", "contrast", "total"}
    torch.testing.assert_close(losses["total"], losses["caption"] + losses["tag"] + losses["contrast"])
    doubled = losses_of(model, replace(PAPERS_LOSSES, tag=0.02))
    torch.testing.assert_close(doubled["tag"], 2 * losses["tag"])


@torch.no_grad()
def test_cached_features_train_as_the_photographs_they_come_from(model: DynRefer) -> None:
    cached, pixels = (losses_of(model, PAPERS_LOSSES, cached=cached) for cached in (True, False))
    torch.testing.assert_close(cached["total"], pixels["total"])


def test_batch_norm_keeps_its_statistics_in_training() -> None:
    model = network(CONFIGS["tiny"]).train()
    before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    model.encode(torch.randn(2, 3, 224, 224))
    assert before and all(torch.equal(dict(model.named_buffers())[name], value) for name, value in before.items())
