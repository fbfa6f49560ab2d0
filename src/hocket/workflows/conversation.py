"""One agent with tools: turns of the model and calls of tools, each a job of its own.

    turn ──calls──> one job for each call, side by side ──all are in──> turn~2 ──answer──> over

Paths are ``turn`` and ``NAME/NUMBER`` for the calls of a turn, with ``~round`` from the second turn
on.
The text that opens the conversation is rendered when its first turn leaves, so that a turn that
had to wait begins with what is known by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from hocket.core.errors import EngineBug, Fault, Refused
from hocket.core.events import ApprovalGiven, InputGiven
from hocket.core.machine import Do, End, JobSpec, Move, StepView
from hocket.core.specs import AgentSpec, Retry, StepSpec
from hocket.core.teams import ToolSpec
from hocket.core.template import parse_template
from hocket.core.values import Json
from hocket.workflows.jobs import job_of
from hocket.workflows.live import unit_path

TURN: Final = "turn"
_ALONE: Final = -1


class Conversation:
    """The conversation of one agent with its tools.

    Args:
        turn: How a turn is done; its `tools` are those that the model is told of.
        tools: How each tool is done.
        agents: All agents of the run.
        max_turns: The most turns.

    Attributes:
        opened: Whether the first turn has left.
        told: The marks of what `tell` has said and a turn has carried.
    """

    def __init__(
        self,
        turn: JobSpec,
        tools: Mapping[str, ToolSpec],
        agents: Mapping[str, AgentSpec],
        max_turns: int,
    ) -> None:
        self.moves: list[Move] = []
        self.opened = False
        self.told: list[Json] = []
        self._turn = turn
        self._tools = tools
        self._agents = agents
        self._max_turns = max_turns
        self._number = 0
        self._messages: list[Json] = []
        self._news: list[tuple[str, Json]] = []
        self._calls: dict[str, Json] = {}
        """The calls of the present turn that are under way, by path."""
        self._results: dict[str, Json] = {}
        self._order: list[str] = []

    def start(self) -> None:
        """Ask for the first turn."""
        self._take_turn()

    def open(self, first: str) -> None:
        """The first turn has left, and this is what it began with."""
        self.opened = True
        self._messages.append({"role": "user", "text": first})

    def tell(self, text: str, mark: Json) -> None:
        """Say something to the agent with its next turn; `mark` then joins `told`."""
        self._news.append((text, mark))

    def left(self, path: str, at: int) -> None:
        """A call has left; a turn carries what was to be told."""
        if path == _turn_path(self._number) and self._news:
            self._messages.extend({"role": "user", "text": text} for text, _ in self._news)
            self.told.extend(mark for _, mark in self._news)
            self._news.clear()

    def request(self, path: str, first: str = "") -> Json:
        """Give what the agent of a job gets; `first` opens a conversation that is not open yet."""
        if path in self._calls:
            call = self._calls[path]
            template = parse_template(self._tools[call["name"]].input)
            return template.render(lambda name: call["args"] if name == "args" else None)
        opening = [] if self.opened else [{"role": "user", "text": first}]
        news = [{"role": "user", "text": text} for text, _ in self._news]
        return {"$": "talk", "messages": [*opening, *self._messages, *news]}

    def ended(self, path: str, output: Json, fault: Fault | None, at: int) -> None:
        """A turn or a tool's call has given an output, or has failed for good."""
        if path in self._calls:
            self._tool_ended(path, output, fault)
        elif fault is not None:
            self.moves.append(End("failed", fault.message))
        elif output.get("calls"):
            self._call(output)
        else:
            self.moves.append(End("succeeded", output=output.get("answer")))

    def jobs(self) -> list[str]:
        """Give the paths of the jobs that it waits for."""
        return list(self._calls) if self._calls else [_turn_path(self._number)]

    def revive(self, turn: JobSpec) -> None:
        """Ask for what is under way anew, with turns done in another way."""
        self._turn = turn
        jobs = [(path, self._job(path)) for path in self.jobs()]
        self.moves = [Do(path, job) for path, job in jobs]

    def answered(self, event: ApprovalGiven | InputGiven) -> None:
        """A person has answered.

        Raises:
            Refused: Nothing waits for that.
        """
        raise Refused(f"{event.path!r} waits for nothing")

    def wake(self, at: int) -> None:
        """The deadline has come."""

    def deadline(self) -> int | None:
        """Give when to `wake` it at the latest, if ever."""
        return None

    def resumed(self, at: int) -> None:
        """The run goes on after a pause: questions that had expired are asked anew."""

    def view(self) -> list[StepView]:
        """Give what waits for a person."""
        return []

    def fork(self) -> Self:
        """Copy it; messages are shared."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        for name in ("moves", "told", "_messages", "_news", "_order"):
            setattr(other, name, list(getattr(self, name)))
        other._calls = self._calls.copy()
        other._results = self._results.copy()
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        if not 1 <= self._number <= self._max_turns:
            raise EngineBug("a conversation has as many turns as it may have")

    # -- within -----------------------------------------------------------------------------

    def _take_turn(self) -> None:
        if self._number >= self._max_turns:
            self.moves.append(End("failed", f"no answer after {self._max_turns} turns"))
            return
        self._number += 1
        self.moves.append(Do(_turn_path(self._number), self._turn))

    def _call(self, output: Json) -> None:
        self._messages.append({"role": "agent", **{k: output[k] for k in ("text", "calls")}})
        self._results.clear()
        self._order = []
        for number, call in enumerate(output["calls"]):
            path = unit_path(call["name"], number, self._number)
            self._order.append(path)
            self._calls[path] = call
        self.moves.extend([Do(path, self._job(path)) for path in self._order])

    def _job(self, path: str) -> JobSpec:
        if path not in self._calls:
            return self._turn
        tool = self._tools[self._calls[path]["name"]]
        step = StepSpec(name="", retry=Retry(tries=tool.tries), timeout=tool.timeout)
        return job_of(step, self._agents, (tool.agent,), None, {})

    def _tool_ended(self, path: str, output: Json, fault: Fault | None) -> None:
        call = self._calls.pop(path)
        said = output if fault is None else fault.message
        self._results[path] = {
            "role": "tool",
            "id": call["id"],
            "name": call["name"],
            "output": said,
            "failed": fault is not None,
        }
        if not self._calls:
            self._messages.extend(self._results[path] for path in self._order)
            self._take_turn()


def _turn_path(number: int) -> str:
    return unit_path(TURN, _ALONE, number)
