import torch

from recipes.mini.average import averaged


def test_heads_go_part_of_the_way_back_but_not_what_learnt_new_words() -> None:
    names = ("model.align.weight", "model.tagging.score.weight", "model.contrast.belief_weights", "name_bias")
    start = {name: torch.zeros(2) for name in names}
    mixed = averaged(start, {name: torch.ones(2) for name in names}, 0.6)
    assert {name: round(float(value[0]), 3) for name, value in mixed.items()} == dict(
        zip(names, (0.6, 1.0, 1.0, 1.0), strict=True)
    )
