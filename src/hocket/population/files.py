"""Files that are there whole or not at all, and folders that one process uses at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import secrets
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from hocket.core.errors import Refused

PART: Final = ".part"
"""How the name of a file ends that is not whole yet; it begins with a dot and the file's name."""
HEAD: Final = "checkpoint.json"
"""The file of a checkpoint that names the others and is written last."""
LOCK: Final = "in-use.lock"
"""The file in a folder that says who uses it."""


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that is there whole, on disk, or not at all.

    Args:
        path: The file; what it was before stays until the block is left, and after an error.

    Raises:
        OSError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    with part.open("xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole, on disk, or not at all.

    Raises:
        OSError: It cannot be written.
    """
    with whole(path) as file:
        file.write(data)


def try_folder(folder: Path) -> None:
    """Make a folder, and see before long work that files can be written there.

    Raises:
        Refused: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Refused(f"nothing can be written in {folder}: {error}") from error


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Use a folder alone; it is free again when the block is left, or the process is killed.

    Raises:
        Refused: Another process uses it, or nothing can be written there.
    """
    path = folder / LOCK
    try:
        handle = _locked(path)
    except OSError as error:
        raise Refused(f"nothing can be written in {folder}: {error}") from error
    try:
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()} since {since}".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(handle, 200, 0).decode("utf-8", "replace") or "another process"
            os.close(handle)
            raise Refused(
                f"{path.parent} is in use by {who}: wait for its end, or give another folder"
            ) from None
        except OSError:
            os.close(handle)
            raise
        # Whoever had it may have deleted it meanwhile: then others would lock another file.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)
