"""A checkpoint out of others, between the steps of a recipe.

python scripts/edit_checkpoint.py OUT CHECKPOINT --tags runs/samples/tags.json        another tag vocabulary
python scripts/edit_checkpoint.py OUT CHECKPOINT --average OTHER --share 0.6          0.6 of the first, 0.4 of the other
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from dynrefer.checkpoint import load_checkpoint, save_checkpoint
from dynrefer.model import DynRefer


def main() -> None:
    """Read the arguments and write the checkpoint folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tags", type=Path, help="JSON list, as `data build` writes it")
    parser.add_argument("--average", type=Path, metavar="OTHER", help="checkpoint trained on from the first")
    parser.add_argument("--share", type=float, default=0.5, help="of the first in the average")
    args = parser.parse_args()
    checkpoint = load_checkpoint(args.checkpoint, "cpu")
    vocabulary = checkpoint.vocabulary
    if args.average:
        average(checkpoint.model, load_checkpoint(args.average, "cpu").model, args.share)
    if args.tags:
        assert checkpoint.model.text_encoder is not None
        vocabulary = replace(vocabulary, tags=tuple(json.loads(args.tags.read_text())))
        vocabulary = vocabulary.embedded(checkpoint.model.text_encoder)
    save_checkpoint(args.out, checkpoint.model, vocabulary)


@torch.no_grad()
def average(model: DynRefer, other: DynRefer, share: float) -> None:
    """Move the model's weights towards the other's: share * own + (1 - share) * other (Wortsman et al., ICML 2022)."""
    for own, its in zip(model.parameters(), other.parameters(), strict=True):
        own.lerp_(its.to(own.dtype), 1 - share)


if __name__ == "__main__":
    main()
