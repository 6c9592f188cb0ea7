"""The regions as the heads learn them: their targets, how often each is drawn, and batches of cached features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from dynrefer.checkpoint import Checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.model import DynRefer
from dynrefer.model.query_decoder import QueryDecoder, TextQueries
from dynrefer.vocabulary import best_of_groups
from recipes.mini.classes import CLASS_NAMES
from recipes.mini.features import FOLDER as FEATURES
from recipes.mini.features import Cache
from recipes.mini.predictions import Predictions
from recipes.mini.regions import area, origin, read_regions
from recipes.mini.start import EMBEDDINGS
from recipes.mini.targets import Targets
from recipes.mini.vocabulary import Words, default_names

ALIKE = 0.62  # cosine of two names from which one does not deny the other
ORIGIN_WEIGHT = {"coco": 1.0, "flickr": 0.8, "named": 2.2}
RARITY = -0.3  # power of a name's frequency in a region's chance to be drawn
DETECTED, DETECTED_RARITY = 0.8, -0.5  # the same of regions of which a detector knows the class and nobody a name


class Lessons:
    """Everything about the regions that is learned, as arrays, and how regions are drawn."""

    def __init__(self, run: Path, checkpoint: Checkpoint, device: torch.device | str = "cpu") -> None:
        regions, embeddings, vocabulary = read_regions(run), load_file(run / EMBEDDINGS), checkpoint.vocabulary
        self.targets, self.device = Targets(run), device
        self.cache = Cache(run / FEATURES) if (run / FEATURES).exists() else None
        self.alike = (embeddings["names"] @ embeddings["names"].T > ALIKE).to(device)
        self.classes, self.plain_classes = (embeddings[kind].to(device) for kind in ("classes", "plain_classes"))
        words = Words.of(run)
        tag = {name: place for place, name in enumerate(words.tags)}
        self.tags_of_names = torch.tensor([tag.get(name, 0) for name in words.names]).to(device)
        self.said_by_default = torch.tensor(default_names(words.names)).to(device)
        self.priors = torch.tensor(words.priors).to(device)
        self.attributes = vocabulary.embeddings["attributes"].to(device)
        self.attribute_of = vocabulary.attribute_of.to(device)
        number = {name: k for k, name in enumerate(CLASS_NAMES)}
        self.category = np.array([number.get(region.class_name or "", -1) for region in regions])
        unknown = (-1,) * len(vocabulary.attributes)
        self.labels = np.array([region.attributes or unknown for region in regions], np.int8)
        self.origin = np.array([origin(region) for region in regions])
        self.training = np.array([region.split == "train" for region in regions])
        self.large = np.array([area(region) > 0.005 for region in regions])
        self.weight = self._weights(regions)

    def _weights(self, regions: list[Sample]) -> np.ndarray:
        """How often each region is drawn: rare names and labelled regions more often."""
        names = self.targets.names
        said = [np.array(found, int) for found, use in zip(names, self.training, strict=True) if use]
        counts = np.bincount(np.concatenate(said), minlength=len(self.alike)) + 1
        frequency = np.array([counts[found].mean() if found else 4000 for found in names])
        weight = np.array([ORIGIN_WEIGHT[origin(region)] for region in regions]) * frequency**RARITY
        weight = weight * np.where((self.labels >= 0).any(1), 1.6, 1.0)
        called = np.array([bool(found) for found in names])
        detected = ~called & (self.category >= 0)
        classes = np.bincount(self.category[detected], minlength=len(CLASS_NAMES)) + 1
        rare = DETECTED * classes[self.category].astype(float) ** DETECTED_RARITY
        return np.where(detected, rare, weight * np.where(called, 1.0, 0.3))

    def draw(self, count: int, done: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows of different training regions that are done, sorted."""
        ready = np.flatnonzero(self.training & (np.asarray(done) == 1))
        chance = self.weight[ready] / self.weight[ready].sum()
        return np.sort(rng.choice(ready, count, replace=False, p=chance))

    def attribute_logits(self, model: DynRefer, queries: Tensor, summary: Tensor) -> Tensor:
        """Of regions [S, A]."""
        return attribute_logits(model, self.attributes, self.attribute_of, queries, summary)

    def named(self, rows: np.ndarray) -> Tensor:
        """What regions are called [S, N], 1 or 0."""
        labels = np.zeros((len(rows), len(self.alike)), np.float32)
        for k, row in enumerate(rows):
            labels[k, self.targets.names[row]] = 1
        return torch.from_numpy(labels).to(self.device)

    def of(self, values: np.ndarray, rows: np.ndarray) -> Tensor:
        """What an array says of regions, where the network is."""
        return torch.from_numpy(values[rows]).to(self.device)


@dataclass(frozen=True)
class Batch:
    """Regions as the decoders see them: rows [S], queries [S, Q, D], summary [S, D], the classifier's belief [S, K]."""

    rows: np.ndarray
    queries: Tensor
    summary: Tensor
    belief: Tensor

    @classmethod
    def seen(cls, model: DynRefer, lessons: Lessons, rows: np.ndarray) -> Batch:
        """What the model makes of the cached features."""
        assert lessons.cache is not None
        queries, summary, belief = model.represent(*lessons.cache.read(rows))
        assert summary is not None and belief is not None
        return cls(rows, queries, summary, belief)

    @classmethod
    def remembered(cls, model: DynRefer, lessons: Lessons, predictions: Predictions, rows: np.ndarray) -> Batch:
        """What a model whose predictions were written made of them; only the belief is read from the features."""
        config = model.config.encoder
        assert lessons.cache is not None
        tokens = torch.from_numpy(lessons.cache.cuts[rows, :, : config.global_tokens + config.belief_tokens])
        belief = model.align.belief(tokens.flatten(0, 1).float())
        assert belief is not None
        queries = torch.from_numpy(predictions.queries[rows].astype(np.float32))
        return cls(rows, queries, torch.from_numpy(predictions.summaries[rows]), belief)

    def cheap(self, decoder: QueryDecoder, texts: TextQueries, *, believe: bool = True) -> Tensor:
        """The cheap terms [S, T], with or without belief."""
        return decoder.cheap_logits(texts, self.summary, self.belief if believe else None).float()

    def decoded(self, decoder: QueryDecoder, texts: TextQueries, numbers: Tensor) -> Tensor:
        """What decoding adds for some of the texts [S, len(numbers)]."""
        return decoder.decode(self.queries, texts.queries[numbers][None].expand(len(self.queries), -1, -1)).float()

    def part(self, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, summary and belief of some of the regions."""
        return self.queries[keep], self.summary[keep], self.belief[keep]


def attribute_logits(model: DynRefer, texts: Tensor, attribute_of: Tensor, queries: Tensor, summary: Tensor) -> Tensor:
    """[S, A]: the best template of each attribute; the classifier knows no attributes, so its belief is left out."""
    logits = model.contrast_logits(queries, texts, summary).float()
    return best_of_groups(logits, attribute_of, int(attribute_of.max()) + 1)
