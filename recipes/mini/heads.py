"""Train the heads on cached features: names, classes, attributes, tags, the classifier's belief and sentences.

    python -m recipes.mini.heads RUN --start CHECKPOINT --out RUN/heads.safetensors --steps 650 [--init HEADS]

Trained are alignment, resampler, summary, both decoders and the sentence head; encoders and writer stay as they are.
Weights of the losses were chosen so that names lead and none of the others falls back; no grid was searched.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dynrefer.evaluation.metrics import attribute_precisions, class_accuracy
from dynrefer.model import DynRefer
from dynrefer.model.query_decoder import TextQueries
from dynrefer.training.losses import attribute_loss
from recipes.mini.loop import Schedule, load_average, train
from recipes.mini.region_lessons import Batch, Lessons
from recipes.mini.start import start_of

TRAINED = ("align", "resampler", "summary", "tagging", "contrast")
SAME_TEXT = 0.97
HIDDEN = -30.0  # logit of what may or may not be true
BELIEVED = 0.35  # the classifier's least certainty that is distilled
MOST_NAMES, MOST_CLASSED, MOST_LABELLED = 64, 24, 12  # of a batch, decoded for names, classes and attributes
SHOWN_REGIONS = 600  # of each data set in a check


class Heads(nn.Module):
    """The network with a bias each for what names and tags are judged by; calibration takes the biases' place later."""

    def __init__(self, model: DynRefer) -> None:
        super().__init__()
        self.model = model
        self.name_bias = nn.Parameter(torch.zeros(()))
        self.tag_bias = nn.Parameter(torch.zeros(()))
        self.cheap_tag_bias = nn.Parameter(torch.tensor(-6.0))
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.split(".")[0] in TRAINED or "sentence_head" in name)


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
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    rng = np.random.default_rng(args.seed)
    checkpoint, model = start_of(args.start, args.run)
    heads, lessons = Heads(model), Lessons(args.run, checkpoint)
    if args.init:
        load_average(heads, args.init)

    def losses(_: int) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return step_losses(heads, lessons, lessons.draw(args.batch, rng))

    schedule = Schedule(args.steps, args.rate, weight_decay=0.05, decay_vectors=False)
    # On a CPU the fused attention's backward pass is slower at these sizes than plain matrix products.
    with sdpa_kernel(SDPBackend.MATH):
        train(heads, losses, schedule, args.out, lambda: json.dumps(scores(model, lessons)))


def step_losses(heads: Heads, lessons: Lessons, rows: np.ndarray) -> dict[str, Tensor]:
    """Every loss of a batch, weighted."""
    batch = Batch(heads.model, lessons, rows)
    return {
        **name_losses(heads, lessons, batch),
        **class_losses(heads.model, lessons, batch),
        **tag_losses(heads, lessons, batch),
        **sentence_losses(heads.model, lessons, batch),
    }


def name_losses(heads: Heads, lessons: Lessons, batch: Batch) -> dict[str, Tensor]:
    """What regions are called: by the cheap terms among all names, decoded among some, and each name by itself."""
    model = heads.model
    texts = model.contrast_texts(lessons.names)
    true = lessons.named(batch.rows)
    known = true.sum(1) > 0
    unclear = (true @ lessons.alike.float() > 0) & (true == 0)
    cheap = batch.cheap(model.contrast, texts)
    found = {"name": 0.6 * _share_loss(cheap.masked_fill(unclear, HIDDEN), true)[known].mean()}
    found |= belief_loss(model, texts, batch, known)
    hard = cheap.detach().masked_fill(unclear | (true > 0), HIDDEN).topk(2, 1).indices.flatten()
    said = true.sum(0).nonzero()[:, 0]
    some = torch.unique(torch.cat([said, _some(hard, 20), torch.randint(len(lessons.names), (8,))]))
    some = _some(some, MOST_NAMES)
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


def class_losses(model: DynRefer, lessons: Lessons, batch: Batch) -> dict[str, Tensor]:
    """COCO's classes one against the others, and OVAD's attributes by the best template of each."""
    found = {}
    category = torch.from_numpy(lessons.category[batch.rows])
    keep = _some((category >= 0).nonzero()[:, 0], MOST_CLASSED)
    if len(keep):
        queries, summary, belief = batch.part(keep)
        logits = model.contrast_logits(queries, lessons.classes, summary, belief).float()
        found["class"] = F.cross_entropy(logits, category[keep], label_smoothing=0.05)
    labels = torch.from_numpy(lessons.labels[batch.rows])
    labelled = (labels >= 0).any(1)
    keep = _some(labelled.nonzero()[:, 0], MOST_LABELLED)
    if len(keep):
        logits = lessons.attribute_logits(model, *batch.part(keep)[:2])
        share = min(1.0, 4 * labelled.float().mean().item())
        found["attribute"] = 8 * share * attribute_loss(logits, labels[keep])
    return found


def tag_losses(heads: Heads, lessons: Lessons, batch: Batch) -> dict[str, Tensor]:
    """Tags: by the cheap terms all, decoded some; unknown ones teach nothing."""
    model = heads.model
    texts = model.tag_texts(lessons.tags)
    labels = torch.from_numpy(lessons.targets.tags[batch.rows]).long()
    cheap = batch.cheap(model.tagging, texts)
    hard = cheap.detach().masked_fill(labels != 0, HIDDEN).topk(2, 1).indices.flatten()
    true = (labels == 1).any(0).nonzero()[:, 0]
    some = torch.unique(torch.cat([_some(true, 30), _some(hard, 16), torch.randint(len(lessons.tags), (6,))]))
    logits = cheap[:, some] + batch.decoded(model.tagging, texts, some)
    return {
        "tag": 0.25 * focal_loss(logits + heads.tag_bias, labels[:, some]),
        "cheap_tag": 0.1 * focal_loss(cheap + heads.cheap_tag_bias, labels),
    }


def sentence_losses(model: DynRefer, lessons: Lessons, batch: Batch) -> dict[str, Tensor]:
    """The text's embedding from the summary, and the texts of a batch told apart."""
    texts = F.normalize(torch.from_numpy(lessons.targets.texts[batch.rows].astype(np.float32)), dim=-1)
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
    return values[torch.randperm(len(values))[:most]]


@torch.inference_mode()
def scores(model: DynRefer, lessons: Lessons) -> dict[str, float]:
    """On cached validation regions: whether the best name is one that was said, COCO's classes, OVAD's mAP."""
    found: dict[str, float] = {}
    texts = model.contrast_texts(lessons.names)
    held = ~lessons.training & (np.asarray(lessons.cache.done) == 1) & lessons.large
    for name in ("coco", "flickr"):
        rows = np.flatnonzero(held & (lessons.origin == name))[:SHOWN_REGIONS]
        right, classes, attributes = [], [], []
        for part in np.array_split(rows, max(1, len(rows) // 64)) if len(rows) else ():
            with torch.autocast("cpu", torch.bfloat16):
                batch = Batch(model, lessons, part)
                best = model.contrast(batch.queries, texts, batch.summary, batch.belief).argmax(1).tolist()
                said = [lessons.targets.names[row] for row in part]
                right += [k in names for k, names in zip(best, said, strict=True) if names]
                if name == "coco":
                    logits = model.contrast_logits(batch.queries, lessons.classes, batch.summary, batch.belief)
                    classes.append(logits.float())
                    attributes.append(lessons.attribute_logits(model, batch.queries, batch.summary))
        found[f"{name}_name"] = float(np.mean(right)) if right else 0.0
        if classes:
            known = lessons.category[rows] >= 0
            found["class"] = class_accuracy(lessons.category[rows][known], torch.cat(classes).numpy()[known])[0]
            found["mAP"] = float(np.nanmean(attribute_precisions(lessons.labels[rows], torch.cat(attributes).numpy())))
    return {key: round(value, 3) for key, value in found.items()}


if __name__ == "__main__":
    main()
