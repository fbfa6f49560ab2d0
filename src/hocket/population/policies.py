"""Policies: the sequences of actions that agents choose among.

A set of policies is an array of integers [policies, length, factors], as pymdp has it; a factor
that is not controlled has the action 0 throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np

from hocket.population.transitions import Ints, ask


def every_policy(actions: Sequence[int], length: int) -> Ints:
    """All sequences of actions of that length, in pymdp's order: the last step varies first.

    Args:
        actions: The number of actions of each factor; 1 for one that is not controlled.
        length: How many steps a policy looks ahead.

    Returns:
        Actions, [prod(actions) ** length, length, factors].

    Raises:
        SpecError: if they would take more than 1 GB.
    """
    joint = _joint_actions(actions)
    many = _sequences(len(joint), length)
    ask(
        many * length * 8 * max(1, len(actions)),
        ("policies",),
        f"every sequence of {length} of {len(joint):,} joint actions",
        "look less far ahead, or give `policies=sampled_policies(actions, length, count)`",
    )
    place = len(joint) ** np.arange(length - 1, -1, -1, dtype=np.int64)
    order = np.arange(many, dtype=np.int64)[:, None] // place % len(joint)
    plans: Ints = joint[order]
    return plans


def _joint_actions(actions: Sequence[int]) -> Ints:
    """What all factors may do at once, [prod(actions), factors]; the last factor varies first."""
    many = prod(actions)
    ask(
        many * (64 + 8 * len(actions)),
        ("policies",),
        f"a list of all {many:,} joint actions",
        "let fewer factors be moved, or give `policies` yourself",
    )
    return np.array(list(product(*(range(count) for count in actions))), np.int32)


def _sequences(joint: int, length: int) -> int:
    """How many sequences there are; beyond 64 steps nobody counts on."""
    return int(joint ** min(length, 64))


def sampled_policies(actions: Sequence[int], length: int, count: int, *, seed: int = 0) -> Ints:
    """A choice of sequences of actions, for horizons whose every sequence would be too many.

    Each joint action held throughout is among them if there is room; the others are drawn
    without repetition, uniformly.

    Args:
        actions: The number of actions of each factor.
        length: How many steps a policy looks ahead.
        count: How many policies; all there are, if there are no more.
        seed: What the draw depends on.

    Returns:
        Actions, [at most count, length, factors], in ascending order.
    """
    joint = _joint_actions(actions)
    total = _sequences(len(joint), length)
    if total <= count:
        return every_policy(actions, length)
    chance = np.random.default_rng(seed)
    chosen = {(held,) * length: None for held in range(min(len(joint), count))}
    while len(chosen) < count:
        drawn = chance.integers(0, len(joint), size=(count, length))
        for row in drawn:
            if len(chosen) < count:
                chosen[tuple(int(action) for action in row)] = None
    return joint[np.array(sorted(chosen), np.int64)]
