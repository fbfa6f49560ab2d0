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
from hocket.population.inference import Beliefs, infer
from hocket.population.learning import Counts, count_A, count_B, count_D, learn
from hocket.population.linear import LinearPlanner, is_linear
from hocket.population.planning import Planner, predict
from hocket.population.tables import Tables, tables_of
from hocket.population.vmp import infer_window

MindState: TypeAlias = dict[str, Any]
"""What a block of agents carries from tick to tick: arrays, or tuples of them, [..., lanes]."""


class Thought(NamedTuple):
    """What comes of a tick.

    Fields:
        state: What the agents carry on.
        actions: Of each control, [controls, lanes].
        info: Numbers of each agent, [lanes], reported as means.
        lessons: What was seen how often, added up over the block, where the group learns.
    """

    state: MindState
    actions: jax.Array
    info: dict[str, jax.Array]
    lessons: Counts


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
        self.learning = group.learning
        self.draws = draws_needed(self.model)
        # A product of matrices serves all agents of a group, not each with tables of its own.
        shared = is_linear(self.model) and not self._learns_alone
        self.planner = LinearPlanner(self.model) if shared else Planner(self.model)

    @property
    def _learns_alone(self) -> bool:
        return self.learning is not None and self.learning.per == "agent"

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
        if self.learning is not None:
            state["before"] = _for_each(tables.D, lanes)
            state["done"] = jnp.zeros((len(self.model.B), lanes), jnp.int32)
            state["going"] = jnp.zeros(lanes, bool)
        if self._learns_alone:
            for name in ("pA", "pB", "pD"):
                state[name] = _for_each(getattr(tables, name), lanes)
        return state

    def renew(self, tables: Tables, state: MindState, fresh: jax.Array) -> MindState:
        """Agents that begin an episode, [lanes], expect what is expected at the beginning."""
        start = self._own(tables, state).D
        belief = tuple(
            jnp.where(fresh, row if row.ndim > 1 else row[:, None], expected)
            for row, expected in zip(start, state["belief"], strict=True)
        )
        renewed = {**state, "belief": belief}
        if self.learning is not None:
            renewed["going"] = state["going"] & ~fresh
        return renewed

    def think(
        self,
        tables: Tables,
        state: MindState,
        seen: jax.Array,
        chance: jax.Array,
        alive: jax.Array,
    ) -> Thought:
        """One tick of a block; see `Mind`."""
        tables = self._own(tables, state)
        state, posterior, free_energy = self.infer(tables, state, seen)
        precision = state.get("precision", tables.gamma)
        neg_efe = self.planner.neg_efe(tables, posterior, state.get("preferences", tables.C))
        likely = policy_posterior(neg_efe, precision, tables.habit)
        actions = choose(self.model, tables, likely, chance)
        state, lessons = self._learn(tables, state, seen, posterior, actions, alive)
        belief = predict(self.model, tables, posterior, actions)
        info = {"free_energy": free_energy, "expected_free_energy": -(likely * neg_efe).sum(0)}
        return Thought(
            {**state, "belief": belief},
            actions[jnp.array(self.model.controlled, jnp.int32)],
            info,
            lessons,
        )

    def infer(
        self, tables: Tables, state: MindState, seen: jax.Array
    ) -> tuple[MindState, Beliefs, jax.Array]:
        """Take in an observation: the state, the beliefs, and the free energy in nats, [lanes]."""
        posterior, free_energy = infer(self.model, tables, state["belief"], seen)
        return state, posterior, free_energy

    def _own(self, tables: Tables, state: MindState) -> Tables:
        """The tables as each agent has learned them, the agents last."""
        if self.learning is None or not self._learns_alone:
            return tables
        learned = tables._replace(**{name: state[name] for name in ("pA", "pB", "pD")})
        # Counts of nothing turn what has been counted into probabilities, and add nothing.
        nothing = Counts(*(jax.tree.map(jnp.zeros_like, state[n]) for n in ("pA", "pB", "pD")))
        return self.planned(learn(self.learning, learned, nothing))

    def _learn(
        self,
        tables: Tables,
        state: MindState,
        seen: jax.Array,
        posterior: Beliefs,
        actions: jax.Array,
        alive: jax.Array,
    ) -> tuple[MindState, Counts]:
        """Count what was seen and what followed what; agents that learn alone take it in."""
        learning, model, own = self.learning, self.model, self._learns_alone
        if learning is None:
            return state, Counts()
        weight = alive.astype(posterior[0].dtype)
        going = weight * state["going"]
        counts = Counts(
            A=count_A(model, seen, posterior, weight, own=own) if learning.A else (),
            B=count_B(model, state["before"], posterior, state["done"], going, own=own)
            if learning.B
            else (),
            D=count_D(posterior, weight - going, own=own) if learning.D else (),
        )
        after = {**state, "before": posterior, "done": actions, "going": jnp.ones_like(alive)}
        if not own:
            return after, counts
        learned = learn(learning, tables, counts)
        return {**after, "pA": learned.pA, "pB": learned.pB, "pD": learned.pD}, Counts()


class WindowMind(FullMind):
    """The mind of agents that infer the last few steps together, by variational message passing.

    As in pymdp each window begins with D, wherever it stands in the episode.
    An episode's first step, too, is fitted to D, as pymdp does it in a window that is filled up; of
    a history of length 1 alone, pymdp leaves D out.
    """

    def blank(self, tables: Tables, lanes: int) -> MindState:
        """A block of agents that have seen nothing yet."""
        model = self.model
        return {
            **super().blank(tables, lanes),
            "saw": jnp.zeros((model.window, len(model.A), lanes), jnp.int32),
            "did": jnp.full((model.window - 1, len(model.B), lanes), -1, jnp.int32),
            "steps": jnp.zeros(lanes, jnp.int32),
        }

    def renew(self, tables: Tables, state: MindState, fresh: jax.Array) -> MindState:
        """Agents that begin an episode, [lanes], have no steps behind them."""
        renewed = super().renew(tables, state, fresh)
        return {**renewed, "steps": jnp.where(fresh, 0, state["steps"])}

    def infer(
        self, tables: Tables, state: MindState, seen: jax.Array
    ) -> tuple[MindState, Beliefs, jax.Array]:
        """Take in an observation: the state, the beliefs, and the free energy in nats, [lanes]."""
        saw = jnp.concatenate([state["saw"][1:], seen[None]])
        steps = jnp.minimum(state["steps"] + 1, self.model.window)
        start = tuple(
            jnp.broadcast_to(row if row.ndim > 1 else row[:, None], belief.shape)
            for row, belief in zip(tables.D, state["belief"], strict=True)
        )
        window = infer_window(self.model, tables, start, saw, state["did"], steps)
        return {**state, "saw": saw, "steps": steps}, window.present, window.free_energy

    def think(
        self,
        tables: Tables,
        state: MindState,
        seen: jax.Array,
        chance: jax.Array,
        alive: jax.Array,
    ) -> Thought:
        """One tick of a block; see `Mind`."""
        thought = super().think(tables, state, seen, chance, alive)
        controlled = jnp.array(self.model.controlled, jnp.int32)
        done = jnp.zeros((len(self.model.B), seen.shape[-1]), jnp.int32)
        done = done.at[controlled].set(thought.actions)
        did = jnp.concatenate([state["did"], done[None]])[1:]
        return thought._replace(state={**thought.state, "did": did})


def _for_each(rows: tuple[jax.Array, ...], lanes: int) -> tuple[jax.Array, ...]:
    """The same for every agent, [..., lanes]."""
    return tuple(jnp.repeat(row[..., None], lanes, axis=-1) for row in rows)
