"""Threads: whose turn it is at the network, which of them computes, and what another makes ahead."""

from __future__ import annotations

import atexit
import os
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from itertools import count
from queue import SimpleQueue
from typing import Any, ClassVar, TypeVar
from weakref import WeakSet

import torch

HAS_A_CORE = 0.75  # share of the time for which a thread that computes has a core where no other program wants it
MODEST_LOOKS = 16  # at most, on one core after one that had to wait for it; at first 2, then twice as many
T = TypeVar("T")


class _OfOneProcess(ABC):
    """What threads share: begun anew in a forked process, where the threads that held it are not."""

    def __init__(self) -> None:
        self._begin()
        _of_this_process.add(self)

    @abstractmethod
    def _begin(self) -> None:
        """Take nothing over from before."""


_of_this_process: WeakSet[_OfOneProcess] = WeakSet()


class Turns(_OfOneProcess):
    """A lock that goes to those who wait for it in the order in which they came; not to be taken twice."""

    def _begin(self) -> None:
        self.changed = threading.Condition()
        self._numbers = count()
        self._line: list[int] = []
        """Numbers of those who came, the first of whom has the turn."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return max(0, len(self._line) - 1)

    def give_way(self) -> None:
        """Let those who wait now come first, and go on after them."""
        if self.waiting:
            self.__exit__()
            self.__enter__()

    def __enter__(self) -> None:
        with self.changed:
            number = next(self._numbers)
            self._line.append(number)
            self.changed.notify_all()
            try:
                self.changed.wait_for(lambda: self._line[0] == number)
            except BaseException:  # an interrupt: the turn must not come to somebody who is gone
                self._line.remove(number)
                self.changed.notify_all()
                raise

    def __exit__(self, *_error: object) -> None:
        with self.changed:
            del self._line[0]
            self.changed.notify_all()


class Worker(_OfOneProcess):
    """A thread that does one job after the other.

    No executor's: those take nothing once the main thread has come to its end, when other threads may still ask.
    """

    under_way: ClassVar[set[Future[Any]]] = set()
    """The jobs of all workers. One that computes while Python itself ends would abort the process: its end waits."""
    is_ending = False

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def _begin(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """The result to come. While Python ends, threads that it does not wait for (daemons) end here."""
        done: Future[T] = Future()

        def do() -> None:
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(job())
                except BaseException as error:  # whatever it is, it comes to who asked
                    done.set_exception(error)

        self.under_way.add(done)
        done.add_done_callback(self.under_way.discard)
        if self.is_ending and threading.current_thread().daemon:
            done.cancel()
            raise SystemExit
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put(do)
        return done

    def end(self) -> None:
        """Let the thread end after the jobs it has, and wait for that."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # what it gave is not kept until the next


def _begin_in_fork() -> None:
    Worker.under_way.clear()
    for one in _of_this_process:
        one._begin()


@atexit.register
def _end() -> None:
    Worker.is_ending = True
    wait(list(Worker.under_way))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_fork)


class ComputingThread(_OfOneProcess):
    """A thread in which PyTorch computes for all others, so that no other does; on one core while programs share them.

    OpenMP's threads wait for the next product busily only as long as it knows of no more of them than there are cores,
    and every thread that ever computed counts with its own until it ends, so that products in the askers' own threads
    wait for threads that sleep.

    While other programs take the cores, waiting busily is a waste: each of a region's 400 products is over when its
    slowest part is, which may be without a core for milliseconds. One core then is faster than several.
    """

    def __init__(self) -> None:
        self._worker = Worker("computing")
        super().__init__()

    def _begin(self) -> None:
        self._is_free = threading.Lock()
        self._modest, self._next_modest = 0, 2

    def run(self, job: Callable[[], T]) -> T:
        """What `job` gives or raises, computed on as many cores as PyTorch takes in the caller's thread, or on one.

        While another job is in the thread, this one gets a thread that ends with it. An interrupt comes to the caller
        when the job is over.
        """
        cores = torch.get_num_threads()

        def run() -> T:
            _take_cores(1 if self._modest else cores, cores)
            return job()

        if not self._is_free.acquire(blocking=False):
            another = Worker("computing-too")
            try:
                return _outcome(another.submit(run))
            finally:
                another.end()
        try:
            return _outcome(self._worker.submit(run))
        finally:
            self._is_free.release()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look whether this thread has a core all the time it computes inside; else the next jobs take only one."""
        began, computed = time.perf_counter(), time.thread_time()
        yield
        if time.thread_time() - computed < HAS_A_CORE * (time.perf_counter() - began):
            self._modest, self._next_modest = self._next_modest, min(2 * self._next_modest, MODEST_LOOKS)
        elif self._modest:
            self._modest -= 1
        else:
            self._next_modest = 2


def _take_cores(cores: int, others: int) -> None:
    """Let this thread compute on `cores`, and threads that have not computed yet on `others`."""
    if torch.get_num_threads() != cores:
        torch.set_num_threads(cores)
        # A thread that computes for the first time takes, for good, the number that was set last by any.
        other = threading.Thread(target=torch.set_num_threads, args=(others,))
        other.start()
        other.join()


def _outcome(done: Future[T]) -> T:
    """What a job gave or raised. Interrupts, however many, wait for its end; the last of them then comes instead."""
    interrupt: BaseException | None = None
    while not done.done():
        try:
            wait([done])
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
    return done.result()


computing = ComputingThread()


def made_ahead(items: Iterator[T], most: int) -> Iterator[T]:
    """The same items, of which a thread of its own makes up to `most` before they are asked for.

    An error comes where its item would have. Closing this iterator ends the thread after the item it is at.
    """
    end, worker = object(), Worker("made-ahead")
    make = partial(next, items, end)
    coming: deque[Future[Any]] = deque()
    try:
        coming.extend(worker.submit(make) for _ in range(most))
        while (item := coming.popleft().result()) is not end:
            coming.append(worker.submit(make))
            yield item
    finally:
        for future in coming:
            future.cancel()
        worker.end()
