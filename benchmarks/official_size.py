"""Load time, memory and time a stage of the paper's model on a GPU: `python -m benchmarks.official_size --help`.

Without --checkpoint a folder of random weights of the true size is written first (8 GB) and removed afterwards: speed
and memory do not depend on the weights' values. Every repetition asks about another box, so views are encoded anew.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from benchmarks.cost import TAGS
from dynrefer import Predictor
from dynrefer.checkpoint import TEXT_TOKENIZER, TOKENIZER, write_checkpoint
from dynrefer.datasets.coco import CLASS_NAMES
from dynrefer.model import DynRefer, ModelConfig
from dynrefer.official.convert import official_attributes
from dynrefer.vocabulary import Vocabulary
from dynrefer.weights import StoredTensor, parameters_on_meta, unshared

PHOTOGRAPH = (480, 640)
TOGETHER = 32  # as `describe` asks


def random_like(name: str, like: Tensor) -> Tensor:
    """Noise for matrices, ones for scales and variances, zeros for shifts."""
    if like.dim() > 1:
        return 0.02 * torch.randn(like.shape)
    return torch.ones(like.shape) if name.endswith(("weight", "running_var")) else torch.zeros(like.shape)


def write_random(folder: Path, config: ModelConfig) -> None:
    """A checkpoint folder of this size with random weights and words."""
    with parameters_on_meta():
        likes = unshared(DynRefer(config))
    state = {name: StoredTensor(tuple(like.shape), partial(random_like, name, like)) for name, like in likes.items()}
    dtypes = {name: torch.bfloat16 if like.is_floating_point() else like.dtype for name, like in likes.items()}
    words = Vocabulary(tuple(f"tag {i}" for i in range(TAGS)), official_attributes(), CLASS_NAMES)
    width = config.text_encoder.width
    rows = {"tags": TAGS, "attributes": len(words.attribute_texts), "classes": len(CLASS_NAMES)}
    words = words.with_embeddings({name: torch.randn(count, width) for name, count in rows.items()})
    start, end = (config.text_encoder.options.get(f"{edge}_token_id", 2) for edge in ("bos", "eos"))
    tokenizer = numbers(max(start, end) + 1)
    ends = [(tokenizer.id_to_token(start), start), (tokenizer.id_to_token(end), end)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{ends[0][0]} $A {ends[1][0]}", special_tokens=sorted(set(ends))
    )
    tokenizers = {TOKENIZER: numbers(config.language.options["vocab_size"]), TEXT_TOKENIZER: tokenizer}
    write_checkpoint(folder, config, words, state, dtypes, tokenizers)


def numbers(count: int) -> Tokenizer:
    """A tokenizer of the words w0, w1, ..."""
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(count)}, unk_token="w2"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def measure(folder: Path, args: argparse.Namespace) -> list[tuple[str, str]]:
    """Rows of the table: name and value."""
    start = time.perf_counter()
    predictor = Predictor.from_pretrained(folder, args.device, args.dtype)
    on_gpu = predictor.device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(predictor.device)
    rows = [("device", predictor.device_reason), ("load", f"{time.perf_counter() - start:.1f} s")]
    rows.append(("host memory, peak", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"))
    photo = np.random.default_rng(0).integers(0, 256, (*PHOTOGRAPH, 3), dtype=np.uint8)
    asked: dict[str, Any] = {"num_views": args.views, "num_beams": args.beams, "max_new_tokens": args.tokens}
    different = ((40 + k, 30 + k, 300 + 2 * k, 260 + 2 * k) for k in range(args.warm_up + args.repeat))
    answers = [predictor.refer(photo, box, **asked).timing_ms for box in different]
    kept = answers[args.warm_up :]
    rows.append(("first answer", f"{answers[0]['total']:.0f} ms"))
    rows += [(stage, f"{statistics.median(a[stage] for a in kept):.1f} ms") for stage in kept[0]]
    boxes = [(k, k, 300 + k, 200 + k) for k in range(1, 5 * TOGETHER + 1)]
    list(predictor.refer_many([(photo, boxes[:TOGETHER])], batch_size=TOGETHER, **asked))
    start = time.perf_counter()
    regions = sum(map(len, predictor.refer_many([(photo, boxes[TOGETHER:])], batch_size=TOGETHER, **asked)))
    rows.append((f"{TOGETHER} regions at a time", f"{regions / (time.perf_counter() - start):.1f} a second"))
    if on_gpu:
        rows.append(("GPU memory, peak", f"{torch.cuda.max_memory_allocated(predictor.device) / 2**30:.2f} GiB"))
        rows.append(("GPU memory, reserved", f"{torch.cuda.max_memory_reserved(predictor.device) / 2**30:.2f} GiB"))
    return rows


def main() -> None:
    """Read the arguments, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="a converted folder instead of random weights")
    parser.add_argument("--preset", default="dynrefer-flant5xl", help="size of the random weights")
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--views", type=int, default=3)
    parser.add_argument("--beams", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=12, help="words of a caption")
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--plain", action="store_true", help="without CUDA graphs, as on ZeroGPU")
    args = parser.parse_args()
    if args.plain:
        os.environ["DYNREFER_CUDA_GRAPHS"] = "0"
    if args.checkpoint:
        rows = measure(args.checkpoint, args)
    else:
        with tempfile.TemporaryDirectory() as folder:
            write_random(Path(folder), ModelConfig.preset(args.preset))
            rows = measure(Path(folder), args)
    print(f"one region, {args.views} views, {args.beams} beams, {args.tokens} words; medians of {args.repeat}")
    for name, value in rows:
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
