"""A team as its plan drives it: a workflow within a step, played by the rules of its kind.

What a member is asked is rendered when its call leaves, so that a call that had to wait is asked
about what is known by then; what it has seen is noted at that very moment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol, Self, TypeAlias

import msgspec

from hocket.core.errors import EngineBug, Fault, Refused
from hocket.core.events import ApprovalGiven, InputGiven
from hocket.core.machine import Departure, End, Landing, Move, StepStatus, StepView, Workflow
from hocket.core.reports import Report
from hocket.core.specs import AgentSpec, StepSpec, agents_of
from hocket.core.values import Json
from hocket.workflows.floor import Asked, Floor, Prompt, join

_TIMING: Final[dict[str, Any]] = {"uses": {}, "takes": None, "hedge": None}
"""What says when calls are made, and nothing of what they give."""


class Rules(Protocol):
    """How a kind of team decides what follows from what its members give.

    Rules speak through the floor that they were made with, and own every other state.
    """

    def begin(self, at: int) -> None:
        """Ask whoever is to be asked first."""

    def prompt(self, path: str) -> Prompt:
        """Say what the member at `path` is asked, as of now."""

    def view_of(self, path: str) -> Json:
        """Say what the member at `path` sees of the others, as of now."""

    def heard(self, path: str, output: Json, seen: Json, at: int) -> None:
        """A member has answered; it is asked no more.

        `seen` is what `view_of` said when its call left; None if that is not known.
        The output fits the schema, unless a person has given it in place of a lost call.
        """

    def gave_up(self, path: str, fault: Fault, at: int) -> None:
        """A member has failed for good; it is asked no more."""

    def again(self, at: int) -> None:
        """Go on after a failure: ask those again who failed."""

    def due(self, name: str, at: int) -> None:
        """A reminder's instant has come."""

    def report(self) -> Report:
        """Say what was done so far."""

    def fork(self, floor: Floor) -> Self:
        """Copy them, to go on with a copy of their floor."""

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """


MakeRules: TypeAlias = Callable[[Floor, Json, Mapping[str, Json]], Rules]
"""Makes rules of a floor, the step's input as it was rendered, and what ``run.NAME`` means."""


class Team:
    """A team; a `hocket.core.machine.Workflow`.

    Args:
        make: Makes the rules of its kind.
        step: The step that it does.
        agents: All agents of the run.
        given: The step's input, rendered.
        facts: What ``run.NAME`` means.
    """

    def __init__(
        self,
        make: MakeRules,
        step: StepSpec,
        agents: Mapping[str, AgentSpec],
        given: Json,
        facts: Mapping[str, Json],
    ) -> None:
        self.given = given
        self.floor = Floor(step, agents)
        self.rules: Rules = make(self.floor, given, facts)
        self.moves: list[Move] = self.floor.moves
        self.listens = True
        self._kept: dict[str, Json] = {}
        """What was given by jobs that were cut short and came to their end all the same."""

    def start(self, at: int) -> None:
        """Begin."""
        self.floor.began = self.floor.at = at
        self.rules.begin(at)

    def told(self, path: str, news: Departure | Landing, at: int) -> None:
        """A call has left, or is over."""
        self.floor.at = at
        if isinstance(news, Landing):
            self.floor.landed(path, news)
        else:
            self.floor.books.left(path, news.attempt)
        base, rest = self.floor.locate(path)
        asked = self.floor.asked.get(base)
        if asked is None:
            return
        if asked.talk is not None:
            if not asked.talk.opened:
                asked.seen[0] = self.rules.view_of(base)
                asked.talk.open(self.rules.prompt(base).text)
            asked.talk.heard_of(rest, news)
        elif isinstance(news, Departure):
            asked.seen[news.attempt] = self.rules.view_of(base)

    def ended(self, path: str, output: Json, fault: Fault | None, at: int) -> None:
        """A job has given an output, or has failed for good."""
        self.floor.at = at
        base, rest = self.floor.locate(path)
        asked = self.floor.asked.get(base)
        if asked is None:
            raise EngineBug(f"nobody was asked at {path!r}")
        if asked.talk is not None:
            asked.talk.ended(rest, output, fault, at)
            _pull(self, base, at)
            return
        self._over(base, output, fault, at)

    def keep(self, path: str, output: Json) -> None:
        """A job that was dropped has given an output all the same.

        If all was cut short with it, a retry need not do it again.
        """
        base, _ = self.floor.locate(path)
        if base in self.floor.asked and path in self.floor.jobs_of(base):
            self._kept[path] = output

    def answered(self, event: ApprovalGiven | InputGiven) -> None:
        """A person has answered about a tool's call.

        Raises:
            Refused: Nothing waits for that, or other bytes were shown.
        """
        base, rest = self.floor.locate(event.path)
        asked = self.floor.asked.get(base)
        if asked is None or asked.talk is None:
            raise Refused(f"{event.path!r} waits for nothing")
        asked.talk.answered(msgspec.structs.replace(event, path=rest))
        _pull(self, base, event.at)

    def retry(self, path: str, at: int) -> None:
        """Do it again: what failed, and what was cut short.

        Raises:
            Refused: A part of it was named.
        """
        if path:
            raise Refused(f"{path!r} is a call of a team, which is done again as a whole")
        _go_on(self, at)

    def wake(self, at: int) -> None:
        """The deadline has come."""
        self.floor.at = at
        for name in self.floor.due(at):
            if not self.floor.over:
                self.rules.due(name, at)
        for path, asked in list(self.floor.asked.items()):
            talk = asked.talk
            due = None if talk is None or path not in self.floor.asked else talk.deadline()
            if talk is not None and due is not None and due <= at:
                talk.wake(at)
                _pull(self, path, at)

    def resumed(self, at: int) -> None:
        """The run goes on after a pause: questions that had expired are asked anew."""
        for asked in self.floor.asked.values():
            if asked.talk is not None:
                asked.talk.resumed(at)

    def deadline(self) -> int | None:
        """Give when to `wake` it at the latest, if ever."""
        return None if self.floor.over else self.floor.deadline()

    def request(self, path: str) -> Json:
        """Render what the agent gets for the job at `path`."""
        base, rest = self.floor.locate(path)
        asked = self.floor.asked[base]
        if asked.talk is not None:
            first = "" if asked.talk.opened else self.rules.prompt(base).text
            return asked.talk.request(rest, first)
        prompt = self.rules.prompt(base)
        if prompt.raw is not msgspec.UNSET:
            return prompt.raw
        match self.floor.agents[asked.manner.agents[0]].kind:
            case "function":
                return prompt.fields
            case "command":
                return {"args": [], "stdin": prompt.text}
            case _:
                return prompt.text

    def jobs(self) -> list[str]:
        """Give the paths of the jobs that it waits for."""
        return [job for path in self.floor.asked for job in self.floor.jobs_of(path)]

    def adopt(self, old: Workflow, agents: frozenset[str], at: int) -> None:
        """Go on where `old` was if it is alike; else begin anew."""
        step = self.floor.step
        if (
            isinstance(old, Team)
            and old.given == self.given
            and msgspec.structs.replace(old.floor.step, **_TIMING)
            == msgspec.structs.replace(step, **_TIMING)
            and agents_of(step, self.floor.agents) <= agents
        ):
            known = self.floor.agents
            other = old.fork()
            self.floor, self.rules, self.moves = other.floor, other.rules, other.moves
            self._kept = other._kept
            self.floor.step, self.floor.agents = step, known
            _go_on(self, at)
        else:
            self.start(at)

    def view(self, only: Collection[str] | None = None) -> list[StepView]:
        """Give those who are asked now, all or of these names, and what waits for a person."""
        views: list[StepView] = []
        for path, asked in self.floor.asked.items():
            if only is not None and path not in only:
                continue
            if path:
                agent = asked.manner.agents[0]
                status: StepStatus = "running" if self.floor.books.flies(path) else "pending"
                views.append(StepView(path=path, kind="call", status=status, agent=agent))
            views.extend(_views_in(path, asked))
        return views

    def counts(self) -> dict[StepStatus, int]:
        """Count nothing: a team is one step of its plan."""
        return {}

    def result(self, path: str) -> Json:
        """Give nothing: what a team gives is its step's output.

        Raises:
            Refused: Always.
        """
        raise Refused(f"there is no step {path!r}: a team has calls, and no steps of its own")

    def reports(self) -> dict[str, Report]:
        """Give its own report, under the empty path."""
        return {"": self.rules.report()}

    def fork(self) -> Self:
        """Copy it."""
        other = object.__new__(type(self))
        other.given = self.given
        other._kept = self._kept.copy()
        other.floor = self.floor.fork()
        other.rules = self.rules.fork(other.floor)
        other.moves = other.floor.moves
        other.listens = True
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        floor = self.floor
        if floor.over and floor.asked:
            raise EngineBug(f"step {floor.step.name!r}: nobody is asked once it is over")
        if not floor.over and not floor.asked and floor.deadline() is None:
            raise EngineBug(f"step {floor.step.name!r}: it waits for something until it is over")
        for asked in floor.asked.values():
            if asked.talk is not None:
                asked.talk.check()
        self.rules.check()

    def _over(self, base: str, output: Json, fault: Fault | None, at: int) -> None:
        """One who was asked has answered, or has given up."""
        asked = self.floor.asked.pop(base)
        if fault is None:
            self.rules.heard(base, output, asked.view, at)
        else:
            self.floor.gave_up[base] = asked
            if asked.talk is not None:
                # Turns and calls of tools that have led to no answer were for nothing.
                self.floor.books.judge(base, "discarded")
            self.rules.gave_up(base, fault, at)


def _pull(team: Team, base: str, at: int) -> None:
    """Take over what a conversation wants; if it has ended, the rules hear of it."""
    end: End | None = team.floor.pull(base)
    if end is not None:
        failed = end.status != "succeeded"
        fault = Fault(kind="failed", message=end.reason) if failed else None
        team._over(base, end.output, fault, at)


def _go_on(team: Team, at: int) -> None:
    """Go on where a team was: with what was cut short, unless it came to its end since."""
    kept, team._kept = team._kept, {}
    failed = team.floor.revive(at, kept)
    for path, output in kept.items():
        if path in team.jobs():
            team.ended(path, output, None, at)
    if failed:
        team.rules.again(at)


def _views_in(path: str, asked: Asked) -> list[StepView]:
    inner = [] if asked.talk is None else asked.talk.view()
    return [msgspec.structs.replace(view, path=join(path, view.path)) for view in inner]
