"""A small agent, written with the Agent Client Protocol's own SDK.

It echoes; ``ASK what`` asks for permission, ``SLOW`` works until it is cancelled, ``DIE`` ends it,
``PWD`` says its folder, and ``TOOL`` uses one.
"""

import asyncio
import os
from typing import Any

import acp
from acp import schema


class Echo(acp.Agent):
    def __init__(self) -> None:
        self.client: Any = None
        self.folders: dict[str, str] = {}
        self.cancelled: dict[str, asyncio.Event] = {}

    def on_connect(self, conn: Any) -> None:
        self.client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> acp.InitializeResponse:
        can = schema.SessionCapabilities(close=schema.SessionCloseCapabilities())
        return acp.InitializeResponse(
            protocol_version=protocol_version,
            agent_capabilities=schema.AgentCapabilities(session_capabilities=can),
        )

    async def new_session(self, cwd: str, **_: Any) -> acp.NewSessionResponse:
        # In all, so that none is called like one that was closed.
        name = f"session-{len(self.cancelled) + 1}"
        self.folders[name] = cwd
        self.cancelled[name] = asyncio.Event()
        return acp.NewSessionResponse(session_id=name)

    async def close_session(self, session_id: str, **_: Any) -> None:
        del self.folders[session_id]

    async def cancel(self, session_id: str, **_: Any) -> None:
        self.cancelled[session_id].set()

    async def say(self, session: str, text: str) -> None:
        await self.client.session_update(session, acp.update_agent_message_text(text))

    async def prompt(self, prompt: Any, session_id: str, **_: Any) -> acp.PromptResponse:
        text = prompt[0].text
        word, _, rest = text.partition(" ")
        stop = "end_turn"
        match word:
            case "DIE":
                os._exit(7)
            case "PWD":
                await self.say(session_id, self.folders[session_id])
            case "OPEN":
                await self.say(session_id, ",".join(self.folders))
            case "SLOW":
                await self.say(session_id, "slowly")
                await self.cancelled[session_id].wait()
                stop = "cancelled"
            case "TOOL":
                await self.say(session_id, "first I look")
                call = acp.start_tool_call("t", rest, kind="execute")
                await self.client.session_update(session_id, call)
                await self.say(session_id, "then I ")
                await self.say(session_id, "answer")
            case "ASK":
                options = [
                    schema.PermissionOption(option_id="y", name="Yes", kind="allow_once"),
                    schema.PermissionOption(option_id="n", name="No", kind="reject_once"),
                ]
                call = schema.ToolCallUpdate(
                    tool_call_id="t", title=f"run {rest}", raw_input={"command": rest}
                )
                got = await self.client.request_permission(session_id, call, options)
                await self.say(session_id, str(got.outcome.option_id))
            case _:
                await self.say(session_id, text)
        used = schema.Usage(total_tokens=105, input_tokens=100, output_tokens=5)
        return acp.PromptResponse(stop_reason=stop, usage=used)


if __name__ == "__main__":
    asyncio.run(acp.run_agent(Echo(), use_unstable_protocol=True))
