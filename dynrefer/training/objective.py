"""From a training batch to the losses.

S regions, V views, Q queries, N tags, A attributes, M attribute templates, K classes, E text width, B extra sentences.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from dynrefer.model import DynRefer
from dynrefer.training.config import LossWeights
from dynrefer.training.losses import (
    asymmetric_loss,
    attribute_loss,
    name_loss,
    pairwise_sigmoid_loss,
)
from dynrefer.vocabulary import TextBank, best_of_groups, moved


@dataclass(frozen=True)
class Batch:
    """One training batch. Give either `pixels` and `boxes`, or `cuts` (RoIAligned features from a cache).

    Attributes:
        pixels: [S * V, 3, 224, 224] normalised views; boxes: [S * V, 4] in view pixels.
        cuts: [S * V, G + B + g * g, C], see `RegionAlign.cut`.
        geometry: [S, 6], see `RegionAlign.forward`.
        captions: [S, L] token ids with end token, 0 = padding. controls, controls_mask: [S, L']. style: [S].
        text: [S, E] embedding of the region's text; text_id: [S], equal where two texts are the same.
        tags: [S, N], attributes: [S, A] and names: [S, K], 1 / 0 / -1 (unknown). category: [S], -1 = unknown.
        names_class: [S] bool, the text only names the class.
        extra_captions, extra_text, extra_controls, extra_controls_mask, extra_style: B sentences without a photograph.
    """

    geometry: Tensor
    captions: Tensor
    controls: Tensor
    controls_mask: Tensor
    text: Tensor
    text_id: Tensor
    tags: Tensor
    pixels: Tensor | None = None
    boxes: Tensor | None = None
    cuts: Tensor | None = None
    style: Tensor | None = None
    attributes: Tensor | None = None
    category: Tensor | None = None
    names: Tensor | None = None
    names_class: Tensor | None = None
    extra_captions: Tensor | None = None
    extra_text: Tensor | None = None
    extra_controls: Tensor | None = None
    extra_controls_mask: Tensor | None = None
    extra_style: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """A copy on another device."""
        tensors: dict[str, Any] = {f.name: moved(getattr(self, f.name), device) for f in fields(self)}
        return Batch(**tensors)


@dataclass(frozen=True)
class GlobalTexts:
    """Texts of the global batch, over all processes, for the contrast: embeddings [T, E], ids and categories [T]."""

    text: Tensor
    text_id: Tensor
    category: Tensor
    names_class: Tensor

    def to(self, device: torch.device) -> GlobalTexts:
        """A copy on another device."""
        return GlobalTexts(**{name: value.to(device) for name, value in vars(self).items()})


class Objective(nn.Module):
    """The network with its losses as one module, which is what several processes train together."""

    def __init__(self, model: DynRefer) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, batch: Batch, bank: TextBank, weights: LossWeights, texts: GlobalTexts | None = None
    ) -> dict[str, Tensor]:
        """Weighted losses by name and their sum as `total`; see `compute_losses`."""
        return compute_losses(self.model, batch, bank, weights, texts)


def represent(model: DynRefer, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Queries, summary and belief of a batch (see `DynRefer.represent`), from its views or from its cached cuts."""
    cuts = batch.cuts
    if cuts is None:
        assert batch.pixels is not None and batch.boxes is not None
        cuts = model.align.cut(model.encode(batch.pixels), batch.boxes)
    return model.represent(cuts, batch.geometry)


def compute_losses(
    model: DynRefer, batch: Batch, bank: TextBank, weights: LossWeights, texts: GlobalTexts | None = None
) -> dict[str, Tensor]:
    """Weighted losses by name, and their sum as `total`.

    Args:
        texts: the global batch's texts when several processes train together; the batch's own when None.
    """
    region = queries, summary, belief = represent(model, batch)
    losses: dict[str, Tensor] = {}
    if weights.caption:
        losses["caption"] = weights.caption * caption_loss(model, batch, queries, summary, weights)
    if weights.tag:
        logits = model.tag_logits(queries, bank.tags, summary, belief)
        losses["tag"] = weights.tag * asymmetric_loss(logits, batch.tags)
    losses |= _contrast_losses(model, batch, bank, weights, texts or _own_texts(batch), region)
    if weights.sentence and summary is not None:
        cosine = (model.language.sentence(summary) * batch.text).sum(-1)
        losses["sentence"] = weights.sentence * (1 - cosine).mean()
    if weights.text_only and batch.extra_captions is not None:
        losses["text_only"] = weights.text_only * text_only_loss(model, batch, weights)
    losses["total"] = torch.stack(list(losses.values())).sum()
    return losses


def caption_loss(
    model: DynRefer, batch: Batch, queries: Tensor, summary: Tensor | None, weights: LossWeights
) -> Tensor:
    """Cross-entropy of the regions' captions; texts that only name the class count `weights.class_caption`."""
    language = model.language
    sentence = language.sentence(summary) if summary is not None and language.config.sentence_slot else None
    prompt, mask = language.prompt(queries, batch.controls, batch.controls_mask, sentence, batch.style)
    each = language(prompt, mask, batch.captions, weights.label_smoothing, batch.controls)
    if batch.names_class is None:
        return each.mean()
    share = torch.where(batch.names_class, weights.class_caption, 1.0)
    return (each * share).sum() / share.sum()


def text_only_loss(model: DynRefer, batch: Batch, weights: LossWeights) -> Tensor:
    """Cross-entropy of sentences written from their own embedding alone: teaches the small language model to write."""
    language = model.language
    assert batch.extra_captions is not None
    assert batch.extra_controls is not None and batch.extra_controls_mask is not None
    prompt, mask = language.prompt(
        None, batch.extra_controls, batch.extra_controls_mask, batch.extra_text, batch.extra_style
    )
    return language(prompt, mask, batch.extra_captions, weights.label_smoothing, batch.extra_controls).mean()


def _contrast_losses(
    model: DynRefer,
    batch: Batch,
    bank: TextBank,
    weights: LossWeights,
    texts: GlobalTexts,
    region: tuple[Tensor, Tensor | None, Tensor | None],
) -> dict[str, Tensor]:
    """What goes through the contrast head: captions, and where weighted, names, classes, attributes."""
    queries, summary, belief = region
    losses: dict[str, Tensor] = {}
    parts: dict[str, Tensor] = {}
    if weights.contrast:
        parts["text"] = texts.text
    if weights.category or weights.name:
        parts["classes"] = bank.classes
    split: dict[str, Tensor] = {}
    if parts:
        logits = model.contrast_logits(queries, torch.cat(list(parts.values())), summary, belief)
        split = dict(zip(parts, logits.split([len(p) for p in parts.values()], 1), strict=True))

    if "text" in split:
        losses["contrast"] = weights.contrast * pairwise_sigmoid_loss(
            split["text"], _same_text(batch, texts), model.log_temperature, model.contrast_bias, len(queries)
        )
    if weights.category and batch.category is not None and (known := batch.category >= 0).any():
        losses["category"] = weights.category * torch.nn.functional.cross_entropy(
            split["classes"].float()[known], batch.category[known], label_smoothing=weights.label_smoothing
        )
    if weights.name and batch.names is not None:
        losses["name"] = weights.name * name_loss(split["classes"], batch.names)
    if weights.attribute and batch.attributes is not None and (known := (batch.attributes >= 0).any(1)).any():
        own_summary = summary[known] if summary is not None else None
        templates = model.contrast_logits(queries[known], bank.attributes, own_summary)
        scores = best_of_groups(templates, bank.attribute_of, bank.num_attributes)
        losses["attribute"] = weights.attribute * attribute_loss(scores, batch.attributes[known])
    return losses


def _same_text(batch: Batch, texts: GlobalTexts) -> Tensor:
    """Which of the global texts are true of which region [S, T]: the same text, or a text that only names its class."""
    same = batch.text_id[:, None] == texts.text_id[None]
    if batch.category is not None:
        named = texts.names_class & (texts.category >= 0)
        same = same | (named[None] & (batch.category[:, None] == texts.category[None]))
    return same


def _own_texts(batch: Batch) -> GlobalTexts:
    unknown = torch.full_like(batch.text_id, -1)
    return GlobalTexts(
        batch.text,
        batch.text_id,
        batch.category if batch.category is not None else unknown,
        batch.names_class if batch.names_class is not None else unknown.bool() & False,
    )
