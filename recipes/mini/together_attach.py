"""Make a checkpoint of what `together` trained, or of a share of the way there.

    python -m recipes.mini.together_attach OUT RUN --start CHECKPOINT --weights RUN/new*.safetensors [--share 0.6]
        [--calibration FILE]

OUT is first written with the start's calibration; `calibrate` then needs its features, and a second call puts in what
was found. Words keep their order; a model card that is there is kept.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from dynrefer.checkpoint import Checkpoint, save_checkpoint
from dynrefer.files.text import read_json
from recipes.mini.assemble import FITS
from recipes.mini.start import Heads, moved_heads
from recipes.mini.vocabulary import Words


def main() -> None:
    """Read the arguments and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="checkpoint folder to write")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that training started from")
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="all parts")
    parser.add_argument("--share", type=float, default=1.0, help="of the way from the start")
    parser.add_argument("--calibration", type=Path, help="of `recipes.mini.calibrate`")
    args = parser.parse_args()
    words = Words.of(args.run)
    checkpoint, heads = moved_heads(args.start, args.run, words.names)
    go(heads, args.weights, args.share)
    attach(args.out, checkpoint, heads, words, args.calibration)


def go(heads: Heads, weights: list[Path], share: float) -> None:
    """Move the heads and their network a share of the way to the trained weights."""
    trained = {name: value for file in weights for name, value in load_file(file).items()}
    own = dict(heads.named_parameters())
    mixed = {name: torch.lerp(own[name].detach(), value.to(own[name]), share) for name, value in trained.items()}
    heads.load_state_dict(mixed, strict=False)


def attach(out: Path, checkpoint: Checkpoint, heads: Heads, words: Words, calibration: Path | None) -> None:
    """Write the checkpoint."""
    place = {name: k for k, name in enumerate(words.names)}
    old, config = checkpoint.vocabulary, heads.model.config
    classes = heads.names.detach()[[place[name] for name in old.classes]]
    embeddings = {**old.embeddings, "tags": heads.tags.detach(), "classes": classes}
    vocabulary = replace(old, embeddings=embeddings)
    if calibration is not None:
        found = read_json(calibration)
        fits = {part: tuple(found[name]) for part, name in FITS.items()}
        heads.model.config = replace(config, calibration=fits, relative_classes=found["reference_share"])
        vocabulary = replace(vocabulary, tag_priors=tuple(found["tag_priors"]))
    save_checkpoint(out, heads.model, vocabulary)


if __name__ == "__main__":
    main()
