"""The training objective: asymmetric tagging loss, pairwise sigmoid contrast, caption cross-entropy, and their weights.

S regions, N tags, A attributes, T texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

UNKNOWN = -1


@dataclass(frozen=True)
class LossWeights:
    """Weights of the sum. The first three are the paper's; the others teach the small model and are 0 in its recipe.

    Attributes:
        attribute: binary cross-entropy on known attribute labels, through the contrast head.
        category: cross-entropy over the class list, through the contrast head.
        distill: cross-entropy to the ImageNet classifier's belief, through the contrast head.
        sentence: 1 - cosine of the predicted and the true sentence embedding.
        text_only: caption cross-entropy on text without a photograph.
        class_caption: factor on the caption loss of texts that only name the class.
    """

    caption: float = 1.0
    tag: float = 0.01
    contrast: float = 0.5
    attribute: float = 0.0
    category: float = 0.0
    distill: float = 0.0
    sentence: float = 0.0
    text_only: float = 0.0
    class_caption: float = 1.0
    label_smoothing: float = 0.0


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


def distillation_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy to the teacher on a sample of its classes: logits [S, T], probabilities [S, T] -> scalar.

    Each region counts as much as the mass that the teacher gives to the sampled classes.
    """
    mass = teacher.sum(1, keepdim=True)
    target = teacher / mass.clamp(min=1e-4)
    return (-(target * F.log_softmax(logits.float(), -1)).sum(1) * mass[:, 0]).mean()
