"""All texts of a run, prepared once: token ids, sentence embeddings, control words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from dynrefer.datasets.words import content_words
from dynrefer.model.text_encoder import pad

Embed = Callable[[Sequence[str]], Tensor]


class TextTable:
    """T different texts.

    Attributes:
        index: text -> its number. ids: [T, L] tokens with end token, 0 = padding.
        sided: [T] bool, says left or right and so is wrong in a mirror.
    """

    def __init__(
        self,
        texts: Iterable[str],
        tokenizer: Tokenizer,
        embed: Embed,
        *,
        end_token: int = 1,
        max_tokens: int = 32,
        folder: Path | None = None,
    ) -> None:
        self.texts = list(dict.fromkeys(texts))
        self.index = {text: number for number, text in enumerate(self.texts)}
        rows = [tokenizer.encode(text, add_special_tokens=False).ids[: max_tokens - 1] for text in self.texts]
        self.ids = pad([[*row, end_token] for row in rows])[0].int()
        self._words: dict[int, tuple[str, ...]] = {}
        self.sided = torch.tensor([bool({"left", "right"} & set(text.split())) for text in self.texts])
        self._embeddings = _embeddings(self.texts, embed, folder)

    def captions(self, numbers: Tensor) -> Tensor:
        """Token ids of texts [S] -> [S, length of the longest]."""
        ids = self.ids[numbers].long()
        return ids[:, : int((ids != 0).sum(1).max())].contiguous()

    def embeddings(self, numbers: Tensor) -> Tensor:
        """Sentence embeddings of texts [S] -> [S, E], unit norm."""
        return F.normalize(torch.from_numpy(self._embeddings[numbers.numpy()]).float(), dim=-1)

    def words(self, number: int) -> tuple[str, ...]:
        """The content words of a text, which its control words are drawn from."""
        if number not in self._words:
            self._words[number] = content_words(self.texts[number])
        return self._words[number]


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
    key = sha256("\n".join(texts).encode() + probe.tobytes()).hexdigest()[:16]
    path = folder / f"embeddings-{key}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{path.name}.{os.getpid()}.npy"
        np.save(temporary, embed(texts).float().cpu().numpy().astype(np.float16))
        temporary.rename(path)
    return np.load(path, mmap_mode="r")
