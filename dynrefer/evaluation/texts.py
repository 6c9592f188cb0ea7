"""METEOR and CIDEr by pycocoevalcap, the tools of the COCO caption challenge."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from dynrefer.errors import InputError


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
    if java is None or subprocess.run([java, "-version"], capture_output=True).returncode != 0:
        raise InputError("METEOR needs Java, and `java` does not run here: install a Java runtime and start again.")


def score_captions(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """Score captions against one or more reference texts each, tokenised as the COCO caption challenge does.

    Raises:
        InputError: Java stopped.
    """
    from pycocoevalcap.cider.cider import Cider

    counts = [len(texts) for texts in references]
    tokenised = _tokenise([*candidates, *(text for texts in references for text in texts)])
    found, rest = tokenised[: len(candidates)], iter(tokenised[len(candidates) :])
    expected = [[next(rest) for _ in range(count)] for count in counts]
    cider, ciders = Cider().compute_score(dict(enumerate(expected)), {i: [text] for i, text in enumerate(found)})
    meteor, meteors = _meteor(found, expected)
    return CaptionScores(meteor, float(cider), meteors, [float(score) for score in ciders])


def meteor_scores(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """METEOR of each single caption as dense captioning uses it: lower case, no punctuation, no other tokenizer.

    All pairs go through one Java process.

    Raises:
        InputError: Java stopped.
    """
    return _meteor([_plain(text) for text in candidates], [[_plain(t) for t in texts] for texts in references])[1]


def _one_line(text: str) -> str:
    """The text without line ends, which separate sentences, and without `|||`, which separates METEOR's fields."""
    return " ".join(text.replace("|||", " ").split())


def _plain(text: str) -> str:
    return _one_line(re.sub(r"[.,:;!?\"()]", " ", text.lower()))


def _tokenise(texts: Sequence[str]) -> list[str]:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    lines = PTBTokenizer().tokenize({i: [{"caption": _one_line(text)}] for i, text in enumerate(texts)})
    return [lines.get(i, [""])[0] for i in range(len(texts))]


def _meteor(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, list[float]]:
    from pycocoevalcap.meteor.meteor import Meteor

    if not candidates:
        return 0.0, []
    try:
        return Meteor().compute_score(dict(enumerate(references)), {i: [text] for i, text in enumerate(candidates)})
    except (OSError, ValueError) as error:
        raise InputError(
            "METEOR's Java process stopped; it takes 2 GB of memory. Free some and run again with --rescore."
        ) from error
