"""Region captions by METEOR and CIDEr (the paper: RefCOCOg val, and Visual Genome in two protocols)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dynrefer.datasets.sample import Sample
from dynrefer.evaluation.benchmark import Figure, Region, Scores, first, region_of
from dynrefer.evaluation.samples import EvaluationData
from dynrefer.evaluation.store import Prediction
from dynrefer.evaluation.texts import score_captions
from dynrefer.results import RegionResult

ORIGINS = {
    "human": "",
    "described": ", texts written by an AI model",
    "grounded": ", texts derived from whole-image captions",
}
ALL_REGIONS, ONE_REGION = "all regions", "one region an image"


@dataclass(frozen=True)
class Captions:
    """Captions against one or more texts a region: people's own where there are any, else derived ones."""

    data: EvaluationData
    samples: Sequence[Sample]
    source: str
    name = "captions"
    needs_java = True

    @classmethod
    def load(cls, data: EvaluationData, limit: int | None = None) -> "Captions":
        """The regions with texts that people wrote about them, else an AI model, else grounded in whole-image captions.

        Raises:
            InputError: the data set has none.
        """
        by_source = {source: [s for s in data.samples if _texts(s, source)] for source in ORIGINS}
        source = next((source for source in ORIGINS if by_source[source]), "grounded")
        return cls(data, first(by_source[source], limit, "regions with captions"), source)

    @cached_property
    def references(self) -> dict[Region, list[str]]:
        """The texts of each box; boxes that are given twice have the texts of both."""
        found: dict[Region, list[str]] = {}
        for sample in self.samples:
            found.setdefault(region_of(sample), []).extend(_texts(sample, self.source))
        return found

    @property
    def regions(self) -> list[Region]:
        """What to ask about."""
        return list(self.references)

    @property
    def question(self) -> dict[str, Any]:
        """A caption."""
        return {"captions": True}

    @property
    def truth(self) -> Any:
        """The texts of each region."""
        return list(self.references.values())

    def keep(self, result: RegionResult) -> Prediction:
        """The caption and its score."""
        return keep_caption(result)

    def score(self, predictions: Mapping[str, Prediction]) -> Scores:
        """METEOR and CIDEr over all regions, and over the first region of each photograph."""
        firsts = {region.image: region for region in reversed(self.regions)}
        protocols = {ALL_REGIONS: self.regions, ONE_REGION: list(firsts.values())[::-1]}
        derived = ORIGINS[self.source]
        figures = []
        for protocol, regions in protocols.items():
            captions = [predictions[region.key]["caption"] for region in regions]
            scores = score_captions(captions, [self.references[region] for region in regions])
            named = f"{self.data.title}{derived}, {protocol}"
            figures += [
                Figure(named, "METEOR", 100 * scores.meteor, len(regions)),
                Figure(named, "CIDEr", 100 * scores.cider, len(regions)),
            ]
        texts = [predictions[region.key]["caption"] for region in self.regions]
        return Scores(figures, {"different captions, share": len(set(texts)) / len(texts)})


def keep_caption(result: RegionResult) -> Prediction:
    """The caption of an answer and its score."""
    return (
        {"caption": result.caption.text, "score": result.caption.score}
        if result.caption
        else {"caption": "", "score": 0.0}
    )


def _texts(sample: Sample, source: str) -> list[str]:
    return [text.text for text in sample.texts if text.source == source]
