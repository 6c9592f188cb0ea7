"""Take the heads part of the way back to where they started, so that what they knew before is not lost.

    python -m recipes.mini.average OUT RUN --start CHECKPOINT --heads RUN/heads-c.safetensors --share 0.6
    python -m recipes.mini.average OUT RUN --start CHECKPOINT --before HEADS --heads RUN/heads-e.safetensors --share 0.5

The mean of start and trained weights keeps the accuracy of both (Wortsman et al., CVPR 2022). The tag decoder, the
belief's weights and the biases learnt new words and stay as trained; with `--before`, heads that know them already,
only what moves the words' embeddings stays. Several `--heads` files share one checkpoint's parameters: later ones win.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recipes.mini.start import heads_of

NEW = ("name_shift", "tag_shift")
LEARNT_WORDS = ("model.tagging.", "model.contrast.belief_weights", "name_bias", "tag_bias", "cheap_tag_bias", *NEW)


def main() -> None:
    """Read the arguments and write the averaged heads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="file of weights to write")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that the run started from")
    parser.add_argument("--heads", type=Path, required=True, nargs="+")
    parser.add_argument("--share", type=float, default=0.6, help="of the trained weights; .6 was chosen on `val`")
    parser.add_argument("--before", type=Path, help="heads to go back to, in place of the start's own")
    args = parser.parse_args()
    _, heads = heads_of(args.start, args.run, args.before)
    trained = {name: value for file in args.heads for name, value in load_file(file).items()}
    kept = NEW if args.before else LEARNT_WORDS
    save_file(averaged(heads.state_dict(), trained, args.share, kept), args.out)


def averaged(
    start: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float, as_trained: Sequence[str] = LEARNT_WORDS
) -> dict[str, Tensor]:
    """Trained weights, each mixed with the start's: `share` of 1 leaves them as trained."""

    def mixed(name: str, value: Tensor) -> Tensor:
        return value if name.startswith(tuple(as_trained)) else torch.lerp(start[name].to(value), value, share)

    return {name: mixed(name, value) for name, value in trained.items()}


if __name__ == "__main__":
    main()
