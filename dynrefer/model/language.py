"""The language decoder: the region's representation and control words go in, T5 writes the caption.

S regions, Q queries, D their width, L the language model's width, K control tokens, E the text encoder's width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from dynrefer.model.beam_search import BeamSearch, can_record, greedy_search
from dynrefer.model.config import Generation, LanguageConfig
from dynrefer.model.t5 import T5, T5Config
from dynrefer.model.text_encoder import pad

SENTENCE_SCALE = 20.0  # unit-norm sentence embeddings, brought to about one a dimension
RECORDED_REGIONS, RECORDED_SHAPES = 4, 4  # of questions whose beam search is recorded on a GPU
PROMPT_STEP = 32  # prompts are padded to a multiple of it, so that few shapes come up


def control_text(words: Sequence[str]) -> str:
    """Control words as the language model reads them: `tag1,tag2|`; no words give an empty text."""
    return ",".join(words) + "|" if words else ""


class LanguageDecoder(nn.Module):
    """Projection of the region, embedding of control words plus a learned memory vector, and T5.

    The small model adds two inputs: the sentence embedding it predicts for the region, and a style.
    """

    def __init__(self, config: LanguageConfig, region_width: int, text_width: int, backbone: bool = True) -> None:
        super().__init__()
        self.config = config
        self.tokenizer: Tokenizer | None = None
        self._searches: OrderedDict[tuple[Any, ...], BeamSearch] = OrderedDict()
        t5 = T5Config(**config.options)
        self.project = nn.Linear(region_width, t5.d_model)
        self.memory = nn.Parameter(torch.zeros(t5.d_model))
        if config.sentence_slot:
            self.sentence_head = nn.Linear(region_width, text_width)
            self.sentence_proj = nn.Linear(text_width, t5.d_model)
        if config.styles:
            self.style = nn.Embedding(len(config.styles), t5.d_model)
        self.t5 = T5(t5) if backbone else None

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Control texts -> ids [B, K] and mask [B, K]; an end token follows only where the configuration says so."""
        return pad([self._control_ids(text) for text in texts])

    def _control_ids(self, text: str) -> list[int]:
        assert self.tokenizer is not None, "a checkpoint sets the tokenizer"
        limit = self.config.max_control_tokens
        if self.config.end_controls:
            ids = self.tokenizer.encode(text or control_text([""]), add_special_tokens=False).ids
            return [*ids[: limit - 1], self.config.options["eos_token_id"]]
        return self.tokenizer.encode(text, add_special_tokens=False).ids[:limit] if text else []

    def sentence(self, summary: Tensor) -> Tensor:
        """Region summary [S, D] -> predicted sentence embedding [S, E] of unit norm."""
        return F.normalize(self.sentence_head(summary).float(), dim=-1)

    def prompt(
        self,
        queries: Tensor | None,
        control_ids: Tensor,
        control_mask: Tensor,
        sentence: Tensor | None = None,
        style: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the encoder reads: embeddings [S, Q + 2 + K, L] and attention mask.

        Args:
            queries: [S, Q, D], or None for text alone (only the sentence slot then says what to write).
            control_ids, control_mask: [S, K].
            sentence: [S, E], needed where the configuration has a sentence slot.
            style: [S] indices into `config.styles`; 0 when None.
        """
        assert self.t5 is not None
        parts, masks = [], []
        if queries is not None:
            parts.append(self.project(queries))
            masks.append(control_mask.new_ones(queries.shape[:2]))
        if self.config.sentence_slot:
            assert sentence is not None
            parts.append(self.sentence_proj(sentence.to(self.memory.dtype) * SENTENCE_SCALE)[:, None])
            masks.append(control_mask.new_ones(len(control_ids), 1))
        if self.config.styles:
            index = style if style is not None else control_ids.new_zeros(len(control_ids))
            parts.append(self.style(index)[:, None])
            masks.append(control_mask.new_ones(len(control_ids), 1))
        parts.append(self.t5.shared(control_ids) + self.memory)
        masks.append(control_mask)
        dtype = parts[0].dtype
        return torch.cat([part.to(dtype) for part in parts], 1), torch.cat(masks, 1)

    def forward(self, prompt: Tensor, mask: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of each caption: labels [S, N] (0 = padding) -> [S]."""
        assert self.t5 is not None
        logits = self.t5(prompt, mask, labels)
        known = (labels != 0).float()
        loss = F.cross_entropy(
            logits.float().transpose(1, 2), labels, reduction="none", label_smoothing=label_smoothing
        )
        return (loss * known).sum(1) / known.sum(1).clamp(min=1)

    @torch.no_grad()
    def generate(self, prompt: Tensor, mask: Tensor, options: Generation) -> tuple[list[str], list[float]]:
        """Search for the captions: texts, and scores exp(sequence score) in (0, 1]."""
        assert self.t5 is not None
        sequences, log_scores = self._search(prompt, mask, options)
        return [self._text(row) for row in sequences.tolist()], log_scores.float().exp().clamp(max=1).tolist()

    def _text(self, ids: list[int]) -> str:
        assert self.tokenizer is not None
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()

    def _search(self, prompt: Tensor, mask: Tensor, options: Generation) -> tuple[Tensor, Tensor]:
        """Greedy or beam search; on a GPU the recorded steps of the last few shapes are kept."""
        assert self.t5 is not None
        if options.num_beams == 1:
            return greedy_search(self.t5, options, self.t5.encode(prompt, mask), mask)
        record = can_record(prompt.device) and len(prompt) <= RECORDED_REGIONS
        if record:
            missing = -prompt.shape[1] % PROMPT_STEP
            prompt, mask = F.pad(prompt, (0, 0, 0, missing)), F.pad(mask, (0, missing))
        regions, length = mask.shape
        key = (options, regions, length, self.t5.shared.weight.data_ptr())
        # Taken out while it is in use, so that two predictors that share the model never write into the same buffers.
        search = self._searches.pop(key, None) or BeamSearch(self.t5, options, regions, length, record=record)
        encoded = self.t5.encode(prompt, mask)
        found = search.run(encoded, mask)
        if record:
            self._searches[key] = search
            while len(self._searches) > RECORDED_SHAPES:
                self._searches.popitem(last=False)
        return found
