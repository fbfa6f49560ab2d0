"""Leaves no child process behind when Hocket itself is killed with -9.

PR_SET_PDEATHSIG by ``preexec_fn`` was weighed and refused: it runs Python between fork and exec,
which can deadlock in a program with threads, it forgoes vfork, and it covers no grandchild.
Instead one small shell, the guard, holds the other end of a pipe to Hocket and knows the groups
alive: when the pipe breaks it kills them.
It is started before the first child and costs one write for each.
Not covered are a child of the microseconds before that write, and one that left its group.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import threading


class Guard:
    """A small shell that outlives Hocket just long enough to kill what Hocket left running."""

    SCRIPT = (
        "trap '' INT TERM HUP\n"
        "groups=' '\n"
        'while read -r what group; do case "$what" in\n'
        '  +) groups="$groups$group " ;;\n'
        '  -) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;\n'
        "esac; done\n"
        'for group in $groups; do kill -s KILL -- "-$group"; done\n'
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._shell: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ready(self) -> None:
        """Have the shell there before the first child, which may be killed while it starts."""
        with self._lock:
            if self._shell is None:
                self._start(first=True)

    def add(self, group: int) -> None:
        """Kill this group if Hocket dies."""
        with self._lock:
            if self._owner not in (0, os.getpid()):
                # After a fork these are the parent's.
                self._groups.clear()
            self._groups.add(group)
            if not self._tell(f"+ {group}\n"):
                self._start()

    def remove(self, group: int) -> None:
        """Forget a group that has ended; its number may come to mean another."""
        with self._lock:
            self._groups.discard(group)
            if self._shell is not None and not self._tell(f"- {group}\n"):
                self._start()

    def _tell(self, line: str) -> bool:
        shell = self._shell
        if shell is None or shell.stdin is None or self._owner != os.getpid():
            return False
        try:
            return os.write(shell.stdin.fileno(), line.encode()) == len(line)
        except OSError:
            return False

    def _start(self, *, first: bool = False) -> None:
        """Start a shell that knows all groups, the first time or because the last one is gone."""
        self._end()
        if not self._groups and not first:
            return
        try:
            self._shell = subprocess.Popen(
                ("/bin/sh", "-c", self.SCRIPT),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError:
            # No process to spare: children run unguarded, which matters only if Hocket is killed.
            return
        self._owner = os.getpid()
        assert self._shell.stdin is not None
        # A guard that does not read must not hold Hocket up: it is replaced.
        os.set_blocking(self._shell.stdin.fileno(), False)
        self._tell("".join(f"+ {group}\n" for group in sorted(self._groups)))

    def _end(self) -> None:
        shell, self._shell = self._shell, None
        if shell is None:
            return
        if shell.stdin is not None:
            shell.stdin.close()
        if self._owner != os.getpid():
            # After a fork the shell is the parent's.
            shell.returncode = 0
            return
        shell.kill()
        shell.wait()

    def close(self) -> None:
        """Let the shell go; what is registered then is left alone."""
        with self._lock:
            self._groups.clear()
            self._end()


guard = Guard()
atexit.register(guard.close)
