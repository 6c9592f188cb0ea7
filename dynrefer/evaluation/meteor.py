"""METEOR and CIDEr by pycocoevalcap's tools, with METEOR's Java process started once, watched, and ended with us."""

import collections
import os
import queue
import re
import shutil
import subprocess
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from dynrefer.errors import InputError

SILENCE_S = 300.0
"""Seconds without a word after which a Java process counts as stuck; its dictionaries alone take about ten."""
_LAST_WORDS = 5  # lines of what a process complained about that are shown
# METEOR writes its numbers in the language of its surroundings: "0,5" where the locale is German.
_ENGLISH = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")
_MEMORY = "-Xmx2G"
KILLED = (-9, 137)  # exit codes of a process that was ended, as systems do that have no memory left


@dataclass(frozen=True)
class CaptionScores:
    """Corpus scores (fractions: 0.18 is a METEOR of 18) and the scores of the single captions."""

    meteor: float
    cider: float
    meteors: list[float]
    ciders: list[float]


def require_java() -> None:
    """Check that METEOR and its tokenizer can run.

    Raises:
        InputError: Java is missing.
    """
    java = shutil.which("java")
    if java is None or subprocess.run([java, "-version"], capture_output=True, env=_surroundings()).returncode != 0:
        raise InputError("METEOR needs Java, and `java` does not run here: install a Java runtime and start again.")


class Meteor:
    """METEOR 1.5 in a Java process that starts with the first question and answers as many as are asked.

    Use it in a `with` statement. The process also ends when the object is collected or Python ends; nobody waits for
    one that does not want to.

    Args:
        silence: seconds without an answer after which the process is taken for stuck and ended.
    """

    def __init__(self, silence: float = SILENCE_S) -> None:
        self.silence = silence
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._questions: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._complaints: collections.deque[str] = collections.deque(maxlen=_LAST_WORDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def score(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, list[float]]:
        """METEOR over all captions together and of each; candidates and references are one line each.

        Raises:
            InputError: Java stopped, said nothing for too long, or answered no number; its last words are given.
        """
        if not candidates:
            return 0.0, []
        statistics = [
            self._ask(" ||| ".join(("SCORE", *map(_one_line, texts), _one_line(candidate))))
            for candidate, texts in zip(candidates, references, strict=True)
        ]
        first = self._ask(" ||| ".join(("EVAL", *statistics)))
        lines = [first, *(self._answer() for _ in candidates)]
        try:
            *single, together = (float(line) for line in lines)
        except ValueError as error:
            self.close()
            raise InputError(f"METEOR answered no number but '{lines[-1][:80]}'{self._last_words()}.") from error
        return together, single

    def close(self) -> None:
        """End the process, at once."""
        if self._process is not None:
            self._finalizer()
            self._process = None

    def _ask(self, line: str) -> str:
        if self._process is None:
            self._start()
        self._questions.put(line)
        return self._answer()

    def _answer(self) -> str:
        try:
            answer = self._answers.get(timeout=self.silence)
        except queue.Empty:
            self.close()
            raise InputError(
                f"METEOR's Java process said nothing for {self.silence:g} seconds and was ended{self._last_words()}. "
                "The predictions are kept: run again with --rescore."
            ) from None
        if answer is None:
            assert self._process is not None
            code = _exit_code(self._process)
            self.close()
            words = self._last_words()
            memory = " It takes 2 GB of memory." if code in KILLED or "memory" in words.lower() else ""
            raise InputError(
                f"METEOR's Java process stopped (exit code {code}){words}.{memory} "
                "The predictions are kept: run again with --rescore."
            )
        return answer

    def _start(self) -> None:
        folder = _package_folder("meteor")
        # The jar finds its paraphrases by a URL of itself, which goes wrong with a blank in the path: name the file.
        paraphrases = ("-a", str(folder / "data" / "paraphrase-en.gz"))
        options = ("-", "-", "-stdio", "-l", "en", "-norm", *paraphrases)
        process = _java(_MEMORY, "-jar", str(folder / "meteor-1.5.jar"), *options)
        self._process, self._answers, self._questions = process, queue.SimpleQueue(), queue.SimpleQueue()
        self._complaints = collections.deque(maxlen=_LAST_WORDS)
        self._finalizer = weakref.finalize(self, _end, process, self._questions)
        _in_background(_read_answers, process, self._answers)
        _in_background(_write_questions, process, self._questions)
        self._listener = _in_background(_read_complaints, process, self._complaints)

    def _last_words(self) -> str:
        self._listener.join(timeout=1.0)
        return _in_sentence(self._complaints)


def score_captions(candidates: Sequence[str], references: Sequence[Sequence[str]], meteor: Meteor) -> CaptionScores:
    """Score captions against one or more reference texts each, tokenised as the COCO caption challenge does.

    Raises:
        InputError: Java stopped.
    """
    from pycocoevalcap.cider.cider import Cider

    counts = [len(texts) for texts in references]
    tokenised = tokenise([*candidates, *(text for texts in references for text in texts)])
    found, rest = tokenised[: len(candidates)], iter(tokenised[len(candidates) :])
    expected = [[next(rest) for _ in range(count)] for count in counts]
    cider, ciders = Cider().compute_score(dict(enumerate(expected)), {i: [text] for i, text in enumerate(found)})
    together, single = meteor.score(found, expected)
    return CaptionScores(together, float(cider), single, [float(score) for score in ciders])


def plain_scores(candidates: Sequence[str], references: Sequence[Sequence[str]], meteor: Meteor) -> list[float]:
    """METEOR of each single caption as dense captioning uses it: lower case, no punctuation, no other tokenizer.

    Raises:
        InputError: Java stopped.
    """
    return meteor.score([_plain(text) for text in candidates], [[_plain(t) for t in texts] for texts in references])[1]


def tokenise(texts: Sequence[str], limit: float = SILENCE_S) -> list[str]:
    """Texts as the Penn Treebank's tokenizer cuts them, lower case, without punctuation.

    Raises:
        InputError: Java stopped, or took more than `limit` seconds.
    """
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

    jar = _package_folder("tokenizer") / STANFORD_CORENLP_3_4_1_JAR
    process = _java("-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")
    try:
        out, complaints = process.communicate("".join(f"{_one_line(text)}\n" for text in texts), timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"The tokenizer's Java process took more than {limit:g} seconds and was ended.") from error
    finally:
        _end(process)
    lines = out.split("\n")[: len(texts)]
    if process.returncode != 0 or len(lines) < len(texts):
        words = _in_sentence(complaints.splitlines()[-_LAST_WORDS:])
        raise InputError(f"The tokenizer's Java process stopped (exit code {process.returncode}){words}.")
    return [" ".join(word for word in line.split() if word not in PUNCTUATIONS) for line in lines]


def _java(*arguments: str) -> subprocess.Popen[str]:
    """Java with these arguments, no shell between, its numbers and letters those of English."""
    java = shutil.which("java")
    if java is None:
        raise InputError("METEOR needs Java, and `java` does not run here: install a Java runtime and start again.")
    pipe = subprocess.PIPE
    text: Any = {"text": True, "encoding": "utf-8", "errors": "replace"}
    return subprocess.Popen(
        [java, *_ENGLISH, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, env=_surroundings(), **text
    )


def _surroundings() -> dict[str, str]:
    return os.environ | {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}


def _package_folder(part: str) -> Path:
    """Where a part of pycocoevalcap, with its jar, lies."""
    found = find_spec("pycocoevalcap")
    if found is None or not found.submodule_search_locations:
        raise InputError("METEOR needs pycocoevalcap: run `pip install -r requirements-dev.txt`.")
    return Path(found.submodule_search_locations[0]).resolve() / part


def _in_background(work: Callable[..., None], *given: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=given, daemon=True)
    thread.start()
    return thread


def _read_answers(process: subprocess.Popen[str], answers: "queue.SimpleQueue[str | None]") -> None:
    """Pass on the lines that it writes; None at the end."""
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line.strip())
    answers.put(None)


def _write_questions(process: subprocess.Popen[str], questions: "queue.SimpleQueue[str | None]") -> None:
    """Send what is asked, beside the thread that waits for answers: a process that reads nothing holds up this one."""
    assert process.stdin is not None
    while (line := questions.get()) is not None:
        try:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
        except (OSError, ValueError):  # it has ended, which the one who waits is told
            return


def _read_complaints(process: subprocess.Popen[str], complaints: collections.deque[str]) -> None:
    assert process.stderr is not None
    complaints.extend(line.strip() for line in process.stderr if line.strip())


def _end(process: subprocess.Popen[str], questions: "queue.SimpleQueue[str | None] | None" = None) -> None:
    if questions is not None:
        questions.put(None)
    if process.poll() is None:
        process.kill()
        process.wait()


def _exit_code(process: subprocess.Popen[str]) -> int | None:
    """The code of a process that has closed its output; None where it lives on for a second all the same."""
    try:
        return process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        return None


def _in_sentence(lines: Sequence[str] | collections.deque[str]) -> str:
    words = " ".join(" ".join(lines).split())[-300:].rstrip(".")
    return f"; its last words: {words}" if words else ""


def _one_line(text: str) -> str:
    """The text without line ends, which separate sentences, and without `|||`, which separates METEOR's fields."""
    return " ".join(text.replace("|||", " ").split())


def _plain(text: str) -> str:
    return _one_line(re.sub(r"[.,:;!?\"()]", " ", text.lower()))
