"""Beside a plain captioner: `python -m benchmarks.blip [--pairs 20]`.

BLIP-base (Li et al., ICML 2022) captions the crop of the same box, in turn with all answers of the default model. Its
weights are random, its size is true: speed does not depend on the values. It only writes a caption, `--words` long.
"""

import argparse
import os
import statistics
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.latency import part_of
from benchmarks.page import Box, photographs, processor, timed
from dynrefer import Predictor

BEAMS = 3
CROP = 384  # pixels a side, as BLIP-base takes them
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def blip_base() -> Any:
    """The network of `Salesforce/blip-image-captioning-base` with random weights."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    return BlipForConditionalGeneration(BlipConfig()).eval()


@torch.inference_mode()
def caption(network: Any, photograph: Image.Image, box: Box, words: int) -> Any:
    """Crop, resize, normalise, write."""
    crop = photograph.crop((int(box[0]), int(box[1]), int(box[2]), int(box[3]))).resize(
        (CROP, CROP), Image.Resampling.BICUBIC
    )
    pixels = torch.from_numpy((np.asarray(crop, dtype=np.float32) / 255 - MEAN) / STD).float()
    return network.generate(
        pixel_values=pixels.permute(2, 0, 1)[None], num_beams=BEAMS, min_new_tokens=words, max_new_tokens=words
    )


def main() -> None:
    """Ask both about the same boxes in turn, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--words", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    predictor, network = Predictor.from_pretrained(), blip_base()
    asked = [(path, box) for path, whole in photographs() for box in (whole, part_of(whole), part_of(part_of(whole)))]
    rows = []
    for path, box in asked[: arguments.pairs + 1]:
        photograph = Image.open(path).convert("RGB")
        own = timed(predictor.refer, path, box)
        rows.append((own, timed(caption, network, photograph, box, arguments.words)))
    rows = rows[1:]  # the first warms up
    size = sum(p.numel() for p in network.parameters()) / 1e6
    print(f"{processor()}, {os.cpu_count()} cores, {arguments.threads} threads, {len(rows)} pairs, {BEAMS} beams")
    print(f"{predictor.model_name}: {predictor.device_reason}; BLIP-base: {size:.0f} million parameters, float32")
    for name, clock in (("wall", 0), ("processor", 1)):
        ours, theirs = (statistics.median(row[k][clock] for row in rows) for k in (0, 1))
        faster = statistics.median(row[1][clock] / row[0][clock] for row in rows)
        print(f"{name:10} all answers {ours:.0f} ms, BLIP-base's caption {theirs:.0f} ms, {faster:.1f} times as long")


if __name__ == "__main__":
    main()
