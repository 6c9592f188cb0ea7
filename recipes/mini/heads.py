"""Train the heads on cached features: names, classes, attributes, tags, the classifier's belief and sentences.

    python -m recipes.mini.heads RUN --start CHECKPOINT --out RUN/heads.safetensors --steps 650 [--init HEADS]

    python -m recipes.mini.heads RUN --start CHECKPOINT --out RUN/heads-e.safetensors --steps 1220 --init HEADS --keep

Trained are alignment, resampler, summary, both decoders and the sentence head; with --decoders the decoders alone, on
the queries of RUN/predictions, which then stay as they are; with --keep also what the words' embeddings are moved by,
while COCO's classes and the attributes are held to what the start says of the same regions (learning without
forgetting: Li and Hoiem, 2016). Encoders and writer are frozen.
Weights of the losses were chosen so that names lead and none of the others falls back; no grid was searched.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dynrefer.evaluation.metrics import attribute_precisions, class_accuracy
from dynrefer.model import DynRefer
from dynrefer.model.query_decoder import TextQueries
from dynrefer.training.objective import attribute_loss
from recipes.mini.loop import Schedule, train
from recipes.mini.predictions import FOLDER as PREDICTIONS
from recipes.mini.predictions import Predictions
from recipes.mini.region_lessons import Batch, Lessons
from recipes.mini.start import DECODERS, TRAINED, Heads, heads_of, name_logits

SAME_TEXT = 0.97
HIDDEN = -30.0  # logit of what may or may not be true
BELIEVED = 0.35  # the classifier's least certainty that is distilled
MOST_KEPT, MOST_KEPT_LABELLED, SOME_TEMPLATES = 20, 8, 110  # held to the start: regions, those by attributes, texts
SHIFTS = ("name_shift", "tag_shift")
SHOWN_REGIONS = 600  # of each data set in a check
MOVED = 0.65  # chance that a step reads words where they were moved to; else as a user types them


@dataclass(frozen=True)
class Sizes:
    """How much of a batch is decoded: names and tags, and regions for classes and attributes."""

    names: int = 64
    hard_names: int = 20
    true_tags: int = 30
    hard_tags: int = 16
    classed: int = 24
    labelled: int = 12


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that training starts from")
    parser.add_argument("--out", type=Path, required=True, help="file of the averaged weights")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--init", type=Path, help="weights of a former run of this step, to go on from")
    parser.add_argument("--decoders", action="store_true", help="the decoders alone, on RUN/predictions")
    parser.add_argument("--keep", action="store_true", help="move the words' embeddings, hold classes to the start's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    rng = np.random.default_rng(args.seed)
    checkpoint, heads = heads_of(args.start, args.run, trained=DECODERS if args.decoders else TRAINED)
    model = heads.model
    for name in SHIFTS:
        heads.get_parameter(name).requires_grad_(args.keep)
    start = heads_of(args.start, args.run, trained=())[1].model if args.keep else None
    lessons = Lessons(args.run, checkpoint)

    known = Predictions(args.run / PREDICTIONS) if args.decoders else None

    def losses(_: int) -> dict[str, Tensor]:
        rows = lessons.draw(args.batch, (lessons.cache if known is None else known).done, rng)
        with torch.autocast("cpu", torch.bfloat16):
            if known is not None:
                return decoder_losses(heads, lessons, Batch.remembered(model, lessons, known, rows))
            batch = Batch.seen(model, lessons, rows)
            found = decoder_losses(heads, lessons, batch, moved=args.keep and rng.random() < MOVED)
            if start is not None:
                found |= kept_losses(heads, start, lessons, batch)
            return found | sentence_losses(model, lessons, batch)

    warmup, averaging = (50, 0.995) if args.decoders else (100, 0.99 if args.keep else 0.998)
    schedule = Schedule(
        args.steps, args.rate, warmup, averaging=averaging, weight_decay=0.05, decay_vectors=False, slow=SHIFTS
    )
    # On a CPU the fused attention's backward pass is slower at these sizes than plain matrix products.
    with sdpa_kernel(SDPBackend.MATH):
        train(heads, losses, schedule, args.out, lambda: json.dumps(scores(heads, lessons)), args.init)


def decoder_losses(
    heads: Heads, lessons: Lessons, batch: Batch, *, moved: bool = False, sizes: Sizes = Sizes()
) -> dict[str, Tensor]:
    """Names, classes, attributes and tags of a batch, weighted; words as typed, or where they were moved to."""
    names, tags = (heads.names, heads.tags) if moved else (heads.embeddings["names"], heads.embeddings["tags"])
    return {
        **name_losses(heads, lessons, batch, names, sizes),
        **class_losses(heads.model, lessons, batch, sizes),
        **tag_losses(heads, lessons, batch, tags, sizes),
    }


def name_losses(heads: Heads, lessons: Lessons, batch: Batch, names: Tensor, sizes: Sizes) -> dict[str, Tensor]:
    """What regions are called: by the cheap terms among all names, decoded among some, and each name by itself."""
    model = heads.model
    texts = model.contrast_texts(names)
    true = lessons.named(batch.rows)
    known = true.sum(1) > 0
    unclear = (true @ lessons.alike.float() > 0) & (true == 0)
    cheap = batch.cheap(model.contrast, texts)
    found = {"name": 0.6 * _share_loss(cheap.masked_fill(unclear, HIDDEN), true)[known].mean()}
    found |= belief_loss(model, texts, batch, known)
    hard = cheap.detach().masked_fill(unclear | (true > 0), HIDDEN).topk(2, 1).indices.flatten()
    said = true.sum(0).nonzero()[:, 0]
    others = torch.randint(len(names), (8,), device=said.device)
    some = _some(torch.unique(torch.cat([said, _some(hard, sizes.hard_names), others])), sizes.names)
    logits = cheap[:, some] + batch.decoded(model.contrast, texts, some)
    true, unclear = true[:, some], unclear[:, some]
    chosen = known & (true.sum(1) > 0)
    found["decoded_name"] = 0.5 * _share_loss(logits.masked_fill(unclear, HIDDEN), true)[chosen].mean()
    each = F.binary_cross_entropy_with_logits(logits + heads.name_bias, true, reduction="none")
    found["each_name"] = 0.25 * each.masked_fill(unclear, 0).sum(1)[known].mean()
    return found


def belief_loss(model: DynRefer, texts: TextQueries, batch: Batch, known: Tensor) -> dict[str, Tensor]:
    """The classifier's belief where it is certain, distilled into the bilinear term by classes of the same name."""
    assert texts.votes is not None
    certainty = batch.belief.max(1).values
    sure = certainty > BELIEVED
    if not sure.any():
        return {}
    believed = (batch.belief.float() @ (texts.votes > 0.99).float()).clamp(max=1)
    target = believed / believed.sum(1, keepdim=True).clamp(min=1e-3)
    logits = batch.cheap(model.contrast, texts, believe=False)
    distance = -(target * F.log_softmax(logits, 1)).sum(1) * torch.where(known, 0.25, 1.0) * certainty
    return {"belief": 0.3 * distance[sure].mean()}


def class_losses(model: DynRefer, lessons: Lessons, batch: Batch, sizes: Sizes) -> dict[str, Tensor]:
    """COCO's classes one against the others, and OVAD's attributes by the best template of each."""
    found = {}
    category = lessons.of(lessons.category, batch.rows)
    keep = _some((category >= 0).nonzero()[:, 0], sizes.classed)
    if len(keep):
        queries, summary, belief = batch.part(keep)
        logits = model.contrast_logits(queries, lessons.classes, summary, belief).float()
        found["class"] = F.cross_entropy(logits, category[keep], label_smoothing=0.05)
    labels = lessons.of(lessons.labels, batch.rows)
    labelled = (labels >= 0).any(1)
    keep = _some(labelled.nonzero()[:, 0], sizes.labelled)
    if len(keep):
        logits = lessons.attribute_logits(model, *batch.part(keep)[:2])
        share = min(1.0, 4 * labelled.float().mean().item())
        found["attribute"] = 8 * share * attribute_loss(logits, labels[keep])
    return found


def kept_losses(heads: Heads, start: DynRefer, lessons: Lessons, batch: Batch) -> dict[str, Tensor]:
    """COCO's classes and OVAD's attributes as the start has them, also of regions that have no such label."""
    model = heads.model
    keep = torch.randperm(len(batch.rows))[:MOST_KEPT]
    queries, summary, belief = batch.part(keep)
    some = torch.randperm(len(lessons.attributes))[:SOME_TEMPLATES]
    few = slice(MOST_KEPT_LABELLED)
    assert lessons.cache is not None
    with torch.no_grad():
        before = start.represent(*lessons.cache.read(batch.rows[keep]))
        classes = start.contrast_logits(before[0], lessons.classes, *before[1:]).float().softmax(1)
        known = start.contrast_logits(before[0][few], lessons.attributes[some], _cut(before[1], few)).float().sigmoid()
    contrast = model.contrast_logits(queries, lessons.classes, summary, belief).float()
    both = contrast + model.tag_logits(queries, lessons.plain_classes, summary, belief).float()
    attributes = model.contrast_logits(queries[few], lessons.attributes[some], summary[few]).float()
    category = lessons.of(lessons.category, batch.rows)[keep]
    labelled = category >= 0
    distances = [F.kl_div(now.log_softmax(1), classes, reduction="batchmean") for now in (contrast, both)]
    found = {"kept_class": 0.5 * (distances[0] + distances[1])}
    found["kept_attribute"] = 8 * F.binary_cross_entropy_with_logits(attributes, known)
    if labelled.any():
        found["class_of_both"] = 0.4 * F.cross_entropy(both[labelled], category[labelled], label_smoothing=0.05)
    return found


def _cut(summary: Tensor | None, rows: slice) -> Tensor | None:
    return summary if summary is None else summary[rows]


def tag_losses(heads: Heads, lessons: Lessons, batch: Batch, tags: Tensor, sizes: Sizes) -> dict[str, Tensor]:
    """Tags: by the cheap terms all, decoded some; unknown ones teach nothing."""
    model = heads.model
    texts = model.tag_texts(tags)
    labels = lessons.of(lessons.targets.tags, batch.rows).long()
    cheap = batch.cheap(model.tagging, texts)
    hard = cheap.detach().masked_fill(labels != 0, HIDDEN).topk(2, 1).indices.flatten()
    true = (labels == 1).any(0).nonzero()[:, 0]
    others = torch.randint(len(tags), (6,), device=hard.device)
    some = torch.unique(torch.cat([_some(true, sizes.true_tags), _some(hard, sizes.hard_tags), others]))
    logits = cheap[:, some] + batch.decoded(model.tagging, texts, some)
    return {
        "tag": 0.25 * focal_loss(logits + heads.tag_bias, labels[:, some]),
        "cheap_tag": 0.1 * focal_loss(cheap + heads.cheap_tag_bias, labels),
    }


def sentence_losses(model: DynRefer, lessons: Lessons, batch: Batch) -> dict[str, Tensor]:
    """The text's embedding from the summary, and the texts of a batch told apart."""
    texts = F.normalize(lessons.of(lessons.targets.texts, batch.rows).float(), dim=-1)
    same = (texts @ texts.T > SAME_TEXT).float()
    prepared = model.contrast.prepare(texts)
    logits = batch.cheap(model.contrast, prepared, believe=False)
    return {
        "sentence": (1 - (model.language.sentence(batch.summary) * texts).sum(-1)).mean(),
        "contrast": 0.3 * _share_loss(logits, same).mean(),
    }


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Asymmetric loss with focus 2 on false tags and a margin of .02; the paper's are 7 and .05."""
    below = (1 - logits.sigmoid() + 0.02).clamp(max=1)
    true, false = (labels == 1).float(), (labels == 0).float()
    focus = (1 - below).clamp(min=0).pow(2).detach()
    return -(true * F.logsigmoid(logits) + false * below.clamp(min=1e-6).log() * focus).sum(1).mean()


def _share_loss(logits: Tensor, true: Tensor) -> Tensor:
    """Cross-entropy [S] to all that is true in equal shares."""
    share = true / true.sum(1, keepdim=True).clamp(min=1)
    return -(share * F.log_softmax(logits, 1)).sum(1)


def _some(values: Tensor, most: int) -> Tensor:
    """At most so many of the values, drawn."""
    return values[torch.randperm(len(values), device=values.device)[:most]]


@torch.inference_mode()
def scores(heads: Heads, lessons: Lessons) -> dict[str, float]:
    """On cached validation regions: whether the best name is one that was said, COCO's classes, OVAD's mAP."""
    found: dict[str, float] = {}
    assert lessons.cache is not None
    held = ~lessons.training & (np.asarray(lessons.cache.done) == 1) & lessons.large
    for name in ("coco", "flickr"):
        rows = np.flatnonzero(held & (lessons.origin == name))[:SHOWN_REGIONS]
        with torch.autocast("cpu", torch.bfloat16):
            parts = np.array_split(rows, max(1, len(rows) // 64)) if len(rows) else ()
            found |= scored(heads, lessons, name, [Batch.seen(heads.model, lessons, part) for part in parts])
    return found


def scored(heads: Heads, lessons: Lessons, name: str, batches: Sequence[Batch]) -> dict[str, float]:
    """The same of regions of one data set that were looked at."""
    model, places = heads.model, lessons.said_by_default
    texts = model.contrast_texts(heads.names[places]), model.tag_texts(heads.tags[lessons.tags_of_names[places]])
    right, classes, both, attributes = [], [], [], []
    for batch in batches:
        region = (batch.queries, batch.summary, batch.belief)
        logits = name_logits(model, region, texts) + lessons.priors[places]
        best = places[logits.argmax(1)].tolist()
        said = [lessons.targets.names[row] for row in batch.rows]
        right += [k in names for k, names in zip(best, said, strict=True) if names]
        if name == "coco":
            classes.append(model.contrast_logits(batch.queries, lessons.classes, *region[1:]).float().cpu())
            both.append(classes[-1] + model.tag_logits(batch.queries, lessons.plain_classes, *region[1:]).float().cpu())
            attributes.append(lessons.attribute_logits(model, batch.queries, batch.summary).float().cpu())
    found = {f"{name}_name": float(np.mean(right)) if right else 0.0}
    if classes:
        rows = np.concatenate([batch.rows for batch in batches])
        known = lessons.category[rows] >= 0
        for key, logits in (("class", torch.cat(classes)), ("class_of_both", torch.cat(both))):
            found[key] = class_accuracy(lessons.category[rows][known], logits.numpy()[known])[0]
        found["mAP"] = float(np.nanmean(attribute_precisions(lessons.labels[rows], torch.cat(attributes).numpy())))
    return {key: round(value, 3) for key, value in found.items()}


if __name__ == "__main__":
    main()
