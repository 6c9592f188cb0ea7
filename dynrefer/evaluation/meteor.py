"""METEOR and CIDEr by pycocoevalcap's tools, with METEOR's Java process started once, watched, and ended with us."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Self

from dynrefer.errors import InputError

SILENCE_S = 300.0
"""Seconds without a word after which a Java process counts as stuck; its dictionaries alone take about ten."""
_LAST_WORDS = 5  # lines of what a process complained about that are shown
# METEOR writes its numbers in the language of its surroundings: "0,5" where the locale is German.
_ENGLISH = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")
_MEMORY = "-Xmx2G"
_TEXT: dict[str, Any] = {"text": True, "encoding": "utf-8", "errors": "replace"}
KILLED = (-9, 137)  # exit codes of a process that was ended, as systems do that have no memory left


@dataclass(frozen=True)
class CaptionScores:
    """Corpus scores (fractions: 0.18 is a METEOR of 18) and the scores of the single captions."""

    meteor: float
    cider: float
    meteors: list[float]
    ciders: list[float]


def require_java() -> None:
    """Check that METEOR and its tokenizer can run. Raises InputError where Java is missing."""
    if subprocess.run([*_java()[:1], "-version"], capture_output=True, env=_surroundings()).returncode != 0:
        raise _no_java()


class Meteor:
    """METEOR 1.5 in a Java process that starts with the first question and answers as many as are asked.

    Use it in a `with` statement. The process also ends when the object is collected or Python ends.

    Args:
        silence: seconds without an answer after which the process is taken for stuck and ended.
    """

    def __init__(self, silence: float = SILENCE_S) -> None:
        self.silence = silence
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def score(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, list[float]]:
        """METEOR over all captions together and of each; candidates and references are one line each.

        Raises InputError: Java stopped, said nothing for too long, or answered no number; its last words are given.
        """
        if not candidates:
            return 0.0, []
        statistics = [
            self._ask(" ||| ".join(("SCORE", *map(_one_line, texts), _one_line(candidate))))
            for candidate, texts in zip(candidates, references, strict=True)
        ]
        lines = [self._ask(" ||| ".join(("EVAL", *statistics))), *(self._ask() for _ in candidates)]
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

    def _ask(self, line: str | None = None) -> str:
        """The next line that it answers, to `line` where one is given. One that is stuck is ended by a timer."""
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        start, watch = time.monotonic(), threading.Timer(self.silence, process.kill)
        watch.daemon = True
        watch.start()
        try:
            with suppress(OSError):  # it has ended, and so gives no answer either
                if line is not None:
                    process.stdin.write(f"{line}\n")
                    process.stdin.flush()
            answer = process.stdout.readline()
        finally:
            watch.cancel()
        if answer:
            return answer.strip()
        if time.monotonic() - start >= self.silence:
            what, code = f"said nothing for {self.silence:g} seconds and was ended", None
        else:
            code = _exit_code(process)
            what = f"stopped (exit code {code})"
        self.close()
        words = self._last_words()
        memory = " It takes 2 GB of memory." if code in KILLED or "memory" in words.lower() else ""
        raise InputError(
            f"METEOR's Java process {what}{words}.{memory} The predictions are kept: run again with --rescore."
        )

    def _start(self) -> subprocess.Popen[str]:
        folder = _package_folder("meteor")
        # The jar finds its paraphrases by a URL of itself, which goes wrong with a blank in the path: name the file.
        paraphrases = ("-a", str(folder / "data" / "paraphrase-en.gz"))
        options = ("-", "-", "-stdio", "-l", "en", "-norm", *paraphrases)
        command = _java(_MEMORY, "-jar", str(folder / "meteor-1.5.jar"), *options)
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self._complaints, env=_surroundings(), **_TEXT
        )
        self._process, self._finalizer = process, weakref.finalize(self, _end, process)
        return process

    def _last_words(self) -> str:
        self._complaints.seek(0)
        return _in_sentence(self._complaints.read().decode(errors="replace"))


def score_captions(candidates: Sequence[str], references: Sequence[Sequence[str]], meteor: Meteor) -> CaptionScores:
    """Score captions against one or more reference texts each, tokenised as the COCO caption challenge does.

    Raises InputError: Java stopped.
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

    Raises InputError: Java stopped.
    """
    return meteor.score([_plain(text) for text in candidates], [[_plain(t) for t in texts] for texts in references])[1]


def tokenise(texts: Sequence[str]) -> list[str]:
    """Texts as the Penn Treebank's tokenizer cuts them, lower case, without punctuation.

    Raises InputError: Java stopped, or took more than SILENCE_S seconds.
    """
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

    jar = _package_folder("tokenizer") / STANFORD_CORENLP_3_4_1_JAR
    command = _java("-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")
    content = "".join(f"{_one_line(text)}\n" for text in texts)
    try:
        run = subprocess.run(
            command, input=content, capture_output=True, timeout=SILENCE_S, env=_surroundings(), **_TEXT
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"The tokenizer's Java process took more than {SILENCE_S:g} seconds and was ended.") from error
    lines = run.stdout.split("\n")[: len(texts)]
    if run.returncode != 0 or len(lines) < len(texts):
        words = _in_sentence(run.stderr)
        raise InputError(f"The tokenizer's Java process stopped (exit code {run.returncode}){words}.")
    return [" ".join(word for word in line.split() if word not in PUNCTUATIONS) for line in lines]


def _java(*arguments: str) -> list[str]:
    """The command that runs Java with these arguments, its numbers and letters those of English."""
    java = shutil.which("java")
    if java is None:
        raise _no_java()
    return [java, *_ENGLISH, *arguments]


def _no_java() -> InputError:
    return InputError("METEOR needs Java, and `java` does not run here: install a Java runtime and start again.")


def _surroundings() -> dict[str, str]:
    return os.environ | {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}


def _package_folder(part: str) -> Path:
    """Where a part of pycocoevalcap, with its jar, lies."""
    found = find_spec("pycocoevalcap")
    if found is None or not found.submodule_search_locations:
        raise InputError("METEOR needs pycocoevalcap: run `pip install -r requirements-dev.txt`.")
    return Path(found.submodule_search_locations[0]).resolve() / part


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def _exit_code(process: subprocess.Popen[str]) -> int | None:
    """The code of a process that has closed its output; None where it lives on for a second all the same."""
    try:
        return process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        return None


def _in_sentence(complaints: str) -> str:
    lines = [line for line in complaints.splitlines() if line.strip()][-_LAST_WORDS:]
    words = " ".join(" ".join(lines).split())[-300:].rstrip(".")
    return f"; its last words: {words}" if words else ""


def _one_line(text: str) -> str:
    """The text without line ends, which separate sentences, and without `|||`, which separates METEOR's fields."""
    return " ".join(text.replace("|||", " ").split())


def _plain(text: str) -> str:
    return _one_line(re.sub(r"[.,:;!?\"()]", " ", text.lower()))
