"""The calls of tools that one turn of a model has asked for, until each has a result.

A tool that nobody has given to the model, and arguments that don't fit, have a failed result at
once and are no calls of the run.
What a person approves of is exactly what will be done: it is not rendered anew later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

import msgspec

from hocket.core.errors import ExprError, Fault, Refused, suggest
from hocket.core.events import ApprovalGiven, InputGiven
from hocket.core.expr import Lookup
from hocket.core.machine import Do, Halt, Move, StepView
from hocket.core.shown import shown_command, tool_digest
from hocket.core.specs import PERSON_TIMEOUT, AgentSpec, Retry, StepSpec
from hocket.core.teams import ToolSpec
from hocket.core.template import parse_template
from hocket.core.values import Json
from hocket.workflows.fits import filled, misfit
from hocket.workflows.jobs import job_of
from hocket.workflows.live import Asked, unit_path
from hocket.workflows.questions import Worth, answered, question, unanswered

_APPROVAL: Final = StepSpec(name="", kind="approve", timeout=PERSON_TIMEOUT)
"""A person is asked about a tool's call as about a step that waits for an approval."""


class _Call(msgspec.Struct):
    """One call.

    Fields:
        id: What the model calls it.
        name: The tool.
        args: What the model gives the tool.
        given: What the tool's agent gets.
        result: What the model is told of its end; None as long as it is open.
        asked: The open question to a person, or None.
        approved: Whether nobody need be asked any more.
    """

    id: str
    name: str
    args: Json
    given: Json = None
    result: Json = None
    asked: Asked | None = None
    approved: bool = False

    def fork(self) -> _Call:
        """Copy it; values are shared."""
        asked = None if self.asked is None else self.asked.fork()
        return msgspec.structs.replace(self, asked=asked)

    def end(self, output: Json, *, failed: bool = False) -> None:
        """Note what came of it."""
        self.result = {
            "role": "tool",
            "id": self.id,
            "name": self.name,
            "output": output,
            "failed": failed,
        }
        self.asked = None


class ToolCalls:
    """The calls that a turn has asked for; they are done side by side.

    Args:
        number: The turn's number.
        calls: What it has asked for: an id, a name and args each.
        tools: The tools that the model was told of.
        agents: All agents of the run.
    """

    def __init__(
        self,
        number: int,
        calls: list[Json],
        tools: Mapping[str, ToolSpec],
        agents: Mapping[str, AgentSpec],
    ) -> None:
        self._tools = tools
        self._agents = agents
        self._calls = {
            unit_path(call["name"], index, number): _Call(call["id"], call["name"], call["args"])
            for index, call in enumerate(calls)
        }

    def begin(self, at: int) -> list[Move]:
        """Do those that can be done, and ask about those that a person is to approve of."""
        for call in self._calls.values():
            problem = self._prepare(call)
            if problem:
                call.end(problem, failed=True)
        return self.revive(self._agents, at)

    def refuse(self, why: str) -> None:
        """Do none of them."""
        for call in self._calls.values():
            call.end(why, failed=True)

    def revive(self, agents: Mapping[str, AgentSpec], at: int) -> list[Move]:
        """Ask anew for all that has no result; a call that was approved of stays so."""
        self._agents = agents
        moves: list[Move] = []
        for path, call in self._open().items():
            if call.approved:
                moves.append(self._do(path, call))
            else:
                call.asked, say = question(_APPROVAL, path, self._shown(call), at)
                moves.append(say)
        return moves

    def ended(self, path: str, output: Json, fault: Fault | None) -> None:
        """A tool has given an output, or has failed for good."""
        call = self._calls[path]
        if fault is None:
            call.end(output)
        else:
            kind = self._agents[self._tools[call.name].agent].kind
            # What a changed tool of a server says of itself is shown to people alone.
            said = kind == "command" or (kind == "mcp" and fault.kind == "failed")
            tells = fault.detail and said
            call.end(f"{fault.message}\n{fault.detail}" if tells else fault.message, failed=True)

    def answered(self, event: ApprovalGiven | InputGiven) -> list[Move]:
        """A person has answered.

        Raises:
            Refused: Nothing waits for that, or other bytes were shown.
        """
        call = self._calls.get(event.path)
        if call is None or call.asked is None or isinstance(event, InputGiven):
            raise Refused(f"{event.path!r} does not wait for an answer of this kind")
        return self._settle(event.path, answered(call.asked, event))

    def wake(self, at: int) -> list[Move]:
        """The deadline has come."""
        moves: list[Move] = []
        for path, call in self._open().items():
            if call.asked is None or call.asked.expires is None or call.asked.expires > at:
                continue
            worth = unanswered(_APPROVAL, path)
            if isinstance(worth, str):
                call.asked.expires = None
                moves.append(Halt(worth))
            else:
                moves.extend(self._settle(path, worth))
        return moves

    def resumed(self, at: int) -> None:
        """The run goes on after a pause: questions that had expired are asked anew."""
        for call in self._open().values():
            if call.asked is not None and call.asked.expires is None:
                call.asked.expires = at + _APPROVAL.timeout

    # -- reading ----------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether each has its result."""
        return not self._open()

    @property
    def results(self) -> list[Json]:
        """What the model is told of them, in the order in which it has asked for them."""
        return [call.result for call in self._calls.values()]

    def request(self, path: str) -> Json:
        """Give what a tool's agent gets."""
        return self._calls[path].given

    def jobs(self) -> list[str]:
        """Give the paths of the jobs that are waited for."""
        return [path for path, call in self._open().items() if call.approved]

    def deadline(self) -> int | None:
        """Give when to `wake` them at the latest, if ever."""
        asked = [call.asked for call in self._open().values() if call.asked is not None]
        return min([one.expires for one in asked if one.expires is not None], default=None)

    def view(self) -> list[StepView]:
        """Give what waits for a person."""
        return [
            StepView(
                path=path,
                kind="approve",
                status="waiting",
                agent=self._tools[call.name].agent,
                detail="waits for approval",
            )
            for path, call in self._open().items()
            if call.asked is not None
        ]

    def fork(self) -> Self:
        """Copy them."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._calls = {path: call.fork() for path, call in self._calls.items()}
        return other

    # -- within -----------------------------------------------------------------------------

    def _open(self) -> dict[str, _Call]:
        return {path: call for path, call in self._calls.items() if call.result is None}

    def _prepare(self, call: _Call) -> str:
        """See what the tool's agent is to get; say why there is no such call, or ""."""
        tool = self._tools.get(call.name)
        if tool is None:
            hint = suggest(call.name, self._tools)
            known = ", ".join(self._tools)
            return f"there is no tool {call.name!r}; {hint or f'there is {known}'}"
        problem = misfit({"type": "object", **(tool.schema or {})}, call.args)
        if problem:
            return problem
        args = filled(tool.schema, call.args)
        try:
            call.given = parse_template(tool.input).render(_meaning(args))
        except ExprError as error:
            return f"the arguments cannot be used: {error}"
        call.approved = not tool.approve
        return ""

    def _do(self, path: str, call: _Call) -> Do:
        tool = self._tools[call.name]
        step = StepSpec(name="", retry=Retry(tries=tool.tries), timeout=tool.timeout)
        return Do(path, job_of(step, self._agents, (tool.agent,), None, {}, sample=""))

    def _settle(self, path: str, worth: Worth) -> list[Move]:
        call, (_, fault) = self._calls[path], worth
        if fault is not None:
            call.end(fault.message, failed=True)
            return []
        call.asked, call.approved = None, True
        return [self._do(path, call)]

    def _shown(self, call: _Call) -> str:
        """Write down what will be done: the tool with its arguments, and a command as it is run."""
        lines = [f"{call.name} {_json(call.args)}"]
        tool = self._tools[call.name]
        agent = self._agents[tool.agent]
        if agent.kind == "command":
            lines.extend(shown_command(agent, call.given, {}))
        elif agent.kind == "mcp":
            told = agent.options
            where = told.get("url") or _json(told.get("command"))
            lines.append(f"calls {told['tool']} of the MCP server {told['server']}, {where}")
        lines.append(f"settings {tool_digest(tool, agent)}")
        return "\n".join(lines)


def _meaning(args: Json) -> Lookup:
    def find(name: str) -> Json:
        if name == "args":
            return args
        raise ExprError(f"unknown name {name!r}")

    return find


def _json(value: Json) -> str:
    return msgspec.json.encode(value).decode()
