"""Many people at once: `python -m benchmarks.load [--clients 20] [--minutes 5]`.

Every client asks about mixed photographs and boxes as fast as it is answered; every answer is compared with the one
that the same question got when nobody else asked. Exits with 1 when an answer was wrong or lost.
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

from benchmarks.page import Box, examples, gibibytes, serving

Question = tuple[Path, tuple[Box, ...]]


@dataclass
class Tally:
    """What became of the questions; seconds waited for the answers."""

    outcomes: Counter[str] = field(default_factory=Counter)
    waited: list[float] = field(default_factory=list)
    sentences: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, outcome: str, seconds: float | None = None, sentence: str | None = None) -> None:
        """Note one question."""
        with self.lock:
            self.outcomes[outcome] += 1
            self.waited += [seconds] if seconds is not None else []
            self.sentences.update([sentence] if sentence is not None else [])


def questions() -> list[Question]:
    """Single boxes, and all boxes of the gallery on each photograph that holds them."""
    boxes: dict[Path, tuple[Box, ...]] = {}
    for photograph, box in examples():
        boxes[photograph] = (*boxes.get(photograph, ()), box)
    single: list[Question] = [(photograph, (box,)) for photograph, box in examples()]
    return single + [(photograph, several) for photograph, several in boxes.items() if len(several) > 1]


def ask(client: Client, question: Question) -> Any:
    """The answer without what differs from run to run."""
    photograph, boxes = question
    answers = client.predict(handle_file(photograph), boxes, None, api_name="/refer")
    return [{key: value for key, value in answer.items() if key != "timing_ms"} for answer in answers]


def same(first: Any, second: Any) -> bool:
    """Equal, numbers to a thousandth: two threads may add floats in another order."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return abs(first - second) < 1e-3 if isinstance(first, float) else bool(first == second)


def keep_asking(address: str, expected: Sequence[tuple[Question, Any]], until: float, tally: Tally, seed: int) -> None:
    """One client: asks at random until the time is over."""
    client, chance = Client(address, verbose=False), random.Random(seed)
    while time.monotonic() < until:
        question, answer = chance.choice(expected)
        start = time.monotonic()
        try:
            right = same(ask(client, question), answer)
        except (AppError, QueueError) as refusal:
            tally.count("refused", sentence=str(refusal))
            time.sleep(1)
        else:
            tally.count("right" if right else "wrong", time.monotonic() - start)


def main() -> int:
    """Ask, compare and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5)
    arguments = parser.parse_args()
    tally = Tally()
    with serving() as (address, process):
        alone = Client(address, verbose=False)
        expected = [(question, ask(alone, question)) for question in questions()]
        before, until = gibibytes(process), time.monotonic() + 60 * arguments.minutes
        memory = [before]
        with ThreadPoolExecutor(arguments.clients) as pool:
            clients = [
                pool.submit(keep_asking, address, expected, until, tally, seed) for seed in range(arguments.clients)
            ]
            while time.monotonic() < until:
                time.sleep(5)
                memory.append(gibibytes(process))
        lost = [str(client.exception()) for client in clients if client.exception()]
    print(
        f"{arguments.clients} clients, {arguments.minutes:g} minutes: {dict(tally.outcomes)}, {len(lost)} lost {lost}"
    )
    print(f"refusals: {dict(tally.sentences)}")
    if tally.waited:
        print(f"waited {statistics.median(tally.waited):.1f} s median, {max(tally.waited):.1f} s at most")
    print(f"resident memory {before:.2f} GiB before, {memory[-1]:.2f} at the end, {max(memory):.2f} at most")
    return 1 if lost or tally.outcomes["wrong"] or not tally.outcomes["right"] else 0


if __name__ == "__main__":
    sys.exit(main())
