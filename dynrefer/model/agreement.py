"""No plural after "a": a small language model has learned the words, but not always that they must agree.

B rows, N tokens written, W pieces of the tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LogitsProcessor

ARTICLES = ("a", "an")
REACH = 3  # tokens looked back at: an article and two qualities
IMPOSSIBLE = -1.0e9


class Agreement(LogitsProcessor):
    """Rules out words after an article, at once or behind one or two qualities ("a snowy trees").

    Args:
        without_article: words that never follow "a" or "an" ("trees", "water").
        qualities: words that may stand between an article and its noun ("snowy").
        size: W, of which the tokenizer may use fewer. Words of several pieces are not watched.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        without_article: Sequence[str],
        qualities: Sequence[str],
        size: int,
        device: torch.device,
    ) -> None:
        self.articles, self.qualities, ruled_out = (
            _marked(tokenizer, words, size, device) for words in (ARTICLES, qualities, without_article)
        )
        self.penalty = ruled_out * IMPOSSIBLE
        self.back = torch.arange(REACH, device=device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """For `transformers`: tokens written [B, N] and the scores of the next one [B, W] -> scores."""
        end = torch.tensor(input_ids.shape[1] - 1, device=input_ids.device)
        return self.apply(input_ids, end, scores)

    def apply(self, written: Tensor, position: Tensor, scores: Tensor) -> Tensor:
        """The same for rows [B, N] of which `position` (a tensor, so that it can be recorded) is the last token's."""
        last = written.index_select(1, (position - self.back).clamp(min=0))  # [B, 3], the latest first
        article, quality = self.articles[last], self.qualities[last]
        at_once = article[:, 0]
        behind_one = article[:, 1] & quality[:, 0]
        behind_two = article[:, 2] & quality[:, 1] & quality[:, 0]
        return scores + (at_once | behind_one | behind_two)[:, None] * self.penalty


def _marked(tokenizer: Tokenizer, words: Sequence[str], size: int, device: torch.device) -> Tensor:
    """Which of the pieces [W] is one of the words, from its first letter to its last."""
    marked = torch.zeros(size, dtype=torch.bool, device=device)
    for word in words:
        pieces = tokenizer.encode(word, add_special_tokens=False).ids
        if len(pieces) == 1:
            marked[pieces[0]] = True
    return marked
