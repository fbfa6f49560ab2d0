"""The folder of a worker for the files of its calls, and what workers that were killed left.

Whoever uses a folder holds a lock in it, which goes with the process however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "hocket-worker-"
_LOCK: Final = "lock"


def claim() -> Path:
    """Make a folder that is this process's for as long as it lives."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Kept open for ever: the lock is what says that the folder is in use.
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        if _locked(handle) and (folder / _LOCK).exists():
            return folder
        # Somebody has swept it before it was locked.
        os.close(handle)


def sweep() -> list[Path]:
    """Remove what workers on this machine left that ended without a word; gives what it was."""
    found: list[Path] = []
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            handle = os.open(folder / _LOCK, os.O_RDWR)
        except OSError:
            # It is somebody else's, or has just been made or removed.
            continue
        try:
            if _locked(handle):
                shutil.rmtree(folder, ignore_errors=True)
                found.append(folder)
        finally:
            os.close(handle)
    return found


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
