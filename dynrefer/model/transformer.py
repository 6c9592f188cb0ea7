"""The transformer layer of resampler and query decoders: BERT's post-norm (the paper) or pre-norm (the mini model)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


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
