"""The nine recommendations of the seed's report, each one tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from hocket.population.bench.claims import Claim, judged
from hocket.population.bench.crowd import crowd
from hocket.population.bench.task import SETTLED, SIDE, SLIP, task
from hocket.population.bench.timing import timed
from hocket.population.choice import policy_posterior
from hocket.population.linear import LinearPlanner
from hocket.population.moving import move
from hocket.population.planning import Planner
from hocket.population.tables import Tables, moves_of, tables_of
from hocket.population.transitions import Dense, Grid
from hocket.population.twolevel_accuracy import accuracy, landmarks

KEPT: Final = 16
"""How many states a belief keeps when it is cut to its greatest."""

CONVERTED: Final = ("belief", "models, shared", "plans, shared")
"""The components of memory that are floats."""


def float32(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """32-bit against 64-bit floats.

    Args:
        rows: From `measure_precision`, of each precision.
    """
    by = {row["dtype"]: row for row in rows}
    narrow, wide = (
        sum(size for name, size in by[dtype]["bytes"].items() if name in CONVERTED)
        for dtype in ("float32", "float64")
    )
    who = f"{by['float32']['agents']:,} agents"
    faster = 100 * (by["float64"]["mean"] / by["float32"]["mean"] - 1)
    claims = [
        Claim(f"memory of beliefs and tables saved, {who}", 50, "%", 100 * (1 - narrow / wide)),
        Claim(f"a tick faster by, {who}", 30, "%", faster),
    ]
    return judged("float32", claims, {"rows": list(rows)})


def compression(agents: int) -> dict[str, Any]:
    """Beliefs in 16 bits, and cut to their greatest entries: what is saved, and what it does.

    The error is that of the policies' probabilities, the greatest over all agents.
    """
    population = crowd(agents)
    population.run(SETTLED)
    ids = population.slots("walkers").ids
    belief = np.asarray(population.slots("walkers").beliefs(ids)[0], np.float32).T
    planner, tables = _planned()

    @jax.jit
    def probabilities(beliefs: jax.Array) -> jax.Array:
        wanted = [row[:, None] for row in tables.C]
        value = planner.neg_efe(tables, (beliefs,), wanted)
        return policy_posterior(value, tables.gamma, tables.habit)

    exact = probabilities(jnp.asarray(belief))
    rows: list[dict[str, Any]] = []
    for name, (kept, many) in {
        "16 bits": (_in_16_bits(belief), 2 * len(belief)),
        f"greatest {KEPT}": (_greatest(belief), KEPT * (4 + 1)),
    }.items():
        error = float(jnp.abs(probabilities(jnp.asarray(kept)) - exact).max())
        rows.append(
            {
                "scheme": name,
                "bytes": many,
                "saved": 100 * (1 - many / (4 * len(belief))),
                "error": error,
            }
        )
    claims = [Claim(f"saved of a belief, {row['scheme']}", 30, "%", row["saved"]) for row in rows]
    return judged("belief compression", claims, {"rows": rows, "bytes": 4 * len(belief)})


def caching(agents: int, *, iterations: int, seconds: float) -> dict[str, Any]:
    """Planning with W, made once of A and B, against moving beliefs anew for every policy."""
    cached, tables = _planned()
    general = Planner(task())
    plain = tables_of(task())
    plain = plain._replace(plan=general.prepare(plain))
    belief = jnp.asarray(_beliefs(agents))
    wanted = [row[:, None] for row in tables.C]
    took = {}
    for name, planner, with_ in (("with W", cached, tables), ("without", general, plain)):
        work = jax.jit(lambda tables, b, p=planner: p.neg_efe(tables, (b,), wanted))
        found = timed(
            lambda work=work, with_=with_: jax.block_until_ready(work(with_, belief)),  # type: ignore[misc]
            iterations=iterations,
            seconds=seconds,
        )
        took[name] = found.summary().mean
    faster = took["without"] / took["with W"]
    claims = [Claim(f"planning faster by, {agents:,} agents", 350, "×", faster)]
    return judged("transition caching", claims, {"agents": agents, "seconds": took})


def sparse(sides: Sequence[int], agents: int, *, iterations: int, seconds: float) -> dict[str, Any]:
    """Transitions as a table, as lists of next states, and as moves: bytes, and a move's time.

    A table that takes more than half a gigabyte is not made; its bytes are known all the same.
    """
    rows, claims = [], []
    for side in sides:
        grid = Grid(side, side, slip=SLIP)
        table = 4 * grid.states**2 * grid.actions
        row: dict[str, Any] = {
            "side": side,
            "agents": agents,
            "bytes": {"table": table, "lists": grid.lists().nbytes, "moves": grid.nbytes},
            "seconds": {"table": None},
        }
        kinds: dict[str, Any] = {"lists": grid.lists(), "moves": grid}
        if table < 1 << 29:
            kinds["table"] = Dense(grid.dense())
        belief = jnp.full((grid.states, agents), 1 / grid.states, jnp.float32)
        action = jnp.arange(agents, dtype=jnp.int32) % grid.actions
        for name, kind in kinds.items():
            arrays = moves_of(kind, jnp.float32)
            work = jax.jit(lambda arrays, q, a, kind=kind: move(kind, arrays, q, a))
            found = timed(
                lambda w=work, arrays=arrays, q=belief, a=action: jax.block_until_ready(  # type: ignore[misc]
                    w(arrays, q, a)
                ),
                iterations=iterations,
                seconds=seconds,
            )
            row["seconds"][name] = found.summary().mean
        rows.append(row)
        saved = 100 * (1 - row["bytes"]["lists"] / table)
        claims.append(Claim(f"memory saved at {side} × {side}", 80, "%", saved))
    return judged("sparse transitions", claims, {"rows": rows})


def processes(patterns: Sequence[dict[str, Any]], cores: int) -> dict[str, Any]:
    """A pool of processes against one agent after the other: as many times faster as cores?"""
    claims, rows = [], []
    for kind in dict.fromkeys(row["kind"] for row in patterns):
        of_kind = [row for row in patterns if row["kind"] == kind]
        most = max(row["agents"] for row in of_kind)
        by = {row["pattern"]: row for row in of_kind if row["agents"] == most}
        if not {"processes", "in line", "threads"} <= by.keys():
            continue
        faster = by["in line"]["mean"] / by["processes"]["mean"]
        claims.append(Claim(f"{most} × {kind}, against in line", cores, "×", faster))
        rows.append(
            {
                "kind": kind,
                "agents": most,
                "over_threads": by["threads"]["mean"] / by["processes"]["mean"],
                "start": by["processes"]["start"],
            }
        )
    return judged("process pool", claims, {"rows": rows, "cores": cores})


def batched(
    scaling: Sequence[dict[str, Any]], patterns: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """All agents in one product against one object after the other, at as many agents."""
    claims = []
    here = {row["agents"]: row for row in scaling}
    for kind in dict.fromkeys(row["kind"] for row in patterns):
        both = [
            row
            for row in patterns
            if (row["kind"], row["pattern"]) == (kind, "in line") and row["agents"] in here
        ]
        if both:
            row = max(both, key=lambda row: int(row["agents"]))
            faster = row["mean"] / here[row["agents"]]["mean"]
            claims.append(Claim(f"{row['agents']} × {kind}", 1, "×", faster))
    return judged("batched operations", claims, {})


def on_gpu(present: bool, scaling: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a GPU adds; here is what the processor does with the thousand agents spoken of."""
    thousand = next((row for row in scaling if row["agents"] == 1_000), None)
    found = {"thousand": thousand and thousand["mean"]}
    why = (
        "this run was on a GPU alone: compare it with a report of the processor"
        if present
        else "there is no GPU here"
    )
    return judged("GPU", [], found, why)


def two_levels(side: int, agents: int) -> list[dict[str, Any]]:
    """How far beliefs in two levels are from full ones, among landmarks the size of a cell.

    Args:
        side: Cells along the side of the world.
        agents: How many are compared, over `SETTLED` ticks.
    """
    starts = {"a cell that they know": True, "any cell": False}
    return [
        {
            "side": side,
            "agents": agents,
            "ticks": SETTLED,
            "start": start,
            **accuracy(
                landmarks(side, share=1.0, known=known), agents=agents, ticks=SETTLED
            )._asdict(),
        }
        for start, known in starts.items()
    ]


def hierarchical(rows: Sequence[dict[str, Any]], lost: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Beliefs in two levels: does time grow with the logarithm of the number of states?

    Args:
        rows: "side", "agents", "beliefs" ("full" or "two-level"), "mean"; at least two sides.
        lost: How exact they are, from `two_levels`.
    """
    claims = []
    by = {row["side"]: row["mean"] for row in rows if row["beliefs"] == "two-level"}
    if len(by) > 1:
        who = f"{rows[0]['agents']:,} agents"
        small, large = min(by), max(by)
        logarithmic = float(np.log(large**2) / np.log(small**2))
        what = f"tick at {large} × {large} over {small} × {small}, {who}"
        claims.append(Claim(what, logarithmic, "×", by[large] / by[small], at_most=True))
    return judged("hierarchical beliefs", claims, {"rows": list(rows), "lost": list(lost)})


def distributed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Two processes against one, on this machine; a core for each.

    Args:
        rows: "processes", "agents", "mean"; empty if it was not measured.
    """
    by = {row["processes"]: row["mean"] for row in rows}
    claims = []
    if {1, 2} <= by.keys():
        what = f"two processes over one, {rows[0]['agents']:,} agents"
        claims.append(Claim(what, 2, "×", by[1] / by[2]))
    why = "" if claims else "there is one core here, or a GPU that processes cannot share"
    return judged("distributed", claims, {"rows": list(rows)}, why)


def _planned() -> tuple[LinearPlanner, Tables]:
    """The task's planner, and its tables with W."""
    planner = LinearPlanner(task())
    tables = tables_of(task())
    return planner, tables._replace(plan=planner.prepare(tables))


def _beliefs(agents: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    drawn = np.random.default_rng(0).dirichlet(np.ones(SIDE * SIDE), agents).T
    return np.ascontiguousarray(drawn, np.float32)


def _in_16_bits(belief: np.ndarray[Any, Any]) -> jax.Array:
    """As bfloat16, and back, normalised again."""
    kept = jnp.asarray(belief).astype(jnp.bfloat16).astype(jnp.float32)
    return kept / kept.sum(0)


def _greatest(belief: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Only the greatest entries, normalised again."""
    least = np.sort(belief, axis=0)[-KEPT]
    kept = np.where(belief >= least, belief, 0)
    normal: np.ndarray[Any, Any] = kept / kept.sum(axis=0)
    return normal
