"""The language decoder: the region's representation and control words go in, T5 writes the caption.

S regions, Q queries, D their width, L the language model's width, K control tokens, E the text encoder's width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from dynrefer.model.beam_search import BeamSearch, greedy_search
from dynrefer.model.config import Generation, LanguageConfig
from dynrefer.model.numpy_search import NumpySearch
from dynrefer.model.recording import can_record
from dynrefer.model.t5 import T5, T5Config
from dynrefer.model.text_encoder import pad

SENTENCE_SCALE = 20.0  # unit-norm sentence embeddings, brought to about one a dimension
FEW_REGIONS = 4  # whose captions NumPy searches for on a processor; products of more would use threads of their own
RECORDED_REGIONS, RECORDED_SHAPES = 4, 4  # of questions whose beam search is recorded on a GPU
WORD_MARK = "\u2581"  # of SentencePiece: a word begins here
NO_TEXT = ("<pad>", "</s>", "<unk>")
PROMPT_STEP, RECORDED_STEP = 8, 32  # prompts are padded to a multiple of it, so that few shapes come up


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
        self._numpy_search: NumpySearch | None = None
        t5 = T5Config(**config.options)
        self.project = nn.Linear(region_width, t5.d_model)
        self.memory = nn.Parameter(torch.zeros(t5.d_model))
        if config.sentence_slot:
            self.sentence_head = nn.Linear(region_width, text_width)
            self.sentence_proj = nn.Linear(text_width, t5.d_model)
        if config.styles:
            self.style = nn.Embedding(len(config.styles), t5.d_model)
        self.copy_gate = nn.Linear(t5.d_model, 1) if config.copy_controls else None
        self.t5 = T5(t5) if backbone else None

    def prepare_inference(self) -> None:
        """Make the search faster, before layers are packed; the writer can then not be trained."""
        if self.t5 is None:
            return
        self.t5.join()
        if NumpySearch.can_search(self.t5):
            self._numpy_search = NumpySearch(self.t5, self.copy_gate)

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

    def writable(self, text: str) -> str:
        """The text without the letters that the writer has no pieces for."""
        assert self.tokenizer is not None
        return " ".join(self._text(self.tokenizer.encode(text, add_special_tokens=False).ids).split())

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

    def forward(
        self,
        prompt: Tensor,
        mask: Tensor,
        labels: Tensor,
        label_smoothing: float = 0.0,
        control_ids: Tensor | None = None,
    ) -> Tensor:
        """Mean cross-entropy of each caption: labels [S, N] (0 = padding), control_ids [S, K] -> [S]."""
        assert self.t5 is not None
        x = self.t5.decode(prompt, mask, labels)
        logits = self.t5.head(x).float()
        if self.copy_gate is not None and control_ids is not None:
            logits = logits + self.copy_gate(x).float() * self.uncopied(labels, self.copied(control_ids))
        known = (labels != 0).float()
        loss = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none", label_smoothing=label_smoothing)
        return (loss * known).sum(1) / known.sum(1).clamp(min=1)

    @staticmethod
    def uncopied(labels: Tensor, copied: Tensor) -> Tensor:
        """Words to copy [S, W] at each place of captions [S, N], without those that stand before it [S, N, W]."""
        places = [copied]
        for column in labels[:, :-1].unbind(1):
            places.append(places[-1].scatter(1, column[:, None], 0.0))
        return torch.stack(places, 1)

    def copied(self, control_ids: Tensor) -> Tensor:
        """[S, W], 1 for the pieces of the control words [S, K]: a word can be said as told, however rare it is.

        A gate on the decoder's output makes them likelier where the caption needs one (after the pointer-generator of
        See et al., ACL 2017).
        """
        words = self.memory.new_zeros(len(control_ids), self.config.options["vocab_size"])
        return words.scatter(1, control_ids, 1.0) * self._copyable

    @torch.no_grad()
    def generate(
        self,
        prompt: Tensor,
        mask: Tensor,
        options: Generation,
        control_ids: Tensor | None = None,
        begin: Sequence[str] | None = None,
    ) -> tuple[list[str], list[float]]:
        """Search for the captions: texts, and scores in (0, 1], the geometric mean over their word pieces.

        Args:
            control_ids: [S, K], the control words in the prompt, for copying.
            begin: what each caption has to begin with, for example its subject; empty where the search is free.
        """
        assert self.t5 is not None
        told = self._told(begin, options.max_new_tokens, mask.device) if begin and any(begin) else None
        copied = self.copied(control_ids) if self.copy_gate is not None and control_ids is not None else None
        sequences, log_scores = self._search(prompt, mask, options, told, copied)
        pieces = (sequences[:, 1:] != 0).sum(1).clamp(min=1)
        each = log_scores.float() * pieces.float() ** (options.length_penalty - 1)
        return [self._text(row) for row in sequences.tolist()], each.exp().clamp(max=1).tolist()

    def _told(self, begin: Sequence[str], length: int, device: torch.device) -> Tensor:
        """Tokens of the beginnings [S, length], 0 behind them; always leaves room for the end token."""
        assert self.tokenizer is not None
        ids = [self.tokenizer.encode(text, add_special_tokens=False).ids[: length - 1] for text in begin]
        return pad([[*row, *[0] * (length - len(row))] for row in ids])[0].to(device)

    @cached_property
    def _begins(self) -> Tensor | None:
        """[W] bool: the tokens before which a word ends, of tokenizers that mark the beginning of a word."""
        assert self.tokenizer is not None
        begins = torch.zeros(self.config.options["vocab_size"], dtype=torch.bool, device=self.memory.device)
        begins[self.config.options.get("eos_token_id", 1)] = True
        marked = [number for piece, number in self.tokenizer.get_vocab().items() if piece.startswith(WORD_MARK)]
        begins[marked] = True
        return begins if marked else None

    @cached_property
    def _copyable(self) -> Tensor:
        """[W], 0 for the marks between control words and for pieces that are no text."""
        assert self.tokenizer is not None
        copyable = self.memory.new_ones(self.config.options["vocab_size"])
        for piece in (*NO_TEXT, WORD_MARK, ",", "|"):
            if (number := self.tokenizer.token_to_id(piece)) is not None:
                copyable[number] = 0
        return copyable

    def _text(self, ids: list[int]) -> str:
        assert self.tokenizer is not None
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()

    def _search(
        self, prompt: Tensor, mask: Tensor, options: Generation, told: Tensor | None, copied: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Greedy or beam search; on a GPU the recorded steps of the last few shapes are kept."""
        assert self.t5 is not None
        record = options.num_beams > 1 and can_record(prompt.device) and len(prompt) <= RECORDED_REGIONS
        missing = -prompt.shape[1] % (RECORDED_STEP if record else PROMPT_STEP)
        prompt, mask = F.pad(prompt, (0, 0, 0, missing)), F.pad(mask, (0, missing))
        if options.num_beams == 1:
            encoded = self.t5.encode(prompt, mask)
            words: dict[str, Any] = {"begins": self._begins, "copy_gate": self.copy_gate}
            return greedy_search(self.t5, options, encoded, mask, told, copied, **words)
        if self._numpy_search is not None and len(prompt) <= FEW_REGIONS:
            return self._numpy_search.run(options, self.t5.encode(prompt, mask), mask, told, copied, self._begins)
        regions, length = mask.shape
        key = (options, regions, length, self.t5.shared.weight.data_ptr())
        # Taken out while it is in use, so that two predictors that share the model never write into the same buffers.
        search = self._searches.pop(key, None) or BeamSearch(
            self.t5, options, regions, length, begins=self._begins, copy_gate=self.copy_gate, recorded=record
        )
        found = search.run(search.read(prompt, mask), mask, told, copied)
        if record:
            self._searches[key] = search
            while len(self._searches) > RECORDED_SHAPES:
                self._searches.popitem(last=False)
        return found
