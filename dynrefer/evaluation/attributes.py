"""Attribute detection with the boxes given (OVAD's box oracle; Bravo et al., CVPR 2023)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dynrefer.errors import InputError
from dynrefer.evaluation import metrics
from dynrefer.evaluation.benchmark import Benchmark, EvaluationData, Figure, Prediction, Scores, first, rounded
from dynrefer.results import RegionResult
from dynrefer.vocabulary import ovad_attributes


@dataclass(frozen=True)
class Attributes(Benchmark):
    """Mean average precision over OVAD's attributes, unknown labels ignored."""

    entries: Sequence[Mapping[str, Any]]
    name = "attributes"

    @classmethod
    def load(cls, data: EvaluationData, limit: int | None = None) -> "Attributes":
        """The boxes with attribute labels, and OVAD's own list of attributes.

        Raises InputError: the data set has none, or a list that is not OVAD's.
        """
        labelled = [sample for sample in data.samples if sample.attributes is not None]
        chosen, entries = first(labelled, limit, "boxes with attribute labels"), data.attribute_entries()
        try:
            ovad_attributes(entries, object_forms=False)
        except (KeyError, ValueError, AttributeError) as error:
            raise InputError(
                'The file of OVAD must list every attribute with its name, such as "color:red", and is_has_att, which '
                'is "is" or "has": take OVAD\'s own file.'
            ) from error
        return cls(data, chosen, entries)

    @cached_property
    def labels(self) -> np.ndarray:
        """1 = has, 0 = has not, -1 = unknown, [N, A]."""
        return np.array([sample.attributes for sample in self.samples])

    @property
    def truth(self) -> Any:
        """The labels of each region."""
        return self.labels.tolist()

    @cached_property
    def words(self) -> list[tuple[str, str]]:
        """Type and name of each attribute as results call it, in OVAD's order."""
        return [(word.type, word.name) for word in ovad_attributes(self.entries, object_forms=False)]

    def keep(self, result: RegionResult) -> Prediction:
        """The score of each attribute, in OVAD's order. Raises InputError: the model's vocabulary lacks some."""
        scores = {(item.type, item.name): item.score for item in result.attributes}
        missing = [word for word in self.words if word not in scores]
        if missing:
            raise InputError(
                f"The model {result.model} does not know {len(missing)} of the {len(self.words)} attributes, "
                f"for example '{missing[0][0]}: {missing[0][1]}': evaluate a model with OVAD's vocabulary."
            )
        return {"attributes": rounded(scores[word] for word in self.words)}

    def score(self, predictions: Mapping[str, Prediction]) -> Scores:
        """MAP over all attributes and over the head, medium and tail ones, with chance beside it."""
        scores = np.array([predictions[region.key]["attributes"] for region in self.regions])
        groups = [entry.get("freq_set", "") for entry in self.entries]
        precisions, chances = metrics.attribute_precisions(self.labels, scores), metrics.chance_precisions(self.labels)
        protocol = f"{self.data.title}, box oracle"
        means = {"": metrics.group_means(precisions, groups), "chance ": metrics.group_means(chances, groups)}
        figures = [
            Figure(protocol, f"{kind}mAP {group}", 100 * value, len(self.samples))
            for kind, values in means.items()
            for group, value in values.items()
            if (group == "all" or not kind) and np.isfinite(value)
        ]
        by_name = dict(zip((entry["name"] for entry in self.entries), (100 * precisions).tolist(), strict=True))
        return Scores(
            figures,
            {
                "attributes that occur": int(np.isfinite(precisions).sum()),
                "AP by attribute": {name: ap for name, ap in by_name.items() if ap == ap},
            },
        )
