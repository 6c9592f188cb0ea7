"""Samples -> training batches. A batch follows from (seed, step) alone: any process, started anew, draws the same.

B regions in the global batch, S in one process's part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dynrefer.model.language import control_text
from dynrefer.training.config import TrainConfig
from dynrefer.training.objective import Batch, GlobalTexts
from dynrefer.training.regions import STYLE_OF, RegionTable
from dynrefer.training.texts import TextTable, draw_controls
from dynrefer.training.views import Rng, ViewSource
from dynrefer.vocabulary import TextBank

Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
RANDOM_TEACHER_CLASSES = 40
_STEP, _ORDER, _TEXT, _VIEWS, _SENTENCE = range(1, 6)  # streams of chance


@dataclass(frozen=True)
class Draw:
    """What a step trains on: `samples`, `texts` and `sources` [B], and `sentences` without a photograph.

    `tags` and `teacher_classes` are indices into the whole vocabularies, None for all or for no distillation.
    """

    step: int
    samples: Tensor
    texts: Tensor
    sources: tuple[str, ...]
    sentences: Tensor
    tags: Tensor | None = None
    teacher_classes: Tensor | None = None


class BatchSource:
    """Draws and assembles batches.

    Args:
        weights: chance of each sample, or None to pass over all of them once an epoch.
        sentences: text number and chance of each sentence without a photograph.
        teacher: ImageNet's likeliest classes and their probabilities, [samples, K] each, or None.
    """

    def __init__(
        self,
        config: TrainConfig,
        regions: RegionTable,
        table: TextTable,
        views: ViewSource,
        tokenize: Tokenize,
        styles: Sequence[str],
        weights: np.ndarray | None = None,
        sentences: Mapping[int, float] | None = None,
        teacher: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.config, self.regions, self.table, self.views, self.tokenize = config, regions, table, views, tokenize
        self.styles, self.weights, self.teacher = list(styles), weights, teacher
        self.sentences = np.array(list(sentences or {}), dtype=np.int64)
        chances = np.array(list((sentences or {}).values()))
        self.sentence_chances = chances / chances.sum() if len(chances) else chances

    def draw(self, step: int) -> Draw:
        """The global batch of a step."""
        rng = self._rng(_STEP, step)
        chosen = self._choose(step, rng)
        picked = [self.regions.draw_text(sample, self._rng(_TEXT, step, place)) for place, sample in enumerate(chosen)]
        samples = torch.from_numpy(chosen)
        extra = self.config.texts.extra if len(self.sentences) else 0
        return Draw(
            step,
            samples,
            torch.tensor([number for number, _ in picked]),
            tuple(source for _, source in picked),
            torch.from_numpy(
                rng.choice(self.sentences, extra, p=self.sentence_chances) if extra else self.sentences[:0]
            ),
            self._choose_tags(samples, rng),
            self._choose_teacher_classes(samples, rng),
        )

    def batch(self, draw: Draw, part: int = 0, parts: int = 1) -> Batch:
        """Every `parts`-th region of the draw, beginning with `part`."""
        places = range(part, len(draw.samples), parts)
        rngs = [self._rng(_VIEWS, draw.step, place) for place in places]
        samples, texts = draw.samples[part::parts], draw.texts[part::parts]
        sources = draw.sources[part::parts]
        seen = self.views.draw(samples.tolist(), self.table.sided[texts].tolist(), rngs)
        controls, controls_mask = self._controls(texts, rngs)
        tags = self.regions.tags(samples)
        return Batch(
            **seen,
            captions=self.table.captions(texts),
            controls=controls,
            controls_mask=controls_mask,
            text=self.table.embeddings(texts),
            text_id=texts,
            tags=tags if draw.tags is None else tags[:, draw.tags],
            style=self._style(sources),
            attributes=self.regions.attributes[samples],
            category=self.regions.category[samples],
            names_class=torch.tensor([source == "class" for source in sources]),
            teacher=self._teacher(samples),
            teacher_classes=draw.teacher_classes,
            **self._sentences(draw, part, parts),
        )

    def texts(self, draw: Draw) -> GlobalTexts:
        """Texts of the global batch; as everyone can draw it, nothing has to be gathered for the contrast."""
        return GlobalTexts(
            self.table.embeddings(draw.texts),
            draw.texts,
            self.regions.category[draw.samples],
            torch.tensor([source == "class" for source in draw.sources]),
        )

    def bank(self, bank: TextBank, draw: Draw) -> TextBank:
        """The vocabularies with only the tags of this step."""
        return bank if draw.tags is None else replace(bank, tags=bank.tags[draw.tags.to(bank.tags.device)])

    def _rng(self, stream: int, step: int, place: int = 0) -> Rng:
        return np.random.default_rng((self.config.seed, stream, step, place))

    def _choose(self, step: int, rng: Rng) -> np.ndarray:
        size, count = self.config.batch_size, len(self.regions.samples)
        if self.weights is not None:
            return rng.choice(count, size, p=self.weights)
        places = np.arange(step * size, (step + 1) * size)
        orders = {epoch: self._rng(_ORDER, epoch).permutation(count) for epoch in np.unique(places // count).tolist()}
        return np.array([orders[place // count][place % count] for place in places.tolist()])

    def _choose_tags(self, samples: Tensor, rng: Rng) -> Tensor | None:
        limit, count = self.config.max_tags, self.regions.num_tags
        if limit is None or limit >= count:
            return None
        present = (self.regions.tags(samples) == 1).any(0).numpy()
        order = np.argsort(rng.random(count) + present, kind="stable")[::-1][:limit]
        return torch.from_numpy(np.sort(order))

    def _choose_teacher_classes(self, samples: Tensor, rng: Rng) -> Tensor | None:
        probabilities = self._teacher(samples)
        if probabilities is None:
            return None
        likely = probabilities.mean(0).topk(self.config.teacher_classes - RANDOM_TEACHER_CLASSES).indices
        random = torch.from_numpy(rng.choice(probabilities.shape[1], RANDOM_TEACHER_CLASSES, replace=False))
        return torch.cat([likely, random]).unique()

    def _teacher(self, samples: Tensor) -> Tensor | None:
        if self.teacher is None or not self.config.weights.distill:
            return None
        index, probability = (part[samples] for part in self.teacher)
        return torch.zeros(len(samples), 1000).scatter_(1, index.long(), probability.float())

    def _controls(self, texts: Tensor, rngs: Sequence[Rng]) -> tuple[Tensor, Tensor]:
        chosen = self.config.texts
        words = [
            draw_controls(
                self.table.words(text),
                rng,
                none=chosen.no_controls,
                drop=chosen.drop_control,
                limit=chosen.max_controls,
            )
            for text, rng in zip(texts.tolist(), rngs, strict=True)
        ]
        return self.tokenize([control_text(row) for row in words])

    def _style(self, sources: Sequence[str]) -> Tensor:
        names = [STYLE_OF.get(source, "region") for source in sources]
        return torch.tensor([self.styles.index(name) if name in self.styles else 0 for name in names])

    def _sentences(self, draw: Draw, part: int, parts: int) -> dict[str, Tensor]:
        texts = draw.sentences[part::parts]
        if not len(texts):
            return {}
        rngs = [self._rng(_SENTENCE, draw.step, place) for place in range(part, len(draw.sentences), parts)]
        clean = self.table.embeddings(texts)
        noise = np.stack([rng.normal(0, self.config.texts.extra_noise, clean.shape[1]) for rng in rngs])
        controls, mask = self._controls(texts, rngs)
        return {
            "extra_captions": self.table.captions(texts),
            "extra_text": torch.nn.functional.normalize(clean + torch.from_numpy(noise).float(), dim=-1),
            "extra_controls": controls,
            "extra_controls_mask": mask,
        }
