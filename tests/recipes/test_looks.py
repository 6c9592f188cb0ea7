"""What is trained on is what inference sees."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dynrefer.views import boxes_in_views, crop_views, view_boxes
from recipes.mini.looks import Photographs, erased, jittered, mirrored_boxes, nested, recoloured, resized

STEPS = [0.0, 0.3, 1.0]
BOX = [31.4, 20.2, 90.9, 77.7]


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    pixels = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    file = tmp_path / "p.png"
    cv2.imwrite(str(file), pixels)
    return file


@pytest.mark.parametrize("side", [16, 64, 200])
def test_views_are_cut_and_resized_as_at_inference(photograph: Path, side: int) -> None:
    photographs = Photographs([photograph], "cpu", threads=1)
    pixels = cv2.cvtColor(cv2.imread(str(photograph)), cv2.COLOR_BGR2RGB)
    places = view_boxes(BOX, (160, 120), STEPS)
    views, inside = nested(torch.tensor([BOX]), photographs.sizes, torch.tensor([STEPS]))
    seen = resized(photographs.pixels[[0, 0, 0]], views[0], (side, side)).permute(0, 2, 3, 1).numpy()
    assert np.abs(seen - crop_views(pixels, places, side)).max() < 4  # Pillow rounds between its two passes
    np.testing.assert_allclose(inside[0] * side, boxes_in_views(BOX, places, (160, 120), side), rtol=1e-5)


def test_a_photograph_fills_only_its_part_of_a_canvas(photograph: Path) -> None:
    photographs = Photographs([photograph], "cpu", threads=1)
    box = torch.tensor([[0, 0, 160, 120]])
    canvas = resized(photographs.pixels, box, (64, 64), torch.tensor([[32, 24]]))
    whole = resized(photographs.pixels, box, (24, 32))
    torch.testing.assert_close(canvas[:, :, :24, :32], whole)
    assert not canvas[:, :, 24:].any()
    assert not canvas[:, :, :, 32:].any()


def test_jittered_boxes_stay_near_and_inside() -> None:
    boxes, sizes = torch.tensor([BOX]).repeat(200, 1), torch.tensor([[160, 120]]).repeat(200, 1)
    moved = jittered(boxes, sizes, 0.1)
    assert (moved - boxes).abs().max() <= 0.1 * 60
    assert moved.min() >= 0
    assert (moved[:, 2] <= 160).all()


def test_a_box_too_small_to_move_stays() -> None:
    box = torch.tensor([[5.0, 5.0, 6.5, 6.5]])
    assert torch.equal(jittered(box, torch.tensor([[160, 120]]), 0.1), box)


def test_mirrored_twice_a_box_is_where_it_was() -> None:
    boxes, widths = torch.tensor([BOX]), torch.tensor([160.0])
    torch.testing.assert_close(mirrored_boxes(mirrored_boxes(boxes, widths), widths), boxes)


def test_views_of_one_look_are_recoloured_alike() -> None:
    pixels = torch.rand(1, 3, 8, 8).mul(255).repeat(4, 1, 1, 1)
    changed = recoloured(pixels, 2, 0.3)
    torch.testing.assert_close(changed[0], changed[1])
    assert not torch.allclose(changed[0], changed[2])
    assert (changed.min() >= 0) and (changed.max() <= 255)


def test_erased_looks_have_a_grey_rectangle() -> None:
    pixels = torch.zeros(50, 3, 32, 32)
    hidden = erased(pixels, 1.0)
    assert set(hidden.unique().tolist()) == {0.0, 127.0}
    assert not erased(pixels, 0.0).any()
