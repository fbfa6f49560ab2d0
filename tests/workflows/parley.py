"""A consensus under a test's hand: members by name, answers and votes in a word."""

from __future__ import annotations

from typing import Any

from tests.machines import step
from tests.workflows.team_drive import TeamDrive

from hocket.core.specs import AgentSpec
from hocket.core.teams import ConsensusSpec, Member
from hocket.core.values import Json, parse_duration
from hocket.workflows.consensus import Consensus

DURATIONS = ("batch", "max_duration", "soft", "hard")


def spec_of(names: str, **fields: Any) -> ConsensusSpec:
    """A consensus of members ``a b:2 c|z``, each its own agent, with weights and fallbacks."""
    members = []
    for word in names.split():
        who, _, weight = word.partition(":")
        name, *fallback = who.split("|")
        one = Member(name=name, agent=name, weight=float(weight or 1), fallback=tuple(fallback))
        members.append(one)
    for field in DURATIONS:
        if isinstance(fields.get(field), str):
            fields[field] = parse_duration(fields[field])
    return ConsensusSpec(members=tuple(members), **fields)


class Parley(TeamDrive):
    """A run of one consensus, step ``q``; calls are named by what is behind ``q/``."""

    team_step = "q"

    def __init__(self, names: str = "a b c", *, drive: dict[str, Any] | None = None, **fields: Any):
        options = dict(drive or {})
        on_step = {k: fields.pop(k) for k in ("retry", "timeout") if k in fields}
        spec = spec_of(names, **fields)
        self.members = [member.name for member in spec.members]
        kinds = options.pop("kinds", {})
        seated = [name for one in spec.members for name in (one.agent, *one.fallback)]
        known = dict.fromkeys([*seated, *([spec.presenter] if spec.presenter else [])])
        agents = {name: AgentSpec(kind=kinds.get(name, "model")) for name in known}
        agents.update(options.pop("agents", {}))
        question = options.pop("question", "What is it?")
        asked = step("q", kind="consensus", input=question, team=spec, **on_step)
        super().__init__(asked, *options.pop("also", ()), agents=agents, **options)

    # -- the members ------------------------------------------------------------------------

    def answer(self, *names: str, **contents: Json) -> Parley:
        """Members answer: with their name, unless another content is given."""
        for name, content in ({name: f"by {name}" for name in names} | contents).items():
            self.done(self.of(name, "answer"), content)
        return self

    def vote(self, confidence: float = 1.0, reason: str = "", **choices: str) -> Parley:
        """Members vote: ``a="b"`` is a's vote for b's answer; "" for one without sense."""
        for name, choice in choices.items():
            label = self.label(choice) if choice else "none"
            self.say(name, vote=label, confidence=confidence, reason=reason)
        return self

    def revise(self, **contents: Json) -> Parley:
        """Members give a new answer instead of a vote."""
        for name, content in contents.items():
            blank = {"vote": "", "confidence": 1.0, "reason": ""}
            self.say(name, action="revise", answer=content, **blank)
        return self

    def say(self, name: str, **output: Json) -> Parley:
        self.done(self.of(name, "vote"), output)
        return self

    def fail(self, *names: str, what: str = "answer") -> Parley:
        for name in names:
            self.fails(self.of(name, what))
        return self

    # -- questions --------------------------------------------------------------------------

    def of(self, name: str, what: str) -> str:
        """The path of a member's call of a kind that is in flight and wanted."""
        found = [path for path in self.asks if path.split("~")[0] == f"{name}/{what}"]
        assert len(found) == 1, f"{name} has {len(found)} calls for {what} in flight: {self.asks}"
        return f"q/{found[0]}"

    @property
    def rules(self) -> Consensus:
        assert isinstance(self.team.rules, Consensus)
        return self.team.rules

    def label(self, name: str) -> str:
        return next(s.label for s in self.rules._table.seats if s.name == name)

    def text(self, name: str, what: str = "vote") -> str:
        """What a member in flight was asked."""
        given = self.given(self.of(name, what))
        assert isinstance(given, str)
        return given

    def land(self) -> Parley:
        """Calls that were let go are stopped; the run ends if that was all."""
        for call in self.machine.calls.in_flight():
            if call.path in self.machine.calls.jobs and self.machine.calls.jobs[call.path].dropped:
                self.stopped(call.path)
        return self

    @property
    def result(self) -> dict[str, Any]:
        """The step's output, once the run has succeeded."""
        self.land()
        assert self.phase == "succeeded", f"{self.phase}: {self.machine.end}"
        output = self.output["q"] if set(self.output) == {"q"} else self.output
        assert isinstance(output, dict)
        return output

    @property
    def winner(self) -> str:
        return str(self.result["winner"]["member"])
