"""What agents make of conversations that are not for them, and names in them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.agents.context import FakeContext
from tests.agents.tool_streams import asks

from hocket.agents.command import CommandAgent
from hocket.agents.function import FunctionAgent
from hocket.agents.local import LocalAgent
from hocket.agents.talk import answer_tool
from hocket.core.errors import AgentError
from hocket.core.specs import AgentSpec
from hocket.core.teams import Tool


def made(kind: Any, **options: Any) -> Any:
    maker: Any = {"local": LocalAgent, "function": FunctionAgent, "command": CommandAgent}[kind]
    live = {"x:f": lambda **given: given}
    return maker("a", AgentSpec(kind=kind, options=options), state=Path(), live=live)


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (made("local"), "the local model cannot call tools; let a model agent do it"),
        (made("function", ref="x:f"), "a function cannot call tools; let a model agent do it"),
        (made("command", command=[sys.executable, "-c", ""]), "the input of a command is a text"),
    ],
)
def test_who_cannot_call_tools_says_so_and_does_nothing(agent: Any, said: str) -> None:
    async def main() -> None:
        try:
            await agent.call(asks(), FakeContext())
        finally:
            await agent.close()

    with pytest.raises(AgentError, match=said) as caught:
        asyncio.run(main())
    assert caught.value.fault.kind == "permanent"


def test_the_tool_of_the_answer_is_like_none_of_the_agents_own() -> None:
    def named(*names: str) -> str:
        return answer_tool([Tool(name, "", None) for name in names])

    assert named() == named("grep") == "answer"
    assert named("answer") == "final_answer"
    assert named("final_answer", "answer") == "final_final_answer"
