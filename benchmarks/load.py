"""Many people at once: `python -m benchmarks.load [--clients 20] [--minutes 5]`.

First one question after another, alone and beside a batch of 80 boxes. Then every client asks at random, as fast as it
is answered: single questions, batches, several photographs in one request; some leave without waiting. Every answer is
compared with the one that the same question got when nobody else asked. Exits with 1 when an answer was wrong or lost,
or when a single question beside the batch took more than twice its time alone and one region's.
"""

import argparse
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import QueueError

from benchmarks.page import Box, examples, gibibytes, photographs, serving

BATCH = 80
SINGLES = 6
SHARE_LEAVING = 0.1
SECONDS_TO_LEAVE = 1.0  # at most: some are in the queue then, some under way
PAUSE_AFTER_REFUSAL = 1.0


@dataclass(frozen=True)
class Question:
    """What one request asks: an endpoint, photographs, and a list of boxes for each."""

    endpoint: str
    photos: tuple[Path, ...]
    boxes: tuple[tuple[Box, ...], ...]

    @property
    def data(self) -> tuple[Any, Any, None]:
        """The arguments of the endpoint."""
        files = [handle_file(photo) for photo in self.photos]
        return (files, self.boxes, None) if self.endpoint == "/refer_many" else (files[0], self.boxes[0], None)


@dataclass
class Outcomes:
    """What became of the questions; seconds waited for the answers, by endpoint and number of boxes."""

    counts: Counter[str] = field(default_factory=Counter)
    waited: dict[str, list[float]] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, question: Question, right: bool, seconds: float) -> None:
        """Note an answer."""
        kind = f"{question.endpoint} of {sum(map(len, question.boxes))}"
        with self.lock:
            self.counts["right" if right else "wrong"] += 1
            self.waited.setdefault(kind, []).append(seconds)

    def note(self, what: str, sentence: str | None = None) -> None:
        """Note a question without an answer."""
        with self.lock:
            self.counts[what] += 1
            self.refusals.update([sentence] if sentence else [])


def questions() -> list[Question]:
    """Single boxes, all boxes of the gallery on each photograph that holds some, and several photographs at once."""
    boxes: dict[Path, tuple[Box, ...]] = {}
    for photograph, box in examples():
        boxes[photograph] = (*boxes.get(photograph, ()), box)
    single = [Question("/refer", (photograph,), ((box,),)) for photograph, box in examples()]
    batches = [Question("/refer", (photo,), (several * 4,)) for photo, several in boxes.items() if len(several) > 1]
    three = photographs()[:3]
    many = Question("/refer_many", tuple(photo for photo, _ in three), tuple((box,) for _, box in three))
    return [*single, *batches, many]


def grid(count: int) -> tuple[Box, ...]:
    """Different boxes on any photograph of the gallery."""
    return tuple((4.0 * place, 2.0 * place, 4.0 * place + 150, 2.0 * place + 120) for place in range(count))


def ask(client: Client, question: Question) -> Any:
    """The answer without what differs from run to run."""
    return plain(client.predict(*question.data, api_name=question.endpoint))


def plain(answer: Any) -> Any:
    """Without times."""
    if isinstance(answer, list):
        return [plain(part) for part in answer]
    return {key: value for key, value in answer.items() if key != "timing_ms"}


def same(first: Any, second: Any) -> bool:
    """Equal, numbers to a thousandth: two threads may add floats in another order."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return abs(first - second) < 1e-3 if isinstance(first, float) else bool(first == second)


def seconds_a_question(client: Client, chosen: Sequence[Question]) -> list[float]:
    """How long single questions take, one after another."""
    waited = []
    for question in chosen:
        start = time.monotonic()
        ask(client, question)
        waited.append(time.monotonic() - start)
    return waited


def beside_a_batch(address: str) -> bool:
    """Print how long a single question takes alone and beside somebody's batch; whether that is fair."""
    client, other = Client(address, verbose=False), Client(address, verbose=False)
    single = [question for question in questions() if question.boxes == ((question.boxes[0][0],),)][:SINGLES]
    (photograph, _), *_ = photographs()
    seconds_a_question(client, single)
    alone = statistics.median(seconds_a_question(client, single))
    (eight,) = seconds_a_question(client, [Question("/refer", (photograph,), (grid(8),))])
    batch = other.submit(*Question("/refer", (photograph,), (grid(BATCH),)).data, api_name="/refer")
    while batch.status().code.name not in ("PROCESSING", "ITERATING", "FINISHED"):
        time.sleep(0.05)
    waited: list[float] = []
    while not batch.done():
        waited += seconds_a_question(client, single[len(waited) % SINGLES :][:1])
    batch.result()
    waited = waited[:-1] or waited  # the last one may have outlived the batch
    limit = 2 * alone + eight / 8
    beside = statistics.median(waited)
    print(
        f"a single question: {alone:.2f} s alone; beside a batch of {BATCH} boxes {beside:.2f} s median, "
        f"{max(waited):.2f} s at most, over {len(waited)} questions (at most {limit:.2f} s is fair)"
    )
    return beside <= limit


def keep_asking(
    address: str, expected: Sequence[tuple[Question, Any]], until: float, outcomes: Outcomes, seed: int
) -> None:
    """One client: asks at random until the time is over, and sometimes leaves without waiting."""
    client, chance = Client(address, verbose=False), random.Random(seed)
    while time.monotonic() < until:
        question, answer = chance.choice(expected)
        start = time.monotonic()
        try:
            if chance.random() < SHARE_LEAVING:
                left = client.submit(*question.data, api_name=question.endpoint)
                time.sleep(chance.uniform(0, SECONDS_TO_LEAVE))
                left.cancel()
                outcomes.note("left")
                client = Client(address, verbose=False)
                continue
            right = same(ask(client, question), answer)
        except (AppError, QueueError) as refusal:
            outcomes.note("refused", str(refusal))
            time.sleep(PAUSE_AFTER_REFUSAL)
        else:
            outcomes.answered(question, right, time.monotonic() - start)


def main() -> int:
    """Ask, compare and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5, help="0 for the batch of 80 alone")
    arguments = parser.parse_args()
    outcomes = Outcomes()
    with serving() as (address, process):
        fair = beside_a_batch(address)
        if not arguments.minutes:
            return 0 if fair else 1
        alone = Client(address, verbose=False)
        expected = [(question, ask(alone, question)) for question in questions()]
        before, until = gibibytes(process), time.monotonic() + 60 * arguments.minutes
        memory = [before]
        with ThreadPoolExecutor(arguments.clients) as pool:
            clients = [
                pool.submit(keep_asking, address, expected, until, outcomes, seed) for seed in range(arguments.clients)
            ]
            while time.monotonic() < until:
                time.sleep(5)
                memory.append(gibibytes(process))
        lost = [str(client.exception()) for client in clients if client.exception()]
    print(f"{arguments.clients} clients, {arguments.minutes:g} minutes: {dict(outcomes.counts)}")
    print(f"{len(lost)} lost {lost}; refusals: {dict(outcomes.refusals)}")
    for kind, waited in sorted(outcomes.waited.items()):
        print(
            f"{kind} boxes: {statistics.median(waited):.1f} s median, {max(waited):.1f} s at most, {len(waited)} asked"
        )
    print(f"resident memory {before:.2f} GiB before, {memory[-1]:.2f} at the end, {max(memory):.2f} at most")
    return 1 if lost or outcomes.counts["wrong"] or not outcomes.counts["right"] or not fair else 0


if __name__ == "__main__":
    sys.exit(main())
