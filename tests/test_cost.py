"""Parameters and multiply-adds of the paper's size against its Tab. 5 and Tab. 9."""

from __future__ import annotations

import pytest

from benchmarks.cost import PartCost, cost, count, main, visual
from dynrefer import InputError
from dynrefer.model import DynRefer, ModelConfig
from tests.tiny import TINY


@pytest.fixture(scope="module")
def parts() -> dict[str, PartCost]:
    return {part.name: part for part in count(ModelConfig.preset("dynrefer-flant5xl"))}


@pytest.fixture(scope="module")
def tiny_parts() -> list[PartCost]:
    return count(TINY)


# The paper's align module is counted once for each of the two views that are aligned; the released one shares it.
@pytest.mark.parametrize(
    ("name", "share", "modules"),
    [
        ("image encoder", 23.78, 1),
        ("align", 0.20, 2),
        ("resampler", 2.53, 1),
        ("tag decoder", 0.05, 1),
        ("contrast decoder", 0.05, 1),
        ("text encoder", 2.99, 1),
        ("language model", 68.79, 1),
    ],
)
def test_shares_of_the_parameters_are_the_papers(
    name: str, share: float, modules: int, parts: dict[str, PartCost]
) -> None:
    total = sum(part.parameters for part in parts.values())
    ours = 100 * modules * parts[name].parameters / total
    assert ours == pytest.approx(share, rel=0.02, abs=0.005)  # printed with two decimals


# The text encoder's own attention products (0.1 G) are not in the paper's count.
@pytest.mark.parametrize(
    ("name", "giga", "tolerance"),
    [
        ("image encoder", 783.5, 0.02),
        ("align", 2.1, 0.02),
        ("resampler", 6.4, 0.02),
        ("tag decoder", 6.2, 0.02),
        ("contrast decoder", 0.4, 0.125),  # printed with one digit: 0.35 to 0.45
        ("text encoder", 6.5, 0.03),
        ("language model", 80.1, 0.02),
    ],
)
def test_multiply_adds_are_the_papers(name: str, giga: float, tolerance: float, parts: dict[str, PartCost]) -> None:
    assert parts[name].multiply_adds / 1e9 == pytest.approx(giga, rel=tolerance)


def test_visual_cost_grows_with_the_views_as_in_the_paper(parts: dict[str, PartCost]) -> None:
    giga = [value / 1e9 for value in visual(list(parts.values()), 3)]
    assert giga == pytest.approx([268, 530, 792], rel=0.01)


def test_only_what_the_authors_trained_counts_as_trained(parts: dict[str, PartCost]) -> None:
    assert parts["image encoder"].trained == parts["text encoder"].trained == 0
    assert sum(part.trained for part in parts.values()) == 122_902_260


def test_the_parts_add_up_to_the_whole_network(tiny_parts: list[PartCost]) -> None:
    own = sum(parameter.numel() for parameter in DynRefer(TINY).parameters())
    assert sum(part.parameters for part in tiny_parts) == own


def test_the_visual_cost_for_fewer_views_is_what_is_counted_for_them(tiny_parts: list[PartCost]) -> None:
    by_part = {part.name: part.multiply_adds for part in count(TINY, 1)}
    assert visual(tiny_parts, 3)[0] == by_part["image encoder"] + by_part["resampler"]


def test_the_table_names_every_part_and_refuses_no_views(tiny_parts: list[PartCost]) -> None:
    table = cost(TINY, 2)
    assert all(part.name in table for part in tiny_parts)
    assert "views 2:" in table and "views 3:" not in table
    with pytest.raises(InputError, match="at least one view"):
        cost(TINY, 0)


def test_without_arguments_the_shipped_model_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    shipped = capsys.readouterr().out
    assert shipped.startswith("dynrefer-mini, 3 views")
    assert "views 3: 2.5 G" in shipped  # at 256 pixels; the size that training starts from, 224 pixels, takes 1.9 G


def test_a_preset_that_does_not_exist_is_answered_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--preset", "unheard-of"])
    assert "dynrefer-flant5xl" in capsys.readouterr().err
