"""Turn the heads' scores into probabilities, on regions that nothing was trained on.

    python -m recipes.mini.calibrate RUN --held HELD --start CHECKPOINT --heads RUN/heads.safetensors

HELD is a run of held-out training regions with plain features (`regions --held-out-of`, `features --plain`). Names are
also judged by COCO's classes on half of the validation photographs, which are in HELD; only the other half says how
good they are. Without --heads the checkpoint is calibrated as it is. Writes
RUN/calibration.json: scale and bias of names, tags and attributes, so that sigmoid(scale * logit + bias) is how often
such an answer is right, and thresholds. A name's logit counts from a share of the log-sum-exp over all default names.
Names of a list that a user types have a fit of their own, without priors.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dynrefer.checkpoint import Checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.evaluation.metrics import calibration_bins, expected_calibration_error
from dynrefer.model import DynRefer
from dynrefer.model.query_decoder import TextQueries
from recipes.mini.classes import CLASS_NAMES
from recipes.mini.features import FOLDER as FEATURES
from recipes.mini.features import Cache
from recipes.mini.region_lessons import attribute_logits
from recipes.mini.regions import for_fitting, read_regions
from recipes.mini.start import REFERENCE_SHARE, Heads, heads_of, moved_heads, name_logits, relative
from recipes.mini.targets import UNKNOWN, TagLabels
from recipes.mini.vocabulary import Words, default_queries, said_names

Names = tuple[TextQueries, TextQueries]
"""Names as both decoders take them."""

CALIBRATION = "calibration.json"
FEWEST_KNOWN, LOWEST = 60, 60.0  # regions that say whether a tag is true, for a prior of its own; and its limit
BEST_NAMES, BEST_TAGS = 12, 60  # of a region, that are judged
MAY_BE_TRUE = 0.45  # cosine to what the region is called from which a wrong name is not counted against it
FIRST_WEIGHT, OTHER_WEIGHT = 1.0, 0.01  # of the best name, and of each that follows
HELD_OUT_WEIGHT = 0.125  # of held-out regions beside the validation half, where typed lists are fitted
# Chosen on held-out regions, by reading the tables that this step prints.
THRESHOLDS = {"name": 0.5, "tag": 0.75, "subject": 0.05, "sure": 0.5}


CLASS_WEIGHT, OTHER_CLASS_WEIGHT = 1.0, 0.25  # of COCO's best class, and of each that follows
BEST_CLASSES = 8


@dataclass(frozen=True)
class Judged:
    """Logits and whether each was right, with weights, all [P]."""

    logits: np.ndarray
    right: np.ndarray
    weights: np.ndarray

    def joined(self, other: Judged) -> Judged:
        """Both."""
        return Judged(
            np.concatenate([self.logits, other.logits]),
            np.concatenate([self.right, other.right]),
            np.concatenate([self.weights, other.weights]),
        )

    def weighed(self, weight: float) -> Judged:
        """Each counted `weight` times as much."""
        return Judged(self.logits, self.right, self.weights * weight)

    def fitted(self) -> tuple[float, float]:
        """Scale and bias of the probability, by logistic regression; as they are where there is nothing to fit."""
        if len(set(self.right.tolist())) < 2:
            return 1.0, 0.0
        fit = LogisticRegression(C=np.inf).fit(self.logits[:, None], self.right, self.weights)
        return float(fit.coef_[0, 0]), float(fit.intercept_[0])


def main() -> None:
    """Read the arguments, fit, and print how good each threshold is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--held", type=Path, required=True, help="folder of the held-out regions")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that the heads started from")
    parser.add_argument("--heads", type=Path, help="weights of recipes.mini.heads")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.heads is None:
        checkpoint, heads = moved_heads(args.start, args.run, Words.of(args.run).names)
    else:
        checkpoint, heads = heads_of(args.start, args.run, args.heads)
    scores = Scores(heads.eval(), checkpoint, args.run, args.held)
    listed = scores.names(scores.name_logits).weighed(HELD_OUT_WEIGHT)
    judged = {
        "names": scores.names(scores.name_logits + np.array(scores.priors)),
        "listed_names": listed.joined(class_answers(heads, args.run, args.held)),
        "tags": scores.tags(),
        "attributes": scores.attributes(),
    }
    fits = {what: answers.fitted() for what, answers in judged.items()}
    for what, answers in judged.items():
        report(what, answers, fits[what])
    content = fits | {
        "thresholds": THRESHOLDS,
        "reference_share": REFERENCE_SHARE,
        "tag_priors": tag_priors(scores.tag_labels, scores.tag_logits, fits["tags"]),
    }
    (args.run / CALIBRATION).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


class Scores:
    """The heads' logits of the held-out regions, and which of them are right."""

    def __init__(self, heads: Heads, checkpoint: Checkpoint, run: Path, held: Path) -> None:
        cache, regions = Cache(held / FEATURES), read_regions(held)
        rows = np.array([row for row in np.flatnonzero(cache.done) if regions[row].split == "train"])
        self.regions: list[Sample] = [regions[row] for row in rows]
        self.words, self.embeddings = Words.of(run), heads.embeddings
        places, names = default_queries(heads, self.words)
        self.default = [self.words.names[place] for place in places]
        self.priors = [self.words.priors[place] for place in places]
        self.own = self.embeddings["names"][places]
        parts = [_logits(heads, checkpoint, cache, part, names) for part in _parts(rows)]
        self.name_logits, self.tag_logits, self.attribute_logits = (
            torch.cat(found).numpy() for found in zip(*parts, strict=True)
        )

    def names(self, scored: np.ndarray) -> Judged:
        """The best names of each region by logits [R, K], made relative.

        A name behind the best that is like what the region is called may be true and is left out.
        """
        scored = relative(torch.from_numpy(scored), torch.from_numpy(scored)).numpy()
        place = {name: k for k, name in enumerate(self.words.names)}
        found: list[tuple[float, bool, float]] = []
        for region, logits in zip(self.regions, scored, strict=True):
            said = said_names(region, self.words.compounds)
            known = [place[name] for name in said if name in place]
            alike = self.own @ self.embeddings["names"][known].T if known else torch.zeros(len(self.own), 1)
            for rank, k in enumerate(np.argsort(-logits)[:BEST_NAMES] if said else ()):
                right = any(same_thing(self.default[k], name) for name in said)
                if right or not rank or float(alike[k].max()) <= MAY_BE_TRUE:
                    found.append((logits[k], right, OTHER_WEIGHT if rank else FIRST_WEIGHT))
        return Judged(*(np.array(column) for column in zip(*found, strict=True)))

    @cached_property
    def tag_labels(self) -> np.ndarray:
        """Of each region, which tags are true, false or unknown [R, T]."""
        labels = TagLabels(self.words, self.embeddings["tags"])
        return np.array([labels.of(region, said_names(region, self.words.compounds)) for region in self.regions])

    def tags(self) -> Judged:
        """The best tags of each region of which it is known whether they are true."""
        logits, right = [], []
        for known, scored in zip(self.tag_labels, self.tag_logits, strict=True):
            best = np.argsort(-scored)[:BEST_TAGS]
            best = best[known[best] != UNKNOWN]
            logits.append(scored[best])
            right.append(known[best] == 1)
        return _even(np.concatenate(logits), np.concatenate(right))

    def attributes(self) -> Judged:
        """Every labelled attribute."""
        unknown = (UNKNOWN,) * self.attribute_logits.shape[1]
        labels = np.array([region.attributes or unknown for region in self.regions])
        known = labels != UNKNOWN
        return _even(self.attribute_logits[known], labels[known] == 1)


def tag_priors(labels: np.ndarray, logits: np.ndarray, fit: tuple[float, float]) -> list[float]:
    """What to add to the logits of each tag [T], so that it is found no more often than it is true.

    For tags of which it is mostly unknown whether they are true: the network saw them denied too seldom. `labels` are
    1, 0 or UNKNOWN, and `logits` of the same regions, both [R, T].
    """
    scale, bias = fit
    known = (labels != UNKNOWN).sum(0)
    rates = ((labels == 1).sum(0) + 1) / (known + 10)
    lowered = np.zeros(len(known))
    for tag in np.flatnonzero((known >= FEWEST_KNOWN) & (known < len(labels) / 2)):
        calibrated, rate = scale * logits[:, tag] + bias, rates[tag]
        if expit(calibrated).mean() > rate:
            lowered[tag] = brentq(lambda by, x=calibrated, most=rate: expit(x + by).mean() - most, -LOWEST, 0) / scale
    return lowered.round(2).tolist()


def same_thing(name: str, other: str) -> bool:
    """Whether one name says the other less exactly: "racket" and "tennis racket"."""
    return name == other or name.endswith(f" {other}") or other.endswith(f" {name}")


def report(what: str, judged: Judged, fit: tuple[float, float]) -> None:
    """Print the calibration error, and precision and share above some thresholds."""
    probability = 1 / (1 + np.exp(-(fit[0] * judged.logits + fit[1])))
    error = expected_calibration_error(calibration_bins(probability, judged.right))
    print(f"{what}: scale {fit[0]:.3f}, bias {fit[1]:.3f}, calibration error {error:.3f}")
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85):
        above = probability >= threshold
        if above.any():
            recall = (above & judged.right).sum() / max(1, judged.right.sum())
            print(f"  from {threshold}: right {judged.right[above].mean():.3f}, found {recall:.3f}")


def class_answers(heads: Heads, run: Path, held: Path) -> Judged:
    """COCO's best classes on every second validation photograph, by its cached features."""
    cache, regions = Cache(held / FEATURES), read_regions(held)
    place = {name: k for k, name in enumerate(CLASS_NAMES)}
    rows = [row for row, region in enumerate(regions) if cache.done[row] and for_fitting(region)]
    model, words = heads.model, Words.of(run)
    known = [[listed.index(name) for name in CLASS_NAMES] for listed in (words.names, words.tags)]
    with torch.inference_mode():  # as they were learnt, see `Vocabulary.learnt`
        asked = (model.contrast_texts(heads.names[known[0]]), model.tag_texts(heads.tags[known[1]]))
        _, names = default_queries(heads, words)
    found: list[tuple[float, bool, float]] = []
    for part in _parts(np.array(rows)) if rows else ():
        logits = _class_logits(model, asked, names, cache, part).numpy()
        for row, scored in zip(part, logits, strict=True):
            truth = place[regions[row].class_name or ""]
            best = np.argsort(-scored)[:BEST_CLASSES]
            found += [(scored[k], k == truth, OTHER_CLASS_WEIGHT if r else CLASS_WEIGHT) for r, k in enumerate(best)]
    logits, right, weights = np.array(found, float).reshape(-1, 3).T
    return Judged(logits, right.astype(bool), weights)


@torch.inference_mode()
def _class_logits(model: DynRefer, classes: Names, names: Names, cache: Cache, rows: np.ndarray) -> Tensor:
    region = model.represent(*cache.read(rows))
    return relative(name_logits(model, region, classes), name_logits(model, region, names))


@torch.inference_mode()
def _logits(
    heads: Heads, checkpoint: Checkpoint, cache: Cache, rows: np.ndarray, names: Names
) -> tuple[Tensor, Tensor, Tensor]:
    model = heads.model
    queries, summary, belief = model.represent(*cache.read(rows))
    assert summary is not None
    vocabulary = checkpoint.vocabulary
    return (
        name_logits(model, (queries, summary, belief), names),
        model.tag_logits(queries, heads.tags, summary, belief),
        attribute_logits(model, vocabulary.embeddings["attributes"], vocabulary.attribute_of, queries, summary),
    )


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, max(1, len(rows) // 50))


def _even(logits: np.ndarray, right: np.ndarray) -> Judged:
    return Judged(logits, right, np.ones(len(right)))


if __name__ == "__main__":
    main()
