"""Makes runs with one known cause of slowness, and clean ones, by the real machines.

What a cause costs is known, too: how much shorter the same run with the same seed is without it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import msgspec
from tests.insight.shell import Shell, Upset

from hocket.agents.base import Estimate
from hocket.core.errors import Fault
from hocket.core.events import AnyEvent, Recorded, Usage
from hocket.core.run import RunMachine
from hocket.core.specs import (
    AgentSpec,
    InputSpec,
    LimitSpec,
    PlanSpec,
    Rate,
    Retry,
    RunSpec,
    StepSpec,
)
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec
from hocket.core.values import MINUTE, MS, SECOND, Json
from hocket.insight.fold import trace_of
from hocket.insight.trace import Trace
from hocket.simulator.agents import Act, Asked, Latency, People
from hocket.simulator.play import Part, play_together
from hocket.simulator.teams import author, reviewer, voter
from hocket.workflows.plan import fates_of, make_plan

Trick = Callable[[Asked, Act], Act]
"""What befalls a call."""


class Players:
    """Simulated agents whose calls take a lognormal time, but for what tricks do to them."""

    def __init__(self, medians: dict[str, int], sigma: float, tricks: tuple[Trick, ...] = ()):
        self.medians = medians
        self.sigma = sigma
        self.tricks = tricks

    def act(self, asked: Asked) -> Act:
        lasts = Latency(self.medians[asked.agent], self.sigma).at(asked.draw("latency"))
        act = Act(lasts, _gives(asked), Usage(tokens_in=800, tokens_out=200, cost=10**9))
        for trick in self.tricks:
            act = trick(asked, act)
        return act

    def estimate(self, asked: Asked) -> Estimate:
        return Estimate(tokens_in=800, tokens_out=200, most_tokens=1000, most_cost=10**9)


def _gives(asked: Asked) -> Json:
    last = asked.path.rpartition("/")[2].partition("~")[0]
    if last in ("judge", "assess", "correct") or (last == "vote" and "/r" in asked.path):
        return reviewer()(asked)
    if last in ("answer", "vote", "turn", "present"):
        return voter("random")(asked)
    if last == "author":
        return author()(asked)
    return f"what {asked.path} says, {asked.draw('words')}"


class Scene(NamedTuple):
    """A run before it has been played."""

    spec: RunSpec
    players: Players
    inputs: dict[str, Json]
    people: People = People()
    upset: Upset | None = None
    beside: RunSpec | None = None

    def agents(self, **fields: Any) -> Scene:
        """Change all agents."""
        changed = {n: msgspec.structs.replace(a, **fields) for n, a in self.spec.agents.items()}
        return self._replace(spec=msgspec.structs.replace(self.spec, agents=changed))

    def steps(self, change: Callable[[StepSpec], StepSpec]) -> Scene:
        """Change all steps."""
        workflow = self.spec.workflow
        steps = tuple([change(step) for step in workflow.steps])
        workflow = msgspec.structs.replace(workflow, steps=steps)
        return self.run(workflow=workflow)

    def run(self, **fields: Any) -> Scene:
        """Change the run's spec."""
        return self._replace(spec=msgspec.structs.replace(self.spec, **fields))

    def first(self, count: int) -> Scene:
        """Leave out all steps but the first ones."""
        workflow = self.spec.workflow
        return self.run(workflow=msgspec.structs.replace(workflow, steps=workflow.steps[:count]))

    def with_tricks(self, *tricks: Trick) -> Scene:
        players = Players(self.players.medians, self.players.sigma, tricks)
        return self._replace(players=players)


class Planted(NamedTuple):
    """A run with a known cause.

    Fields:
        kinds: What the first finding may be called.
        trace: The run.
        share: By which share it would be shorter without the cause.
    """

    kinds: tuple[str, ...]
    trace: Trace
    share: float


def events_of(scene: Scene, seed: int) -> list[AnyEvent]:
    """Play a scene."""
    if scene.upset is not None:
        shell = Shell(scene.spec, scene.inputs, scene.players, seed)
        return shell.drive(scene.upset)
    parts = [Part(scene.spec, scene.inputs, seed=seed)]
    if scene.beside is not None:
        parts.append(Part(scene.beside, scene.inputs, run="beside", seed=seed + 1))
    return play_together(parts, scene.players, people=scene.people, budget=20_000)[0].events


def traced(events: list[AnyEvent]) -> Trace:
    """Fold events into a trace."""
    recorded = [Recorded(number, event) for number, event in enumerate(events, 1)]
    return trace_of(recorded, RunMachine({"plan": make_plan}), fates_of)


def plant(kind: str, seed: int) -> Planted:
    """Make a run with one cause of slowness, of a strength that the seed draws."""
    draw = Random(f"{kind}/{seed}")
    kinds, without, scene = PLANTS[kind](draw)
    events = events_of(scene, seed)
    took = events[-1].at
    free = events_of(without, seed)[-1].at
    return Planted(kinds, traced(events), (took - free) / took if took else 0.0)


def clean(seed: int) -> Trace:
    """Make a run that nothing holds up."""
    draw = Random(f"clean/{seed}")
    scene = draw.choice((chain, layers, fan_out, consensus, review, panel))(draw)
    if draw.random() < 0.5:
        roomy = LimitSpec(requests=(Rate(2_000, MINUTE),), tokens=(Rate(5_000_000, MINUTE),))
        scene = scene.run(limits={"api": roomy}).agents(limits=("api",))
    return traced(events_of(scene, seed))


# -- scenes -------------------------------------------------------------------------------------


def _scene(draw: Random, steps: list[StepSpec], agents: list[str], **inputs: Json) -> Scene:
    base = draw.uniform(1, 20)
    medians = {name: round(base * draw.uniform(1, 2) * SECOND) for name in agents}
    spec = RunSpec(
        workflow=PlanSpec(
            name="p", steps=tuple(steps), inputs={name: InputSpec() for name in inputs}
        ),
        agents={name: AgentSpec(kind="scripted") for name in agents},
        max_parallel=64,
    )
    return Scene(spec, Players(medians, draw.uniform(0.05, 0.4)), inputs)


def chain(draw: Random, least: int = 3, most: int = 8) -> Scene:
    steps = [StepSpec(name="s0", agent="f", input="Begin.")]
    for n in range(1, draw.randrange(least, most)):
        last = f"s{n - 1}"
        agent = draw.choice("fg")
        steps.append(StepSpec(name=f"s{n}", agent=agent, needs=(last,), input=f"{{{{{last}}}}} on"))
    return _scene(draw, steps, ["f", "g"])


def layers(draw: Random) -> Scene:
    steps: list[StepSpec] = []
    before: list[str] = []
    for layer in range(draw.randrange(2, 5)):
        names = [f"l{layer}x{n}" for n in range(draw.randrange(2, 6))]
        for name in names:
            text = f"Do {name}" + "".join(f" {{{{{b}}}}}" for b in before)
            agent = draw.choice("fg")
            steps.append(StepSpec(name=name, agent=agent, needs=tuple(before), input=text))
        before = names
    return _scene(draw, steps, ["f", "g"])


def fan_out(draw: Random, least: int = 6, most: int = 24) -> Scene:
    items = [f"item {n}" for n in range(draw.randrange(least, most))]
    steps = [
        StepSpec(name="first", agent="f", input="Begin."),
        StepSpec(
            name="each",
            agent="g",
            needs=("first",),
            each="inputs.items",
            input="{{item}} {{first}}",
        ),
        StepSpec(name="last", agent="f", needs=("each",), input="{{each}}"),
    ]
    return _scene(draw, steps, ["f", "g"], items=items)


def consensus(draw: Random, **fields: Any) -> Scene:
    members = draw.randrange(3, 8)
    team = ConsensusSpec(
        members=tuple([Member(name=f"m{n}", agent="fgh"[n % 3]) for n in range(members)]), **fields
    )
    steps = [StepSpec(name="q", kind="consensus", team=team, input="Which?")]
    return _scene(draw, steps, ["f", "g", "h"])


def review(draw: Random, **fields: Any) -> Scene:
    fields.setdefault("swarm", draw.randrange(3, 7))
    team = ReviewSpec(members=(Member(name="r", agent="g"),), **fields)
    steps = [
        StepSpec(name=f"w{n}", agent="f", input=f"Work {n}.", review=team)
        for n in range(draw.randrange(1, 4))
    ]
    return _scene(draw, steps, ["f", "g"])


def panel(draw: Random, **fields: Any) -> Scene:
    names = [f"c{n}" for n in range(draw.randrange(3, 7))]
    steps = [StepSpec(name=name, agent="f", input=f"As {name}.") for name in names]
    text = " ".join(f"{{{{{name}}}}}" for name in names)
    fields.setdefault("within", 500 * SECOND)
    steps.append(StepSpec(name="reply", agent="g", wants=tuple(names), input=text, **fields))
    return _scene(draw, steps, ["f", "g"])


# -- causes -------------------------------------------------------------------------------------

Made = tuple[tuple[str, ...], Scene, Scene]


def _limited(draw: Random, kind: str, limit: LimitSpec, scene: Scene) -> Made:
    limit = msgspec.structs.replace(limit, margin=10 * MS, adaptive=False)
    return (kind,), scene, scene.run(limits={"api": limit}).agents(limits=("api",))


def _rate(draw: Random) -> Made:
    scene = draw.choice((fan_out, layers, consensus))(draw)
    per = draw.choice((20, 60)) * SECOND
    limit = LimitSpec(requests=(Rate(draw.randrange(2, 12), per),))
    return _limited(draw, "rate_limit", limit, scene)


def _tokens(draw: Random) -> Made:
    limit = LimitSpec(tokens=(Rate(draw.randrange(2, 12) * 1000, MINUTE),))
    if draw.random() < 0.5:
        limit = msgspec.structs.replace(limit, requests=(Rate(500, MINUTE),))
    return _limited(draw, "token_limit", limit, draw.choice((fan_out, layers))(draw))


def _spend(draw: Random) -> Made:
    limit = LimitSpec(cost=(Rate(draw.randrange(2, 12) * 10**9, MINUTE),))
    return _limited(draw, "budget", limit, draw.choice((fan_out, layers))(draw))


def _spacing(draw: Random) -> Made:
    limit = LimitSpec(spacing=round(draw.uniform(0.5, 10) * SECOND))
    return _limited(draw, "spacing", limit, draw.choice((fan_out, layers, consensus))(draw))


def _concurrency(draw: Random) -> Made:
    limit = LimitSpec(concurrency=draw.randrange(1, 5))
    return _limited(draw, "concurrency", limit, draw.choice((fan_out, layers, consensus))(draw))


def _parallel(draw: Random) -> Made:
    scene = draw.choice((fan_out, layers, consensus))(draw)
    return ("max_parallel",), scene, scene.run(max_parallel=draw.randrange(1, 5))


def _agent_slots(draw: Random) -> Made:
    scene = fan_out(draw)
    return ("agent_slots",), scene, scene.agents(concurrency=draw.randrange(1, 5))


def _share(draw: Random) -> Made:
    scene = fan_out(draw)
    limit = LimitSpec(concurrency=draw.randrange(3, 8), adaptive=False)
    scene = scene.run(limits={"api": limit}).agents(limits=("api",))
    beside = msgspec.structs.replace(scene.spec, priority=1)
    return ("share", "concurrency"), scene, scene._replace(beside=beside)


def _refused(draw: Random) -> Made:
    scene = draw.choice((fan_out, layers, chain, consensus))(draw)
    retry = round(draw.uniform(5, 60) * SECOND)
    until = round(draw.uniform(1, 3) * retry)
    fault = Fault(kind="rate_limited", message="429", retry_after=retry)

    def refuse(asked: Asked, act: Act) -> Act:
        return Act(300 * MS, fault) if asked.at < until else act

    if draw.random() < 0.5:
        scene = scene.run(limits={"api": LimitSpec()}).agents(limits=("api",))
    return ("refused",), scene, scene.with_tricks(refuse)


def _down_endpoint(draw: Random) -> Made:
    scene = draw.choice((fan_out, layers))(draw)
    until = round(draw.uniform(20, 200) * SECOND)
    fault = Fault(kind="unavailable", message="503")
    retry = Retry(tries=40, first=2 * SECOND, longest=20 * SECOND)
    scene = scene.steps(lambda step: msgspec.structs.replace(step, retry=retry))
    if draw.random() < 0.6:
        scene = scene.run(limits={"api": LimitSpec()}).agents(limits=("api",))

    def fail(asked: Asked, act: Act) -> Act:
        return Act(200 * MS, fault) if asked.at < until else act

    return ("endpoint_down",), scene, scene.with_tricks(fail)


def _flaky(draw: Random) -> Made:
    scene = draw.choice((fan_out, layers, chain))(draw)
    retry = Retry(tries=20, first=round(draw.uniform(1, 20) * SECOND))
    scene = scene.steps(lambda step: msgspec.structs.replace(step, retry=retry))
    share = draw.uniform(0.2, 0.6)
    fault = Fault(kind="failed", message="broken")

    def fail(asked: Asked, act: Act) -> Act:
        return Act(act.lasts, fault) if asked.draw("fails") < share else act

    return ("flaky_agent", "failing_step"), scene, scene.with_tricks(fail)


def _failing(draw: Random) -> Made:
    scene = chain(draw)
    victim = draw.choice(scene.spec.workflow.steps).name
    tries = draw.randrange(2, 6)
    retry = Retry(tries=tries, first=5 * SECOND)
    fault = Fault(kind="invalid_output", message="no JSON")

    def change(step: StepSpec) -> StepSpec:
        changed = msgspec.structs.replace(step, retry=retry, fallback=("h",))
        return changed if step.name == victim else step

    agents = {**scene.spec.agents, "h": AgentSpec(kind="scripted")}
    scene.players.medians["h"] = scene.players.medians["f"]
    scene = scene.run(agents=agents).steps(change)

    def fail(asked: Asked, act: Act) -> Act:
        return Act(act.lasts, fault) if asked.path == victim and asked.agent != "h" else act

    return ("failing_step", "flaky_agent"), scene, scene.with_tricks(fail)


def _timeout(draw: Random) -> Made:
    scene = draw.choice((fan_out, layers))(draw)
    base = max(scene.players.medians.values())
    patience = round(draw.uniform(4, 30) * base)
    retry = Retry(tries=5, first=100 * MS)
    scene = scene.steps(lambda step: msgspec.structs.replace(step, retry=retry, timeout=patience))
    victim = _victim(scene, draw)

    def hang(asked: Asked, act: Act) -> Act:
        if asked.path == victim and asked.attempt == 1:
            return Act(100_000 * SECOND, act.gives)
        return act

    return ("long_timeout",), scene, scene.with_tricks(hang)


def _victim(scene: Scene, draw: Random) -> str:
    items = scene.inputs.get("items")
    if items is not None:
        return f"each/{draw.randrange(len(items))}"
    return draw.choice(scene.spec.workflow.steps).name


def _slower(draw: Random, low: float, high: float, *kinds: str) -> Made:
    scene = fan_out(draw)
    victim, factor = _victim(scene, draw), draw.uniform(low, high)

    def hang(asked: Asked, act: Act) -> Act:
        return Act(round(act.lasts * factor), act.gives) if asked.path == victim else act

    return kinds, scene, scene.with_tricks(hang)


def _very_slow(draw: Random) -> Made:
    return _slower(draw, 15, 100, "slow_call")


def _straggler(draw: Random) -> Made:
    return _slower(draw, 5, 12, "slow_call")


def _tail(draw: Random) -> Made:
    scene = fan_out(draw, 16, 40)
    scene = scene.agents(concurrency=draw.randrange(4, 8))
    free, share = scene, 0.1
    factor = draw.uniform(8, 20)

    def hang(asked: Asked, act: Act) -> Act:
        if asked.path.startswith("each") and asked.draw("tail") < share:
            return Act(round(act.lasts * factor), act.gives)
        return act

    return ("long_tail", "slow_call"), free, scene.with_tricks(hang)


def _slow_agent(draw: Random) -> Made:
    scene = consensus(draw, early=False)
    factor = draw.uniform(6, 20)

    def slow(asked: Asked, act: Act) -> Act:
        return Act(round(act.lasts * factor), act.gives) if asked.agent == "g" else act

    return ("slow_agent",), scene, scene.with_tricks(slow)


def _stale(draw: Random) -> Made:
    scene = consensus(draw)
    policy = draw.choice(("restart_all", "cancel", "restart_unanswered"))
    count = len(scene.spec.workflow.steps[0].team.members)  # type: ignore[union-attr]
    limit = LimitSpec(requests=(Rate(2 * count, MINUTE),), adaptive=False, margin=0)
    scene = scene.run(limits={"api": limit}).agents(limits=("api",))
    scene.players.sigma = draw.uniform(0.4, 0.8)

    def change(step: StepSpec) -> StepSpec:
        return msgspec.structs.replace(step, team=msgspec.structs.replace(step.team, policy=policy))

    return ("stale_votes",), scene, scene.steps(change)


def _reviewers(draw: Random) -> Made:
    scene = review(draw, swarm=draw.randrange(6, 20), threshold=0.5).first(1)
    scene.players.sigma = draw.uniform(0.4, 0.8)

    free = scene.steps(lambda step: _reviewed(step, waves=False))
    slow = scene.steps(lambda step: _reviewed(step, waves=False, early=False))
    return ("needless_reviews",), free, slow


def _reviewed(step: StepSpec, **fields: Any) -> StepSpec:
    return msgspec.structs.replace(step, review=msgspec.structs.replace(step.review, **fields))


def _sequential(draw: Random) -> Made:
    scene = consensus(draw)

    def change(step: StepSpec) -> StepSpec:
        team = msgspec.structs.replace(step.team, policy="sequential")
        return msgspec.structs.replace(step, team=team)

    return ("sequential",), scene, scene.steps(change)


def _serial(draw: Random) -> Made:
    count = draw.randrange(3, 9)
    steps = [StepSpec(name=f"s{n}", agent="fg"[n % 2], input=f"Do {n}.") for n in range(count)]
    scene = _scene(draw, steps, ["f", "g"])

    def change(step: StepSpec) -> StepSpec:
        n = int(step.name[1:])
        return msgspec.structs.replace(step, needs=(f"s{n - 1}",) if n else ())

    return ("serial_chain",), scene, scene.steps(change)


def _soft(draw: Random) -> Made:
    scene = panel(draw)
    base = max(scene.players.medians.values())
    within = round(draw.uniform(3, 12) * base)

    def change(step: StepSpec) -> StepSpec:
        return msgspec.structs.replace(step, within=within) if step.wants else step

    def hang(asked: Asked, act: Act) -> Act:
        return Act(100 * within, act.gives) if asked.path == "c0" else act

    scene = scene.steps(change)
    return ("soft_wait", "slow_call", "hung_call"), scene, scene.with_tricks(hang)


def _people(kind: str) -> Callable[[Random], Made]:
    def made(draw: Random) -> Made:
        scene = chain(draw)
        steps = scene.spec.workflow.steps
        ask = StepSpec(name="ask", kind=kind, needs=(steps[-1].name,), input="May I?")
        steps = (*steps, ask, StepSpec(name="end", agent="f", needs=("ask",), input="{{ask}}"))
        scene = scene.run(workflow=msgspec.structs.replace(scene.spec.workflow, steps=steps))
        after = round(draw.uniform(5, 500) * SECOND)
        named = "approval" if kind == "approve" else "input"
        return (named,), scene, scene._replace(people=People(after=after))

    return made


def _upset(name: str) -> Callable[[Random], Made]:
    def made(draw: Random) -> Made:
        scene = draw.choice((chain, layers, fan_out))(draw)._replace(upset=Upset())
        calm = events_of(scene, 0)[-1].at
        at, lasts = round(draw.uniform(0.1, 0.7) * calm), round(draw.uniform(0.1, 3) * calm)
        if name == "pause":
            return ("pause",), scene, scene._replace(upset=Upset(pause=(at, lasts)))
        if name == "down":
            return ("down",), scene, scene._replace(upset=Upset(crash=(at, lasts)))
        if name == "coordinator":
            lag = round(draw.uniform(0.2, 2) * max(scene.players.medians.values()))
            return ("coordinator",), scene, scene._replace(upset=Upset(lag=lag))
        victim = _victim(scene, draw)
        fault = Fault(kind="permanent", message="no")

        def fail(asked: Asked, act: Act) -> Act:
            first = asked.path == victim and asked.attempt == 1
            return Act(act.lasts, fault) if first else act

        return ("stood",), scene, scene.with_tricks(fail)._replace(upset=Upset(retry=lasts))

    return made


def _lost(draw: Random) -> Made:
    scene = chain(draw, 2, 3)._replace(upset=Upset())
    calm = events_of(scene, 0)[-1].at
    at = round(draw.uniform(0.85, 0.99) * calm)
    return ("lost_work", "down"), scene, scene._replace(upset=Upset(crash=(at, 50 * MS)))


def _again(draw: Random) -> Made:
    scene = chain(draw, 6)
    count = len(scene.spec.workflow.steps)
    known = draw.randrange(2, count - 1)

    def change(step: StepSpec) -> StepSpec:
        if int(step.name[1:]) < known:
            return step
        return msgspec.structs.replace(step, agent="f", input="Begin.", when="s0 != ''")

    def none(asked: Asked, act: Act) -> Act:
        return Act(MS, act.gives) if asked.path in names else act

    names = [f"s{n}" for n in range(known, count)]
    scene = scene.steps(change)
    return ("no_cache",), scene.with_tricks(none), scene


PLANTS: dict[str, Callable[[Random], Made]] = {
    "rate": _rate,
    "tokens": _tokens,
    "spending": _spend,
    "spacing": _spacing,
    "concurrency": _concurrency,
    "parallel": _parallel,
    "agent": _agent_slots,
    "share": _share,
    "refused": _refused,
    "endpoint": _down_endpoint,
    "flaky": _flaky,
    "failing": _failing,
    "timeout": _timeout,
    "very slow": _very_slow,
    "straggler": _straggler,
    "tail": _tail,
    "slow agent": _slow_agent,
    "stale": _stale,
    "reviewers": _reviewers,
    "sequential": _sequential,
    "serial": _serial,
    "soft": _soft,
    "approval": _people("approve"),
    "input": _people("input"),
    "pause": _upset("pause"),
    "down": _upset("down"),
    "coordinator": _upset("coordinator"),
    "stood": _upset("stood"),
    "lost": _lost,
    "again": _again,
}
"""Each makes what the finding may be called, a scene without the cause, and one with it."""
