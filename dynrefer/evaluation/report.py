"""Reports: one Markdown page a run, and one table over many with the authors' figures beside ours.

Source of every published value: `docs/train_and_eval.md` of the authors' repository (callsys/DynRefer, commit 2200c5b),
which gives them for the released checkpoints of the CVPR 2025 paper (arXiv 2405.16071). That the Visual Genome caption
scores are of one region an image, and METEOR about 1 lower with all regions, is the authors' answer in issue 5 of
callsys/ControlCap. Figures of the paper that stand in no text at hand are left out.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynrefer.errors import InputError, LeftOut
from dynrefer.evaluation.benchmark import Figure
from dynrefer.files.atomic import write_whole

_COLUMNS = ("Run", "Protocol", "Measured on", "Metric", "Ours", "Paper")
_DETECTOR_COLUMNS = ("Ours, detected boxes", "Paper, detected boxes")
NAMED_LEFT_OUT = 20


@dataclass(frozen=True)
class Published:
    """What the authors report for DynRefer with FLAN-T5-XL: one figure, on which data and by which protocol."""

    benchmark: str
    metric: str
    value: float
    dataset: str
    protocol: str

    def comparable(self, figure: Figure) -> bool:
        """Whether a figure of ours is of the same data and protocol."""
        return figure.protocol == f"{self.dataset}, {self.protocol}"


PUBLISHED = (
    Published("captions", "METEOR", 18.1, "RefCOCOg val", "all regions"),
    Published("captions", "CIDEr", 115.3, "RefCOCOg val", "all regions"),
    Published("captions", "METEOR", 21.2, "Visual Genome v1.2 test", "one region an image"),
    Published("captions", "CIDEr", 190.5, "Visual Genome v1.2 test", "one region an image"),
    Published("dense-captions", "mAP", 47.6, "Visual Genome v1.2 test", "true boxes"),
    Published("attributes", "mAP all", 29.2, "COCO val2017", "box oracle"),
    Published("recognition", "accuracy", 91.8, "COCO val2017", "true boxes, 80 classes"),
)


def published_beside(benchmark: str, figure: Figure) -> str:
    """The authors' figure for the same benchmark and metric, with its data and protocol where ours are others."""
    found = [item for item in PUBLISHED if (item.benchmark, item.metric) == (benchmark, figure.metric)]
    alike = [item for item in found if item.protocol in figure.protocol]
    if figure.detector or alike:
        found = alike
    if any(item.comparable(figure) for item in found):
        return f"{next(item.value for item in found if item.comparable(figure)):.1f}"
    return "; ".join(f"{item.value:.1f} on {item.dataset}, {item.protocol} (not comparable)" for item in found)


def report(run_dirs: Iterable[str | Path]) -> str:
    """A Markdown table of all runs; figures on a detector's boxes have columns of their own.

    Raises InputError: none of the folders holds a `metrics.json`, or one is not ours.
    """
    named = [Path(folder) for folder in run_dirs]
    folders = [folder for folder in named if (folder / "metrics.json").exists()]
    short = Counter(folder.name for folder in folders)
    runs = [(folder.name if short[folder.name] == 1 else str(folder), read_metrics(folder)) for folder in folders]
    if not runs:
        raise InputError(
            f"No metrics.json in {', '.join(map(str, named)) or 'nothing'}: name folders of finished runs."
        )
    return _figure_table([(name, found["benchmark"], figure) for name, found in runs for figure in figures_of(found)])


def write_report(out: Path, metrics: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
    """Write `report.md` of one run: figures, how they came to be, what was left out, and the notes."""
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
    tables = {
        name: table(list(rows[0]), [list(row.values()) for row in rows])
        for name, rows in metrics["details"].items()
        if isinstance(rows, list) and rows and isinstance(rows[0], dict)
    }
    parts = [
        f"# {metrics['benchmark']}: {out.name}",
        _figure_table([(out.name, metrics["benchmark"], figure) for figure in figures_of(metrics)]),
        "\n".join(f"- {name}: {_cell(value)}" for name, value in (facts | simple).items()),
        *(f"## {name}\n\n{rows}" for name, rows in tables.items()),
        *_left_out(metrics.get("left_out", ())),
        *notes,
        "The column 'Paper' holds the figures of the authors' repository for their 4.2-billion-parameter model.",
    ]
    write_whole(out / "report.md", "\n\n".join(parts) + "\n")


def read_metrics(folder: Path) -> dict[str, Any]:
    """The content of a run's `metrics.json`. Raises InputError: it is not ours."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        figures_of(metrics)
        return metrics
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'metrics.json'} is not a metrics file of this program: leave it out.") from error


def figures_of(metrics: Mapping[str, Any]) -> list[Figure]:
    """The figures in the content of a `metrics.json`."""
    return [Figure(**figure) for figure in metrics["figures"]]


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table, its columns in line; numbers with what digits they need."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    lines = [list(columns), ["-" * width for width in widths], *cells]
    return "\n".join(f"| {' | '.join(cell.ljust(w) for cell, w in zip(line, widths, strict=True))} |" for line in lines)


def _figure_table(rows: Sequence[tuple[str, str, Figure]]) -> str:
    with_detector = any(figure.detector for _, _, figure in rows)
    columns = [*_COLUMNS, *_DETECTOR_COLUMNS * with_detector]
    return table(columns, [_row(*row, with_detector) for row in rows])


def _row(name: str, benchmark: str, figure: Figure, with_detector: bool) -> list[str]:
    ours = f"{figure.value:.1f}" + (f" ± {figure.spread:.1f}" if figure.spread is not None else "")
    pair = [ours, published_beside(benchmark, figure)]
    empty = ["", ""] * with_detector
    values = [*empty, *pair] if figure.detector else [*pair, *empty]
    return [name, figure.protocol, f"{figure.count:,} {figure.unit}", figure.metric, *values]


def _left_out(records: Sequence[Mapping[str, str]]) -> list[str]:
    """How many records were left out, and the first of them by name."""
    if not records:
        return []
    named = [f"- {LeftOut(**record)}" for record in records[:NAMED_LEFT_OUT]]
    more = [f"- and {len(records) - len(named)} more, in metrics.json"] if len(records) > len(named) else []
    return [f"## Left out: {len(records)}", "\n".join([*named, *more])]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
