"""What the authors report for DynRefer with FLAN-T5-XL, to stand beside our figures.

Source of every value: `docs/train_and_eval.md` of the authors' repository (callsys/DynRefer, commit 2200c5b), which
gives them for the released checkpoints of the CVPR 2025 paper (arXiv 2405.16071). That the Visual Genome caption scores
are of one region an image, and METEOR about 1 lower with all regions, is the authors' answer in issue 5 of
callsys/ControlCap. Figures of the paper that stand in no text at hand are left out.
"""

from dataclasses import dataclass

from dynrefer.evaluation.benchmark import Figure


@dataclass(frozen=True)
class Published:
    """One figure, on which data and by which protocol."""

    benchmark: str
    metric: str
    value: float
    dataset: str
    protocol: str

    def comparable(self, figure: Figure) -> bool:
        """Whether a figure of ours is of the same data and protocol."""
        return figure.protocol == f"{self.dataset}, {self.protocol}"


PUBLISHED = (
    Published("captions", "METEOR", 18.1, "RefCOCOg val", "all regions"),
    Published("captions", "CIDEr", 115.3, "RefCOCOg val", "all regions"),
    Published("captions", "METEOR", 21.2, "Visual Genome v1.2 test", "one region an image"),
    Published("captions", "CIDEr", 190.5, "Visual Genome v1.2 test", "one region an image"),
    Published("dense-captions", "mAP", 47.6, "Visual Genome v1.2 test", "true boxes"),
    Published("attributes", "mAP all", 29.2, "COCO val2017", "box oracle"),
    Published("recognition", "accuracy", 91.8, "COCO val2017", "true boxes, 80 classes"),
)


def published_beside(benchmark: str, figure: Figure) -> str:
    """The authors' figure for the same benchmark and metric, with its data and protocol where ours are others."""
    found = [item for item in PUBLISHED if (item.benchmark, item.metric) == (benchmark, figure.metric)]
    alike = [item for item in found if item.protocol in figure.protocol]
    if figure.detector or alike:
        found = alike
    if any(item.comparable(figure) for item in found):
        return f"{next(item.value for item in found if item.comparable(figure)):.1f}"
    return "; ".join(f"{item.value:.1f} on {item.dataset}, {item.protocol} (not comparable)" for item in found)
