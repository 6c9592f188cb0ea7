"""Q-Former: learned queries read the fused tokens and become the region's representation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dynrefer.model.config import ResamplerConfig
from dynrefer.model.transformer import TransformerLayer


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
