"""`python -m dynrefer evaluate`: from the words of the command line to predictions, figures and a report."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dynrefer.checkpoint import find_checkpoint, fingerprint_of
from dynrefer.errors import InputError
from dynrefer.evaluation.ablation import run_ablation
from dynrefer.evaluation.attributes import Attributes
from dynrefer.evaluation.benchmark import Benchmark, EvaluationData, load_data
from dynrefer.evaluation.captions import Captions
from dynrefer.evaluation.dense_captions import OWN_PROPOSALS, DenseCaptions
from dynrefer.evaluation.meteor import Meteor, require_java
from dynrefer.evaluation.pointing import MEASURES, measure, write_proposals
from dynrefer.evaluation.recognition import Recognition
from dynrefer.evaluation.report import write_report
from dynrefer.evaluation.scoring import Asking, parse_views, rescore, run
from dynrefer.files.atomic import claim
from dynrefer.predictor import Predictor

logger = logging.getLogger(__name__)

BENCHMARKS = ("captions", "dense-captions", "attributes", "recognition", "pointing", "proposals", "ablation")
OWN = Path("own")
_REQUIRED = {"pycocotools": "pycocotools", "pycocoevalcap": "pycocoevalcap", "matplotlib": "matplotlib"}
_REQUIRED |= {"sklearn": "scikit-learn", "lemminflect": "lemminflect", "textblob": "textblob"}
_ABLATED = ("recognition", "attributes", "captions")


@dataclass(frozen=True)
class BenchmarkOptions:
    """What may be chosen beside benchmark, data and folder.

    Attributes:
        model: checkpoint folder or Hub id; None for the embedded model.
        device: where it runs; None chooses.
        dtype: in which number format; None chooses.
        views: see `parse_views`.
        split: part of the data set; None for the one that the paper uses.
        limit: only so many regions (photographs for `dense-captions`, `pointing`, `proposals`), from the first on.
        classes: class list for `recognition`; None for the data set's own.
        boxes: for `dense-captions`, a detector's COCO result file, or OWN for the model's own proposals.
        min_area: `captions` only of boxes that cover more than this share of their photograph, 0 to 1.
        modes_only: `ablation` only compares the modes of selection, without the curve and the best views.
        batch_size: regions a batch.
        seed: of random views.
        rescore: score stored predictions again instead of asking.
    """

    model: str | None = None
    device: str | None = None
    dtype: str | None = None
    views: str | None = None
    split: str | None = None
    limit: int | None = None
    classes: Sequence[str] | None = None
    boxes: Path | None = None
    min_area: float = 0.0
    modes_only: bool = False
    batch_size: int = 32
    seed: int = 0
    rescore: bool = False


def run_benchmark(
    name: str, data: str | Path, out: str | Path, options: BenchmarkOptions | None = None
) -> dict[str, Any]:
    """Run one benchmark and write `predictions.json`, `metrics.json` and `report.md` into the folder `out`.

    Args:
        name: one of `BENCHMARKS`.
        data: folder of the data set, or one that `data build` wrote.
        out: folder of the run; one that holds part of the same run is gone on with.
        options: what else may be chosen.

    Returns:
        The content of `metrics.json`; `left_out` lists the records that could not be measured.

    Raises InputError: something is missing or does not fit, or nothing could be measured; what was predicted stays.
    """
    options, folder = options or BenchmarkOptions(), Path(out)
    _check(name, options)
    asking = Asking(parse_views(options.views), options.batch_size, options.seed)
    loaded = load_data(Path(data), options.split)
    if name in MEASURES or options.boxes == OWN:
        predictor = _predictor(options, folder)
        if name in MEASURES:
            metrics = measure(name, loaded, predictor, folder, options.limit, options.seed)
            write_report(folder, metrics)
            return metrics
        write_proposals(loaded, predictor, folder / OWN_PROPOSALS, options.limit)
        options = replace(options, boxes=folder / OWN_PROPOSALS)
    with Meteor() as meteor:
        chosen = _load(name, loaded, options, meteor)
        if any(benchmark.of_captions for benchmark in chosen):
            require_java()
        if options.rescore:
            metrics = rescore(chosen[0], folder, _fingerprint(options.model))
        else:
            predictor = _predictor(options, folder)
            if name == "ablation":
                return run_ablation(chosen, predictor, asking, folder, modes_only=options.modes_only)
            metrics = run(chosen[0], predictor, asking, folder)
    write_report(folder, metrics)
    return metrics


def _predictor(options: BenchmarkOptions, folder: Path) -> Predictor:
    """The model, once the folder of the run is known to be free."""
    claim(folder)
    predictor = Predictor.from_pretrained(options.model, options.device, options.dtype)
    logger.info("%s on %s.", predictor.model_name, predictor.device_reason)
    return predictor


def _check(name: str, options: BenchmarkOptions) -> None:
    """Refuse what cannot work before any data is read."""
    if missing := [package for module, package in _REQUIRED.items() if find_spec(module) is None]:
        raise InputError(f"Evaluation needs {' and '.join(missing)}: run `pip install -r requirements-dev.txt`.")
    if name not in BENCHMARKS:
        raise InputError(f"There is no benchmark '{name}': choose {', '.join(BENCHMARKS)}.")
    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit {options.limit} leaves nothing to measure: give 1 or more.")
    if options.batch_size < 1:
        raise InputError(f"--batch-size {options.batch_size} holds no region: give 1 or more.")
    if not 0 <= options.min_area < 1:
        raise InputError(f"--min-area {options.min_area:g} is no share of a photograph: give 0.05 for 5 %.")
    if options.rescore and name in MEASURES:
        raise InputError(f"{name} keeps no predictions for --rescore: run it again, it takes a minute.")
    if options.rescore and options.boxes == OWN:
        raise InputError("--rescore takes the boxes that were written before: give --boxes OUT/proposals.json.")
    if options.rescore and name == "ablation":
        raise InputError("An ablation takes no --rescore: started again, it asks nothing twice and scores all anew.")


def _fingerprint(model: str | None) -> str | None:
    """Digest of the model that was named, None where none was: then any model's predictions will do."""
    return None if model is None else fingerprint_of(find_checkpoint(model))


def _load(name: str, data: EvaluationData, options: BenchmarkOptions, meteor: Meteor) -> list[Benchmark]:
    """The benchmark on its data; for the ablation all that the data has something for."""
    loaders: dict[str, Callable[[], Benchmark]] = {
        "captions": lambda: Captions.load(data, meteor, options.limit, options.min_area),
        "dense-captions": lambda: DenseCaptions.load(data, meteor, options.limit, options.boxes),
        "attributes": lambda: Attributes.load(data, options.limit),
        "recognition": lambda: Recognition.load(data, options.limit, options.classes),
    }
    if name != "ablation":
        return [loaders[name]()]
    found: list[Benchmark] = []
    for part in _ABLATED:
        try:
            found.append(loaders[part]())
        except InputError as reason:
            logger.info("Without %s: %s", part, reason)
    if not found:
        raise InputError("The data set is empty for the ablation: it has neither classes, attributes nor captions.")
    return found
