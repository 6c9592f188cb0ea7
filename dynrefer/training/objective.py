"""From a training batch to the losses, and these as functions of logits and labels.

S regions, T texts, V views, Q queries, N tags, A attributes, M attribute templates, K classes, E text width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynrefer.datasets.sample import UNKNOWN
from dynrefer.model import DynRefer
from dynrefer.training.config import LossWeights
from dynrefer.vocabulary import TextBank, best_of_groups


class Batch(NamedTuple):
    """One training batch, and the T texts of the global batch over all processes, against which the contrast is taken.

    Attributes:
        views: what `represent` takes.
        captions: [S, L] token ids with end token, 0 = padding. controls, controls_mask: [S, L']. style: [S].
        text: [S, E] embedding of the region's text; text_id: [S], equal where two texts are the same.
        tags: [S, N] and attributes: [S, A], 1 / 0 / -1 (unknown). category: [S], -1 = unknown.
        names_class: [S] bool, the text only names the class.
        all_text: [T, E]; all_text_id, all_category, all_names_class: [T]. Everyone can draw them, so that nothing has
            to be gathered.
        tag_rows: [N], the vocabulary's tags that `tags` are about; None for all.
    """

    views: dict[str, Tensor]
    captions: Tensor
    controls: Tensor
    controls_mask: Tensor
    style: Tensor
    text: Tensor
    text_id: Tensor
    tags: Tensor
    attributes: Tensor
    category: Tensor
    names_class: Tensor
    all_text: Tensor
    all_text_id: Tensor
    all_category: Tensor
    all_names_class: Tensor
    tag_rows: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """A copy on another device."""
        views, *others = self
        moved: list[Any] = [None if value is None else value.to(device, non_blocking=True) for value in others]
        return Batch(on_device(views, device), *moved)


def on_device(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies on another device, without waiting for them."""
    return {name: value.to(device, non_blocking=True) for name, value in tensors.items()}


class Objective(nn.Module):
    """The network with its losses as one module, which is what several processes train together."""

    def __init__(self, model: DynRefer) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, bank: TextBank, weights: LossWeights) -> dict[str, Tensor]:
        """Weighted losses of a part of the global batch by name, and their sum as `total`."""
        model = self.model
        region = queries, summary, belief = represent(model, batch.views)
        losses: dict[str, Tensor] = {}
        if weights.caption:
            losses["caption"] = weights.caption * caption_loss(model, batch, queries, summary, weights)
        if weights.tag:
            tags = bank.tags if batch.tag_rows is None else bank.tags[batch.tag_rows]
            logits = model.tag_logits(queries, tags, summary, belief)
            losses["tag"] = weights.tag * asymmetric_loss(logits, batch.tags)
        losses |= _contrast_losses(model, batch, bank, weights, region)
        if weights.sentence and summary is not None:
            cosine = (model.language.sentence(summary) * batch.text).sum(-1)
            losses["sentence"] = weights.sentence * (1 - cosine).mean()
        losses["total"] = torch.stack(list(losses.values())).sum()
        return losses


def represent(model: DynRefer, views: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Queries, summary and belief of S regions, see `DynRefer.represent`.

    Args:
        views: `geometry` [S, 6], and either `pixels` (uint8 [S * V, 224, 224, 3]) with `boxes` [S * V, 4] in view
            pixels, or from a feature cache `cuts` [S * V, G + B + g * g, C], see `RegionAlign.cut`.
    """
    cuts = views.get("cuts")
    if cuts is None:
        cuts = model.align.cut(model.encode(model.normalize(views["pixels"])), views["boxes"])
    return model.represent(cuts, views["geometry"])


def caption_loss(
    model: DynRefer, batch: Batch, queries: Tensor, summary: Tensor | None, weights: LossWeights
) -> Tensor:
    """Cross-entropy of the regions' captions; texts that only name the class count `weights.class_caption`."""
    language = model.language
    sentence = language.sentence(summary) if summary is not None and language.config.sentence_slot else None
    prompt, mask = language.prompt(queries, batch.controls, batch.controls_mask, sentence, batch.style)
    each = language(prompt, mask, batch.captions, weights.label_smoothing, batch.controls)
    share = torch.where(batch.names_class, weights.class_caption, 1.0)
    return (each * share).sum() / share.sum()


def _contrast_losses(
    model: DynRefer,
    batch: Batch,
    bank: TextBank,
    weights: LossWeights,
    region: tuple[Tensor, Tensor | None, Tensor | None],
) -> dict[str, Tensor]:
    """What goes through the contrast head: captions, and where weighted, classes and attributes."""
    queries, summary, belief = region
    losses: dict[str, Tensor] = {}
    parts: dict[str, Tensor] = {}
    if weights.contrast:
        parts["text"] = batch.all_text
    if weights.category:
        parts["classes"] = bank.classes
    split: dict[str, Tensor] = {}
    if parts:
        logits = model.contrast_logits(queries, torch.cat(list(parts.values())), summary, belief)
        split = dict(zip(parts, logits.split([len(p) for p in parts.values()], 1), strict=True))

    if "text" in split:
        losses["contrast"] = weights.contrast * pairwise_sigmoid_loss(
            split["text"], _same_text(batch), model.log_temperature, model.contrast_bias, len(queries)
        )
    if weights.category and (known := batch.category >= 0).any():
        losses["category"] = weights.category * F.cross_entropy(
            split["classes"].float()[known], batch.category[known], label_smoothing=weights.label_smoothing
        )
    if weights.attribute and (known := (batch.attributes >= 0).any(1)).any():
        own_summary = summary[known] if summary is not None else None
        templates = model.contrast_logits(queries[known], bank.attributes, own_summary)
        scores = best_of_groups(templates, bank.attribute_of, bank.num_attributes)
        losses["attribute"] = weights.attribute * attribute_loss(scores, batch.attributes[known])
    return losses


def _same_text(batch: Batch) -> Tensor:
    """Which of the global texts are true of which region [S, T]: the same text, or a text that only names its class."""
    named = batch.all_names_class & (batch.all_category >= 0)
    same = batch.text_id[:, None] == batch.all_text_id[None]
    return same | (named[None] & (batch.category[:, None] == batch.all_category[None]))


def asymmetric_loss(
    logits: Tensor, labels: Tensor, gamma_negative: float = 7.0, gamma_positive: float = 0.0, clip: float = 0.05
) -> Tensor:
    """Asymmetric multi-label loss (Ridnik et al., ICCV 2021): logits, labels [S, N] (1 / 0 / -1 unknown) -> scalar.

    Easy negatives are discounted by `gamma_negative` and dropped below probability `clip`. Sum over N, mean over S.
    """
    p = logits.float().sigmoid()
    not_p = (1 - p + clip).clamp(max=1)
    positive, negative = (labels == 1).float(), (labels == 0).float()
    log_likelihood = positive * p.clamp(min=1e-8).log() + negative * not_p.clamp(min=1e-8).log()
    certainty = p * positive + not_p * negative
    focus = (1 - certainty).clamp(min=0) ** (gamma_positive * positive + gamma_negative * negative)
    return -(log_likelihood * focus.detach()).sum(1).mean()


def pairwise_sigmoid_loss(
    logits: Tensor, same: Tensor, log_temperature: Tensor, bias: Tensor, total_texts: int | None = None
) -> Tensor:
    """Sigmoid loss of region-text pairs (SigLIP, Zhai et al., ICCV 2023): logits [S, T], same [S, T] bool -> scalar.

    Every pair counts once; the mean of both directions (per region, per text) of a square batch is the same number.
    `total_texts` is what to divide by, T by default: with several processes every one holds its own rows of the global
    batch's pairs, and passes its own number of regions so that the mean over processes is the loss of the whole batch.
    """
    signs = torch.where(same, 1.0, -1.0)
    scaled = logits.float() * log_temperature.exp() + bias
    return -F.logsigmoid(signs * scaled).sum() / (total_texts or logits.shape[1])


def attribute_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy over known attributes: logits, labels [S, A] (1 / 0 / -1) -> scalar, 0 if none is known."""
    known = labels != UNKNOWN
    if not known.any():
        return logits.sum() * 0
    return F.binary_cross_entropy_with_logits(logits.float()[known], labels.float()[known])
