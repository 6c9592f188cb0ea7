"""The network that the new heads and the new writer start from: a landed checkpoint, with the classifier's belief.

Every step reads it in the same way, so that features, heads and writer fit each other.
"""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from dynrefer.checkpoint import Checkpoint, load_checkpoint
from dynrefer.model import DynRefer

SHORTLIST = 96  # names or tags that are decoded at inference
BELIEF_WEIGHTS = (2.0, 0.5)  # of belief and of its logarithm, before training
EMBEDDINGS = "embeddings.safetensors"


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
    model = DynRefer(config)
    own = model.state_dict()
    known = {name: value for name, value in old.state_dict().items() if name in own}
    model.load_state_dict(known, strict=False)
    with torch.no_grad():
        if "contrast.belief_weights" not in known:
            for decoder in (model.contrast, model.tagging):
                assert decoder.belief_weights is not None
                decoder.belief_weights.copy_(torch.tensor(BELIEF_WEIGHTS))
        if embeddings is not None:
            assert model.classifier_names is not None
            names = torch.stack([embeddings["classifier_names"], embeddings["everyday_names"]])
            model.classifier_names.embeddings.copy_(names)
    assert model.text_encoder is not None and old.text_encoder is not None
    model.language.tokenizer = old.language.tokenizer
    model.text_encoder.tokenizer = old.text_encoder.tokenizer
    return model.eval()


def start_of(folder: Path, run: Path) -> tuple[Checkpoint, DynRefer]:
    """The checkpoint in `folder` and the network that starts from it, with the class names of a run's vocabulary."""
    checkpoint = load_checkpoint(folder)
    return checkpoint, start_model(checkpoint, load_file(run / EMBEDDINGS))
