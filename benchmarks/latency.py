"""How long a person waits, and how much memory the page holds: `python -m benchmarks.latency --help`.

Medians over the example photographs but the first, which warms up. A new photograph's time includes opening its file.
`--beside 1`: while another process asks all the time, too.
"""

import argparse
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle, islice
from multiprocessing.synchronize import Event
from typing import Any

import torch
from gradio_client import Client, handle_file

from benchmarks.page import Box, gibibytes, photographs, processor, serving, timed
from dynrefer import Predictor

CONTEXT = (0.3, 0.7, 1.0, 0.5, 0.9, 0.2)  # coefficients of the third view and on, where sliders are moved
MIXED: tuple[dict[str, Any] | None, ...] = (
    None,
    {"classes": ["dog", "red car", "tower", "old man"]},
    {"controls": ["small"], "num_views": 2},
    {"mode": "random", "num_views": 1, "num_beams": 1},
)
Row = tuple[str, str]


def part_of(box: Box) -> Box:
    """Another box: the upper left part, of which no view was encoded yet."""
    x1, y1, x2, y2 = box
    return x1, y1, x1 + 0.6 * (x2 - x1), y1 + 0.6 * (y2 - y1)


def measure_answers(predictor: Predictor, views: int) -> list[Row]:
    """The three questions of a person at the page, each a median."""
    (first, first_box), *others = photographs()
    for box in (first_box, part_of(first_box)):
        predictor.refer(first, box=box, num_views=views)
    new, another, slider = [], [], []
    for photograph, box in others:
        new.append(timed(predictor.refer, photograph, box=box, num_views=views).wall)
        another.append(timed(predictor.refer, photograph, box=part_of(box), num_views=views).wall)
        context = CONTEXT[: max(views - 2, 0)]
        predictor.refer(photograph, box=box, coefficients=(0, 0.15, *context)[:views])
        slider.append(timed(predictor.refer, photograph, box=box, coefficients=(0, 0.45, *context)[:views]).wall)
    medians = (
        ("first answer on a new photograph", statistics.median(new)),
        ("another box on it", statistics.median(another)),
        ("one slider moved", statistics.median(slider)),
    )
    rows = [(name, f"{value:.0f} ms") for name, value in medians]
    return [*rows, ("slider against another box", f"{100 * medians[2][1] / medians[1][1]:.0f} %")]


def measure_page(questions: int) -> list[Row]:
    """Seconds from `python app.py` to a page that answers, and the process's memory after a question a photograph.

    And after so many `questions` more: other boxes, own names and words, fewer views.
    """
    start = time.perf_counter()
    with serving() as (address, process):
        client = Client(address, verbose=False)
        ready = time.perf_counter() - start
        for photograph, box in photographs():
            client.predict(handle_file(photograph), [box], None, api_name="/refer")
        rows = [
            ("page ready after `python app.py`", f"{ready:.1f} s"),
            ("resident memory", f"{gibibytes(process):.2f} GiB"),
        ]
        asked = cycle((file, box, options) for options in MIXED for file, box in photographs())
        for number, (photograph, (x1, y1, x2, y2), options) in enumerate(islice(asked, questions)):
            box = x1, y1, x2 - number % 97 / 10, y2 - number % 89 / 10
            client.predict(handle_file(photograph), [box], options, api_name="/refer")
        if questions:
            rows.append((f"... after {questions:,} more questions", f"{gibibytes(process):.2f} GiB"))
        return rows


@contextmanager
def asking_beside(processes: int, threads: int) -> Iterator[None]:
    """So many other processes ask one question after the other inside."""
    context = multiprocessing.get_context("spawn")
    started = [context.Event() for _ in range(processes)]
    others = [context.Process(target=ask_on, args=(event, threads), daemon=True) for event in started]
    for other in others:
        other.start()
    try:
        for event in started:
            event.wait()
        yield
    finally:
        for other in others:
            other.terminate()


def ask_on(started: Event, threads: int) -> None:
    """Ask about other boxes of one photograph without end."""
    torch.set_num_threads(threads)
    predictor = Predictor.from_pretrained()
    (photograph, (x1, y1, x2, y2)), *_ = photographs()
    for number in count():
        predictor.refer(photograph, box=(x1, y1, x2 - number % 100 / 10, y2 - number % 90 / 10))
        started.set()


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, default=3, help="views a region")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="processor threads for the model")
    parser.add_argument("--beside", type=int, default=0, help="other processes that ask meanwhile; without the page")
    parser.add_argument("--questions", type=int, default=0, help="further ones, mixed, before memory is measured again")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    predictor = Predictor.from_pretrained()
    print(f"{predictor.model_name}, {arguments.views} views, {predictor.device_reason}, {arguments.threads} threads")
    print(f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}, Python {platform.python_version()}\n")
    with asking_beside(arguments.beside, arguments.threads):
        rows = measure_answers(predictor, arguments.views)
    for name, value in rows if arguments.beside else [*rows, *measure_page(arguments.questions)]:
        print(f"| {name:<34} | {value:>9} |")


if __name__ == "__main__":
    main()
