"""Search for captions with T5; in beam search every step has the same shapes, so that a GPU can replay it as one
CUDA graph.

The search is `transformers`' own (`early_stopping=False`), to the same texts and scores; its steps wait for the host
a dozen times each, which costs more than the arithmetic.
S regions, K beams, B = S * K rows, H heads, P prompt tokens, N largest number of new tokens, W words, D width.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynrefer.model.config import Generation
from dynrefer.model.recording import WARM_UP_RUNS, Recorded, record
from dynrefer.model.t5 import T5

IMPOSSIBLE = -1.0e9
EVEN = 16  # places of a GPU's buffers are a multiple of it, or attention copies its mask first
REORDERED = 8  # layers at a time: that many are held twice


class StaticDecoder:
    """T5's decoder, one token a row at a time, with keys and values in buffers that never move."""

    def __init__(
        self, t5: T5, regions: int, beams: int, prompt: int, length: int, copy_gate: nn.Module | None = None
    ) -> None:
        self.t5, self.regions, self.copy_gate = t5, regions, copy_gate
        self.blocks = cast(Any, t5.decoder.block)
        weight = t5.shared.weight
        layers, heads, size = len(self.blocks), t5.config.num_heads, t5.config.d_kv
        length += -length % EVEN if weight.is_cuda else 0
        self.past = weight.new_zeros(layers, regions * beams, 2, heads, length, size)
        self.memory = weight.new_zeros(layers, regions, 2, heads, prompt, size)
        self.hidden = weight.new_zeros(regions, 1, 1, prompt)  # added to attention: 0, or the least number there is
        self.copied = weight.new_zeros(regions, 1 if copy_gate is None else len(weight))
        self.lowest = torch.finfo(weight.dtype).min
        bias = self.blocks[0].layer[0].SelfAttention.compute_bias(length, length)  # [1, H, N, N]
        future = torch.ones(length, length, dtype=torch.bool, device=weight.device).triu(1)
        self.bias = bias.masked_fill(future, self.lowest)

    def remember(self, encoded: Tensor, mask: Tensor, copied: Tensor | None = None) -> None:
        """Take what the encoder read: encoded [S, P, D], mask [S, P] (1 = token), and the words to copy [S, W]."""
        if copied is None:
            self.copied.zero_()
        else:
            self.copied.copy_(copied)
        for block, memory in zip(self.blocks, self.memory, strict=True):
            attention = block.layer[1].EncDecAttention
            memory.copy_(attention.split(attention.keys_values(encoded), 2))
        self.hidden.copy_((1 - mask.to(self.hidden.dtype))[:, None, None] * self.lowest)

    def step(self, tokens: Tensor, position: Tensor, written: Tensor) -> Tensor:
        """The row's last token [B] at `position` [1] -> logits of the next one [B, W].

        What the row has written [B, N] already is not copied again.
        """
        x = self.t5.shared(tokens)[:, None]
        bias = self.bias.index_select(2, position)
        for block, past, memory in zip(self.blocks, self.past, self.memory, strict=True):
            attend, normed = block.layer[0].SelfAttention, block.layer[0].layer_norm(x)
            query, both = attend.of_itself(normed)
            past.index_copy_(3, position, attend.split(both, 2))
            x = x + attend.o(self._merge(self._attention(attend.split(query), past, bias)))

            attend, normed = block.layer[1].EncDecAttention, block.layer[1].layer_norm(x)
            query = attend.split(attend.q(normed.view(self.regions, -1, normed.shape[-1])))  # [S, H, K, width]
            mixed = self._attention(query, memory, self.hidden)  # beams of a region share its memory
            x = x + attend.o(self._merge(mixed).view(len(x), 1, -1))
            x = block.layer[2](x)
        x = self.t5.decoder.final_layer_norm(x)[:, 0]
        logits = self.t5.head(x)
        if self.copy_gate is None:
            return logits
        copied = self.copied.repeat_interleave(len(x) // self.regions, 0).scatter(1, written, 0.0)
        return logits + self.copy_gate(x) * copied

    def reorder(self, rows: Tensor) -> None:
        """Let row i go on from what row `rows[i]` [B] had written."""
        for layers in self.past.split(REORDERED):
            layers.copy_(layers.index_select(1, rows))

    @staticmethod
    def _merge(x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)

    @staticmethod
    def _attention(query: Tensor, kept: Tensor, bias: Tensor) -> Tensor:
        keys, values = kept.unbind(1)
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=bias, scale=1.0)  # T5 does not scale


@torch.inference_mode()
def greedy_search(
    t5: T5,
    options: Generation,
    encoded: Tensor,
    mask: Tensor,
    told: Tensor | None = None,
    copied: Tensor | None = None,
    *,
    begins: Tensor | None = None,
    copy_gate: nn.Module | None = None,
) -> tuple[Tensor, Tensor]:
    """The likeliest word each time: arguments and results as of `BeamSearch.run`."""
    regions, prompt = mask.shape
    decoder = StaticDecoder(t5, regions, 1, prompt, options.max_new_tokens, copy_gate)
    decoder.remember(encoded, mask, copied)
    sentences = mask.new_full((regions, options.max_new_tokens + 1), t5.config.decoder_start_token_id)
    score, count = encoded.new_zeros(regions, dtype=torch.float32), mask.new_zeros(regions)
    unfinished = torch.ones(regions, dtype=torch.bool, device=mask.device)
    for place in range(options.max_new_tokens):
        written, position = sentences[:, : place + 1], mask.new_tensor([place])
        logits = decoder.step(sentences[:, place], position, written).float()
        words = _discouraged(logits, written, options.repetition_penalty)
        token = (words if told is None else _directed(words, told, position, begins)).argmax(-1)
        wrote = unfinished & (token != t5.config.pad_token_id)
        score += F.log_softmax(words, -1).gather(1, token[:, None])[:, 0] * wrote
        count += wrote
        sentences[:, place + 1] = torch.where(unfinished, token, t5.config.pad_token_id)
        unfinished &= token != t5.config.eos_token_id
        if not unfinished.any():
            break
    return sentences, score / count.clamp(min=1).float() ** options.length_penalty


class BeamSearch:
    """Buffers and, on a GPU, the recorded step for one shape of question; `run` may be called any number of times.

    Args:
        t5: in evaluation mode; its weights must stay where they are.
        begins: [W] bool, the tokens that begin a word; None where all do.
        copy_gate: the decoder's output [.., D] -> how much likelier a word to copy gets [.., 1]; None without copying.
        recorded: replay each step as a CUDA graph, and `read`.

    Attributes:
        read: the encoder, for `run`: prompt [S, P, D] and mask [S, P] -> encoded [S, P, D].
    """

    @torch.inference_mode()
    def __init__(
        self,
        t5: T5,
        options: Generation,
        regions: int,
        prompt: int,
        *,
        begins: Tensor | None = None,
        copy_gate: nn.Module | None = None,
        recorded: bool = False,
    ) -> None:
        self.options, self.start = options, t5.config.decoder_start_token_id
        self.end = t5.config.eos_token_id
        beams, length, device = options.num_beams, options.max_new_tokens, t5.shared.weight.device
        self.decoder = StaticDecoder(t5, regions, beams, prompt, length, copy_gate)
        whole: dict[str, Any] = {"device": device, "dtype": torch.long}
        self.begins = begins
        self.told = torch.zeros(regions, length, **whole)
        self.read = Recorded(t5.encode, regions) if recorded else t5.encode
        self.directs = recorded  # a recorded step is the same for all questions
        self.position = torch.zeros(1, **whole)
        self.tokens = torch.zeros(regions * beams, **whole)
        self.running = torch.zeros(regions, beams, length + 1, **whole)
        self.finished = torch.zeros(regions, beams, length + 1, **whole)
        self.running_scores = torch.zeros(regions, beams, device=device)
        self.finished_scores = torch.zeros(regions, beams, device=device)
        self.is_finished = torch.zeros(regions, beams, dtype=torch.bool, device=device)
        self.open = torch.ones(regions, 1, dtype=torch.bool, device=device)  # a better sentence is still possible
        self.first_row = torch.arange(regions, device=device)[:, None] * beams
        self.graph = None
        if recorded:
            self._reset()
            runs = min(WARM_UP_RUNS, length)
            self.graph = record(self._step, device, between=self.position.zero_, runs=runs)

    @torch.inference_mode()
    def run(
        self, encoded: Tensor, mask: Tensor, told: Tensor | None = None, copied: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The best sentence of each region.

        Args:
            encoded: the encoder's output [S, P, D]. mask: [S, P], 1 = token.
            told: [S, N], tokens that the sentences have to begin with; 0 where the search is free.
            copied: [S, W], 1 for the words that may be copied.

        Returns:
            Tokens [S, 1 + N], first the start token, filled up with it after the end token; log-scores [S].
        """
        self._reset()
        if told is not None:
            self.told.copy_(told)
        self.directs = told is not None or self.graph is not None
        self.decoder.remember(encoded, mask, copied)
        for _ in range(self.options.max_new_tokens):
            if self.graph is not None:
                self.graph.graph.replay()
            else:
                self._step()
            if not self.open.any():
                break
        return self.finished[:, 0].clone(), self.finished_scores[:, 0].clone()

    def _reset(self) -> None:
        self.position.zero_()
        for tokens in (self.tokens, self.running, self.finished):
            tokens.fill_(self.start)
        self.told.zero_()
        self.running_scores.fill_(IMPOSSIBLE)
        self.running_scores[:, 0] = 0  # all beams are alike at first
        self.finished_scores.fill_(IMPOSSIBLE)
        self.is_finished.fill_(False)
        self.open.fill_(True)

    def _step(self) -> None:
        """Write one more word in every beam. Only kernels on buffers that never move; the host is not waited for."""
        beams, last = self.options.num_beams, self.options.max_new_tokens
        written = self.running.flatten(0, 1)
        words = F.log_softmax(self.decoder.step(self.tokens, self.position, written).float(), -1)
        words = _discouraged(words, written, self.options.repetition_penalty)
        if self.directs:
            words = _directed(words, self.told, self.position, self.begins)
        words = words.unflatten(0, (-1, beams)) + self.running_scores[..., None]
        scores, index = words.flatten(1).topk(2 * beams)  # so many that K are left if K of them end here
        beam, token = index // words.shape[-1], index % words.shape[-1]
        self.position += 1
        sentences = _rows(self.running, beam).index_copy(2, self.position, token[..., None])
        ends = (token == self.end) | (self.position == last)
        penalty = self.position.float() ** self.options.length_penalty

        self._finish(sentences, scores / penalty, ends)
        next_scores, chosen = (scores + ends * IMPOSSIBLE).topk(beams)
        self.running.copy_(_rows(sentences, chosen))
        self.running_scores.copy_(next_scores)
        self.tokens.copy_(token.gather(1, chosen).flatten())
        self.decoder.reorder((beam.gather(1, chosen) + self.first_row).flatten())
        worst = self.finished_scores.min(1, keepdim=True).values.expand(-1, beams)
        worst = worst.masked_fill(~self.is_finished, IMPOSSIBLE)
        self.open &= (next_scores[:, :1] / penalty > worst).any(1, keepdim=True)

    def _finish(self, sentences: Tensor, scores: Tensor, ends: Tensor) -> None:
        """Keep the K best of the sentences finished before and the candidates [S, 2K] that end now."""
        beams = self.options.num_beams
        ends = torch.cat([ends[:, :beams], torch.zeros_like(ends[:, beams:])], 1)  # the others were only in reserve
        scores = scores + ~(ends & self.open) * IMPOSSIBLE
        best, kept = torch.cat([self.finished_scores, scores], 1).topk(beams)
        self.finished.copy_(_rows(torch.cat([self.finished, sentences], 1), kept))
        self.is_finished.copy_(torch.cat([self.is_finished, ends], 1).gather(1, kept))
        self.finished_scores.copy_(best)


def _discouraged(words: Tensor, written: Tensor, factor: float) -> Tensor:
    """Words' scores [B, W] with those lowered that the row [B, N] has written already."""
    score = words.gather(1, written)
    return words.scatter(1, written, torch.where(score < 0, score * factor, score / factor))


def _directed(words: Tensor, told: Tensor, position: Tensor, begins: Tensor | None) -> Tensor:
    """Words' scores [B, W] where only what is told [S, N] may come, and behind it only what begins a word."""
    now, before = told.index_select(1, position), told.index_select(1, (position - 1).clamp(min=0))  # [S, 1]
    free = (before == 0) if begins is None else (before == 0) | begins
    allowed = (torch.arange(words.shape[1], device=words.device) == now) | ((now == 0) & free)
    return words + ~allowed.repeat_interleave(len(words) // len(told), 0) * IMPOSSIBLE


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows `index` [S, M] of values [S, R, L] -> [S, M, L]."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
