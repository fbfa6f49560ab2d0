"""What agents learn: Dirichlet counts of A, B and D, of a group together or of each agent.

The counts are pymdp's: those of A and B as `update_obs_likelihood_dirichlet` and
`update_state_transition_dirichlet` of pymdp 1.0.4 (with its `fpi`: from successive posteriors),
those of D, which 1.0.4 does not learn, as `update_state_prior_dirichlet` of pymdp.legacy.
A group of agents learns the sum of what its agents learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from hocket.core.errors import Problem, SpecError
from hocket.population.inference import Beliefs, at_least
from hocket.population.model import Model
from hocket.population.planning import joint
from hocket.population.tables import Tables
from hocket.population.transitions import Dense


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What a group learns, and how.

    Fields:
        A: Whether it learns what states look like.
        B: Whether it learns what actions do.
        D: Whether it learns where episodes begin.
        rate: What an observation counts.
        per: Whether the group learns together, or each agent has its own A, B and D, whose size is
            then that of the model times the number of agents. Its own A and B are what the counts
            say from the first tick; a group's are the model's until it has counted.
        every: After how many ticks a group's model takes in what was counted.
    """

    A: bool = False
    B: bool = False
    D: bool = False
    rate: float = 1.0
    per: Literal["group", "agent"] = "group"
    every: int = 1

    def check(self, model: Model) -> None:
        """Ask whether that can be learned of this model.

        Raises:
            SpecError: if counts to begin with are missing, or B is no table; it names each problem.
        """
        problems = []
        for name in ("A", "B", "D"):
            if getattr(self, name) and getattr(model, f"p{name}") is None:
                problems.append(
                    Problem(
                        where=("learning", name),
                        message=f"{name} is to be learned, but the model has no p{name}",
                        hint=f"give the Dirichlet counts to begin with, p{name}=...",
                    )
                )
        sparse = [f for f, move in enumerate(model.B) if not isinstance(move, Dense)]
        if self.B and sparse:
            problems.append(
                Problem(
                    where=("learning", "B"),
                    message=f"B of factor {sparse[0]} is no table, and only tables are learned",
                    hint="use `Dense(model.table(factor))`, or do not learn B",
                )
            )
        if self.rate <= 0:
            problems.append(
                Problem(
                    where=("learning", "rate"),
                    message=f"an observation cannot count {self.rate}",
                    hint="use a number above 0; 1 counts it once",
                )
            )
        if self.every < 1:
            problems.append(
                Problem(
                    where=("learning", "every"),
                    message=f"nothing happens after {self.every} ticks",
                    hint="use 1 to learn after each tick",
                )
            )
        if problems:
            raise SpecError(problems)


class Counts(NamedTuple):
    """What was seen how often, to be added to Dirichlet parameters; empty where nothing is learned.

    Fields:
        A: As A, of each modality.
        B: As B, of each factor.
        D: As D, of each factor.
    """

    A: tuple[jax.Array, ...] = ()
    B: tuple[jax.Array, ...] = ()
    D: tuple[jax.Array, ...] = ()


def count_A(
    model: Model, obs: jax.Array, posterior: Beliefs, weight: jax.Array, *, own: bool = False
) -> tuple[jax.Array, ...]:
    """How often each observation was seen in each state.

    Args:
        model: The model.
        obs: What was seen, [modalities, N].
        posterior: What was believed then, of each factor [states, N].
        weight: What each agent counts, [N]: 1, or 0 where there is none.
        own: Whether each agent's count is kept apart.

    Returns:
        As A, of each modality; the agents last where they are kept apart.
    """
    counts = []
    for modality, factors in enumerate(model.A_dependencies):
        shape = tuple(model.states[factor] for factor in factors)
        seen = _one_hot(obs[modality], model.observations[modality], weight)
        joined = _joined(posterior, factors)
        counts.append(_together(seen, joined, shape, own, may=(seen > 0)[:, None]))
    return tuple(counts)


def count_B(
    model: Model,
    before: Beliefs,
    after: Beliefs,
    action: jax.Array,
    weight: jax.Array,
    *,
    own: bool = False,
) -> tuple[jax.Array, ...]:
    """How often each state followed each, by action.

    Args:
        model: The model.
        before: What was believed at one step, of each factor [states, N].
        after: What was believed at the next, seeing included.
        action: What was done between, [factors, N].
        weight: What each agent counts, [N]: 1, or 0 where there was no step before.
        own: Whether each agent's count is kept apart.

    Returns:
        As B, of each factor; the agents last where they are kept apart.
    """
    counts = []
    for factor, parents in enumerate(model.B_dependencies):
        actions = model.actions[factor]
        shape = (*(model.states[parent] for parent in parents), actions)
        from_states = _joined(before, parents)
        done = _one_hot(action[factor], actions, weight)
        both = (from_states[:, None] * done).reshape(-1, done.shape[-1])
        may = jnp.tile(done > 0, (from_states.shape[0], 1))[None]
        counts.append(_together(after[factor], both, shape, own, may=may))
    return tuple(counts)


def count_D(posterior: Beliefs, weight: jax.Array, *, own: bool = False) -> tuple[jax.Array, ...]:
    """How often an episode began in each state.

    Args:
        posterior: What was believed at its first step, seeing included.
        weight: What each agent counts, [N]: 1, or 0 where no episode began.
        own: Whether each agent's count is kept apart.

    Returns:
        Of each factor [states], or [states, N] where they are kept apart.
    """
    weighed = tuple(belief * weight.astype(belief.dtype) for belief in posterior)
    return weighed if own else tuple(belief.sum(axis=-1) for belief in weighed)


def learn(learning: Learning, tables: Tables, counts: Counts) -> Tables:
    """Take in what was counted.

    Args:
        learning: What is learned.
        tables: The model's arrays; each agent's own have the agents last.
        counts: What was counted, of what is learned.

    Returns:
        The arrays with new Dirichlet parameters and their expected values; what the planner had
        worked out of the old ones is gone.
    """
    rate = learning.rate
    if learning.A:
        pA = tuple(old + rate * new for old, new in zip(tables.pA, counts.A, strict=True))
        tables = tables._replace(pA=pA, A=tuple(expected(counts) for counts in pA))
    if learning.B:
        pB = tuple(old + rate * new for old, new in zip(tables.pB, counts.B, strict=True))
        tables = tables._replace(pB=pB, B=tuple({"table": expected(counts)} for counts in pB))
    if learning.D:
        # As in pymdp.legacy: what has no count at all stays impossible.
        pD = tuple(
            old + rate * jnp.where(old > 0, new, 0)
            for old, new in zip(tables.pD, counts.D, strict=True)
        )
        tables = tables._replace(pD=pD, D=tuple(counts / counts.sum(axis=0) for counts in pD))
    return tables._replace(plan={})


def expected(counts: jax.Array) -> jax.Array:
    """The expected probabilities of Dirichlet parameters, along the first axis."""
    alpha = at_least(counts)
    return alpha / alpha.sum(axis=0)


def _one_hot(index: jax.Array, many: int, weight: jax.Array) -> jax.Array:
    """The weight of each agent at its index, [many, N]."""
    return jnp.where(index == jnp.arange(many)[:, None], weight, 0)


def _joined(beliefs: Beliefs, factors: tuple[int, ...]) -> jax.Array:
    """Joint beliefs about some factors, [product of their states, N]."""
    return joint([belief[:, None] for belief in beliefs], factors)[:, 0]


def _together(
    rows: jax.Array, columns: jax.Array, shape: tuple[int, ...], own: bool, *, may: jax.Array
) -> jax.Array:
    """How often each row came with each column, [rows, *shape], summed over agents or not.

    What has a count, however small, has a novelty; what has none cannot happen.
    So where there may be one, [rows or 1, columns or 1, N], it is never 0, even if 32-bit floats
    cannot hold how improbable it was.
    """
    if own:
        both = rows[:, None] * columns[None]
    else:
        both = jnp.einsum(
            "rn,cn->rc", rows.astype(columns.dtype), columns, precision=jax.lax.Precision.HIGHEST
        )
        may = may.any(axis=-1)
    # Large enough for a rate of a millionth; far too small for its own worth to matter.
    least = 2.0**20 * float(jnp.finfo(both.dtype).tiny)
    both = jnp.where(may, jnp.maximum(both, least), both)
    return both.reshape(rows.shape[0], *shape, *([-1] if own else []))
