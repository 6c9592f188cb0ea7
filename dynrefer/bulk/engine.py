"""Shards described one after the other, by one process or by several of one machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait

import cv2
import torch

from dynrefer.bulk.output import Format, Output
from dynrefer.bulk.rows import Row, Tally, Task, rows
from dynrefer.bulk.shards import Entry, Shard
from dynrefer.devices import freed_memory_returned, usable_cores
from dynrefer.errors import InputError
from dynrefer.predictor import Predictor

TICK_SECONDS = 1.0
TRIES = 2  # processes that may end over one shard

Numbered = tuple[int, Shard]
Tell = Callable[[int, Tally], None]
"""Called from time to time with a part's number and what became of its photographs so far."""


class UnreadableError(InputError):
    """A shard that cannot be described; the others can."""


Outcome = tuple[int, Tally | UnreadableError]
"""A part's number and what became of it."""


@dataclass(frozen=True)
class Job:
    """All that a process needs to describe a run's shards, wherever it runs."""

    task: Task
    out: str
    form: Format
    fingerprint: str
    model: str | None = None
    device: str | None = None
    dtype: str | None = None


class Describer:
    """One loaded model that describes shards."""

    def __init__(self, job: Job, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
            cv2.setNumThreads(threads)
        self._task = job.task
        self._output = Output(job.out, job.form)
        self.predictor = Predictor.from_pretrained(job.model, job.device, job.dtype)
        if self.predictor.checkpoint.fingerprint != job.fingerprint:
            raise InputError("the model here is another than the one that the run began with; install the same")

    def describe(self, number: int, shard: Shard, tell: Tell) -> Outcome:
        """Write the shard's part, if it can be described. Raises InputError where nothing can be done at all."""
        tally = Tally()
        tell(number, tally)
        try:
            with freed_memory_returned(), closing(rows(self.predictor, _read(shard), self._task, tally)) as made:
                self._output.write(number, _telling(made, partial(tell, number, tally)))
        except UnreadableError as error:
            return number, error
        return number, tally


def _telling(made: Iterator[Row], tell: Callable[[], None]) -> Iterator[Row]:
    """The same rows; from time to time it is told how far they are."""
    told = time.monotonic()
    for row in made:
        yield row
        if time.monotonic() - told > TICK_SECONDS:
            tell()
            told = time.monotonic()


def _read(shard: Shard) -> Iterator[Entry]:
    try:
        yield from shard.entries()
    except InputError as error:
        raise UnreadableError(str(error)) from error


def run_here(job: Job, shards: Sequence[Numbered], tell: Tell) -> Iterator[Outcome]:
    """Describe the shards in this process; yields each part's number with what became of it."""
    if not shards:
        return
    describer = Describer(job)
    for number, shard in shards:
        yield describer.describe(number, shard, tell)


def run_processes(job: Job, shards: Sequence[Numbered], count: int, tell: Tell) -> Iterator[Outcome]:
    """The same by `count` processes with the processor's cores shared between them.

    A process that ends over a shard, for example for want of memory, is replaced, and the shard tried once more.
    """
    threads = max(1, usable_cores() // count)
    waiting, losses = deque(shards), Counter[int]()
    workers = [_Worker(job, threads) for _ in range(count)]
    try:
        while waiting or any(worker.shard for worker in workers):
            for worker in workers:
                if worker.shard is None and waiting:
                    worker.give(waiting.popleft())
            heard = wait([worker.connection for worker in workers])
            for place, worker in enumerate(workers):
                if worker.connection not in heard:
                    continue
                try:
                    if (outcome := worker.outcome(tell)) is not None:
                        yield outcome
                except EOFError:
                    told = worker.how_it_ended()
                    lost, workers[place] = worker.shard, _Worker(job, threads)
                    if lost is None:
                        continue
                    losses[lost[0]] += 1
                    if losses[lost[0]] < TRIES:
                        waiting.appendleft(lost)
                    else:
                        yield lost[0], UnreadableError(f"{told} {TRIES} times while it was described")
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()


class _Worker:
    """A process with a model, and the shard it is at."""

    def __init__(self, job: Job, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # a forked process must not use torch's threads
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(job, threads, other), name="describe", daemon=True)
        self.process.start()
        other.close()
        self.shard: Numbered | None = None
        self._began = False

    def give(self, shard: Numbered) -> None:
        """Let it describe a shard."""
        self.shard = shard
        with suppress(OSError):  # it is gone, which shows when it is listened to
            self.connection.send(shard)

    def outcome(self, tell: Tell) -> Outcome | None:
        """What it says about its shard, None while it is at it. Raises EOFError where it ended."""
        try:
            number, said, is_done = self.connection.recv()
        except OSError as error:
            raise EOFError from error
        self._began = True
        if not is_done:
            tell(number, said)
            return None
        self.shard = None
        if isinstance(said, InputError) and not isinstance(said, UnreadableError):
            raise said
        return number, said

    def how_it_ended(self) -> str:
        """In words. Raises InputError where it did not even begin with its shard."""
        self.process.join()
        code = self.process.exitcode or 0
        told = "the process was killed" if code == -signal.SIGKILL else f"the process ended (exit code {code})"
        if self.shard is not None and not self._began:
            raise InputError(f"{told} before it began; is there too little memory for so many --workers?")
        return told


def _work(job: Job, threads: int, connection: Connection) -> None:
    """A process's life: shards come, what became of them goes. Ends with the run's own process, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run's own process ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(number: int, tally: Tally) -> None:
        connection.send((number, tally, False))

    with suppress(EOFError, OSError):  # it is gone
        describer: Describer | None = None
        while True:
            number, shard = connection.recv()
            said: Tally | InputError
            try:
                describer = describer or Describer(job, threads)
                _, said = describer.describe(number, shard, tell)
            except InputError as error:
                said = error
            connection.send((number, said, True))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
