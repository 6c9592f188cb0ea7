"""Trains the second stage of pointing: which of a press's candidates means the thing, and where its sides are.

    python -m recipes.mini.refiner RUN --checkpoint CHECKPOINT --coco DIR --flickr DIR [--epochs 30]

Only photographs that the pointing head never saw can say how far its candidates are to be trusted: those of COCO's
train part that `pointing_views` holds out, and Flickr's validation part. Each is shown as it is, mirrored and cut.
Writes RUN/candidates/*.npz, one a photograph shown (goes on where it stopped), says by four folds how clicks do with
and without it, and puts what was trained on all of them into CHECKPOINT.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from dynrefer.boxes import Box
from dynrefer.candidates import agreed, averaged, candidates, evidence
from dynrefer.checkpoint import load_checkpoint
from dynrefer.files.atomic import written_whole
from dynrefer.model.pointing import Refiner
from dynrefer.photo import Photo
from dynrefer.proposals import OVERLAP_COUNTS, Surroundings, look_around
from recipes.mini.pointing import overlap
from recipes.mini.pointing_attach import attach
from recipes.mini.pointing_views import CROWD, THING, coco_photographs, flickr_photographs

WIDTH, BATCH, RATE, DECAY = 64, 512, 3e-3, 0.05
WAYS = {"coco": ("plain", "mirrored", "cut 1", "cut 2", "cut 3"), "flickr": ("plain", "mirrored")}
SHARES = {"coco": 1.0, "flickr": 0.3}  # how much a click counts: Flickr's boxes are of people's phrases
CLICKS = 4  # on each thing
LEAST_AREA, LEAST_LEFT = 0.01, 0.7  # of the photograph, of what a cut thing was
SHARP, CHOICE, SIDES = 0.1, 0.5, 1.0  # of the wanted choice among candidates; weights beside the overlap's loss
NEAR = 0.25  # overlap from which a candidate's sides are corrected
FOLDS = 4


@dataclass(frozen=True)
class Clicks:
    """Clicks [N] with their candidates [N, C]: evidence, boxes, scores, the things meant [N, 4]; weight and fold."""

    evidence: Tensor
    boxes: Tensor
    scores: Tensor
    things: Tensor
    weights: Tensor
    folds: Tensor

    def at(self, places: Tensor) -> "Clicks":
        """Some of them."""
        return Clicks(*(getattr(self, name)[places] for name in self.__dataclass_fields__))


def main() -> None:
    """Read the arguments, look at what is missing, train, and write the checkpoint's pointing head."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True, help="whose pointing head gets the second stage")
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--flickr", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(args.checkpoint)
    head, config = checkpoint.model.pointing, checkpoint.model.config.pointing
    if head is None or config is None:
        raise SystemExit(f"{args.checkpoint} has no pointing head to refine.")
    head.refiner = None
    checkpoint.model.prepare_inference()
    views = planned(args.coco, args.flickr)
    for number, (record, way) in enumerate(tqdm(views, unit="look")):
        if not (file := _file(args.run, number)).exists():
            photo, boxes = shown(record, way)
            found = clicked(look_around(checkpoint.model, photo), boxes, random.Random(number))
            file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(file) as draft, draft.open("wb") as opened:
                np.savez(opened, *found)
    clicks = gathered(args.run, [record for record, _ in views])
    print(f"{len(clicks.boxes)} clicks; as agreed: {said(clicks, None)}")
    for fold in range(FOLDS):
        own = clicks.folds == fold
        print(f"fold {fold}: {said(clicks.at(own & (clicks.weights == 1)), trained(clicks.at(~own), args.epochs))}")
    head.refiner = trained(clicks, args.epochs)
    attach(args.checkpoint, head.state_dict(), replace(config, refiner=WIDTH))
    load_checkpoint(args.checkpoint)


def planned(coco: Path, flickr: Path) -> list[tuple[dict[str, Any], str]]:
    """Photographs, as `pointing_views` knows them, with each way in which they are shown."""
    known = [record for record in coco_photographs(coco) if record["held"]]
    known += list(flickr_photographs(flickr, "val"))
    return [(record, way) for record in known for way in WAYS[record["source"]]]


def shown(record: dict[str, Any], way: str) -> tuple[Photo, list[Box]]:
    """The photograph as it is, mirrored, or a mirrored or plain part of it; and the things that are left on it."""
    pixels, rng = Photo.open(record["image"]).pixels, random.Random(f"{record['image']} {way}")
    height, width = pixels.shape[:2]
    x, y, right, bottom = 0, 0, width, height
    if way.startswith("cut"):
        share = rng.uniform(0.55, 0.85)
        x, y = rng.randrange(int(width * (1 - share))), rng.randrange(int(height * (1 - share)))
        right, bottom = x + int(width * share), y + int(height * share)
    boxes = []
    kinds = (THING,) if record["source"] == "coco" else tuple(kind for kind in range(CROWD + 1) if kind != CROWD)
    for box, kind in zip(record["boxes"], record["kinds"], strict=True):
        left = (max(box[0], x) - x, max(box[1], y) - y, min(box[2], right) - x, min(box[3], bottom) - y)
        area = max(0, left[2] - left[0]) * max(0, left[3] - left[1])
        whole = (box[2] - box[0]) * (box[3] - box[1])
        if kind in kinds and area > LEAST_LEFT * whole and area > LEAST_AREA * (right - x) * (bottom - y):
            boxes.append(left)
    pixels = pixels[y:bottom, x:right]
    if way == "mirrored" or (way.startswith("cut") and rng.random() < 0.5):
        pixels, boxes = pixels[:, ::-1], [(right - x - b[2], b[1], right - x - b[0], b[3]) for b in boxes]
    return Photo.read(np.ascontiguousarray(pixels)), boxes


def clicked(seen: Surroundings, things: Sequence[Box], rng: random.Random) -> tuple[np.ndarray, ...]:
    """Evidence, boxes, scores and the thing meant, of clicks drawn in the middle half of each thing."""
    meant = np.array([thing for thing in things for _ in range(CLICKS)], np.float32).reshape(-1, 4)
    shares = np.array([[rng.uniform(0.25, 0.75) for _ in range(2)] for _ in meant]).reshape(-1, 2)
    clicks = meant[:, :2] + shares * (meant[:, 2:] - meant[:, :2])
    boxes, scores = candidates(seen.looks, clicks)
    return evidence(seen.looks, clicks, boxes, scores, seen.size), boxes.astype(np.float32), scores, meant


def _file(run: Path, number: int) -> Path:
    return run / "candidates" / f"{number:05}.npz"


def gathered(run: Path, records: Sequence[dict[str, Any]]) -> Clicks:
    """All that was looked at; a photograph in all its ways is in one fold."""
    place = {image: k for k, image in enumerate(dict.fromkeys(record["image"] for record in records))}
    parts: list[list[np.ndarray]] = []
    for number, record in enumerate(records):
        with np.load(_file(run, number)) as found:
            arrays = [found[name] for name in found.files]
        count = len(arrays[0])
        weight, fold = SHARES[record["source"]], place[record["image"]] % FOLDS
        parts.append([*arrays, np.full(count, weight), np.full(count, fold)])
    return Clicks(*(torch.from_numpy(np.concatenate(column)) for column in zip(*parts, strict=True)))


def trained(clicks: Clicks, epochs: int) -> Refiner:
    """A refiner that learnt from the clicks; it takes evidence as it is."""
    torch.manual_seed(0)
    mean, spread = clicks.evidence.mean((0, 1)), clicks.evidence.std((0, 1)) + 1e-6
    clicks = replace(clicks, evidence=(clicks.evidence - mean) / spread)
    refiner = Refiner(WIDTH).train()
    for layer in (refiner.quality, refiner.sides):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.AdamW(refiner.parameters(), RATE, weight_decay=DECAY)
    batches = [part for _ in range(epochs) for part in torch.randperm(len(clicks.boxes)).split(BATCH)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=len(batches))
    for part in batches:
        optimizer.zero_grad()
        loss(refiner, clicks.at(part)).backward()
        optimizer.step()
        schedule.step()
    first = refiner.trunk[0]
    with torch.no_grad():
        first.weight.div_(spread)
        first.bias.sub_(first.weight @ mean)
    return refiner.eval()


def loss(refiner: Refiner, clicks: Clicks) -> Tensor:
    """Of the overlaps expected, of the choice among a click's candidates, and of the corrected sides."""
    logits, boxes = refiner(clicks.evidence, clicks.boxes)
    before, after = (overlap(x, clicks.things[:, None]) for x in (clicks.boxes, boxes))
    wanted = after.detach()
    expected = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1)
    choice = F.cross_entropy(logits, (wanted / SHARP).softmax(1), reduction="none")
    sides = ((1 - after) * (before > NEAR)).mean(1)
    return (
        torch.stack([expected, CHOICE * choice, SIDES * sides]).sum(0) @ clicks.weights.float() / clicks.weights.sum()
    )


@torch.no_grad()
def said(clicks: Clicks, refiner: Refiner | None) -> str:
    """How the clicks do: mean overlap, and the share from .5 on."""
    boxes, scores = clicks.boxes.numpy(), clicks.scores.numpy()
    speaks, weights = agreed(boxes, scores), scores
    if refiner is not None:
        logits, corrected = refiner(clicks.evidence, clicks.boxes)
        boxes, speaks = corrected.numpy(), logits.sigmoid().numpy() ** OVERLAP_COUNTS
        weights = speaks
    best = boxes[np.arange(len(boxes)), speaks.argmax(1)]
    found = overlap(torch.from_numpy(averaged(best[:, None], boxes, weights)[:, 0]), clicks.things)
    return f"mean overlap {found.mean():.4f}, from .5 on {(found >= 0.5).float().mean():.4f} of {len(found)}"


if __name__ == "__main__":
    main()
