"""Who owns a run, and whether that process still lives, as far as this machine can tell.

A process is named by host, process id, start time and boot, because ids are used again.
Where the system does not say when a process started, only the lease can tell that it is gone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from hocket.journal.schema import integer, text

_PROC: Final = Path("/proc")


class Owner(msgspec.Struct, frozen=True):
    """A process.

    Fields:
        host: The machine's name, or "" for nobody.
        pid: The process id.
        start: When the process started, in the system's own count, or "" if unknown.
        boot: Names the machine's boot and process table, or "" if unknown.
    """

    host: str
    pid: int
    start: str
    boot: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}" if self.host else ""


NOBODY: Final = Owner("", 0, "", "")


def owner_in(columns: Sequence[object]) -> tuple[Owner, int]:
    """Read the columns host, pid, start, boot and lease_until; all are NULL for nobody."""
    if columns[0] is None:
        return NOBODY, 0
    owner = Owner(text(columns[0]), integer(columns[1]), text(columns[2]), text(columns[3]))
    return owner, integer(columns[4])


def start_of(pid: int) -> str | None:
    """Give a process's start time, "" where the system does not say, or None if it is gone.

    A process that has died but was not yet waited for by its parent is gone, too.
    """
    if not (_PROC / "self" / "stat").exists():
        return "" if _exists(pid) else None
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    except PermissionError:
        return ""
    # The name stands in parentheses and may hold blanks and parentheses itself.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@cache
def _boot() -> str:
    """Two containers share a boot but not their process ids, so the process table counts."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def myself() -> Owner:
    """Name this process."""
    pid = os.getpid()
    return Owner(socket.gethostname(), pid, start_of(pid) or "", _boot())


def is_gone(owner: Owner, lease_until: int, lapsed_before: int, me: Owner) -> bool:
    """Tell whether an owner has lost its claim: it died, or its lease has lapsed.

    The journal says which leases have lapsed: those that ended before an instant.
    A dead process of this machine and boot is known to be dead at once.
    Anything else, a stopped process or one of another machine, counts as alive until its lease
    has lapsed.
    """
    if not owner.host:
        return True
    if lease_until < lapsed_before:
        return True
    if (owner.host, owner.boot) != (me.host, me.boot):
        return False
    start = start_of(owner.pid)
    return start is None or bool(start and owner.start and start != owner.start)
