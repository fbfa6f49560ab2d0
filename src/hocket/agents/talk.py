"""What an agent with tools gets for a turn, and what it gives.

`hocket.workflows.conversation` says what a talk and a turn look like.
"""

from __future__ import annotations

from hocket.agents.output import fault
from hocket.core.errors import AgentError
from hocket.core.template import show
from hocket.core.values import Json


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


def no_tools(what: str) -> AgentError:
    """Make the fault of an agent that cannot have tools, and got a conversation with some."""
    return fault("permanent", f"{what} cannot call tools; give them to a model")
