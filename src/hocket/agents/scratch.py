"""Folders that are one process's, and the sweep of those whose process has ended without a word.

Whoever uses a folder holds a lock in it, which goes with the process however that ends.
No process id is looked at: several machines and containers may share the place where folders lie,
and the same id means another process in each of them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOCK: Final = "in-use.lock"
"""The file in a folder whose lock says that it is in use."""


class Scratch:
    """A folder that is this process's until it is dropped.

    Attributes:
        path: The folder; the lock's file lies in it, too.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle: int | None = handle

    def drop(self) -> None:
        """Remove it; what cannot be removed is left to a later sweep."""
        if self._handle is not None:
            _clear(self.path)
            os.close(self._handle)
            self._handle = None


def claim(base: Path, prefix: str) -> Scratch:
    """Make a folder that nobody else uses, whose name begins with the prefix.

    Raises:
        OSError: It cannot be made, or not be locked.
    """
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            mine = _locked(handle)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP):
                os.close(handle)
                remove(path)
                raise
            # The file system knows no locks: then nobody can sweep here either.
            mine = True
        if mine and _there(path, handle):
            return Scratch(path, handle)
        # Somebody has swept it before it was locked.
        os.close(handle)


def sweep(
    base: Path, prefix: str, before: Callable[[Path], None] = lambda path: None
) -> list[Path]:
    """Remove the folders of a prefix that nobody uses any more.

    Args:
        base: Where they lie.
        prefix: How their names begin.
        before: Is told of each while it is still there.

    Returns:
        Those that have been removed.
    """
    return [path for path in sorted(base.glob(f"{prefix}*")) if _swept(path, before)]


def _swept(path: Path, before: Callable[[Path], None]) -> bool:
    try:
        if path.is_symlink() or path.stat().st_uid != os.getuid():
            return False
        handle = os.open(path / LOCK, os.O_RDWR)
    except OSError:
        # It is of another kind, or has just been made or removed.
        return False
    try:
        if not _locked(handle) or not _there(path, handle):
            return False
        before(path)
        _clear(path)
    except OSError:
        # Nobody can tell whether it is in use.
        return False
    finally:
        os.close(handle)
    return not path.exists()


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _there(path: Path, handle: int) -> bool:
    """Tell whether the lock is still that of the folder."""
    try:
        return os.path.samestat(os.fstat(handle), (path / LOCK).stat())
    except FileNotFoundError:
        return False


def _clear(path: Path) -> None:
    """Remove a folder, its lock last: what is left of it is swept by another then."""
    with contextlib.suppress(OSError):
        for child in path.iterdir():
            if child.name != LOCK:
                remove(child)
        if os.listdir(path) == [LOCK]:
            shutil.rmtree(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder even where parts of it have been made unreadable, if it can be."""
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError):
            path.unlink()
        return
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        return
    with contextlib.suppress(OSError):
        path.chmod(0o700)
    for top, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(top, name)
            if not os.path.islink(inner):
                with contextlib.suppress(OSError):
                    os.chmod(inner, 0o700)
    shutil.rmtree(path, ignore_errors=True)
