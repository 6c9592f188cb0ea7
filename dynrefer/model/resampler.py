"""Q-Former: learned queries read the fused tokens and become the region's representation.

Its transformer layer is BERT's post-norm (the paper) or pre-norm (the mini model); the query decoders have it too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynrefer.model.config import ResamplerConfig


class Attention(nn.Module):
    """Multi-head attention whose keys and values may come from a sequence of another width.

    Args:
        width: channels of the queries and of the output.
        context_width: channels of the keys' and values' source.
        heads: must divide `width`.
    """

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_width, width)
        self.value = nn.Linear(context_width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x [B, N, width], context [B, M, context_width] -> [B, N, width]."""

        def split(tokens: Tensor) -> Tensor:
            return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, N, width / heads]

        mixed = F.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(context)), split(self.value(context))
        )
        return self.output(mixed.transpose(1, 2).flatten(2))


class SharedDropout(nn.Dropout):
    """Drops the same channels of all tokens: texts are compared in one region alike, and few numbers are drawn."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, width]."""
        return x * super().forward(x.new_ones(len(x), 1, x.shape[-1])) if self.training and self.p else x


class TransformerLayer(nn.Module):
    """Self-attention and cross-attention (each optional), then a feed-forward network, each with a residual.

    Args:
        context_width: channels of what is read by cross-attention; None leaves cross-attention out.
        norm_first: layer norm before each part instead of after the residual.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        self_attention: bool,
        context_width: int | None,
        norm_first: bool,
        dropout: float,
        eps: float,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.self_attention = Attention(width, width, heads) if self_attention else None
        self.self_norm = nn.LayerNorm(width, eps) if self_attention else None
        self.cross_attention = Attention(width, context_width, heads) if context_width else None
        self.cross_norm = nn.LayerNorm(width, eps) if context_width else None
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.feed_forward_norm = nn.LayerNorm(width, eps)
        self.dropout = nn.Dropout(dropout) if self_attention else SharedDropout(dropout)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x [B, N, width], context [B, M, context_width] -> [B, N, width]."""
        if self.self_attention is not None and self.self_norm is not None:
            y = self.self_norm(x) if self.norm_first else x
            x = self._residual(x, self.self_attention(y, y), self.self_norm)
        if self.cross_attention is not None and self.cross_norm is not None:
            y = self.cross_norm(x) if self.norm_first else x
            x = self._residual(x, self.cross_attention(y, context), self.cross_norm)
        y = self.feed_forward_norm(x) if self.norm_first else x
        return self._residual(x, self.feed_forward(y), self.feed_forward_norm)

    def _residual(self, x: Tensor, update: Tensor, norm: nn.Module) -> Tensor:
        x = x + self.dropout(update)
        return x if self.norm_first else norm(x)


class Resampler(nn.Module):
    """BLIP-2's Q-Former without its text branch: self-attention, cross-attention in every n-th layer, feed-forward."""

    def __init__(self, config: ResamplerConfig, context_width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, config.queries, config.width) * 0.02)
        self.input_norm = nn.Identity() if config.norm_first else nn.LayerNorm(config.width, config.eps)
        self.layers = nn.ModuleList(
            TransformerLayer(
                config.width,
                config.heads,
                config.hidden,
                self_attention=True,
                context_width=context_width if layer % config.cross_attention_every == 0 else None,
                norm_first=config.norm_first,
                dropout=config.dropout,
                eps=config.eps,
            )
            for layer in range(config.layers)
        )
        self.output_norm = nn.LayerNorm(config.width, config.eps) if config.norm_first else nn.Identity()
        self.dropout = nn.Dropout(0.0 if config.norm_first else config.dropout)

    def forward(self, fused: Tensor) -> Tensor:
        """fused [S, T', C] -> queries [S, Q, D]."""
        x = self.dropout(self.input_norm(self.queries)).expand(len(fused), -1, -1)
        for layer in self.layers:
            x = layer(x, fused)
        return self.output_norm(x)


class RegionSummary(nn.Module):
    """One vector a region, from the resampler's queries and the fused tokens; only the small model has it.

    At the small size the query decoder's queries start out alike; scoring texts against this vector breaks the tie,
    and the language model gets it as a predicted sentence embedding.
    """

    def __init__(self, config: ResamplerConfig, global_tokens: int, fused_width: int) -> None:
        super().__init__()
        self.global_tokens = global_tokens
        self.project = nn.Linear(config.width + 2 * fused_width, config.width)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, fused: Tensor, queries: Tensor) -> Tensor:
        """fused [S, G + g * g + 1, C], queries [S, Q, D] -> [S, D]."""
        pooled = fused[:, : self.global_tokens].mean(1)
        region = fused[:, self.global_tokens : -1].mean(1)
        return self.norm(
            self.project(torch.cat([queries.mean(1), region.to(queries.dtype), pooled.to(queries.dtype)], -1))
        )
