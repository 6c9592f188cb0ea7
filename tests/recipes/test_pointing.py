"""What the pointing head is taught: which thing a place answers for, and the file that it is put into."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from dynrefer.checkpoint import fingerprint_of
from dynrefer.model.config import PointingConfig
from dynrefer.model.pointing import Places, PointingHead, centres
from recipes.mini.pointing import Goal
from recipes.mini.pointing_attach import attach
from recipes.mini.pointing_views import CROWD, PART, THING, View

CANVAS = (256, 384)
SMALL, LARGE = (176.0, 112.0, 208.0, 144.0), (64.0, 32.0, 320.0, 224.0)


def view(*boxes: tuple[tuple[float, float, float, float], int], complete: bool = True) -> View:
    places = ((0.0, 0.0, 384.0, 256.0), (384, 256), False, 1.0, CANVAS, 0)
    return View("photo", *places, [box for box, _ in boxes], [kind for _, kind in boxes], complete, False, "coco")


def number(x: float, y: float, stride: int) -> int:
    """Of the place whose cell holds x, y."""
    where = centres(CANVAS)
    near = (where[:, :2] - torch.tensor([x, y])).abs().amax(1) < stride / 2 + 1e-3
    return int((near & (where[:, 2] == stride)).nonzero()[0])


def test_levels_answer_for_things_of_their_size_and_a_press_means_the_small_one() -> None:
    goal = Goal([view((LARGE, THING), (SMALL, THING))])
    fine, coarse = number(190, 130, 8), number(190, 130, 32)
    assert goal.boxes[0, fine].tolist() == list(SMALL) and goal.boxes[0, coarse].tolist() == list(LARGE)
    assert goal.meant[0, fine].tolist() == goal.meant[0, coarse].tolist() == list(SMALL)
    assert goal.things[0, fine] == goal.things[0, coarse] == 1


def test_a_part_gives_way_to_a_thing() -> None:
    part = (160.0, 96.0, 224.0, 160.0)
    goal = Goal([view((SMALL, THING), (part, PART))])
    assert goal.meant[0, number(190, 130, 8)].tolist() == list(SMALL)


def test_what_is_in_no_box_is_no_thing_only_where_all_was_boxed() -> None:
    away = number(20, 20, 8)
    assert Goal([view((SMALL, THING))]).thing_weights[0, away] > 0
    assert Goal([view((SMALL, THING), complete=False)]).thing_weights[0, away] == 0
    assert Goal([view((LARGE, CROWD))]).thing_weights[0, number(190, 130, 8)] == 0


def test_a_mirrored_photograph_says_the_same_of_mirrored_places() -> None:
    torch.manual_seed(0)
    head = PointingHead(PointingConfig(widths=(4, 4, 4), blocks=0), (3, 3, 3)).eval()
    places = head([torch.rand(1, 64 // s, 96 // s, 3) for s in (8, 16, 32)])
    order = centres((64, 96))
    mirrored = [
        int(((order - torch.tensor([96 - x, y, s])).abs().amax(1) < 1e-3).nonzero()[0]) for x, y, s in order.tolist()
    ]
    x1, y1, x2, y2 = places.boxes[:, mirrored].unbind(-1)
    other = Places(torch.stack([96 - x2, y1, 96 - x1, y2], -1), places.quality[:, mirrored], places.things[:, mirrored])
    for again, alone in zip(other.mirrored((64, 96)), places, strict=True):
        torch.testing.assert_close(again, alone, atol=1e-3, rtol=1e-4)


def test_a_head_is_put_into_a_checkpoint_and_changes_its_fingerprint(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    before = fingerprint_of(folder)
    attach(folder, {"thing.weight": torch.ones(2, 3)}, PointingConfig(longest=(320, 512)))
    assert load_file(folder / "pointing.safetensors")["pointing.thing.weight"].dtype == torch.float16
    assert json.loads((folder / "config.json").read_text())["pointing"]["longest"] == [320, 512]
    assert fingerprint_of(folder) != before
