"""Put the embedded model together out of what the other steps made.

    python -m recipes.mini.assemble OUT RUN --start CHECKPOINT --heads RUN/heads.safetensors
        --writer RUN/writer.safetensors

Reads vocabulary.json, embeddings.safetensors, tokenizer.json and calibration.json of RUN. Several `--writer` files,
runs from one start with different seeds, are averaged (Wortsman et al., ICML 2022). Both encoders are the start's.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from dynrefer.checkpoint import save_checkpoint
from dynrefer.files.text import read_json
from dynrefer.model import DynRefer
from dynrefer.model.config import Calibrated, ModelConfig
from dynrefer.vocabulary import Vocabulary
from recipes.mini.calibrate import CALIBRATION
from recipes.mini.start import Heads, heads_of
from recipes.mini.tokenizer import TOKENIZER
from recipes.mini.vocabulary import Words, default_names
from recipes.mini.writer import new_writer

# Chosen by reading captions of training photographs.
CONTROLS = 6  # predicted words that the writer is told: a name and five tags
FITS: dict[Calibrated, str] = {  # what calibration calls them
    "classes": "listed_names",
    "own_classes": "names",
    "tags": "tags",
    "attributes": "attributes",
}
GENERATION = {"num_beams": 3, "length_penalty": 0.25, "repetition_penalty": 1.3}


def main() -> None:
    """Read the arguments and write the checkpoint folder; a model card that is there is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="checkpoint folder to write")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that the run started from")
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--writer", type=Path, required=True, nargs="+")
    args = parser.parse_args()
    checkpoint, heads = heads_of(args.start, args.run, args.heads)
    model = heads.model
    writer = new_writer(checkpoint.model, Tokenizer.from_file(str(args.run / TOKENIZER)))
    writer.load_state_dict(averaged([load_file(file) for file in args.writer]), strict=False)
    writer.sentence_head.load_state_dict(model.language.sentence_head.state_dict())
    calibrated = configured(replace(model.config, language=writer.config), read_json(args.run / CALIBRATION))
    finished = DynRefer(calibrated)
    others = {name: value for name, value in model.state_dict().items() if not name.startswith("language.")}
    finished.load_state_dict(others | {f"language.{name}": value for name, value in writer.state_dict().items()})
    assert finished.text_encoder is not None and model.text_encoder is not None
    finished.language.tokenizer = writer.tokenizer
    finished.text_encoder.tokenizer = model.text_encoder.tokenizer
    words = words_of(checkpoint.vocabulary, heads, Words.of(args.run))
    priors = tuple(read_json(args.run / CALIBRATION)["tag_priors"])
    save_checkpoint(args.out, finished, replace(words, tag_priors=priors))


def averaged(writers: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several writers' weights."""
    return {name: torch.stack([weights[name] for weights in writers]).mean(0) for name in writers[0]}


def configured(config: ModelConfig, calibration: dict[str, Any]) -> ModelConfig:
    """The configuration with what calibration found, and with how captions are told and searched for."""
    thresholds = calibration["thresholds"]
    language = replace(
        config.language,
        predicted_controls=CONTROLS,
        subject_threshold=thresholds["subject"],
        generation=GENERATION,
    )
    return replace(
        config,
        language=language,
        default_mode="dynamic",
        tag_threshold=thresholds["tag"],
        sure_threshold=thresholds["sure"],
        relative_classes=calibration["reference_share"],
        class_tag_weight=1.0,
        calibration={part: tuple(calibration[name]) for part, name in FITS.items()},
    )


def words_of(old: Vocabulary, heads: Heads, words: Words) -> Vocabulary:
    """The run's tags and default names as the heads learnt them, the start's attributes, and their embeddings."""
    places = default_names(words.names)
    return Vocabulary(
        words.tags,
        old.attributes,
        tuple(words.names[place] for place in places),
        old.class_template,
        tuple(round(words.priors[place], 2) for place in places),
        embeddings={
            "tags": heads.tags.detach(),
            "attributes": old.embeddings["attributes"],
            "classes": heads.names.detach()[places],
        },
    )


if __name__ == "__main__":
    main()
