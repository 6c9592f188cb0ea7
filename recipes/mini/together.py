"""Train the whole network at once on a GPU: image encoder, heads, writer and pointing, on looks drawn anew each time.

    python -m recipes.mini.together RUN --photographs DIR --start START --out RUN/new.safetensors --seconds 450

RUN is filled by the steps before (regions, targets, predictions, texts, calibration) and by `together_data`; DIR holds
the photographs by the names that regions know them by. Everything starts from the checkpoint, and the classifier in
the encoder is held to what it believed there. The learning rate falls with the clock, so that a run ends when it has
to. OUT holds averaged weights, float16, by their names in `Heads`; then shares of the way there are compared.
"""

import argparse
import copy
import json
import math
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from dynrefer.model import DynRefer
from dynrefer.model.encoder import EfficientNetEncoder
from recipes.mini.heads import MOVED, Sizes, decoder_losses, scored, sentence_losses
from recipes.mini.looks import (
    Photographs,
    erased,
    jittered,
    mirrored_boxes,
    nested,
    normalised,
    recoloured,
    resized,
)
from recipes.mini.loop import Average
from recipes.mini.pointing import Goal, clicked, losses
from recipes.mini.pointing_views import Scenes, View
from recipes.mini.region_lessons import Batch, Lessons
from recipes.mini.start import TRAINED, Heads, moved_heads
from recipes.mini.together_data import Regions
from recipes.mini.vocabulary import Words
from recipes.mini.writer_lessons import Example, RegionLessons, Seen

RATES = {"model.encoder.backbone": 1.5e-4, "model.pointing": 6e-4}
RATE = 3e-4  # of everything else
FROZEN = ("conv_stem", "bn1", "blocks.0.", "blocks.1.")  # of the encoder: edges and textures, most of the time it takes
WARMUP = 100  # steps
FLOOR = 0.02  # the last learning rate as a share of the highest
WEIGHT_DECAY, SLOW_DECAY = 0.05, 0.2
AVERAGING = 0.998
CANDIDATES = torch.arange(11) / 10
JITTER, COLOURS, ERASED = 0.08, 0.25, 0.15
DYNAMIC = 0.65  # share of regions whose views are chosen as at inference, the rest at random
SIZES = Sizes(names=256, hard_names=96, true_tags=140, hard_tags=80, classed=256, labelled=96)
BELIEF, BOTH, CAPTION, POINTING = 0.5, 0.4, 1.0, 0.6  # weights of losses
CANVAS, SCENES = (448, 448), 16
LINE_EVERY = 50
SHARES = (0.0, 0.6, 1.0)
SHOWN = 640  # validation regions of a data set in a check
PART_BYTES = 15 << 20  # of a file, since larger ones may not travel


class Trainer:
    """What a step needs: network, lessons, photographs; one class, since all of it lives on one device."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.device, self.batch = args.device, args.batch
        names, parts = Words.of(args.run).names, (*TRAINED, "encoder", "language", "pointing")
        checkpoint, self.heads = moved_heads(args.start, args.run, names, parts)
        model = self.heads.model
        for name, parameter in model.named_parameters():
            if name.startswith(tuple(f"encoder.backbone.{part}" for part in FROZEN)):
                parameter.requires_grad_(False)
        self.heads.embeddings = {name: value.to(args.device) for name, value in self.heads.embeddings.items()}
        self.heads.to(args.device)
        self.lessons = Lessons(args.run, checkpoint, args.device)
        self.regions = Regions(args.run, self.lessons)
        self.photographs = Photographs([args.photographs / name for name in self.regions.photographs], args.device)
        self.regions.to(args.device)
        self.scenes = Scenes(args.run / "scenes.json", self.regions.photographs)
        self.captions = RegionLessons(model.language, args.run, random.Random(1))
        assert isinstance(model.encoder, EfficientNetEncoder)
        model.encoder.to(memory_format=torch.channels_last)
        self.before = copy.deepcopy(model.encoder).requires_grad_(False)
        self.rng = np.random.default_rng(args.seed)

    @property
    def model(self) -> DynRefer:
        """The network."""
        return self.heads.model

    def cuts(self, rows: Tensor, *, plain: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The region looked at: cuts [S * V, ..] and geometry [S, 6] for `represent`, and the pixels of the views.

        `plain` is as at inference: the box as it is, the views that tell most, nothing mirrored or recoloured.
        """
        config, regions = self.model.config, self.regions
        side, views = config.encoder.image_size, config.num_views
        boxes, places = regions.boxes[rows], regions.places[rows]
        sizes = self.photographs.sizes[places]
        steps = self._steps(rows, plain)
        boxes = boxes if plain else jittered(boxes, sizes, JITTER)
        cut, inside = nested(boxes, sizes, steps)
        photographs = self.photographs.pixels[places].repeat_interleave(views, 0)
        pixels = resized(photographs, cut.flatten(0, 1), (side, side))
        if not plain:
            flip = torch.rand(len(rows), device=pixels.device) < 0.5
            every = flip.repeat_interleave(views)
            pixels[every] = pixels[every].flip(3)
            inside = torch.where(flip[:, None, None], mirrored_boxes(inside.flatten(0, 1), 1.0).view_as(inside), inside)
            boxes = torch.where(flip[:, None], mirrored_boxes(boxes, sizes[:, 0]), boxes)
            pixels = erased(recoloured(pixels, views, COLOURS), ERASED)
        geometry = boxes / sizes.repeat(1, 2)
        geometry = torch.cat([geometry, geometry[:, 2:] - geometry[:, :2]], 1).float()
        pixels = normalised(pixels, config.encoder.mean, config.encoder.std)
        tokens = self.model.encode(pixels)
        return self.model.align.cut(tokens, inside.flatten(0, 1) * side), geometry, pixels

    def _steps(self, rows: Tensor, plain: bool) -> Tensor:
        """Coefficients [S, V]: 0 and two others."""
        best = self.regions.steps[rows]
        if not plain:
            drawn = torch.rand(len(rows), 10, device=best.device).topk(best.shape[1], 1).indices + 1
            keep = torch.rand(len(rows), 1, device=best.device) < DYNAMIC
            best = torch.where(keep, best, drawn)
        numbers = torch.cat([torch.zeros_like(best[:, :1]), best], 1)
        return CANDIDATES.to(best.device)[numbers]

    def losses(self) -> dict[str, Tensor]:
        """Of one step, weighted."""
        rows = self.lessons.draw(self.batch, self.regions.ready, self.rng)
        model, heads, lessons = self.model, self.heads, self.lessons
        with torch.autocast(self.device, torch.bfloat16):
            cuts, geometry, pixels = self.cuts(torch.from_numpy(rows).to(self.device), plain=False)
            queries, summary, belief = model.represent(cuts, geometry)
            assert summary is not None and belief is not None
            batch = Batch(rows, queries, summary, belief)
            moved = bool(self.rng.random() < MOVED)
            found = decoder_losses(heads, lessons, batch, moved=moved, sizes=SIZES)
            found |= sentence_losses(model, lessons, batch)
            found |= self._both(batch)
            found |= self._belief(cuts, pixels)
            found["caption"] = CAPTION * self.caption_loss(batch)
            found |= self._pointing()
        return found

    def _both(self, batch: Batch) -> dict[str, Tensor]:
        """COCO's classes by both decoders together, as inference adds them."""
        category = self.lessons.of(self.lessons.category, batch.rows)
        keep = (category >= 0).nonzero()[:, 0]
        if not len(keep):
            return {}
        region = batch.part(keep)
        logits = self.model.contrast_logits(region[0], self.lessons.classes, *region[1:]).float()
        logits = logits + self.model.tag_logits(region[0], self.lessons.plain_classes, *region[1:]).float()
        return {"class_of_both": BOTH * F.cross_entropy(logits, category[keep], label_smoothing=0.05)}

    def _belief(self, cuts: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """The classifier held to what it believed of the region's own view before (Li and Hoiem, 2016)."""
        encoder, views = self.before, self.model.config.num_views
        with torch.no_grad():
            pooled = encoder.maps(pixels[::views])[0].mean((2, 3))
            wanted = encoder.class_probabilities(pooled)
        first, count = self.model.config.encoder.global_tokens, self.model.config.encoder.belief_tokens
        said = cuts[::views, first : first + count].flatten(1)[:, : wanted.shape[1]].float()
        return {"kept_belief": -BELIEF * (wanted * (said + 1e-5).log()).sum(1).mean()}

    def caption_loss(self, batch: Batch, examples: list[Example] | None = None) -> Tensor:
        """Texts of the batch's regions and, unless `examples` are given, others that other regions are shown with."""
        captions = self.captions
        if examples is None:
            examples = captions.joined(batch.rows)
        place = {int(row): k for k, row in enumerate(batch.rows)}
        shown = torch.tensor([place.get(example.row, -1) for example in examples]).to(self.device)
        seen = (shown >= 0)[:, None]
        queries = batch.queries[shown] * seen[..., None]
        sentences = self.model.language.sentence(batch.summary[shown]).detach() * seen
        return captions.loss(examples, Seen(queries, sentences, seen[:, 0]))

    def _pointing(self) -> dict[str, Tensor]:
        """Boxes of whole photographs."""
        views, places = self.scenes.draw(SCENES, CANVAS, self.rng)
        levels = self.levels(views, torch.tensor(places).to(self.device), COLOURS)
        assert self.model.pointing is not None
        found = losses(self.model.pointing(levels), Goal(views, self.device))
        return {f"pointing_{name}": POINTING * loss for name, loss in found.items()}

    def levels(self, views: list[View], places: Tensor, colours: float) -> list[Tensor]:
        """The encoder's maps [N, h, w, C] of whole photographs or cut-outs of them."""
        cut = torch.tensor([view.cut for view in views]).to(self.device).round().long()
        shown = torch.tensor([view.size for view in views]).to(self.device)
        pixels = resized(self.photographs.pixels[places], cut, views[0].canvas, shown)
        if colours:
            pixels = recoloured(pixels, 1, colours)
        for k, view in enumerate(views):
            width, height = view.size
            if view.mirrored:
                pixels[k, :, :height, :width] = pixels[k, :, :height, :width].flip(2)
            pixels[k, :, height:] = 127
            pixels[k, :, :, width:] = 127
        config = self.model.config.encoder
        assert isinstance(self.model.encoder, EfficientNetEncoder)
        levels = self.model.encoder.levels(normalised(pixels, config.mean, config.std))
        return [level.permute(0, 2, 3, 1) for level in levels]

    @torch.inference_mode()
    def check(self) -> dict[str, float]:
        """How the network does on validation regions, looked at as at inference, and on held-out clicks."""
        self.heads.eval()
        found: dict[str, float] = {}
        lessons = self.lessons
        for name in ("coco", "flickr"):
            rows = np.flatnonzero(self.regions.validation & (lessons.origin == name) & lessons.large)[:SHOWN]
            if not len(rows):
                continue
            with torch.autocast(self.device, torch.bfloat16):
                parts = [self._seen(part) for part in np.array_split(rows, max(1, len(rows) // 128))]
                found |= scored(self.heads, lessons, name, parts)
                losses = [self._written(part) for part in parts]
                found[f"{name}_caption"] = round(float(np.nanmean(losses)), 3)
        found |= self._clicks()
        self.heads.train()
        return found

    def _seen(self, rows: np.ndarray) -> Batch:
        cuts, geometry, _ = self.cuts(torch.from_numpy(rows).to(self.device), plain=True)
        queries, summary, belief = self.model.represent(cuts, geometry)
        assert summary is not None and belief is not None
        return Batch(rows, queries, summary, belief)

    def _written(self, batch: Batch) -> float:
        examples = self.captions.validating(batch.rows)
        return float(self.caption_loss(batch, examples)) if examples else float("nan")

    def _clicks(self) -> dict[str, float]:
        overlaps: list[float] = []
        rng = np.random.default_rng(5)
        assert self.model.pointing is not None
        for views, places in self.scenes.held(SCENES, CANVAS):
            with torch.autocast(self.device, torch.bfloat16):
                found = self.model.pointing(self.levels(views, torch.tensor(places).to(self.device), 0))
            overlaps += clicked(found, views, rng)
        values = np.array(overlaps or [0.0])
        return {"iou": round(float(values.mean()), 3), "above .5": round(float((values >= 0.5).mean()), 3)}


def optimiser_of(heads: Heads) -> torch.optim.AdamW:
    """Rates by part; biases and norms without decay; what moves the words drawn to zero."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in heads.named_parameters():
        if parameter.requires_grad:
            rate = next((rate for part, rate in RATES.items() if name.startswith(part)), RATE)
            decay = SLOW_DECAY if name.endswith("_shift") else WEIGHT_DECAY if parameter.ndim > 1 else 0.0
            groups[rate, decay].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": part, "lr": rate, "highest": rate, "weight_decay": decay}
            for (rate, decay), part in groups.items()
        ],
        betas=(0.9, 0.98),
        fused=True,
    )


def rate_at(step: int, progress: float) -> float:
    """The learning rate as a share of the highest, after `progress` (0..1) of the time."""
    return min(1.0, (step + 1) / WARMUP) * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def train(trainer: Trainer, seconds: float, most: int | None) -> Average:
    """Steps until the time is over, or `most` of them; the averaged weights."""
    heads = trainer.heads
    trained = [p for p in heads.parameters() if p.requires_grad]
    optimiser, average = optimiser_of(heads), Average(heads, AVERAGING)
    recent: dict[str, list[Tensor]] = defaultdict(list)
    heads.train()
    start, step = time.monotonic(), 0
    while (spent := time.monotonic() - start) < seconds and step != most:
        for group in optimiser.param_groups:
            group["lr"] = group["highest"] * rate_at(step, spent / seconds)
        found = trainer.losses()
        optimiser.zero_grad(set_to_none=True)
        torch.stack([loss.float() for loss in found.values()]).sum().backward()
        norm = nn.utils.clip_grad_norm_(trained, 1.0)
        if torch.isfinite(norm):
            optimiser.step()
            average.update(heads, step)
        for name, loss in found.items():
            recent[name].append(loss.detach())
        step += 1
        if step % LINE_EVERY == 0:
            means = {name: round(float(torch.stack(values).mean()), 3) for name, values in recent.items()}
            gib = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
            took = (time.monotonic() - start) / step
            print(step, f"{took:.3f} s a step, {gib:.1f} GiB, norm {float(norm):.2f}", means, flush=True)
            recent.clear()
    return average


def main() -> None:
    """Read the arguments, train, compare shares of the way and write the averaged weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that training starts from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--steps", type=int, help="stop after so many")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every new number of names, tags and pieces
    trainer = Trainer(args)
    print("ready", len(trainer.regions.boxes), "regions", int(trainer.regions.ready.sum()), "to learn from", flush=True)
    own = {n: p.detach().clone() for n, p in trainer.heads.named_parameters() if p.requires_grad}
    average = train(trainer, args.seconds, args.steps)
    save(args.out, average.values)
    log = []
    for share in SHARES:
        mixed = {n: torch.lerp(own[n], value, share) for n, value in average.values.items()}
        trainer.heads.load_state_dict(mixed, strict=False)
        log.append({"share": share, **trainer.check()})
        print(json.dumps(log[-1]), flush=True)
    args.out.with_suffix(".json").write_text(json.dumps(log, indent=1), encoding="utf-8")


def save(out: Path, values: dict[str, Tensor]) -> None:
    """float16, in parts: OUT.safetensors, OUT.1.safetensors and so on."""
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in values.items():
        half = value.half().contiguous().cpu()
        if parts[-1] and size + half.nbytes > PART_BYTES:
            parts.append({})
            size = 0
        parts[-1][name], size = half, size + half.nbytes
    for k, part in enumerate(parts):
        save_file(part, out.with_suffix(f".{k}.safetensors" if k else ".safetensors"))


if __name__ == "__main__":
    main()
