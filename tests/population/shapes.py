"""Random models: of any shape that is small, with zeros and without, from a number alone."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from hocket.population.model import Model
from hocket.population.policies import sampled_policies

FEW = 6
"""How many shapes `make test` looks at; `make test-all` says HOCKET_SHAPES."""

SHAPES = int(os.environ.get("HOCKET_SHAPES", FEW))
AGENTS = 5


@dataclass(frozen=True)
class Shape:
    """What a model's arrays look like.

    Fields:
        number: Which shape it is; the values are drawn from it too.
        zeros: Whether a good part of A, B, C, D, E and the counts is 0.
        steps: Whether preferences change from step to step.
    """

    number: int
    states: tuple[int, ...]
    observations: tuple[int, ...]
    actions: tuple[int, ...]
    A_dependencies: tuple[tuple[int, ...], ...]
    B_dependencies: tuple[tuple[int, ...], ...]
    horizon: int
    zeros: bool
    steps: bool


def shape_of(number: int) -> Shape:
    """The shape of that number; the first six have every count between them, others draw them."""
    chance = np.random.default_rng([7, number])
    sizes = [(1, 2, 2), (2, 1, 3), (3, 3, 1), (1, 3, 3), (2, 2, 1), (3, 1, 2)]
    drawn = tuple(int(chance.integers(1, 4)) for _ in range(3))
    factors, modalities, horizon = sizes[number] if number < len(sizes) else drawn

    def some(of: int) -> tuple[int, ...]:
        count = int(chance.integers(1, of + 1))
        return tuple(sorted(int(one) for one in chance.choice(of, count, replace=False)))

    return Shape(
        number=number,
        states=tuple(int(chance.integers(2, 6)) for _ in range(factors)),
        observations=tuple(int(chance.integers(2, 21)) for _ in range(modalities)),
        # One factor at least can be moved.
        actions=(2, *(int(chance.integers(1, 4)) for _ in range(factors - 1))),
        A_dependencies=tuple(some(factors) for _ in range(modalities)),
        B_dependencies=tuple(
            tuple(sorted({f, *(some(factors) if chance.random() < 0.5 else ())}))
            for f in range(factors)
        ),
        horizon=horizon,
        zeros=number % 2 == 1,
        steps=bool(chance.random() < 0.3),
    )


def model_of(shape: Shape, **settings: object) -> Model:
    """A model of that shape, with Dirichlet parameters, all terms counted."""
    chance = np.random.default_rng([11, shape.number])

    def counts(*size: int) -> np.ndarray:
        values = chance.gamma(0.7, size=size) * chance.choice([0.3, 3.0, 30.0]) + 0.05
        if shape.zeros:
            values = np.where(chance.random(size) < 0.4, 0, values)
            # No column is empty.
            values[0] += values.sum(axis=0) == 0
        return values

    def normal(values: np.ndarray) -> np.ndarray:
        return values / values.sum(axis=0)

    states, actions = shape.states, shape.actions
    pA = [
        counts(many, *(states[f] for f in parents))
        for many, parents in zip(shape.observations, shape.A_dependencies, strict=True)
    ]
    pB = [
        counts(many, *(states[f] for f in parents), acts)
        for many, parents, acts in zip(states, shape.B_dependencies, actions, strict=True)
    ]
    pD = [counts(many) for many in states]
    C = [
        chance.normal(size=(many, shape.horizon) if shape.steps else many) * 2
        for many in shape.observations
    ]
    policies = sampled_policies(actions, shape.horizon, 30, seed=shape.number)
    habit = normal(counts(len(policies)))
    return Model.of(
        A=[normal(a) for a in pA],
        B=[normal(b) for b in pB],
        C=[np.where(chance.random(c.shape) < 0.3, 0, c) if shape.zeros else c for c in C],
        D=[normal(d) for d in pD],
        E=habit,
        A_dependencies=shape.A_dependencies,
        B_dependencies=shape.B_dependencies,
        policies=policies,
        gamma=float(chance.choice([0.5, 1.0, 4.0, 16.0])),
        alpha=float(chance.choice([1.0, 4.0])),
        parameter_information=True,
        iterations=int(chance.choice([1, 4, 16])),
        pA=tuple(pA),
        pB=tuple(pB),
        pD=tuple(pD),
        **settings,
    )


def agents_of(shape: Shape, agents: int = AGENTS) -> dict[str, np.ndarray | list[np.ndarray]]:
    """What some agents believe, see and do: a prior and a belief before, agents last."""
    chance = np.random.default_rng([13, shape.number])

    def beliefs() -> list[np.ndarray]:
        drawn = []
        for many in shape.states:
            values = chance.gamma(0.5, size=(many, agents)) + 1e-3
            if shape.zeros:
                values = np.where(chance.random(values.shape) < 0.4, 0, values)
                values[0] += values.sum(axis=0) == 0
            drawn.append(values / values.sum(axis=0))
        return drawn

    def each(counts: tuple[int, ...]) -> np.ndarray:
        return np.stack([chance.integers(0, many, agents) for many in counts]).astype(np.int32)

    return {
        "prior": beliefs(),
        "before": beliefs(),
        "obs": each(shape.observations),
        "action": each(shape.actions),
    }
