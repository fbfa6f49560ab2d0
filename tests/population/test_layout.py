"""How blocks form parts: enough for all devices, and the same ones wherever it goes on."""

from __future__ import annotations

import numpy as np
import pytest

from hocket.population.layout import EACH, MOST_PARTS, layouts_of, parts_of
from hocket.population.model import Model

MODEL = Model.of([np.eye(2)], [np.eye(2)[..., None]])


@pytest.mark.parametrize(
    ("agents", "parts"),
    [(1, 1), (200, 2), (1_000, 8), (32_768, 8), (32_769, 16), (100_000, 32), (1_000_000, 64)],
)
def test_parts_depend_on_how_many_agents_there_are(agents: int, parts: int) -> None:
    (layout,) = layouts_of([MODEL], [agents])
    assert layout.parts == parts
    assert layout.blocks % parts == 0 and layout.slots >= agents


def test_a_population_that_was_rounded_up_has_the_same_parts() -> None:
    for blocks in range(1, 3 * EACH * MOST_PARTS):
        parts = parts_of(blocks)
        assert parts_of(-(-blocks // parts) * parts) == parts
        assert blocks <= EACH * 8 or -blocks % parts < 2 * blocks / EACH, "few are empty"


def test_a_small_group_beside_a_large_one_has_its_parts() -> None:
    large, small = layouts_of([MODEL, MODEL], [200_000, 10])
    assert large.parts == small.parts == small.blocks == 64
