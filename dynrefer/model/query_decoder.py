"""Texts as queries over a region: the decoder that tagging and contrast share, each with weights of its own.

S regions, Q queries, D their width, T texts, E text width, W the decoder's width, K the classifier's classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynrefer.model.config import QueryDecoderConfig
from dynrefer.model.resampler import TransformerLayer

SMALLEST = 0.01  # belief below it is as good as none
ALIKE_FROM = 0.55  # cosine of two names below which one says nothing of the other


@dataclass(frozen=True)
class TextQueries:
    """Texts as one decoder takes them; they do not change from region to region, so a list is prepared once.

    Attributes:
        queries: [T, W]. bilinear: [T, W], or None without the bilinear term.
        votes: [K, T], see `ClassifierNames`, or sparse [T, K]; None without a classifier.
        whole: decode all of them, also where a decoder has a short list.
    """

    queries: Tensor
    bilinear: Tensor | None
    votes: Tensor | None = None
    whole: bool = False

    def sparse(self) -> TextQueries:
        """The same without votes of 0, which almost all are, and 80 MB for 20,000 texts; it can no longer be split."""
        return self if self.votes is None else replace(self, votes=self.votes.T.to_sparse())

    def split(self, size: int) -> list[TextQueries]:
        """The texts in parts of at most `size`."""
        count = len(self.queries)
        return [self._part(slice(start, start + size)) for start in range(0, count, size)]

    def _part(self, rows: slice) -> TextQueries:
        bilinear = None if self.bilinear is None else self.bilinear[rows]
        return TextQueries(
            self.queries[rows], bilinear, None if self.votes is None else self.votes[:, rows], self.whole
        )


class ClassifierNames(nn.Module):
    """Names of the classifier's classes, and how much each class's probability is worth to a text.

    Every class votes for a text with its probability, weighted by how alike name and text are: the convex combination
    of Norouzi et al. (ICLR 2014), as a score a text. A class has two names, the data set's and the everyday one.
    """

    embeddings: Tensor

    def __init__(self, text_width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(2, classes, text_width))

    def forward(self, texts: Tensor) -> Tensor:
        """Texts [T, E] of unit norm -> votes [K, T] in 0 .. 1."""
        names = self.embeddings.to(texts.dtype)
        alike = torch.maximum(names[0] @ texts.T, names[1] @ texts.T)
        return ((alike - ALIKE_FROM).clamp(min=0) / (1 - ALIKE_FROM)).square()


class QueryDecoder(nn.Module):
    """Cross-attention and feed-forward layers without self-attention: every text is scored on its own.

    Args:
        belief: add what the encoder's classifier believes of a text.
        normalize: L2-normalise the decoded text before the last layer (the paper's contrast head).
    """

    def __init__(
        self,
        config: QueryDecoderConfig,
        region_width: int,
        text_width: int,
        *,
        belief: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.text_scale, self.normalize, self.shortlist = config.text_scale, normalize, config.shortlist
        self.vision_proj = nn.Linear(region_width, config.width)
        self.text_proj = nn.Linear(text_width, config.width)
        self.text_norm = nn.LayerNorm(config.width) if config.norm_first else nn.Identity()
        self.layers = nn.ModuleList(
            TransformerLayer(
                config.width,
                config.heads,
                config.hidden,
                self_attention=False,
                context_width=config.width,
                norm_first=config.norm_first,
                dropout=config.dropout,
                eps=config.eps,
            )
            for _ in range(config.layers)
        )
        self.output_norm = nn.LayerNorm(config.width) if config.norm_first else nn.Identity()
        self.score = nn.Linear(config.width, 1)
        if config.bilinear:
            self.summary_proj = nn.Linear(region_width, config.width)
            self.summary_text_proj = nn.Linear(text_width, config.width)
        self.belief_weights = nn.Parameter(torch.zeros(2)) if belief else None  # of belief and of its logarithm

    def prepare(self, texts: Tensor, votes: Tensor | None = None) -> TextQueries:
        """Text embeddings [T, E] -> what the decoder needs of them for any region."""
        scaled = (texts * self.text_scale).to(next(self.parameters()).dtype)
        bilinear = self.summary_text_proj(scaled) if hasattr(self, "summary_text_proj") else None
        return TextQueries(self.text_norm(self.text_proj(scaled)), bilinear, votes)

    def forward(
        self, queries: Tensor, texts: TextQueries, summary: Tensor | None = None, belief: Tensor | None = None
    ) -> Tensor:
        """queries [S, Q, D], summary [S, D] or None, the classifier's belief [S, K] or None -> logits [S, T]."""
        return self.score_lists([texts], queries, summary, belief)[0]

    def score_lists(
        self,
        lists: Sequence[TextQueries],
        queries: Tensor,
        summary: Tensor | None = None,
        belief: Tensor | None = None,
    ) -> list[Tensor]:
        """Logits [S, T] of each list, as of `forward`; what is decoded goes through the layers together.

        With a short list, only the texts that come first by the cheap terms (bilinear and belief) are decoded; the
        others keep their cheap score, on top of the least that decoding gave.
        """
        cheap = [None if summary is None else self.cheap_logits(texts, summary, belief) for texts in lists]
        best = [self._shortlisted(*each) for each in zip(cheap, lists, strict=True)]
        rows = [
            texts.queries[None].expand(len(queries), -1, -1) if first is None else texts.queries[first]
            for texts, first in zip(lists, best, strict=True)
        ]
        together = self.decode(queries, torch.cat(rows, 1) if len(rows) > 1 else rows[0])
        each = together.split([x.shape[1] for x in rows], 1)
        return [_joined(*parts) for parts in zip(cheap, best, each, strict=True)]

    def _shortlisted(self, cheap: Tensor | None, texts: TextQueries) -> Tensor | None:
        """Places [S, shortlist] of the texts to decode; None for all."""
        if cheap is None or texts.whole or self.training or not 0 < self.shortlist < len(texts.queries):
            return None
        return cheap.topk(self.shortlist, 1).indices

    def cheap_logits(self, texts: TextQueries, summary: Tensor, belief: Tensor | None) -> Tensor | None:
        """What matrix products alone say of every text: summary [S, D], belief [S, K] or None -> [S, T]."""
        if texts.bilinear is None:
            return None
        logits = self.summary_proj(summary) @ texts.bilinear.T / self.summary_proj.out_features**0.5
        if self.belief_weights is not None and texts.votes is not None and belief is not None:
            believed = belief.to(texts.votes.dtype)
            voted = (texts.votes @ believed.T).T if texts.votes.is_sparse else believed @ texts.votes
            voted = voted.clamp(max=1)
            logits = logits + self.belief_weights[0] * voted + self.belief_weights[1] * (voted + SMALLEST).log()
        return logits

    def decode(self, queries: Tensor, x: Tensor) -> Tensor:
        """What looking at the region adds to the cheap terms: queries [S, Q, D], texts x [S, T, W] -> [S, T]."""
        region = self.vision_proj(queries)
        for layer in self.layers:
            x = layer(x, region)
        x = self.output_norm(x)
        return self.score(F.normalize(x, dim=-1) if self.normalize else x).squeeze(-1)


def _joined(cheap: Tensor | None, best: Tensor | None, decoded: Tensor) -> Tensor:
    """Logits [S, T] of cheap ones [S, T] and of what decoding adds to all of them or to the places `best`."""
    if cheap is None:
        return decoded
    if best is None:
        return cheap + decoded
    rest = cheap + decoded.amin(1, keepdim=True)
    return rest.scatter(1, best, cheap.gather(1, best) + decoded)
