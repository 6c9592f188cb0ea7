"""Names taught by boxed examples alone: where their regions lie among the texts, kept beside the name's own embedding.

The language model's sentence head says where in the text encoder's space a region's description would lie; the mean of
a name's examples is its prototype (after Snell et al., Prototypical networks, NeurIPS 2017). E is that space's width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dynrefer.checkpoint import Checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.model import DynRefer
from dynrefer.training.collate import stack_views
from dynrefer.training.config import TrainConfig
from dynrefer.training.setup import open_validation
from dynrefer.vocabulary import Vocabulary

LEAST = 2  # examples of a name


def has_space(model: DynRefer) -> bool:
    """Whether the network tells where a region lies among texts."""
    return model.summary is not None and model.config.language.sentence_slot


@torch.inference_mode()
def embed_regions(samples: Sequence[Sample], checkpoint: Checkpoint, config: TrainConfig, folder: Path) -> Tensor:
    """Where regions lie among texts: [S, E] of unit norm; features are cached in `folder`."""
    plain = [replace(sample, split="val") for sample in samples]  # which are cached as they are
    views = open_validation(config, plain, checkpoint, folder).dataset.views
    stacked = stack_views([views.plain(number) for number in range(len(samples))])
    _, summary, _ = checkpoint.model.represent(stacked["cuts"], stacked["geometry"])
    assert summary is not None
    return checkpoint.model.language.sentence(summary)


def with_prototypes(vocabulary: Vocabulary, names: Sequence[str | None], regions: Tensor) -> Vocabulary:
    """The vocabulary with a prototype of every name of at least LEAST examples, beside those it has already.

    Args:
        names: what each region is called, None where that is not known. regions: [S, E] of `embed_regions`.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(names):
        if name:
            rows[name].append(number)
    taught = {name: F.normalize(regions[own].mean(0), dim=0) for name, own in rows.items() if len(own) >= LEAST}
    known = dict(zip(vocabulary.prototypes, vocabulary.embeddings.get("prototypes", ()), strict=True))
    every = known | taught
    if not every:
        return vocabulary
    embeddings = {**vocabulary.embeddings, "prototypes": torch.stack(list(every.values())).float().cpu()}
    return replace(vocabulary, prototypes=tuple(every)).with_embeddings(embeddings)
