"""The command `describe`: an input -> a folder of finished parts, where a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import math
import os
from typing import Any

import torch

from dynrefer.bulk.engine import Job, Numbered, run_here, run_processes
from dynrefer.bulk.inputs import Plan, read_boxes, read_input
from dynrefer.bulk.on_ray import check_actors, run_on_ray
from dynrefer.bulk.output import Format, Manifest, Output
from dynrefer.bulk.report import Report
from dynrefer.bulk.rows import Task, What
from dynrefer.bulk.shards import FileShard, ParquetShard
from dynrefer.bulk.storage import is_remote, joined
from dynrefer.checkpoint import find_checkpoint, fingerprint_of
from dynrefer.devices import usable_cores
from dynrefer.errors import InputError
from dynrefer.files.tables import read_words
from dynrefer.formats.box_files import BoxFile
from dynrefer.proposals import FOUND, check_limit, check_words
from dynrefer.question import Question

ALL_DESCRIBED, SOME_FAILED = 0, 3
SHARD_SIZE, SMALLEST_SHARD = 100, 10  # photographs a part, where nobody says how many
SHARDS_A_WORKER = 2  # at least, where photographs are few


def describe(
    path: str,
    out: str,
    boxes: str | None = None,
    form: Format = "jsonl",
    shard_size: int | None = None,
    only_missing: bool = False,
    workers: int | None = None,
    ray: str | None = None,
    actors: str = "1",
    cpus: float = 1,
    gpus: float = 0,
    model: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    **question: Any,
) -> int:
    """Describe an input's photographs into a folder of parts; one that is there already is not made again.

    Args:
        path: what to describe, see `dynrefer.bulk.inputs.read_input`.
        out: the folder, here or behind an address.
        boxes: a file of boxes.
        form: of the parts. shard_size: photographs a part; None for SHARD_SIZE, or fewer so that no core is idle.
        only_missing: go on where the input has more photographs than when the run began.
        workers: processes on this machine; None for as many as are fast.
        ray: address of a Ray cluster, or "local" for one on this machine.
        actors: how many models there, "4" or "2-8" for the fewest and the most; cpus, gpus: the share of each.
        question: what of each photograph is described, and what is asked about it, see `task_of`.

    Returns the exit code: 0 where all was described, 3 where some failed; these are rows with an error, and named.
    Raises InputError where nothing could be done, or not all; parts that are finished stay.
    """
    for name, value in (("--shard-size", shard_size), ("--workers", workers)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be 1 or more")
    models = check_actors(actors)
    path, out = (place.removeprefix("file://") for place in (path, out))
    if ray is not None:  # whose workers are in another folder
        path, out = (place if is_remote(place) else os.path.abspath(place) for place in (path, out))
    output, file, task = Output(out, form), None if boxes is None else read_boxes(boxes), task_of(**question)
    job = Job(task, out, form, fingerprint_of(find_checkpoint(model)), model, device, dtype)
    count = workers or _fast_workers(device)
    with output.locked():
        manifest = output.manifest()
        if manifest is not None:
            shard_size = shard_size or manifest.asked.get("shard_size")
            manifest.check(_asked(job, file, shard_size), out)
        plan, shard_size = _shards(path, shard_size, file, task.what == "boxes", count if ray is None else 1)
        manifest = manifest or Manifest(_asked(job, file, shard_size))
        _check_outside(plan, out)
        shards = planned(manifest, plan, output, only_missing)
        output.save(manifest)
        report = Report(plan.remarks, plan.left_out, len(output.finished()), output.failed(), shards)
        count = min(count, len(shards))
        if ray is not None:
            outcomes = run_on_ray(job, shards, ray, models, cpus, gpus)
        elif count > 1:
            outcomes = run_processes(job, shards, count, report.tell)
        else:
            outcomes = run_here(job, shards, report.tell)
        return SOME_FAILED if report.follow(outcomes) else ALL_DESCRIBED


def task_of(
    whole: bool = False,
    everything: bool = False,
    find: str | None = None,
    most: int = Task.most,
    least: float | None = None,
    **options: Any,
) -> Task:
    """What the command line asks about every photograph.

    Args:
        whole: describe each photograph as one region. everything: the things that the model finds. find: those that
            these words name. Without any of them the input has the boxes.
        most: things a photograph, where they are looked for; least: the score from which one is
            described; None as on the page: FOUND for what words name, otherwise see `things`.
        options: what is asked of every region, see `Question.typed`.

    Raises InputError where a value cannot be used.
    """
    what: What = "whole" if whole else "everything" if everything else "boxes" if find is None else "find"
    words = (check_words(read_words(find)) or ()) if find is not None else ()
    if least is None:
        least = FOUND if what == "find" else Task.least
    if not 0 <= least <= 1:
        raise InputError(f"--min-score must be from 0 to 1, not {least:g}")
    return Task(what, words, check_limit(most), least, Question.typed(**options))


def _asked(job: Job, boxes: BoxFile | None, shard_size: int | None) -> dict[str, Any]:
    """What has to stay the same when a run goes on."""
    task = job.task
    return {
        "model": job.fingerprint,
        "dtype": job.dtype,
        "question": task.question.model_dump(mode="json", exclude_defaults=True),
        "what": {"kind": task.what, "words": list(task.words), "most": task.most, "least": task.least},
        "boxes": None if boxes is None else _digest(boxes),
        "format": job.form,
        "shard_size": shard_size,
    }


def planned(manifest: Manifest, plan: Plan, output: Output, only_missing: bool) -> list[Numbered]:
    """The shards that are still to be described, with the numbers of their parts; notes the plan in the manifest.

    Raises InputError where the input is another than the run's, unless `only_missing`.
    """
    finished, plans = output.finished(), manifest.plans
    if plans and plans[-1]["digest"] != plan.digest and not only_missing:
        raise InputError(
            "the input has other photographs than when this run began; --only-missing describes those that are new, "
            "or choose another --out"
        )
    if len(plans) == 1 and plans[0]["digest"] == plan.digest:
        return [(number, shard) for number, shard in enumerate(plan.shards) if number not in finished]
    first = manifest.next_part
    if plans:
        plan = plan.without(output.photographs(), manifest.described(finished))
    if plan.shards or not plans or plans[-1]["digest"] != plan.digest:
        parts = [None if isinstance(shard, FileShard) else shard.part for shard in plan.shards]
        plans.append({"first": first, "digest": plan.digest, "parts": parts})
    return list(enumerate(plan.shards, start=first))


def _shards(path: str, size: int | None, boxes: BoxFile | None, needs_boxes: bool, workers: int) -> tuple[Plan, int]:
    """The input's shards and their size, which is chosen where none is given: few photographs keep all workers busy."""
    plan = read_input(path, size or SHARD_SIZE, boxes, needs_boxes)
    if size is not None or workers == 1 or plan.photographs >= SHARDS_A_WORKER * workers * SHARD_SIZE:
        return plan, size or SHARD_SIZE
    size = max(SMALLEST_SHARD, math.ceil(plan.photographs / (SHARDS_A_WORKER * workers)))
    return read_input(path, size, boxes, needs_boxes), size


def _fast_workers(device: str | None) -> int:
    """One process a core, which is faster than one with all cores; one alone where a GPU is."""
    if device not in (None, "cpu") or (device is None and torch.cuda.is_available()):
        return 1
    return usable_cores()


def _check_outside(plan: Plan, out: str) -> None:
    """Raise InputError where parts that are written would be among the next run's input."""
    files = [joined(shard.root, shard.file) for shard in plan.shards if isinstance(shard, ParquetShard)]
    inside = os.path.join(os.path.abspath(out), "")
    if not is_remote(out) and any(os.path.abspath(file).startswith(inside) for file in files):
        raise InputError("the parts would be described themselves another time; choose an --out outside of the input")


def _digest(file: BoxFile) -> str:
    """Names what a file of boxes says."""
    digest = hashlib.blake2b(digest_size=16)
    for group in file.photographs:
        digest.update(repr((group.name, group.stated_size, [record.box for record in group.boxes])).encode())
    return digest.hexdigest()
