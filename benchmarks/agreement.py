"""Two number formats on the same regions, in turn: what they cost, and whether they answer alike.

`python -m benchmarks.agreement DATA [--first float32] [--second bfloat16]`: DATA is a data set that `dynrefer evaluate`
reads; Ctrl-C ends early. The processor's time counts beside the wall's, which says little while
others use the machine. Views that one of them encoded are not used by the other.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.page import farthest, processor
from dynrefer import Predictor
from dynrefer.datasets.coco import CLASS_NAMES
from dynrefer.datasets.sample import Sample
from dynrefer.evaluation.benchmark import load_data
from dynrefer.results import RegionResult

WARM_UP = 3


class Answer(NamedTuple):
    """One region's answer, and the milliseconds that it took by the wall's clock and the processor's."""

    result: RegionResult
    wall: float
    used: float


def asked(predictor: Predictor, sample: Sample, captions: bool) -> Answer:
    """Every score of COCO's classes, of tags and attributes, and a caption."""
    wall, used = time.perf_counter(), time.process_time()
    result = predictor.refer(
        sample.image, sample.box, classes=CLASS_NAMES, top_classes=None, tag_threshold=0, captions=captions
    )
    return Answer(result, 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - used))


def right(samples: Sequence[Sample], answers: Sequence[Answer]) -> str:
    """The share of boxes whose best class is true."""
    hits = sum(a.result.classes[0].name == s.class_name for s, a in zip(samples, answers, strict=True))
    return f"{100 * hits / len(samples):.1f} %"


def report(samples: Sequence[Sample], pairs: Sequence[tuple[Answer, Answer]]) -> list[tuple[str, str]]:
    """Rows of the table."""
    first, second = ([pair[k] for pair in pairs] for k in (0, 1))
    counted = pairs[WARM_UP:]
    rows = [
        (f"{name}, median of pairs", f"{statistics.median(which(one) for one, _ in counted):.0f} and "
         f"{statistics.median(which(two) for _, two in counted):.0f} ms, "
         f"{statistics.median(which(two) / which(one) for one, two in counted):.0%}")
        for name, which in (("wall", lambda a: a.wall), ("processor", lambda a: a.used))
    ]  # fmt: skip
    texts = [(one.result.caption, two.result.caption) for one, two in pairs]
    rows.append(("boxes whose best class is true", f"{right(samples, first)} and {right(samples, second)}"))
    best = sum(one.result.classes[0].name == two.result.classes[0].name for one, two in pairs)
    rows.append(("same best class", f"{best} of {len(pairs)}"))
    if texts[0][0]:
        rows.append(("same caption", f"{sum(bool(a and b and a.text == b.text) for a, b in texts)} of {len(pairs)}"))
    gaps = [farthest(one.result, two.result) for one, two in pairs]
    rows.append(
        ("largest difference of a score", f"{max(gaps):.2g}, median over regions {statistics.median(gaps):.2g}")
    )
    return rows


def main() -> None:
    """Ask both about every region, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--first", default="float32", metavar="FORMAT")
    parser.add_argument("--second", default="bfloat16", metavar="FORMAT")
    parser.add_argument("--regions", type=int, default=300)
    parser.add_argument("--no-captions", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    samples = [s for s in load_data(arguments.data, arguments.split).samples if s.class_name in CLASS_NAMES]
    samples = samples[:: max(1, len(samples) // arguments.regions)][: arguments.regions]
    one, two = (Predictor.from_pretrained(dtype=name) for name in (arguments.first, arguments.second))
    print(
        f"{one.device_reason}\n{two.device_reason}\n{processor()}, {arguments.threads} threads, {len(samples)} regions"
    )
    pairs: list[tuple[Answer, Answer]] = []
    with contextlib.suppress(KeyboardInterrupt):  # what was asked until then counts
        for number, sample in enumerate(samples):
            order = (one, two) if number % 2 else (two, one)
            answers = {id(p): asked(p, sample, not arguments.no_captions) for p in order}
            pairs.append((answers[id(one)], answers[id(two)]))
    print(f"{len(pairs)} asked")
    for name, value in report(samples[: len(pairs)], pairs):
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
