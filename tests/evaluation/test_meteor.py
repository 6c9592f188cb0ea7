"""METEOR and CIDEr by Java: the right figures, and what is said when Java goes wrong."""

import os
import sys
from pathlib import Path

import pytest

from dynrefer.errors import InputError
from dynrefer.evaluation import meteor as module
from dynrefer.evaluation.meteor import Meteor, plain_scores, require_java, score_captions, tokenise

pytestmark = pytest.mark.slow

CAPTIONS = ["A man, riding a horse.", "two dogs on the grass", "a cup"]
REFERENCES = [["A man riding a brown horse", "man on a horse"], ["Dogs playing on grass."], ["a white mug", "the mug"]]


def test_scores_are_those_of_the_coco_caption_challenge(meteor: Meteor) -> None:
    """Worked out by pycocoevalcap's own Meteor, Cider and PTBTokenizer on these captions."""
    scores = score_captions(CAPTIONS, REFERENCES, meteor)
    assert scores.meteor == pytest.approx(0.2834046680837497)
    assert scores.meteors == pytest.approx([0.4062840465791614, 0.2842639593908629, 0.06106870229007633])
    assert scores.cider == pytest.approx(1.994842951513597)
    assert scores.ciders == pytest.approx([4.41440705, 1.46234033, 0.10778147])


def test_single_scores_ignore_case_and_punctuation(meteor: Meteor) -> None:
    found = plain_scores(["A Man riding, a horse.", "a cup"], [["a man riding a horse"], ["dogs"]], meteor)
    assert found == [1.0, 0.0]


def test_empty_captions_and_line_ends_inside_a_caption_do_not_shift_the_scores(meteor: Meteor) -> None:
    captions = ["", "two dogs\non the\u2028grass ||| x", "a white mug"]
    meteors = score_captions(captions, REFERENCES, meteor).meteors
    assert meteors[0] == 0 < meteors[1] < meteors[2] == 1


def test_letters_of_every_script_reach_the_tokenizer_and_come_back(meteor: Meteor) -> None:
    assert tokenise(["Un café, près de la fenêtre.", "", "a dog!"]) == ["un café près de la fenêtre", "", "a dog"]


def test_missing_java_is_one_sentence_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="install a Java runtime"):
        require_java()


def test_no_captions_score_nothing_and_need_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert plain_scores([], [], Meteor()) == []


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called java, whose body a test writes in Python; the package lies in a folder with a blank."""
    package = tmp_path / "my programs" / "pycocoevalcap"
    package.mkdir(parents=True)
    monkeypatch.setattr(module, "_package_folder", lambda part: package / part)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "java"


def write(program: Path, body: str) -> None:
    program.write_text(f"#!{sys.executable}\nimport os, sys, time\n{body}\n")
    program.chmod(0o755)


def test_java_reads_english_numbers_and_arguments_with_blanks_whole(stand_in: Path) -> None:
    write(
        stand_in,
        "out = open(os.path.join(os.path.dirname(sys.argv[0]), 'seen'), 'w')\n"
        "print(os.environ['LC_ALL'], *sys.argv[1:], sep='\\n', file=out, flush=True)\n"
        "for line in sys.stdin: print(0.5, flush=True) if line[:5] == 'SCORE' else print('0.5\\n0.5', flush=True)",
    )
    with Meteor() as running:
        assert running.score(["a"], [["a"]]) == (0.5, [0.5])
    locale, *arguments = (stand_in.parent / "seen").read_text().splitlines()
    assert locale == "C.UTF-8"
    assert "-Duser.language=en" in arguments
    package = stand_in.parent / "my programs" / "pycocoevalcap" / "meteor"
    assert arguments[arguments.index("-jar") + 1] == str(package / "meteor-1.5.jar")
    assert arguments[arguments.index("-a") + 1] == str(package / "data" / "paraphrase-en.gz")


def test_a_java_that_dies_is_quoted(stand_in: Path) -> None:
    write(stand_in, "print('Error: could not reserve memory', file=sys.stderr); sys.exit(7)")
    with pytest.raises(InputError, match=r"exit code 7\); its last words: Error: could not reserve memory"):
        Meteor().score(["a"], [["a"]])


def test_a_tokenizer_that_dies_is_quoted(stand_in: Path) -> None:
    write(stand_in, "print('no such class', file=sys.stderr); sys.exit(1)")
    with pytest.raises(InputError, match=r"tokenizer.*exit code 1.*no such class"):
        tokenise(["a"])


def test_a_java_that_says_nothing_is_ended(stand_in: Path) -> None:
    write(stand_in, "open(sys.argv[0] + '.pid', 'w').write(str(os.getpid())); time.sleep(600)")
    running = Meteor(silence=2.0)
    with pytest.raises(InputError, match="said nothing for 2 seconds"):
        running.score(["a"], [["a"]])
    with pytest.raises(ProcessLookupError):
        os.kill(int(stand_in.with_suffix(".pid").read_text()), 0)


def test_numbers_that_are_none_are_quoted(stand_in: Path) -> None:
    write(stand_in, "for line in sys.stdin: print('0,5\\n0,5', flush=True)")
    with pytest.raises(InputError, match="no number but '0,5'"):
        Meteor().score(["a"], [["a"]])


def test_a_meteor_that_nobody_keeps_leaves_no_process(stand_in: Path) -> None:
    write(
        stand_in,
        "open(sys.argv[0] + '.pid', 'w').write(str(os.getpid()))\n"
        "for line in sys.stdin: print(0.5, flush=True) if line[:5] == 'SCORE' else print('0.5\\n0.5', flush=True)",
    )
    Meteor().score(["a"], [["a"]])
    with pytest.raises(ProcessLookupError):
        os.kill(int(stand_in.with_suffix(".pid").read_text()), 0)
