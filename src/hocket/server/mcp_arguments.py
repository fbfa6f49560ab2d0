"""Says in plain words what is wrong with a call of a tool: unknown tools and arguments included."""

from __future__ import annotations

import re
from typing import Any, Final

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import ValidationError

from hocket.config.messages import to_problem
from hocket.core.errors import suggest
from hocket.server.mcp_desk import Desk

_ASKED: Final = re.compile(r"\AResolver '")


class Server(MCPServer[Desk]):
    """An MCP server whose tools take the arguments that they state, and no others.

    Args:
        tools: The tools.
        options: What an `MCPServer` takes besides.
    """

    def __init__(self, tools: list[Tool], **options: Any) -> None:
        for tool in tools:
            tool.parameters["additionalProperties"] = False
        self._known = {tool.name: tool for tool in tools}
        super().__init__(tools=tools, **options)

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """Call a tool.

        Raises:
            ToolError: There is none of that name, an argument is wrong, or the tool says so.
        """
        tool = self._known.get(name)
        if tool is None:
            hint = suggest(name, self._known) or f"there are {', '.join(self._known)}"
            raise ToolError(f"there is no tool {name[:80]!r}; {hint}")
        if wrong := _wrong(tool, arguments):
            raise ToolError("\n".join(wrong))
        try:
            return await super().call_tool(name, arguments, context)
        except UnexpectedToolError as error:
            said = f"{name} has failed by a mistake of Hocket's own; its standard error has more"
            raise UnexpectedToolError(said) from error.__cause__
        except ToolError as error:
            said = str(error).removeprefix(f"Error executing tool {name}: ")
            if _ASKED.match(said):
                said = "the client's answer is not of the form that was asked; nothing is decided"
            raise ToolError(said) from error


def _wrong(tool: Tool, arguments: dict[str, Any]) -> list[str]:
    """Give a line for each thing that is wrong with a tool's arguments."""
    known = tool.parameters.get("properties", {})
    lines = [
        f"{tool.name} has no argument {name[:80]!r}; "
        + (suggest(name, known) or f"there are {', '.join(known) or 'none'}")
        for name in arguments
        if name not in known
    ]
    try:
        tool.fn_metadata.validate_arguments(arguments)
    except ValidationError as error:
        model = tool.fn_metadata.arg_model
        for one in error.errors(include_url=False):
            problem, _ = to_problem(one, arguments, model)
            lines.append(f"{problem.message}{f'; {problem.hint}' if problem.hint else ''}")
    return lines
