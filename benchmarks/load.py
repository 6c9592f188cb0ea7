"""Many people and programs at once: `python -m benchmarks.load [--clients 50] [--minutes 5]`, on the page and `/v1`.

First one question after another, alone and beside a batch of 80 boxes. Then 5 single questions a second come to `/v1`,
whether or not those before were answered. Then every client asks at random, as fast as it is answered, half of them
over the page's endpoints and half over `/v1`: single questions, batches, several photographs in one request. Some leave
without waiting, one sends a photograph of 64 megapixels again and again, one never reads what it asked for. Every
answer is compared with the one that the same question got when nobody else asked. Exits with 1 when an answer was wrong
or lost, or when a single question beside the batch took more than twice its time alone and one region's.
"""

import argparse
import io
import json
import random
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from gradio_client import Client
from gradio_client.exceptions import AppError
from gradio_client.utils import QueueError
from PIL import Image

from benchmarks.page import gibibytes, photographs, serving
from benchmarks.questions import LONGEST, Question, ask, grid, over_v1, questions, same

BATCH = 80
SINGLES = 6
SHARE_LEAVING = 0.1
SECONDS_TO_LEAVE = 1.0  # at most: some are in the queue then, some under way
PAUSE_AFTER_REFUSAL = 1.0
SINGLES_A_SECOND = 5
MOST_AT_ONCE = 200


@dataclass
class Outcomes:
    """What became of the questions; seconds waited for the answers, by kind of question."""

    counts: Counter[str] = field(default_factory=Counter)
    waited: dict[str, list[float]] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, kind: str, right: bool, seconds: float) -> None:
        """Note an answer."""
        with self.lock:
            self.counts["right" if right else "wrong"] += 1
            self.waited.setdefault(kind, []).append(seconds)

    def note(self, what: str, sentence: str | None = None) -> None:
        """Note a question without an answer."""
        with self.lock:
            self.counts[what] += 1
            self.refusals.update([sentence] if sentence else [])


def large_photograph() -> bytes:
    """A file of 64 megapixels."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((8000, 8000)).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def steadily(address: str, expected: Sequence[tuple[Question, Any]], seconds: float) -> bool:
    """Ask SINGLES_A_SECOND over `/v1`, whatever is answered by then; print how long they wait. Whether all is right."""
    single = [(question, answer) for question, answer in expected if question.is_single]

    def asked(place: int) -> tuple[float, bool | None]:
        question, answer = single[place % len(single)]
        start = time.monotonic()
        try:
            right = same(over_v1(address, question.photos[0].read_bytes(), question.boxes[0]), answer)
        except httpx.HTTPStatusError:
            right = None
        return time.monotonic() - start, right

    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        answers = []
        for place in range(int(seconds * SINGLES_A_SECOND)):
            answers.append(pool.submit(asked, place))
            time.sleep(1 / SINGLES_A_SECOND)
        waited, right = zip(*(answer.result() for answer in answers), strict=True)
    hundredths = statistics.quantiles(waited, n=100)
    print(
        f"{SINGLES_A_SECOND} single questions a second over /v1: p50 {hundredths[49]:.2f} s, "
        f"p95 {hundredths[94]:.2f} s, p99 {hundredths[98]:.2f} s, {len(waited)} asked, {right.count(False)} wrong, "
        f"{right.count(None)} refused"
    )
    return all(right)


def never_read(address: str, until: float) -> None:
    """Ask for a stream of many answers and leave them unread."""
    photograph, _ = photographs()[0]
    request = httpx.Request(
        "POST",
        f"{address}/v1/regions",
        files={"file": photograph.read_bytes()},
        data={"boxes": json.dumps(grid(BATCH)), "stream": "true"},
    )
    content = request.read()
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    place = urlsplit(address)
    with socket.create_connection((place.hostname or "", place.port or 80)) as connection:
        connection.sendall(f"POST /v1/regions HTTP/1.1\r\n{head}\r\n".encode() + content)
        while time.monotonic() < until:
            time.sleep(1)


def send_large(address: str, until: float, outcomes: Outcomes) -> None:
    """Ask about a photograph of 64 megapixels, again and again."""
    content, expected = large_photograph(), None
    while time.monotonic() < until:
        start = time.monotonic()
        try:
            answer = over_v1(address, content, grid(1))
        except httpx.HTTPStatusError as refusal:
            outcomes.note("refused", refusal.response.json()["error"])
            time.sleep(PAUSE_AFTER_REFUSAL)
            continue
        expected = expected or answer
        outcomes.answered("64 megapixels", same(answer, expected), time.monotonic() - start)


def leave(address: str, question: Question) -> None:
    """Ask over `/v1` and go before the answer is there."""
    content = question.photos[0].read_bytes()
    try:
        httpx.post(
            f"{address}/v1/regions",
            files={"file": content},
            data={"boxes": json.dumps(question.boxes[0])},
            timeout=httpx.Timeout(LONGEST, read=0.05),
        )
    except httpx.ReadTimeout:
        return


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
    """One client, of the page where `seed` is even: asks at random until the time is over, and sometimes leaves."""
    client, chance = Client(address, verbose=False), random.Random(seed)
    on_page = seed % 2 == 0
    while time.monotonic() < until:
        question, answer = chance.choice(expected)
        by_page = on_page or len(question.photos) > 1
        start = time.monotonic()
        try:
            if chance.random() < SHARE_LEAVING:
                if by_page:
                    left = client.submit(*question.data, api_name=question.endpoint)
                    time.sleep(chance.uniform(0, SECONDS_TO_LEAVE))
                    left.cancel()
                    client = Client(address, verbose=False)
                else:
                    leave(address, question)
                outcomes.note("left")
                continue
            found = (
                ask(client, question)
                if by_page
                else over_v1(address, question.photos[0].read_bytes(), question.boxes[0])
            )
        except (AppError, QueueError) as refusal:
            outcomes.note("refused", str(refusal))
            time.sleep(PAUSE_AFTER_REFUSAL)
        except httpx.HTTPStatusError as refusal:
            outcomes.note("refused", refusal.response.json()["error"])
            time.sleep(float(refusal.response.headers.get("Retry-After", PAUSE_AFTER_REFUSAL)))
        else:
            kind = f"{question.endpoint if by_page else '/v1/regions'} of {sum(map(len, question.boxes))} boxes"
            outcomes.answered(kind, same(found, answer), time.monotonic() - start)


def main() -> int:
    """Ask, compare and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5, help="0 for the batch of 80 alone")
    arguments = parser.parse_args()
    outcomes, seconds = Outcomes(), 60 * arguments.minutes
    with serving() as (address, process):
        fair = beside_a_batch(address)
        if not arguments.minutes:
            return 0 if fair else 1
        alone = Client(address, verbose=False)
        expected = [(question, ask(alone, question)) for question in questions()]
        steady = steadily(address, expected, min(60, seconds))
        before, until = gibibytes(process), time.monotonic() + seconds
        memory = [before]
        with ThreadPoolExecutor(arguments.clients + 2) as pool:
            clients = [
                pool.submit(keep_asking, address, expected, until, outcomes, seed) for seed in range(arguments.clients)
            ]
            clients += [pool.submit(never_read, address, until), pool.submit(send_large, address, until, outcomes)]
            while time.monotonic() < until:
                time.sleep(5)
                memory.append(gibibytes(process))
        lost = [str(client.exception()) for client in clients if client.exception()]
        time.sleep(10)
        after = gibibytes(process)
    print(f"{arguments.clients} clients, {arguments.minutes:g} minutes: {dict(outcomes.counts)}")
    print(f"{len(lost)} lost {lost}; refusals: {dict(outcomes.refusals)}")
    for kind, waited in sorted(outcomes.waited.items()):
        print(f"{kind}: {statistics.median(waited):.1f} s median, {max(waited):.1f} s at most, {len(waited)} asked")
    parts = [memory[len(memory) * k // 3 : len(memory) * (k + 1) // 3 + 1] for k in range(3)]
    thirds = ", ".join(f"{min(part):.2f} to {max(part):.2f} ({statistics.median(part):.2f})" for part in parts)
    print(
        f"resident memory {before:.2f} GiB before, least to most (median) in each third of the time {thirds}, "
        f"{after:.2f} ten seconds after"
    )
    return 1 if lost or outcomes.counts["wrong"] or not outcomes.counts["right"] or not fair or not steady else 0


if __name__ == "__main__":
    sys.exit(main())
