"""Puts a trained pointing head into a checkpoint folder: pointing.safetensors and a section of config.json.

    python -m recipes.mini.pointing_attach CHECKPOINT HEAD [--longest 320 576]

HEAD is what `recipes.mini.pointing` wrote, or another checkpoint's pointing.safetensors. It fits every checkpoint with
the encoder that it was trained on.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dynrefer.checkpoint import CONFIG, load_checkpoint
from dynrefer.files.atomic import written_whole
from dynrefer.files.text import read_json
from dynrefer.model.config import PointingConfig
from dynrefer.weights import POINTING, POINTING_PREFIX

LONGEST = (320, 576)  # chosen on photographs held out of training, see docs/mini-training.md


def main() -> None:
    """Read the arguments, write both files, and load the checkpoint to see that they fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("head", type=Path)
    parser.add_argument(
        "--longest", type=int, nargs="+", default=LONGEST, help="pixels of the photograph's longer side at each look"
    )
    args = parser.parse_args()
    head = {name.removeprefix(POINTING_PREFIX): tensor for name, tensor in load_file(args.head).items()}
    attach(args.checkpoint, head, PointingConfig(longest=tuple(args.longest)))
    load_checkpoint(args.checkpoint)


def attach(checkpoint: Path, tensors: Mapping[str, Tensor], pointing: PointingConfig) -> None:
    """Write a head's weights, in half precision, and its section into a checkpoint folder."""
    config = read_json(checkpoint / CONFIG) | {"pointing": asdict(pointing)}
    with written_whole(checkpoint / POINTING) as draft:
        half = {POINTING_PREFIX + name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}
        save_file(half, draft, metadata={"format": "pt"})
    with written_whole(checkpoint / CONFIG) as draft:
        draft.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
