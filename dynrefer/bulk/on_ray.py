"""The same shards on a Ray cluster, by Ray Data: actors that load the model once, each shard a block of its own.

A shard is what Ray hands out, hands out again when its worker dies, and holds back while all actors are busy; its part
is written by the actor, so that nothing but a shard's number and tally travels back. Needs requirements-scale.txt.
"""

from __future__ import annotations

import logging
import pickle
import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from dynrefer.bulk.engine import Describer, Job, Numbered, Outcome
from dynrefer.errors import InputError, shown

CONNECT_SECONDS = 10
IN_FLIGHT = 1  # shards an actor has at a time: one that waits behind another could be somebody else's


class _Actor:
    """Lives in a Ray actor: one loaded model."""

    def __init__(self, job: Job, threads: int) -> None:
        self._describer = Describer(job, threads)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of one pickled shard -> what became of it."""
        number, shard = pickle.loads(batch["shard"][0])
        return {"outcome": [pickle.dumps(self._describer.describe(number, shard, lambda *_: None))]}


def check_actors(typed: str) -> tuple[int, int]:
    """How many models at least and at most, of "4" or "2-8". Raises InputError where it is neither."""
    count = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", typed)
    if count is None:
        raise InputError(f'--actors must be a number or two such as 2-8, not "{shown(typed)}"')
    return int(count[1]), int(count[2] or count[1])


def run_on_ray(
    job: Job,
    shards: Sequence[Numbered],
    address: str,
    actors: tuple[int, int] = (1, 1),
    cpus: float = 1,
    gpus: float = 0,
) -> Iterator[Outcome]:
    """Describe the shards on the cluster at `address`, "local" for one started here; yields each part's outcome.

    Args:
        actors: how many at a time, the fewest and the most.
        cpus, gpus: each actor's share; 0.5 GPUs lets two actors share one.

    Raises InputError where Ray is not installed or no cluster answers.
    """
    if not shards:
        return
    ray = _connected(address)
    try:
        yield from _outcomes(ray, job, shards, actors, cpus, gpus)
    finally:
        ray.shutdown()


def _connected(address: str) -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install -r requirements-scale.txt") from error
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdecimal():  # Ray itself would try for a quarter of an hour
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        ray.init(address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"no Ray cluster answers at {shown(address)} ({shown(error, 100)})") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False  # the run's own report tells how far it is
    return ray


def _outcomes(
    ray: Any, job: Job, shards: Sequence[Numbered], actors: tuple[int, int], cpus: float, gpus: float
) -> Iterator[Outcome]:
    rows = [{"shard": pickle.dumps(shard)} for shard in shards]
    described = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Actor,
        fn_constructor_args=(job, max(1, int(cpus))),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(
            min_size=actors[0], max_size=actors[1], max_tasks_in_flight_per_actor=IN_FLIGHT
        ),
        num_cpus=cpus,
        num_gpus=gpus,
    )
    try:
        for row in described.iter_rows():
            yield pickle.loads(row["outcome"])
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error.__cause__ or error
        raise InputError(f"the cluster ended the run: {shown(cause, 300)}") from error
