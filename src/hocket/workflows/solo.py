"""A step of one agent that has tools: one conversation, whose answer is the step's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from hocket.core.errors import Fault
from hocket.core.reports import Contribution, Report
from hocket.core.template import show
from hocket.core.values import Json
from hocket.workflows.floor import Floor, Prompt

_ALONE: Final = ""
"""The only one who is asked stands at the step's own path."""


class Solo:
    """The `hocket.workflows.team.Rules` of a call of an agent with tools.

    Args:
        floor: What it speaks through.
        given: The prompt: a text, ``{prompt: …, system: …}``, or other JSON, shown as such.
        facts: Not used.
    """

    def __init__(self, floor: Floor, given: Json, facts: Mapping[str, Json]) -> None:
        self.floor = floor
        self._prompt, self._options = prompt_parts(given)
        self._answer: Json = None

    def begin(self, at: int) -> None:
        """Ask the agent."""
        step = self.floor.step
        self.floor.ask(
            _ALONE, step.agent, step.output, fallback=step.fallback, options=self._options
        )

    def prompt(self, path: str) -> Prompt:
        """Say what it is asked."""
        return Prompt(self._prompt, {"prompt": self._prompt})

    def view_of(self, path: str) -> Json:
        """There is nothing of others to see."""
        return None

    def heard(self, path: str, output: Json, seen: Json, at: int) -> None:
        """It has given its answer."""
        self._answer = output
        self.floor.row(at, self.floor.step.agent, "answers")
        self.floor.decide(output, at)

    def gave_up(self, path: str, fault: Fault, at: int) -> None:
        """It has failed for good."""
        self.floor.row(at, self.floor.step.agent, "fails", fault.message)
        self.floor.fail(fault.message, at)

    def again(self, at: int) -> None:
        """Go on after a failure: the conversation goes on where it was."""
        self.floor.ask_again(_ALONE)

    def due(self, name: str, at: int) -> None:
        """It waits for no instant."""

    def report(self) -> Report:
        """Say what was done so far."""
        floor, agent = self.floor, self.floor.step.agent
        decided = floor.outcome is not None and floor.outcome.status == "succeeded"
        by = floor.by.get(_ALONE, agent)
        answer = Contribution(member=agent, label="", revision=1, content=self._answer, agent=by)
        return Report(
            kind="tools",
            status="decided" if decided else "failed" if floor.over else "open",
            began=floor.began,
            ended=floor.closed,
            winner=agent if decided else "",
            output=self._answer,
            contributions=(answer,) if decided else (),
            rows=tuple(floor.rows),
            fates=floor.books.sums(),
            waiting=sum(len(floor.jobs_of(path)) for path in floor.asked),
        )

    def fork(self, floor: Floor) -> Self:
        """Copy it, to go on with a copy of its floor."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.floor = floor
        return other

    def check(self) -> None:
        """There is no state that could be broken."""


def prompt_parts(given: Json) -> tuple[str, dict[str, Json]]:
    """Take the prompt and the system text apart, as model agents understand them."""
    if isinstance(given, dict) and "prompt" in given and given.keys() <= {"prompt", "system"}:
        system = given.get("system")
        return show(given["prompt"]), {} if system is None else {"system": show(system)}
    return show(given), {}
