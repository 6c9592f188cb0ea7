"""`python -m dynrefer evaluate`: from the words of the command line to a finished run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dynrefer.checkpoint import find_checkpoint, fingerprint_of
from dynrefer.errors import InputError
from dynrefer.evaluation.ablation import run_ablation
from dynrefer.evaluation.attributes import Attributes
from dynrefer.evaluation.benchmark import Benchmark
from dynrefer.evaluation.captions import Captions
from dynrefer.evaluation.dense_captions import DenseCaptions
from dynrefer.evaluation.recognition import Recognition
from dynrefer.evaluation.report import write_report
from dynrefer.evaluation.runner import Asking, Say, rescore, run
from dynrefer.evaluation.samples import EvaluationData, load_data
from dynrefer.evaluation.texts import require_java
from dynrefer.evaluation.view_request import ViewRequest
from dynrefer.predictor import Predictor

BENCHMARKS = ("captions", "dense-captions", "attributes", "recognition", "ablation")
_PACKAGES = ("pycocotools", "pycocoevalcap", "matplotlib")
_ABLATED = ("recognition", "attributes", "captions")


@dataclass(frozen=True)
class BenchmarkOptions:
    """What may be chosen beside benchmark, data and folder.

    Attributes:
        model: checkpoint folder or Hub id; None for the embedded model.
        device: where it runs; None chooses.
        dtype: in which number format; None chooses.
        views: see `ViewRequest.parse`.
        split: part of the data set; None for the one that the paper uses.
        limit: only so many regions (photographs for `dense-captions`), from the first on.
        classes: class list for `recognition`; None for the data set's own.
        boxes: a detector's COCO result file, for `dense-captions`.
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
    batch_size: int = 32
    seed: int = 0
    rescore: bool = False


def run_benchmark(
    name: str, data: str | Path, out: str | Path, options: BenchmarkOptions | None = None, say: Say = print
) -> dict[str, Any]:
    """Run one benchmark and write `predictions.json`, `metrics.json` and `report.md` into the folder `out`.

    Args:
        name: one of `BENCHMARKS`.
        data: folder of the data set, or one that `data build` wrote.
        out: folder of the run; one that holds part of the same run is gone on with.
        options: what else may be chosen.
        say: takes the messages.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: something is missing or does not fit; what was predicted stays.
    """
    options, folder = options or BenchmarkOptions(), Path(out)
    _check(name, options)
    asking = Asking(ViewRequest.parse(options.views), options.batch_size, options.seed)
    chosen = _load(name, load_data(Path(data), options.split), options, say)
    if any(benchmark.needs_java for benchmark in chosen):
        require_java()
    if options.rescore:
        metrics = rescore(chosen[0], folder, _fingerprint(options.model))
    else:
        predictor = Predictor.from_pretrained(options.model, options.device, options.dtype)
        say(f"{predictor.model_name} on {predictor.device_reason}.")
        if name == "ablation":
            return run_ablation(chosen, predictor, asking, folder, say)
        metrics = run(chosen[0], predictor, asking, folder, say)
    write_report(folder, metrics)
    say((folder / "report.md").read_text(encoding="utf-8"))
    return metrics


def _check(name: str, options: BenchmarkOptions) -> None:
    """Refuse what cannot work before any data is read."""
    if missing := [package for package in _PACKAGES if find_spec(package) is None]:
        raise InputError(f"Evaluation needs {' and '.join(missing)}: run `pip install -r requirements-dev.txt`.")
    if name not in BENCHMARKS:
        raise InputError(f"There is no benchmark '{name}': choose {', '.join(BENCHMARKS)}.")
    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit {options.limit} leaves nothing to measure: give 1 or more.")
    if options.batch_size < 1:
        raise InputError(f"--batch-size {options.batch_size} holds no region: give 1 or more.")
    if options.rescore and name == "ablation":
        raise InputError("An ablation takes no --rescore: started again, it asks nothing twice and scores all anew.")


def _fingerprint(model: str | None) -> str | None:
    """Digest of the model that was named, None where none was: then any model's predictions will do."""
    return None if model is None else fingerprint_of(find_checkpoint(model))


def _load(name: str, data: EvaluationData, options: BenchmarkOptions, say: Say) -> list[Benchmark]:
    """The benchmark on its data; for the ablation all that the data has something for."""
    loaders: dict[str, Callable[[], Benchmark]] = {
        "captions": lambda: Captions.load(data, options.limit),
        "dense-captions": lambda: DenseCaptions.load(data, options.limit, options.boxes),
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
            say(f"Without {part}: {reason}")
    if not found:
        raise InputError("The data set is empty for the ablation: it has neither classes, attributes nor captions.")
    return found
