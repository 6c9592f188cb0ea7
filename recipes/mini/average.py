"""Take the heads part of the way back to where they started, so that what they knew before is not lost.

    python -m recipes.mini.average OUT RUN --start CHECKPOINT --heads RUN/heads-c.safetensors --share 0.6

The mean of start and trained weights keeps the accuracy of both (Wortsman et al., CVPR 2022). The tag decoder, the
belief's weights and the biases learnt new words and stay as trained. Several `--heads` files share one checkpoint's
parameters: those of a later one win.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recipes.mini.start import Heads, start_of

AS_TRAINED = ("model.tagging.", "name_bias", "tag_bias", "cheap_tag_bias")


def main() -> None:
    """Read the arguments and write the averaged heads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="file of weights to write")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that the run started from")
    parser.add_argument("--heads", type=Path, required=True, nargs="+")
    parser.add_argument("--share", type=float, default=0.6, help="of the trained weights; .6 was chosen on `val`")
    args = parser.parse_args()
    _, model = start_of(args.start, args.run)
    trained = {name: value for file in args.heads for name, value in load_file(file).items()}
    save_file(averaged(Heads(model).state_dict(), trained, args.share), args.out)


def averaged(start: dict[str, Tensor], trained: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Trained weights, each mixed with the start's: `share` of 1 leaves them as trained."""

    def mixed(name: str, value: Tensor) -> Tensor:
        kept = name.startswith(AS_TRAINED) or "belief" in name
        return value if kept else torch.lerp(start[name].to(value), value, share)

    return {name: mixed(name, value) for name, value in trained.items()}


if __name__ == "__main__":
    main()
