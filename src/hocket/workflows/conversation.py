"""One agent with tools: turns of the model and calls of tools, each a job of its own.

    turn ──calls──> one job for each call, side by side ──all are in──> turn~2 ──answer──> over

Paths are ``turn`` and ``NAME/NUMBER`` for the calls of a turn, with ``~round`` from the second turn
on.

What the agent gets for a turn is a talk::

    {"$": "talk", "messages": [
        {"role": "user", "text": …},
        {"role": "agent", "text": …, "calls": [{"id": …, "name": …, "args": …}]},
        {"role": "tool", "id": …, "name": …, "output": …, "failed": …}, …]}

and what it gives is a turn: ``{"$": "turn", "text": …, "calls": [...]}``, or with an ``answer``
``{"$": "turn", "answer": …}``.
More that stands in a turn with calls stands in its message too: what a provider wants to see again.
Messages are only ever appended, so that providers know each prompt's beginning again.

The text that opens the conversation is rendered when its first turn leaves, so that a turn that
had to wait begins with what is known by then.

The last turn that is permitted says ``"last": true``: the tools are still there, since what was
said refers to them, but none may be called, so that an answer has to come.
Calls that come all the same are not made, and the conversation has failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from hocket.core.errors import EngineBug, Fault, Refused
from hocket.core.events import ApprovalGiven, InputGiven
from hocket.core.machine import Departure, Do, End, JobSpec, Landing, Move, StepView
from hocket.core.specs import AgentSpec
from hocket.core.teams import ToolSpec
from hocket.core.values import Json
from hocket.workflows.live import ALONE, unit_path
from hocket.workflows.toolcalls import ToolCalls

TURN: Final = "turn"
NO_MORE: Final = "No more tools can be called. Give your answer now, from what is known so far."
"""What the model is told with its last turn, if it has called tools before."""

_OWN: Final = frozenset({"$", "answer", "role"})


class Conversation:
    """The conversation of one agent with its tools.

    Args:
        turn: How a turn is done; its `tools` are those that the model is told of.
        tools: How each tool is done.
        agents: All agents of the run.
        max_turns: The most turns.

    Attributes:
        opened: Whether the first turn has left.
        told: The marks of what `tell` has said, as far as a turn has carried it that is over.
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
        self._most = max_turns
        self._number = 0
        self._messages: list[Json] = []
        self._news: list[tuple[str, Json]] = []
        self._carried: dict[int, int] = {}
        """How many of the news each call of the present turn has carried, by its attempt."""
        self._won = 0
        """The attempt at the present turn that has finished, or 0."""
        self._calls: ToolCalls | None = None
        """The calls of the present turn, once it is over and as long as they are not."""

    def start(self) -> None:
        """Ask for the first turn."""
        self._take_turn()

    def open(self, first: str) -> None:
        """The first turn has left, and this is what it began with."""
        self.opened = True
        self._messages.extend(_says([first]))

    def tell(self, text: str, mark: Json) -> None:
        """Say something to the agent with the next turn that leaves; `mark` then joins `told`."""
        self._news.append((text, mark))

    def heard_of(self, path: str, news: Departure | Landing) -> None:
        """A call has left, or is over; a turn that leaves carries what is to be told."""
        if path != _path(self._number):
            return
        if isinstance(news, Departure):
            self._carried[news.attempt] = len(self._news)
        elif news.how == "finished":
            self._won = news.attempt

    def request(self, path: str, first: str = "") -> Json:
        """Give what the agent of a job gets; `first` opens a conversation that is not open yet."""
        if self._calls is not None:
            return self._calls.request(path)
        opening = [] if self.opened else [first]
        news = [text for text, _ in self._news]
        said = [*_says(opening), *self._messages, *_says(news)]
        if self._number < self._most:
            return {"$": "talk", "messages": said}
        last = [NO_MORE] if self._number > 1 else []
        return {"$": "talk", "messages": [*said, *_says(last)], "last": True}

    def ended(self, path: str, output: Json, fault: Fault | None, at: int) -> None:
        """A turn or a tool's call has given an output, or has failed for good."""
        if self._calls is not None:
            self._calls.ended(path, output, fault)
            self._go_on()
        elif fault is not None:
            self.moves.append(End("failed", fault.message))
        else:
            self._turn_ended(output, at)

    def jobs(self) -> list[str]:
        """Give the paths of the jobs that it waits for."""
        return [_path(self._number)] if self._calls is None else self._calls.jobs()

    def revive(self, turn: JobSpec, agents: Mapping[str, AgentSpec], at: int) -> None:
        """Ask anew for what is under way, with turns and tools done in another way."""
        self._turn, self._agents = turn, agents
        self.moves.clear()
        if self._calls is None:
            self.moves.append(Do(_path(self._number), turn))
        else:
            self.moves.extend(self._calls.revive(agents, at))

    def again(self) -> None:
        """Go on after it has failed: take the turn anew that has, or one more if all are taken."""
        if self._calls is None:
            self.moves.append(Do(_path(self._number), self._turn))
        else:
            self._most += 1
            self._go_on()

    def answered(self, event: ApprovalGiven | InputGiven) -> None:
        """A person has answered.

        Raises:
            Refused: Nothing waits for that, or other bytes were shown.
        """
        if self._calls is None:
            raise Refused(f"{event.path!r} waits for nothing")
        self.moves.extend(self._calls.answered(event))
        self._go_on()

    def wake(self, at: int) -> None:
        """The deadline has come."""
        if self._calls is not None:
            self.moves.extend(self._calls.wake(at))
            self._go_on()

    def deadline(self) -> int | None:
        """Give when to `wake` it at the latest, if ever."""
        return None if self._calls is None else self._calls.deadline()

    def resumed(self, at: int) -> None:
        """The run goes on after a pause: questions that had expired are asked anew."""
        if self._calls is not None:
            self._calls.resumed(at)

    def view(self) -> list[StepView]:
        """Give what waits for a person."""
        return [] if self._calls is None else self._calls.view()

    def fork(self) -> Self:
        """Copy it; messages are shared."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        for name in ("moves", "told", "_messages", "_news", "_carried"):
            setattr(other, name, getattr(self, name).copy())
        other._calls = None if self._calls is None else self._calls.fork()
        return other

    def check(self) -> None:
        """Assert every invariant of a conversation that has not failed.

        Raises:
            EngineBug: One does not hold.
        """
        if not 1 <= self._number <= self._most:
            raise EngineBug("a conversation has as many turns as it may have")
        if self._calls is not None and self._calls.over:
            raise EngineBug("a conversation goes on once all its calls have a result")
        if any(count > len(self._news) for count in self._carried.values()):
            raise EngineBug("a turn carries what was to be told")

    # -- within -----------------------------------------------------------------------------

    def _take_turn(self) -> None:
        self._number += 1
        self.moves.append(Do(_path(self._number), self._turn))

    def _turn_ended(self, output: Json, at: int) -> None:
        carried = self._carried.get(self._won, max(self._carried.values(), default=0))
        self._messages.extend(_says([text for text, _ in self._news[:carried]]))
        self.told.extend(mark for _, mark in self._news[:carried])
        del self._news[:carried]
        self._carried.clear()
        self._won = 0
        calls = calls_of(output)
        if not calls:
            self.moves.append(End("succeeded", output=_answer(output)))
            return
        more = {key: value for key, value in output.items() if key not in _OWN}
        self._messages.append({"role": "agent", **more})
        self._calls = ToolCalls(self._number, calls, self._tools, self._agents)
        if self._number < self._most:
            self.moves.extend(self._calls.begin(at))
            self._go_on()
        else:
            self._calls.refuse("no more tools could be called")
            what = "one turn" if self._most == 1 else f"{self._most} turns"
            self.moves.append(End("failed", f"no answer within {what}: it still calls tools"))

    def _go_on(self) -> None:
        """Take the next turn if all calls have a result."""
        if self._calls is not None and self._calls.over:
            self._messages.extend(self._calls.results)
            self._calls = None
            self._take_turn()


def _says(texts: list[str]) -> list[Json]:
    return [{"role": "user", "text": text} for text in texts]


def calls_of(output: Json) -> list[Json]:
    """Give the calls of tools that a turn asks for; what makes no sense asks for none."""
    calls = output.get("calls") if is_turn(output) else None
    return calls if isinstance(calls, list) and all(map(_is_call, calls)) else []


def is_turn(output: Json) -> bool:
    """Tell whether an output is a turn's."""
    return isinstance(output, dict) and output.get("$") == "turn"


def _answer(output: Json) -> Json:
    # A person may have given it in place of a lost call, and then it is the answer itself.
    return output.get("answer") if is_turn(output) else output


def _is_call(call: Json) -> bool:
    named = isinstance(call, dict) and "args" in call
    return named and isinstance(call.get("id"), str) and isinstance(call.get("name"), str)


def _path(number: int) -> str:
    return unit_path(TURN, ALONE, number)
