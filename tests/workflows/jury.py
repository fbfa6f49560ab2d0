"""A review under a test's hand: reviewers by number, verdicts in a word."""

from __future__ import annotations

from typing import Any

from tests.machines import step
from tests.workflows.team_drive import TeamDrive

from hocket.core.specs import AgentSpec
from hocket.core.teams import Member, ReviewSpec
from hocket.core.values import Json
from hocket.workflows.review import Review

KINDS = {"fn": "function", "cmd": "command", "eff": "command"}


def spec_of(by: str = "a", **fields: Any) -> ReviewSpec:
    """A review by members ``a b:2 c|z``, each its own agent, with weights and fallbacks."""
    members = []
    for word in by.split():
        who, _, weight = word.partition(":")
        name, *fallback = who.split("|")
        one = Member(name=name, agent=name, weight=float(weight or 1), fallback=tuple(fallback))
        members.append(one)
    return ReviewSpec(members=tuple(members), **fields)


class Jury(TeamDrive):
    """A run of one review, step ``s``; calls are named by what is behind ``s/``.

    Args:
        by: Who reviews.
        author: Whose step it is; "" for a step of kind review.
        given: The step's input.
        on_step: More of the step.
        drive: How to drive it.
        fields: The review's.
    """

    team_step = "s"

    def __init__(
        self,
        by: str = "a",
        *,
        author: str = "",
        given: Json = "Is it so?",
        on_step: dict[str, Any] | None = None,
        drive: dict[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        options = dict(drive or {})
        spec = spec_of(by, **fields)
        names = [name for one in spec.members for name in (one.agent, *one.fallback)]
        stand_in = (on_step or {}).get("fallback", ())
        known = dict.fromkeys([*names, *filter(None, (author, spec.fixer)), *stand_in])
        agents = {
            name: AgentSpec(kind=KINDS.get(name, "model"), effects=name == "eff")  # type: ignore[arg-type]
            for name in known
        }
        agents.update(options.pop("agents", {}))
        more: dict[str, Any] = {"input": given} | (on_step or {})
        if author:
            one = step("s", agent=author, review=spec, **more)
        else:
            one = step("s", kind="review", team=spec, **more)
        super().__init__(one, agents=agents, **options)

    # -- what happens -----------------------------------------------------------------------

    def say(self, *verdicts: str, issues: list[str] | None = None, reason: str = "") -> Jury:
        """Reviewers judge: ``1+`` approves, ``2-`` rejects, ``3+0.4`` is less sure."""
        for word in verdicts:
            output = {
                "verdict": "approve" if word[1] == "+" else "reject",
                "confidence": float(word[2:] or 1),
                "issues": issues or [],
                "reason": reason,
            }
            self.done(self.of(f"r{word[0]}"), output)
        return self

    def fail(self, *numbers: int) -> Jury:
        for number in numbers:
            self.fails(self.of(f"r{number}"), message="broken")
        return self

    def make(self, content: Json = "draft", who: str = "author") -> Jury:
        """The author or fixer gives an artefact."""
        self.done(self.of(who), content)
        return self

    # -- questions --------------------------------------------------------------------------

    def of(self, who: str) -> str:
        """The path of somebody's call that is in flight and wanted."""
        found = [p for p in self.asks if p.split("~")[0].split("/")[0] == who]
        assert len(found) == 1, f"{who} has {len(found)} calls in flight: {self.asks}"
        return f"s/{found[0]}"

    @property
    def rules(self) -> Review:
        assert isinstance(self.team.rules, Review)
        return self.team.rules

    def land(self) -> Jury:
        """Calls that were dropped are stopped."""
        for path in list(self.flying):
            if self.machine.calls.jobs[path].dropped:
                self.stopped(path)
        return self
