"""The network that the new heads and the new writer start from: a landed checkpoint, with the classifier's belief.

Every step reads it in the same way, so that features, heads and writer fit each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dynrefer.checkpoint import Checkpoint, load_checkpoint
from dynrefer.model import DynRefer
from dynrefer.model.query_decoder import TextQueries
from recipes.mini.loop import load_average

Representation = tuple[Tensor, Tensor | None, Tensor | None]
"""Queries, summary and belief, see `DynRefer.represent`."""
SHORTLIST = 96  # names or tags that are decoded at inference
REFERENCE_SHARE = 0.5  # of the log-sum-exp: with none of it, and with all, names' probabilities are worse
BELIEF_WEIGHTS = (2.0, 0.5)  # of belief and of its logarithm, before training
EMBEDDINGS = "embeddings.safetensors"
TRAINED = ("align", "resampler", "summary", "tagging", "contrast", "language.sentence_head")
DECODERS = ("tagging", "contrast")


class Heads(nn.Module):
    """The network, what its words' embeddings are moved by, and a bias each for what names and tags are judged by.

    Calibration takes the biases' place later. `embeddings` are those of `recipes.mini.vocabulary`: names [N, E], tags
    [T, E] as the text encoder says them.
    """

    def __init__(self, model: DynRefer, embeddings: Mapping[str, Tensor], trained: Sequence[str] = TRAINED) -> None:
        super().__init__()
        self.model, self.embeddings = model, embeddings
        self.name_shift = nn.Parameter(torch.zeros_like(embeddings["names"]))
        self.tag_shift = nn.Parameter(torch.zeros_like(embeddings["tags"]))
        self.name_bias = nn.Parameter(torch.zeros(()))
        self.tag_bias = nn.Parameter(torch.zeros(()))
        self.cheap_tag_bias = nn.Parameter(torch.tensor(-6.0))
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(name.startswith(part) for part in trained))

    @property
    def names(self) -> Tensor:
        """Embeddings of the names [N, E], moved to where regions of that name are."""
        return self.embeddings["names"] + self.name_shift

    @property
    def tags(self) -> Tensor:
        """Embeddings of the tags [T, E], moved likewise."""
        return self.embeddings["tags"] + self.tag_shift


def start_model(checkpoint: Checkpoint, embeddings: dict[str, Tensor] | None = None) -> DynRefer:
    """The checkpoint's network whose encoder passes on the classifier's belief, and whose decoders weigh it.

    `embeddings` are those of `recipes.mini.vocabulary`; without them the decoders know no names of the classes, which
    is enough to cache features.
    """
    old = checkpoint.model
    config = replace(
        old.config,
        encoder=replace(old.config.encoder, belief=True),
        decoder=replace(old.config.decoder, shortlist=SHORTLIST),
    )
    model = old.changed(config)
    with torch.no_grad():
        if old.contrast.belief_weights is None:
            for decoder in (model.contrast, model.tagging):
                assert decoder.belief_weights is not None
                decoder.belief_weights.copy_(torch.tensor(BELIEF_WEIGHTS))
        if embeddings is not None:
            assert model.classifier_names is not None
            names = torch.stack([embeddings["classifier_names"], embeddings["everyday_names"]])
            model.classifier_names.embeddings.copy_(names)
    return model.eval()


def heads_of(
    folder: Path, run: Path, weights: Path | None = None, trained: Sequence[str] = TRAINED
) -> tuple[Checkpoint, Heads]:
    """The checkpoint in `folder` and the heads that start from it, with a run's vocabulary and trained `weights`."""
    checkpoint, embeddings = load_checkpoint(folder), load_file(run / EMBEDDINGS)
    heads = Heads(start_model(checkpoint, embeddings), embeddings, trained)
    if weights is not None:
        load_average(heads, weights)
    return checkpoint, heads


def moved_heads(
    folder: Path, run: Path, names: Sequence[str], trained: Sequence[str] = TRAINED
) -> tuple[Checkpoint, Heads]:
    """The same of a finished checkpoint: words lie where it moved them to, of `names` those that it calls regions."""
    checkpoint, heads = heads_of(folder, run, trained=trained)
    vocabulary = checkpoint.vocabulary
    moved = dict(zip(vocabulary.classes, vocabulary.embeddings["classes"], strict=True))
    with torch.no_grad():
        heads.tag_shift.copy_(vocabulary.embeddings["tags"] - heads.embeddings["tags"])
        for place, name in enumerate(names):
            if name in moved:
                heads.name_shift[place] = moved[name] - heads.embeddings["names"][place]
    return checkpoint, heads


def name_logits(model: DynRefer, region: Representation, names: tuple[TextQueries, TextQueries]) -> Tensor:
    """[S, K] of names by both decoders, as `dynrefer.inference` adds them; each decodes its short list."""
    queries, summary, belief = region
    contrast, tags = names
    logits = model.contrast(queries, contrast, summary, belief).float()
    return logits + model.tagging(queries, tags, summary, belief).float()


def relative(logits: Tensor, own: Tensor) -> Tensor:
    """Logits [S, K] counted from their share of the log-sum-exp over all default names' logits [S, N]."""
    return logits - REFERENCE_SHARE * own.logsumexp(1, keepdim=True)
