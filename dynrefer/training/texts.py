"""All texts of a run, prepared once: token ids, sentence embeddings, control words."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from dynrefer.datasets.words import content_words

Embed = Callable[[Sequence[str]], Tensor]
_SIDES = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)
_CHUNK = 4096  # texts that are tokenised or embedded at a time


class TextTable:
    """T different texts.

    Attributes:
        ids: [T, L] int16 or int32, tokens with end token, 0 = padding.
        sided: [T] bool, says left or right and so is wrong in a mirror.
        unspelled: texts with letters that the tokenizer does not know, which are learnt without them.
    """

    def __init__(
        self,
        texts: Sequence[str],
        tokenizer: Tokenizer,
        embed: Embed,
        *,
        end_token: int = 1,
        max_tokens: int = 32,
        folder: Path | None = None,
    ) -> None:
        self.texts = list(texts)
        self.sided = np.fromiter((bool(_SIDES.search(text)) for text in self.texts), dtype=bool, count=len(self.texts))
        self.unspelled: list[str] = []
        self.ids = self._tokenized(tokenizer, end_token, max_tokens)
        self._embeddings = _embeddings(self.texts, embed, folder)

    def captions(self, numbers: Tensor) -> Tensor:
        """Token ids of texts [S] -> int64 [S, length of the longest]."""
        ids = torch.from_numpy(self.ids[numbers.numpy()].astype(np.int64))
        return ids[:, : int((ids != 0).sum(1).max())].contiguous()

    def embeddings(self, numbers: Tensor) -> Tensor:
        """Sentence embeddings of texts [S] -> [S, E], unit norm."""
        return F.normalize(torch.from_numpy(self._embeddings[numbers.numpy()]).float(), dim=-1)

    def words(self, number: int) -> tuple[str, ...]:
        """The content words of a text, which its control words are drawn from."""
        return content_words(self.texts[number])

    def _tokenized(self, tokenizer: Tokenizer, end_token: int, max_tokens: int) -> np.ndarray:
        small = tokenizer.get_vocab_size() < np.iinfo(np.int16).max
        ids = np.zeros((len(self.texts), max_tokens), dtype=np.int16 if small else np.int32)
        unknown = next((i for i in map(tokenizer.token_to_id, ("<unk>", "[UNK]")) if i is not None), None)
        longest = 1
        for start in range(0, len(self.texts), _CHUNK):
            part = self.texts[start : start + _CHUNK]
            for row, found in enumerate(tokenizer.encode_batch(part, add_special_tokens=False), start=start):
                own = [token for token, is_text in zip(found.ids, found.attention_mask, strict=True) if is_text]
                tokens = [*own[: max_tokens - 1], end_token]
                ids[row, : len(tokens)] = tokens
                longest = max(longest, len(tokens))
                if unknown is not None and unknown in tokens:
                    self.unspelled.append(self.texts[row])
        return ids[:, :longest]


def draw_controls(
    words: Sequence[str], rng: np.random.Generator, *, none: float, drop: float, limit: int
) -> tuple[str, ...]:
    """Control words left of a caption's: none at all with chance `none`, else without each with `drop`, shuffled."""
    if not words or rng.random() < none:
        return ()
    kept = [word for word in words if rng.random() >= drop]
    return tuple(kept[k] for k in rng.permutation(len(kept))[:limit])


def _embeddings(texts: Sequence[str], embed: Embed, folder: Path | None) -> np.ndarray:
    """[T, E], computed, or mapped from `folder` where the same texts were embedded before by the same encoder."""
    if folder is None:
        return embed(texts).float().cpu().numpy()
    probe = embed(["a probe of the text encoder's weights"]).float().cpu().numpy().round(4)
    digest = sha256(probe.tobytes())
    for text in texts:
        digest.update(text.encode() + b"\n")
    path = folder / f"embeddings-{digest.hexdigest()[:16]}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{path.name}.{os.getpid()}.npy"
        shape = (len(texts), probe.shape[1])
        array = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
        for start in range(0, len(texts), _CHUNK):
            part = texts[start : start + _CHUNK]
            array[start : start + len(part)] = embed(part).float().cpu().numpy()
        array.flush()
        temporary.rename(path)
    return np.load(path, mmap_mode="r")
