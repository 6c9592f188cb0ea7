"""Beam search for captions on a processor: `BeamSearch` again, to the same texts and scores, in NumPy.

A word costs some 150 small operations, and starting one in PyTorch takes longer than doing it in NumPy.
S regions whose search goes on, K beams, B = S * K rows, H heads, P prompt tokens, N words at most, W words there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dynrefer.model.beam_search import IMPOSSIBLE
from dynrefer.model.config import Generation
from dynrefer.model.t5 import T5


class Layer(NamedTuple):
    """A decoder layer's matrices [D, D'], each with the weights of the norm before it."""

    read: np.ndarray  # queries, keys and values of what was written
    mix: np.ndarray
    ask: np.ndarray  # queries to the prompt
    take: np.ndarray
    widen: np.ndarray
    narrow: np.ndarray


class NumpySearch:
    """The weights of T5's decoder as NumPy takes them, and the search; `run` may be called any number of times.

    Args:
        t5: joined, in evaluation mode, and one that `can_search`. Its linear layers may be packed afterwards.
        copy_gate: as of `BeamSearch`.
    """

    def __init__(self, t5: T5, copy_gate: nn.Linear | None = None) -> None:
        self.t5 = t5
        blocks: Any = t5.decoder.block
        self.layers = [_layer(*block.layer) for block in blocks]
        self.norm = t5.decoder.final_layer_norm.weight.detach().numpy()
        self.embeddings = t5.shared.weight.detach().numpy()
        self.gate = None if copy_gate is None else (_matrix(copy_gate)[:, 0], copy_gate.bias.item())

    @staticmethod
    def can_search(t5: T5) -> bool:
        """Whether it can take the place of `BeamSearch` for this network."""
        weight = t5.shared.weight
        return weight.device.type == "cpu" and weight.dtype == torch.float32 and t5.config.feed_forward_proj == "relu"

    @torch.inference_mode()
    def run(
        self,
        options: Generation,
        encoded: Tensor,
        mask: Tensor,
        told: Tensor | None = None,
        copied: Tensor | None = None,
        begins: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Arguments and results as of `BeamSearch`. A region whose search is over costs nothing more."""
        beams = options.num_beams
        regions = [
            Region(
                [[self.t5.config.decoder_start_token_id]] * beams,
                [0.0] + [IMPOSSIBLE] * (beams - 1),  # all beams are alike at first
                [] if told is None else [token for token in told[place].tolist() if token],
                np.zeros(0, np.int64) if copied is None else copied[place].nonzero()[:, 0].numpy(),
            )
            for place in range(len(mask))
        ]
        decoder, going = Decoder(self, encoded, mask, options), regions
        while going:
            x = decoder.step([row[-1] for region in going for row in region.running])
            words = self._words(x, going, options, begins)
            best, places = torch.from_numpy(words).view(len(going), -1).topk(2 * beams)
            parents = []
            for region, found, where in zip(going, best.tolist(), places.tolist(), strict=True):
                parents.append(region.extend(found, where, words.shape[1], self.t5.config.eos_token_id, options))
            open_ = [s for s, rows in enumerate(parents) if rows]
            decoder.keep([s * beams + row for s in open_ for row in parents[s]], open_)
            going = [going[s] for s in open_]
        return _padded(regions, options)

    def _words(
        self, x: np.ndarray, regions: Sequence[Region], options: Generation, begins: Tensor | None
    ) -> np.ndarray:
        """Scores [B, W] of the rows gone on with each word; x [B, D] is the decoder's output."""
        words = self.t5.head(torch.from_numpy(x)).numpy()
        each = [slice(s * options.num_beams, (s + 1) * options.num_beams) for s in range(len(regions))]
        written = np.array([row for region in regions for row in region.running])
        if self.gate is not None:
            lift = (x @ self.gate[0] + self.gate[1])[:, None]
            for region, rows in zip(regions, each, strict=True):
                fresh = (written[rows, :, None] != region.copied).all(1)  # what is written is not copied again
                words[rows, region.copied] += lift[rows] * fresh
        highest = words.max(1, keepdims=True)
        words -= highest + np.log(np.exp(words - highest).sum(1, keepdims=True))
        before = np.take_along_axis(words, written, 1)
        factor = np.where(before < 0, options.repetition_penalty, np.float32(1 / options.repetition_penalty))
        np.put_along_axis(words, written, before * factor, 1)
        for region, rows in zip(regions, each, strict=True):
            words[rows] += region.barred(begins, words.shape[1])
        words += np.array([score for region in regions for score in region.scores], np.float32)[:, None]
        return words


@dataclass
class Region:
    """The sentences for one region: those that go on, one a beam, with scores; and the best finished ones."""

    running: list[list[int]]
    scores: list[float]
    told: list[int]
    copied: np.ndarray
    finished: list[tuple[float, list[int]]] = field(default_factory=list)

    def barred(self, begins: Tensor | None, words: int) -> np.ndarray | float:
        """What is added to the words' scores [W] where only what is told may come, or what begins a word behind it."""
        position = len(self.running[0]) - 1
        if position < len(self.told):
            allowed = np.arange(words) == self.told[position]
        elif self.told and position == len(self.told) and begins is not None:
            allowed = begins.numpy()
        else:
            return 0.0
        return np.where(allowed, np.float32(0), np.float32(IMPOSSIBLE))

    def extend(self, scores: list[float], places: list[int], words: int, end: int, options: Generation) -> list[int]:
        """Go on with the best candidates, twice as many as beams, best first; finish those that end.

        Returns the beams that the sentences come from; none where no better sentence is possible.
        """
        beams, length = options.num_beams, len(self.running[0])
        penalty, last = length**options.length_penalty, length == options.max_new_tokens
        going: list[tuple[float, int, list[int]]] = []
        for rank, (score, place) in enumerate(zip(scores, places, strict=True)):
            beam, token = divmod(place, words)
            sentence = [*self.running[beam], token]
            if token != end and not last:
                going.append((score, beam, sentence))
            elif rank < beams:  # the others were only in reserve
                self.finished.append((score / penalty, sentence))
        self.finished = sorted(self.finished, key=lambda one: -one[0])[:beams]
        if last or (len(self.finished) == beams and going[0][0] / penalty <= self.finished[-1][0]):
            return []
        self.scores, parents, self.running = map(list, zip(*going[:beams], strict=True))
        return parents


class Decoder:
    """One search's way through T5's decoder, a token a row at a time, with the keys and values of those before."""

    def __init__(self, search: NumpySearch, encoded: Tensor, mask: Tensor, options: Generation) -> None:
        config = search.t5.config
        self.search, self.position, length = search, 0, options.max_new_tokens
        self.heads, self.eps, rows = config.num_heads, config.layer_norm_epsilon, len(mask) * options.num_beams
        blocks: Any = search.t5.decoder.block
        cross = [block.layer[1].EncDecAttention for block in blocks]
        self.memory = np.stack([a.split(a.keys_values(encoded), 2).numpy() for a in cross])  # [.., S, 2, H, P, d_kv]
        self.hidden = (1 - mask[:, None, None].numpy().astype(np.float32)) * np.finfo(np.float32).min
        self.past = np.empty((len(cross), 2, rows, config.num_heads, length, config.d_kv), np.float32)
        self.bias = blocks[0].layer[0].SelfAttention.compute_bias(length, length)[0].numpy()  # [H, N, N]

    def step(self, tokens: list[int]) -> np.ndarray:
        """Each row's last token [B] -> the decoder's output [B, D]."""
        x, here, now = self.search.embeddings[tokens], self.position, self.position + 1
        split = (len(self.hidden), -1, self.heads, self.past.shape[-1])  # [S, K, H, d_kv]
        for layer, (keys, values), memory in zip(self.search.layers, self.past, self.memory, strict=True):
            read = (self._normed(x) @ layer.read).reshape(len(x), 3, self.heads, -1)
            keys[:, :, here], values[:, :, here] = read[:, 1], read[:, 2]
            own = read[:, 0, :, None], keys[:, :, :now], values[:, :, :now], self.bias[:, here:now, :now]
            x = x + _attention(*own).reshape(len(x), -1) @ layer.mix
            asked = (self._normed(x) @ layer.ask).reshape(split).swapaxes(1, 2)
            taken = _attention(asked, memory[:, 0], memory[:, 1], self.hidden).swapaxes(1, 2)
            x += taken.reshape(len(x), -1) @ layer.take
            x += np.maximum(self._normed(x) @ layer.widen, 0) @ layer.narrow
        self.position = now
        return self._normed(x) * self.search.norm

    def keep(self, rows: list[int], regions: list[int]) -> None:
        """Let row i go on from what row `rows[i]` had written, for the regions that are left."""
        now = self.position
        self.past[:, :, : len(rows), :, :now] = self.past[:, :, rows, :, :now]
        self.past = self.past[:, :, : len(rows)]
        if len(regions) < len(self.hidden):
            self.memory, self.hidden = self.memory[:, regions], self.hidden[regions]

    def _normed(self, x: np.ndarray) -> np.ndarray:
        """The root mean square norm of rows [B, D], without its weights."""
        return x / np.sqrt(np.einsum("bd,bd->b", x, x) / x.shape[1] + np.float32(self.eps))[:, None]


def _attention(queries: np.ndarray, keys: np.ndarray, values: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """[.., N, d], [.., M, d], [.., M, d] and what is added to the scores -> [.., N, d]; T5 does not scale."""
    scores = queries @ keys.swapaxes(-1, -2) + bias
    np.exp(scores - scores.max(-1, keepdims=True), out=scores)
    return scores @ values / scores.sum(-1, keepdims=True)


def _layer(own: Any, cross: Any, forward: Any) -> Layer:
    own_attention, cross_attention, dense = own.SelfAttention, cross.EncDecAttention, forward.DenseReluDense
    return Layer(
        _matrix(own_attention.joined, own.layer_norm),
        _matrix(own_attention.o),
        _matrix(cross_attention.q, cross.layer_norm),
        _matrix(cross_attention.o),
        _matrix(dense.wi, forward.layer_norm),
        _matrix(dense.wo),
    )


def _matrix(linear: nn.Linear, norm: nn.RMSNorm | None = None) -> np.ndarray:
    """Of a linear layer and the weights of the norm before it, as rows are multiplied by it [D, D']."""
    weight = linear.weight.detach() if norm is None else linear.weight.detach() * norm.weight.detach()
    return weight.T.contiguous().numpy()


def _padded(regions: Sequence[Region], options: Generation) -> tuple[Tensor, Tensor]:
    """The best finished sentences, filled up with the start token, and their scores."""
    best = [region.finished[0] for region in regions]
    start = regions[0].running[0][0]
    rows = [[*tokens, *[start] * (options.max_new_tokens + 1 - len(tokens))] for _, tokens in best]
    return torch.tensor(rows), torch.tensor([score for score, _ in best])
