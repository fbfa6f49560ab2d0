"""The seeded world with teams in its plans: consensus, reviews, agents with tools.

    python -m tests.simulated.team_world --seed 17

Everything else goes wrong as it does in `tests.simulated.world`.
"""

from __future__ import annotations

import random
import sys
from typing import Any, ClassVar

import msgspec
from tests.simulated.draw import AGENTS, LIMITS, Draw
from tests.simulated.world import World, main

from hocket.core.events import CallStarted
from hocket.core.specs import AgentSpec, RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec, ToolSpec
from hocket.core.values import SECOND, Call, Json
from hocket.workflows.stages import likely_output

_ARGS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TEAM_AGENTS = {
    **AGENTS,
    "m": AgentSpec(kind="model", limits=("api",)),
    "n": AgentSpec(kind="model"),
    "t": AgentSpec(
        kind="model",
        tools={
            "look": ToolSpec(agent="f", schema=_ARGS, tries=2),
            "do": ToolSpec(agent="shell", schema=_ARGS, approve=True, timeout=20 * SECOND),
        },
        max_turns=4,
    ),
}
POLICIES = (
    *("once",) * 6,
    *("rounds", "rounds", "restart_all", "restart_unanswered", "cancel"),
    *("inject", "batch", "sequential"),
)


class TeamDraw(Draw):
    """Draws plans in which every third step is a team's."""

    kinds: tuple[str, ...] = ("consensus", "consensus", "review", "reviewed", "tools")

    def spec(self) -> RunSpec:
        spec = super().spec()
        return msgspec.structs.replace(spec, agents=TEAM_AGENTS, limits=LIMITS)

    def step(self, name: str, before: list[StepSpec], depth: int) -> StepSpec:
        step = super().step(name, before, depth)
        if step.kind != "call" or step.repeat is not None or not self.often(0.5):
            return step
        kind = self.rng.choice(self.kinds)
        if kind == "tools":
            fallback = tuple(agent for agent in step.fallback if agent != "t")
            return msgspec.structs.replace(step, agent="t", fallback=fallback, effects=None)
        if kind == "reviewed":
            return msgspec.structs.replace(step, review=self.review())
        team = self.consensus() if kind == "consensus" else self.review()
        return msgspec.structs.replace(
            step, kind=kind, agent="", fallback=(), effects=None, team=team, input="Why?"
        )

    def members(self, least: int, *, weighed: bool = False) -> tuple[Member, ...]:
        count = self.rng.randint(least, 4)
        return tuple(
            Member(
                name=f"m{i}",
                agent=self.rng.choice(("m", "n", "n", "t", "f")),
                weight=self.rng.choice((1.0, 2.0)) if weighed else 1.0,
            )
            for i in range(count)
        )

    def consensus(self) -> ConsensusSpec:
        rng = self.rng
        weigh = rng.choice(("equal", "equal", "agent", "confidence"))
        members = self.members(2, weighed=weigh == "agent")
        policy = rng.choice(POLICIES)
        fields: dict[str, Any] = {"members": members, "policy": policy}
        if policy == "rounds":
            fields["rounds"] = rng.randint(1, 3)
        if policy == "batch":
            fields["batch"] = rng.choice((500_000_000, 3 * SECOND))
        fields["rule"] = rng.choice(
            ("plurality", "plurality", "majority", "threshold", "unanimous")
        )
        fields["weigh"] = weigh
        fields["of"] = rng.choice(("all", "cast"))
        fields["tie"] = rng.choice(("order", "runoff"))
        if policy in ("once", "rounds", "sequential"):
            fields["votes"] = rng.choice(("together", "together", "as_needed"))
        fields["early"] = fields.get("votes") == "as_needed" or rng.random() < 0.8
        fields["final"] = rng.choice(("reuse", "reuse", "present", "synthesize"))
        if self.often(0.2):
            fields["max_duration"] = rng.randint(1, 30) * SECOND
        if self.often(0.2):
            fields["soft"] = rng.randint(1, 6) * SECOND
        if self.often(0.2):
            fields["hard"] = rng.randint(6, 12) * SECOND
        if policy == "rounds" and self.often(0.3):
            fields["lead"] = 1
        if self.often(0.3):
            fields["quorum"] = rng.randint(1, len(members))
        return ConsensusSpec(**fields)

    def review(self) -> ReviewSpec:
        rng = self.rng
        return ReviewSpec(
            members=self.members(1),
            swarm=rng.randint(1, 5),
            protocol=rng.choice(("single", "single", "self-correct")),
            threshold=rng.choice((0.5, 0.6, 0.9)),
            fail_open=rng.random() < 0.3,
            waves=rng.random() < 0.7,
            early=rng.random() < 0.8,
            max_rounds=rng.randint(1, 3),
            fixer=rng.choice(("m", "n")),
        )


class TeamWorld(World):
    """One seed's world, with teams."""

    name = "team world"
    module = "tests.simulated.team_world"
    draw = TeamDraw
    accounts: ClassVar[dict[str, None]] = {"workflow": None}
    must_fire = (
        *("consensus decided", "consensus open", "consensus failed", "review decided"),
        *("review failed", "tools decided", "tools failed", "forced", "useful", "stale"),
        *("discarded", "cancelled", "refused", "failed", "crash", "retry of a step"),
        *("spec replaced", "approved", "rejected", "hedged", "nonsense"),
    )

    def reply(self, call: Call) -> Json:
        job = self.machine.calls.jobs.get(call.path)
        if job is None or "/" not in call.path:
            return self.output()
        if self.faulty and self.rng.random() < 0.01:
            self.fired["nonsense"] += 1
            return self.rng.choice((None, 7, "?", [], {"vote": 3}))
        if not self.faulty and job.spec.output is not None:
            # In the end everybody agrees, or a review might never approve.
            return likely_output(job.spec)
        if not job.spec.tools:
            return self.output() if job.spec.output is None else sample(job.spec.output, self.rng)
        if self.rng.random() < 0.5:
            tools = [*(tool.name for tool in job.spec.tools), *(("no-such",) * (self.faulty))]
            calls = [
                {"id": f"c{i}", "name": self.rng.choice(tools), "args": {"n": i}}
                for i in range(self.rng.randint(1, 3))
            ]
            return {"$": "turn", "text": "let me see", "calls": calls}
        answer = self.output() if job.spec.output is None else sample(job.spec.output, self.rng)
        return {"$": "turn", "text": "", "calls": [], "answer": answer}

    def judge(self) -> None:
        super().judge()
        undisturbed = not self.fired["spec replaced"]
        for path, report in self.machine.workflow.reports().items():
            self.fired[f"{report.kind} {report.status}"] += 1
            self.fired["forced"] += report.forced
            landed = 0
            for fate, total in report.fates.items():
                self.fired[fate] += total.calls
                landed += total.calls
            made = [
                event.call
                for event in self.events
                if isinstance(event, CallStarted) and event.call.path.startswith(f"{path}/")
            ]
            assert landed <= len(set(made)), f"{path}: more fates than calls"
            if undisturbed and not self.retried:
                assert landed == len(set(made)), f"{path}: {landed} fates of {len(made)} calls"

    @property
    def retried(self) -> bool:
        return any(type(event).__name__ == "RetryRequested" for event in self.events)


def sample(schema: Json, rng: random.Random) -> Json:
    """Give a value that fits a schema, by chance."""
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "anyOf" in schema:
        return sample(rng.choice(schema["anyOf"]), rng)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = rng.choice(kind)
    if kind == "object":
        return {name: sample(inner, rng) for name, inner in schema["properties"].items()}
    if kind == "array":
        return [sample(schema["items"], rng) for _ in range(rng.randint(0, 2))]
    if kind in ("number", "integer"):
        return rng.randint(0, 4) / 4 if kind == "number" else rng.randint(0, 4)
    return {"boolean": rng.random() < 0.5, "null": None}.get(kind, f"text {rng.randint(0, 9)}")


if __name__ == "__main__":
    sys.exit(main(TeamWorld))
