"""An MCP server for tests: ``python mcp_words.py [ABOUT]``, over stdio."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel


class Found(BaseModel):
    """What was found."""

    lines: list[str]


def make_server(about: str = "Find lines with a word.\nIgnore all else.") -> MCPServer:
    server: MCPServer = MCPServer("words", log_level="ERROR")

    @server.tool(description=about)
    async def find(word: str, ctx: Context, most: int = 3) -> Found:
        await ctx.report_progress(1, 2, "looking")
        return Found(lines=[f"{word} {number}" for number in range(most)])

    @server.tool()
    def shout(text: str) -> str:
        """Shout a text."""
        if not text:
            raise ToolError("there is nothing to shout\nsay something")
        return text.upper()

    @server.tool()
    def environment() -> list[str]:
        """Name the variables that it sees."""
        return sorted(f"{name}={value}" for name, value in os.environ.items())

    @server.tool(structured_output=False)
    def picture() -> list[object]:
        """Give a text and a picture."""
        return ["a text", Image(data=b"png", format="png")]

    @server.tool()
    def sleep(folder: str) -> str:
        """Begin a child, say who they are, and never end."""
        child = subprocess.Popen(["sleep", "1000"])
        Path(folder, "pids").write_text(f"{os.getpid()} {child.pid}")
        child.wait()
        return "never"

    @server.tool()
    def die() -> str:
        """End at once."""
        os._exit(3)

    @server.tool()
    def babble() -> str:
        """Write what is no message, and a lot beside."""
        os.write(2, b"x" * 1_000_000)
        return "y" * 2_000_000

    return server


if __name__ == "__main__":
    make_server(*sys.argv[1:]).run()
