"""Every command's arguments, and what it calls; nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from dynrefer.errors import InputError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def parser() -> argparse.ArgumentParser:
    """What is parsed has `run`, to be called with the rest of it, and `verbose` where a command tells its progress."""
    parser = argparse.ArgumentParser(prog="python -m dynrefer", description="Point at a region; read what it is.")
    parser.set_defaults(verbose=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        *(_add_refer, _add_describe, _add_export, _add_serve, _add_label_studio, _add_project, _add_teach),
        *(_add_data, _add_train, _add_evaluate, _add_convert, _add_publish),
    ):
        add(commands)
    for command in commands.choices.values():
        command.set_defaults(command=command)
    return parser


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of a command; who gave one that it does not know is shown how that command is used."""
    given, unknown = parser().parse_known_args(arguments)
    if unknown:
        given.command.error(f"unrecognized arguments: {' '.join(unknown)}")
    del given.command
    return given


def imported(module: str) -> Any:
    """A module, imported without looking for garbage in between, of which there is none: a quarter faster.

    What it brought along stays as long as the program, so that nobody looks through it later either.
    """
    if module not in sys.modules and gc.isenabled():
        gc.disable()
        try:
            import_module(module)
        finally:
            gc.freeze()
            gc.enable()
    return import_module(module)


def later(module: str, function: str) -> Callable[..., Any]:
    """A function that is imported when it is called."""
    return lambda **given: getattr(imported(module), function)(**given)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="checkpoint folder or Hub id (default: DYNREFER_MODEL or dynrefer-mini)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16 (default: by device)")


def _add_segmenter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--segmenter",
        help="folder or Hub id of an EdgeTAM, SAM 2 or SAM for masks of what is pointed at (default: "
        "DYNREFER_SEGMENTER, or none)",
    )


def _add_question(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group(
        "what is asked of a region",
        "Without an option the model's own setting holds; that of dynrefer-mini is in brackets.",
    ).add_argument
    add("--classes", help="names to choose the class from, separated by commas, or a text file of them (everyday ones)")
    add("--controls", metavar="WORDS", help="words that the caption has to mention, separated by commas")
    add(
        "--coefficients",
        metavar="T",
        help="views by hand: 0 is the region, 1 the photograph; the first is always 0, for example 0,0.2,0.5",
    )
    add("--views", type=int, dest="num_views", metavar="N", help="how many views to look at, 1 to 3 (3)")
    add("--mode", help="how they are chosen: dynamic, prior:caption, prior:attributes, manual or random (dynamic)")
    add("--tag-threshold", type=float, metavar="SCORE", help="show tags from this score on, 0 to 1 (0.75)")
    add("--top-classes", type=int, default=5, metavar="N", help="how many class names to show (5)")
    add(
        "--beams", type=int, dest="num_beams", metavar="N", help="sentences that compete to be the caption, 1 to 10 (3)"
    )


def _add_refer(commands: Commands) -> None:
    parser = commands.add_parser(
        "refer",
        help="describe regions of a photograph",
        epilog="Exit code: 0 every box was answered; 3 some boxes or photographs were left out, each named at the end; "
        "2 nothing could be done. See docs/files.md for the files that are read.",
    )
    parser.add_argument(
        "photo", type=Path, nargs="?", help="photograph, or with --boxes a folder with photographs at any depth"
    )
    parser.add_argument("--box", nargs="+", action="append", default=[], metavar="X", help="X1 Y1 X2 Y2 in pixels")
    parser.add_argument("--point", nargs="+", metavar="X", help="X Y in pixels: the thing at this place")
    parser.add_argument("--points", help='several places: "X,Y X,Y X,Y,out"; out is beside the thing')
    parser.add_argument("--scribble", metavar="POINTS", help='a line drawn over the thing: "X,Y X,Y X,Y"')
    parser.add_argument(
        "--mask", type=Path, metavar="FILE", help="an image of the photograph's size, white on the thing"
    )
    parser.add_argument("--find", metavar="WORDS", help="describe the things that these words name, best first")
    parser.add_argument("--everything", action="store_true", help="describe what stands out, 12 things at most")
    parser.add_argument("--boxes", type=Path, help="file, folder or .zip of boxes in any format of docs/files.md")
    parser.add_argument("--out", type=Path, help="write the answers to this file or folder, see --format")
    parser.add_argument("--format", help="of --out: coco, yolo, voc, ... (default: by its ending); see docs/files.md")
    _add_question(parser)
    parser.add_argument("--json", dest="json_out", metavar="FILE", help="write JSON to this file, - for the screen")
    _add_model(parser)
    _add_segmenter(parser)
    parser.set_defaults(run=later("dynrefer.cli.refer", "refer"))


def _add_describe(commands: Commands) -> None:
    parser = commands.add_parser(
        "describe",
        help="describe many photographs into a folder; the same command goes on where it was stopped",
        epilog="Exit code: 0 all was described; 3 some boxes or photographs failed, which are rows with an error; "
        "2 nothing could be done. See docs/scale.md.",
    )
    parser.add_argument(
        "path", metavar="INPUT", help="folder, list, box file, .parquet or .tar; also s3://, gs://, ..."
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write, also behind an address")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--boxes", metavar="FILE", help="file, folder or .zip of boxes, see docs/files.md")
    where.add_argument("--whole", action="store_true", help="each photograph as one region")
    where.add_argument("--everything", action="store_true", help="the things that the model finds")
    where.add_argument(
        "--find", metavar="WORDS", help="those that words name, separated by commas, or a text file of them"
    )
    parser.add_argument(
        "--most",
        type=int,
        default=20,
        metavar="N",
        help="things per photograph, for --everything or --find (default: 20)",
    )
    parser.add_argument(
        "--min-score",
        type=float,
        dest="least",
        metavar="SCORE",
        help="least score of such a thing, 0 to 1 (default: 0.5 of --find, 0 of --everything)",
    )
    parser.add_argument(
        "--format", dest="form", choices=("jsonl", "parquet"), default="jsonl", help="of the parts (default: jsonl)"
    )
    parser.add_argument("--shard-size", type=int, metavar="N", help="photographs per part (default: 100 at most)")
    parser.add_argument("--only-missing", action="store_true", help="go on though the input has grown")
    parser.add_argument(
        "--workers", type=int, help="processes here (default: one per core, or a single one with a GPU)"
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="Ray cluster to run on; local starts one here")
    parser.add_argument(
        "--actors", default="1", metavar="N[-M]", help="models on the cluster, fewest and most (default: 1)"
    )
    parser.add_argument("--cpus", type=float, default=1, help="cores of each of them (default: 1)")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of each of them, for example 0.5 (default: 0)")
    parser.add_argument("--no-captions", action="store_false", dest="captions", help="write no captions")
    _add_question(parser)
    _add_model(parser)
    parser.set_defaults(run=later("dynrefer.bulk.describe", "describe"))


def _add_export(commands: Commands) -> None:
    parser = commands.add_parser("export", help="turn answers or annotations into another tool's format")
    parser.add_argument("source", type=Path, help="file, folder or .zip in any format of docs/files.md")
    parser.add_argument("--out", type=Path, required=True, help="file, folder or .zip to write")
    parser.add_argument("--format", help="coco, yolo, voc, labelme, label-studio, cvat, imagefolder, json or csv")
    parser.add_argument("--photos", type=Path, help="folder of the photographs, for formats that need their sizes")
    parser.set_defaults(run=later("dynrefer.cli.regions", "export"))


def _add_serve(commands: Commands) -> None:
    parser = commands.add_parser("serve", help="serve the page and /v1, see docs/service.md")
    parser.add_argument("--host", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, help="to listen on (default: 7860)")
    parser.add_argument("--folder", type=Path, help="work through the photographs of a folder, see docs/project.md")
    parser.add_argument("--no-page", action="store_false", dest="page", help="only /v1, /health, /ready and /metrics")
    _add_model(parser)
    _add_segmenter(parser)
    parser.set_defaults(run=_serve)


def _serve(
    model: str | None,
    device: str | None,
    dtype: str | None,
    segmenter: str | None,
    folder: Path | None,
    page: bool,
    host: str | None,
    port: int | None,
) -> None:
    imported("dynrefer.ui.page" if page else "dynrefer.server.app")
    from dynrefer.predictor import Predictor
    from dynrefer.project import Project
    from dynrefer.server import app

    if folder and not page:
        raise InputError("--folder is worked through on the page; leave out --no-page.")
    project = Project(folder) if folder else None
    predictor = Predictor.from_pretrained(model, device, dtype, segmenter)
    if page:
        from dynrefer.ui.page import serve

        serve(predictor, host, port, project)
    else:
        app.serve(predictor, host, port)


def _add_label_studio(commands: Commands) -> None:
    parser = commands.add_parser(
        "label-studio", help="run as a model backend for Label Studio, see docs/label-studio.md"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=9090, help="to listen on (default: 9090)")
    parser.add_argument("--server", help="address of Label Studio (default: LABEL_STUDIO_URL or http://localhost:8080)")
    parser.add_argument("--photos", type=Path, help="folder of the photographs, where they lie on this machine")
    _add_model(parser)
    parser.set_defaults(run=_label_studio)


def _label_studio(
    model: str | None, device: str | None, dtype: str | None, server: str | None, photos: Path | None, **given: Any
) -> None:
    from dynrefer.predictor import Predictor
    from dynrefer.server.label_studio import SERVER, Backend, serve_label_studio

    if photos is not None and not photos.is_dir():
        raise InputError(f"there is no folder {photos}")
    server = server or os.environ.get("LABEL_STUDIO_URL") or SERVER
    token = os.environ.get("LABEL_STUDIO_API_KEY", "")
    serve_label_studio(Backend(Predictor.from_pretrained(model, device, dtype), server, token, photos), **given)


def _add_project(commands: Commands) -> None:
    parser = commands.add_parser("project", help="take regions of other tools into a folder's project, or write them")
    parser.add_argument("folder", type=Path, help="folder of photographs, as for app.py --folder")
    parser.add_argument("--import", type=Path, dest="take", metavar="FILE", help="file, folder or .zip of regions")
    parser.add_argument("--export", type=Path, dest="give", metavar="FILE", help="file to write; see docs/files.md")
    parser.add_argument("--format", help="of --export: coco, csv, cvat, json, yolo, ... (default: by its ending)")
    parser.set_defaults(run=later("dynrefer.cli.regions", "project"))


def _add_teach(commands: Commands) -> None:
    parser = commands.add_parser("teach", help="teach the model what a project's corrections say, see docs/project.md")
    parser.add_argument("project", type=Path, help="folder worked through with app.py --folder, or a project file")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--photos", type=Path, help="folder of the photographs (default: beside the project file)")
    parser.add_argument(
        "--check", type=Path, help="folder that `data build` wrote, of which nothing may be lost either"
    )
    parser.add_argument("--model", help="checkpoint to start from (default: DYNREFER_MODEL or dynrefer-mini)")
    parser.add_argument(
        "--names-only", action="store_true", help="train nothing: learn names from two or more examples"
    )
    parser.set_defaults(run=_teach, verbose=True)


def _teach(out: Path, **given: Any) -> None:
    try:
        from dynrefer.teaching.teach import teach
    except ModuleNotFoundError as error:
        raise InputError(f"Teaching needs the package {error.name}: pip install -r requirements-dev.txt.") from error
    taught = teach(out=out, **given)
    print(taught.report)
    if not taught.written:
        raise InputError("Nothing was won, so no checkpoint was written; correct more regions and teach again.")
    print(f"Use it with --model {out}, or on the page.")


def _add_data(commands: Commands) -> None:
    parser = commands.add_parser("data", help="turn a data set's files into training samples")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="read a data set and write samples.jsonl")
    build.add_argument(
        "dataset", help="coco, flickr-entities, flickr-regions, own, refcocog, vg or vg-coco; see docs/training.md"
    )
    build.add_argument("root", type=Path, help="folder of the data set")
    build.add_argument("--out", type=Path, required=True, help="folder to write")
    build.add_argument("--examples", type=int, default=3, help="texts of every kind to print (default: 3)")
    build.set_defaults(run=_data_build)


def _data_build(action: str, **given: Any) -> int:
    from dynrefer.datasets.build import build

    return 3 if build(**given)["skipped"] else 0


def _add_train(commands: Commands) -> None:
    parser = commands.add_parser("train", help="train or fine-tune; the same command goes on where it was stopped")
    parser.add_argument("--config", type=Path, required=True, help="for example configs/mini.json")
    parser.add_argument("--data", type=Path, required=True, help="folder that `data build` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--init", help="checkpoint folder or Hub id to start from (default: the configuration's)")
    parser.add_argument("--cache", type=Path, help="folder of cached features (default: features inside --data)")
    parser.add_argument("--max-steps", type=int, help="stop after so many steps, to go on later")
    parser.set_defaults(run=later("dynrefer.training.trainer", "train"), verbose=True)


def _add_evaluate(commands: Commands) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="run a benchmark, or `report` on finished runs",
        epilog="Exit code: 0 all was measured; 3 some records were left out, each named in the report; 2 nothing could "
        "be done. The same command goes on where it was stopped.",
    )
    parser.add_argument(
        "benchmark",
        help="captions, dense-captions, attributes, recognition, pointing, proposals, ablation; or report, of runs",
    )
    parser.add_argument("runs", nargs="*", type=Path, help="run folders, for report")
    parser.add_argument("--data", type=Path, help="folder of the data set")
    parser.add_argument("--out", type=Path, help="folder of the run")
    parser.add_argument("--views", help="dynamic, random, prior:caption, prior:attributes, t=0.3,0.5 or a number")
    parser.add_argument("--split", help="part of the data set (default: the paper's)")
    parser.add_argument("--limit", type=int, help="only so many regions")
    parser.add_argument("--classes", help="class list for recognition: separated by commas, or a text file of them")
    parser.add_argument("--boxes", type=Path, help="dense-captions: a detector's COCO result file, or own")
    parser.add_argument(
        "--min-area", type=float, default=0.0, help="captions: only of boxes above this share of the photograph, 0 to 1"
    )
    parser.add_argument(
        "--modes-only", action="store_true", help="ablation: only compare dynamic, prior and random views"
    )
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="regions at a time (default: 32)")
    parser.add_argument("--seed", type=int, default=0, help="of random views and of clicks (default: 0)")
    parser.add_argument("--rescore", action="store_true", help="score stored predictions again")
    _add_model(parser)
    parser.set_defaults(run=_evaluate, verbose=True)


def _evaluate(benchmark: str, runs: list[Path], data: Path | None, out: Path | None, **given: Any) -> int:
    from dynrefer.evaluation.report import report
    from dynrefer.evaluation.runner import BenchmarkOptions, run_benchmark
    from dynrefer.files.tables import read_words

    if benchmark == "report":
        print(report(runs))
        return 0
    if data is None or out is None or runs:
        raise InputError(f"Say `evaluate {benchmark} --data FOLDER --out FOLDER`; only `report` takes run folders.")
    if given["classes"] is not None:
        given["classes"] = read_words(given["classes"])
    metrics = run_benchmark(benchmark, data, out, BenchmarkOptions(**given))
    print((out / "report.md").read_text(encoding="utf-8"))
    return 3 if metrics["left_out"] else 0


def _add_convert(commands: Commands) -> None:
    parser = commands.add_parser("convert", help="turn the authors' released .pth into a checkpoint folder")
    parser.add_argument("released", type=Path, help="the released checkpoint, for example vg1.2_5e.pth")
    parser.add_argument("out", type=Path, help="checkpoint folder to write; must not exist yet")
    parser.add_argument("--base", help="BLIP-2 FLAN-T5-XL: folder or Hub id (default: Salesforce/blip2-flan-t5-xl)")
    parser.add_argument("--text-encoder", help="EVA-CLIP: folder or Hub id (default: timm's EVA01-g-14)")
    parser.add_argument("--tags", type=Path, help="ram_tag_list.txt, one tag per line (default: from the Hub)")
    parser.add_argument("--tag-threshold", type=float, help="show tags from this score on; 0.76 for refcocog_ft.pth")
    parser.set_defaults(run=_convert)


def _convert(released: Path, out: Path, **given: Any) -> None:
    from dynrefer.official.convert import convert

    print(convert(released, out, **{name: value for name, value in given.items() if value is not None}))


def _add_publish(commands: Commands) -> None:
    parser = commands.add_parser("publish", help="upload the app to a Hugging Face Space, or a checkpoint to the Hub")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--space", metavar="USER/NAME", help="Space for app, package and dynrefer-mini")
    target.add_argument("--checkpoint", metavar="USER/NAME", help="model repository for the checkpoint of --model")
    parser.add_argument("--model", help="checkpoint folder (default: DYNREFER_MODEL or dynrefer-mini)")
    parser.add_argument("--dry-run", action="store_true", help="only list what would go; needs no network")
    parser.add_argument("--private", action="store_true", help="make a private repository where there is none yet")
    parser.set_defaults(run=_publish)


def _publish(space: str | None, checkpoint: str | None, model: str | None, dry_run: bool, private: bool) -> None:
    from dynrefer.checkpoint import find_checkpoint
    from dynrefer.hub import publish, push_to_hub

    if space is not None:
        print(publish(space, dry_run, private=private))
    elif checkpoint is not None:
        print(push_to_hub(find_checkpoint(model), checkpoint, dry_run, private=private))
