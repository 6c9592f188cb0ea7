"""Trains the pointing head on the maps that `recipes.mini.pointing_views` cached.

    python -m recipes.mini.pointing RUN --out pointing.safetensors [--steps 3000] [--init FORMER --first STEP]

Prints how well clicks on the photographs held out of training find their things. `recipes.mini.pointing_attach` puts
the head into a checkpoint.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from dynrefer.model.config import PointingConfig
from dynrefer.model.pointing import STRIDES, Places, PointingHead, centres
from recipes.mini.loop import Schedule, train
from recipes.mini.pointing_views import CROWD, PART, SHARES, THING, View, maps, read_views

SIZES = {
    8: (0.0, 64.0),
    16: (40.0, 160.0),
    32: (110.0, 1e9),
}  # roots of the areas of the things that a level answers for
BATCH = 24
PART_COSTS, PART_COUNTS = 2.0, 0.4  # a part loses against a thing, and counts less
MIDDLE = 0.75  # of half the sides of a box: inside it a place belongs to the thing for certain
WEIGHTS = {"box": 2.0, "sides": 0.3, "quality": 1.5, "thing": 1.0}


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--init", type=Path, help="a former OUT to go on from")
    parser.add_argument("--first", type=int, default=0, help="number of steps that were taken already")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    lessons = Lessons(args.run)
    head = PointingHead(PointingConfig(), lessons.channels)
    schedule = Schedule(args.steps, args.rate, weight_decay=0.02, decay_vectors=False)
    train(
        head,
        lambda step: cached_losses(head, lessons, step),
        schedule,
        args.out,
        lambda: lessons.check(head),
        args.init,
        args.first,
    )


class Lessons:
    """The cached views, as far as they are cached."""

    def __init__(self, run: Path) -> None:
        self.run, self.views = run, read_views(run)
        self.maps = {(c, s): maps(run, c, s) for c in {view.canvas for view in self.views} for s in STRIDES}
        self.channels = [next(m.shape[-1] for (_, s), m in self.maps.items() if s == stride) for stride in STRIDES]
        self.groups: dict[tuple[int, int], tuple[list[View], np.ndarray]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look again which views are cached."""
        done = np.load(self.run / "done.npy", mmap_mode="r")
        groups: dict[tuple[int, int], list[View]] = defaultdict(list)
        for view, cached in zip(self.views, done, strict=True):
            if cached and not view.held:
                groups[view.canvas].append(view)
        self.held = [view for view, cached in zip(self.views, done, strict=True) if cached and view.held]
        self.groups = {c: (views, np.array([SHARES[v.source] for v in views])) for c, views in groups.items()}

    def batch(self, step: int) -> list[View]:
        """Views of one canvas, drawn anew for every step."""
        rng = np.random.default_rng(step)
        canvases = list(self.groups)
        sums = np.array([self.groups[canvas][1].sum() for canvas in canvases])
        views, shares = self.groups[canvases[rng.choice(len(canvases), p=sums / sums.sum())]]
        return [views[k] for k in rng.choice(len(views), BATCH, p=shares / shares.sum())]

    def read(self, views: list[View]) -> list[Tensor]:
        """Their maps [N, H / s, W / s, C] in float32."""
        rows = [view.row for view in views]
        return [torch.from_numpy(self.maps[views[0].canvas, s][rows]).float() for s in STRIDES]

    @torch.no_grad()
    def check(self, head: PointingHead) -> dict[str, float]:
        """Clicks inside held-out things above 1 %: mean overlap of the best-scored box, share above .5."""
        rng = np.random.default_rng(5)
        overlaps = [value for view in self.held for value in clicked(head(self.read([view])), [view], rng)]
        found_all = np.array(overlaps or [0.0])
        self.refresh()
        return {
            "clicks": len(overlaps),
            "iou": found_all.mean().round(4),
            "above .5": (found_all >= 0.5).mean().round(4),
        }


def clicked(places: Places, views: Sequence[View], rng: np.random.Generator) -> list[float]:
    """Overlaps of things above 1 % with the best-scored box at a click drawn in the middle half of each."""
    overlaps: list[float] = []
    boxes, scores = places.boxes.cpu(), places.scores.cpu()
    where = centres(views[0].canvas)
    for k, view in enumerate(views):
        for box, kind in zip(view.boxes, view.kinds, strict=True):
            x1, y1, x2, y2 = box
            if kind == THING and (x2 - x1) * (y2 - y1) >= 0.01 * view.size[0] * view.size[1]:
                share = rng.uniform(0.25, 0.75, 2)
                click = torch.tensor([x1 + share[0] * (x2 - x1), y1 + share[1] * (y2 - y1)])
                near = (where[:, :2] - click).abs().amax(1) <= where[:, 2] / 2 + 1e-3
                found = boxes[k][near][scores[k][near].argmax()]
                overlaps.append(float(overlap(found, torch.tensor(box))))
    return overlaps


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes [.., 4], pair by pair."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    return common / (_area(first) + _area(second) - common).clamp(min=1e-6)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def cached_losses(head: PointingHead, lessons: Lessons, step: int) -> dict[str, Tensor]:
    """Losses of one batch of cached views."""
    views = lessons.batch(step)
    with torch.autocast("cpu", torch.bfloat16):
        places = head(lessons.read(views))
    return losses(places, Goal(views))


def losses(places: Places, goal: Goal) -> dict[str, Tensor]:
    """Losses of one batch, weighed."""
    n, p = goal.box_weights.nonzero(as_tuple=True)
    weights = goal.box_weights[n, p] / goal.box_weights.sum()
    boxes, wanted = places.boxes[n, p], goal.boxes[n, p]
    told_sides, wanted_sides = (_sides(b, goal.where[p]).clamp(min=0.1).log() for b in (boxes, wanted))
    quality = overlap(places.boxes.detach(), goal.meant)
    told = F.binary_cross_entropy_with_logits(places.quality, quality, reduction="none")
    off = (goal.things - places.things.detach().sigmoid()).abs() ** 2
    cross = F.binary_cross_entropy_with_logits(places.things, goal.things, reduction="none")
    found = {
        "box": (weights * generalized_box_iou_loss(boxes, wanted)).sum(),
        "sides": (weights * F.smooth_l1_loss(told_sides, wanted_sides, reduction="none", beta=0.5).mean(1)).sum(),
        "quality": (goal.meant_weights * told).sum() / goal.meant_weights.sum(),
        "thing": (goal.thing_weights * off * cross).sum() / (goal.thing_weights * goal.things).sum().clamp(min=1),
    }
    return {name: WEIGHTS[name] * loss for name, loss in found.items()}


def _sides(boxes: Tensor, where: Tensor) -> Tensor:
    """How far the sides of boxes [K, 4] are from their places [K, 3], in strides."""
    return torch.cat([where[:, :2] - boxes[:, :2], boxes[:, 2:] - where[:, :2]], 1) / where[:, 2:]


class Goal:
    """What the places of a batch of views [N, P] should answer; weight 0 leaves a place out.

    `boxes` [N, P, 4]: the thing of the level's size around the place, for the box, with `box_weights`.
    `meant` [N, P, 4]: the thing of any size that a press there means, for the quality, with `meant_weights`: levels
    that answer the same press have to be comparable.
    `things` (0 or 1) with `thing_weights`: whether there is a thing of the level's size.
    """

    def __init__(self, views: list[View], device: torch.device | str = "cpu") -> None:
        self.where = where = centres(views[0].canvas, device)
        self._boxes, kinds = (part.to(device) for part in _padded(views))  # [N, M, 4], [N, M], -1 where there is none
        low, high = self._boxes[..., :2], self._boxes[..., 2:]
        centre, half = (low + high) / 2, ((high - low) / 2).clamp(min=1e-3)
        self._off = ((where[:, None, :2] - centre[:, None]).abs() / half[:, None]).amax(-1)  # [N, P, M]
        self._part = kinds == PART
        inside = (self._off <= 1) & (kinds >= 0)[:, None]
        root = _area(self._boxes).clamp(min=1e-3).sqrt()[:, None]
        self._cost = 2 * root.log() + 2 * self._off + PART_COSTS * self._part[:, None]
        known = inside & (kinds != CROWD)[:, None]
        least, most = torch.tensor([SIZES[int(stride)] for stride in where[:, 2].tolist()]).to(device).T[..., None]
        self.meant, self.meant_weights, _ = self._assigned(known, power=1.0)
        self.boxes, self.box_weights, off = self._assigned(known & (root >= least) & (root < most), power=0.5)
        certain = self.box_weights * (off <= MIDDLE)
        self.things = (certain > 0).float()
        complete = torch.tensor([view.complete for view in views]).to(device)[:, None]
        crowded = (inside & (kinds == CROWD)[:, None]).any(-1)
        on_part = (inside & self._part[:, None]).any(-1)
        nothing = complete & (self.box_weights == 0) & ~crowded
        there = (where[:, :2] < torch.tensor([view.size for view in views]).to(device)[:, None]).all(-1)
        self.thing_weights = there * torch.where(certain > 0, certain, nothing * torch.where(on_part, 0.3, 1.0))

    def _assigned(self, answers: Tensor, power: float) -> tuple[Tensor, Tensor, Tensor]:
        """The cheapest of the boxes that may answer [N, P, M] at each place, its weight, how far off its centre it is.

        A large thing has many places, a small one few: each counts by its number of places to the power of -`power`.
        """
        best, chosen = self._cost.masked_fill(~answers, torch.inf).min(-1)
        taken = best < torch.inf
        level = (self.where[:, 2].log2() - 3).long().expand_as(chosen)
        group = (torch.arange(len(chosen), device=chosen.device)[:, None] * len(STRIDES) + level) * self._boxes.shape[
            1
        ] + chosen
        count = torch.bincount(group[taken], minlength=int(group.max()) + 1)[group].clamp(min=1)
        off = self._off.gather(2, chosen[..., None])[..., 0]
        counts = torch.where(self._part.gather(1, chosen), PART_COUNTS, 1.0)
        weights = taken * counts * (1.25 - off).clamp(0, 1) / count**power
        return self._boxes.gather(1, chosen[..., None].expand(-1, -1, 4)), weights, off


def _padded(views: list[View]) -> tuple[Tensor, Tensor]:
    most = max(1, *(len(view.boxes) for view in views))
    boxes, kinds = torch.zeros(len(views), most, 4), torch.full((len(views), most), -1)
    for k, view in enumerate(views):
        if view.boxes:
            boxes[k, : len(view.boxes)] = torch.tensor(view.boxes)
            kinds[k, : len(view.kinds)] = torch.tensor(view.kinds)
    return boxes, kinds


if __name__ == "__main__":
    main()
