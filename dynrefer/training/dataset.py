"""The map-style data set of training: an index is (step, place in the step's batch), and carries all chance with it.

What an index gives follows from the seed alone: any process or worker, started anew, draws the same. B regions in the
global batch, of which a process computes every n-th place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from dynrefer.boxes import Box
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.training.cache import DONE, FeatureCache
from dynrefer.training.config import AugmentConfig, TrainConfig, ViewsConfig
from dynrefer.training.regions import RegionTable, TextTable, draw_controls
from dynrefer.training.transforms import (
    Rng,
    ViewPlan,
    draw_coefficients,
    draw_colours,
    jitter_box,
    mirror_box,
    move_views,
    region_box,
    repeat_first,
)
from dynrefer.views import CANDIDATES, view_boxes

TRIES = 100  # other regions that are drawn where photographs cannot be read
_STEP, _ORDER, _TEXT, _VIEWS, _OTHER = range(1, 6)  # streams of chance
Views = dict[str, np.ndarray]


class ViewSource(Protocol):
    """A region -> the fields of an item that come from the photograph."""

    def draw(self, number: int, sided: bool, rng: Rng) -> Views:
        """Views for training; where the text is `sided` (says left or right) they are not mirrored.

        Raises InputError where the photograph cannot be read.
        """
        ...

    def plain(self, number: int) -> Views:
        """The same views every time, unchanged, for validation. Raises InputError as `draw` does."""
        ...


@dataclass(frozen=True)
class Draw:
    """What a step trains on: `samples`, `texts` and `sources` [B]; `tags` of the whole vocabulary, None for all."""

    samples: Tensor
    texts: Tensor
    sources: tuple[str, ...]
    tags: Tensor | None = None


@dataclass(frozen=True)
class Item:
    """One region of a batch with the text that was drawn for it; `unreadable` names what was passed over for it.

    `views` is None where no photograph could be read at all.
    """

    step: int
    place: int
    sample: int
    text: int
    source: str
    controls: tuple[str, ...]
    views: Views | None
    unreadable: dict[str, str] = field(default_factory=dict)


class RegionDataset(Dataset[Item]):
    """Draws items, every region once an epoch."""

    def __init__(self, config: TrainConfig, regions: RegionTable, texts: TextTable, views: ViewSource) -> None:
        self.config, self.regions, self.texts, self.views = config, regions, texts, views
        self._drawn: tuple[int, Draw] | None = None
        self._orders: dict[int, np.ndarray] = {}

    def __getitem__(self, index: tuple[int, int]) -> Item:
        step, place = index
        draw, rng = self.draw(step), self.rng(_VIEWS, step, place)
        sample, text, source = int(draw.samples[place]), int(draw.texts[place]), draw.sources[place]
        unreadable: dict[str, str] = {}
        views = None
        for attempt in range(TRIES):
            if attempt:  # all of it is another region's: its text and labels go with its pixels
                sample = int(self.rng(_OTHER, step, place, attempt).integers(len(self.regions)))
                text, source = self.regions.draw_text(sample, self.rng(_TEXT, step, place, attempt))
            try:
                views = self.views.draw(sample, bool(self.texts.sided[text]), rng)
                break
            except InputError as error:
                unreadable[str(self.regions.place(sample).image)] = str(error)
        controls = draw_controls(self.texts.words(text), rng, self.config.texts)
        return Item(step, place, sample, text, source, controls, views, unreadable)

    def draw(self, step: int) -> Draw:
        """The global batch of a step."""
        if self._drawn is None or self._drawn[0] != step:
            self._drawn = step, self._draw(step)
        return self._drawn[1]

    def rng(self, *stream: int) -> Rng:
        """A generator that follows from the seed and the numbers."""
        return np.random.default_rng((self.config.seed, *stream))

    def _draw(self, step: int) -> Draw:
        chosen = self._choose(step)
        picked = [self.regions.draw_text(n, self.rng(_TEXT, step, place)) for place, n in enumerate(chosen.tolist())]
        samples = torch.from_numpy(chosen)
        return Draw(
            samples,
            torch.tensor([number for number, _ in picked]),
            tuple(source for _, source in picked),
            self._choose_tags(samples, self.rng(_STEP, step)),
        )

    def _choose(self, step: int) -> np.ndarray:
        size, count = self.config.batch_size, len(self.regions)
        places = np.arange(step * size, (step + 1) * size)
        epochs = np.unique(places // count).tolist()
        self._orders = {e: self._orders[e] if e in self._orders else self._order(e) for e in epochs}
        return np.array([self._orders[place // count][place % count] for place in places.tolist()])

    def _order(self, epoch: int) -> np.ndarray:
        return self.rng(_ORDER, epoch).permutation(len(self.regions))

    def _choose_tags(self, samples: Tensor, rng: Rng) -> Tensor | None:
        limit, count = self.config.max_tags, self.regions.num_tags
        if limit is None or limit >= count:
            return None
        present = (self.regions.tags(samples) == 1).any(0).numpy()
        order = np.argsort(rng.random(count) + present, kind="stable")[::-1][:limit]
        return torch.from_numpy(np.sort(order))


class StepSampler(Sampler[list[tuple[int, int]]]):
    """The indices of a process's parts of each step, part by part; `parts` over all processes."""

    def __init__(self, steps: range, batch_size: int, own: Sequence[int], parts: int) -> None:
        self.steps, self.batch_size, self.own, self.parts = steps, batch_size, own, parts

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in self.steps:
            for part in self.own:
                yield [(step, place) for place in range(part, self.batch_size, self.parts)]

    def __len__(self) -> int:
        return len(self.steps) * len(self.own)


class PhotographViews:
    """Views cut out of the photographs, `side` pixels large."""

    def __init__(
        self, regions: RegionTable, num_views: int, side: int, views: ViewsConfig, augment: AugmentConfig
    ) -> None:
        self.regions, self.num_views, self.side, self.views, self.augment = regions, num_views, side, views, augment

    def draw(self, number: int, sided: bool, rng: Rng) -> Views:
        """pixels uint8 [V, s, s, 3], boxes [V, 4] and geometry [6]."""
        photo, box = self._open(number)
        size, wanted = photo.size, self.num_views - int(self.views.keep_region)
        drawn = draw_coefficients(wanted, rng) if self.views.stochastic else list(self.views.fixed[:wanted])
        steps = repeat_first([0.0, *drawn] if self.views.keep_region else drawn, self.views.repeat, rng)
        mirror = not sided and bool(rng.random() < self.augment.mirror)
        box = jitter_box(box, size, self.augment.jitter, rng)
        colours = draw_colours(self.augment.colour, rng) if self.augment.colour else None
        box = mirror_box(box, size) if mirror else box
        views = view_boxes(box, size, steps)
        if not self.views.nested:
            views = move_views(views, box, size, rng)
        return ViewPlan(box, views, size, mirror, colours).cut(photo.pixels, self.side)

    def plain(self, number: int) -> Views:
        """t = 0 and evenly spread candidates, nothing changed."""
        photo, box = self._open(number)
        steps = np.arange(self.num_views) * (0.9 / self.num_views)
        return ViewPlan(box, view_boxes(box, photo.size, steps), photo.size).cut(photo.pixels, self.side)

    def _open(self, number: int) -> tuple[Photo, Box]:
        place = self.regions.place(number)
        photo = Photo.read(place.image)
        return photo, region_box(place.box, place.size, photo.size)


class CachedViews:
    """Cuts from a feature cache: `rows` [S] says where each region lies in it."""

    def __init__(self, cache: FeatureCache, rows: np.ndarray, num_views: int, config: ViewsConfig) -> None:
        self.cache, self.rows, self.num_views, self.config = cache, rows, num_views, config
        available = cache.coefficients.shape[2]
        if available < num_views + int(not config.keep_region):
            raise InputError(
                f"The cache holds {available} views of a region, the model takes {num_views}: set 'drawn'."
            )
        state = np.asarray(cache.state)[rows]
        self.variants = 1 + (np.minimum.accumulate(state == DONE, axis=1)[:, 1:]).sum(1)  # those ready so far

    def draw(self, number: int, sided: bool, rng: Rng) -> Views:
        """cuts [V, T, C] and geometry [6]."""
        variant = int(rng.integers(self.variants[number]))
        return self._read(number, 0 if sided and variant % 2 else variant, self._slots(rng))

    def plain(self, number: int) -> Views:
        """t = 0 and the first cached coefficients."""
        return self._read(number, 0, list(range(self.num_views)))

    def _slots(self, rng: Rng) -> list[int]:
        """Which cached views are taken: every candidate is as likely as t = 1, which lies in the last slot."""
        others = list(range(1, self.cache.coefficients.shape[2] - 1))
        last = len(others) + 1
        wanted = self.num_views - int(self.config.keep_region)
        whole = len(others) < wanted or rng.random() < wanted / len(CANDIDATES)
        taken = [others[k] for k in rng.permutation(len(others))[: wanted - int(whole)]] + [last] * int(whole)
        taken = [taken[k] for k in rng.permutation(len(taken))]
        return repeat_first([0, *taken] if self.config.keep_region else taken, self.config.repeat, rng)

    def _read(self, number: int, variant: int, slots: list[int]) -> Views:
        row = self.rows[number]
        cuts = np.asarray(self.cache.features[row, variant])[slots].astype(np.float32)
        return {"cuts": cuts, "geometry": np.array(self.cache.geometry[row, variant])}
