"""Every command and every snippet that the documentation shows is done here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT, Block, all_pages, blocks, commands, matches

PAGES = all_pages()
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_is_what_happens(page: Path, tmp_path: Path) -> None:
    session = _Session(tmp_path)
    for block in blocks(page):
        session.do(block, f"{page.relative_to(ROOT)}:{block.line}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_documentation_lead_somewhere(page: Path) -> None:
    targets = _LINK.findall(page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


def test_every_command_is_documented() -> None:
    from hocket.cli.main import COMMANDS

    text = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"## hocket {name}\n" not in text] == []


class _Session:
    """A page's folder and state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "HOCKET_HOME": str(folder / "state"),
            "LANG": "C.UTF-8",
            "COLUMNS": "100",
        }
        if "HOCKET_CACHE" in os.environ:
            self.environment["HOCKET_CACHE"] = os.environ["HOCKET_CACHE"]

    def do(self, block: Block, where: str) -> None:
        if block.file is not None:
            target = self.folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            self.console(block, where)
        elif block.language == "python":
            self.run([sys.executable, "-c", block.text], 0, where)
        elif block.language == "yaml":
            assert yaml.safe_load(block.text) is not None, where

    def console(self, block: Block, where: str) -> None:
        todo = commands(block)
        assert todo, f"{where}: a console block without a command"
        for i, command in enumerate(todo):
            if command.text.startswith("make "):
                target = command.text.split()[1]
                makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), where
                continue
            status = block.exit if i == len(todo) - 1 else 0
            done = self.run(["bash", "-c", command.text], status, f"{where}: {command.text}")
            told = [done.stdout, done.stderr, done.stdout + done.stderr]
            shown = "\n".join(command.printed)
            assert any(matches(command.printed, text) for text in told), (
                f"{where}: {command.text}\n--- shown\n{shown}\n--- printed\n{done.stdout}"
                f"--- stderr\n{done.stderr}"
            )

    def run(self, argv: list[str], status: int, where: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, f"{where}\n{done.stdout}\n{done.stderr}"
        return done
