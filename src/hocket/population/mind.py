"""One tick of agents' minds: infer, plan, choose, and expect what comes of it.

A mind works on one block of agents, [..., lanes], without looking at any other.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from hocket.population.choice import choose, draws_needed, policy_posterior
from hocket.population.group import Group
from hocket.population.inference import infer
from hocket.population.linear import LinearPlanner, is_linear
from hocket.population.planning import Planner, predict
from hocket.population.tables import Tables, tables_of

MindState: TypeAlias = dict[str, Any]
"""What a block of agents carries from tick to tick: arrays, or tuples of them, [..., lanes]."""


class Thought(NamedTuple):
    """What comes of a tick.

    Fields:
        state: What the agents carry on.
        actions: Of each control, [controls, lanes].
        info: Numbers of each agent, [lanes], reported as means.
        lessons: Counts to learn from, added up over the block; empty if nothing is learned.
    """

    state: MindState
    actions: jax.Array
    info: dict[str, jax.Array]
    lessons: dict[str, Any]


class Mind(Protocol):
    """How the agents of a group think.

    Fields:
        draws: How many random numbers an agent needs in a tick.
    """

    draws: int

    def tables(self, dtype: DTypeLike) -> Tables:
        """What all its agents share, on the device."""
        ...

    def planned(self, tables: Tables) -> Tables:
        """The tables with what the planner makes of A and B; anew when these were learned."""
        ...

    def blank(self, tables: Tables, lanes: int) -> MindState:
        """A block of agents that have seen nothing yet."""
        ...

    def renew(self, tables: Tables, state: MindState, fresh: jax.Array) -> MindState:
        """Agents that begin an episode, [lanes], expect what is expected at the beginning."""
        ...

    def think(
        self,
        tables: Tables,
        state: MindState,
        seen: jax.Array,
        chance: jax.Array,
        alive: jax.Array,
    ) -> Thought:
        """One tick of a block.

        Args:
            tables: What all agents of the group share.
            state: What these agents carry.
            seen: Observations, [modalities, lanes].
            chance: Uniform numbers, [draws, lanes].
            alive: Which lanes hold an agent, [lanes].
        """
        ...


class FullMind:
    """The mind of agents that hold a belief about every state.

    Args:
        group: The agents.
    """

    def __init__(self, group: Group) -> None:
        self.model = group.model
        self.own_preferences = group.own_preferences
        self.own_precision = group.own_precision
        self.planner = LinearPlanner(self.model) if is_linear(self.model) else Planner(self.model)
        self.draws = draws_needed(self.model)

    def tables(self, dtype: DTypeLike) -> Tables:
        """What all its agents share, on the device."""
        return self.planned(tables_of(self.model, dtype))

    def planned(self, tables: Tables) -> Tables:
        """The tables with what the planner makes of A and B; anew when these were learned."""
        return tables._replace(plan=self.planner.prepare(tables))

    def blank(self, tables: Tables, lanes: int) -> MindState:
        """A block of agents that have seen nothing yet."""
        state: MindState = {"belief": _for_each(tables.D, lanes)}
        if self.own_preferences:
            state["preferences"] = _for_each(tables.C, lanes)
        if self.own_precision:
            state["precision"] = jnp.full(lanes, tables.gamma)
        return state

    def renew(self, tables: Tables, state: MindState, fresh: jax.Array) -> MindState:
        """Agents that begin an episode, [lanes], expect what is expected at the beginning."""
        belief = tuple(
            jnp.where(fresh, start[:, None], expected)
            for start, expected in zip(tables.D, state["belief"], strict=True)
        )
        return {**state, "belief": belief}

    def think(
        self,
        tables: Tables,
        state: MindState,
        seen: jax.Array,
        chance: jax.Array,
        alive: jax.Array,
    ) -> Thought:
        """One tick of a block; see `Mind`."""
        posterior, free_energy = infer(self.model, tables, state["belief"], seen)
        preferences = state.get("preferences", tables.C)
        precision = state.get("precision", tables.gamma)
        neg_efe = self.planner.neg_efe(tables, posterior, preferences)
        chosen = policy_posterior(neg_efe, precision, tables.habit)
        actions = choose(self.model, tables, chosen, chance)
        expected = predict(self.model, tables, posterior, actions)
        info = {"free_energy": free_energy, "expected_free_energy": -(chosen * neg_efe).sum(0)}
        return Thought(
            {**state, "belief": expected},
            actions[jnp.array(self.model.controlled, jnp.int32)],
            info,
            {},
        )


def _for_each(rows: tuple[jax.Array, ...], lanes: int) -> tuple[jax.Array, ...]:
    """The same for every agent, [..., lanes]."""
    return tuple(jnp.repeat(row[..., None], lanes, axis=-1) for row in rows)


def mind_of(group: Group) -> Mind:
    """How the agents of a group think."""
    return FullMind(group)
