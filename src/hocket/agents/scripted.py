"""An agent that says what it was told to: for tests, for the documentation, and to show failures.

It is no model and never looks like one: whatever it gives is written in its options.
It keeps no memory, so that a resumed run gets the same replies, and it sleeps only by the loop's
clock, so that virtual time passes at once.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec

from hocket.agents.base import Context, Estimate, Reply, Request
from hocket.agents.output import fault, fit
from hocket.agents.prices import dollars
from hocket.agents.settings import override, read
from hocket.agents.talk import answered, is_talk, texts_of
from hocket.core.errors import AgentError, FaultKind, Problem, SpecError
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec
from hocket.core.values import SECOND, Call, Json, parse_duration

_ROUND = re.compile(r"~(\d+)\Z")

_PART = re.compile(r"\[(\d+)\]|\.(\w+)|(\[\.\.\.\])")
"""A part of a path as msgspec writes it."""

_NO_TOOLS = "the reply that is due calls tools, and it has none"

Duration = str | int | float


class ScriptedError(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A failure on demand.

    Fields:
        kind: One of `FaultKind`.
        message: What it says.
        retry_after: How long it asks to wait, as ``"30s"``.
    """

    kind: FaultKind = "failed"
    message: str = "scripted failure"
    retry_after: Duration | None = None


class ScriptedCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a tool.

    Fields:
        name: Which tool; also one that it was not given.
        args: What the tool is given; ``{prompt}`` in its texts becomes the prompt.
    """

    name: str
    args: Json = {}


class ScriptedReply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reply.

    Fields:
        output: What it gives; ``{prompt}`` in its texts becomes the prompt, with all that was
            said and what tools have given if it has tools.
        error: The failure that it gives instead.
        calls: The tools that it calls instead, where it has tools; each turn gets the next reply.
        after: How long it takes, as ``"2s"``.
        tokens_in: Tokens that it says to have read.
        tokens_out: Tokens that it says to have written.
        cost: Dollars that it says to have cost; it is free by default.
        stream: Show the output word by word while `after` passes.
    """

    output: Json = "{prompt}"
    error: ScriptedError | None = None
    calls: list[ScriptedCall] = []
    after: Duration = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0
    stream: bool = False

    @property
    def usage(self) -> Usage | None:
        """What it says to have spent, or None if it says nothing."""
        if self.tokens_in is None and self.tokens_out is None and not self.cost:
            return None
        return Usage(tokens_in=self.tokens_in, tokens_out=self.tokens_out, cost=self.pico)

    @property
    def pico(self) -> int:
        """The cost in pico-dollars."""
        return dollars(self.cost)


class ScriptedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a scripted agent.

    Fields:
        replies: Used in turn at each path: the first attempt of the first round gets the first,
            each further attempt and each further round or turn the next; the last one stays.
            A text alone is an output.
        by: Replies by what is found in the prompt: regular expressions, the first that matches.
    """

    replies: list[ScriptedReply | str] = []
    by: dict[str, list[ScriptedReply | str]] = {}


class ScriptedAgent:
    """Gives replies written in its options; without any it gives the prompt back.

    Raises:
        SpecError: An option is unknown, or wrong.
    """

    def __init__(self, name: str, spec: AgentSpec, *, state: Path, live: dict[str, Any]) -> None:
        try:
            self._options = read(ScriptedOptions, name, spec.options)
        except SpecError as error:
            raise SpecError([_placed(one) for one in error.problems]) from None
        problems = _problems(("agents", name), self._options)
        if problems:
            raise SpecError(problems)

    async def call(self, request: Request, context: Context) -> Reply:
        """Give the reply that is due.

        Raises:
            AgentError: The scripted failure; ``invalid_output`` where the output does not fit the
                step's schema.
        """
        reply, prompt = self._reply(request)
        usage = reply.usage
        if usage is not None and (reply.tokens_in is not None or reply.cost):
            # A prompt is read, and paid, before anything is written.
            context.spend(Usage(tokens_in=reply.tokens_in, cost=reply.pico))
        if reply.calls and not is_talk(request.input):
            raise fault("permanent", _NO_TOOLS)
        output = _calls(reply, request, prompt) or _fill(reply.output, prompt)
        await _pass_time(reply, output, context)
        return _given(reply, output, request)

    def due(self, request: Request) -> tuple[int, Reply | AgentError]:
        """Say how long a call takes, in nanoseconds, and what it gives, without doing it."""
        try:
            reply, prompt = self._reply(request)
            if reply.calls and not is_talk(request.input):
                raise fault("permanent", _NO_TOOLS)
        except AgentError as error:
            return 0, error
        output = _calls(reply, request, prompt) or _fill(reply.output, prompt)
        lasts = parse_duration(reply.after)
        try:
            return lasts, _given(reply, output, request)
        except AgentError as error:
            return lasts, error

    def estimate(self, request: Request) -> Estimate:
        """Say what the reply that is due says to have spent."""
        try:
            reply, _ = self._reply(request)
        except AgentError as error:
            return Estimate(why=error.fault.message)
        read, written = reply.tokens_in or 0, reply.tokens_out or 0
        return Estimate(
            tokens_in=read, tokens_out=written, most_tokens=read + written, most_cost=reply.pico
        )

    async def close(self) -> None:
        """Nothing is held between calls."""

    def _reply(self, request: Request) -> tuple[ScriptedReply, str]:
        """Give the reply that is due, and the prompt.

        Raises:
            AgentError: ``permanent``: the step's options are wrong.
        """
        options = override(self._options, request.options, frozenset({"replies", "by"}))
        if request.options:
            problems = _problems(("options",), options)
            if problems:
                raise fault("permanent", f"the step's {SpecError(problems)}")
        prompt = _prompt(request.input)
        return _due(options, prompt, request.call), prompt


def _placed(problem: Problem) -> Problem:
    """Give a problem within an option the place of its culprit, and say which kinds there are."""
    message, at, path = problem.message.rpartition(" - at `$")
    if not at:
        return problem
    parts: list[str | int] = []
    for index, key, other in _PART.findall(path):
        if other:
            # Whoever reads the option does not say under which key of an object it is.
            break
        parts.append(int(index) if index else key)
    hint = f"the kinds are {', '.join(get_args(FaultKind))}" if parts[-1:] == ["kind"] else ""
    return Problem(where=(*problem.where, *parts), message=message, hint=hint)


def _problems(where: tuple[str | int, ...], options: ScriptedOptions) -> list[Problem]:
    problems: list[Problem] = []
    for pattern in options.by:
        try:
            re.compile(pattern)
        except re.error as error:
            message = f"not a regular expression: {error}"
            problems.append(Problem(where=(*where, "by", pattern), message=message))
    lists: list[tuple[tuple[str, ...], list[ScriptedReply | str]]] = [
        (("replies",), options.replies),
        *((("by", pattern), replies) for pattern, replies in options.by.items()),
    ]
    for key, replies in lists:
        for index, reply in enumerate(replies):
            if isinstance(reply, str):
                continue
            waits = [reply.after]
            if reply.error is not None and reply.error.retry_after is not None:
                waits.append(reply.error.retry_after)
            for wait in waits:
                try:
                    parse_duration(wait)
                except ValueError as error:
                    problems.append(Problem(where=(*where, *key, index), message=str(error)))
    return problems


def _given(reply: ScriptedReply, output: Json, request: Request) -> Reply:
    """Give what a call ends with.

    Raises:
        AgentError: As `ScriptedAgent.call` says.
    """
    if reply.error is not None:
        wait = reply.error.retry_after
        error = fault(
            reply.error.kind,
            reply.error.message,
            retry_after=None if wait is None else parse_duration(wait),
        )
        error.usage = reply.usage
        raise error
    if not reply.calls:
        output = answered(request.input, fit(output, request.output))
    return Reply(output=output, usage=reply.usage)


def _calls(reply: ScriptedReply, request: Request, prompt: str) -> Json:
    """Give the turn of a reply that calls tools; None of another."""
    if not reply.calls:
        return None
    # From the turn's path, so that a call of the same turn that is made again has the same names.
    turn = _round_of(request.call)
    calls = [
        {"id": f"call_{turn}_{index}", "name": call.name, "args": _fill(call.args, prompt)}
        for index, call in enumerate(reply.calls)
    ]
    return {"$": "turn", "text": "", "calls": calls}


def _prompt(given: Json) -> str:
    if is_talk(given):
        return "\n\n".join(texts_of(given))
    if isinstance(given, dict) and isinstance(given.get("prompt"), str):
        return str(given["prompt"])
    if given is None:
        return ""
    return given if isinstance(given, str) else msgspec.json.encode(given).decode()


def _due(options: ScriptedOptions, prompt: str, call: Call) -> ScriptedReply:
    replies = options.replies
    for pattern, own in options.by.items():
        if re.search(pattern, prompt):
            replies = own
            break
    if not replies:
        return ScriptedReply()
    # From the call's name alone: a count kept here would begin anew after a crash.
    turn = call.attempt - 1 + _round_of(call) - 1
    reply = replies[min(turn, len(replies) - 1)]
    return ScriptedReply(output=reply) if isinstance(reply, str) else reply


def _round_of(call: Call) -> int:
    repeated = _ROUND.search(call.path)
    return int(repeated.group(1)) if repeated else 1


def _fill(output: Json, prompt: str) -> Json:
    if isinstance(output, str):
        return output.replace("{prompt}", prompt)
    if isinstance(output, list):
        return [_fill(item, prompt) for item in output]
    if isinstance(output, dict):
        return {key: _fill(item, prompt) for key, item in output.items()}
    return output


async def _pass_time(reply: ScriptedReply, output: Json, context: Context) -> None:
    seconds = parse_duration(reply.after) / SECOND
    if not reply.stream:
        if seconds:
            await asyncio.sleep(seconds)
        return
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    words = re.findall(r"\s*\S+\s*\Z|\s*\S+", text) or [text]
    for word in words:
        await asyncio.sleep(seconds / len(words))
        context.emit(word)
