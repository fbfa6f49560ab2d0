"""Draws random plans that use every feature, small enough to be run by the ten thousand."""

from __future__ import annotations

import random
from typing import Any

from hocket.core.specs import (
    AgentSpec,
    InputSpec,
    LimitSpec,
    PlanSpec,
    Rate,
    Repeat,
    Retry,
    RunSpec,
    StepSpec,
)
from hocket.core.values import DAY, MINUTE, MS, SECOND, Json

AGENTS = {
    "f": AgentSpec(kind="function", limits=("api",)),
    "g": AgentSpec(kind="function"),
    "shell": AgentSpec(kind="command", effects=True),
}
LIMITS = {"api": LimitSpec(requests=(Rate(9, MINUTE),))}
INPUTS: dict[str, Json] = {"k": 1, "list": [3, 1, 2, None, "x"]}


class Draw:
    """Draws one plan; `safe` says whether it can succeed once nothing fails any more."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.safe = True
        self.single: dict[str, None] = {}
        """The steps of the plan under way that have one output of an agent."""

    def spec(self) -> RunSpec:
        return RunSpec(workflow=self.plan(0, "p"), agents=AGENTS, max_parallel=4, limits=LIMITS)

    def often(self, share: float) -> bool:
        return self.rng.random() < share

    def plan(self, depth: int, name: str) -> PlanSpec:
        rng = self.rng
        count = rng.randint(10, 26) if depth == 0 else rng.randint(1, 4)
        steps: list[StepSpec] = []
        for i in range(count):
            self.single = {s.name: None for s in steps if s.kind == "call" and s.each is None}
            steps.append(self.step(f"s{i}", steps, depth))
        if depth == 0:
            inputs = {"k": InputSpec(), "list": InputSpec(required=False, default=[1])}
        else:
            inputs = {"k": InputSpec(required=False, default=1), "list": InputSpec(required=False)}
        fields: dict[str, Any] = {}
        if self.often(0.3):
            some = rng.choice(steps).name
            fields["output"] = {"it": f"{{{{steps.{some}.output}}}}", "how": f"{{{{{some}}}}}"}
        if self.often(0.08):
            fields["timeout"] = rng.randint(30, 200) * SECOND
        return PlanSpec(name=name, steps=tuple(steps), inputs=inputs, **fields)

    def step(self, name: str, before: list[StepSpec], depth: int) -> StepSpec:
        rng = self.rng
        names = [step.name for step in before]
        rng.shuffle(names)
        needs = names[: rng.choice((0, 0, 1, 1, 2))]
        rest = names[len(needs) :]
        wants = rest[: rng.choice((0, 0, 0, 0, 1, 2, 3))]
        fields: dict[str, Any] = {"name": name, "needs": tuple(needs), "wants": tuple(wants)}
        if wants and self.often(0.6):
            fields["within"] = rng.choice((0, 500 * MS, 5 * SECOND, 20 * SECOND))
        if wants and self.often(0.5):
            fields["quorum"] = rng.randint(1, len(wants))
        if self.often(0.15):
            fields["when"] = self.condition(needs, wants)
        fields["on_failure"] = rng.choice(("stop", *("skip",) * 5, *("continue",) * 9))
        kind = rng.choice(("call",) * 7 + ("approve", "input", "plan"))
        if kind == "plan" and depth == 2:
            kind = "call"
        fields["kind"] = kind
        if self.often(0.4):
            self.fan(fields, name, kind, before)
        if kind == "call":
            self.call(fields)
        elif kind == "plan":
            outer, self.single = self.single, {}
            fields["plan"] = self.plan(depth + 1, f"{name}-inner")
            self.single = outer
            fields["input"] = {"k": "{{inputs.k}}", "list": [2, 1]}
        else:
            fields["input"] = "look at {{inputs.k}}"
            fields["timeout"] = rng.choice((3 * SECOND, 30 * SECOND, DAY))
            choices = ("pause", "reject", "approve") if kind == "approve" else ("pause", "reject")
            fields["on_timeout"] = rng.choice(choices)
            # With effects behind it, it has to be said that it is meant.
            fields["confirm_effects"] = fields["on_timeout"] == "approve"
        if kind == "call" and self.often(0.5):
            fields["input"] = self.text(fields, needs, wants)
        return StepSpec(**fields)

    def fan(self, fields: dict[str, Any], name: str, kind: str, before: list[StepSpec]) -> None:
        """Let the step be done for each item, or again and again, or both."""
        lists = ["inputs.list", "[1, 2, 'x', null]", "[]"]
        if kind != "plan":
            needed = [s for s in before if s.name in fields["needs"]]
            lists += [
                f"{s.name}.list"
                for s in needed
                if s.kind == "call" and s.each is None and s.on_failure != "continue"
            ] * 3
            # The list changes when a step that was put up with is done again.
            lists += [f"[{s.name}, 'x']" for s in needed if s.on_failure == "continue"] * 3
        how = self.rng.choice(("each", "each", "repeat", "both"))
        if how != "repeat":
            fields["each"] = self.rng.choice(lists)
        if how != "each" and kind in ("call", "plan"):
            until = f"{name}.ok or round >= 4" if kind == "call" else "round >= 2"
            fields["repeat"] = Repeat(until=until, max=self.rng.randint(2, 5))

    def call(self, fields: dict[str, Any]) -> None:
        rng = self.rng
        fields["agent"] = rng.choice(("f", "f", "f", "g", "shell"))
        if self.often(0.2):
            others = [name for name in AGENTS if name != fields["agent"]]
            fields["fallback"] = tuple(others[: rng.randint(1, 2)])
        if self.often(0.1):
            fields["effects"] = False
        harmless = "shell" not in (fields["agent"], *fields.get("fallback", ()))
        if (harmless or fields.get("effects") is False) and self.often(0.4):
            fields["hedge"] = rng.choice((0.5, 0.95))
        if self.often(0.6):
            fields["retry"] = Retry(
                tries=rng.randint(1, 4),
                first=rng.choice((0, 200 * MS, SECOND)),
                longest=5 * SECOND,
                jitter=rng.choice((0.0, 0.5, 1.0)),
            )
        fields["timeout"] = rng.choice((2 * SECOND, 8 * SECOND, MINUTE))

    def condition(self, needs: list[str], wants: list[str]) -> str:
        some = [*needs, *wants]
        texts = ["inputs.k == 1", "inputs.k > 1", "run.name == 'p'"]
        if some:
            one = self.rng.choice(some)
            texts += [f"steps.{one}.status == 'succeeded'", f"{one} != null"] * 2
        return self.rng.choice(texts)

    def text(self, fields: dict[str, Any], needs: list[str], wants: list[str]) -> Json:
        rng = self.rng
        parts = ["{{inputs.k}}", "{{run.id}}"]
        parts += [f"{{{{{name}}}}}" for name in (*needs, *wants)]
        if fields.get("each") is not None:
            parts += ["{{item}} of {{index}}"]
        if fields.get("repeat") is not None:
            parts += ["{{previous}} in {{round}}"]
        if needs and self.often(0.08) and needs[0] in self.single:
            # Fails where the agent's output has turned out to be null.
            parts.append(f"{{{{{needs[0]}.n}}}}")
            self.safe = False
        return {"text": rng.sample(parts, min(len(parts), 3))}
