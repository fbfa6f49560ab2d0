"""The expected free energy of all policies as one product of matrices, exactly.

For a policy (u_1, ..., u_T) and a belief q, with h = -sum_o A_o ln A_o the ambiguity of each state:

    q_t = B_{u_t} ... B_{u_1} q      qo_t = A q_t      h_t = h . q_t
    G   = sum_t [ C . qo_t + H(qo_t) - h_t ]

Everything before H is linear in q, so the rows [A; h] B_{u_t} ... B_{u_1} of every sequence of
actions that a policy begins with are stacked into one matrix W, once, and a tick needs W q alone.
Agents then cost rows × states multiplications instead of a product with B for each action.

This holds where each modality depends on one factor, and that factor on itself alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from hocket.population.inference import ln
from hocket.population.model import Model
from hocket.population.tables import Moves, Tables
from hocket.population.transitions import Dense, Floats, Grid, Lists, Transition

Sequence_: TypeAlias = tuple[int, ...]


def is_linear(model: Model) -> bool:
    """Whether the product is exact for this model."""
    return not model.parameter_information and all(
        len(factors) == 1 and model.B_dependencies[factors[0]] == factors
        for factors in model.A_dependencies
    )


@dataclass(frozen=True)
class Level:
    """The sequences of one length whose rows are needed.

    Fields:
        first: The first action of each, [n].
        rest: Where the sequence without its first action is in the level before, [n].
    """

    first: tuple[int, ...]
    rest: tuple[int, ...]


class LinearPlanner:
    """Plans for models that `is_linear` accepts.

    Args:
        model: The model.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.factors = tuple(dict.fromkeys(row[0] for row in model.A_dependencies))
        self.modalities = {
            f: tuple(m for m, row in enumerate(model.A_dependencies) if row[0] == f)
            for f in self.factors
        }
        self.levels: dict[int, tuple[Level, ...]] = {}
        self.index: dict[int, np.ndarray[Any, Any]] = {}
        for f in self.factors:
            self.levels[f], self.index[f] = _levels(model.policies[:, :, f])

    @property
    def rows(self) -> int:
        """How many rows W has, over all factors."""
        return sum(
            sum(len(level.first) for level in self.levels[f])
            * sum(self.model.observations[m] + 1 for m in self.modalities[f])
            for f in self.factors
        )

    def prepare(self, tables: Tables) -> dict[str, Any]:
        """W for each factor, [sequences × (observations + 1) of its modalities, states]."""
        plan: dict[str, Any] = {}
        for f in self.factors:
            rows = []
            for m in self.modalities[f]:
                likelihood = tables.A[m]
                rows += [likelihood, -(likelihood * ln(likelihood)).sum(0)[None]]
            before = jnp.concatenate(rows)[None]
            stacked = []
            for level in self.levels[f]:
                before = _pull_level(level, before, self.model.B[f], tables.B[f])
                stacked.append(before)
            plan[f"W{f}"] = jnp.concatenate(stacked).reshape(-1, self.model.states[f])
        return plan

    def neg_efe(
        self, tables: Tables, posterior: Sequence[jax.Array], preferences: Sequence[jax.Array]
    ) -> jax.Array:
        """The negative expected free energy of every policy.

        Args:
            tables: The model on the device, with this planner's part.
            posterior: The belief of each factor, [states, N].
            preferences: Of each modality [observations], or [observations, N] of each agent's own;
                where the model's differ by step, [observations, steps] or [observations, steps, N].

        Returns:
            [policies, N], in nats.
        """
        total = jnp.zeros((), posterior[0].dtype)
        for f in self.factors:
            product = jnp.dot(
                tables.plan[f"W{f}"], posterior[f], precision=jax.lax.Precision.HIGHEST
            )
            total = total + self.worth(f, product, preferences)
        return total

    def worth(self, factor: int, product: jax.Array, preferences: Sequence[jax.Array]) -> jax.Array:
        """What one factor's part of W q says of every policy.

        Args:
            factor: The factor.
            product: W q, [rows, N].
            preferences: As in `neg_efe`.

        Returns:
            [policies, N], in nats.
        """
        total = jnp.zeros((), product.dtype)
        widths = [self.model.observations[m] + 1 for m in self.modalities[factor]]
        expected = product.reshape(-1, sum(widths), product.shape[-1])
        begin = 0
        for step, level in enumerate(self.levels[factor]):
            end = begin + len(level.first)
            value = self._value(factor, expected[begin:end], preferences, step)
            total = total + _spread(value, self.index[factor][:, step], len(self.model.policies))
            begin = end
        return total

    def _value(
        self, factor: int, expected: jax.Array, preferences: Sequence[jax.Array], step: int
    ) -> jax.Array:
        """What each sequence of one length is worth at its last step, [sequences, N]."""
        value = jnp.zeros((), expected.dtype)
        offset = 0
        for m in self.modalities[factor]:
            many = self.model.observations[m]
            seen = expected[:, offset : offset + many]
            worth = jnp.zeros((), expected.dtype)
            if self.model.utility:
                wanted = preferences[m]
                if self.model.C[m].ndim > 1:
                    wanted = wanted[:, step]
                worth = worth + wanted.reshape(many, -1)[None]
            if self.model.state_information:
                worth = worth - ln(seen)
                value = value - expected[:, offset + many]
            value = value + (seen * worth).sum(1)
            offset += many + 1
        return value


def _levels(sequences: np.ndarray[Any, Any]) -> tuple[tuple[Level, ...], np.ndarray[Any, Any]]:
    """The sequences needed of each length, and where each policy's beginnings are among them.

    The rows of a sequence come of those of the sequence without its first action, so these are
    needed too.
    """
    horizon = sequences.shape[1]
    begun = [{tuple(map(int, row[:length])) for row in sequences} for length in range(horizon + 1)]
    needed: list[dict[Sequence_, None]] = [{} for _ in range(horizon + 1)]
    for length in range(horizon, 0, -1):
        ends = {row[1:] for row in needed[length + 1]} if length < horizon else set[Sequence_]()
        needed[length] = dict.fromkeys(sorted(begun[length] | ends))
    needed[0] = {(): None}
    places = [{row: place for place, row in enumerate(level)} for level in needed]
    levels = tuple(
        Level(
            tuple(row[0] for row in needed[length]),
            tuple(places[length - 1][row[1:]] for row in needed[length]),
        )
        for length in range(1, horizon + 1)
    )
    index = np.array(
        [
            [places[length][tuple(map(int, row[:length]))] for length in range(1, horizon + 1)]
            for row in sequences
        ],
        np.int32,
    )
    return levels, index


def _spread(value: jax.Array, index: np.ndarray[Any, Any], policies: int) -> jax.Array:
    """Give each policy the value of its beginning, [policies, N]."""
    many = value.shape[0]
    if policies % many == 0 and np.array_equal(index, np.arange(policies) // (policies // many)):
        return jnp.repeat(value, policies // many, axis=0)
    return value[index]


def _pull_level(level: Level, before: jax.Array, kind: Transition, moves: Moves) -> jax.Array:
    """The rows of all sequences of a length, from those that are one shorter, [n, rows, states]."""
    first = np.array(level.first)
    rest = np.array(level.rest)
    result = jnp.zeros((len(first), *before.shape[1:]), before.dtype)
    for action in sorted(set(level.first)):
        which = np.flatnonzero(first == action)
        result = result.at[which].set(_pull(kind, moves, before[rest[which]], action))
    return result


def _pull(kind: Transition, moves: Moves, rows: jax.Array, action: int) -> jax.Array:
    """Rows times B of one action: what each state leads to, [..., states]."""
    match kind:
        case Grid():
            target = kind.targets()[action]
            return (1 - kind.slip) * rows[..., target] + kind.slip * rows
        case Lists():
            following, weight = kind.next[action], jnp.asarray(kind.weight[action], rows.dtype)
            return sum(
                (
                    rows[..., following[:, entry]] * weight[:, entry]
                    for entry in range(following.shape[1])
                ),
                jnp.zeros_like(rows),
            )
        case Dense():
            table: Floats | jax.Array = moves["table"][:, :, action]
            return jnp.dot(rows, table, precision=jax.lax.Precision.HIGHEST)
