"""What boxed examples teach of a name: `python -m benchmarks.prototypes --data FOLDER`, a folder of `data build`.

Classes with enough regions are taught by a few examples each and asked of the others, once by their own names and once
by codes that say nothing ("kind 07"), at several weights of the prototype. The weight is chosen by `--split train`.
"""

import argparse
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch

from dynrefer.checkpoint import load_checkpoint
from dynrefer.datasets.sample import Sample, iter_samples
from dynrefer.model import DynRefer
from dynrefer.teaching.prototypes import embed_regions, with_prototypes
from dynrefer.teaching.teach import CONFIG
from dynrefer.training.collate import stack_views
from dynrefer.training.setup import open_validation
from dynrefer.vocabulary import Vocabulary

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=("train", "val"), default="val")
    parser.add_argument("--classes", type=int, default=24)
    parser.add_argument("--examples", type=int, default=3, help="of each class")
    parser.add_argument("--asked", type=int, default=5, help="of each class")
    parser.add_argument("--cache", type=Path, help="folder to keep the features in")
    given = parser.parse_args()
    checkpoint = load_checkpoint()
    shown, asked = choose(given.data, given.split, given.classes, given.examples, given.asked)
    folder = given.cache or Path(tempfile.mkdtemp())
    names = list(dict.fromkeys(sample.class_name or "" for sample in shown))
    regions = embed_regions(shown, checkpoint, CONFIG, folder / "shown")
    views = open_validation(CONFIG, asked, checkpoint, folder / "asked").dataset.views
    stacked = stack_views([views.plain(number) for number in range(len(asked))])
    truth = torch.tensor([names.index(sample.class_name or "") for sample in asked])
    codes = [f"kind {number:02d}" for number in range(len(names))]
    print(f"{len(names)} classes, {given.examples} examples of each, {len(asked)} regions asked: right, in %\n")
    print("| weight of the prototype | " + " | ".join(f"{weight:g}" for weight in WEIGHTS) + " |")
    print("|---|" + "---|" * len(WEIGHTS))
    for title, called in (("own names", names), ("codes", codes)):
        taught = [called[names.index(sample.class_name or "")] for sample in shown]
        vocabulary = with_prototypes(checkpoint.vocabulary, taught, regions)
        found = [
            100 * float((answers(checkpoint.model, vocabulary, stacked, called, weight) == truth).float().mean())
            for weight in WEIGHTS
        ]
        print(f"| {title} | " + " | ".join(f"{value:.1f}" for value in found) + " |")


def choose(data: Path, split: str, classes: int, examples: int, asked: int) -> tuple[list[Sample], list[Sample]]:
    """Regions to show and others to ask about, of the classes with most of them, each from a photograph of its own."""
    found: dict[str, dict[str, Sample]] = defaultdict(dict)
    for sample in iter_samples(data / "samples.jsonl"):
        if sample.split == split and sample.class_name and (sample.covered or 0) > 0.01:
            found[sample.class_name].setdefault(sample.photo_id, sample)
    most = sorted(found.values(), key=len, reverse=True)[:classes]
    parts = [list(regions.values())[: examples + asked] for regions in most]
    chosen = [[replace(sample, split="val") for sample in part] for part in parts]  # whose views are cached as they are
    return [s for part in chosen for s in part[:examples]], [s for part in chosen for s in part[examples:]]


@torch.inference_mode()
def answers(
    model: DynRefer, vocabulary: Vocabulary, stacked: dict[str, torch.Tensor], names: list[str], weight: float
) -> torch.Tensor:
    """The best name of each region [S], as the page finds it."""
    assert model.text_encoder is not None
    queries, summary, belief = model.represent(stacked["cuts"], stacked["geometry"])
    texts, plain = (
        vocabulary.beside_prototypes(names, model.text_encoder(words).float(), weight)
        for words in (vocabulary.class_texts(names), names)
    )
    logits = model.contrast_logits(queries, texts, summary, belief)
    return (logits + model.config.class_tag_weight * model.tag_logits(queries, plain, summary, belief)).argmax(1)


if __name__ == "__main__":
    main()
