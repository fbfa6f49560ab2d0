"""All that a process has begun: its group, and whoever left it; what they hold, and their end.

Coding agents start their tools in groups of their own, which a signal to the first group misses.
Where there is no /proc, only the group itself is known.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")


def _parents() -> dict[int, tuple[int, int]]:
    """Give the parent and the group of every process."""
    found: dict[int, tuple[int, int]] = {}
    try:
        names = os.listdir(_PROC)
    except OSError:
        return found
    for name in names:
        if not name.isdecimal():
            continue
        try:
            text = (_PROC / name / "stat").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        # The name of the program stands in brackets and may hold anything.
        fields = text.rpartition(b")")[2].split()
        found[int(name)] = (int(fields[1]), int(fields[2]))
    return found


def members(pid: int) -> list[int]:
    """Give a process, all of its group, and all that descend from them."""
    parents = _parents()
    known = {one for one, (_, group) in parents.items() if pid in (one, group)}
    grown = True
    while grown:
        more = {one for one, (parent, _) in parents.items() if parent in known} - known
        known |= more
        grown = bool(more)
    return sorted(known)


def descendants(pid: int) -> list[int]:
    """Give those of `members` that are not in the group itself."""
    parents = _parents()
    return [one for one in members(pid) if one in parents and parents[one][1] != pid]


def kill_all(pids: Iterable[int]) -> None:
    """Kill processes that were found a moment ago."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue  # it has ended meanwhile, or took another user's rights


def memory(pid: int) -> int:
    """Give the bytes that a process and all it began take, shared ones by their share."""
    total = 0
    for one in members(pid):
        try:
            lines = (_PROC / str(one) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # it has ended meanwhile
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
