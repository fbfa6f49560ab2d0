"""Agents tell each other what they believe: log-linear pooling within neighbourhoods or coalitions.

What is shared is the belief about one factor that is *the same for all* agents of the group: which
goal is open, whether it rains.
Where an agent stands is its own affair; to pool beliefs about that would mean nothing.

    q_i  <-  q_i^(1-w) · prod_j q_j^(w/n)     over the n agents j of the neighbourhood, i included

Weights add up to 1, so what all believed before they saw anything counts once and not n times, and
agents that go on telling each other the same do not talk themselves into certainty.
An agent that is alone, in no coalition or dead keeps its belief.
(Genest & Zidek 1986, Combining probability distributions; the logarithmic opinion pool.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp

from hocket.core.errors import Problem, SpecError
from hocket.population.coalitions import Coalitions
from hocket.population.worlds.world import Across, WorldState

With: TypeAlias = Literal["neighbours", "coalition"]
"""Whom an agent shares with: those in the same part of the world, or of the same coalition."""

LEAST = 1e-16
"""Probabilities below this count as this; one agent's certainty is no veto."""

MOST = 2**22
"""How many agents of a group that shares may live, so that sums stay within 32 bits.

All of them may be in one neighbourhood.
"""

_BITS = 9
_PARTS = 3
_SCALE = 2.0**21


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How the agents of a group share what they believe.

    Fields:
        with_: Whom an agent shares with.
        weight: How much the others count, above 0 and at most 1; 1 leaves all with one belief.
        reach: Neighbourhoods are squares of so many cells a side, which do not overlap.
        every: Ticks from one sharing to the next.
        factor: The factor that is shared; it must mean the same to all agents of the group.
        coalitions: How coalitions are formed; needed with "coalition".
    """

    with_: With = "neighbours"
    weight: float = 0.5
    reach: int = 5
    every: int = 1
    factor: int = 0
    coalitions: Coalitions | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SpecError: naming each problem.
        """
        wrong: list[tuple[str, str, str]] = []
        if self.with_ not in ("neighbours", "coalition"):
            wrong.append(("with_", f"{self.with_!r} is no way to share", '"neighbours"'))
        if not 0 < self.weight <= 1:
            wrong.append(("weight", f"{self.weight} is not above 0 and at most 1", "0.5"))
        if self.reach < 1:
            wrong.append(("reach", f"{self.reach} cells is no neighbourhood", "1 or more"))
        if self.every < 1:
            wrong.append(("every", f"every {self.every} ticks is never", "1 or more"))
        if self.factor < 0:
            wrong.append(("factor", f"there is no factor {self.factor}", "0 or more"))
        if self.with_ == "coalition" and self.coalitions is None:
            wrong.append(("coalitions", "coalitions to share with are missing", "Coalitions(...)"))
        if wrong:
            raise SpecError(
                [
                    Problem(where=("sharing", name), message=message, hint=f"write {hint}")
                    for name, message, hint in wrong
                ]
            )


@runtime_checkable
class Placed(Protocol):
    """A world whose agents are somewhere, so that they have neighbours."""

    def neighbourhoods(self, reach: int) -> int:
        """How many squares of so many cells a side the world has."""
        ...

    def neighbourhood(self, state: WorldState, reach: int) -> jax.Array:
        """The number of the square that each agent stands in, [N]."""
        ...


def pool(
    beliefs: jax.Array,
    membership: jax.Array,
    count: int,
    alive: jax.Array,
    weight: float | jax.Array,
    across: Across,
) -> jax.Array:
    """Let agents of the same neighbourhood pool their beliefs about one factor.

    The logarithms are added as whole numbers, of 2^-21 nats each: such a sum is the same in every
    order, so that neither the number of devices nor their scatters change a bit of the result.
    That rounds each by at most 2.4e-7 nats.
    In 32-bit floats it is not what counts: logarithms near that of `LEAST` are 2e-6 nats off by
    themselves, and so is their mean; what comes out is right to a few millionths.

    Args:
        beliefs: [blocks, states, lanes].
        membership: The neighbourhood or coalition of each agent, [blocks, lanes]; -1 for none.
        count: How many there are.
        alive: Whether there is an agent, [blocks, lanes].
        weight: How much the others count.
        across: How to add up over all devices.

    Returns:
        [blocks, states, lanes]; unchanged to the bit for those with nobody to share with.
    """
    shares = alive & (membership >= 0)
    place = jnp.where(shares, membership, count)
    # A block at a time: logarithms and sums of wider arrays may round otherwise.
    units = jax.lax.map(
        lambda belief: jnp.round(_logs(belief) * -_SCALE).astype(jnp.int32), beliefs
    )
    flat = jnp.moveaxis(units, 1, 0).reshape(beliefs.shape[1], -1)
    cells = place.reshape(-1)
    members = across.sum(jnp.zeros(count, jnp.int32).at[cells].add(1, mode="drop"))
    # Thirds of nine bits each: the sum of 2^22 of them fits into 32 bits.
    thirds = jnp.concatenate([(flat >> (_BITS * part)) & (2**_BITS - 1) for part in range(_PARTS)])
    sums = across.sum(
        jnp.zeros((thirds.shape[0], count), jnp.int32).at[:, cells].add(thirds, mode="drop")
    ).reshape(_PARTS, -1, count)
    scales = jnp.array([2.0 ** (_BITS * part) / _SCALE for part in range(_PARTS)], beliefs.dtype)
    total = -jnp.sum(sums.astype(beliefs.dtype) * scales[:, None, None], axis=0)
    mean = total / jnp.maximum(members, 1).astype(beliefs.dtype)
    together = shares & (members[membership] > 1)

    def pooled(block: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        belief, group, joins = block
        logs = (1 - weight) * _logs(belief) + weight * mean[:, group]
        return jnp.where(joins, jax.nn.softmax(logs, axis=0), belief)

    after: jax.Array = jax.lax.map(pooled, (beliefs, membership, together))
    return after


def _logs(belief: jax.Array) -> jax.Array:
    logs: jax.Array = jnp.log(jnp.maximum(belief, LEAST))
    return logs
