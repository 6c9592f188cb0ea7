"""Which samples train and how often each is drawn."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

import numpy as np

from dynrefer.datasets.sample import DESCRIBED, Sample
from dynrefer.training.config import SamplingConfig

SMALL = 0.01  # share of the image below which a box is small


class Traits:
    """What decides how often each of S samples is drawn, a few bytes a sample."""

    def __init__(self) -> None:
        self._classes: dict[str | None, int] = {}
        self.class_of, self.area = array("i"), array("f")
        self.described, self.attributed, self.whole, self.classless = (array("b") for _ in range(4))

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Traits:
        """The traits of all samples, in their order."""
        traits = cls()
        for sample in samples:
            traits.add(sample)
        return traits

    def add(self, sample: Sample) -> None:
        """Append a sample."""
        found = sources(sample)
        self.class_of.append(self._classes.setdefault(sample.class_name, len(self._classes)))
        self.area.append(area(sample))
        self.described.append(bool(found & DESCRIBED))
        self.attributed.append(sample.attributes is not None)
        self.whole.append(found == {"whole"})
        self.classless.append(sample.class_name is None)


def sources(sample: Sample) -> set[str]:
    """Where the sample's texts come from."""
    return {text.source for text in sample.texts}


def area(sample: Sample) -> float:
    """Share of the image that the box covers; 1 where the image's size is unknown."""
    if sample.image_size is None:
        return 1.0
    x1, y1, x2, y2 = sample.box
    return (x2 - x1) * (y2 - y1) / (sample.image_size[0] * sample.image_size[1])


def choose_samples(read: Callable[[], Iterable[Sample]], config: SamplingConfig) -> Iterator[Sample]:
    """The samples worth training on, in their order, one by one; the choice among equals depends on their ids alone.

    Args:
        read: goes through all samples anew; called twice where the configuration leaves some out.
    """
    if not config.min_area and config.max_class_only is None:
        return iter(read())
    dropped = _dropped(read(), config)
    return (sample for sample in read() if sample.sample_id not in dropped)


def _dropped(samples: Iterable[Sample], config: SamplingConfig) -> set[str]:
    """Ids of samples that carry nothing but a class name and are too small, or too many."""
    plain: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    dropped: set[str] = set()
    for sample in samples:
        if sources(sample) <= {"class"} and sample.attributes is None:
            if area(sample) < config.min_area:
                dropped.add(sample.sample_id)
            else:
                plain[sample.split, sample.class_name].append(sample.sample_id)
    if config.max_class_only is not None:
        for ids in plain.values():
            dropped.update(sorted(ids, key=lambda name: sha256(name.encode()).digest())[config.max_class_only :])
    return dropped


def sample_weights(traits: Traits, config: SamplingConfig) -> np.ndarray:
    """Probability of each sample to be drawn: float64 [S], sum 1."""
    classes = np.asarray(traits.class_of)
    weights = np.bincount(classes)[classes] ** float(config.class_power)
    weights = weights * np.where(traits.described, config.captioned, 1.0)
    weights = weights * np.where(traits.attributed, config.attributed, 1.0)
    weights = weights * np.where(np.asarray(traits.area) < SMALL, config.small, 1.0)
    whole = np.asarray(traits.whole, dtype=bool)
    classless = np.asarray(traits.classless, dtype=bool) & ~whole
    _share(weights, classless, ~whole & ~classless, config.classless)
    _share(weights, whole, ~whole, config.whole_images)
    return weights / weights.sum()


def _share(weights: np.ndarray, chosen: np.ndarray, others: np.ndarray, share: float | None) -> None:
    """Scale the weights so that `chosen` has its `share` of both, where there are both."""
    if share is not None and chosen.any() and others.any():
        weights[others] *= (1 - share) / weights[others].sum()
        weights[chosen] *= share / weights[chosen].sum()
