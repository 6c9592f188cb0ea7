"""Trains the pointing head on the maps that `recipes.mini.pointing_views` cached.

    python -m recipes.mini.pointing RUN --out pointing.safetensors [--steps 3000] [--init FORMER --first STEP]

Prints how well clicks on the photographs held out of training find their things. `recipes.mini.assemble` puts the head
into a checkpoint.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from dynrefer.model.config import PointingConfig
from dynrefer.model.pointing import STRIDES, PointingHead, centres
from recipes.mini.loop import Schedule, train
from recipes.mini.pointing_views import CROWD, PART, THING, View, maps, read_views

SIZES = {
    8: (0.0, 64.0),
    16: (40.0, 160.0),
    32: (110.0, 1e9),
}  # roots of the areas of the things that a level answers for
BATCH = 24
SHARES = {"coco": 2.0, "flickr": 1.0, "things": 0.7}  # how often a view is taken, by source
PART_COSTS, PART_COUNTS = 2.0, 0.4  # a part loses against a thing, and counts less
MIDDLE = 0.75  # of half the sides of a box: inside it a place belongs to the thing for certain
WEIGHTS = {"box": 2.0, "sides": 0.3, "quality": 1.0, "thing": 1.0}


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
        lambda step: losses(head, lessons, step),
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
        overlaps: list[float] = []
        rng = np.random.default_rng(5)
        for view in self.held:
            places = head(self.read([view]))
            where = centres(view.canvas)
            for box, kind in zip(view.boxes, view.kinds, strict=True):
                x1, y1, x2, y2 = box
                if kind == THING and (x2 - x1) * (y2 - y1) >= 0.01 * view.size[0] * view.size[1]:
                    share = rng.uniform(0.25, 0.75, 2)
                    click = torch.tensor([x1 + share[0] * (x2 - x1), y1 + share[1] * (y2 - y1)])
                    near = (where[:, :2] - click).abs().amax(1) <= where[:, 2] / 2 + 1e-3
                    found = places.boxes[0][near][places.scores[0][near].argmax()]
                    overlaps.append(float(overlap(found, torch.tensor(box))))
        found_all = np.array(overlaps or [0.0])
        self.refresh()
        return {
            "clicks": len(overlaps),
            "iou": found_all.mean().round(4),
            "above .5": (found_all >= 0.5).mean().round(4),
        }


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes [.., 4], pair by pair."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    return common / (_area(first) + _area(second) - common).clamp(min=1e-6)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def losses(head: PointingHead, lessons: Lessons, step: int) -> dict[str, Tensor]:
    """Losses of one batch, weighed."""
    views = lessons.batch(step)
    with torch.autocast("cpu", torch.bfloat16):
        places = head(lessons.read(views))
    goal = Goal(views)
    found = {"box": torch.zeros(()), "sides": torch.zeros(()), "quality": torch.zeros(())}
    n, p = goal.weights.nonzero(as_tuple=True)
    weights = goal.weights[n, p] / goal.weights.sum()
    boxes, wanted = places.boxes[n, p], goal.boxes[n, p]
    found["box"] = (weights * generalized_box_iou_loss(boxes, wanted)).sum()
    centre, stride = goal.where[p, :2], goal.where[p, 2:]
    sides = [
        (torch.cat([centre - b[:, :2], b[:, 2:] - centre], 1) / stride).clamp(min=0.1).log() for b in (boxes, wanted)
    ]
    found["sides"] = (weights * F.smooth_l1_loss(*sides, reduction="none", beta=0.5).mean(1)).sum()
    quality = overlap(boxes.detach(), wanted)
    found["quality"] = (
        weights * F.binary_cross_entropy_with_logits(places.quality[n, p], quality, reduction="none")
    ).sum()
    off = (goal.things - places.things.detach().sigmoid()).abs() ** 2
    cross = F.binary_cross_entropy_with_logits(places.things, goal.things, reduction="none")
    found["thing"] = (goal.thing_weights * off * cross).sum() / (goal.thing_weights * goal.things).sum().clamp(min=1)
    return {name: WEIGHTS[name] * loss for name, loss in found.items()}


class Goal:
    """What the places of a batch of views [N, P] should answer.

    `boxes` [N, P, 4] with `weights`, and `things` (0 or 1) with `thing_weights`; weight 0 leaves a place out.
    """

    def __init__(self, views: list[View]) -> None:
        self.where = where = centres(views[0].canvas)
        boxes, kinds = _padded(views)  # [N, M, 4], [N, M], -1 where there is none
        centre, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
        off = ((where[:, None, :2] - centre[:, None]).abs() / half[:, None].clamp(min=1e-3)).amax(-1)  # [N, P, M]
        inside = (off <= 1) & (kinds >= 0)[:, None]
        root = _area(boxes).clamp(min=1e-3).sqrt()[:, None]
        low, high = torch.tensor([SIZES[int(stride)] for stride in where[:, 2]]).T[..., None]
        answers = inside & (root >= low) & (root < high) & (kinds != CROWD)[:, None]
        cost = 2 * root.log() + 2 * off + PART_COSTS * (kinds == PART)[:, None]
        best, chosen = cost.masked_fill(~answers, torch.inf).min(-1)
        taken = best < torch.inf
        self.boxes = boxes.gather(1, chosen[..., None].expand(-1, -1, 4))
        off_chosen = off.gather(2, chosen[..., None])[..., 0]
        part = kinds.gather(1, chosen) == PART
        # A large thing has many places, a small one few: each counts by the root of their number.
        level = (where[:, 2].log2() - 3).long().expand_as(chosen)
        group = (torch.arange(len(views))[:, None] * len(STRIDES) + level) * boxes.shape[1] + chosen
        count = torch.bincount(group[taken], minlength=int(group.max()) + 1)[group].clamp(min=1)
        share = taken * torch.where(part, PART_COUNTS, 1.0) / count.sqrt()
        self.weights = share * (1.25 - off_chosen).clamp(0, 1)
        certain = taken & (off_chosen <= MIDDLE)
        self.things = certain.float()
        complete = torch.tensor([view.complete for view in views])[:, None]
        crowded = (inside & (kinds == CROWD)[:, None]).any(-1)
        on_part = (inside & (kinds == PART)[:, None]).any(-1)
        nothing = complete & ~taken & ~crowded
        self.thing_weights = torch.where(certain, share, nothing * torch.where(on_part, 0.3, 1.0))
        sizes = torch.tensor([view.size for view in views])
        self.thing_weights = self.thing_weights * (where[:, :2] < sizes[:, None]).all(-1)


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
