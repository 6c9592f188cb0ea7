"""Train the writer: first on texts alone, told what to write about; then on regions, told what the heads see.

    python -m recipes.mini.writer text RUN --start CHECKPOINT --out RUN/writer-text.safetensors --steps 1750 --rate 6e-4
    python -m recipes.mini.writer regions RUN --start CHECKPOINT --init RUN/writer-text.safetensors
        --out RUN/writer.safetensors --steps 2000 --rate 4e-4

It starts from the checkpoint's language model, whose word embeddings are carried over to the new tokenizer.
`--init` goes on from a former run. Chances and weights below were chosen by reading what was written, not by a search.
"""

import argparse
import random
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from dynrefer.checkpoint import load_checkpoint
from dynrefer.model import DynRefer
from dynrefer.model.language import LanguageDecoder
from recipes.mini.loop import Schedule, load_average, train
from recipes.mini.tokenizer import MARK, SPECIAL, TOKENIZER
from recipes.mini.writer_lessons import RegionLessons, TextLessons

MULTIPLE = 8  # of which the number of pieces is one, for fast matrix products


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("text", "regions"))
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint whose language model it starts from")
    parser.add_argument("--out", type=Path, required=True, help="file of the averaged weights")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--init", type=Path, help="weights of a former run of this step, to go on from")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    writer = new_writer(load_checkpoint(args.start).model, Tokenizer.from_file(str(args.run / TOKENIZER)))
    if args.init:
        load_average(writer, args.init)
    for name, parameter in writer.named_parameters():
        parameter.requires_grad_("sentence_head" not in name)
    lessons = (TextLessons if args.stage == "text" else RegionLessons)(writer, args.run, rng)
    if args.stage == "text":
        schedule = Schedule(args.steps, args.rate, warmup=200, floor=0.05)
    else:
        schedule = Schedule(args.steps, args.rate, averaging=0.997)
    train(writer, lambda _: {"caption": lessons.loss(lessons.draw(args.batch))}, schedule, args.out, lessons.check)


def new_writer(model: DynRefer, tokenizer: Tokenizer) -> LanguageDecoder:
    """The model's language decoder for another tokenizer, with a gate that copies control words.

    A piece starts from itself, or from the mean of what spelled it before.
    """
    old, config = model.language, model.config
    assert old.t5 is not None and old.tokenizer is not None
    pieces = -(-tokenizer.get_vocab_size() // MULTIPLE) * MULTIPLE
    options = config.language.options | {"vocab_size": pieces}
    language = replace(config.language, options=options, copy_controls=True)
    writer = LanguageDecoder(language, config.resampler.width, config.text_encoder.width)
    assert writer.t5 is not None and writer.copy_gate is not None
    kept = {k: v for k, v in old.state_dict().items() if "shared" not in k and "lm_head" not in k}
    writer.load_state_dict(kept, strict=False)
    with torch.no_grad():
        nn.init.zeros_(writer.copy_gate.weight)
        nn.init.zeros_(writer.copy_gate.bias)
        writer.t5.shared.weight.copy_(_carried(old.t5.shared.weight, old.tokenizer, tokenizer, pieces))
    writer.tokenizer = tokenizer
    return writer


def _carried(weights: Tensor, old: Tokenizer, new: Tokenizer, pieces: int) -> Tensor:
    """Word embeddings [pieces, L] of the new tokenizer out of the old one's."""
    spread = weights.std()
    carried = weights.new_empty(pieces, weights.shape[1]).normal_(std=float(spread) * 0.5)
    for k in range(new.get_vocab_size()):
        piece = new.id_to_token(k)
        same = k if k < len(SPECIAL) else old.token_to_id(piece)
        if same is not None:
            carried[k] = weights[same]
            continue
        text = piece.replace(MARK, " ").strip()
        before = old.encode(text).ids if piece.startswith(MARK) else old.encode(f"x{text}").ids[1:]
        if before:
            carried[k] = weights[before].mean(0) + torch.randn(weights.shape[1]) * spread * 0.1
    return carried


if __name__ == "__main__":
    main()
