"""How a benchmark is asked: views, batches of photographs opened as they are needed, and what cannot be asked."""

import hashlib
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dynrefer.boxes import MAX_BOXES, Box, check_box
from dynrefer.datasets.records import OTHER_SIZES
from dynrefer.errors import InputError, LeftOut, reason
from dynrefer.evaluation.benchmark import Benchmark, Region
from dynrefer.evaluation.store import PredictionStore
from dynrefer.formats.box_files import fit_boxes
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.question import MODES, Question
from dynrefer.views import CANDIDATES

logger = logging.getLogger(__name__)

_VIEW_WORDS = re.compile(rf"(?P<mode>{'|'.join(map(re.escape, MODES))})?[ ,]*(?:(?P<num_views>\d+)(?: views?)?)?")


@dataclass(frozen=True)
class Asking:
    """How a benchmark is asked, beside what it asks: `views` are options of `Question`, see `parse_views`."""

    views: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 32
    seed: int = 0


def parse_views(text: str | None) -> dict[str, Any]:
    """The words after `--views` as options of `Question`; what they leave open is the predictor's choice.

    Read are `dynamic`, `random`, `prior:caption`, `prior:attributes`, `3 views`, `random 2 views` and `t=0.3,0.5`: `t`
    names the views besides t = 0, which is always taken; `t=0` is that one view alone.

    Raises InputError: the words are none of these.
    """
    words = (text or "").strip()
    try:
        if words.startswith("t="):
            steps = sorted({float(word) for word in words[2:].split(",")} - {0.0})
            return Question.checked(coefficients=(0.0, *steps)).options()
        parts = _VIEW_WORDS.fullmatch(words)
        if parts is None:
            raise ValueError
        number = parts["num_views"]
        return Question.checked(mode=parts["mode"], num_views=None if number is None else int(number)).options()
    except ValueError as error:
        reason = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(
            f"--views {text!r} is not understood{reason}: give {', '.join(mode for mode in MODES if mode != 'manual')}"
            ", '2 views', 'random 2 views' or 't=0.3,0.5'."
        ) from error


def views_in_words(views: Mapping[str, Any]) -> str:
    """View options as `parse_views` reads them."""
    if steps := views.get("coefficients"):
        return "t=" + ",".join(f"{t:g}" for t in steps if t or len(steps) == 1)
    number = views.get("num_views")
    counted = "" if number is None else f"{number} view{'s' * (number > 1)}"
    return " ".join(word for word in (views.get("mode"), counted) if word)


def ask(
    benchmark: Benchmark, predictor: Predictor, views: Mapping[str, Any], asking: Asking, store: PredictionStore
) -> list[LeftOut]:
    """Ask about all regions without a prediction; returns what could not be asked."""
    regions = list(dict.fromkeys(benchmark.regions))
    pending = [region for region in regions if _is_open(region, store)]
    options = dict(benchmark.question)
    if tuple(options.get("classes") or ()) == predictor.vocabulary.classes:
        options["classes"] = None  # the stored embeddings that the page uses
    left_out: list[LeftOut] = []
    fitted: set[str] = set()
    before = time.perf_counter()
    with tqdm(total=len(regions), initial=len(regions) - len(pending), unit="region", desc=benchmark.name) as bar:
        for chosen, alike in by_views(pending, views, asking.seed):
            asked: deque[list[Region]] = deque()
            requests = _requests(alike, asking.batch_size, asked, left_out, fitted.add)
            answers = predictor.refer_many(requests, batch_size=asking.batch_size, errors="return", **options | chosen)
            for results in answers:
                part = asked.popleft()
                bar.update(len(part))
                if isinstance(results, InputError):
                    left_out += [_left_out(region, results) for region in part]
                    continue
                kept = {
                    region.key: benchmark.keep(result) | {"t": [round(view.t, 4) for view in result.views if view.rank]}
                    for region, result in zip(part, results, strict=True)
                }
                now = time.perf_counter()
                store.add(kept, {region.key: _bytes(region.image) for region in part}, now - before)
                before = now
    if fitted:
        logger.warning("mended %d: %s, for example %s", len(fitted), OTHER_SIZES, min(fitted))
    if regions and not store.sizes:
        raise InputError(f"Nothing could be measured; the first of {len(left_out)} reasons: {left_out[0]}")
    return left_out


def by_views(
    regions: Sequence[Region], views: Mapping[str, Any], seed: int
) -> Iterator[tuple[dict[str, Any], list[Region]]]:
    """View options and the regions asked with them.

    Random views are drawn here, for each region from the seed and its key, so that they depend neither on the order
    nor on what an earlier start has answered already.
    """
    if views.get("mode") != "random":
        yield dict(views), list(regions)
        return
    drawn: dict[tuple[float, ...], list[Region]] = {}
    for region in regions:
        digest = hashlib.sha256(f"{seed} {region.key}".encode()).digest()
        chance = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        order = torch.randperm(len(CANDIDATES), generator=chance)[: views["num_views"] - 1]
        drawn.setdefault((0.0, *(CANDIDATES[number] for number in order.tolist())), []).append(region)
    for coefficients, alike in drawn.items():
        yield {"coefficients": coefficients}, alike


def _requests(
    regions: Sequence[Region],
    most: int,
    asked: deque[list[Region]],
    left_out: list[LeftOut],
    say: Callable[[str], None],
) -> Iterator[tuple[Photo, list[Box]]]:
    """Photographs, opened as they are needed, with the boxes of at most `most` regions, which `asked` then holds.

    What cannot be asked goes to `left_out`; `say` hears of boxes that were made to fit.
    """
    for _, group in groupby(regions, key=lambda region: region.image):
        here = list(group)
        try:
            photo = Photo.read(here[0].image)
            boxes = fit_boxes([region.box for region in here], here[0].stated_size, photo, say)
        except InputError as error:
            left_out += [_left_out(region, error) for region in here]
            continue
        usable: list[tuple[Region, Box]] = []
        for region, box in zip(here, boxes, strict=True):
            try:
                usable.append((region, check_box(box, photo.size)))
            except InputError as error:
                left_out.append(_left_out(region, error))
        for start in range(0, len(usable), min(most, MAX_BOXES)):
            part = usable[start : start + min(most, MAX_BOXES)]
            asked.append([region for region, _ in part])
            yield photo, [box for _, box in part]


def _left_out(region: Region, error: InputError) -> LeftOut:
    return LeftOut(region.name, region.annotation, reason(error))


def _is_open(region: Region, store: PredictionStore) -> bool:
    """Whether a region has no prediction, or one of another photograph that lay in its place."""
    return region.key not in store.sizes or _bytes(region.image) not in (None, store.sizes[region.key])


def _bytes(image: Path) -> int | None:
    try:
        return image.stat().st_size
    except OSError:
        return None
