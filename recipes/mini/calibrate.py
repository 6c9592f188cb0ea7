"""Turn the heads' scores into probabilities, on regions that nothing was trained on.

    python -m recipes.mini.calibrate RUN --held HELD --start CHECKPOINT --heads RUN/heads.safetensors

HELD is a run of held-out training regions with plain features (`regions --held-out-of`, `features --plain`). Writes
RUN/calibration.json: scale and bias of names, tags and attributes, so that sigmoid(scale * logit + bias) is how often
such an answer is right, and thresholds. A name's logit counts from the log-sum-exp over all default names.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dynrefer.checkpoint import Checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.evaluation.metrics import calibration_bins, expected_calibration_error
from dynrefer.model import DynRefer
from recipes.mini.features import FOLDER as FEATURES
from recipes.mini.features import Cache
from recipes.mini.heads import Heads
from recipes.mini.loop import load_average
from recipes.mini.region_lessons import attribute_logits
from recipes.mini.regions import read_regions
from recipes.mini.start import EMBEDDINGS, start_of
from recipes.mini.targets import UNKNOWN, TagLabels
from recipes.mini.vocabulary import Words, default_names, said_names

CALIBRATION = "calibration.json"
BEST_NAMES, BEST_TAGS = 12, 60  # of a region, that are judged
MAY_BE_TRUE = 0.45  # cosine to what the region is called from which a wrong name is not counted against it
FIRST_WEIGHT, OTHER_WEIGHT = 0.5, 0.1  # of the best name, and of each that follows
# Chosen on held-out regions, by reading the tables that this step prints.
THRESHOLDS = {"name": 0.5, "tag": 0.75, "subject": 0.6, "sure": 0.5}


@dataclass(frozen=True)
class Judged:
    """Logits and whether each was right, with weights, all [P]."""

    logits: np.ndarray
    right: np.ndarray
    weights: np.ndarray

    def fitted(self) -> tuple[float, float]:
        """Scale and bias of the probability, by logistic regression."""
        fit = LogisticRegression(C=np.inf).fit(self.logits[:, None], self.right, self.weights)
        return float(fit.coef_[0, 0]), float(fit.intercept_[0])


def main() -> None:
    """Read the arguments, fit, and print how good each threshold is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--held", type=Path, required=True, help="folder of the held-out regions")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that the heads started from")
    parser.add_argument("--heads", type=Path, required=True, help="weights of recipes.mini.heads")
    args = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint, model = start_of(args.start, args.run)
    load_average(Heads(model), args.heads)
    scores = Scores(model.eval(), checkpoint, args.run, args.held)
    names, tags, attributes = scores.names(), scores.tags(), scores.attributes()
    fits = {"names": names.fitted(), "tags": tags.fitted(), "attributes": attributes.fitted()}
    for what, judged in (("names", names), ("tags", tags), ("attributes", attributes)):
        report(what, judged, fits[what])
    content = fits | {"thresholds": THRESHOLDS}
    (args.run / CALIBRATION).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


class Scores:
    """The heads' logits of the held-out regions, and which of them are right."""

    def __init__(self, model: DynRefer, checkpoint: Checkpoint, run: Path, held: Path) -> None:
        cache, regions = Cache(held / FEATURES), read_regions(held)
        rows = np.flatnonzero(cache.done)
        self.regions: list[Sample] = [regions[row] for row in rows]
        self.words, embeddings = Words.of(run), load_file(run / EMBEDDINGS)
        places = default_names(self.words.names)
        self.default = [self.words.names[place] for place in places]
        self.embeddings = embeddings
        self.own = embeddings["names"][places]
        parts = [_logits(model, checkpoint, cache, part, self.own, embeddings["tags"]) for part in _parts(rows)]
        self.name_logits, self.tag_logits, self.attribute_logits = (
            torch.cat(found).numpy() for found in zip(*parts, strict=True)
        )

    def names(self) -> Judged:
        """The best names of each region; one that is like what it is called may be true and is left out."""
        place = {name: k for k, name in enumerate(self.words.names)}
        found: list[tuple[float, bool, float]] = []
        for region, logits in zip(self.regions, self.name_logits, strict=True):
            said = said_names(region, self.words.compounds)
            known = [place[name] for name in said if name in place]
            alike = self.own @ self.embeddings["names"][known].T if known else torch.zeros(len(self.own), 1)
            for rank, k in enumerate(np.argsort(-logits)[:BEST_NAMES] if said else ()):
                right = any(same_thing(self.default[k], name) for name in said)
                if right or float(alike[k].max()) <= MAY_BE_TRUE:
                    found.append((logits[k], right, OTHER_WEIGHT if rank else FIRST_WEIGHT))
        return Judged(*(np.array(column) for column in zip(*found, strict=True)))

    def tags(self) -> Judged:
        """The best tags of each region of which it is known whether they are true."""
        labels = TagLabels(self.words, self.embeddings["tags"])
        logits, right = [], []
        for region, scored in zip(self.regions, self.tag_logits, strict=True):
            known = labels.of(region, said_names(region, self.words.compounds))
            best = np.argsort(-scored)[:BEST_TAGS]
            best = best[known[best] != UNKNOWN]
            logits.append(scored[best])
            right.append(known[best] == 1)
        return _even(np.concatenate(logits), np.concatenate(right))

    def attributes(self) -> Judged:
        """Every labelled attribute."""
        labelled = [k for k, region in enumerate(self.regions) if region.attributes is not None]
        labels = np.array([self.regions[k].attributes for k in labelled])
        known = labels != UNKNOWN
        return _even(self.attribute_logits[labelled][known], labels[known] == 1)


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


@torch.inference_mode()
def _logits(
    model: DynRefer, checkpoint: Checkpoint, cache: Cache, rows: np.ndarray, names: Tensor, tags: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    queries, summary, belief = model.represent(*cache.read(rows))
    assert summary is not None
    logits = model.contrast_logits(queries, names, summary, belief)
    vocabulary = checkpoint.vocabulary
    return (
        logits - logits.logsumexp(1, keepdim=True),
        model.tag_logits(queries, tags, summary, belief),
        attribute_logits(model, vocabulary.embeddings["attributes"], vocabulary.attribute_of, queries, summary),
    )


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, max(1, len(rows) // 50))


def _even(logits: np.ndarray, right: np.ndarray) -> Judged:
    return Judged(logits, right, np.ones(len(right)))


if __name__ == "__main__":
    main()
