"""Text encoders behind one interface: list of strings -> [T, E]. Frozen; their tokenizer comes with the checkpoint.

BERT's encoder (Devlin et al., NAACL 2019) is here under `transformers`' names, for inference; see `t5` for why.
B rows, N tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from dynrefer.model.config import TextEncoderConfig

BATCH = 256  # texts of like length at a time


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

    def prepare_inference(self) -> None:
        """Keep embeddings of BERT's words, half of its numbers, in half precision where checkpoints have them so."""
        if isinstance(self.text, Bert):
            words = self.text.embeddings.word_embeddings
            half = words.weight.detach().half()
            if words.weight.dtype == torch.float32 and torch.equal(half.float(), words.weight):
                words.weight = nn.Parameter(half, requires_grad=False)

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
    def forward(self, texts: Sequence[str]) -> Tensor:
        """Embed texts in batches of like length -> [T, E] in the order given, float32, on the model's device."""
        assert self.tokenizer is not None, "a checkpoint sets the tokenizer"
        encoded = [self.tokenizer.encode(text).ids for text in texts]
        device = next(self.parameters()).device
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        out = torch.zeros(len(texts), self.config.width, device=device)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
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


@dataclass(frozen=True)
class BertConfig:
    """The arguments of `transformers.BertConfig` that make a difference here."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12


class BertEmbeddings(nn.Module):
    """Words and their places; all tokens are of type 0."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, config.layer_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        """ids [B, N] -> [B, N, D]."""
        places = self.position_embeddings.weight[: ids.shape[1]]
        words = self.word_embeddings(ids).to(places.dtype)
        return self.LayerNorm(words + places + self.token_type_embeddings.weight[0])


class BertLayer(nn.Module):
    """Self-attention and feed-forward, each with a residual and a norm behind it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width, self.heads = config.hidden_size, config.num_attention_heads
        own = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": own, "output": _output(width, width, config.layer_norm_eps)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, config.intermediate_size)})
        self.output = _output(config.intermediate_size, width, config.layer_norm_eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, N, D], mask [B, 1, 1, N], true where a token may be looked at -> [B, N, D]."""
        own = cast(nn.ModuleDict, self.attention["self"])
        q, k, v = (own[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in ("query", "key", "value"))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        output = cast(nn.ModuleDict, self.attention["output"])
        x = output["LayerNorm"](x + output["dense"](mixed))
        return self.output["LayerNorm"](x + self.output["dense"](F.gelu(self.intermediate["dense"](x))))


class Bert(nn.Module):
    """Token ids -> hidden states; without the pooler."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(config)
        self.encoder = nn.ModuleDict(
            {"layer": nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))}
        )
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """input_ids [B, N], attention_mask [B, N] (1 = token) -> [B, N, D]."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        x = self.embeddings(input_ids)
        for layer in cast(nn.ModuleList, self.encoder["layer"]):
            x = layer(x, mask[:, None, None].bool())
        return x


def _output(width: int, out: int, eps: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(width, out), "LayerNorm": nn.LayerNorm(out, eps)})
