"""Texts of GMN that tests read, and models to write."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hocket.population.model import Model

EXAMPLES = Path(__file__).parents[2] / "examples/population"

SMALL = """\
[nodes]
place: state {names: [home, field]}
smell: observation {names: [none, food]}
move: action {names: [stay, go]}
nose: likelihood {values: identity, certainty: 0.9}
walk: transition {cases: [{when: {move: stay}, then: stays}, {when: {place: home}, then: field}, {then: home}]}
want: preference {values: {food: 2}}
start: belief {at: home}
plan: policy {length: 2, gamma: 4}

[edges]
nose -> place: depends_on
nose -> smell: generates
walk -> place: updates
walk -> move: depends_on
want -> smell: influences
start -> place: influences
"""  # noqa: E501


def same(one: Model, other: Model) -> None:
    """See that two models say the same, number for number."""
    for name in ("A", "C", "D", "pA", "pB", "pD"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        assert all(map(np.array_equal, first or (), second or ())), name
    assert len(one.B) == len(other.B)
    for first, second in zip(one.B, other.B, strict=True):
        assert type(first) is type(second)
        assert np.array_equal(first.dense(), second.dense())
    assert np.array_equal(one.E, other.E) and np.array_equal(one.policies, other.policies)
    for name in (
        "A_dependencies",
        "B_dependencies",
        "gamma",
        "alpha",
        "inference",
        "iterations",
        "window",
        "utility",
        "state_information",
        "parameter_information",
        "selection",
        "sampling",
    ):
        assert getattr(one, name) == getattr(other, name), name


def random_model(chance: np.random.Generator) -> Model:
    """A model of one or two factors and modalities, with everything that a model may have."""
    factors, modalities = int(chance.integers(1, 3)), int(chance.integers(1, 3))
    states = [int(chance.integers(2, 4)) for _ in range(factors)]
    actions = [int(chance.integers(1, 3)) for _ in range(factors)]
    tables = []
    rows = [
        sorted(chance.choice(factors, size=int(chance.integers(1, factors + 1)), replace=False))
        for _ in range(modalities)
    ]
    for row in rows:
        shape = [states[f] for f in row]
        tables.append(np.moveaxis(chance.dirichlet(np.ones(3), size=shape), -1, 0))
    moves, others = [], []
    for f in range(factors):
        row = [f] if chance.random() < 0.5 else [int(g) for g in chance.permutation(factors)]
        shape = [*(states[g] for g in row), actions[f]]
        moves.append(np.moveaxis(chance.dirichlet(np.ones(states[f]), size=shape), -1, 0))
        others.append(row)
    length = int(chance.integers(1, 3))
    count = int(np.prod(actions)) ** length
    learned = chance.random() < 0.5
    return Model.of(
        tables,
        moves,
        [
            chance.normal(size=(3, length)) if chance.random() < 0.3 else chance.normal(size=3)
            for _ in rows
        ],
        [chance.dirichlet(np.ones(many)) for many in states],
        chance.dirichlet(np.ones(count)) if chance.random() < 0.5 else None,
        A_dependencies=rows,
        B_dependencies=others,
        policy_length=length,
        gamma=float(chance.random() + 0.1),
        alpha=float(chance.random() + 0.1),
        inference=str(chance.choice(["fpi", "vmp"])),
        iterations=int(chance.integers(1, 20)),
        parameter_information=learned,
        selection=str(chance.choice(["deterministic", "stochastic"])),
        sampling=str(chance.choice(["full", "marginal"])),
        pA=[table + 0.5 for table in tables] if learned else None,
        pD=[np.ones(many) * 2 for many in states] if learned else None,
    )
