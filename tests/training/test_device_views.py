"""Views cut on the device are those cut from the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from dynrefer.datasets.io import Problems
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.training.augmentation import BLANK
from dynrefer.training.config import AugmentConfig, ViewsConfig
from dynrefer.training.device_views import DeviceViews, Photographs, resize_crops
from dynrefer.training.views import PixelViews, Planner
from dynrefer.views import crop_views

CPU = torch.device("cpu")
CHANGES = AugmentConfig(mirror=0.5, jitter=0.06)


def smooth_image(width: int, height: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)))


def views_of(samples: list[Sample], augment: AugmentConfig, size: int = 32) -> tuple[PixelViews, DeviceViews]:
    planner = Planner(3, size, ViewsConfig(), augment)
    photographs = Photographs([sample.image for sample in samples], CPU, Problems())
    return PixelViews(samples, planner, Problems()), DeviceViews(samples, planner, photographs)


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(number) for number in range(count)]


@pytest.mark.parametrize("box", [(0, 0, 90, 70), (13, 5, 33, 64), (40, 40, 42, 43), (0, 0, 1, 1)])
def test_resized_crops_are_pillows_within_two_grey_levels(box: tuple[int, ...]) -> None:
    image = smooth_image(90, 70)
    ours = resize_crops(torch.from_numpy(image).permute(2, 0, 1)[None], torch.tensor([box]), 48)[0].permute(1, 2, 0)
    assert np.abs(ours.numpy() - crop_views(image, np.array([box]), 48)[0]).max() <= 2


def test_drawn_views_are_those_of_the_files_for_the_same_generators(samples: list[Sample]) -> None:
    files, device = views_of(samples, CHANGES)
    numbers, sided = list(range(8)), [False] * 8
    expected, found = (views.draw(numbers, sided, generators(8)) for views in (files, device))
    assert torch.equal(found["boxes"], expected["boxes"])
    assert torch.equal(found["geometry"], expected["geometry"])
    assert (found["pixels"].int() - expected["pixels"].int()).abs().max() <= 2


def test_plain_views_are_those_of_the_files(samples: list[Sample]) -> None:
    files, device = views_of(samples, CHANGES)
    expected, found = (views.plain([0, 3]) for views in (files, device))
    assert (found["pixels"].int() - expected["pixels"].int()).abs().max() <= 2


def test_colours_change_about_as_in_the_files(samples: list[Sample]) -> None:
    files, device = views_of(samples, AugmentConfig(colour=0.3))
    expected, found = (views.draw([1], [False], generators(1)) for views in (files, device))
    plain = device.plain([1])["pixels"][:1].float()
    assert (found["pixels"][:1].float() - plain).abs().mean() > 5
    assert (found["pixels"].float() - expected["pixels"].float()).abs().mean() < 5


@pytest.mark.parametrize("kind", [0, 1])
def test_erased_rectangles_are_blank(samples: list[Sample], kind: int) -> None:
    views = views_of(samples, AugmentConfig(erase=1.0))[kind]
    pixels = views.draw([0, 1], [False, False], generators(2))["pixels"]
    share = (pixels == BLANK).all(-1).float().mean((1, 2))
    assert (share > 0.01).all() and (share < 0.3).all()


def test_a_photograph_that_cannot_be_read_is_counted_and_another_taken(samples: list[Sample], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    problems = Problems()
    photographs = Photographs([broken, *[sample.image for sample in samples] * 200], CPU, problems)
    views = DeviceViews(
        [Sample.from_dict(samples[0].to_dict() | {"image": str(broken)}), *samples],
        Planner(2, 16, ViewsConfig(), CHANGES),
        photographs,
    )
    assert len(views.plain([0])["pixels"]) == 2
    assert problems.counts["unreadable photographs or boxes"] == 1


def test_no_readable_photograph_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(InputError):
        Photographs([broken], CPU, Problems())
