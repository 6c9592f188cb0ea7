"""Which samples train and how often each is drawn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from dynrefer.datasets.sample import DESCRIBED, Sample


@dataclass(frozen=True)
class SamplingConfig:
    """Choice of samples and their weights.

    Attributes:
        min_area: smaller boxes (as a share of the image) are left out, unless they carry more than a class name.
        max_class_only: at most so many samples of a class that carry nothing but its name.
        class_power: weight = class frequency ** class_power; 0 draws all samples alike.
        captioned, attributed, small: factors for samples with a caption of their own, with attributes, below 1 % area.
        whole_images: share of the draws that are whole images.
        classless: share of the other draws that are parts of images without a class.
    """

    min_area: float = 0.0
    max_class_only: int | None = None
    class_power: float = 0.0
    captioned: float = 1.0
    attributed: float = 1.0
    small: float = 1.0
    whole_images: float | None = None
    classless: float | None = None


def sources(sample: Sample) -> set[str]:
    """Where the sample's texts come from."""
    return {text.source for text in sample.texts}


def area(sample: Sample) -> float:
    """Share of the image that the box covers; 1 where the image's size is unknown."""
    if sample.image_size is None:
        return 1.0
    x1, y1, x2, y2 = sample.box
    return (x2 - x1) * (y2 - y1) / (sample.image_size[0] * sample.image_size[1])


def choose_samples(samples: Sequence[Sample], config: SamplingConfig) -> list[Sample]:
    """The samples worth training on, in their order; the choice among equals depends on their ids alone."""
    plain: dict[tuple[str, str | None], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sources(sample) <= {"class"} and sample.attributes is None:
            plain[sample.split, sample.class_name].append(sample)
    dropped: set[str] = set()
    for members in plain.values():
        order = sorted(members, key=lambda s: (area(s) < config.min_area, sha256(s.sample_id.encode()).digest()))
        kept = [s for s in order if area(s) >= config.min_area][: config.max_class_only]
        dropped |= {s.sample_id for s in members} - {s.sample_id for s in kept}
    return [sample for sample in samples if sample.sample_id not in dropped]


def sample_weights(samples: Sequence[Sample], config: SamplingConfig) -> np.ndarray:
    """Probability of each sample to be drawn: float64 [S], sum 1."""
    count = Counter(sample.class_name for sample in samples)
    whole = np.array([sources(sample) == {"whole"} for sample in samples])
    weights = np.array([count[sample.class_name] ** config.class_power for sample in samples])
    weights *= [config.captioned if sources(s) & DESCRIBED else 1.0 for s in samples]
    weights *= [config.attributed if s.attributes is not None else 1.0 for s in samples]
    weights *= [config.small if area(s) < 0.01 else 1.0 for s in samples]
    classless = np.array([sample.class_name is None for sample in samples]) & ~whole
    _share(weights, classless, ~whole & ~classless, config.classless)
    _share(weights, whole, ~whole, config.whole_images)
    return weights / weights.sum()


def _share(weights: np.ndarray, chosen: np.ndarray, others: np.ndarray, share: float | None) -> None:
    """Scale the weights so that `chosen` has its `share` of both, where there are both."""
    if share is not None and chosen.any() and others.any():
        weights[others] *= (1 - share) / weights[others].sum()
        weights[chosen] *= share / weights[chosen].sum()
