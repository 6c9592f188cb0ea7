"""What the image encoder's own classifier says of a text: votes through the names of its classes.

S regions, T texts, K the classifier's classes, E text width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ALIKE_FROM = 0.55  # cosine of two names below which one says nothing of the other


class ClassifierNames(nn.Module):
    """Names of the classifier's classes, and how much each class's probability is worth to a text.

    Every class votes for a text with its probability, weighted by how alike name and text are: the convex combination
    of Norouzi et al. (ICLR 2014), as a score a text. A class has two names, the data set's and the everyday one.
    """

    embeddings: Tensor

    def __init__(self, text_width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(2, classes, text_width))

    def forward(self, texts: Tensor) -> Tensor:
        """Texts [T, E] of unit norm -> votes [K, T] in 0 .. 1."""
        names = self.embeddings.to(texts.dtype)
        alike = torch.maximum(names[0] @ texts.T, names[1] @ texts.T)
        return ((alike - ALIKE_FROM).clamp(min=0) / (1 - ALIKE_FROM)).square()
