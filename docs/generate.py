"""Writes the pages of the reference that the code knows best, and the index for language models.

``python docs/generate.py`` writes them beside itself; a folder as the argument is where to write
instead.
A test compares them with what lies here, so that no page falls behind the code.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from writers.cli import cli_page
from writers.errors import errors_page
from writers.events import events_page
from writers.file import file_page
from writers.python import python_page

DOCS = Path(__file__).parent


KINDS = (
    ("Tutorials", "tutorial"),
    ("How-to guides", "how-to"),
    ("Reference", "reference"),
    ("Explanation", "explanation"),
    ("Decisions", "decisions"),
)


def llms(pages: dict[str, str]) -> str:
    """Write the index for language models: each page's title and first sentence."""
    lines = [
        "# Hocket",
        "",
        "> Runs teams of agents as plans: DAGs of steps, crash-safe, in Python 3.11 or newer.",
        "",
        "Paths are relative to this file.",
        "",
    ]
    for title, folder in KINDS:
        lines += [f"## {title}", ""]
        found = {p.relative_to(DOCS).as_posix() for p in (DOCS / folder).glob("*.md")}
        found |= {name for name in pages if name.startswith(f"{folder}/")}
        for name in sorted(found):
            text = pages.get(name) or (DOCS / name).read_text(encoding="utf-8")
            lines.append(f"- [{_title(text)}]({name}): {_first_sentence(text, folder)}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _title(text: str) -> str:
    return text.split("\n", 1)[0].removeprefix("# ")


def _first_sentence(text: str, folder: str) -> str:
    if folder == "decisions":
        text = text.split("## Decision\n", 1)[1]
    lines = text.split("\n")[0 if folder == "decisions" else 1 :]
    start = next(i for i, line in enumerate(lines) if line and not line.startswith(("<!--", "#")))
    end = next(
        (i for i in range(start, len(lines)) if not lines[i] or lines[i].endswith((".", ":"))),
        start,
    )
    said = " ".join(line for line in lines[start : end + 1] if line)
    return re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", said)


def generated() -> dict[str, str]:
    """Give every generated file's path and content."""
    pages = {
        "reference/cli.md": cli_page(),
        "reference/errors.md": errors_page(),
        "reference/events.md": events_page(),
        "reference/file.md": file_page(),
        "reference/python.md": python_page(),
    }
    return {**pages, "llms.txt": llms(pages)}


target = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
for path, content in generated().items():
    (target / path).parent.mkdir(parents=True, exist_ok=True)
    (target / path).write_text(content, encoding="utf-8")
