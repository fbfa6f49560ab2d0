"""What an agent with tools gets for a turn, and what it gives.

`hocket.workflows.conversation` says what a talk and a turn look like.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hocket.agents.output import fault
from hocket.agents.settings import prompt_of
from hocket.core.errors import AgentError
from hocket.core.teams import Tool
from hocket.core.template import show
from hocket.core.values import Json


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is to be sent.

    Fields:
        messages: What was said, as a talk has it.
        system: What the model is told before.
        turns: Whether the reply is to be a turn of a conversation.
        last: Whether that turn must be an answer.
    """

    messages: list[Json]
    system: str
    turns: bool = False
    last: bool = False


def talk_of(given: Json, system: str) -> Talk:
    """Read a request's input: a talk, or a prompt, which is the first message of one."""
    if is_talk(given):
        last = bool(given.get("last"))
        return Talk(messages=given["messages"], system=system, turns=True, last=last)
    prompt, system = prompt_of(given, system)
    return Talk(messages=[{"role": "user", "text": prompt}], system=system)


def is_talk(given: Json) -> bool:
    """Tell whether a request's input is a conversation with tools."""
    return isinstance(given, dict) and given.get("$") == "talk"


def texts_of(talk: Json) -> list[str]:
    """Give all that the agent was told, in order: what users said and what tools have given."""
    said = []
    for message in talk["messages"]:
        if message["role"] == "user":
            said.append(message["text"])
        elif message["role"] == "tool":
            said.append(show(message["output"]))
    return said


def answered(given: Json, answer: Json) -> Json:
    """Give an answer as the request wants it: in a conversation as a turn."""
    return {"$": "turn", "answer": answer} if is_talk(given) else answer


def answer_tool(tools: Sequence[Tool]) -> str:
    """Name the tool as whose arguments an answer may come: like none of the agent's own."""
    taken, name = [tool.name for tool in tools], "answer"
    while name in taken:
        name = f"final_{name}"
    return name


def no_tools(what: str) -> AgentError:
    """Make the fault of an agent that cannot have tools, and got a conversation with some."""
    return fault("permanent", f"{what} cannot call tools; let a model agent do it")
