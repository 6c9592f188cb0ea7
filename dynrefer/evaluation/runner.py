"""One benchmark from data to report: ask, store, score."""

import contextlib
import importlib.metadata
import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dynrefer.errors import InputError
from dynrefer.evaluation.benchmark import Benchmark, Region, Scores, data_hash
from dynrefer.evaluation.store import Prediction, PredictionStore, read_predictions, write_atomically
from dynrefer.evaluation.view_request import ViewRequest
from dynrefer.predictor import Predictor

PACKAGES = ("dynrefer", "torch", "transformers", "timm", "numpy", "pillow", "pycocoevalcap", "pycocotools")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Asking:
    """How a benchmark is asked, beside what it asks."""

    views: ViewRequest = field(default_factory=ViewRequest)
    batch_size: int = 32
    seed: int = 0


def run(benchmark: Benchmark, predictor: Predictor, asking: Asking, out: Path, say: Say = print) -> dict[str, Any]:
    """Ask about every region that has no stored prediction yet, score all, and write `metrics.json`.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: a photograph cannot be read, or the predictor refuses an option; what was predicted stays.
    """
    asking = replace(asking, views=asking.views.resolved(predictor.default_mode, predictor.num_views))
    identity = {
        "benchmark": benchmark.name,
        "dataset": benchmark.data.title,
        "photographs": benchmark.data.photographs,
        "model": predictor.model_name,
        "model_hash": predictor.checkpoint.fingerprint,
        "views": str(asking.views),
        "seed": asking.seed,
        "question": benchmark.question,
    }
    store = PredictionStore(out, identity)
    if store.changed:
        say(f"Starting anew, since {', '.join(store.changed)} changed; the old predictions are kept beside the new.")
    elif store.keys:
        say(f"Going on after {len(store.keys)} stored predictions.")
    try:
        _ask(benchmark, predictor, asking, store)
    finally:
        store.close()
    store.finish()
    speed = {
        "seconds": round(store.seconds, 2),
        "regions_per_second": round(len(store.keys) / max(store.seconds, 1e-9), 2),
    }
    inference = speed | {"device": str(predictor.device), "dtype": str(predictor.dtype).removeprefix("torch.")}
    return _write_metrics(
        benchmark, out, inference | {"processor": _processor(predictor.device), "versions": versions()}
    )


def rescore(benchmark: Benchmark, out: Path, model_hash: str | None = None) -> dict[str, Any]:
    """Score the stored predictions again and rewrite `metrics.json`; the model is not needed.

    Raises:
        InputError: there are none, not all, or they belong to another benchmark, other data or another model.
    """
    file = out / "predictions.json"
    if not file.exists():
        raise InputError(f"{out} has no finished predictions: run without --rescore first.")
    identity, _ = read_predictions(file)
    expected = {"benchmark": benchmark.name, "photographs": benchmark.data.photographs, "model_hash": model_hash}
    for name, value in expected.items():
        if value is not None and identity.get(name) != value:
            what = {"benchmark": "benchmark", "photographs": "data set", "model_hash": "model"}[name]
            raise InputError(f"The predictions in {file} are of another {what}: choose another --out or option.")
    metrics = out / "metrics.json"
    known = json.loads(metrics.read_text(encoding="utf-8")) if metrics.exists() else {}
    return _write_metrics(benchmark, out, known.get("inference", {}))


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _ask(benchmark: Benchmark, predictor: Predictor, asking: Asking, store: PredictionStore) -> None:
    regions = dict.fromkeys(benchmark.regions)
    pending = [region for region in regions if region.key not in store.keys]
    options = benchmark.question | asking.views.arguments()
    if tuple(options.get("classes", ())) == predictor.vocabulary.classes:
        options["classes"] = None  # the stored embeddings that the page uses
    if asking.views.random:
        options["generator"] = torch.Generator().manual_seed(asking.seed + len(store.keys))
    requests = list(_requests(pending, asking.batch_size))
    asked = ((request[0].image, [region.box for region in request]) for request in requests)
    before = time.perf_counter()
    with tqdm(total=len(regions), initial=len(regions) - len(pending), unit="region", desc=benchmark.name) as bar:
        answers = predictor.refer_many(asked, batch_size=asking.batch_size, **options)
        for request, results in zip(requests, answers, strict=True):
            now = time.perf_counter()
            kept = {
                region.key: benchmark.keep(result) | {"t": [round(view.t, 4) for view in result.views if view.rank]}
                for region, result in zip(request, results, strict=True)
            }
            store.add(kept, now - before)
            bar.update(len(kept))
            before = now


def _requests(regions: Sequence[Region], most: int) -> Iterator[list[Region]]:
    """Runs of regions on one photograph, at most `most` together."""
    for _, group in groupby(regions, key=lambda region: region.image):
        together = list(group)
        yield from (together[start : start + most] for start in range(0, len(together), most))


def _write_metrics(benchmark: Benchmark, out: Path, inference: Mapping[str, Any]) -> dict[str, Any]:
    identity, records = read_predictions(out / "predictions.json")
    predictions: dict[str, Prediction] = {record["key"]: record["prediction"] for record in records}
    missing = sum(region.key not in predictions for region in benchmark.regions)
    if missing:
        raise InputError(f"{missing} regions have no prediction in {out}: run without --rescore to ask about them.")
    try:
        scores: Scores = benchmark.score(predictions)
    except KeyError as error:
        raise InputError(
            f"The predictions in {out} lack {error}: run without --rescore into another folder."
        ) from error
    taken = Counter(t for region in benchmark.regions for t in predictions[region.key]["t"])
    share = {f"{t:g}": round(count / len(benchmark.regions), 4) for t, count in sorted(taken.items())}
    metrics = identity | {
        "data_hash": data_hash(benchmark),
        "figures": [asdict(figure) for figure in scores.figures],
        "details": scores.details | {"share of regions looked at from t": share},
        "inference": inference,
    }
    write_atomically(out / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    return metrics


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
