"""What the heads say of every cached region, for the writer: queries, sentence, the likeliest names and tags.

    python -m recipes.mini.predictions RUN --start CHECKPOINT --heads RUN/heads.safetensors [--part 0 --parts 2]

Writes RUN/predictions: queries.npy (float16 [R, Q, D]), summaries.npy [R, D], sentences.npy [R, E], names.npy and
tags.npy (numbers, int16 [R, 8] and [R, 16], best first) with name_logits.npy and tag_logits.npy, done.npy. Goes on
where it stopped.
"""

import argparse
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from dynrefer.model import DynRefer
from recipes.mini.features import FOLDER as FEATURES
from recipes.mini.features import Cache, Rows, make_arrays
from recipes.mini.start import Heads, heads_of, name_logits, relative
from recipes.mini.vocabulary import Words, default_queries

FOLDER = "predictions"
TOGETHER = 64
DECODED = {"names": 32, "tags": 40}  # short lists; the shipped model's are longer, and no better for the best few
KEPT = {"names": 8, "tags": 16}


class Predictions:
    """The arrays, mapped when they are asked for; row r belongs to region r."""

    queries: np.ndarray
    summaries: np.ndarray
    sentences: np.ndarray
    names: np.ndarray
    name_logits: np.ndarray
    tags: np.ndarray
    tag_logits: np.ndarray
    done: np.ndarray

    def __init__(self, folder: Path, mode: Literal["r", "r+"] = "r") -> None:
        self._folder, self._mode = folder, mode

    def __getattr__(self, name: str) -> np.ndarray:
        if name not in type(self).__annotations__:
            raise AttributeError(name)
        array: np.ndarray = np.load(self._folder / f"{name}.npy", mmap_mode=self._mode)
        setattr(self, name, array)
        return array


def main() -> None:
    """Read the arguments and predict what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that the heads started from")
    parser.add_argument("--heads", type=Path, required=True, help="weights of recipes.mini.heads")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    _, heads = heads_of(args.start, args.run, args.heads)
    cache = Cache(args.run / FEATURES)
    out = open_predictions(args.run / FOLDER, len(cache.done), heads.model)
    missing = np.flatnonzero((np.asarray(cache.done) == 1) & (np.asarray(out.done) == 0))[args.part :: args.parts]
    fill(heads.eval(), Words.of(args.run), cache, out, missing)


def open_predictions(folder: Path, count: int, model: DynRefer) -> Predictions:
    """The arrays in `folder`, made empty where there are none."""
    config = model.config
    rows: Rows = {
        "queries": ((config.resampler.queries, config.resampler.width), np.float16),
        "summaries": ((config.resampler.width,), np.float32),
        "sentences": ((config.text_encoder.width,), np.float16),
        "names": ((KEPT["names"],), np.int16),
        "name_logits": ((KEPT["names"],), np.float16),
        "tags": ((KEPT["tags"],), np.int16),
        "tag_logits": ((KEPT["tags"],), np.float16),
        "done": ((), np.uint8),
    }
    make_arrays(folder, count, rows)
    return Predictions(folder, "r+")


@torch.inference_mode()
def fill(heads: Heads, words: Words, cache: Cache, out: Predictions, rows: np.ndarray) -> None:
    """Predict for these regions. Names are those of the default list, by their place in the vocabulary."""
    model = heads.model
    places, names = default_queries(heads, words)
    number = np.array(places, np.int16)
    model.contrast.shortlist, model.tagging.shortlist = DECODED["names"], DECODED["tags"]
    priors = torch.tensor(words.priors)[places]
    tags = model.tag_texts(heads.tags)
    with torch.autocast("cpu", torch.bfloat16):
        for start in tqdm(range(0, len(rows), TOGETHER), unit=f"{TOGETHER} regions"):
            part = rows[start : start + TOGETHER]
            queries, summary, belief = model.represent(*cache.read(part))
            assert summary is not None
            out.queries[part] = queries.half().numpy()
            out.summaries[part] = summary.float().numpy()
            out.sentences[part] = model.language.sentence(summary).half().numpy()
            logits = name_logits(model, (queries, summary, belief), names) + priors
            best = relative(logits, logits).topk(KEPT["names"], 1)
            out.names[part], out.name_logits[part] = number[best.indices.numpy()], best.values.half().numpy()
            best = model.tagging(queries, tags, summary, belief).float().topk(KEPT["tags"], 1)
            out.tags[part], out.tag_logits[part] = best.indices.short().numpy(), best.values.half().numpy()
            out.done[part] = 1


if __name__ == "__main__":
    main()
