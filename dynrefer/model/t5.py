"""T5 (Raffel et al., JMLR 2020) and FLAN-T5 under `transformers`' names, to the same numbers.

Own code because the library's takes 2.5 s to import, which is most of what describing one photograph takes.
B rows, N and M tokens, D width, H heads, W words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class T5Config:
    """The arguments of `transformers.T5Config` that make a difference here."""

    __pydantic_config__ = {"extra": "forbid", "strict": True}  # noqa: RUF012 - read by pydantic, where config.json is

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int = 6
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: Literal["relu", "gated-gelu"] = "relu"
    tie_word_embeddings: bool = True  # one matrix for the word embedding and the head, whose input is then scaled
    pad_token_id: int = 0
    eos_token_id: int = 1
    decoder_start_token_id: int = 0


class Attention(nn.Module):
    """Multi-head attention without scaling; the first layer's own also makes the bias by relative position."""

    joined: nn.Linear

    def __init__(self, config: T5Config, relative: bool = False, causal: bool = False) -> None:
        super().__init__()
        self.config, self.causal = config, causal
        width, inner = config.d_model, config.num_heads * config.d_kv
        self.q, self.k, self.v = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, width, bias=False)
        nn.init.normal_(self.q.weight, std=(width * config.d_kv) ** -0.5)
        for linear in (self.k, self.v):
            nn.init.normal_(linear.weight, std=width**-0.5)
        nn.init.normal_(self.o.weight, std=inner**-0.5)
        if relative:
            self.relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_heads)
            nn.init.normal_(self.relative_attention_bias.weight, std=width**-0.5)

    def forward(self, x: Tensor, context: Tensor, bias: Tensor) -> Tensor:
        """x [B, N, D], context [B, M, D], bias [B or 1, H or 1, N or 1, M] added to the scores -> [B, N, D]."""
        query, both = self.of_itself(x) if context is x else (self.q(x), self.keys_values(context))
        q, (k, v) = self.split(query), self.split(both, 2).unbind(1)
        drop = self.config.dropout_rate if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), dropout_p=drop, scale=1.0)
        return self.o(mixed.transpose(1, 2).flatten(2))

    def join(self, of_itself: bool) -> None:
        """Make one linear layer of those that read the same, in place and for inference only.

        Args:
            of_itself: the queries read the same as keys and values.
        """
        _join(self, ("q", "k", "v") if of_itself else ("k", "v"), "joined")

    def of_itself(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, N, D] -> queries [B, N, H * d_kv], keys and values [B, N, 2 * H * d_kv]."""
        if hasattr(self, "joined"):
            inner = self.o.in_features
            query, both = self.joined(x).split((inner, 2 * inner), -1)
            return query, both
        return self.q(x), self.keys_values(x)

    def keys_values(self, context: Tensor) -> Tensor:
        """Context [B, M, D] -> [B, M, 2 * H * d_kv]."""
        if hasattr(self, "joined"):
            return self.joined(context)
        return torch.cat([self.k(context), self.v(context)], -1)

    def split(self, x: Tensor, parts: int | None = None) -> Tensor:
        """[B, N, parts * H * d_kv] -> [B, parts, H, N, d_kv], or without `parts` [B, H, N, d_kv]."""
        sizes = (self.config.num_heads, -1) if parts is None else (parts, self.config.num_heads, -1)
        return x.unflatten(-1, sizes).movedim(1, -2)

    def compute_bias(self, queries: int, keys: int) -> Tensor:
        """What is added for the distance between tokens [1, H, N, M]."""
        device = self.relative_attention_bias.weight.device
        distance = torch.arange(keys, device=device)[None] - torch.arange(queries, device=device)[:, None]
        return self.relative_attention_bias(self._buckets(distance)).permute(2, 0, 1)[None]

    def _buckets(self, distance: Tensor) -> Tensor:
        """Half of the buckets for near distances one by one, half for far ones by their logarithm."""
        buckets = self.config.relative_attention_num_buckets
        first = torch.zeros_like(distance)
        if self.causal:
            distance = (-distance).clamp(min=0)
        else:
            buckets //= 2
            first, distance = (distance > 0) * buckets, distance.abs()
        near = buckets // 2
        reach = math.log(self.config.relative_attention_max_distance / near)
        far = near + (torch.log(distance.clamp(min=1).float() / near) / reach * (buckets - near)).long()
        return first + torch.where(distance < near, distance, far.clamp(max=buckets - 1))


class AttentionLayer(nn.Module):
    """Norm, attention, residual; `name` is "SelfAttention" or "EncDecAttention"."""

    def __init__(self, config: T5Config, name: str, relative: bool = False, causal: bool = False) -> None:
        super().__init__()
        self.add_module(name, Attention(config, relative, causal))
        self.name = name
        self.layer_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor, context: Tensor | None, bias: Tensor) -> Tensor:
        """x [B, N, D]; context [B, M, D], or None for x itself."""
        normed = self.layer_norm(x)
        attention = self.get_submodule(self.name)
        return x + self.dropout(attention(normed, normed if context is None else context, bias))


class FeedForward(nn.Module):
    """Linear, activation, linear; the gated form multiplies by a second linear."""

    wi_0: nn.Linear
    wi_1: nn.Linear
    joined: nn.Linear

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.gated = config.feed_forward_proj == "gated-gelu"
        for name in ("wi_0", "wi_1") if self.gated else ("wi",):
            self.add_module(name, nn.Linear(config.d_model, config.d_ff, bias=False))
            nn.init.normal_(self.get_submodule(name).get_parameter("weight"), std=config.d_model**-0.5)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        nn.init.normal_(self.wo.weight, std=config.d_ff**-0.5)
        self.dropout = nn.Dropout(config.dropout_rate)

    def join(self) -> None:
        """As `Attention.join`."""
        if self.gated:
            _join(self, ("wi_0", "wi_1"), "joined")

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, D]."""
        if self.gated:
            both = self.joined(x).chunk(2, -1) if hasattr(self, "joined") else (self.wi_0(x), self.wi_1(x))
            return self.wo(self.dropout(F.gelu(both[0], approximate="tanh") * both[1]))
        return self.wo(self.dropout(F.relu(self.get_submodule("wi")(x))))


class FeedForwardLayer(nn.Module):
    """Norm, feed-forward, residual."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.DenseReluDense = FeedForward(config)
        self.layer_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, D]."""
        return x + self.dropout(self.DenseReluDense(self.layer_norm(x)))


class Block(nn.Module):
    """Self-attention, in the decoder cross-attention, feed-forward."""

    def __init__(self, config: T5Config, decoder: bool, first: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [AttentionLayer(config, "SelfAttention", relative=first, causal=decoder)]
        if decoder:
            layers.append(AttentionLayer(config, "EncDecAttention"))
        self.layer = nn.ModuleList([*layers, FeedForwardLayer(config)])

    def forward(self, x: Tensor, bias: Tensor, context: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """x [B, N, D]; bias of self-attention; context [B, M, D] and what hides its padding, in the decoder."""
        x = self.layer[0](x, None, bias)
        if context is not None:
            x = self.layer[1](x, context, hidden)
        x = self.layer[-1](x)
        if x.dtype == torch.float16:  # FLAN-T5's numbers leave half precision's range
            limit = torch.finfo(x.dtype).max - 1000
            x = x.clamp(-limit, limit)
        return x


class Stack(nn.Module):
    """Encoder or decoder."""

    def __init__(self, config: T5Config, decoder: bool) -> None:
        super().__init__()
        count = config.num_decoder_layers if decoder else config.num_layers
        self.block = nn.ModuleList(Block(config, decoder, first=i == 0) for i in range(count))
        self.final_layer_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(
        self, x: Tensor, hidden: Tensor, context: Tensor | None = None, context_hidden: Tensor | None = None
    ) -> Tensor:
        """x [B, N, D]; hidden [B or 1, 1, 1 or N, N] is added to the scores where a token may not be looked at."""
        first = cast(Any, self.block[0]).layer[0].SelfAttention
        bias = first.compute_bias(x.shape[1], x.shape[1]) + hidden
        x = self.dropout(x)
        for block in self.block:
            x = block(x, bias, context, context_hidden)
        return self.dropout(self.final_layer_norm(x))


class T5(nn.Module):
    """Encoder, decoder and head."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder, self.decoder = Stack(config, decoder=False), Stack(config, decoder=True)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.shared.weight
        else:
            nn.init.normal_(self.lm_head.weight, std=config.d_model**-0.5)

    def join(self) -> None:
        """Make one linear layer of those that read the same, in place: fewer products, and larger ones.

        For inference only: the weights' names change.
        """
        for module in self.modules():
            if isinstance(module, AttentionLayer):
                cast(Attention, module.get_submodule(module.name)).join(module.name == "SelfAttention")
            elif isinstance(module, FeedForward):
                module.join()

    def encode(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Embeddings [B, M, D] and mask [B, M] (1 = token) -> what the decoder looks at [B, M, D]."""
        return self.encoder(inputs, _hidden(mask[:, None, None], inputs.dtype))

    def decode(self, inputs: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """Embeddings [B, M, D], mask [B, M], captions [B, N] -> the decoder's output at each word [B, N, D]."""
        encoded = self.encode(inputs, mask)
        start = labels.new_full((len(labels), 1), self.config.decoder_start_token_id)
        written = self.shared(torch.cat([start, labels[:, :-1]], 1))
        past = torch.ones(labels.shape[1], labels.shape[1], dtype=torch.long, device=labels.device).tril()
        padding = _hidden(mask[:, None, None], written.dtype)
        return self.decoder(written, _hidden(past[None, None], written.dtype), encoded, padding)

    def forward(self, inputs: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """The same as logits of each of the captions' words [B, N, W]."""
        return self.head(self.decode(inputs, mask, labels))

    def head(self, x: Tensor) -> Tensor:
        """The decoder's output [.., D] -> logits [.., W]."""
        return self.lm_head(x * self.config.d_model**-0.5 if self.config.tie_word_embeddings else x)


def _join(module: nn.Module, names: tuple[str, ...], name: str) -> None:
    if hasattr(module, name):
        return
    weight = torch.cat([module.get_submodule(each).get_parameter("weight").detach() for each in names])
    joined = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    joined.weight = nn.Parameter(weight, requires_grad=False)
    for each in names:
        delattr(module, each)
    module.add_module(name, joined)


def _hidden(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Mask (1 = may be looked at) -> what is added to the scores: 0, or the least number there is."""
    return (1 - mask.to(dtype)) * torch.finfo(dtype).min
