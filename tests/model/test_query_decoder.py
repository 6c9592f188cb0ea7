"""Texts scored against a region: the short list of what is decoded, and what the encoder's classifier adds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dynrefer.model.config import QueryDecoderConfig
from dynrefer.model.query_decoder import ClassifierNames, QueryDecoder, TextQueries

WIDTH, REGIONS, TEXTS, NAMES = 16, 3, 12, 5


def decoder(shortlist: int = 0) -> QueryDecoder:
    """Random weights, the same for every short list; the belief counts."""
    torch.manual_seed(1)
    config = QueryDecoderConfig(width=WIDTH, layers=1, heads=2, hidden=32, shortlist=shortlist)
    made = QueryDecoder(config, WIDTH, WIDTH, belief=True).eval()
    assert made.belief_weights is not None
    made.belief_weights.data = torch.tensor([1.5, 0.4])
    return made


@pytest.fixture
def region() -> tuple[Tensor, Tensor, Tensor]:
    """Queries, summary and belief of some regions."""
    generator = torch.Generator().manual_seed(2)
    belief = torch.randn(REGIONS, NAMES, generator=generator).softmax(-1)
    return (
        torch.randn(REGIONS, 4, WIDTH, generator=generator),
        torch.randn(REGIONS, WIDTH, generator=generator),
        belief,
    )


def texts(of: QueryDecoder) -> TextQueries:
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.nn.functional.normalize(torch.randn(TEXTS, WIDTH, generator=generator), dim=-1)
    return of.prepare(embeddings, torch.rand(NAMES, TEXTS, generator=generator))


@torch.no_grad()
def scores(of: QueryDecoder, region: tuple[Tensor, Tensor, Tensor], *, whole: bool = False) -> Tensor:
    queries, summary, belief = region
    return of(queries, replace(texts(of), whole=whole), summary, belief)


def listed(of: QueryDecoder, region: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """[S, T] bool: which texts are on the short list."""
    _, summary, belief = region
    with torch.no_grad():
        cheap = of.cheap_logits(texts(of), summary, belief)
    assert cheap is not None
    best = cheap.topk(of.shortlist, 1).indices
    return torch.zeros(REGIONS, TEXTS, dtype=torch.bool).scatter(1, best, True)


@pytest.mark.parametrize("shortlist", [TEXTS, TEXTS + 5])
def test_a_short_list_as_long_as_the_list_is_all_of_it(shortlist: int, region: tuple[Tensor, Tensor, Tensor]) -> None:
    torch.testing.assert_close(scores(decoder(shortlist), region), scores(decoder(), region))


@pytest.mark.parametrize("shortlist", [1, 4, TEXTS - 1])
def test_texts_on_the_short_list_score_as_if_all_were_decoded(
    shortlist: int, region: tuple[Tensor, Tensor, Tensor]
) -> None:
    short = decoder(shortlist)
    on_it = listed(short, region)
    torch.testing.assert_close(scores(short, region)[on_it], scores(short, region, whole=True)[on_it])


@pytest.mark.parametrize("shortlist", [1, 4, TEXTS - 1])
def test_a_text_that_is_not_decoded_never_beats_one_that_is(
    shortlist: int, region: tuple[Tensor, Tensor, Tensor]
) -> None:
    short = decoder(shortlist)
    found, on_it = scores(short, region), listed(short, region)
    worst_decoded = found.masked_fill(~on_it, torch.inf).amin(1)
    best_other = found.masked_fill(on_it, -torch.inf).amax(1)
    assert (best_other <= worst_decoded).all()


def test_texts_that_are_not_decoded_stand_in_the_order_of_the_cheap_terms(
    region: tuple[Tensor, Tensor, Tensor],
) -> None:
    short = decoder(4)
    _, summary, belief = region
    with torch.no_grad():
        cheap = short.cheap_logits(texts(short), summary, belief)
    assert cheap is not None
    found, on_it = scores(short, region), listed(short, region)
    for row in range(REGIONS):
        others = ~on_it[row]
        assert found[row][others].argsort().tolist() == cheap[row][others].argsort().tolist()


def test_training_decodes_every_text(region: tuple[Tensor, Tensor, Tensor]) -> None:
    short, whole = decoder(2).train(), decoder().train()
    torch.manual_seed(4)
    first = scores(short, region)
    torch.manual_seed(4)  # the same dropout
    torch.testing.assert_close(first, scores(whole, region))


def test_parts_of_a_prepared_list_score_as_the_list(region: tuple[Tensor, Tensor, Tensor]) -> None:
    whole = decoder()
    queries, summary, belief = region
    parts = texts(whole).split(5)
    assert [len(part.queries) for part in parts] == [5, 5, 2]
    with torch.no_grad():
        found = torch.cat([whole(queries, part, summary, belief) for part in parts], 1)
    torch.testing.assert_close(found, scores(whole, region))


@torch.no_grad()
@pytest.mark.parametrize("shortlist", [0, 4])
def test_lists_that_are_scored_together_score_as_each_alone(
    shortlist: int, region: tuple[Tensor, Tensor, Tensor]
) -> None:
    asked = decoder(shortlist)
    queries, summary, belief = region
    lists = [texts(asked), replace(texts(asked), votes=None, whole=True), *texts(asked).split(7)]
    together = asked.score_lists(lists, queries, summary, belief)
    for some, found in zip(lists, together, strict=True):
        torch.testing.assert_close(found, asked(queries, some, summary, belief))


@pytest.mark.parametrize("sparse", [False, True])
def test_what_the_classifier_is_surer_of_scores_higher(sparse: bool, region: tuple[Tensor, Tensor, Tensor]) -> None:
    whole = decoder()
    queries, summary, _ = region
    votes = torch.zeros(NAMES, TEXTS)
    votes[2, 7] = 1  # the third name speaks for the eighth text alone
    prepared = TextQueries(texts(whole).queries, texts(whole).bilinear, votes)
    prepared = prepared.sparse() if sparse else prepared

    def believing(probability: float) -> Tensor:
        belief = torch.zeros(REGIONS, NAMES)
        belief[:, 2] = probability
        with torch.no_grad():
            return whole(queries, prepared, summary, belief)

    rise = believing(0.9) - believing(0.1)
    expected = 1.5 * 0.8 + 0.4 * torch.tensor(0.91 / 0.11).log()
    torch.testing.assert_close(rise[:, 7], expected.expand(REGIONS), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rise[:, :7], torch.zeros(REGIONS, 7), rtol=0, atol=1e-5)


def test_a_name_votes_for_texts_that_mean_alike_by_the_better_of_its_two_forms() -> None:
    names = ClassifierNames(3, 2)
    names.embeddings[0] = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # the data set's names
    names.embeddings[1] = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # the everyday ones
    alike = torch.tensor([0.775, 0.0, (1 - 0.775**2) ** 0.5])  # half way between being strangers and being the same
    votes = names(torch.stack([torch.tensor([0.0, 1.0, 0.0]), alike, torch.tensor([0.5, 0.5, 0.5**0.5])]))
    torch.testing.assert_close(votes[0], torch.tensor([1.0, 0.25, 0.0]))
