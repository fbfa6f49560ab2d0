"""One contender of `bench/population.py`, in a process of its own; prints JSON.

Peers get their observations for nothing: no world is stepped for them.
Hocket's tick steps the world as well, and gives means of what happened to the host.
Everybody makes as many ticks a dispatch as told, and waits for its result.
Objects of pymdp.legacy have lived before, until their beliefs are settled: they cost less then.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import measure
import numpy as np

from hocket.population.bench.task import SETTLED, task


def batch(agents: int, together: int) -> Callable[[], Any]:
    """pymdp's own way: an agent of that batch size, jitted, A and B once for each."""
    import equinox as eqx
    import jax

    agent = _agent(agents)

    def tick(agent: Any, prior: Any, seen: Any, key: Any) -> Any:
        states = agent.infer_states([seen[:, None]], prior)
        wanted, _ = agent.infer_policies(states)
        action = agent.sample_action(wanted, rng_key=jax.random.split(key, agents))
        return agent.update_empirical_prior(action, states), action

    @eqx.filter_jit
    def ticks(agent: Any, prior: Any, seen: Any, keys: Any) -> Any:
        return jax.lax.scan(lambda p, x: tick(agent, p, *x), prior, (seen, keys))

    return _ticking(lambda *state: ticks(agent, *state), agent.D, agents, together)


def shared(agents: int, together: int) -> Callable[[], Any]:
    """One agent of batch size 1, its model closed over by a vmap over beliefs."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    agent = _agent(1)

    def one(prior: Any, seen: Any, key: Any) -> Any:
        states = agent.infer_states([seen[None, None]], [row[None] for row in prior])
        wanted, _ = agent.infer_policies(states)
        action = agent.sample_action(wanted, rng_key=key[None])
        return [row[0] for row in agent.update_empirical_prior(action, states)], action[0]

    def tick(prior: Any, seen: Any, key: Any) -> Any:
        return jax.vmap(one)(prior, seen, jax.random.split(key, agents))

    @eqx.filter_jit
    def ticks(prior: Any, seen: Any, keys: Any) -> Any:
        return jax.lax.scan(lambda p, x: tick(p, *x), prior, (seen, keys))

    start = [jnp.broadcast_to(row, (agents, row.shape[-1])) for row in agent.D]
    return _ticking(ticks, start, agents, together)


def legacy(agents: int, together: int) -> Callable[[], Any]:
    """pymdp.legacy with the task's likelihood: objects, one after the other."""
    from hocket.population.bench.objects import OBJECTS

    made = [OBJECTS["pymdp.legacy"](number) for number in range(agents)]

    def tick() -> None:
        for agent in made:
            agent.step()

    return tick


def flat(agents: int, together: int) -> Callable[[], Any]:
    """pymdp.legacy with FreeAgentics' own likelihood, whose columns are all equal.

    Its beliefs never narrow, and it plans for every state in which it may be.
    """
    from pymdp.legacy import utils

    from hocket.population.bench.objects import OBJECTS

    made = [OBJECTS["pymdp.legacy"](number) for number in range(agents)]
    for one in made:
        one.agent.A = utils.to_obj_array(np.full((5, 100), 0.2))

    def tick() -> None:
        for one in made:
            one.step()

    return tick


def _agent(agents: int) -> Any:
    import jax.numpy as jnp
    from pymdp.agent import Agent

    model = task()
    return Agent(
        A=[jnp.asarray(model.A[0], jnp.float32)],
        B=[jnp.asarray(model.table(0), jnp.float32)],
        C=[jnp.asarray(model.C[0], jnp.float32)],
        D=[jnp.asarray(model.D[0], jnp.float32)],
        policy_len=model.horizon,
        gamma=model.gamma,
        action_selection="stochastic",
        sampling_mode="full",
        batch_size=agents,
    )


def _ticking(
    ticks: Callable[..., Any], prior: Any, agents: int, together: int
) -> Callable[[], Any]:
    """Ticks that go on from one another, with observations drawn beforehand."""
    import jax
    import jax.numpy as jnp

    chance = np.random.default_rng(0)
    seen = [jnp.asarray(chance.integers(0, 5, (together, agents)), jnp.int32) for _ in range(8)]
    keys = [jax.random.split(jax.random.key(turn), together) for turn in range(8)]
    state = {"prior": prior, "at": 0}

    def some() -> None:
        at = state["at"] = (state["at"] + 1) % len(seen)
        state["prior"], actions = ticks(state["prior"], seen[at], keys[at])
        jax.block_until_ready((state["prior"], actions))

    return some


def hocket(agents: int, together: int) -> Callable[[], Any]:
    """The same task in a world that is stepped in the same dispatch."""
    from hocket.population.bench.crowd import crowd

    population = crowd(agents)
    return lambda: population.run(together, at_once=together)


CONTENDERS = {
    "pymdp batch": batch,
    "pymdp shared": shared,
    "pymdp.legacy, repaired A": legacy,
    "pymdp.legacy, flat A": flat,
    "Hocket": hocket,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=list(CONTENDERS))
    parser.add_argument("agents", type=int)
    parser.add_argument("--together", type=int, default=1, help="ticks in each dispatch")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--most", type=int, default=300)
    given = parser.parse_args()
    if given.contender == "Hocket":
        from hocket.population.devices import prepare

        prepare()
    memory = measure.Memory()
    began = time.perf_counter()
    some = CONTENDERS[given.contender](given.agents, given.together)
    some()
    start = time.perf_counter() - began
    for _ in range(SETTLED if given.contender.startswith("pymdp.legacy") else 1):
        some()
    walls: list[float] = []
    used, until = time.process_time(), time.perf_counter() + given.seconds
    while len(walls) < 3 or (len(walls) < given.most and time.perf_counter() < until):
        began = time.perf_counter()
        some()
        walls.append((time.perf_counter() - began) / given.together)
    found = {
        "start": start,
        "walls": walls,
        "processor": (time.process_time() - used) / len(walls) / given.together,
        "peak": memory.peak()[1],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
