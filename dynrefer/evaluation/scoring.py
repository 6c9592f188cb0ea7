"""One run of a benchmark: every region asked about through the views that are named, the answers scored."""

import contextlib
import importlib.metadata
import json
import logging
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from dynrefer.devices import freed_memory_returned
from dynrefer.errors import InputError
from dynrefer.evaluation.benchmark import Benchmark, EvaluationData, Prediction, Scores, data_hash, once_each
from dynrefer.evaluation.predictions import PredictionStore, ask, read_predictions
from dynrefer.evaluation.report import NAMED_LEFT_OUT
from dynrefer.files.atomic import write_whole
from dynrefer.predictor import Predictor
from dynrefer.question import MODES, Question

logger = logging.getLogger(__name__)

PACKAGES = ("dynrefer", "torch", "transformers", "timm", "numpy", "pillow", "pycocoevalcap", "pycocotools")
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


def run(benchmark: Benchmark, predictor: Predictor, asking: Asking, out: Path, plots: bool = True) -> dict[str, Any]:
    """Ask about every region that has no stored prediction yet, score all that could be asked, write `metrics.json`.

    A photograph or box that cannot be used is left out, named in `left_out`, and tried again the next time. `plots`
    are drawn beside the figures.

    Returns:
        The content of `metrics.json`.

    Raises InputError: nothing could be asked, the predictor refuses an option, or the folder cannot be written.
    """
    views = dict(asking.views)
    if "coefficients" not in views:
        views = {"mode": predictor.default_mode, "num_views": predictor.num_views} | views
    identity = identity_of(benchmark.name, benchmark.data, predictor, views_in_words(views), asking.seed)
    store = PredictionStore(out, identity | {"question": benchmark.question})
    if store.changed:
        logger.info("Starting anew, since %s changed; the old predictions are kept.", ", ".join(store.changed))
    elif store.sizes:
        logger.info("Going on after %d stored predictions.", len(store.sizes))
    try:
        with freed_memory_returned():
            away = ask(benchmark, predictor, views, store, asking.batch_size, asking.seed)
            left_out = [*benchmark.data.left_out, *away]
    finally:
        store.close()
    for record in left_out[:NAMED_LEFT_OUT]:
        logger.warning("Left out: %s", record)
    if len(left_out) > NAMED_LEFT_OUT:
        logger.warning("Left out: %d in all, each named in metrics.json", len(left_out))
    store.finish([asdict(record) for record in left_out])
    return _scored(benchmark, out, speed(len(store.sizes), store.seconds) | machine(predictor), plots)


def rescore(benchmark: Benchmark, out: Path, model_hash: str | None = None) -> dict[str, Any]:
    """Score the stored predictions again and rewrite `metrics.json`; the model is not needed.

    Raises InputError: there are none, not all, or they belong to another benchmark, other data or another model.
    """
    file = out / "predictions.json"
    if not file.exists():
        raise InputError(f"{out} has no finished predictions: run without --rescore first.")
    identity = read_predictions(file).identity
    expected = {"benchmark": benchmark.name, "dataset": benchmark.data.title, "model_hash": model_hash}
    for name, value in expected.items():
        if value is not None and identity.get(name) != value:
            what = {"benchmark": "benchmark", "dataset": "data set", "model_hash": "model"}[name]
            raise InputError(f"The predictions in {file} are of another {what}: choose another --out or option.")
    metrics = out / "metrics.json"
    known = json.loads(metrics.read_text(encoding="utf-8")) if metrics.exists() else {}
    return _scored(benchmark, out, known.get("inference", {}))


def identity_of(name: str, data: EvaluationData, predictor: Predictor, views: str, seed: int) -> dict[str, Any]:
    """What the figures of a run depend on."""
    model = {"model": predictor.model_name, "model_hash": predictor.checkpoint.fingerprint}
    return {"benchmark": name, "dataset": data.title, **model, "views": views, "seed": seed}


def speed(regions: int, seconds: float) -> dict[str, Any]:
    """How long so many regions took."""
    return {"seconds": round(seconds, 2), "regions_per_second": round(regions / max(seconds, 1e-9), 2)}


def machine(predictor: Predictor) -> dict[str, Any]:
    """Where a predictor runs, in which number format, and with what."""
    where = {"device": str(predictor.device), "dtype": str(predictor.arithmetic).removeprefix("torch.")}
    return where | {"processor": _processor(predictor.device), "versions": versions()}


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def write_metrics(
    out: Path,
    identity: Mapping[str, Any],
    truth: str,
    scores: Scores,
    left_out: Sequence[Mapping[str, str]],
    inference: Mapping[str, Any],
) -> dict[str, Any]:
    """Write `metrics.json` of a run, and give back its content; `truth` is a digest of what was measured against."""
    metrics = {
        **identity,
        "data_hash": truth,
        "figures": [asdict(figure) for figure in scores.figures],
        "details": scores.details,
        "left_out": list(left_out),
        "inference": dict(inference),
    }
    write_whole(out / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    return metrics


def _scored(benchmark: Benchmark, out: Path, inference: Mapping[str, Any], plots: bool = True) -> dict[str, Any]:
    identity, records, left_out = read_predictions(out / "predictions.json")
    predictions: dict[str, Prediction] = {record["key"]: record["prediction"] for record in records}
    keys = frozenset(predictions)
    known = {(record["photograph"], record["annotation"]) for record in left_out}
    missing = [region for region in once_each(benchmark.regions) if region.key not in keys]
    if new := [region for region in missing if (region.photo_id, region.sample_id) not in known]:
        raise InputError(f"{len(new)} regions have no prediction in {out}: run without --rescore to ask about them.")
    if missing:
        benchmark = benchmark.only(keys)
    try:
        scores = benchmark.score(predictions)
    except KeyError as error:
        raise InputError(
            f"The predictions in {out} lack {error}: run without --rescore into another folder."
        ) from error
    taken = Counter(t for region in benchmark.regions for t in predictions[region.key]["t"])
    share = {f"{t:g}": round(count / len(benchmark.regions), 4) for t, count in sorted(taken.items())}
    for name, draw in scores.plots.items() if plots else ():
        write_whole(out / name, draw())
    scores = replace(scores, details=scores.details | {"share of regions looked at from t": share})
    return write_metrics(out, identity, data_hash(benchmark), scores, left_out, inference)


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
