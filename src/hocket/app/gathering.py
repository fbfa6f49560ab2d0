"""What a planner is shown of a folder: a list of its files, and the content of some of them.

Names of files may come from a model, so nothing outside the folder and nothing hidden is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

MOST_FILES: Final = 400
"""So many files are listed; what is left out is counted."""
MOST_READ: Final = 12
"""So many files are shown."""
MOST_OF_ONE: Final = 16_000
MOST_BYTES: Final = 60_000
"""So much is shown of one file, and of all."""

_SKIPPED: Final = frozenset(
    {"node_modules", "__pycache__", "build", "dist", "target", "venv", "site-packages"}
)
_DEEPEST: Final = 8
_MOST_SEEN: Final = 20_000


def inventory(folder: Path) -> str:
    """List a folder's files with their sizes, nearest and by name first.

    Hidden ones, and folders of what is built or installed, are left out.
    """
    found = sorted(_walk(folder), key=lambda one: (one[1].count("/"), one[1]))
    lines = [f"{size:>9,} {name}" for size, name in found[:MOST_FILES]]
    if len(found) > MOST_FILES:
        lines.append(f"and {len(found) - MOST_FILES:,} more files")
    return "\n".join(lines) or "(no files)"


def _walk(folder: Path) -> Iterator[tuple[int, str]]:
    seen = 0
    for here, folders, files in os.walk(folder):
        depth = Path(here).relative_to(folder).parts
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _SKIPPED and len(depth) < _DEEPEST
        )
        for name in sorted(files):
            path = Path(here, name)
            if name.startswith(".") or path.is_symlink():
                continue
            seen += 1
            if seen > _MOST_SEEN:
                return
            try:
                size = path.stat().st_size
            except OSError:
                # It went while we looked.
                continue
            yield size, path.relative_to(folder).as_posix()


def read_files(folder: str, names: Sequence[str]) -> dict[str, str]:
    """Give the text of some files of a folder; a step of every planning run.

    Args:
        folder: The folder.
        names: The files' names within it.

    Returns:
        The text, or in brackets why there is none, by name.
    """
    left = MOST_BYTES
    shown: dict[str, str] = {}
    for name in list(dict.fromkeys(names))[:MOST_READ]:
        shown[name] = text = _read(Path(folder), name, min(MOST_OF_ONE, left))
        left = max(0, left - len(text.encode()))
    return shown


def _read(folder: Path, name: str, most: int) -> str:
    whole = folder.resolve()
    parts = Path(name).parts
    if "\0" in name or Path(name).is_absolute() or any(p.startswith(".") for p in parts):
        return "[not shown: outside the folder, or hidden]"
    path = whole / name
    try:
        if path.resolve() != path or not path.is_file():
            return "[not shown: there is no such file, or it is a link]"
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        return f"[not shown: {error.strerror or error}]"
    if b"\0" in data:
        return "[not shown: it is no text]"
    text = data[:most].decode("utf-8", "replace")
    return f"{text}\n[cut here]" if len(data) > most else text
