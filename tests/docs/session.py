"""Does what a page shows, block after block, in a folder and with a state of its own."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from tests.docs.masks import differences
from tests.docs.pages import ROOT, Block, Command, commands, matches
from tests.docs.shell import Done, Shell

from hocket.agents.weights import cache_folder, fetch
from hocket.core.errors import AgentError


class Session:
    """A page's folder, state and shell.

    With ``masked`` the page shows what one run printed, and what varies is hidden to compare it.
    """

    def __init__(self, folder: Path, *, masked: bool = False) -> None:
        self.masked = masked
        self.folder = folder / "work"
        self.folder.mkdir()
        # What a page runs sees what a stranger's terminal has, and none of our keys;
        # but what JAX has compiled for others it need not compile again.
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "HOCKET_HOME": str(folder / "state"),
            "HOCKET_CACHE": str(cache_folder()),
            "LANG": "C.UTF-8",
            "COLUMNS": "100",
            **{name: value for name, value in os.environ.items() if name.startswith("JAX_")},
        }
        self.shell = Shell(self.folder, environment, folder / "shell")

    def close(self) -> None:
        """End what the page has left running."""
        self.shell.close()

    def do(self, block: Block, where: str) -> None:
        """Do one block; what needs something that cannot be had skips the rest of the page."""
        if block.needs == "local" and (reason := no_local_model()):
            pytest.skip(f"{where}: {reason}")
        if block.file is not None:
            target = self.folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            self._console(block, where)
        elif block.language == "python":
            self.shell.run(f"cat > _snippet.py <<'_END_'\n{block.text}_END_")
            done = self.shell.run("python _snippet.py; status=$?; rm _snippet.py; (exit $status)")
            assert done.status == 0, f"{where}\n{done.out}{done.err}"
        elif block.language == "yaml":
            assert yaml.safe_load(block.text) is not None, where

    def _console(self, block: Block, where: str) -> None:
        todo = commands(block)
        assert todo, f"{where}: a console block without a command"
        for i, command in enumerate(todo):
            place = f"{where}: {command.text}"
            if command.text.startswith("make "):
                target = command.text.split()[1]
                makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), place
                continue
            status = block.exit if i == len(todo) - 1 else 0
            done = self.shell.run(command.text)
            told = f"--- printed\n{done.out}--- stderr\n{done.err}"
            assert done.status == status, f"{place}: status {done.status}\n{told}"
            wrong = self._differences(command, done)
            assert not wrong, f"{place}\n{wrong}\n{told}"

    def _differences(self, command: Command, done: Done) -> str:
        texts = [done.out, done.err, done.out + done.err]
        if self.masked:
            return differences(command.printed, texts)
        if any(matches(command.printed, text) for text in texts):
            return ""
        return "\n".join(["--- shown", *command.printed])


@cache
def no_local_model() -> str:
    """Say why the demo model cannot be asked here, or ""."""
    pytest.importorskip("xllamacpp", reason="the demo model needs the extra local")
    try:
        fetch()
    except AgentError as error:
        return str(error)
    return ""
