"""What agents do together within a tick: learn one model, and share what they believe."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hocket.population.devices import AXIS
from hocket.population.flat import GroupState
from hocket.population.learning import Counts, Learning, learn
from hocket.population.sharing import Placed, Sharing, pool
from hocket.population.tables import Tables
from hocket.population.worlds.world import Across, World, WorldState


def learn_together(
    learning: Learning,
    planned: Callable[[Tables], Tables],
    tick: jax.Array,
    tables: Tables,
    lessons: Counts,
) -> tuple[Tables, Counts]:
    """A group takes in what all of its agents have counted, when it is time.

    Args:
        learning: What it learns, and how often.
        planned: Makes plans of tables that have changed.
        tick: How many ticks have been done.
        tables: The group's model.
        lessons: What was counted since the last time, by part, [parts, ...].

    Returns:
        The model, and what is left to take in.
    """

    def take_in(before: Tables, counted: Counts) -> tuple[Tables, Counts]:
        # Parts are added in their order, whichever device counted them.
        everywhere = jax.tree.map(
            lambda leaf: jax.lax.all_gather(leaf, AXIS, tiled=True).sum(0), counted
        )
        after = planned(learn(learning, before, everywhere))
        return after, jax.tree.map(jnp.zeros_like, counted)

    done: tuple[Tables, Counts] = jax.lax.cond(
        tick % learning.every == 0, take_in, lambda *held: held, tables, lessons
    )
    return done


def share_beliefs(
    sharing: Sharing,
    group: GroupState,
    world: World,
    remembered: WorldState,
    here: slice,
    tick: jax.Array,
    across: Across,
) -> GroupState:
    """Agents of a group pool what they believe of the factor that is common to them, in time.

    Args:
        sharing: With whom, and how.
        group: The agents.
        world: Where they are.
        remembered: What the world remembers of all agents of this device.
        here: Which of these are the group's.
        tick: How many ticks have been done.
        across: How to add up over all devices.
    """
    beliefs = group.mind["belief"]

    def together() -> jax.Array:
        if sharing.coalitions is not None and sharing.with_ == "coalition":
            membership, count = group.mind["coalition"], len(sharing.coalitions.needed)
        else:
            # `check_groups` has seen to it that the world has neighbourhoods.
            assert isinstance(world, Placed)
            squares = world.neighbourhood(remembered, sharing.reach)
            membership = squares[here].reshape(group.ids.shape)
            count = world.neighbourhoods(sharing.reach)
        # Who begins an episode has nothing to tell, and nothing to learn, of the one before.
        shares = group.alive & ~group.fresh
        belief = beliefs[sharing.factor]
        return pool(belief, membership, count, shares, sharing.weight, across)

    pooled = jax.lax.cond(tick % sharing.every == 0, together, lambda: beliefs[sharing.factor])
    shared = tuple(pooled if f == sharing.factor else row for f, row in enumerate(beliefs))
    return group._replace(mind={**group.mind, "belief": shared})


def coalitions_of(
    sharing: Sharing | None, ids: jax.Array, alive: jax.Array
) -> dict[str, jax.Array]:
    """The coalition of each agent of this device, formed among all agents of all devices.

    Args:
        sharing: How the group shares, if it does.
        ids: The agents' numbers, [blocks, lanes].
        alive: Whether there is an agent, [blocks, lanes].

    Returns:
        "coalition", [blocks, lanes], if coalitions are formed at all.
    """
    if sharing is None or sharing.coalitions is None:
        return {}
    everybody, living = (
        jax.lax.all_gather(rows.reshape(-1), AXIS, tiled=True) for rows in (ids, alive)
    )
    all_of_them = sharing.coalitions.membership(everybody, living)
    begin = jax.lax.axis_index(AXIS) * ids.size
    mine = jax.lax.dynamic_slice(all_of_them, (begin,), (ids.size,))
    return {"coalition": mine.reshape(ids.shape)}
