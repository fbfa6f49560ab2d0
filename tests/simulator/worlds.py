"""A handful of simulations that go through all that a world does, for tests of its bytes.

`python worlds.py` prints what all happened in each, by digest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from tests.machines import plan, run_spec, step
from tests.simulator import policies, reviewed

from hocket.agents.base import Estimate
from hocket.core.errors import Fault
from hocket.core.specs import AgentSpec, InputSpec, LimitSpec, Rate, Repeat, Retry, RunSpec
from hocket.core.values import HOUR, MINUTE, MS, SECOND, Json, digest
from hocket.forecast.durations import Durations
from hocket.simulator.agents import Act, Asked, Cast, Latency, People, Player
from hocket.simulator.parts import Played
from hocket.simulator.play import Part, play, play_together

_NOISY = Player(latency=Latency(3 * SECOND, 0.5), failing=0.2, price=(2, 6))
_AGAIN = Retry(tries=6, first=2 * SECOND)


def chains() -> list[Played]:
    """Agents that have a chain of calls each, and no limit."""
    steps = [
        step(f"a{a}_{i}", agent=f"g{a}", needs=f"a{a}_{i - 1}" if i else "", timeout=HOUR)
        for a in range(4)
        for i in range(20)
    ]
    agents = {f"g{a}": AgentSpec(kind="scripted") for a in range(4)}
    spec = run_spec(plan(*steps), agents)
    return [play(spec, {}, Cast({}, Player(latency=Latency(3 * MINUTE, 0.5))), 1)]


def limited() -> list[Played]:
    """Two runs that share windows of requests and tokens and a few slots, with failures."""
    limits = {
        "api": LimitSpec(requests=(Rate(9, MINUTE),), tokens=(Rate(2_000, MINUTE),)),
        "few": LimitSpec(concurrency=3, shared=False, adaptive=False),
        "paced": LimitSpec(spacing=700 * MS, margin=0, adaptive=False),
    }
    agents = {
        "f": AgentSpec(kind="model", limits=("api",), concurrency=2),
        "g": AgentSpec(kind="model", limits=("paced",)),
    }
    steps = [
        step(
            f"s{i}",
            agent="fg"[i % 3 == 0],
            needs=f"s{i - 6}" if i > 5 else "",
            retry=_AGAIN,
            uses={"few": 1 + (i % 5 == 0)},
            input="x" * (50 * (i % 7)),
        )
        for i in range(30)
    ]
    spec = RunSpec(workflow=plan(*steps), agents=agents, limits=limits)
    light = msgspec.structs.replace(spec, weight=0.5, deadline=HOUR)
    cast = Cast({"f": _NOISY, "g": _NOISY})
    parts = [
        Part(spec, {}, run="one", seed=1),
        Part(spec, {}, run="two", seed=2, at=SECOND),
        Part(light, {}, run="soon", seed=3, at=2 * SECOND),
    ]
    return play_together(parts, cast)


class Refusing:
    """An agent that is refused now and then, is down for a while, and otherwise answers."""

    def act(self, asked: Asked) -> Act:
        if asked.agent == "f" and 20 * SECOND <= asked.at < 60 * SECOND:
            return Act(SECOND, Fault(kind="unavailable", message="down"), heard=SECOND // 2)
        if asked.draw("refused") < 0.1:
            fault = Fault(kind="rate_limited", message="429", retry_after=4 * SECOND)
            return Act(200 * MS, fault)
        lasts = Latency(2 * SECOND, 0.6).at(asked.draw("latency"))
        return Act(lasts, asked.path, heard=lasts // 3)

    def estimate(self, asked: Asked) -> Estimate:
        raise AssertionError("nothing counts tokens here")


def refused() -> list[Played]:
    """An endpoint that refuses and goes down, with and without somebody to fall back on."""
    agents = {name: AgentSpec(kind="model", limits=(f"of-{name}",)) for name in "fg"}
    limits = {f"of-{name}": LimitSpec(requests=(Rate(30, MINUTE),)) for name in "fg"}
    steps = [
        step(
            f"s{i}",
            needs=f"s{i - 8}" if i > 7 else "",
            fallback="g" if i % 2 else "",
            retry=Retry(tries=20, first=SECOND, longest=8 * SECOND),
            timeout=5 * SECOND,
        )
        for i in range(60)
    ]
    spec = RunSpec(workflow=plan(*steps), agents=agents, limits=limits)
    return [play(spec, {}, Refusing(), seed) for seed in (1, 2)]


def nested() -> list[Played]:
    """Lists, rounds, questions, plans within plans, late wants, skipped and failed steps."""

    def count(asked: Asked) -> Json:
        return int(asked.path.rpartition("~")[2]) if "~" in asked.path else 1

    inner = plan(
        step("one", input="{{inputs.what}}"),
        step("again", needs="one", agent="g", repeat=Repeat(until="again >= 3", max=5)),
        name="inner",
        inputs="what",
    )
    whole = plan(
        step("a", input={"n": "{{inputs.n}}"}),
        step("ok", kind="approve", input="look at {{a.n}}", timeout=HOUR, needs="a"),
        step("say", kind="input", input="what?", needs="ok"),
        step("sub", kind="plan", plan=inner, needs="say", input={"what": "{{say}}"}),
        step("many", each="[1, 2, 3, 4]", needs="a", on_failure="continue", retry=_AGAIN),
        step("slow", agent="slow", timeout="40s", on_failure="skip"),
        step("soon", wants="slow many", within="5s", quorum=1, needs="a"),
        step("never", when="a.n > 9", needs="sub"),
        name="p",
        inputs={"n": InputSpec()},
    )
    agents = {name: AgentSpec(kind="scripted") for name in ("f", "g", "slow")}
    players = {
        "f": msgspec.structs.replace(_NOISY, failing=0.1),
        "g": Player(gives=count),
        "slow": Player(latency=Latency(2 * MINUTE)),
    }
    people = People(after=20 * SECOND, value="this")
    spec = run_spec(whole, agents)
    return [play(spec, {"n": 3}, Cast(players), seed, people=people) for seed in (1, 2, 3)]


def hedged() -> list[Played]:
    """Calls that get a second one beside them, ordered by what is known of how long they take."""
    past = Durations({("p", f"s{i}", "f"): [k * SECOND for k in range(1, 9)] for i in range(20)})
    steps = [
        step(f"s{i}", hedge=0.8, needs=f"s{i - 7}" if i > 6 else "", retry=_AGAIN)
        for i in range(20)
    ]
    spec = run_spec(plan(*steps), max_parallel=5)
    cast = Cast({"f": msgspec.structs.replace(_NOISY, latency=Latency(4 * SECOND, 0.9))})
    return [play(spec, {}, cast, seed, past=past) for seed in (1, 2)]


def paused() -> list[Played]:
    """Money that runs out, and a budget of events."""
    purse = LimitSpec(cost=(Rate(9_000, 0),), on_exceed="pause", shared=False)
    agents = {"f": AgentSpec(kind="model", limits=("purse",))}
    steps = [step(f"s{i}", input="x" * 300, retry=_AGAIN) for i in range(30)]
    spec = RunSpec(workflow=plan(*steps), agents=agents, limits={"purse": purse})
    cast = Cast({"f": _NOISY})
    return [play(spec, {}, cast), play(run_spec(plan(*steps)), {}, cast, budget=25)]


def consensus() -> list[Played]:
    """Seven agents under two windows, by every policy."""
    return [
        play(policies.spec_of(policies.consensus(policy), limits, turns), {}, cast(), seed=2)
        for policy in policies.POLICIES
        for limits in (True, False)
        for turns, cast in ((1, policies.drawn), (policies.TURNS, policies.drawn_with_tools))
    ]


def reviews() -> list[Played]:
    """Plans whose steps are reviewed, three at once under one window."""
    spec = reviewed.spec_of(1, reviewed.OURS, rounds=3)
    parts = [Part(spec, {}, run=f"r{i}", seed=i) for i in range(3)]
    return play_together(parts, reviewed.agents(0.3, 0.8))


WORLDS: dict[str, Callable[[], list[Played]]] = {
    world.__name__: world
    for world in (chains, limited, refused, nested, hedged, paused, consensus, reviews)
}


def told(played: list[Played]) -> str:
    """Name all that happened in a world, byte for byte: every event, and every call."""
    encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
    parts = [(run.run, run.status, run.digest(), encode(run.calls).decode()) for run in played]
    return digest(encode(parts))[:16]


if __name__ == "__main__":
    for name, world in WORLDS.items():
        print(name, told(world()))
