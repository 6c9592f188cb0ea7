"""Reports: one Markdown page a run, and one table over many with the authors' figures beside ours."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dynrefer.errors import InputError
from dynrefer.evaluation.benchmark import Figure
from dynrefer.evaluation.published import published_beside
from dynrefer.evaluation.store import write_atomically

_COLUMNS = ("Run", "Protocol", "Measured on", "Metric", "Ours", "Paper")
_DETECTOR_COLUMNS = ("Ours, detected boxes", "Paper, detected boxes")


def report(run_dirs: Iterable[str | Path]) -> str:
    """A Markdown table of all runs; figures on a detector's boxes have columns of their own.

    Raises:
        InputError: none of the folders holds a `metrics.json`, or one is not ours.
    """
    folders = [Path(folder) for folder in run_dirs]
    runs = {folder.name: read_metrics(folder) for folder in folders if (folder / "metrics.json").exists()}
    if not runs:
        raise InputError(
            f"No metrics.json in {', '.join(map(str, folders)) or 'nothing'}: name folders of finished runs."
        )
    rows = [(name, metrics, figure) for name, metrics in runs.items() for figure in figures_of(metrics)]
    with_detector = any(figure.detector for _, _, figure in rows)
    return _table(
        [*_COLUMNS, *_DETECTOR_COLUMNS * with_detector],
        [_row(name, metrics["benchmark"], figure, with_detector) for name, metrics, figure in rows],
    )


def write_report(out: Path, metrics: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
    """Write `report.md` of one run: figures, how they came to be, and the notes."""
    figures = figures_of(metrics)
    with_detector = any(figure.detector for figure in figures)
    inference = metrics["inference"]
    facts = {
        "Model": f"{metrics['model']} ({metrics['model_hash']})",
        "Data": f"{metrics['dataset']} ({metrics['data_hash']})",
        "Views": metrics["views"],
        "Speed": f"{inference.get('regions_per_second', '?')} regions a second on {inference.get('processor', '?')}",
        "Seconds": inference.get("seconds", "?"),
        "Number format": inference.get("dtype", "?"),
        "Versions": ", ".join(f"{name} {version}" for name, version in inference.get("versions", {}).items()),
    }
    simple = {name: value for name, value in metrics["details"].items() if isinstance(value, int | float)}
    parts = [
        f"# {metrics['benchmark']}: {out.name}",
        _table(
            [*_COLUMNS, *_DETECTOR_COLUMNS * with_detector],
            [_row(out.name, metrics["benchmark"], figure, with_detector) for figure in figures],
        ),
        "\n".join(f"- {name}: {value}" for name, value in (facts | simple).items()),
        *notes,
        "The column 'Paper' holds the figures of the authors' repository for their 4.2-billion-parameter model.",
    ]
    write_atomically(out / "report.md", "\n\n".join(parts) + "\n")


def read_metrics(folder: Path) -> dict[str, Any]:
    """The content of a run's `metrics.json`.

    Raises:
        InputError: it is not ours.
    """
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        figures_of(metrics)
        return metrics
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'metrics.json'} is not a metrics file of this program: leave it out.") from error


def figures_of(metrics: Mapping[str, Any]) -> list[Figure]:
    """The figures in the content of a `metrics.json`."""
    return [Figure(**figure) for figure in metrics["figures"]]


def _row(name: str, benchmark: str, figure: Figure, with_detector: bool) -> list[str]:
    pair = [f"{figure.value:.1f}", published_beside(benchmark, figure)]
    empty = ["", ""] * with_detector
    values = [*empty, *pair] if figure.detector else [*pair, *empty]
    return [name, figure.protocol, f"{figure.count:,} {figure.unit}", figure.metric, *values]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join(f"| {' | '.join(cell.ljust(w) for cell, w in zip(line, widths, strict=True))} |" for line in lines)
