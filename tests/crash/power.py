"""A disk whose power fails: what was written but not synced may be gone, in part, or torn.

A SQLite file system over the ordinary one keeps, for each file, how to undo what was written since
the last sync.
When the power fails every further call fails; then history is rewritten on the real files.
Truncations and names of files count as durable, and there is no shared-memory file.
"""

import os
import random
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


class PowerLost(Exception):
    """The machine is off."""


class Disk(apsw.VFS):
    """Fails at the Nth write, sync or truncation."""

    def __init__(self, name: str, fails_at: int) -> None:
        self.name = name
        self.fails_at = fails_at
        self.calls = 0
        self.off = False
        self.undo: dict[str, list[tuple[int, bytes, int, int]]] = {}
        super().__init__(name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> "File":
        return File(self, name, flags)

    def step(self) -> None:
        self.calls += 1
        self.off = self.off or self.calls == self.fails_at
        self.check()

    def check(self) -> None:
        if self.off:
            raise PowerLost

    def rewrite(self, how: str, seed: int) -> None:
        """Undo what was not synced: ``all`` of it, ``some`` writes, or ``torn`` sectors."""
        draw = random.Random(seed)
        for path, log in self.undo.items():
            if not os.path.exists(path):
                continue
            with open(path, "r+b") as file:
                for offset, old, end, size in reversed(log):
                    if how == "all":
                        file.seek(offset)
                        file.write(old)
                        if file.seek(0, os.SEEK_END) == end:
                            file.truncate(max(size, offset + len(old)))
                    elif how == "torn":
                        _undo_sectors(file, offset, old, end, draw)
                    elif draw.random() < 0.5:
                        file.seek(offset)
                        file.write(old.ljust(end - offset, b"\0"))


def _undo_sectors(file: Any, offset: int, old: bytes, end: int, draw: random.Random) -> None:
    whole = old.ljust(end - offset, b"\0")
    for start in range(0, len(whole), SECTOR):
        if draw.random() < 0.5:
            file.seek(offset + start)
            file.write(whole[start : start + SECTOR])


class File(apsw.VFSFile):
    """Notes how to undo each write until the next sync."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._log = disk.undo.setdefault(path, [])

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.check()
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.step()
        size = super().xFileSize()
        known = max(0, min(len(data), size - offset))
        old = super().xRead(known, offset) if known else b""
        self._log.append((offset, old, offset + len(data), size))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._disk.step()
        super().xSync(flags)
        self._log.clear()

    def xTruncate(self, size: int) -> None:
        self._disk.step()
        super().xTruncate(size)
        self._log[:] = [entry for entry in self._log if entry[0] < size]


class Rows:
    """A statement that has run to its end."""

    def __init__(self, rows: list[tuple[Any, ...]], changes: int) -> None:
        self._rows = rows
        self.rowcount = changes

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


class Connection:
    """The journal's `Database` on a failing disk."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._db = apsw.Connection(str(path), vfs=disk.name)
        # Alone with its file it keeps the log's index in memory.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()

    @property
    def in_transaction(self) -> bool:
        return bool(self._db.in_transaction)

    def execute(self, sql: str, parameters: tuple[Any, ...] = (), /) -> Rows:
        rows = list(self._db.execute(sql, parameters))
        return Rows(rows, self._db.changes())

    def close(self) -> None:
        self._db.close(True)
