"""A benchmark's predictions: every region asked about, the answers kept as they come, and found again after a kill."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from dynrefer.boxes import Box, check_box
from dynrefer.datasets.records import OTHER_SIZES
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError, LeftOut, reason
from dynrefer.evaluation.benchmark import Benchmark, Prediction, once_each
from dynrefer.files.atomic import claim, unwritable, write_whole
from dynrefer.formats.box_files import fit_boxes
from dynrefer.many import Asks, answers, parts
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.views import CANDIDATES

logger = logging.getLogger(__name__)


class PredictionStore:
    """The predictions of one run in its folder: a JSON line a region while it goes on, one JSON file when it is done.

    `identity` says what the predictions depend on (benchmark, data, model, options). Predictions of another identity
    are moved aside, never deleted, and `changed` names what differs. During the run a region costs memory for its key
    alone. `sizes` has the bytes that the photograph of each known region had: one of another size is another one.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Open the folder, which is made where it is missing.

        Raises InputError: the folder holds a `predictions.json` that is not ours, or cannot be written.
        """
        self.identity = dict(identity)
        self.complete, self.partial = folder / "predictions.json", folder / "predictions.partial.jsonl"
        self.changed: list[str] = []
        self.sizes: dict[str, int | None] = {}
        self.seconds = 0.0
        claim(folder)
        try:
            self._start()
            self._file = self.partial.open("a", encoding="utf-8")
        except OSError as error:
            raise unwritable(folder, error) from error

    def _start(self) -> None:
        """Leave a partial file of our identity that holds all that is known, and no broken last line."""
        records: list[dict[str, Any]] = []
        for path in (self.complete, self.partial):
            if not path.exists():
                continue
            found = read_predictions(path)
            if found.identity == self.identity:
                records = found.records
            else:
                differing = [name for name in self.identity if found.identity.get(name) != self.identity[name]]
                self.changed = differing or ["the program"]
                digest = hashlib.sha256(json.dumps(found.identity, sort_keys=True).encode()).hexdigest()[:8]
                path.rename(path.with_stem(f"{path.stem}-{digest}"))
        lines = (json.dumps(line) + "\n" for line in ({"identity": self.identity}, *records))
        write_whole(self.partial, "".join(lines))
        self.sizes = {record["key"]: record["bytes"] for record in records}
        self.seconds = sum(record["seconds"] for record in records)

    def add(self, predictions: Mapping[str, Prediction], sizes: Mapping[str, int | None], seconds: float) -> None:
        """Write down at once the predictions of some regions, which took so many seconds together.

        Raises InputError: the disk is full; what was written before stays.
        """
        share = seconds / max(len(predictions), 1)
        records = [
            {"key": key, "bytes": sizes[key], "seconds": share, "prediction": prediction}
            for key, prediction in predictions.items()
        ]
        try:
            self._file.write("".join(json.dumps(record) + "\n" for record in records))
            self._file.flush()
        except OSError as error:
            raise unwritable(self.partial, error) from error
        self.sizes |= sizes
        self.seconds += seconds

    def close(self) -> None:
        """Stop writing; what was predicted stays for the next start."""
        try:
            self._file.close()
        except OSError as error:
            raise unwritable(self.partial, error) from error

    def finish(self, left_out: Sequence[Mapping[str, str]] = ()) -> None:
        """Turn the lines into `predictions.json` in one step; `left_out` are the records that have no prediction."""
        self.close()
        latest = {record["key"]: record for record in read_predictions(self.partial).records}
        content = {"identity": self.identity, "left_out": list(left_out), "predictions": list(latest.values())}
        write_whole(self.complete, json.dumps(content))
        self.partial.unlink()


class Stored(NamedTuple):
    """What a file of predictions holds: what they depend on, a record each, and the records that have none."""

    identity: dict[str, Any]
    records: list[dict[str, Any]]
    """Each the `key` of a region, `bytes` of its photograph, `seconds` it took, and `prediction`."""
    left_out: list[dict[str, str]]


def read_predictions(path: Path) -> Stored:
    """The content of a file of predictions. Raises InputError: the file is not one of ours."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            content = json.loads(text)
        else:
            head, *records = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
            content = head | {"predictions": records}
        records = [{"bytes": None} | record for record in content["predictions"]]
        return Stored(content["identity"], records, content.get("left_out", []))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a prediction file of this program: move it away or choose another --out."
        ) from error


def ask(
    benchmark: Benchmark,
    predictor: Predictor,
    views: Mapping[str, Any],
    store: PredictionStore,
    batch_size: int,
    seed: int,
) -> list[LeftOut]:
    """Ask about all regions without a prediction, looking through `views`; returns what could not be asked."""
    regions = once_each(benchmark.regions)
    pending = [region for region in regions if _is_open(region, store)]
    options = dict(benchmark.question)
    if tuple(options.get("classes") or ()) == predictor.vocabulary.classes:
        options["classes"] = None  # the stored embeddings that the page uses
    left_out: list[LeftOut] = []
    fitted: set[str] = set()
    before = time.perf_counter()
    with tqdm(total=len(regions), initial=len(regions) - len(pending), unit="region", desc=benchmark.name) as bar:
        for chosen, alike in by_views(pending, views, seed):
            asking = _asking(alike, batch_size, left_out, fitted.add)
            for part, results in answers(predictor, asking, batch_size=batch_size, **options | chosen):
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
    regions: Sequence[Sample], views: Mapping[str, Any], seed: int
) -> Iterator[tuple[dict[str, Any], list[Sample]]]:
    """View options and the regions asked with them.

    Random views are drawn here, for each region from the seed and its key, so that they depend neither on the order
    nor on what an earlier start has answered already.
    """
    if views.get("mode") != "random":
        yield dict(views), list(regions)
        return
    drawn: dict[tuple[float, ...], list[Sample]] = {}
    for region in regions:
        digest = hashlib.sha256(f"{seed} {region.key}".encode()).digest()
        chance = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        order = torch.randperm(len(CANDIDATES), generator=chance)[: views["num_views"] - 1]
        drawn.setdefault((0.0, *(CANDIDATES[number] for number in order.tolist())), []).append(region)
    for coefficients, alike in drawn.items():
        yield {"coefficients": coefficients}, alike


def _asking(
    regions: Sequence[Sample], most: int, left_out: list[LeftOut], say: Callable[[str], None]
) -> Iterator[Asks[list[Sample]]]:
    """At most `most` regions of a photograph at a time, with the photograph, opened as it is needed, and their boxes.

    What cannot be asked goes to `left_out`; `say` hears of boxes that were made to fit.
    """
    for _, group in groupby(regions, key=lambda region: region.image):
        here = list(group)
        try:
            photo = Photo.read(here[0].image)
            boxes = fit_boxes([region.box for region in here], here[0].image_size, photo, say)
        except InputError as error:
            left_out += [_left_out(region, error) for region in here]
            continue
        usable: list[tuple[Sample, Box]] = []
        for region, box in zip(here, boxes, strict=True):
            try:
                usable.append((region, check_box(box, photo.size)))
            except InputError as error:
                left_out.append(_left_out(region, error))
        for part in parts(usable, most):
            yield [region for region, _ in part], photo, [box for _, box in part]


def _left_out(region: Sample, error: InputError) -> LeftOut:
    return LeftOut(region.photo_id, region.sample_id, reason(error))


def _is_open(region: Sample, store: PredictionStore) -> bool:
    """Whether a region has no prediction, or one of another photograph that lay in its place."""
    return region.key not in store.sizes or _bytes(region.image) not in (None, store.sizes[region.key])


def _bytes(image: Path) -> int | None:
    try:
        return image.stat().st_size
    except OSError:
        return None
