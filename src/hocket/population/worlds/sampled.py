"""A model as the world itself: what it expects is what happens.

States begin as D says, move as B says and are seen as A says, for each agent apart from all others.
An agent whose model this is has no wrong idea of its world; it only does not know where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hocket.population.draws import uniforms
from hocket.population.model import Model
from hocket.population.transitions import Dense, Grid, Transition
from hocket.population.worlds.world import Agents, Info, WorldState

STATES: Final = "state"
"""What the world remembers of each agent: the true state of each factor, [factors, N]."""


@dataclass(frozen=True, eq=False)
class SampledWorld:
    """A world that is drawn from a model.

    The reward of a step is what the model prefers to see: C of what is seen, in nats.

    Fields:
        model: What happens; the agents' own models may be others of the same shapes.
    """

    model: Model

    @property
    def observations(self) -> tuple[int, ...]:
        """How many observations each modality has."""
        return self.model.observations

    @property
    def actions(self) -> tuple[int, ...]:
        """How many actions each controlled factor has."""
        return tuple(self.model.actions[factor] for factor in self.model.controlled)

    def reset(self, key: jax.Array, agents: Agents) -> tuple[jax.Array, WorldState]:
        """Draw all agents' states from D, and what they see from A."""
        chance = self._chance(key, agents)
        states = self._begin(chance)
        return self._look(states, chance), WorldState({STATES: states}, {})

    def enter(
        self, key: jax.Array, state: WorldState, agents: Agents, new: jax.Array
    ) -> tuple[jax.Array, WorldState]:
        """Draw the new agents' states; the others stay where they are, and look again."""
        chance = self._chance(key, agents)
        states = jnp.where(new, self._begin(chance), state.own[STATES])
        return self._look(states, chance), WorldState({STATES: states}, {})

    def step(
        self, key: jax.Array, state: WorldState, actions: jax.Array, agents: Agents
    ) -> tuple[jax.Array, WorldState, jax.Array, jax.Array, Info]:
        """Draw what comes of the actions from B, and what is seen then from A."""
        chance = self._chance(key, agents)
        before = state.own[STATES]
        states = jnp.stack(
            [
                self._move(factor, before, actions, chance[factor])
                for factor in range(len(self.model.B))
            ]
        )
        seen = self._look(states, chance)
        reward = jnp.zeros(seen.shape[1:], jnp.float32)
        for modality, wish in enumerate(self.model.C):
            now = wish if wish.ndim == 1 else wish[:, 0]
            reward = reward + jnp.asarray(now, jnp.float32)[seen[modality]]
        return seen, WorldState({STATES: states}, {}), reward, jnp.zeros(reward.shape, bool), {}

    @cached_property
    def _controls(self) -> dict[int, int]:
        """The place of each controlled factor among the controls."""
        return {factor: place for place, factor in enumerate(self.model.controlled)}

    @cached_property
    def _likelihoods(self) -> tuple[NDArray[np.float32], ...]:
        return tuple(_cumulative(table) for table in self.model.A)

    @cached_property
    def _moves(self) -> tuple[_Move, ...]:
        return tuple(_move_of(move) for move in self.model.B)

    def _chance(self, key: jax.Array, agents: Agents) -> jax.Array:
        """A number for each factor and then for each modality, [factors + modalities, N]."""
        return uniforms(key, agents.ids, len(self.model.B) + len(self.model.A))

    def _begin(self, chance: jax.Array) -> jax.Array:
        return jnp.stack(
            [
                _drawn(jnp.asarray(_cumulative(belief))[None], chance[factor])
                for factor, belief in enumerate(self.model.D)
            ]
        )

    def _move(
        self, factor: int, states: jax.Array, actions: jax.Array, chance: jax.Array
    ) -> jax.Array:
        place = self._controls.get(factor)
        action = jnp.zeros_like(states[0]) if place is None else actions[place]
        move = self._moves[factor]
        if move.next is None:
            begin = tuple(states[other] for other in self.model.B_dependencies[factor])
            return _drawn(jnp.asarray(move.sums)[(*begin, action)], chance)
        entry = _drawn(jnp.asarray(move.sums)[action, states[factor]], chance)
        return jnp.asarray(move.next)[action, states[factor], entry]

    def _look(self, states: jax.Array, chance: jax.Array) -> jax.Array:
        factors = len(self.model.B)
        return jnp.stack(
            [
                _drawn(
                    jnp.asarray(table)[
                        tuple(states[factor] for factor in self.model.A_dependencies[modality])
                    ],
                    chance[factors + modality],
                )
                for modality, table in enumerate(self._likelihoods)
            ]
        )


class _Move(NamedTuple):
    """How one factor moves.

    Fields:
        next: The next states, [actions, states, k]; None if all states may come next.
        sums: Sums of their probabilities, the last axis as long as there are next states.
    """

    next: NDArray[np.int32] | None
    sums: NDArray[np.float32]


def _move_of(move: Transition) -> _Move:
    if isinstance(move, Dense):
        return _Move(None, _cumulative(move.table))
    lists = move.lists() if isinstance(move, Grid) else move
    return _Move(lists.next, np.cumsum(lists.weight, axis=-1).astype(np.float32))


def _cumulative(table: NDArray[np.float64]) -> NDArray[np.float32]:
    """Sums of probabilities along the first axis, which becomes the last one."""
    return np.moveaxis(np.cumsum(table, axis=0), 0, -1).astype(np.float32)


def _drawn(sums: jax.Array, chance: jax.Array) -> jax.Array:
    """The first place whose sum exceeds the chance, of [N, places] and [N]."""
    total = sums[..., -1]
    below = (sums <= (chance * total)[..., None]).sum(-1)
    # The product may round up to the total itself.
    return jnp.minimum(below, sums.shape[-1] - 1).astype(jnp.int32)
