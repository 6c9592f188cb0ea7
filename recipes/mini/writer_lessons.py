"""What the writer learns from: texts told by their own words, and regions told by what the heads predict of them."""

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dynrefer.datasets.sample import Sample
from dynrefer.files.text import read_json
from dynrefer.model.config import Generation
from dynrefer.model.language import LanguageDecoder, control_text
from dynrefer.model.text_encoder import pad
from recipes.mini.calibrate import CALIBRATION
from recipes.mini.predictions import FOLDER as PREDICTIONS
from recipes.mini.predictions import Predictions
from recipes.mini.regions import origin, read_regions, texts_of
from recipes.mini.texts import SHORTEST_PHRASE, TEXTS, WriterText, load
from recipes.mini.vocabulary import Words
from recipes.mini.words import normalise

END = 1
HELD_OUT = 400  # every so many'th text is only for checks
SMOOTHING = 0.05
KINDS = {  # how often each kind of text is drawn; "thing" draws a thing first, then a text of it
    "text": {
        "thing": 0.36,
        "described": 0.25,
        "sentence": 0.09,
        "phrase": 0.09,
        "grounded": 0.03,
        "referring": 0.03,
        "scene": 0.15,
    },
    "regions": {
        "thing": 0.5,
        "described": 0.2,
        "sentence": 0.06,
        "phrase": 0.06,
        "grounded": 0.03,
        "referring": 0.03,
        "scene": 0.12,
    },
}
SUBJECT_TOLD, WORD_TOLD, NOTHING_TOLD = 0.85, 0.45, 0.08  # chances of a text's own words
TEXT_SHARE = 0.3  # of a batch of regions that are texts, so that the writer forgets no words
OTHERS_REGION = 0.6  # of those texts that are shown some other region: the words count, not the region
PREDICTED, OWN = (
    0.55,
    0.85,
)  # chances (cumulated) that a region's caption is told predictions, its own words; else nothing
THINNED, KEPT_WORD = 0.3, 0.7  # of the predictions
MOST_TAGS = 5
TOLD_QUALITIES = frozenset(  # tags that are no names and that captions say
    "white standing black blue red sitting gray green brown small wooden large yellow young riding smiling walking "
    "open colorful empty striped tan pink lying closed old flying furry dirty wet purple ceramic running jumping "
    "floral folded checkered spotted sleeping swimming".split()
)
LONGEST_SENTENCE = 15  # words
ORIGIN_WEIGHT = {"coco": 1.0, "flickr": 0.75, "named": 1.5}
TEXT_PIECES, REGION_PIECES, CONTROL_PIECES = 25, 27, 48
SHOWN = [
    ["snail"],
    ["coral reef"],
    ["tree frog", "green"],
    ["bridge", "gray"],
    ["paper bag", "brown"],
    ["loudspeaker", "black"],
]


class Example(NamedTuple):
    """A text to write, the words told, whether it is of a whole scene, and the row of its region (-1: none)."""

    text: str
    controls: list[str]
    scene: bool
    row: int = -1


class TextLessons:
    """Texts without regions: the control words say what to write."""

    stage, longest = "text", TEXT_PIECES

    def __init__(self, writer: LanguageDecoder, run: Path, rng: random.Random) -> None:
        self.writer, self.rng = writer, rng
        self._ids: dict[str, list[int]] = {}
        self.texts: dict[str, list[WriterText]] = defaultdict(list)
        self.things: dict[str, list[WriterText]] = defaultdict(list)
        self.words: dict[str, list[str]] = {}
        self.held: list[WriterText] = []
        for place, text in enumerate(text for text in load(run / TEXTS) if text.controls is not None):
            self.words[text.text] = text.controls or []
            if place % HELD_OUT == 7:
                self.held.append(text)
                continue
            self.texts[text.kind].append(text)
            if text.kind in ("thing", "named") and text.controls:
                self.things[text.controls[0]].append(text)
        self._named = list(self.things)

    def draw(self, count: int) -> list[Example]:
        """A batch."""
        texts = (self.any_text() for _ in range(count))
        return [
            Example(text.text, self.told(text.controls or [], NOTHING_TOLD), text.kind == "scene") for text in texts
        ]

    def any_text(self) -> WriterText:
        """A text of a drawn kind."""
        chances = KINDS[self.stage]
        kind = self.rng.choices(list(chances), list(chances.values()))[0]
        if kind == "thing" or not self.texts[kind]:
            return self.rng.choice(self.things[self.rng.choice(self._named)])
        return self.rng.choice(self.texts[kind])

    def told(self, controls: Sequence[str], nothing: float = 0.0) -> list[str]:
        """Some of a text's own words, the first (what it is about) more often than the others, in any order."""
        if not controls or (nothing and self.rng.random() < nothing):
            return []
        subject, *others = controls
        words = [subject] if self.rng.random() < SUBJECT_TOLD else []
        words += [word for word in others if word != subject and self.rng.random() < WORD_TOLD]
        self.rng.shuffle(words)
        return words

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """Mean cross-entropy of the pieces of a batch; only they go through the head, which is most of the work."""
        t5 = self.writer.t5
        assert t5 is not None and self.writer.copy_gate is not None
        with torch.autocast("cpu", torch.bfloat16):
            controls, _ = told = self.controls(examples)
            labels, _ = pad([[*self.ids(example.text)[: self.longest], END] for example in examples])
            written = labels != 0
            decoded = t5.decode(*self.prompt(examples, told), labels)[written]
            copied = self.writer.uncopied(labels, self.writer.copied(controls))[written]
            logits = t5.head(decoded).float() + self.writer.copy_gate(decoded).float() * copied
            return F.cross_entropy(logits, labels[written], label_smoothing=SMOOTHING)

    def prompt(self, examples: Sequence[Example], told: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Without regions the predicted sentence is zero."""
        sentences = torch.zeros(len(examples), self.writer.sentence_proj.in_features)
        return self.writer.prompt(None, *told, sentences, self.styles(examples))

    def controls(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """Ids and mask of the control texts."""
        return pad([self.ids(control_text(example.controls))[:CONTROL_PIECES] for example in examples])

    def styles(self, examples: Sequence[Example]) -> Tensor:
        """Region or scene."""
        return torch.tensor([int(example.scene) for example in examples])

    def ids(self, text: str) -> list[int]:
        """Pieces of a text, kept."""
        if text not in self._ids:
            assert self.writer.tokenizer is not None
            self._ids[text] = self.writer.tokenizer.encode(text, add_special_tokens=False).ids
        return self._ids[text]

    @torch.inference_mode()
    def check(self) -> str:
        """Loss on held-out texts, and what is written of a few words."""
        state, self.rng = self.rng, random.Random(1)
        loss = _mean_loss(self, [self._told_text(text) for text in self.held[:512]])
        self.rng = state
        return f"{loss:.3f} {self.written([Example('', words, False) for words in SHOWN])}"

    def _told_text(self, text: WriterText) -> Example:
        return Example(text.text, self.told(text.controls or [], NOTHING_TOLD), text.kind == "scene")

    def written(self, examples: Sequence[Example]) -> list[str]:
        """What the writer makes of prompts."""
        controls, _ = told = self.controls(examples)
        return self.writer.generate(*self.prompt(examples, told), Generation(3, 24, 1.3, 1.3), controls)[0]


class RegionLessons(TextLessons):
    """Regions with what the heads predict of them, and some texts in between."""

    stage, longest = "regions", REGION_PIECES

    def __init__(self, writer: LanguageDecoder, run: Path, rng: random.Random) -> None:
        super().__init__(writer, run, rng)
        self.vocabulary, self.predictions = Words.of(run), Predictions(run / PREDICTIONS)
        self.calibration = read_json(run / CALIBRATION, "names", "tags", "thresholds")
        self.tellable = TOLD_QUALITIES | set(self.vocabulary.names)
        self.of_rows: dict[int, list[tuple[str, float]]] = {}
        self.rows: list[int] = []
        self.chances: list[float] = []
        self.validation: list[int] = []
        for row, region in enumerate(read_regions(run)):
            texts = [(text, chance) for text, chance in captions_of(region) if text in self.words]
            if not self.predictions.done[row] or not texts:
                continue
            self.of_rows[row] = texts
            if region.split == "train":
                self.rows.append(row)
                self.chances.append(ORIGIN_WEIGHT[origin(region)])
            else:
                self.validation.append(row)
        self._ends = np.cumsum(self.chances).tolist()

    def draw(self, count: int) -> list[Example]:
        """A batch of regions and texts."""
        texts = int(count * TEXT_SHARE)
        return [*(self.region() for _ in range(count - texts)), *(self.text() for _ in range(texts))]

    def region(self) -> Example:
        """A training region, told predictions, its text's own words, or nothing."""
        row = self.rng.choices(self.rows, cum_weights=self._ends)[0]
        text = self._caption(row)
        chance = self.rng.random()
        words = self.predicted(row) if chance < PREDICTED else self.told(self.words[text]) if chance < OWN else []
        if chance < PREDICTED and self.rng.random() < THINNED:
            words = [word for word in words if self.rng.random() < KEPT_WORD]
        return Example(text, words, False, row)

    def text(self) -> Example:
        """A text of a thing that the region shown, if any, is not: words told come before what is seen."""
        text = self.any_text()
        controls = text.controls or []
        row = self.rng.choice(self.rows) if self.rng.random() < OTHERS_REGION else -1
        return Example(text.text, self.told(controls) or controls[:1], text.kind == "scene", row)

    def predicted(self, row: int) -> list[str]:
        """The words that the shipped model would be told: the surest name, and the surest tags."""
        found, thresholds = self.predictions, self.calibration["thresholds"]
        names = _probability(found.name_logits[row], self.calibration["names"])
        tags = _probability(found.tag_logits[row], self.calibration["tags"])
        likely = [self.vocabulary.tags[k] for k, p in zip(found.tags[row], tags, strict=True) if p >= thresholds["tag"]]
        sure = [tag for tag in likely if tag in self.tellable]
        best = [self.vocabulary.names[found.names[row][0]]] if names[0] >= thresholds["name"] else []
        return list(dict.fromkeys([*best, *sure[:MOST_TAGS]]))

    def prompt(self, examples: Sequence[Example], told: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Queries and sentences of the regions; without a region both are zero and the queries are not looked at."""
        rows = np.array([example.row for example in examples])
        shown = rows >= 0
        queries = torch.zeros(len(rows), *self.predictions.queries.shape[1:])
        sentences = torch.zeros(len(rows), self.predictions.sentences.shape[1])
        some = torch.from_numpy(shown)
        queries[some] = torch.from_numpy(self.predictions.queries[rows[shown]].astype(np.float32))
        sentences[some] = torch.from_numpy(self.predictions.sentences[rows[shown]].astype(np.float32))
        sentences = F.normalize(sentences, dim=-1)
        prompt, mask = self.writer.prompt(queries, *told, sentences, self.styles(examples))
        mask = mask.clone()
        mask[~some, : queries.shape[1]] = 0
        return prompt, mask

    def _caption(self, row: int) -> str:
        texts = self.of_rows[row]
        return self.rng.choices([text for text, _ in texts], [chance for _, chance in texts])[0]

    @torch.inference_mode()
    def check(self) -> str:
        """Loss on validation regions told their predictions, and what is written of a few."""
        if not self.validation:
            return "no validation region has a text"
        state, self.rng = self.rng, random.Random(3)
        rows = self.rng.sample(self.validation, min(256, len(self.validation)))
        examples = [Example(self._caption(row), self.predicted(row), False, row) for row in rows]
        loss = _mean_loss(self, examples)
        self.rng = state
        shown = [(e.text, e.controls, text) for e, text in zip(examples[:10], self.written(examples[:10]), strict=True)]
        return f"{loss:.3f} {shown}"


def captions_of(region: Sample) -> list[tuple[str, float]]:
    """The region's texts that are worth writing, with how often each is drawn among them."""
    if origin(region) == "named":
        found = [(text, 1.0) for text in texts_of(region, "described")]
    elif origin(region) == "flickr":
        found = [(text, 1.0) for text in texts_of(region, "human") if len(text.split()) <= LONGEST_SENTENCE]
        found += [(text, 0.8) for text in texts_of(region, "phrase") if len(text.split()) >= SHORTEST_PHRASE]
    else:
        found = [(text, 3.0) for text in texts_of(region, "described")]
        found += [(text, 0.7) for text in texts_of(region, "grounded")]
    return [(normalise(text), chance) for text, chance in found]


def _probability(logits: np.ndarray, fit: Sequence[float]) -> np.ndarray:
    return 1 / (1 + np.exp(-(fit[0] * logits.astype(float) + fit[1])))


def _mean_loss(lessons: TextLessons, examples: Sequence[Example], together: int = 64) -> float:
    parts = [examples[start : start + together] for start in range(0, len(examples), together)]
    return float(np.mean([float(lessons.loss(part)) for part in parts])) if parts else float("nan")
