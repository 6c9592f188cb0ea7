"""The regions as the heads learn them: their targets, how often each is drawn, and batches of cached features."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from dynrefer.checkpoint import Checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.model import DynRefer
from dynrefer.model.query_decoder import QueryDecoder, TextQueries
from dynrefer.vocabulary import best_of_groups
from recipes.mini.features import FOLDER as FEATURES
from recipes.mini.features import Cache
from recipes.mini.regions import area, origin, read_regions
from recipes.mini.start import EMBEDDINGS
from recipes.mini.targets import Targets

ALIKE = 0.62  # cosine of two names from which one does not deny the other
ORIGIN_WEIGHT = {"coco": 1.0, "flickr": 0.8, "named": 2.2}
RARITY = -0.3  # power of a name's frequency in a region's chance to be drawn


class Lessons:
    """Everything about the regions that is learned, as arrays, and how regions are drawn."""

    def __init__(self, run: Path, checkpoint: Checkpoint) -> None:
        regions = read_regions(run)
        self.targets, self.cache = Targets(run), Cache(run / FEATURES)
        vocabulary, embeddings = checkpoint.vocabulary, load_file(run / EMBEDDINGS)
        self.names, self.tags = embeddings["names"], embeddings["tags"]
        self.alike = self.names @ self.names.T > ALIKE
        self.classes, self.attributes = vocabulary.embeddings["classes"], vocabulary.embeddings["attributes"]
        self.attribute_of = vocabulary.attribute_of
        number = {name: k for k, name in enumerate(vocabulary.classes)}
        self.category = np.array([number.get(region.class_name or "", -1) for region in regions])
        unknown = (-1,) * len(vocabulary.attributes)
        self.labels = np.array([region.attributes or unknown for region in regions], np.int8)
        self.origin = np.array([origin(region) for region in regions])
        self.training = np.array([region.split == "train" for region in regions])
        self.large = np.array([area(region) > 0.005 for region in regions])
        self.weight = self._weights(regions)

    def _weights(self, regions: list[Sample]) -> np.ndarray:
        """How often each region is drawn: rare names and labelled regions more often."""
        names = self.targets.names
        said = [np.array(found, int) for found, use in zip(names, self.training, strict=True) if use]
        counts = np.bincount(np.concatenate(said), minlength=len(self.names)) + 1
        frequency = np.array([counts[found].mean() if found else 4000 for found in names])
        weight = np.array([ORIGIN_WEIGHT[origin(region)] for region in regions]) * frequency**RARITY
        weight = weight * np.where((self.labels >= 0).any(1), 1.6, 1.0)
        return weight * np.where([bool(found) for found in names], 1.0, 0.3)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Rows of different cached training regions, sorted."""
        ready = np.flatnonzero(self.training & (np.asarray(self.cache.done) == 1))
        chance = self.weight[ready] / self.weight[ready].sum()
        return np.sort(rng.choice(ready, count, replace=False, p=chance))

    def attribute_logits(self, model: DynRefer, queries: Tensor, summary: Tensor) -> Tensor:
        """Of regions [S, A]."""
        return attribute_logits(model, self.attributes, self.attribute_of, queries, summary)

    def named(self, rows: np.ndarray) -> Tensor:
        """What regions are called [S, N], 1 or 0."""
        labels = torch.zeros(len(rows), len(self.names))
        for k, row in enumerate(rows):
            labels[k, self.targets.names[row]] = 1
        return labels


class Batch:
    """Regions as the heads see them: queries, summary and the classifier's belief."""

    def __init__(self, model: DynRefer, lessons: Lessons, rows: np.ndarray) -> None:
        self.rows = rows
        self.queries, summary, belief = model.represent(*lessons.cache.read(rows))
        assert summary is not None and belief is not None
        self.summary, self.belief = summary, belief

    def cheap(self, decoder: QueryDecoder, texts: TextQueries, *, believe: bool = True) -> Tensor:
        """The cheap terms [S, T], with or without belief."""
        return decoder.cheap_logits(texts, self.summary, self.belief if believe else None).float()

    def decoded(self, decoder: QueryDecoder, texts: TextQueries, numbers: Tensor) -> Tensor:
        """What decoding adds for some of the texts [S, len(numbers)]."""
        return decoder.decode(self.queries, texts.queries[numbers][None].expand(len(self.queries), -1, -1)).float()

    def part(self, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, summary and belief of some of the regions."""
        return self.queries[keep], self.summary[keep], self.belief[keep]


def attribute_logits(self, model: DynRefer, queries: Tensor, summary: Tensor) -> Tensor:
        """Of regions [S, A]."""
        return attribute_logits(model, self.attributes, self.attribute_of, queries, summary)

    def named(self, rows: np.ndarray) -> Tensor:
        """What regions are called [S, N], 1 or 0."""
        labels = torch.zeros(len(rows), len(self.names))
        for k, row in enumerate(rows):
            labels[k, self.targets.names[row]] = 1
        return labels


class Batch:
    """Regions as the heads see them: queries, summary and the classifier's belief."""

    def __init__(self, model: DynRefer, lessons: Lessons, rows: np.ndarray) -> None:
        self.rows = rows
        self.queries, summary, belief = model.represent(*lessons.cache.read(rows))
        assert summary is not None and belief is not None
        self.summary, self.belief = summary, belief

    def cheap(self, decoder: QueryDecoder, texts: TextQueries, *, believe: bool = True) -> Tensor:
        """The cheap terms [S, T], with or without belief."""
        return decoder.cheap_logits(texts, self.summary, self.belief if believe else None).float()

    def decoded(self, decoder: QueryDecoder, texts: TextQueries, numbers: Tensor) -> Tensor:
        """What decoding adds for some of the texts [S, len(numbers)]."""
        return decoder.decode(self.queries, texts.queries[numbers][None].expand(len(self.queries), -1, -1)).float()

    def part(self, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, summary and belief of some of the regions."""
        return self.queries[keep], self.summary[keep], self.belief[keep]


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that training starts from")
    parser.add_argument("--out", type=Path, required=True, help="file of the averaged weights")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--init", type=Path, help="weights of a former run of this step, to go on from")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    rng = np.random.default_rng(args.seed)
    checkpoint, model = start_of(args.start, args.run)
    heads, lessons = Heads(model), Lessons(args.run, checkpoint)
    if args.init:
        load_average(heads, args.init)

    def losses(_: int) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return step_losses(heads, lessons, lessons.draw(args.batch, rng))

    schedule = Schedule(args.steps, args.rate, weight_decay=0.05, decay_vectors=False)
    # On a CPU the fused attention's backward pass is slower at these sizes than plain matrix products.
    with sdpa_kernel(SDPBackend.MATH):
        train(heads, losses, schedule, args.out, lambda: json.dumps(scores(model, lessons)))


def step_losses(heads: Heads, lessons: Lessons, rows: np.ndarray) -> dict[str, Tensor]:
    """Every loss of a batch, weighted."""
    batch = Batch(heads.model, lessons, rows)
    return {
        **name_losses(heads, lessons, batch),
        **class_losses(heads.model, lessons, batch),
        **tag_losses(heads, lessons, batch),
        **sentence_losses(heads.model, lessons, batch),
    }


def name_losses(heads: Heads, lessons: Lessons, batch: Batch) -> dict[str, Tensor]:
    """What regions are called: by the cheap terms among all names, decoded among some, and each name by itself."""
    model = heads.model
    texts = model.contrast_texts(lessons.names)
    true = lessons.named(batch.rows)
    known = true.sum(1) > 0
    unclear = (true @ lessons.alike.float() > 0) & (true == 0)
    cheap = batch.cheap(model.contrast, texts)
    found = {"name": 0.6 * _share_loss(cheap.masked_fill(unclear, HIDDEN), true)[known].mean()}
    found |= belief_loss(model, texts, batch, known)
    hard = cheap.detach().masked_fill(unclear | (true > 0), HIDDEN).topk(2, 1).indices.flatten()
    said = true.sum(0).nonzero()[:, 0]
    some = torch.unique(torch.cat([said, _some(hard, 20), torch.randint(len(lessons.names), (8,))]))
    some = _some(some, MOST_NAMES)
    logits = cheap[:, some] + batch.decoded(model.contrast, texts, some)
    true, unclear = true[:, some], unclear[:, some]
    chosen = known & (true.sum(1) > 0)
    found["decoded_name"] = 0.5 * _share_loss(logits.masked_fill(unclear, HIDDEN), true)[chosen].mean()
    each = F.binary_cross_entropy_with_logits(logits + heads.name_bias, true, reduction="none")
    found["each_name"] = 0.25 * each.masked_fill(unclear, 0).sum(1)[known].mean()
    return found


def belief_loss(model: DynRefer, texts: TextQueries, batch: Batch, known: Tensor) -> dict[str, Tensor]:
    """The classifier's belief where it is certain, distilled into the bilinear term through classes of the same name."""
    assert texts.votes is not None
    certainty = batch.belief.max(1).values
    sure = certainty > BELIEVED
    if not sure.any():
        return {}
    believed = (batch.belief.float() @ (texts.votes > 0.99).float()).clamp(max=1)
    target = believed / believed.sum(1, keepdim=True).clamp(min=1e-3)
    logits = batch.cheap(model.contrast, texts, believe=False)
    distance = -(target * F.log_softmax(logits, 1)).sum(1) * torch.where(known, 0.25, 1.0) * certainty
    return {"belief": 0.3 * distance[sure].mean()}


def class_losses(model: DynRefer, lessons: Lessons, batch: Batch) -> dict[str, Tensor]:
    """COCO's classes one against the others, and OVAD's attributes by the best template of each."""
    found = {}
    category = torch.from_numpy(lessons.category[batch.rows])
    keep = _some((category >= 0).nonzero()[:, 0], MOST_CLASSED)
    if len(keep):
        queries, summary, belief = batch.part(keep)
        logits = model.contrast_logits(queries, lessons.classes, summary, belief).float()
        found["class"] = F.cross_entropy(logits, category[keep], label_smoothing=0.05)
    labels = torch.from_numpy(lessons.labels[batch.rows])
    labelled = (labels >= 0).any(1)
    keep = _some(labelled.nonzero()[:, 0], MOST_LABELLED)
    if len(keep):
        logits = lessons.attribute_logits(model, *batch.part(keep)[:2])
        share = min(1.0, 4 * labelled.float().mean().item())
        found["attribute"] = 8 * share * attribute_loss(logits, labels[keep])
    return found


def attribute_logits(model: DynRefer, texts: Tensor, attribute_of: Tensor, queries: Tensor, summary: Tensor) -> Tensor:
    """[S, A]: the best template of each attribute; the classifier knows no attributes, so its belief is left out."""
    logits = model.contrast_logits(queries, texts, summary).float()
    return best_of_groups(logits, attribute_of, int(attribute_of.max()) + 1)
