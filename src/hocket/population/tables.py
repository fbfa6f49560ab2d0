"""A model as arrays on a device, shared by all agents of its group."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from hocket.population.model import FLOOR, Model
from hocket.population.predecessors import predecessors_of
from hocket.population.transitions import Dense, Grid, Lists, Transition

Moves: TypeAlias = dict[str, jax.Array]
"""One factor's transition on a device; which keys it has depends on its kind."""


class Tables(NamedTuple):
    """What all agents of a group share.

    Fields:
        A: Likelihoods, [observations, states...] each.
        B: Transitions: {"table"} of `Dense` [next, from..., action]; {"source", "weight", ...} of
            `Lists`, as `predecessors` has them; {"allowed"} of `Grid` [actions, height, width].
        C: Preferences, [observations] each, or [observations, steps].
        D: Beliefs at the beginning, [states] each.
        habit: ln E, [policies].
        gamma: Precision of policies, a scalar.
        alpha: Precision of actions, a scalar.
        pA, pB, pD: Dirichlet parameters; empty where nothing is learned.
        plan: What the planner has worked out of A and B beforehand.
    """

    A: tuple[jax.Array, ...]
    B: tuple[Moves, ...]
    C: tuple[jax.Array, ...]
    D: tuple[jax.Array, ...]
    habit: jax.Array
    gamma: jax.Array
    alpha: jax.Array
    pA: tuple[jax.Array, ...]
    pB: tuple[jax.Array, ...]
    pD: tuple[jax.Array, ...]
    plan: dict[str, Any]


def tables_of(model: Model, dtype: Any = jnp.float32) -> Tables:
    """Put a model on the device; the planner's part is still empty.

    Args:
        model: The model.
        dtype: Of all numbers; 64-bit floats need ``jax_enable_x64``.
    """

    def put(arrays: tuple[Any, ...] | None) -> tuple[jax.Array, ...]:
        return tuple(jnp.asarray(array, dtype) for array in arrays or ())

    return Tables(
        A=put(model.A),
        B=tuple(moves_of(move, dtype) for move in model.B),
        C=put(model.C),
        D=put(model.D),
        # The floor is pymdp's in any precision: a habit of 0 is unlikely, not impossible.
        habit=jnp.asarray(np.log(np.maximum(model.E, FLOOR)), dtype),
        gamma=jnp.asarray(model.gamma, dtype),
        alpha=jnp.asarray(model.alpha, dtype),
        pA=put(model.pA),
        pB=put(model.pB),
        pD=put(model.pD),
        plan={},
    )


def moves_of(move: Transition, dtype: Any) -> Moves:
    """One factor's transition as arrays on the device."""
    match move:
        case Dense():
            return {"table": jnp.asarray(move.table, dtype)}
        case Lists():
            return _lists_on_device(move, dtype)
        case Grid():
            return {"allowed": jnp.asarray(move.allowed(), dtype)}


def _lists_on_device(lists: Lists, dtype: Any) -> Moves:
    """What leads to each state, in the stages that `predecessors` describes."""
    before = predecessors_of(lists)
    arrays = {
        "source": jnp.asarray(before.few.source),
        "weight": jnp.asarray(before.few.weight, dtype),
    }
    for number, stage in enumerate(before.many):
        arrays[f"source{number}"] = jnp.asarray(stage.source)
        arrays[f"weight{number}"] = jnp.asarray(stage.weight, dtype)
    if before.many:
        arrays["popular"] = jnp.asarray(before.popular)
    return arrays
