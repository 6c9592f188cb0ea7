"""Text encoders behind one interface: list of strings -> [T, E]. Frozen; their tokenizer comes with the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from dynrefer.model.bert import Bert, BertConfig
from dynrefer.model.config import TextEncoderConfig


class TextEncoder(nn.Module):
    """Sentence embeddings: BERT's tokens averaged and normalised (MiniLM), or CLIP's end-of-text token as it is.

    Attributes:
        tokenizer: set by the checkpoint that loads the weights.
    """

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self._tokenizer: Tokenizer | None = None
        if config.kind == "bert":
            self.text: nn.Module = Bert(BertConfig(**config.options))
        else:
            from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

            model = CLIPTextModel if config.kind == "clip-pooled" else CLIPTextModelWithProjection
            self.text = model(CLIPTextConfig(**config.options))

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Cuts texts at the configured length."""
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Tokenizer | None) -> None:
        if tokenizer is not None:
            tokenizer.enable_truncation(self.config.max_length)
        self._tokenizer = tokenizer

    @torch.no_grad()
    def forward(self, texts: Sequence[str], batch_size: int = 256) -> Tensor:
        """Embed texts in batches of like length -> [T, E] in the order given, float32, on the model's device."""
        assert self.tokenizer is not None, "a checkpoint sets the tokenizer"
        encoded = [self.tokenizer.encode(text).ids for text in texts]
        device = next(self.parameters()).device
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        out = torch.zeros(len(texts), self.config.width, device=device)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            ids, mask = pad([encoded[i] for i in chosen])
            out[chosen] = self._embed(ids.to(device), mask.to(device)).float()
        return out

    def _embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        out = self.text(input_ids=ids, attention_mask=mask)
        if self.config.kind == "clip":
            return out.text_embeds
        if self.config.kind == "clip-pooled":
            return out.pooler_output
        weight = mask[..., None].to(out.dtype)
        return F.normalize((out * weight).sum(1) / weight.sum(1), dim=-1)  # of hidden states [T, L, E]


def pad(rows: Sequence[Sequence[int]], value: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids of different lengths -> ids [B, L] filled up with `value`, mask [B, L] (1 = token); L is at least 1."""
    length = max([1, *(len(row) for row in rows)])
    ids = torch.full((len(rows), length), value, dtype=torch.long)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return ids, mask
