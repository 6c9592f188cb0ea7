"""Which samples train, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from weakref import ref

import pytest

from dynrefer.datasets.sample import RegionText, Sample
from dynrefer.training.config import SamplingConfig
from dynrefer.training.sampling import Traits, choose_samples, sample_weights


def plain(samples: list[Sample], number: int, **changes: object) -> Sample:
    """A sample that carries nothing but its class name."""
    name = f"{number}"
    texts = (RegionText("a dog", "class"),)
    return replace(samples[0], sample_id=name, texts=texts, attributes=None, class_name="dog", **changes)


def test_small_boxes_with_nothing_but_a_class_are_left_out(samples: list[Sample]) -> None:
    tiny = plain(samples, 1, box=(0.0, 0.0, 2.0, 2.0))
    told = replace(tiny, sample_id="told", texts=samples[1].texts)
    assert list(choose_samples(lambda: [tiny, told], SamplingConfig(min_area=0.01))) == [told]


def test_classes_are_capped_the_same_way_every_time(samples: list[Sample]) -> None:
    many = [plain(samples, n) for n in range(20)]
    chosen = list(choose_samples(lambda: many, SamplingConfig(max_class_only=5)))
    assert len(chosen) == 5
    assert chosen == list(choose_samples(lambda: many[::-1], SamplingConfig(max_class_only=5)))[::-1]


def test_rare_classes_are_drawn_more_often(samples: list[Sample]) -> None:
    rare = replace(plain(samples, 99), class_name="cat")
    weights = sample_weights(
        Traits.of([plain(samples, n) for n in range(4)] + [rare]), SamplingConfig(class_power=-0.5)
    )
    assert weights.sum() == pytest.approx(1)
    assert weights[-1] / weights[0] == pytest.approx(2)


def test_whole_images_get_their_share(samples: list[Sample]) -> None:
    whole = replace(plain(samples, 7), class_name=None, texts=(RegionText("a street", "whole"),))
    weights = sample_weights(Traits.of([*samples, whole]), SamplingConfig(whole_images=0.25))
    assert weights[-1] == pytest.approx(0.25)


def test_regions_without_a_class_get_their_share_beside_whole_images(samples: list[Sample]) -> None:
    whole = replace(plain(samples, 7), class_name=None, texts=(RegionText("a street", "whole"),))
    sky = replace(plain(samples, 8), class_name=None, texts=(RegionText("a blue sky", "described"),))
    weights = sample_weights(Traits.of([*samples, sky, whole]), SamplingConfig(whole_images=0.2, classless=0.25))
    assert weights[-1] == pytest.approx(0.2)
    assert weights[-2] == pytest.approx(0.8 * 0.25)


@pytest.mark.parametrize("config", [SamplingConfig(), SamplingConfig(min_area=0.01, max_class_only=5)])
def test_samples_pass_one_by_one_and_are_not_held(samples: list[Sample], config: SamplingConfig) -> None:
    def read() -> Iterator[Sample]:
        return (plain(samples, number) for number in range(50))

    alive = [ref(sample) for sample in choose_samples(read, config)]
    assert len(alive) >= 5
    assert [sample for sample in alive[:-1] if sample() is not None] == []
