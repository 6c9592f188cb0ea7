"""Texts as queries over a region: the decoder that tagging and contrast share, each with weights of its own."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dynrefer.model.config import QueryDecoderConfig
from dynrefer.model.transformer import TransformerLayer


class QueryDecoder(nn.Module):
    """Cross-attention and feed-forward layers without self-attention: every text is scored on its own.

    Args:
        normalize: L2-normalise the decoded text before the last layer (the paper's contrast head).
    """

    def __init__(
        self, config: QueryDecoderConfig, region_width: int, text_width: int, *, normalize: bool = False
    ) -> None:
        super().__init__()
        self.text_scale, self.normalize = config.text_scale, normalize
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

    def forward(self, queries: Tensor, texts: Tensor, summary: Tensor | None = None) -> Tensor:
        """queries [S, Q, D], texts [T, E], summary [S, D] or None -> logits [S, T]."""
        texts = (texts * self.text_scale).to(queries.dtype)
        region = self.vision_proj(queries)
        x = self.text_norm(self.text_proj(texts))[None].expand(len(queries), -1, -1)  # [S, T, width]
        for layer in self.layers:
            x = layer(x, region)
        x = self.output_norm(x)
        logits = self.score(F.normalize(x, dim=-1) if self.normalize else x).squeeze(-1)
        if summary is not None:
            inner = self.summary_proj(summary) @ self.summary_text_proj(texts).T
            logits = logits + inner / self.summary_proj.out_features**0.5
        return logits
