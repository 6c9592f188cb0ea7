"""The second stage of pointing, and what it learns from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dynrefer.model.pointing import EVIDENCE
from recipes.mini.pointing import overlap
from recipes.mini.pointing_views import CROWD, THING
from recipes.mini.refiner import Clicks, shown, trained


def test_what_is_learnt_finds_the_candidate_that_the_evidence_tells_and_mends_its_sides() -> None:
    rng = torch.Generator().manual_seed(1)
    clicks, count = 600, 3
    things = torch.tensor([20.0, 20.0, 60.0, 60.0]).expand(clicks, 4)
    boxes = torch.tensor([100.0, 100.0, 140.0, 140.0]).expand(clicks, count, 4).clone()
    told = torch.randint(count, (clicks,), generator=rng)
    boxes[torch.arange(clicks), told] = torch.tensor([20.0, 20.0, 50.0, 60.0])  # a quarter too narrow
    seen = 3 + 5 * torch.rand(clicks, count, EVIDENCE, generator=rng)
    seen[..., 0] = 40.0
    seen[torch.arange(clicks), told, 0] = 70.0
    known = Clicks(seen, boxes, torch.ones(clicks, count), things, torch.ones(clicks), torch.zeros(clicks))
    refiner = trained(known, 40)
    logits, mended = refiner(known.evidence, known.boxes)
    assert (logits.argmax(1) == told).all()
    best = mended[torch.arange(clicks), told]
    assert overlap(best, things).mean() > 0.9


@pytest.mark.parametrize("way", ["plain", "mirrored", "cut 1", "cut 2"])
def test_a_box_lies_on_the_same_thing_however_the_photograph_is_shown(way: str, tmp_path: Path) -> None:
    pixels = np.zeros((120, 160, 3), np.uint8)
    pixels[40:80, 60:90] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    boxes = [(60.0, 40.0, 90.0, 80.0), (0.0, 0.0, 160.0, 120.0)]
    record = {"image": str(tmp_path / "a.png"), "boxes": boxes, "kinds": [THING, CROWD], "source": "coco"}
    photo, found = shown(record, way)
    for x1, y1, x2, y2 in found:
        assert (photo.pixels[round(y1) : round(y2), round(x1) : round(x2)] == 255).all()
    if not way.startswith("cut"):
        assert len(found) == 1 and (photo.pixels == 255).all(-1).sum() == 30 * 40
