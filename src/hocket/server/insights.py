"""What can be known of a run beyond its state: its graph, its teams, what it cost, why, what if."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Annotated, Any, Final

import msgspec

from hocket.core.errors import CallerError
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec
from hocket.report.layout import layout_document, plan_layout
from hocket.server.costs import costs_told
from hocket.server.knobs import Knob, knobs
from hocket.server.routing import Asked, Bytes, Route
from hocket.server.site import Site
from hocket.server.teams import teams_told

MOST_SETTINGS: Final = 20
"""The most settings, variants and faults together of one simulation."""
MOST_RUNS: Final = 1_000
_SIMULATION_SECONDS: Final = 180.0
_KEPT: Final = 8
_JSON: Final = "application/json"

Setting = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Settings = Annotated[list[Setting], msgspec.Meta(max_length=MOST_SETTINGS)]


class GraphQuery(msgspec.Struct, kw_only=True):
    """How a graph is wanted.

    Fields:
        closed: Draw nested plans as plain steps.
    """

    closed: bool = False


class TeamsQuery(msgspec.Struct, kw_only=True):
    """Which teams are wanted.

    Fields:
        path: The path of one of them; without it the first of all.
    """

    path: str | None = None


class ExplainQuery(msgspec.Struct, kw_only=True):
    """How a run is to be explained.

    Fields:
        simulate: Simulate what the findings propose, too: it takes many times as long.
    """

    simulate: bool = False


class Simulation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is simulated of a run, as ``hocket simulate`` takes it.

    Fields:
        set: Settings ``KEY=VALUE``; one variant has them all.
        vary: ``KEY=1..8`` or ``KEY=a,b,c``: a variant for each combination.
        variant: Settings with spaces between them, a variant each.
        fault: What goes wrong, as in ``flash down 30s at 1m``.
        runs: How many runs of each variant.
        seed: Where chance comes from.
    """

    set: Settings = []
    vary: Settings = []
    variant: Settings = []
    fault: Settings = []
    runs: Annotated[int, msgspec.Meta(ge=1, le=MOST_RUNS)] = 200
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0


async def _machine(site: Site, run: str) -> RunMachine:
    """Give a run's state.

    Raises:
        NotFound: No such run.
    """
    machine: RunMachine = (await site.live.board(run)).machine
    return machine


# ---- the graph ----

_graphs: OrderedDict[tuple[str, bool], bytes] = OrderedDict()
"""Graphs follow from the spec alone; those of the last few are kept."""


async def graph(site: Site, asked: Asked) -> Bytes:
    """Tell where the steps of a run's plan stand when it is drawn."""
    machine = await _machine(site, asked.path["run"])
    key = (machine.digest, asked.query.closed)
    data = _graphs.get(key)
    if data is None:
        # Of a large plan it takes a third of a second.
        data = await asyncio.to_thread(_drawn, machine.spec, asked.query.closed)
        _graphs[key] = data
        while len(_graphs) > _KEPT:
            _graphs.popitem(last=False)
    else:
        _graphs.move_to_end(key)
    return Bytes(data=data, media=_JSON)


def _drawn(spec: RunSpec, closed: bool) -> bytes:
    layout = plan_layout(spec.workflow, spec.agents, closed=closed)
    return msgspec.json.encode(layout_document(layout))


# ---- teams, cost ----


async def teams(site: Site, asked: Asked) -> dict[str, Any]:
    """Tell what the teams and panels of a run have done so far."""
    return teams_told(await _machine(site, asked.path["run"]), asked.query.path)


async def cost(site: Site, asked: Asked) -> dict[str, Any]:
    """Tell what a run has spent, by what became of it."""
    run = asked.path["run"]
    row = await asyncio.to_thread(site.host.row, run)
    told = await site.explanations.of(row, simulate=False)
    machine = await _machine(site, run)
    return {**costs_told(told["spending"], machine.spec), "seq": told["seq"]}


# ---- explain, simulate ----


async def explain(site: Site, asked: Asked) -> dict[str, Any]:
    """Tell where a run's time went, and what to change."""
    row = await asyncio.to_thread(site.host.row, asked.path["run"])
    told = await site.explanations.of(row, simulate=asked.query.simulate)
    return {name: value for name, value in told.items() if name != "spending"}


async def settings(site: Site, asked: Asked) -> dict[str, list[Knob]]:
    """Tell what of a run can be set otherwise in a simulation."""
    return {"settings": knobs((await _machine(site, asked.path["run"])).spec)}


async def simulate(site: Site, asked: Asked) -> Any:
    """Simulate a run beside variants of it; nothing is called."""
    row = await asyncio.to_thread(site.host.row, asked.path["run"])
    return await site.cli(simulation_args(row.id, asked.body), _SIMULATION_SECONDS)


def simulation_args(run: str, body: Simulation) -> list[str]:
    """Give the arguments of the command; each value of a client stands behind a ``=``.

    Raises:
        CallerError: A setting cannot be one, or there are too many.
    """
    args = ["simulate", f"--runs={body.runs}", f"--seed={body.seed}"]
    count = 0
    for name in ("set", "vary", "variant", "fault"):
        for text in getattr(body, name):
            count += 1
            if text.startswith("-") or not text.isprintable():
                raise CallerError(f"{name} {text[:60]!r}: write it as hocket simulate takes it")
            if name != "fault" and "=" not in text:
                raise CallerError(f"{name} {text[:60]!r}: write KEY=VALUE, as in max_parallel=8")
            args.append(f"--{name}={text}")
    if count > MOST_SETTINGS:
        raise CallerError(f"{count} settings are too many: {MOST_SETTINGS} at most")
    return [*args, run]


_RUN: Final = "/api/runs/{run}"
ROUTES: Final[list[Route]] = [
    Route(
        method="GET",
        path=f"{_RUN}/graph",
        role="view",
        handler=graph,
        about="Where the steps of the plan stand when it is drawn.",
        query=GraphQuery,
        gives=dict[str, Any],
    ),
    Route(
        method="GET",
        path=f"{_RUN}/teams",
        role="view",
        handler=teams,
        about="What teams and panels have done so far.",
        query=TeamsQuery,
        gives=dict[str, Any],
    ),
    Route(
        method="GET",
        path=f"{_RUN}/cost",
        role="view",
        handler=cost,
        about="What was spent, by fate, agent, model and step, and the budgets beside it.",
        gives=dict[str, Any],
    ),
    Route(
        method="GET",
        path=f"{_RUN}/explain",
        role="view",
        handler=explain,
        about="Where the time, the tokens and the money went, and what to change.",
        query=ExplainQuery,
        gives=dict[str, Any],
    ),
    Route(
        method="GET",
        path=f"{_RUN}/settings",
        role="view",
        handler=settings,
        about="What can be set otherwise in a simulation, with what it is now.",
        gives=dict[str, list[Knob]],
    ),
    Route(
        method="POST",
        path=f"{_RUN}/simulate",
        role="view",
        handler=simulate,
        about="The run simulated beside variants of it; nothing is called.",
        body=Simulation,
        gives=dict[str, Any],
        most=32_768,
        computes=True,
    ),
]
"""The routes of this module."""
