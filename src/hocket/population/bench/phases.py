"""Where a tick's time goes: what the tick takes longer with each phase than without it.

The tick is compiled up to each of its phases, on the same blocks as in a population.
What one phase hands to the next then stays where it is, as in the tick itself.
What is not clearly longer than what is measured before it is below the noise, and in no sum.
The sum of the others stands beside the whole tick, which is measured apart, with what remains.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spread

from hocket.population.bench.crowd import TOGETHER, crowd, tick_times
from hocket.population.bench.statistics import middle
from hocket.population.bench.task import OBSERVATIONS, SIDE, task
from hocket.population.choice import choose, policy_posterior
from hocket.population.devices import AXIS, kind_of, mesh_of
from hocket.population.draws import Purpose, tick_key, uniforms
from hocket.population.inference import infer
from hocket.population.layout import layouts_of
from hocket.population.linear import LinearPlanner
from hocket.population.model import Model
from hocket.population.planning import predict
from hocket.population.tables import Tables, tables_of
from hocket.population.worlds.sampled import STATES, SampledWorld
from hocket.population.worlds.world import Across, Agents, WorldState

BUNDLE: Final = 0.005
"""About so many seconds of work are put into one dispatch, so that beginning it counts little."""

THINKING: Final = ("infer", "plan (W·Q)", "log, entropy", "choose", "move")
PHASES: Final = (*THINKING, "world", "dispatch")

Block: TypeAlias = dict[str, jax.Array]
"""What a block of agents carries: arrays that begin with [blocks] and end with [lanes]."""


def measure_phases(agents: int, *, iterations: int, seconds: float) -> dict[str, Any]:
    """Time each phase of a tick.

    Args:
        agents: How many.
        iterations: How often each is timed.
        seconds: The time that all of it may take, more or less; compiling is not counted.

    Returns:
        The seconds of each phase, as measured, and which of them are below the noise; the sum of
        those that are not, the whole tick alone in its dispatch, and what remains of it.
    """
    population = crowd(agents)
    lone = tick_times(population, iterations=iterations, seconds=seconds / 6)
    # At least two: otherwise nothing would be said of dispatching.
    together = max(2, min(TOGETHER, int(BUNDLE / np.median(lone.walls))))
    many = tick_times(population, iterations=iterations, seconds=seconds / 6, together=together)
    del population
    runners = _runners(agents)
    times: dict[tuple[str, int], list[float]] = {}
    began = 0.0
    for run in runners.values():
        run(together)
        began += _seconds(run, together)
    rounds = max(5, min(iterations, int(seconds / (1.5 * began))))
    # In turn: what disturbs the machine for a while then disturbs all phases alike.
    for _ in range(rounds):
        for name, run in runners.items():
            for turns in (0, together):
                times.setdefault((name, turns), []).append(_seconds(run, turns))
    up_to = {
        name: np.subtract(times[name, together], times[name, 0]) / together for name in runners
    }
    found = {"world": middle(up_to["world"])}
    before = np.zeros(rounds)
    for name in THINKING:
        # Round by round, since what disturbs a round disturbs both.
        found[name] = middle(up_to[name] - before)
        before = up_to[name]
    one, of_many = middle(lone.walls), middle(many.walls)
    found["dispatch"] = (one[0] - of_many[2], one[1] - of_many[1], one[2] - of_many[0])
    return {"agents": agents, "rounds": rounds, **_account(found, one[1])}


def _account(found: dict[str, tuple[float, float, float]], tick: float) -> dict[str, Any]:
    """What of a tick the phases explain.

    Args:
        found: Of each phase the lower end, the middle and the upper end of its seconds.
        tick: The whole tick.
    """
    below = [name for name in PHASES if found[name][0] <= 0]
    total = sum(found[name][1] for name in PHASES if name not in below)
    return {
        "phases": {name: found[name][1] for name in PHASES},
        "below_noise": below,
        "sum": total,
        "tick": tick,
        "remainder": tick - total,
    }


def _seconds(run: Callable[[int], object], turns: int) -> float:
    began = time.perf_counter()
    run(turns)
    return time.perf_counter() - began


def _runners(agents: int) -> dict[str, Callable[[int], object]]:
    """A program for the tick up to each phase, and one for the world's step."""
    model = task()
    wide = kind_of(jax.devices()[0]) == "gpu"
    (layout,) = layouts_of([model], [agents], wide=wide)
    mesh = mesh_of(None, layout.parts)
    planner = LinearPlanner(model)
    tables = tables_of(model)
    tables = tables._replace(plan=planner.prepare(tables))
    block = _begin(layout.blocks, layout.lanes, planner.rows)
    placed = jax.device_put(block, NamedSharding(mesh, Spread(AXIS)))
    runners = {
        name: _phase(mesh, _up_to(name, model, planner), tables, placed) for name in THINKING
    }
    return {**runners, "world": _world_phase(mesh, placed)}


def _up_to(last: str, model: Model, planner: LinearPlanner) -> Callable[[Tables, Block], Block]:
    """What a mind does to a block, up to one phase: what is new of the block then."""

    def think(tables: Tables, block: Block) -> Block:
        posterior, surprise = infer(model, tables, (block["belief"],), block["seen"])
        done = {"belief": posterior[0], "surprise": surprise}
        if last == "infer":
            return done
        if last == "plan (W·Q)":
            highest = jax.lax.Precision.HIGHEST
            return {**done, "rows": jnp.dot(tables.plan["W0"], posterior[0], precision=highest)}
        value = planner.neg_efe(tables, posterior, tuple(row[:, None] for row in tables.C))
        if last == "log, entropy":
            return {**done, "value": value}
        chosen = policy_posterior(value, tables.gamma, tables.habit)
        key = tick_key(jnp.uint32(0), jnp.int32(1), Purpose.ACTION)
        action = choose(model, tables, chosen, uniforms(key, block["ids"]))
        done |= {"action": action, "expected": -(chosen * value).sum(0)}
        if last == "choose":
            return done
        return {**done, "belief": predict(model, tables, posterior, action)[0]}

    return think


def _begin(blocks: int, lanes: int, rows: int) -> Block:
    """Some agents; what they believe and see does not change how long it takes."""
    chance = np.random.default_rng(0)
    states = SIDE * SIDE
    belief = chance.random((blocks, states, lanes), np.float32)
    seen = chance.integers(0, OBSERVATIONS, (blocks, 1, lanes))
    return {
        "belief": jnp.asarray(belief / belief.sum(1, keepdims=True)),
        "seen": jnp.asarray(seen, jnp.int32),
        "action": jnp.zeros((blocks, 1, lanes), jnp.int32),
        "surprise": jnp.zeros((blocks, lanes), jnp.float32),
        "expected": jnp.zeros((blocks, lanes), jnp.float32),
        "rows": jnp.zeros((blocks, rows, lanes), jnp.float32),
        "value": jnp.zeros((blocks, len(task().policies), lanes), jnp.float32),
        "ids": jnp.arange(blocks * lanes, dtype=jnp.uint32).reshape(blocks, lanes),
        "cell": jnp.asarray(chance.integers(0, states, (blocks, lanes)), jnp.int32),
    }


def _phase(
    mesh: Mesh, work: Callable[[Tables, Block], Block], tables: Tables, placed: Block
) -> Callable[[int], object]:
    """Compile work on all blocks of each device; called with a number of turns, it waits."""

    def share(tables: Tables, mine: Block, turns: jax.Array, busy: jax.Array) -> Block:
        def one(number: Any, blocks: Block) -> Block:
            done = work(tables, jax.tree.map(lambda leaf: leaf[number], blocks))
            return blocks | {name: blocks[name].at[number].set(new) for name, new in done.items()}

        def turn(_: Any, blocks: Block) -> Block:
            # As in the tick, the number of blocks is not known when this is compiled.
            found: Block = jax.lax.fori_loop(0, busy, one, blocks)
            return found

        done: Block = jax.lax.fori_loop(0, turns, turn, mine)
        return done

    split, whole = Spread(AXIS), Spread()
    specs = (whole, split, whole, whole)
    spread = jax.shard_map(share, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
    compiled = jax.jit(spread, donate_argnums=1)
    # A copy, since it is given away.
    held = [jax.tree.map(jnp.copy, placed)]
    busy = np.int32(placed["ids"].shape[0] // mesh.size)

    def some(turns: int) -> None:
        held[0] = jax.block_until_ready(compiled(tables, held[0], np.int32(turns), busy))

    return some


def _world_phase(mesh: Mesh, placed: Block) -> Callable[[int], object]:
    """Compile the world's step, on all agents of each device at once, as in the tick."""
    world = SampledWorld(task())

    def share(mine: Block, turns: jax.Array) -> jax.Array:
        flat = mine["ids"].reshape(-1)
        agents = Agents(flat, jnp.ones(flat.shape, bool), jnp.zeros(flat.shape, int), Across())
        start = WorldState({STATES: mine["cell"].reshape(1, -1)}, {})
        actions = mine["action"].reshape(1, -1)

        def turn(
            number: jax.Array, carried: tuple[jax.Array, WorldState]
        ) -> tuple[jax.Array, WorldState]:
            key = tick_key(jnp.uint32(0), number, Purpose.WORLD)
            seen, state, _, _, _ = world.step(key, carried[1], actions, agents)
            return seen, state

        seen, _ = jax.lax.fori_loop(0, turns, turn, (mine["seen"].reshape(1, -1), start))
        found: jax.Array = seen.reshape(mine["seen"].shape)
        return found

    split = Spread(AXIS)
    specs = (split, Spread())
    spread = jax.shard_map(share, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
    compiled = jax.jit(spread)
    return lambda turns: jax.block_until_ready(compiled(placed, np.int32(turns)))
