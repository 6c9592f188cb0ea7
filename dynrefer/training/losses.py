"""The parts of the training objective as functions of logits and labels.

S regions, N tags, A attributes, T texts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

UNKNOWN = -1


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


def name_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of what regions are called: logits, labels [S, K] (1 / 0 / -1 unknown) -> scalar.

    Sum over the known names of a region, for one of a thousand is true, and mean over the regions that have any; 0 if
    none has. Each name is judged by itself, so that a region of which no name of the list is true scores low on all.
    """
    known = labels != UNKNOWN
    each = F.binary_cross_entropy_with_logits(logits.float(), (labels == 1).float(), reduction="none")
    return (each * known).sum() / known.any(1).sum().clamp(min=1)
