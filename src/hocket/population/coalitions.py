"""Coalitions: agents that together can do what a task needs.

What an agent can do, and what a task needs, are the bits of a number.
Agents join where they add something that is missing, the rarest thing first, and agents that add
more before those that add less; among equals the older one, whose number is lower.

    value of a coalition  =  the share of what its task needs that its members can do
                             - cost · members
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from hocket.core.errors import Problem, SpecError

ABILITIES = 32
"""How many abilities there may be."""


@dataclass(frozen=True, kw_only=True)
class Coalitions:
    """How the agents of a group form coalitions.

    Fields:
        abilities: What agents can do, as bits; agent i can do what stands at i modulo the length.
        needed: What the tasks need, as bits; one coalition for each.
        size: How many members a coalition may have.
        cost: What a member costs, in shares of what a task needs; one that adds less stays out.
    """

    abilities: tuple[int, ...]
    needed: tuple[int, ...]
    size: int = ABILITIES
    cost: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SpecError: naming each problem.
        """
        wrong: list[tuple[str, str]] = []
        for name, bits in (("abilities", self.abilities), ("needed", self.needed)):
            if not bits:
                wrong.append((name, "nothing is given"))
            elif not all(0 <= value < 2**ABILITIES for value in bits):
                wrong.append((name, f"not all are numbers of {ABILITIES} bits"))
        if self.needed and not all(self.needed):
            wrong.append(("needed", "a task that needs nothing needs no coalition"))
        if self.size < 1:
            wrong.append(("size", f"{self.size} members are no coalition"))
        if self.cost < 0:
            wrong.append(("cost", f"{self.cost} is below 0"))
        if wrong:
            raise SpecError(
                [
                    Problem(where=("coalitions", name), message=message, hint="see Coalitions")
                    for name, message in wrong
                ]
            )

    def membership(self, ids: jax.Array, alive: jax.Array) -> jax.Array:
        """The coalition of each agent, -1 for none.

        Args:
            ids: The agents' numbers, unsigned, [N]: all there are, on all devices.
            alive: Whether there is an agent, [N].

        Returns:
            The number of the task, [N].
        """
        kinds = jnp.array(self.abilities, jnp.uint32)
        able = kinds[ids % jnp.uint32(len(self.abilities))]
        needed = jnp.array(self.needed, jnp.uint32)
        return form(able, needed, ids, alive, size=self.size, cost=self.cost)


def form(
    able: jax.Array,
    needed: jax.Array,
    ids: jax.Array,
    alive: jax.Array,
    *,
    size: int = ABILITIES,
    cost: float = 0.0,
) -> jax.Array:
    """Form one coalition for each task, greedily: see the module.

    The coalitions that lack an ability stand in a queue, those who have it in another, and the
    first joins the first: work for 32 sorts, whatever the number of tasks.

    Args:
        able: What each agent can do, bits of an unsigned number, [N].
        needed: What each task needs, likewise, [tasks].
        ids: The agents' numbers, [N].
        alive: Whether there is an agent, [N].
        size: How many members a coalition may have.
        cost: What a member costs, in shares of what a task needs.

    Returns:
        The number of its task for each agent, -1 for none, [N].
    """
    tasks, agents = needed.shape[0], able.shape[0]
    bits = jnp.arange(ABILITIES, dtype=jnp.uint32)
    has = ((able[:, None] >> bits) & 1).astype(bool) & alive[:, None]
    rarest = jnp.argsort(jnp.where(has.any(0), has.sum(0), agents + 1), stable=True)
    everything = jax.lax.reduce(needed, jnp.uint32(0), jax.lax.bitwise_or, (0,))
    useful = jax.lax.population_count(able & everything).astype(jnp.int32)
    # The order of the queue of agents, the same for every ability: the more useful, the older.
    queue = jnp.lexsort((ids, -useful))

    def one(step: int, held: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        membership, covered, members = held
        ability = rarest[step]
        mask = jnp.uint32(1) << ability.astype(jnp.uint32)
        lacks = ((needed & ~covered & mask) != 0) & (members < size)
        offers = (has[:, ability] & (membership < 0))[queue]
        task = _paired(lacks, offers)
        adds = able[queue] & needed[task] & ~covered[task]
        share = jax.lax.population_count(adds) / jax.lax.population_count(needed[task])
        joins = (task >= 0) & (share > cost)
        goes = jnp.where(joins, task, tasks)
        return (
            membership.at[queue].max(jnp.where(joins, task, -1)),
            # One agent at most joins each coalition here, so that adding bits is joining them.
            covered.at[goes].add(jnp.where(joins, adds, 0), mode="drop"),
            members.at[goes].add(1, mode="drop"),
        )

    begin = (
        jnp.full(agents, -1, jnp.int32),
        jnp.zeros(tasks, jnp.uint32),
        jnp.zeros(tasks, jnp.int32),
    )
    membership: jax.Array = jax.lax.fori_loop(0, ABILITIES, one, begin)[0]
    return membership


def _paired(lacks: jax.Array, offers: jax.Array) -> jax.Array:
    """The task for each agent in its queue: the first who offers goes where it lacks first.

    Args:
        lacks: Whether a task lacks the ability, [tasks].
        offers: Whether an agent offers it, in the order of their queue, [N].

    Returns:
        The number of a task, -1 for none, [N].
    """
    tasks = lacks.shape[0]
    place = jnp.where(lacks, jnp.cumsum(lacks) - 1, tasks)
    waiting = jnp.full(tasks, -1).at[place].set(jnp.arange(tasks), mode="drop")
    turn = jnp.cumsum(offers) - 1
    return jnp.where(offers & (turn < lacks.sum()), waiting[turn.clip(0, tasks - 1)], -1)


def coverage(able: jax.Array, needed: jax.Array, membership: jax.Array) -> jax.Array:
    """The share of what each task needs that its coalition can do, [tasks]."""
    tasks = needed.shape[0]
    bits = jnp.arange(ABILITIES, dtype=jnp.uint32)
    has = ((able[:, None] >> bits) & 1).astype(jnp.int32)
    place = jnp.where(membership >= 0, membership, tasks)
    covered = jnp.zeros((tasks, ABILITIES), jnp.int32).at[place].max(has, mode="drop")
    wanted = ((needed[:, None] >> bits) & 1).astype(jnp.int32)
    return (covered * wanted).sum(1) / wanted.sum(1)


def value(
    able: jax.Array, needed: jax.Array, membership: jax.Array, cost: float = 0.0
) -> jax.Array:
    """What each coalition is worth: its coverage, less what its members cost, [tasks]."""
    tasks = needed.shape[0]
    place = jnp.where(membership >= 0, membership, tasks)
    members = jnp.zeros(tasks, jnp.int32).at[place].add(1, mode="drop")
    return coverage(able, needed, membership) - cost * members
