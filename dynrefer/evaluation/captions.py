"""Region captions by METEOR and CIDEr (the paper: RefCOCOg val, and Visual Genome in two protocols)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dynrefer.datasets.sample import Sample
from dynrefer.evaluation import wording
from dynrefer.evaluation.benchmark import Benchmark, EvaluationData, Figure, Prediction, Scores, first, once_each
from dynrefer.evaluation.meteor import Meteor, score_captions
from dynrefer.results import RegionResult

ORIGINS = {
    ("human", "phrase"): "",
    ("described",): ", texts written by an AI model",
    ("grounded",): ", texts derived from whole-image captions",
}
"""Sources of texts that may be measured against, the best first, and what reports add to the data set's name."""
PHRASES = ", phrases and sentences by people"
ALL_REGIONS, ONE_REGION = "all regions", "one region an image"
_SLIPS_SHOWN = 20


@dataclass(frozen=True)
class Captions(Benchmark):
    """Captions against one or more texts a region: people's own where there are any, else derived ones.

    On Flickr30k Entities these are a region's phrases and the sentences whose subject it is.
    """

    sources: tuple[str, ...]
    meteor: Meteor
    min_area: float = 0.0
    name = "captions"
    of_captions = True

    @classmethod
    def load(cls, data: EvaluationData, meteor: Meteor, limit: int | None = None, min_area: float = 0.0) -> "Captions":
        """The regions with texts that people wrote about them, else an AI model, else grounded in whole-image captions.

        Only boxes that cover more than the share `min_area` of their photograph count.

        Raises InputError: the data set has none.
        """
        large = [sample for sample in data.samples if not min_area or (sample.covered or 0) > min_area]
        by_sources = {sources: [sample for sample in large if _texts(sample, sources)] for sources in ORIGINS}
        sources = next((sources for sources in ORIGINS if by_sources[sources]), ("grounded",))
        return cls(data, first(by_sources[sources], limit, "regions with captions"), sources, meteor, min_area)

    @cached_property
    def references(self) -> dict[str, list[str]]:
        """The texts of each box by its key; boxes that are given twice have the texts of both."""
        found: dict[str, list[str]] = {}
        for sample in self.samples:
            found.setdefault(sample.key, []).extend(_texts(sample, self.sources))
        return found

    @property
    def _has_phrases(self) -> bool:
        return any(text.source == "phrase" for sample in self.samples for text in sample.texts)

    @cached_property
    def nouns(self) -> dict[str, frozenset[str]]:
        """What each region may be called, by its key: the data set's own name of it, or else its texts' head nouns."""
        found: dict[str, frozenset[str]] = {}
        for sample in self.samples:
            own = sample.name or sample.class_name
            named = {own} if own else {wording.head_noun(text) for text in _texts(sample, self.sources)}
            found[sample.key] = found.get(sample.key, frozenset()) | {noun for noun in named if noun}
        return found

    @cached_property
    def regions(self) -> list[Sample]:
        """What to ask about."""
        return once_each(self.samples)

    @property
    def truth(self) -> Any:
        """The texts of each region."""
        return list(self.references.values())

    def keep(self, result: RegionResult) -> Prediction:
        """The caption and its score."""
        return keep_caption(result)

    def score(self, predictions: Mapping[str, Prediction]) -> Scores:
        """METEOR and CIDEr over all regions and over the first of each photograph; how the captions are worded."""
        firsts = {region.image: region for region in reversed(self.regions)}
        protocols = {ALL_REGIONS: self.regions, ONE_REGION: list(firsts.values())[::-1]}
        measured = self.data.title + (PHRASES if self._has_phrases else ORIGINS[self.sources])
        measured += f", boxes above {self.min_area:.3g} of the photograph" if self.min_area else ""
        figures = []
        for protocol, regions in protocols.items():
            captions = [predictions[region.key]["caption"] for region in regions]
            scores = score_captions(captions, [self.references[region.key] for region in regions], self.meteor)
            figures += [
                Figure(f"{measured}, {protocol}", "METEOR", 100 * scores.meteor, len(regions)),
                Figure(f"{measured}, {protocol}", "CIDEr", 100 * scores.cider, len(regions)),
            ]
        worded, details = self._wording(f"{measured}, {ALL_REGIONS}", predictions)
        return Scores(figures + worded, details)

    def _wording(self, protocol: str, predictions: Mapping[str, Prediction]) -> tuple[list[Figure], dict[str, Any]]:
        captions = {region.key: predictions[region.key]["caption"] for region in self.regions}
        at_fault = {caption: found for caption in captions.values() if (found := wording.slips(caption))}
        named = {key: nouns for key, nouns in self.nouns.items() if nouns}
        right = sum(wording.names_one_of(captions[key], nouns) for key, nouns in named.items())
        slipped = sum(caption in at_fault for caption in captions.values())
        figures = [
            Figure(protocol, "captions with a slip of grammar", 100 * slipped / len(captions), len(captions)),
            Figure(protocol, "different captions", 100 * wording.different(list(captions.values())), len(captions)),
        ]
        if named:
            figures.append(Figure(protocol, "right noun", 100 * right / len(named), len(named)))
        words = Counter(slip for caption in captions.values() for slip in at_fault.get(caption, ()))
        return figures, {"slips of grammar, most frequent": dict(words.most_common(_SLIPS_SHOWN))}


def keep_caption(result: RegionResult) -> Prediction:
    """The caption of an answer and its score."""
    caption = result.caption
    return {"caption": caption.text if caption else "", "score": caption.score if caption else 0.0}


def _texts(sample: Sample, sources: tuple[str, ...]) -> list[str]:
    return [text.text for text in sample.texts if text.source in sources]
